"""Float meanings against two witnesses: exact rationals, and the floats of this machine.

The rationals know what rounding is, from its definition; the machine knows NaNs and sticky flags.
"""

from __future__ import annotations

import ctypes
import gc
import math
import platform
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tcg import floats, ops
from tcg.floats import DOWN, FORMATS, NEAREST, TOWARDS_ZERO, UP, Environment
from tcg.ops import Op
from tcg.types import F32, F64, I32, I64, Type

FLOAT_ROWS = ops.FLOAT_OPS
MODES = (NEAREST, DOWN, UP, TOWARDS_ZERO)
PRECISION = {F32: 24, F64: 53}
LEAST = {F32: -149, F64: -1074}
INFINITY = {F32: 0x7F80_0000, F64: 0x7FF0_0000_0000_0000}
SIGN = {F32: 1 << 31, F64: 1 << 63}


def patterns(type_: Type) -> st.SearchStrategy[int]:
    """Bit patterns: any, and such near the places where something changes."""
    infinity, sign = INFINITY[type_], SIGN[type_]
    one = infinity >> 1 & ~(infinity >> PRECISION[type_] + 2)
    smallest_normal = 1 << PRECISION[type_] - 1
    places = (0, smallest_normal, infinity, one, one >> 1, infinity - smallest_normal)
    near = st.builds(
        lambda place, by, negative: (place + by) % sign | (sign if negative else 0),
        st.sampled_from(places), st.integers(-3, 3), st.booleans(),
    )  # fmt: skip
    return st.one_of(near, st.integers(0, 2 * sign - 1))


def is_finite(type_: Type, x: int) -> bool:
    return x & (SIGN[type_] - 1) < INFINITY[type_]


def exact(type_: Type, x: int) -> Fraction:
    """What a finite pattern stands for, by way of Python's own floats."""
    if type_ is F32:
        return Fraction(struct.unpack("<f", struct.pack("<I", x))[0])
    return Fraction(struct.unpack("<d", struct.pack("<Q", x))[0])


def neighbours(type_: Type, value: Fraction) -> tuple[Fraction, Fraction]:
    """The representable numbers next to `value`, below and above, with no limit above."""
    magnitude = abs(value)
    exponent = magnitude.numerator.bit_length() - magnitude.denominator.bit_length()
    if Fraction(2) ** exponent > magnitude:
        exponent -= 1
    step = Fraction(2) ** max(exponent - PRECISION[type_] + 1, LEAST[type_])
    return math.floor(value / step) * step, math.ceil(value / step) * step


def rounded(type_: Type, value: Fraction, mode: int) -> Fraction | None:
    """The definition of rounding; None for what overflows to an infinity."""
    if not value:
        return value
    low, high = neighbours(type_, value)
    if mode == NEAREST:
        to_low, to_high = value - low, high - value
        unit = high - low
        even = low if unit and (low / unit) % 2 == 0 else high
        chosen = even if to_low == to_high else (low if to_low < to_high else high)
    elif mode == TOWARDS_ZERO:
        chosen = low if value > 0 else high
    else:
        chosen = low if mode == DOWN else high
    largest = exact(type_, INFINITY[type_] - 1)
    if abs(chosen) <= largest:
        return chosen
    inwards = mode == TOWARDS_ZERO or mode == (DOWN if value > 0 else UP)
    return largest * (1 if value > 0 else -1) if inwards else None


def check(type_: Type, bits: int, value: Fraction, mode: int, env: Environment) -> None:
    """`bits` is `value` rounded, and the flags say so."""
    expected = rounded(type_, value, mode)
    if expected is None:
        assert bits & (SIGN[type_] - 1) == INFINITY[type_]
        assert bool(bits & SIGN[type_]) == (value < 0)
        assert env.flags == floats.OVERFLOW | floats.INEXACT
        return
    assert is_finite(type_, bits)
    assert exact(type_, bits) == expected
    assert bool(env.flags & floats.INEXACT) == (expected != value)
    tiny = 0 < abs(value) < Fraction(2) ** (LEAST[type_] + PRECISION[type_] - 2)
    if tiny:
        assert bool(env.flags & floats.UNDERFLOW) == (expected != value)


def environment(mode: int) -> Environment:
    return Environment(mode << floats.ROUNDING_SHIFT)


TYPES = pytest.mark.parametrize("type_", [F32, F64], ids=repr)
SETTINGS = settings(max_examples=200, deadline=None)

ARITHMETIC: dict[Op, Callable[..., Fraction | None]] = {
    ops.FADD: lambda x, y: x + y,
    ops.FSUB: lambda x, y: x - y,
    ops.FMUL: lambda x, y: x * y,
    ops.FDIV: lambda x, y: x / y if y else None,
    ops.FMA: lambda x, y, z: x * y + z,
}


@pytest.mark.parametrize("op", ARITHMETIC, ids=repr)
@TYPES
@SETTINGS
@given(data=st.data(), mode=st.sampled_from(MODES))
def test_arithmetic_is_rounded_exactly(op: Op, type_: Type, data: st.DataObject, mode: int) -> None:
    given_ = [data.draw(patterns(type_)) for _ in op.operands]
    if not all(is_finite(type_, x) for x in given_):
        return
    value = ARITHMETIC[op](*(exact(type_, x) for x in given_))
    if value is None:
        return
    env = environment(mode)
    assert op.meaning is not None
    check(type_, op.meaning(type_, type_, *given_, env), value, mode, env)


@TYPES
@SETTINGS
@given(data=st.data(), mode=st.sampled_from(MODES))
def test_square_root(type_: Type, data: st.DataObject, mode: int) -> None:
    """The result is the neighbour that the mode asks for: squares of neighbours tell."""
    x = data.draw(patterns(type_)) & (SIGN[type_] - 1)
    if not is_finite(type_, x) or not x:
        return
    env = environment(mode)
    value, root = exact(type_, x), exact(type_, floats.sqrt(type_, type_, x, env))
    below, above = neighbours(type_, root)[0], root
    if root * root == value:
        assert env.flags == 0
        return
    assert env.flags == floats.INEXACT
    step = Fraction(2) ** (math.frexp(float(root))[1] - PRECISION[type_])
    below, above = root - step, root + step
    if mode == UP:
        assert below**2 < value < root**2
    elif mode in (DOWN, TOWARDS_ZERO):
        assert root**2 < value < above**2
    else:
        assert ((below + root) / 2) ** 2 <= value <= ((above + root) / 2) ** 2


@SETTINGS
@given(x=patterns(F64), mode=st.sampled_from(MODES))
def test_narrowing(x: int, mode: int) -> None:
    if is_finite(F64, x):
        env = environment(mode)
        check(F32, floats.convert(F64, F32, x, env), exact(F64, x), mode, env)


@SETTINGS
@given(x=patterns(F32))
def test_widening_is_exact(x: int) -> None:
    if is_finite(F32, x):
        env = environment(NEAREST)
        assert exact(F64, floats.convert(F32, F64, x, env)) == exact(F32, x)
        assert env.flags == 0


@TYPES
@SETTINGS
@given(data=st.data(), mode=st.sampled_from(MODES))
def test_rounding_to_integral(type_: Type, data: st.DataObject, mode: int) -> None:
    x = data.draw(patterns(type_))
    if not is_finite(type_, x):
        return
    env = environment(mode)
    value = exact(type_, x)
    found = floats.round_to_integral(type_, type_, x, env)
    by_mode: dict[int, Callable[[Fraction], int]] = {
        NEAREST: round,
        DOWN: math.floor,
        UP: math.ceil,
        TOWARDS_ZERO: math.trunc,
    }
    assert exact(type_, found) == by_mode[mode](value)
    assert found & SIGN[type_] == x & SIGN[type_]
    assert env.flags == (floats.INEXACT if value.denominator != 1 else 0)


@TYPES
@pytest.mark.parametrize("to", [I32, I64], ids=repr)
@SETTINGS
@given(data=st.data())
def test_to_integers(type_: Type, to: Type, data: st.DataObject) -> None:
    x = data.draw(patterns(type_))
    env_s, env_u = Environment(), Environment()
    as_signed = floats.to_signed_truncating(type_, to, x, env_s)
    as_unsigned = floats.to_unsigned_truncating(type_, to, x, env_u)
    if x & (SIGN[type_] - 1) > INFINITY[type_]:
        assert (as_signed, as_unsigned, env_s.flags, env_u.flags) == (0, 0, 1, 1)
        return
    whole = math.trunc(exact(type_, x)) if is_finite(type_, x) else 10**400
    if not is_finite(type_, x) and x & SIGN[type_]:
        whole = -whole
    half = 1 << (to.bits - 1)
    assert as_signed == max(-half, min(half - 1, whole))
    assert as_unsigned == max(0, min(2 * half - 1, whole))
    assert (env_s.flags == floats.INVALID) == (not -half <= whole < half)
    assert (env_u.flags == floats.INVALID) == (not 0 <= whole < 2 * half)


@TYPES
@pytest.mark.parametrize("source", [I32, I64], ids=repr)
@SETTINGS
@given(data=st.data(), mode=st.sampled_from(MODES))
def test_from_integers(type_: Type, source: Type, data: st.DataObject, mode: int) -> None:
    x = data.draw(st.integers(0, source.mask))
    for convert, value in (
        (floats.from_signed, source.signed(x)), (floats.from_unsigned, x),
    ):  # fmt: skip
        env = environment(mode)
        check(type_, convert(source, type_, x, env), Fraction(value), mode, env)


@TYPES
@SETTINGS
@given(data=st.data())
def test_comparisons(type_: Type, data: st.DataObject) -> None:
    x, y = data.draw(patterns(type_)), data.draw(patterns(type_))
    a, b = as_float(type_, x), as_float(type_, y)
    assert floats.eq(type_, type_, x, y) == (a == b)
    assert floats.lt(type_, type_, x, y) == (a < b)
    assert floats.le(type_, type_, x, y) == (a <= b)
    assert floats.unordered(type_, type_, x, y) == (math.isnan(a) or math.isnan(b))


def as_float(type_: Type, x: int) -> float:
    packed = struct.pack("<I", x) if type_ is F32 else struct.pack("<Q", x)
    value: float = struct.unpack("<f" if type_ is F32 else "<d", packed)[0]
    return value


@TYPES
def test_signs(type_: Type) -> None:
    for x in (0, 1, INFINITY[type_], INFINITY[type_] + 1, SIGN[type_] - 1):
        negative = x | SIGN[type_]
        assert floats.neg(type_, type_, x) == negative
        assert floats.neg(type_, type_, negative) == x
        assert floats.abs_(type_, type_, negative) == floats.abs_(type_, type_, x) == x


# -- the machine: NaNs, infinities, flags ----------------------------------------------------------


@contextmanager
def host_environment(mode: int) -> Iterator[Callable[[], int]]:
    """The host's FP environment in that mode with no flags; gives what reads the flags."""
    libm = ctypes.CDLL("libm.so.6")
    gc.disable()  # hypothesis measures collections, in floats
    libm.fesetround((0, 0x400, 0x800, 0xC00)[mode])
    libm.feclearexcept(floats.ALL_FLAGS)
    try:
        yield lambda: int(libm.fetestexcept(floats.ALL_FLAGS))
    finally:
        libm.fesetround(0)
        libm.feclearexcept(floats.ALL_FLAGS)
        gc.enable()


HOST: dict[Op, Callable[[float, float], float]] = {
    ops.FADD: lambda x, y: x + y,
    ops.FSUB: lambda x, y: x - y,
    ops.FMUL: lambda x, y: x * y,
}


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the flags are those of SSE")
@pytest.mark.parametrize("op", HOST, ids=repr)
@settings(max_examples=400, deadline=None)
@given(x=patterns(F64), y=patterns(F64), mode=st.sampled_from(MODES))
@example(x=0x7FF0_0000_0000_0001, y=0xFFF8_0000_0000_0000, mode=NEAREST)
@example(x=0x7FF0_0000_0000_0000, y=0xFFF0_0000_0000_0000, mode=NEAREST)
@example(x=0x7FF0_0000_0000_0000, y=0, mode=NEAREST)
def test_like_the_host(op: Op, x: int, y: int, mode: int) -> None:
    a, b = as_float(F64, x), as_float(F64, y)
    with host_environment(mode) as flags:
        result = HOST[op](a, b)
        raised = flags()
    env, other = environment(mode), environment(mode)
    assert op.meaning is not None
    found = {op.meaning(F64, F64, x, y, env)}
    if math.isnan(a) and math.isnan(b):  # which of them comes back is the compiler's choice
        found.add(op.meaning(F64, F64, y, x, other))
    assert struct.unpack("<Q", struct.pack("<d", result))[0] in found
    assert env.flags == raised


@pytest.mark.parametrize(
    ("meaning", "operands", "result", "flags"),
    [
        (floats.div, ("1", "0"), "inf", floats.DIVIDE_BY_ZERO),
        (floats.div, ("-1", "0"), "-inf", floats.DIVIDE_BY_ZERO),
        (floats.div, ("0", "0"), "nan", floats.INVALID),
        (floats.div, ("inf", "inf"), "nan", floats.INVALID),
        (floats.div, ("1", "-inf"), "-0", 0),
        (floats.sqrt, ("-1",), "nan", floats.INVALID),
        (floats.sqrt, ("-0",), "-0", 0),
        (floats.sqrt, ("inf",), "inf", 0),
        (floats.fma, ("inf", "0", "1"), "nan", floats.INVALID),
        (floats.fma, ("inf", "1", "-inf"), "nan", floats.INVALID),
        (floats.fma, ("inf", "1", "1"), "inf", 0),
        (floats.fma, ("1", "1", "-inf"), "-inf", 0),
        (floats.fma, ("1", "1", "-1"), "0", 0),
        (floats.round_to_integral, ("-inf",), "-inf", 0),
    ],
)
def test_special_cases(
    meaning: Callable[..., int], operands: tuple[str, ...], result: str, flags: int
) -> None:
    env = Environment()
    found = meaning(F64, F64, *(pattern(x) for x in operands), env)
    expected = FORMATS[F64].default_nan if result == "nan" else pattern(result)
    assert (hex(found), env.flags) == (hex(expected), flags)


def pattern(text: str) -> int:
    bits: int = struct.unpack("<Q", struct.pack("<d", float(text)))[0]
    return bits


def test_the_first_nan_comes_back_quiet() -> None:
    signalling, quiet = 0x7FF0_0000_0000_0123, 0xFFF8_0000_0000_0456
    env = Environment()
    assert floats.fma(F64, F64, pattern("1"), signalling, quiet, env) == signalling | 1 << 51
    assert env.flags == floats.INVALID
    assert floats.convert(F64, F32, quiet) == 0xFFC0_0000
    assert floats.convert(F32, F64, 0x7F80_0001) == 0x7FF8_0000_2000_0000


def test_mxcsr() -> None:
    env = Environment(0x7F82)
    assert (env.rounding, env.flags) == (TOWARDS_ZERO, 0)
    env.rounding, env.flags = UP, floats.INEXACT
    assert env.mxcsr(0x7F82) == 0x5FA2
