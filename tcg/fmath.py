"""Functions of extended floats that x87 has instructions for: sines, logarithms, remainders.

Each row names a function, its operands and its reference meaning; the op `fmath` applies one, and
`fmathcc` tells what the unit's condition codes say afterwards.  Meanings are those of the manual
(SDM vol. 1, 8.3.6 to 8.3.9, and vol. 2 under each mnemonic).  Remainders, scaling and taking apart
are exact.  Transcendental functions are computed to 40 digits and rounded once; a host's own
instruction may be off by one in the last place.
"""

# ruff: noqa: ARG001, D403 -- meanings take the environment, wanted or not; x is a name

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from functools import cache

from tcg import floats
from tcg.floats import FORMATS, INEXACT, INVALID, Environment
from tcg.types import F80

C0, C1, C2, C3 = 0x100, 0x200, 0x400, 0x4000
"""The condition codes, at their places in the status word (SDM vol. 1, 8.1.3)."""

F = FORMATS[F80]
ONE = 0x3FFF << 64 | 1 << 63
BIAS = 0x3FFF
PRECISION = Context(prec=90, Emax=99999, Emin=-99999, rounding=ROUND_HALF_EVEN)

Result = tuple[int, int]
"""The value, and the condition codes."""


@dataclass(frozen=True, slots=True, eq=False)
class Function80:
    """One function: how many operands it takes, and its meaning."""

    name: str
    operands: int
    meaning: Callable[..., Result]

    def __repr__(self) -> str:
        return self.name


# -- numbers ---------------------------------------------------------------------------------------


def _decimal(x: int) -> Decimal:
    """A finite float as a decimal number of as many digits as the context has."""
    sign, m, e = floats.unpack(F, x)
    power = Decimal(2) ** abs(e)
    value = Decimal(m) * power if e >= 0 else Decimal(m) / power
    return -value if sign else value


def _round(value: Decimal, env: Environment) -> int:
    """A decimal number that stands for one that no float is equal to."""
    sign = int(value < 0)
    above, below = abs(value).as_integer_ratio()
    shift = max(0, F.precision + 8 + below.bit_length() - above.bit_length())
    return floats.pack(F, sign, (above << shift) // below << 1 | 1, -shift - 1, env, False)


def _nan(env: Environment, *operands: int) -> int | None:
    """What comes back if an operand is a NaN."""
    if any(floats.is_nan(F, x) for x in operands):
        return floats.quiet(F, env, *operands)
    return None


def _invalid(env: Environment) -> int:
    env.flags |= INVALID
    return F.default_nan


def _is_zero(x: int) -> bool:
    return not x & (F.sign_bit - 1)


def _sign(x: int) -> int:
    return x & F.sign_bit


def _infinite(x: int) -> bool:
    return floats.is_infinite(F, x)


Meaning = Callable[[int, Environment], int]
Meaning2 = Callable[[int, int, Environment], int]


def _one(compute: Meaning) -> Callable[..., Result]:
    """A function of one operand: NaNs come back, denormals are noted."""

    def meaning(x: int, env: Environment) -> Result:
        found = _nan(env, x)
        if found is None:
            floats.note_denormals(F, env, x)
            with localcontext(PRECISION):
                found = compute(x, env)
        return found, 0

    return meaning


def _two(compute: Meaning2) -> Callable[..., Result]:
    """The same for two operands."""

    def meaning(x: int, y: int, env: Environment) -> Result:
        found = _nan(env, x, y)
        if found is None:
            before = env.flags
            with localcontext(PRECISION):
                found = compute(x, y, env)
            if not (env.flags & ~before) & (INVALID | floats.DIVIDE_BY_ZERO):
                floats.note_denormals(F, env, x, y)
        return found, 0

    return meaning


# -- logarithms and powers -------------------------------------------------------------------------


@cache
def _ln2() -> Decimal:
    with localcontext(PRECISION):
        return Decimal(2).ln()


def _series(x: Decimal, ratio: Callable[[int], Decimal]) -> Decimal:
    """x + x * ratio(1) + x * ratio(1) * ratio(2) + ..., until nothing is added."""
    total, term, n = x, x, 1
    while True:
        term *= ratio(n)
        if abs(term) < abs(total).scaleb(-60):
            return total
        total += term
        n += 1


def exp2m1(x: int, env: Environment) -> int:
    """2**x - 1 for -1 <= x <= 1; undefined beyond"""
    if _infinite(x):
        return F.sign_bit | ONE if _sign(x) else x
    if _is_zero(x):
        return x
    if x & (F.sign_bit - 1) > ONE:
        env.flags |= INEXACT
        return x
    t = _decimal(x) * _ln2()
    return _round(_series(t, lambda n: t / (n + 1)), env)


def _log2(x: Decimal) -> Decimal:
    """The base-2 logarithm of 1 + x."""
    if abs(x) < Decimal("1e-8"):
        total, term = Decimal(0), x
        for n in range(1, 12):
            total += term / n
            term *= -x
        return total / _ln2()
    return (1 + x).ln() / _ln2()


def ylog2x(y: int, x: int, env: Environment) -> int:
    """y * log2(x)"""
    if _is_zero(x):
        if _is_zero(y):
            return _invalid(env)
        if _infinite(y):
            return F.infinity | (_sign(y) ^ F.sign_bit)
        env.flags |= floats.DIVIDE_BY_ZERO
        return F.infinity | (_sign(y) ^ F.sign_bit)
    if _sign(x):
        return _invalid(env)
    below = F.sign_bit if x < ONE else 0
    if _infinite(x) or _infinite(y):
        if (_infinite(x) and _is_zero(y)) or x == ONE:
            return _invalid(env)
        return F.infinity | (_sign(y) ^ below)
    if _is_zero(y) or x == ONE:
        return _sign(y) ^ below
    return _product(y, _decimal(x).ln() / _ln2(), x & F.fraction_mask == 1 << 63, env)


def ylog2xp1(y: int, x: int, env: Environment) -> int:
    """y * log2(x + 1), for x near 0"""
    if _infinite(x):
        return _invalid(env) if _sign(x) or _is_zero(y) else F.infinity | _sign(y)
    if _infinite(y):
        return _invalid(env) if _is_zero(x) else F.infinity | (_sign(y) ^ _sign(x))
    if _is_zero(x) or _is_zero(y):
        return _sign(x) ^ _sign(y)
    if x >= F.sign_bit | ONE:
        env.flags |= INEXACT
        return x
    return _product(y, _log2(_decimal(x)), False, env)


def _product(y: int, log: Decimal, is_exact: bool, env: Environment) -> int:
    if is_exact:
        sign, m, e = floats.unpack(F, y)
        whole = int(log.to_integral_value())
        env.flags |= INEXACT
        return floats.pack(F, sign ^ (whole < 0), m * abs(whole), e, env, False)
    return _round(_decimal(y) * log, env)


# -- angles ----------------------------------------------------------------------------------------


@cache
def _pi() -> Decimal:
    """Machin's formula"""
    with localcontext(PRECISION):
        quarter = 4 * _arctan_series(1 / Decimal(5)) - _arctan_series(1 / Decimal(239))
        return Decimal(4 * quarter)


def _arctan_series(x: Decimal) -> Decimal:
    total, power, n = x, x, 1
    while abs(power) > abs(total).scaleb(-80):
        power *= -x * x
        n += 2
        total += power / n
    return total


def _arctan(x: Decimal) -> Decimal:
    """The arctangent of a number from 0 on."""
    halvings = 0
    while x > Decimal("0.05"):
        x = x / (1 + (1 + x * x).sqrt())
        halvings += 1
    return _arctan_series(x) * (1 << halvings)


def arctan(y: int, x: int, env: Environment) -> int:
    """The angle of the point (x, y), from -pi to pi"""
    sign = _sign(y)
    if _infinite(y):
        quarters = Decimal(2) if not _infinite(x) else Decimal(3 if _sign(x) else 1)
        return sign ^ _round(quarters * _pi() / 4, _turned(env, sign))
    if _is_zero(y) or _infinite(x):
        return sign ^ _round(_pi(), _turned(env, sign)) if _sign(x) else sign
    if _is_zero(x):
        return sign ^ _round(_pi() / 2, _turned(env, sign))
    angle = _arctan(abs(_decimal(y)) / abs(_decimal(x)))
    if _sign(x):
        angle = _pi() - angle
    return _round(-angle if sign else angle, env)


def _turned(env: Environment, sign: int) -> Environment:
    """An environment that rounds what becomes negative later; it notes that it was inexact."""
    env.flags |= INEXACT
    turned = Environment()
    turned.rounding = {1: 2, 2: 1}.get(env.rounding, env.rounding) if sign else env.rounding
    return turned


PI_66 = 0x3243F6A8885A308D3
"""Pi with 66 bits, by which the processor reduces angles (SDM vol. 1, 8.3.8)."""


def _reduced(x: int) -> tuple[int, Decimal]:
    """The quarter turn that an angle is nearest to, modulo 4, and what is left of it."""
    value = _decimal(x)
    quarter = Decimal(PI_66) / (1 << 65)
    turns = (value / quarter).to_integral_value()
    return int(turns) & 3, value - turns * quarter


def _sine(x: Decimal) -> Decimal:
    return _series(x, lambda n: -x * x / ((2 * n) * (2 * n + 1))) if x else x


def _cosine(x: Decimal) -> Decimal:
    return _series(Decimal(1), lambda n: -x * x / ((2 * n - 1) * (2 * n)))


def _angle(
    compute: Callable[[int, Decimal], Decimal], at_zero: int | None
) -> Callable[..., Result]:
    """A function of an angle below 2**63; a larger one comes back, with C2."""

    def meaning(x: int, env: Environment) -> Result:
        found = _nan(env, x)
        if found is not None:
            return found, 0
        if _infinite(x):
            return _invalid(env), 0
        if x & (F.sign_bit - 1) >= (BIAS + 63) << 64:
            return x, C2
        floats.note_denormals(F, env, x)
        if _is_zero(x):
            return x if at_zero is None else at_zero, 0
        with localcontext(PRECISION):
            return _round(compute(*_reduced(x)), env), 0

    return meaning


def _sin(quarter: int, rest: Decimal) -> Decimal:
    value = _cosine(rest) if quarter & 1 else _sine(rest)
    return -value if quarter & 2 else value


def _cos(quarter: int, rest: Decimal) -> Decimal:
    return _sin(quarter + 1 & 3, rest)


def _tan(quarter: int, rest: Decimal) -> Decimal:
    return _sin(quarter, rest) / _cos(quarter, rest)


# -- remainders, and what is exact -----------------------------------------------------------------


def _remainder(to_nearest: bool) -> Callable[..., Result]:
    """What is left of x when y is taken away as often as the quotient says, cut or rounded.

    If the exponents are 64 or more apart only a part is taken away, and C2 says so: how large a
    part differs between processors.  Else C0, C3, C1 are bits 2, 1 and 0 of the quotient.
    """

    def meaning(x: int, y: int, env: Environment) -> Result:
        found = _nan(env, x, y)
        if found is not None:
            return found, 0
        if _infinite(x) or _is_zero(y):
            return _invalid(env), 0
        floats.note_denormals(F, env, x, y)
        if _infinite(y) or _is_zero(x):
            return x, 0
        (sign, mx, ex), (_, my, ey) = floats.unpack(F, x), floats.unpack(F, y)
        apart = (mx.bit_length() + ex) - (my.bit_length() + ey)
        e = min(ex, ey)
        mx, my = mx << ex - e, my << ey - e
        if apart >= 64:
            step = apart - (apart & 31 | 32)
            rest = mx - (mx // (my << step) * (my << step))
            return floats.pack(F, sign, rest, e, env, False) | sign << 79, C2
        quotient, rest = divmod(mx, my)
        if to_nearest and (2 * rest > my or (2 * rest == my and quotient & 1)):
            quotient, rest, sign = quotient + 1, my - rest, sign ^ 1
        codes = C0 * (quotient >> 2 & 1) | C3 * (quotient >> 1 & 1) | C1 * (quotient & 1)
        if not rest:
            return _sign(x), codes
        return floats.pack(F, sign, rest, e, env, False), codes

    return meaning


def scale(x: int, y: int, env: Environment) -> int:
    """x * 2**y, y without its fraction"""
    if _infinite(y):
        if _sign(y):
            return _invalid(env) if _infinite(x) else _sign(x)
        return _invalid(env) if _is_zero(x) else _sign(x) | F.infinity
    if _infinite(x) or _is_zero(x):
        return x
    sign, m, e = floats.unpack(F, x)
    _, my, ey = floats.unpack(F, y)
    by = my << ey if 0 <= ey < 20 else (1 << 20 if ey > 0 else my >> -ey)
    by = min(by, 1 << 17)
    return floats.pack(F, sign, m, e + (-by if _sign(y) else by), env, False)


def exponent(x: int, env: Environment) -> int:
    """The exponent of x as a float"""
    if _infinite(x):
        return F.infinity
    if _is_zero(x):
        env.flags |= floats.DIVIDE_BY_ZERO
        return F.sign_bit | F.infinity
    _, m, e = floats.unpack(F, x)
    e += m.bit_length() - 1
    return floats.pack(F, int(e < 0), abs(e), 0, env, False)


def significand(x: int, env: Environment) -> int:
    """x with an exponent of 0"""
    if _infinite(x):
        return x
    if _is_zero(x):
        env.flags |= floats.DIVIDE_BY_ZERO
        return x
    sign, m, _ = floats.unpack(F, x)
    return floats.pack(F, sign, m, 1 - m.bit_length(), env, False)


def examine(x: int, env: Environment) -> Result:
    """The class of x in C3, C2 and C0, its sign in C1 (SDM vol. 2, FXAM); raises nothing"""
    sign = C1 if _sign(x) else 0
    if floats.is_unsupported(F, x):
        return x, sign
    if floats.is_nan(F, x):
        return x, sign | C0
    if _infinite(x):
        return x, sign | C2 | C0
    if _is_zero(x):
        return x, sign | C3
    return x, sign | C2 | (C3 if floats.is_denormal(F, x) else 0)


def signal(x: int, y: int, env: Environment) -> Result:
    """x; C3, C2, C0 say how it compares with y (SDM vol. 2, FCOM); any NaN is invalid"""
    if floats.is_nan(F, x) or floats.is_nan(F, y):
        env.flags |= INVALID
        return x, C3 | C2 | C0
    floats.note_denormals(F, env, x, y)
    a, b = floats.order(F, x), floats.order(F, y)
    return x, C0 if a < b else C3 if a == b else 0


def _constant(bits: int, exponent: int) -> Callable[..., Result]:
    """A constant: 128 bits of it, in units of 2**exponent (SDM vol. 1, 8.3.4: RC counts)."""

    def meaning(env: Environment) -> Result:
        rounded = Environment()
        rounded.rounding = env.rounding
        return floats.pack(F, 0, bits << 1 | 1, exponent - 1, rounded, False), 0

    return meaning


# fmt: off
FUNCTIONS: dict[str, Function80] = {row.name: row for row in (
    Function80("exp2m1",      1, _one(exp2m1)),
    Function80("ylog2x",      2, _two(ylog2x)),
    Function80("ylog2xp1",    2, _two(ylog2xp1)),
    Function80("arctan",      2, _two(arctan)),
    Function80("sin",         1, _angle(_sin, None)),
    Function80("cos",         1, _angle(_cos, ONE)),
    Function80("tan",         1, _angle(_tan, None)),
    Function80("rem",         2, _remainder(False)),
    Function80("ieeerem",     2, _remainder(True)),
    Function80("scale",       2, _two(scale)),
    Function80("exponent",    1, _one(exponent)),
    Function80("significand", 1, _one(significand)),
    Function80("class",       1, examine),
    Function80("signal",      2, signal),
    Function80("pi",          0, _constant(0xC90FDAA22168C234C4C6628B80DC1CD1, -126)),
    Function80("log2_10",     0, _constant(0xD49A784BCD1B8AFE492BF6FF4DAFDB4C, -126)),
    Function80("log2_e",      0, _constant(0xB8AA3B295C17F0BBBE87FED0691D3E88, -127)),
    Function80("log10_2",     0, _constant(0x9A209A84FBCFF7988F8959AC0B7C9178, -129)),
    Function80("ln_2",        0, _constant(0xB17217F7D1CF79ABC9E3B39803F2F6AF, -128)),
)}
# fmt: on
"""The functions by name, in the order of their operands as they stand here."""
