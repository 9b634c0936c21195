"""Reference meanings of the float operations, on bit patterns, in exact integer arithmetic.

Nothing here uses the host's floats, so rounding modes and sticky flags are plain numbers in an
`Environment` and the meanings are the same on every host.  Results are those of IEEE 754 as SSE
implements it: the first operand that is a NaN comes back quiet, an invalid operation gives the
negative default NaN, and tininess is detected after rounding.  Frontends fix up what their ISA
wants otherwise.

A finite float is handled as `sign, m, e`: its magnitude is m * 2**e with an integer m.
"""

# ruff: noqa: ARG001, D403 -- meanings take the same first and last parameters; x is a name

from __future__ import annotations

from math import isqrt

from tcg.types import F32, F64, F80, Type

INVALID = 1
DIVIDE_BY_ZERO = 4
OVERFLOW = 8
UNDERFLOW = 16
INEXACT = 32
ALL_FLAGS = 61
"""Sticky flags, at their places in the host's MXCSR."""

NEAREST, DOWN, UP, TOWARDS_ZERO = range(4)
"""Rounding modes, as MXCSR numbers them."""

ROUNDING_SHIFT = 13
MXCSR_DEFAULT = 0x1F80


class Environment:
    """The FP environment that an operation runs in: its rounding mode and its sticky flags."""

    __slots__ = ("flags", "rounding")

    def __init__(self, mxcsr: int = MXCSR_DEFAULT) -> None:
        self.rounding = mxcsr >> ROUNDING_SHIFT & 3
        self.flags = mxcsr & ALL_FLAGS

    def mxcsr(self, old: int = MXCSR_DEFAULT) -> int:
        """`old` with this rounding mode and these flags."""
        kept = old & ~(3 << ROUNDING_SHIFT | ALL_FLAGS)
        return kept | self.rounding << ROUNDING_SHIFT | self.flags


class Format:
    """What a float type's bits mean.

    `precision` counts the leading bit, which `explicit` formats (x87's) store and others imply;
    `lowest` is the exponent of the last place of the smallest numbers.
    """

    __slots__ = (
        "default_nan",
        "explicit",
        "exponent_mask",
        "fraction_bits",
        "fraction_mask",
        "infinity",
        "lowest",
        "precision",
        "quiet_bit",
        "sign_bit",
    )  # fmt: skip

    def __init__(self, bits: int, precision: int, explicit: bool = False) -> None:
        self.precision = precision
        self.explicit = explicit
        self.fraction_bits = precision if explicit else precision - 1
        self.fraction_mask = (1 << self.fraction_bits) - 1
        self.exponent_mask = (1 << (bits - 1 - self.fraction_bits)) - 1
        self.sign_bit = 1 << (bits - 1)
        self.lowest = 1 - (self.exponent_mask >> 1) - (precision - 1)
        self.quiet_bit = 1 << (precision - 2)
        leading = 1 << (precision - 1) if explicit else 0
        self.infinity = self.exponent_mask << self.fraction_bits | leading
        self.default_nan = self.sign_bit | self.infinity | self.quiet_bit


FORMATS = {F32: Format(32, 24), F64: Format(64, 53), F80: Format(80, 64, explicit=True)}

Number = tuple[int, int, int]


# -- taking apart and putting together -------------------------------------------------------------


def is_nan(f: Format, x: int) -> bool:
    """The bit pattern is a NaN."""
    return x & (f.sign_bit - 1) > f.infinity


def is_signalling(f: Format, x: int) -> bool:
    """The bit pattern is a signalling NaN."""
    return is_nan(f, x) and not x & f.quiet_bit


def is_infinite(f: Format, x: int) -> bool:
    """The bit pattern is an infinity."""
    return x & (f.sign_bit - 1) == f.infinity


def unpack(f: Format, x: int) -> Number:
    """Sign, m and e of a finite number; m is 0 for zeros."""
    exponent = x >> f.fraction_bits & f.exponent_mask
    m = x & f.fraction_mask
    if not exponent:
        exponent = 1
    elif not f.explicit:
        m |= f.fraction_mask + 1
    return (1 if x & f.sign_bit else 0), m, f.lowest - 1 + exponent


def _rounds_up(mode: int, sign: int, kept: int, rest: int, half: int) -> bool:
    if mode == NEAREST:
        return rest > half or (rest == half and kept & 1 == 1)
    if mode == TOWARDS_ZERO or not rest:
        return False
    return bool(sign) == (mode == DOWN)


def _round_at(mode: int, sign: int, m: int, shift: int) -> tuple[int, int]:
    """M / 2**shift as an integer by the rounding mode, and what was cut off."""
    if shift <= 0:
        return m << -shift, 0
    kept, rest = m >> shift, m & ((1 << shift) - 1)
    return kept + _rounds_up(mode, sign, kept, rest, 1 << (shift - 1)), rest


def _overflow(f: Format, sign: int, env: Environment) -> int:
    env.flags |= OVERFLOW | INEXACT
    away = env.rounding == NEAREST or env.rounding == (DOWN if sign else UP)
    if away:
        return f.infinity
    return f.exponent_mask - 1 << f.fraction_bits | f.fraction_mask


def pack(f: Format, sign: int, m: int, e: int, env: Environment) -> int:
    """The bit pattern of (-1)**sign * m * 2**e, rounded, with the flags that rounding raises.

    A caller that could not keep all bits of m keeps precision + 2 of them and sets the last one.
    """
    top = f.sign_bit if sign else 0
    if not m:
        return top
    unbounded = m.bit_length() - f.precision
    shift = max(unbounded, f.lowest - e)
    kept, rest = _round_at(env.rounding, sign, m, shift)
    if rest:
        env.flags |= INEXACT
        if shift > unbounded and _is_tiny(f, sign, m, e, env.rounding):
            env.flags |= UNDERFLOW
    exponent = e + shift - f.lowest
    if kept >> f.precision:
        kept >>= 1
        exponent += 1
    if exponent >= f.exponent_mask - 1:
        return top | _overflow(f, sign, env)
    if kept >> (f.precision - 1):
        exponent += 1
    return top | exponent << f.fraction_bits | kept & f.fraction_mask


def _is_tiny(f: Format, sign: int, m: int, e: int, mode: int) -> bool:
    """Rounded as if exponents had no limit, the number is below the smallest normal one."""
    unbounded = m.bit_length() - f.precision
    kept, _ = _round_at(mode, sign, m, unbounded)
    return e + unbounded + kept.bit_length() < f.lowest + f.precision


def _quiet(f: Format, env: Environment, *operands: int) -> int:
    """The first NaN of the operands, quiet; a signalling one among them is invalid."""
    if any(is_signalling(f, x) for x in operands):
        env.flags |= INVALID
    return next(x for x in operands if is_nan(f, x)) | f.quiet_bit


def _invalid(f: Format, env: Environment) -> int:
    env.flags |= INVALID
    return f.default_nan


# -- arithmetic ------------------------------------------------------------------------------------


def _sum(f: Format, a: Number, b: Number, env: Environment) -> int:
    """The rounded sum of two finite numbers; an exact zero takes its sign from the mode."""
    (sa, ma, ea), (sb, mb, eb) = a, b
    if not ma and not mb:
        negative = (sa and sb) or (sa != sb and env.rounding == DOWN)
        return f.sign_bit if negative else 0
    e = min(ea, eb)
    total = ((-ma if sa else ma) << (ea - e)) + ((-mb if sb else mb) << (eb - e))
    if not total:
        return f.sign_bit if env.rounding == DOWN else 0
    return pack(f, int(total < 0), abs(total), e, env)


def add(t: Type, d: Type, x: int, y: int, env: Environment | None = None) -> int:
    """x + y"""
    f, env = FORMATS[t], env or Environment()
    if is_nan(f, x) or is_nan(f, y):
        return _quiet(f, env, x, y)
    if is_infinite(f, x):
        return _invalid(f, env) if is_infinite(f, y) and x != y else x
    if is_infinite(f, y):
        return y
    return _sum(f, unpack(f, x), unpack(f, y), env)


def sub(t: Type, d: Type, x: int, y: int, env: Environment | None = None) -> int:
    """x - y"""
    f = FORMATS[t]
    return add(t, d, x, y if is_nan(f, y) else y ^ f.sign_bit, env)


def mul(t: Type, d: Type, x: int, y: int, env: Environment | None = None) -> int:
    """x * y"""
    f, env = FORMATS[t], env or Environment()
    if is_nan(f, x) or is_nan(f, y):
        return _quiet(f, env, x, y)
    sign = (x ^ y) & f.sign_bit
    if is_infinite(f, x) or is_infinite(f, y):
        zero = not x & (f.sign_bit - 1) or not y & (f.sign_bit - 1)
        return _invalid(f, env) if zero else sign | f.infinity
    (_, mx, ex), (_, my, ey) = unpack(f, x), unpack(f, y)
    return pack(f, sign, mx * my, ex + ey, env)


def div(t: Type, d: Type, x: int, y: int, env: Environment | None = None) -> int:
    """x / y"""
    f, env = FORMATS[t], env or Environment()
    if is_nan(f, x) or is_nan(f, y):
        return _quiet(f, env, x, y)
    sign = (x ^ y) & f.sign_bit
    if is_infinite(f, x):
        return _invalid(f, env) if is_infinite(f, y) else sign | f.infinity
    if is_infinite(f, y):
        return sign
    (_, mx, ex), (_, my, ey) = unpack(f, x), unpack(f, y)
    if not my:
        return _divide_by_zero(f, sign, mx, env)
    shift = max(0, f.precision + 2 + my.bit_length() - mx.bit_length())
    quotient, rest = divmod(mx << shift, my)
    return pack(f, sign, quotient << 1 | bool(rest), ex - ey - shift - 1, env)


def _divide_by_zero(f: Format, sign: int, dividend: int, env: Environment) -> int:
    if not dividend:
        return _invalid(f, env)
    env.flags |= DIVIDE_BY_ZERO
    return sign | f.infinity


def fma(t: Type, d: Type, x: int, y: int, z: int, env: Environment | None = None) -> int:
    """x * y + z, rounded once"""
    f, env = FORMATS[t], env or Environment()
    if is_nan(f, x) or is_nan(f, y) or is_nan(f, z):
        return _quiet(f, env, x, y, z)
    sign = 1 if (x ^ y) & f.sign_bit else 0
    if is_infinite(f, x) or is_infinite(f, y):
        zero = not x & (f.sign_bit - 1) or not y & (f.sign_bit - 1)
        product = f.infinity | (f.sign_bit if sign else 0)
        opposed = is_infinite(f, z) and z != product
        return _invalid(f, env) if zero or opposed else product
    if is_infinite(f, z):
        return z
    (_, mx, ex), (_, my, ey) = unpack(f, x), unpack(f, y)
    return _sum(f, (sign, mx * my, ex + ey), unpack(f, z), env)


def sqrt(t: Type, d: Type, x: int, env: Environment | None = None) -> int:
    """The square root of x; of -0 it is -0"""
    f, env = FORMATS[t], env or Environment()
    if is_nan(f, x):
        return _quiet(f, env, x)
    if not x & (f.sign_bit - 1):
        return x
    if x & f.sign_bit:
        return _invalid(f, env)
    if is_infinite(f, x):
        return x
    _, m, e = unpack(f, x)
    shift = 2 * f.precision + 4
    shift += (e - shift) & 1
    root = isqrt(m << shift)
    inexact = root * root != m << shift
    return pack(f, 0, root << 1 | inexact, (e - shift) // 2 - 1, env)


def neg(t: Type, d: Type, x: int, env: Environment | None = None) -> int:
    """x with the other sign, NaNs too"""
    return x ^ FORMATS[t].sign_bit


def abs_(t: Type, d: Type, x: int, env: Environment | None = None) -> int:
    """x without its sign, NaNs too"""
    return x & ~FORMATS[t].sign_bit


# -- comparison: all quiet, as SSE's ucomis is -----------------------------------------------------


def _order(f: Format, x: int) -> int:
    """A number that orders as the float does; both zeros are the same."""
    magnitude = x & (f.sign_bit - 1)
    return -magnitude if x & f.sign_bit else magnitude


def unordered(t: Type, d: Type, x: int, y: int, env: Environment | None = None) -> int:
    """Either is a NaN"""
    f = FORMATS[t]
    if not is_nan(f, x) and not is_nan(f, y):
        return 0
    if env is not None and (is_signalling(f, x) or is_signalling(f, y)):
        env.flags |= INVALID
    return 1


def eq(t: Type, d: Type, x: int, y: int, env: Environment | None = None) -> int:
    """x == y; the two zeros are equal"""
    f = FORMATS[t]
    return not unordered(t, d, x, y, env) and _order(f, x) == _order(f, y)


def lt(t: Type, d: Type, x: int, y: int, env: Environment | None = None) -> int:
    """x < y"""
    f = FORMATS[t]
    return not unordered(t, d, x, y, env) and _order(f, x) < _order(f, y)


def le(t: Type, d: Type, x: int, y: int, env: Environment | None = None) -> int:
    """x <= y"""
    f = FORMATS[t]
    return not unordered(t, d, x, y, env) and _order(f, x) <= _order(f, y)


# -- conversion ------------------------------------------------------------------------------------


def convert(t: Type, d: Type, x: int, env: Environment | None = None) -> int:
    """x in another float type; a NaN keeps its sign and the leading bits of its payload"""
    f, to, env = FORMATS[t], FORMATS[d], env or Environment()
    sign = to.sign_bit if x & f.sign_bit else 0
    if is_infinite(f, x):
        return sign | to.infinity
    if is_nan(f, x):
        payload = _quiet(f, env, x) & (f.quiet_bit - 1)
        longer = to.precision - f.precision
        payload = payload << longer if longer >= 0 else payload >> -longer
        return sign | to.infinity | to.quiet_bit | payload
    _, m, e = unpack(f, x)
    return pack(to, sign, m, e, env)


def _truncate(t: Type, x: int, low: int, high: int, env: Environment | None) -> int:
    """x without its fraction, held within low..high; a NaN gives 0."""
    f, env = FORMATS[t], env or Environment()
    if is_nan(f, x):
        env.flags |= INVALID
        return 0
    sign, m, e = unpack(f, x)
    magnitude = m << e if e >= 0 else m >> min(-e, f.precision)
    value = -magnitude if sign else magnitude
    if is_infinite(f, x) or not low <= value <= high:
        env.flags |= INVALID
        return low if sign else high
    if e < 0 and magnitude << min(-e, f.precision) != m:
        env.flags |= INEXACT
    return value


def to_signed_truncating(t: Type, d: Type, x: int, env: Environment | None = None) -> int:
    """x as a signed integer, towards zero; saturates"""
    return _truncate(t, x, -(1 << (d.bits - 1)), (1 << (d.bits - 1)) - 1, env)


def to_unsigned_truncating(t: Type, d: Type, x: int, env: Environment | None = None) -> int:
    """x as an unsigned integer, towards zero; saturates, so that what is below zero gives 0"""
    return _truncate(t, x, 0, (1 << d.bits) - 1, env)


def round_to_integral(t: Type, d: Type, x: int, env: Environment | None = None) -> int:
    """x without a fraction, by the rounding mode; keeps the sign of what becomes zero"""
    f, env = FORMATS[t], env or Environment()
    if is_nan(f, x):
        return _quiet(f, env, x)
    sign, m, e = unpack(f, x)
    if is_infinite(f, x) or e >= 0:
        return x
    whole, rest = _round_at(env.rounding, sign, m, min(-e, f.precision + 2))
    if rest:
        env.flags |= INEXACT
    return pack(f, sign, whole, 0, env)


def from_signed(t: Type, d: Type, x: int, env: Environment | None = None) -> int:
    """A signed integer as a float, rounded"""
    value = t.signed(x)
    return pack(FORMATS[d], int(value < 0), abs(value), 0, env or Environment())


def from_unsigned(t: Type, d: Type, x: int, env: Environment | None = None) -> int:
    """An unsigned integer as a float, rounded"""
    return pack(FORMATS[d], 0, x, 0, env or Environment())
