"""Reference meanings of the float operations, on bit patterns, in exact integer arithmetic.

Nothing here uses the host's floats, so rounding modes and sticky flags are plain numbers in an
`Environment` and the meanings are the same on every host.  Results are those of IEEE 754 as SSE
implements it: the first operand that is a NaN comes back quiet, an invalid operation gives the
negative default NaN, and tininess is detected after rounding.  Frontends fix up what their ISA
wants otherwise.  The extended format f80 follows x87 (SDM vol. 1, chapters 4.8 and 8): of two NaNs
the one with the larger significand comes back, operands with a wrong integer bit are invalid,
denormal operands are noted, and arithmetic may be rounded to fewer bits than there are.

A finite float is handled as `sign, m, e`: its magnitude is m * 2**e with an integer m.
"""

# ruff: noqa: ARG001, D403 -- meanings take the same first and last parameters; x is a name

from __future__ import annotations

from math import isqrt

from tcg.types import F16, F32, F64, F80, Type

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
DENORMAL = 2
DENORMALS_ARE_ZEROS = 1 << 6
FLUSH_TO_ZERO = 1 << 15
MXCSR_ENVIRONMENT = 0xE07F
"""All of MXCSR but the masks of exceptions."""


class Environment:
    """The FP environment that an operation runs in: its rounding mode and its sticky flags.

    What only SSE knows is seen by its own operations (tcg/simd) and by comparisons: `daz`, denormal
    operands are zeros; `ftz`, so are denormal results; `denormal`, the sticky flag of the former.
    `precision`: the significant bits to which results of f80 arithmetic are rounded.
    """

    __slots__ = ("daz", "denormal", "flags", "ftz", "precision", "rounding")

    def __init__(self, mxcsr: int = MXCSR_DEFAULT) -> None:
        self.set(mxcsr)

    def set(self, mxcsr: int) -> None:
        """Take over all that MXCSR says, but for its masks."""
        self.rounding = mxcsr >> ROUNDING_SHIFT & 3
        self.flags = mxcsr & ALL_FLAGS
        self.denormal = bool(mxcsr & DENORMAL)
        self.daz = bool(mxcsr & DENORMALS_ARE_ZEROS)
        self.ftz = bool(mxcsr & FLUSH_TO_ZERO)
        self.precision = 64

    def mxcsr(self, old: int = MXCSR_DEFAULT) -> int:
        """`old`, of which the masks are kept, with everything else as it is here."""
        made = self.rounding << ROUNDING_SHIFT | self.flags | DENORMAL * self.denormal
        made |= DENORMALS_ARE_ZEROS * self.daz | FLUSH_TO_ZERO * self.ftz
        return old & ~MXCSR_ENVIRONMENT | made


CONTROL_DEFAULT = 0x37F
"""x87's control word as Linux starts a program with it: all masked, 64 bits, nearest."""

PRECISIONS = (24, 64, 53, 64)
"""Significant bits by the control word's field PC (SDM vol. 1, table 8-2)."""


class Environment80(Environment):
    """The environment of f80 operations, as x87's control and status words give it."""

    __slots__ = ()

    def __init__(self, control: int = CONTROL_DEFAULT, status: int = 0) -> None:
        super().__init__()
        self.set_control(control)
        self.flags = status & 63

    def set_control(self, control: int) -> None:
        """Round as this control word says."""
        self.rounding = control >> 10 & 3
        self.precision = PRECISIONS[control >> 8 & 3]


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


FORMATS = {
    F16: Format(16, 11),
    F32: Format(32, 24),
    F64: Format(64, 53),
    F80: Format(80, 64, explicit=True),
}

Number = tuple[int, int, int]


# -- taking apart and putting together -------------------------------------------------------------


def is_unsupported(f: Format, x: int) -> bool:
    """The exponent asks for an integer bit that is not there (SDM vol. 1, 8.2.2)."""
    return f.explicit and not x & f.fraction_mask + 1 >> 1 and bool(_exponent(f, x))


def is_nan(f: Format, x: int) -> bool:
    """The bit pattern is a NaN, or unsupported and therefore treated like a signalling one."""
    return x & (f.sign_bit - 1) > f.infinity or is_unsupported(f, x)


def is_signalling(f: Format, x: int) -> bool:
    """The bit pattern is a signalling NaN."""
    return (is_nan(f, x) and not x & f.quiet_bit) or is_unsupported(f, x)


def is_denormal(f: Format, x: int) -> bool:
    """The bit pattern is a number below the smallest normal one, or written like one."""
    return not _exponent(f, x) and bool(x & f.fraction_mask)


def _exponent(f: Format, x: int) -> int:
    return x >> f.fraction_bits & f.exponent_mask


def note_denormals(f: Format, env: Environment | None, *operands: int) -> None:
    """Denormal operands are an exception of x87, and of SSE if they are not zeros."""
    if env is None or env.daz or not any(is_denormal(f, x) for x in operands):
        return
    if f.explicit:
        env.flags |= DENORMAL
    else:
        env.denormal = True


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


def _overflow(f: Format, sign: int, env: Environment, spare: int) -> int:
    env.flags |= OVERFLOW | INEXACT
    away = env.rounding == NEAREST or env.rounding == (DOWN if sign else UP)
    if away:
        return f.infinity
    return f.exponent_mask - 1 << f.fraction_bits | f.fraction_mask >> spare << spare


def pack(f: Format, sign: int, m: int, e: int, env: Environment, is_limited: bool = True) -> int:
    """The bit pattern of (-1)**sign * m * 2**e, rounded, with the flags that rounding raises.

    A caller that could not keep all bits of m keeps precision + 2 of them and sets the last one.
    `is_limited`: the environment may ask for fewer bits than an f80 has; the rest are zeros.
    """
    top = f.sign_bit if sign else 0
    if not m:
        return top
    spare = f.precision - env.precision if f.explicit and is_limited else 0
    precision, lowest = f.precision - spare, f.lowest + spare
    unbounded = m.bit_length() - precision
    shift = max(unbounded, lowest - e)
    kept, rest = _round_at(env.rounding, sign, m, shift)
    if rest:
        env.flags |= INEXACT
        if shift > unbounded and _is_tiny(f, sign, m, e, env.rounding, spare):
            env.flags |= UNDERFLOW
    exponent = e + shift - lowest
    if kept >> precision:
        kept >>= 1
        exponent += 1
    if exponent >= f.exponent_mask - 1:
        return top | _overflow(f, sign, env, spare)
    if kept >> (precision - 1):
        exponent += 1
    return top | exponent << f.fraction_bits | kept << spare & f.fraction_mask


def _is_tiny(f: Format, sign: int, m: int, e: int, mode: int, spare: int) -> bool:
    """Rounded as if exponents had no limit, the number is below the smallest normal one."""
    unbounded = m.bit_length() - f.precision + spare
    kept, _ = _round_at(mode, sign, m, unbounded)
    return e + unbounded + kept.bit_length() < f.lowest + f.precision


def quiet(f: Format, env: Environment, *operands: int) -> int:
    """The first NaN of the operands, quiet; a signalling one among them is invalid."""
    if any(is_signalling(f, x) for x in operands):
        env.flags |= INVALID
    if f.explicit:
        return _quiet80(f, operands)
    return next(x for x in operands if is_nan(f, x)) | f.quiet_bit


def _quiet80(f: Format, operands: tuple[int, ...]) -> int:
    """Which NaN comes back from x87 (SDM vol. 1, table 4-7).

    A quiet one rather than a signalling one, then the one with the larger significand, then the
    positive one.
    """
    if any(is_unsupported(f, x) for x in operands):
        return f.default_nan
    nans = [x for x in operands if is_nan(f, x)]
    quiet = [x for x in nans if x & f.quiet_bit] or nans
    return max(quiet, key=lambda x: (x & f.fraction_mask, not x & f.sign_bit)) | f.quiet_bit


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
        return quiet(f, env, x, y)
    if is_infinite(f, x) and is_infinite(f, y) and x != y:
        return _invalid(f, env)
    note_denormals(f, env, x, y)
    if is_infinite(f, x):
        return x
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
        return quiet(f, env, x, y)
    sign = (x ^ y) & f.sign_bit
    if is_infinite(f, x) or is_infinite(f, y):
        if not x & (f.sign_bit - 1) or not y & (f.sign_bit - 1):
            return _invalid(f, env)
        note_denormals(f, env, x, y)
        return sign | f.infinity
    note_denormals(f, env, x, y)
    (_, mx, ex), (_, my, ey) = unpack(f, x), unpack(f, y)
    return pack(f, sign, mx * my, ex + ey, env)


def div(t: Type, d: Type, x: int, y: int, env: Environment | None = None) -> int:
    """x / y"""
    f, env = FORMATS[t], env or Environment()
    if is_nan(f, x) or is_nan(f, y):
        return quiet(f, env, x, y)
    sign = (x ^ y) & f.sign_bit
    if is_infinite(f, x) and is_infinite(f, y):
        return _invalid(f, env)
    (_, mx, ex), (_, my, ey) = unpack(f, x), unpack(f, y)
    if not my and not is_infinite(f, x):
        return _divide_by_zero(f, sign, mx, env)
    note_denormals(f, env, x, y)
    if is_infinite(f, x):
        return sign | f.infinity
    if is_infinite(f, y):
        return sign
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
        return quiet(f, env, x, y, z)
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
        return quiet(f, env, x)
    if not x & (f.sign_bit - 1):
        return x
    if x & f.sign_bit:
        return _invalid(f, env)
    if is_infinite(f, x):
        return x
    note_denormals(f, env, x)
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


def order(f: Format, x: int, env: Environment | None = None) -> int:
    """A number that orders as the float does; both zeros are the same."""
    magnitude = x & (f.sign_bit - 1)
    if env is not None and env.daz and not magnitude >> f.fraction_bits:
        return 0
    if f.explicit and not _exponent(f, x) and magnitude > f.fraction_mask >> 1:
        magnitude += f.fraction_mask + 1  # an exponent of 0 means 1
    return -magnitude if x & f.sign_bit else magnitude


def unordered(t: Type, d: Type, x: int, y: int, env: Environment | None = None) -> int:
    """Either is a NaN"""
    f = FORMATS[t]
    if not is_nan(f, x) and not is_nan(f, y):
        note_denormals(f, env, x, y)
        return 0
    if env is not None and (is_signalling(f, x) or is_signalling(f, y)):
        env.flags |= INVALID
    return 1


def eq(t: Type, d: Type, x: int, y: int, env: Environment | None = None) -> int:
    """x == y; the two zeros are equal"""
    f = FORMATS[t]
    return not unordered(t, d, x, y, env) and order(f, x, env) == order(f, y, env)


def lt(t: Type, d: Type, x: int, y: int, env: Environment | None = None) -> int:
    """x < y"""
    f = FORMATS[t]
    return not unordered(t, d, x, y, env) and order(f, x, env) < order(f, y, env)


def le(t: Type, d: Type, x: int, y: int, env: Environment | None = None) -> int:
    """x <= y"""
    f = FORMATS[t]
    return not unordered(t, d, x, y, env) and order(f, x, env) <= order(f, y, env)


# -- conversion ------------------------------------------------------------------------------------


def convert(t: Type, d: Type, x: int, env: Environment | None = None) -> int:
    """x in another float type; a NaN keeps its sign and the leading bits of its payload"""
    f, to, env = FORMATS[t], FORMATS[d], env or Environment()
    sign = to.sign_bit if x & f.sign_bit else 0
    if is_infinite(f, x):
        return sign | to.infinity
    if is_nan(f, x):
        if is_unsupported(f, x):
            env.flags |= INVALID
            return to.default_nan
        payload = quiet(f, env, x) & (f.quiet_bit - 1)
        longer = to.precision - f.precision
        payload = payload << longer if longer >= 0 else payload >> -longer
        return sign | to.infinity | to.quiet_bit | payload
    if to.explicit and is_denormal(f, x):
        env.flags |= DENORMAL
    _, m, e = unpack(f, x)
    return pack(to, sign, m, e, env, is_limited=False)


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
        return quiet(f, env, x)
    if is_infinite(f, x):
        return x
    note_denormals(f, env, x)
    sign, m, e = unpack(f, x)
    if e >= 0:
        return x
    whole, rest = _round_at(env.rounding, sign, m, min(-e, f.precision + 2))
    if rest:
        env.flags |= INEXACT
    return pack(f, sign, whole, 0, env, is_limited=False)


def to_signed_rounding(t: Type, d: Type, x: int, env: Environment | None = None) -> int:
    """x as a signed integer by the rounding mode; what does not fit gives the lowest one"""
    env = env or Environment()
    rounded = Environment()
    rounded.rounding = env.rounding
    return _or_lowest(t, d, round_to_integral(t, t, x, rounded), rounded, env)


def to_signed_cutting(t: Type, d: Type, x: int, env: Environment | None = None) -> int:
    """x as a signed integer, towards zero; what does not fit gives the lowest one"""
    env = env or Environment()
    cut = Environment()
    cut.rounding = TOWARDS_ZERO
    return _or_lowest(t, d, round_to_integral(t, t, x, cut), cut, env)


def _or_lowest(t: Type, d: Type, x: int, rounded: Environment, env: Environment) -> int:
    """An integral float as a signed integer, or the "integer indefinite" (SDM vol. 1, 4.8.3.7)."""
    f = FORMATS[t]
    sign, m, e = unpack(f, x)
    lowest = -(1 << d.bits - 1)
    value = (
        1 << d.bits
        if is_nan(f, x) or is_infinite(f, x) or e > d.bits
        else m << e
        if e > 0
        else m >> -e
    )
    value = -value if sign else value
    if not lowest <= value < -lowest or is_nan(f, x):
        env.flags |= INVALID
        return lowest
    env.flags |= rounded.flags & INEXACT
    return value


def from_signed(t: Type, d: Type, x: int, env: Environment | None = None) -> int:
    """A signed integer as a float, rounded"""
    value = t.signed(x)
    return pack(FORMATS[d], int(value < 0), abs(value), 0, env or Environment(), is_limited=False)


def from_unsigned(t: Type, d: Type, x: int, env: Environment | None = None) -> int:
    """An unsigned integer as a float, rounded"""
    return pack(FORMATS[d], 0, x, 0, env or Environment(), is_limited=False)
