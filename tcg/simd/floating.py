"""The float instructions of SSE, AVX and FMA: SDM vol. 1, 10.2.3, 11.5 and 14.5.

Floats are those of `tcg.floats`, with what SSE adds: denormal operands may count as zeros (DAZ) and
have a sticky flag; results that would be denormal may become zeros (FTZ).  Scalar instructions take
the rest of their result from the first operand.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tcg import floats
from tcg.floats import (
    FORMATS,
    INEXACT,
    INVALID,
    TOWARDS_ZERO,
    UNDERFLOW,
    Environment,
    Format,
    is_denormal,
    is_nan,
    is_signalling,
)
from tcg.simd.table import row
from tcg.types import (
    F16,
    F32,
    F64,
    I1,
    I32,
    I64,
    V2F64,
    V4F32,
    V4F64,
    V4I32,
    V128,
    V256,
    Type,
)

Lane = Callable[..., int]
"""A meaning for one lane: the type, the operands, the environment."""

# -- one lane --------------------------------------------------------------------------------------


def _zeroed(f: Format, x: int, env: Environment) -> int:
    """The operand as DAZ has it."""
    return x & f.sign_bit if env.daz and is_denormal(f, x) else x


def _operate(meaning: Lane, t: Type, d: Type, values: tuple[int, ...], env: Environment) -> int:
    """A meaning of tcg.floats in SSE's environment."""
    f, to = FORMATS[t], FORMATS[d]
    given = [_zeroed(f, x, env) for x in values]
    own = Environment()
    own.rounding = env.rounding
    result = meaning(t, d, *given, own)
    nans = any(is_nan(f, x) for x in given)
    settled = own.flags & (INVALID | floats.DIVIDE_BY_ZERO)
    if not nans and not settled and any(is_denormal(f, x) for x in given):
        env.denormal = True
    if env.ftz and not nans and (own.flags & UNDERFLOW or is_denormal(to, result)):
        result &= to.sign_bit
        own.flags |= UNDERFLOW | INEXACT
    env.flags |= own.flags
    return result


def _lane(meaning: Lane) -> Lane:
    return lambda t, *rest: _operate(meaning, t, t, rest[:-1], rest[-1])


def _note_comparison(f: Format, x: int, y: int, env: Environment, signals: bool) -> bool:
    """The flags of comparing two numbers; whether either is a NaN."""
    nan = is_nan(f, x) or is_nan(f, y)
    if is_signalling(f, x) or is_signalling(f, y) or (nan and signals):
        env.flags |= INVALID
    if not nan and not env.daz and (is_denormal(f, x) or is_denormal(f, y)):
        env.denormal = True
    return nan


def _least(t: Type, x: int, y: int, env: Environment) -> int:
    """The lesser; the second operand if either is a NaN, or both are zeros."""
    f = FORMATS[t]
    nan = _note_comparison(f, x, y, env, signals=True)
    less = not nan and floats.order(f, x, env) < floats.order(f, y, env)
    return _zeroed(f, x if less else y, env)


def _greatest(t: Type, x: int, y: int, env: Environment) -> int:
    """The greater; the second operand if either is a NaN, or both are zeros."""
    f = FORMATS[t]
    nan = _note_comparison(f, x, y, env, signals=True)
    more = not nan and floats.order(f, x, env) > floats.order(f, y, env)
    return _zeroed(f, x if more else y, env)


PREDICATES = (
    "e",
    "l",
    "le",
    "u",
    "lgu",
    "egu",
    "gu",
    "leg",
    "eu",
    "lu",
    "leu",
    "",
    "lg",
    "ge",
    "g",
    "legu",
)
"""When a comparison holds: operands less, equal, greater, unordered.  SDM vol. 2, CMPPD."""
SIGNALLING = {1, 2, 5, 6, 9, 10, 13, 14}
"""Which of them find quiet NaNs invalid; of the second sixteen, the others do."""


def _compares(imm: int) -> Lane:
    holds, signals = PREDICATES[imm & 15], (imm & 15 in SIGNALLING) != bool(imm & 16)

    def compare(t: Type, x: int, y: int, env: Environment) -> int:
        f = FORMATS[t]
        if _note_comparison(f, x, y, env, signals):
            found = "u"
        else:
            a, b = floats.order(f, x, env), floats.order(f, y, env)
            found = "l" if a < b else "g" if a > b else "e"
        return t.mask if found in holds else 0

    return compare


def _rounds(imm: int) -> Lane:
    """ROUNDPS: bit 2 of the immediate asks for MXCSR's mode, bit 3 not to report inexactness."""

    def round_(t: Type, x: int, env: Environment) -> int:
        f, own = FORMATS[t], Environment()
        own.rounding = env.rounding if imm & 4 else imm & 3
        result = floats.round_to_integral(t, t, _zeroed(f, x, env), own)
        env.flags |= own.flags & ~INEXACT if imm & 8 else own.flags
        return result

    return round_


def _to_integer(t: Type, d: Type, x: int, env: Environment, rounding: int) -> int:
    """A signed integer; what does not fit is invalid and gives the least one."""
    f, own = FORMATS[t], Environment()
    own.rounding = rounding
    x = _zeroed(f, x, env)
    whole = floats.round_to_integral(t, t, x, own)
    flags, own.flags = own.flags, 0
    result = floats.to_signed_truncating(t, d, whole, own)
    if own.flags & INVALID or is_nan(f, x):
        env.flags |= INVALID
        return d.mask ^ d.mask >> 1
    env.flags |= flags
    return result & d.mask


def _convert(t: Type, d: Type, x: int, env: Environment) -> int:
    return _operate(floats.convert, t, d, (x,), env)


def _multiply_add(negate_product: bool, negate_addend: bool) -> Lane:
    """A product of two plus a third, with signs; of several NaNs the first comes back."""

    def meaning(t: Type, d: Type, x: int, y: int, z: int, env: Environment) -> int:
        f = FORMATS[t]
        if is_nan(f, x) or is_nan(f, y) or is_nan(f, z):
            return floats.fma(t, d, x, y, z, env)
        x ^= f.sign_bit * negate_product
        return floats.fma(t, d, x, y, z ^ f.sign_bit * negate_addend, env)

    return _lane(meaning)


# -- whole registers -------------------------------------------------------------------------------


def _packed(v: Type, lane: Lane) -> Callable[..., int]:
    """The lane's meaning on every lane."""
    t = v.lane
    assert t is not None

    def meaning(_: int, *rest: Any) -> int:
        *values, env = rest
        split = [v.split(x) for x in values]
        return v.join(lane(t, *lanes, env) for lanes in zip(*split, strict=True))

    return meaning


def _scalar(t: Type, lane: Lane) -> Callable[..., int]:
    """The lane's meaning on lane 0; the rest is the first operand's."""

    def meaning(_: int, *rest: Any) -> int:
        *values, env = rest
        whole: int = values[0]
        return whole & ~t.mask | lane(t, *(x & t.mask for x in values), env)

    return meaning


def _scalar_of_second(t: Type, lane: Lane) -> Callable[..., int]:
    """A lane's meaning with one operand, lane 0 of the second; the rest is the first operand's."""
    return lambda _, a, b, env: a & ~t.mask | lane(t, b & t.mask, env)


FORMS = (("ps", "ss", V4F32), ("pd", "sd", V2F64))
PACKED = (("ps", V4F32), ("pd", V2F64))
TWO, THREE, ONE = (V128, V128), (V128, V128, V128), (V128,)


def _declare(name: str, lane: Lane, operands: tuple[Type, ...]) -> None:
    """The packed and scalar instructions of both precisions."""
    for packed, scalar, v in FORMS:
        assert v.lane is not None
        row(name + packed, V128, operands, _packed(v, lane), raises=True, twin=True)
        if operands is ONE:
            row(name + scalar, V128, TWO, _scalar_of_second(v.lane, lane), raises=True)
        else:
            row(name + scalar, V128, operands, _scalar(v.lane, lane), raises=True)


_declare("add", _lane(floats.add), TWO)
_declare("sub", _lane(floats.sub), TWO)
_declare("mul", _lane(floats.mul), TWO)
_declare("div", _lane(floats.div), TWO)
_declare("min", _least, TWO)
_declare("max", _greatest, TWO)
_declare("sqrt", _lane(floats.sqrt), ONE)


def _with_imm(
    shape: Callable[[Any, Lane], Callable[..., int]], v: Type, make: Callable[[int], Lane]
) -> Callable[..., int]:
    return lambda imm, *values: shape(v, make(imm))(imm, *values)


for _packed_name, _scalar_name, _v in FORMS:
    assert _v.lane is not None
    row(f"cmp{_packed_name}", V128, TWO, _with_imm(_packed, _v, _compares), raises=True, twin=True)
    row(f"cmp{_scalar_name}", V128, TWO, _with_imm(_scalar, _v.lane, _compares), raises=True)
    row(f"round{_packed_name}", V128, ONE, _with_imm(_packed, _v, _rounds), raises=True, twin=True)
    row(
        f"round{_scalar_name}", V128, TWO, _with_imm(_scalar_of_second, _v.lane, _rounds),
        raises=True,
    )  # fmt: skip


def _comparing(t: Type, signals: bool) -> Callable[..., int]:
    """(U)COMISS and (U)COMISD for the flags that they raise: whether the operands are unordered."""
    return lambda _, x, y, env: int(
        _note_comparison(FORMATS[t], x & t.mask, y & t.mask, env, signals)
    )


for _t, _letter in ((F32, "s"), (F64, "d")):
    row(f"comis{_letter}", I1, TWO, _comparing(_t, signals=True), raises=True)
    row(f"ucomis{_letter}", I1, TWO, _comparing(_t, signals=False), raises=True)


# -- horizontal ------------------------------------------------------------------------------------

ADD, SUB, MUL = _lane(floats.add), _lane(floats.sub), _lane(floats.mul)


def _horizontal(v: Type, lane: Lane) -> Callable[..., int]:
    """Neighbours of the first operand, then of the second."""
    assert v.lane is not None
    t = v.lane

    def meaning(_: int, a: int, b: int, env: Environment) -> int:
        lanes = v.split(a) + v.split(b)
        pairs = zip(lanes[::2], lanes[1::2], strict=True)
        return v.join(lane(t, x, y, env) for x, y in pairs)

    return meaning


def _alternating(v: Type) -> Callable[..., int]:
    """Even lanes are subtracted, odd ones added."""
    assert v.lane is not None
    t = v.lane

    def meaning(_: int, a: int, b: int, env: Environment) -> int:
        pairs = enumerate(zip(v.split(a), v.split(b), strict=True))
        return v.join((ADD if i & 1 else SUB)(t, x, y, env) for i, (x, y) in pairs)

    return meaning


def _dot(v: Type) -> Callable[..., int]:
    """DPPS and DPPD: the products that bits 4.. of the immediate choose, summed in pairs, go to the
    lanes that bits 0.. choose.
    """
    assert v.lane is not None
    t = v.lane

    def meaning(imm: int, a: int, b: int, env: Environment) -> int:
        pairs = enumerate(zip(v.split(a), v.split(b), strict=True))
        terms = [MUL(t, x, y, env) if imm >> 4 + i & 1 else 0 for i, (x, y) in pairs]
        while len(terms) > 1:
            terms = [ADD(t, x, y, env) for x, y in zip(terms[::2], terms[1::2], strict=True)]
        return v.join(terms[0] if imm >> i & 1 else 0 for i in range(v.lanes))

    return meaning


for _packed_name, _v in PACKED:
    row(f"hadd{_packed_name}", V128, TWO, _horizontal(_v, ADD), raises=True, twin=True)
    row(f"hsub{_packed_name}", V128, TWO, _horizontal(_v, SUB), raises=True, twin=True)
    row(f"addsub{_packed_name}", V128, TWO, _alternating(_v), raises=True, twin=True)
row("dpps", V128, TWO, _dot(V4F32), raises=True, twin=True)
row("dppd", V128, TWO, _dot(V2F64), raises=True)


# -- conversions -----------------------------------------------------------------------------------


def _converts(
    source: Type, result: Type, lane: Callable[..., int], count: int
) -> Callable[..., int]:
    """`count` lanes converted; lanes of the result beyond them are 0."""
    assert source.lane is not None
    assert result.lane is not None
    t, d = source.lane, result.lane
    return lambda _, x, env: result.join(lane(t, d, one, env) for one in source.split(x)[:count])


def _from_integer(t: Type, d: Type, x: int, env: Environment) -> int:
    return floats.from_signed(t, d, x, env)


def _nearest(t: Type, d: Type, x: int, env: Environment) -> int:
    return _to_integer(t, d, x, env, env.rounding)


def _towards_zero(t: Type, d: Type, x: int, env: Environment) -> int:
    return _to_integer(t, d, x, env, TOWARDS_ZERO)


# fmt: off
for _name, _source, _result, _convert_lane in (
    ("cvtdq2ps",  V4I32, V4F32, _from_integer),
    ("cvtps2dq",  V4F32, V4I32, _nearest),
    ("cvttps2dq", V4F32, V4I32, _towards_zero),
):
    row(_name, V128, ONE, _converts(_source, _result, _convert_lane, 4), raises=True, twin=True)
for _name, _source, _result, _convert_lane in (
    ("cvtdq2pd",  V4I32, V2F64, _from_integer),
    ("cvtps2pd",  V4F32, V2F64, _convert),
    ("cvtpd2ps",  V2F64, V4F32, _convert),
    ("cvtpd2dq",  V2F64, V4I32, _nearest),
    ("cvttpd2dq", V2F64, V4I32, _towards_zero),
):
    row(_name, V128, ONE, _converts(_source, _result, _convert_lane, 2), raises=True)
for _name, _source, _result, _convert_lane in (
    ("cvtdq2pd_256",  V4I32, V4F64, _from_integer),
    ("cvtps2pd_256",  V4F32, V4F64, _convert),
):
    row(_name, V256, ONE, _converts(_source, _result, _convert_lane, 4), raises=True)
for _name, _source, _result, _convert_lane in (
    ("cvtpd2ps_256",  V4F64, V4F32, _convert),
    ("cvtpd2dq_256",  V4F64, V4I32, _nearest),
    ("cvttpd2dq_256", V4F64, V4I32, _towards_zero),
):
    row(_name, V128, (V256,), _converts(_source, _result, _convert_lane, 4), raises=True)
# fmt: on


def _scalar_from_float(t: Type, d: Type) -> Callable[..., int]:
    return lambda _, a, b, env: a & ~d.mask | _convert(t, d, b & t.mask, env)


def _scalar_from_integer(t: Type, d: Type) -> Callable[..., int]:
    return lambda _, a, x, env: a & ~d.mask | floats.from_signed(t, d, x, env)


def _scalar_to_integer(t: Type, d: Type, lane: Callable[..., int]) -> Callable[..., int]:
    return lambda _, x, env: lane(t, d, x & t.mask, env)


row("cvtsd2ss", V128, TWO, _scalar_from_float(F64, F32), raises=True)
row("cvtss2sd", V128, TWO, _scalar_from_float(F32, F64), raises=True)
for _t, _letter in ((F32, "s"), (F64, "d")):
    for _integer, _suffix in ((I32, "l"), (I64, "q")):
        _to = f"cvtsi2s{_letter}{_suffix}"
        row(_to, V128, (V128, _integer), _scalar_from_integer(_integer, _t), raises=True)
        _from = f"s{_letter}2si{_suffix}"
        row(f"cvt{_from}", _integer, ONE, _scalar_to_integer(_t, _integer, _nearest), raises=True)
        row(
            f"cvtt{_from}",
            _integer,
            ONE,
            _scalar_to_integer(_t, _integer, _towards_zero),
            raises=True,
        )


# -- fused multiply and add ------------------------------------------------------------------------

SIGNS = {
    "madd": (False, False),
    "msub": (False, True),
    "nmadd": (True, False),
    "nmsub": (True, True),
}
ORDERS = {"132": (0, 2, 1), "213": (1, 0, 2), "231": (1, 2, 0)}
"""Which operands are multiplicands and addend.  SDM vol. 2, VFMADD132PD and on."""


def _reordered(order: str, lane: Lane) -> Lane:
    x, y, z = ORDERS[order]
    return lambda t, *rest: lane(t, rest[x], rest[y], rest[z], rest[3])


def _alternating_signs(v: Type, order: str, odd: Lane, even: Lane) -> Callable[..., int]:
    assert v.lane is not None
    t, lanes = v.lane, (_reordered(order, even), _reordered(order, odd))

    def meaning(_: int, a: int, b: int, c: int, env: Environment) -> int:
        found = enumerate(zip(v.split(a), v.split(b), v.split(c), strict=True))
        return v.join(lanes[i & 1](t, *values, env) for i, values in found)

    return meaning


for _order in ORDERS:
    for _name, _signs in SIGNS.items():
        _declare(f"f{_name}{_order}", _reordered(_order, _multiply_add(*_signs)), THREE)
    for _packed_name, _v in PACKED:
        _add, _sub = _multiply_add(False, False), _multiply_add(False, True)
        row(
            f"fmaddsub{_order}{_packed_name}", V128, THREE,
            _alternating_signs(_v, _order, _add, _sub), raises=True, twin=True,
        )  # fmt: skip
        row(
            f"fmsubadd{_order}{_packed_name}", V128, THREE,
            _alternating_signs(_v, _order, _sub, _add), raises=True, twin=True,
        )  # fmt: skip


# -- half precision --------------------------------------------------------------------------------


def _from_half(x: int, env: Environment) -> int:
    """A half as a single: exact, denormals too."""
    own = Environment()
    result = floats.convert(F16, F32, x, own)
    env.flags |= own.flags & INVALID
    return result


def _to_half(imm: int, x: int, env: Environment) -> int:
    """A single as a half; FTZ has no say.  The immediate has the rounding mode, as in ROUNDPS."""
    own = Environment()
    own.rounding = env.rounding if imm & 4 else imm & 3
    x = _zeroed(FORMATS[F32], x, env)
    if is_denormal(FORMATS[F32], x):
        env.denormal = True
    result = floats.convert(F32, F16, x, own)
    env.flags |= own.flags
    return result


def _halves_to_singles(count: int) -> Callable[..., int]:
    def meaning(_: int, x: int, env: Environment) -> int:
        found = [_from_half(x >> 16 * i & 0xFFFF, env) for i in range(count)]
        return sum(one << 32 * i for i, one in enumerate(found))

    return meaning


def _singles_to_halves(count: int) -> Callable[..., int]:
    def meaning(imm: int, x: int, env: Environment) -> int:
        found = [_to_half(imm, x >> 32 * i & F32.mask, env) for i in range(count)]
        return sum(one << 16 * i for i, one in enumerate(found))

    return meaning


row("cvtph2ps", V128, ONE, _halves_to_singles(4), raises=True)
row("cvtph2ps_256", V256, ONE, _halves_to_singles(8), raises=True)
row("cvtps2ph", V128, ONE, _singles_to_halves(4), raises=True)
row("cvtps2ph_256", V128, (V256,), _singles_to_halves(8), raises=True)


# -- estimates ---------------------------------------------------------------------


def _estimate(root: bool) -> Lane:
    """RCPPS and RSQRTPS, which the manual defines up to an error of 1.5 * 2**-12: here, exact ones
    rounded to nearest.  Denormal operands are zeros, and nothing is raised.
    """

    def meaning(t: Type, x: int) -> int:
        f, own = FORMATS[t], Environment()
        if is_denormal(f, x):
            x &= f.sign_bit
        if root:
            x = floats.sqrt(t, t, x, own)
        result = floats.div(t, t, ONE_SINGLE, x, own)
        return result & f.sign_bit if is_denormal(f, result) else result

    return meaning


ONE_SINGLE = 0x3F80_0000
for _name, _root in (("rcp", False), ("rsqrt", True)):
    _est = _estimate(_root)
    row(
        f"{_name}ps", V128, ONE,
        lambda _, x, est=_est: V4F32.join(est(F32, one) for one in V4F32.split(x)), twin=True,
    )  # fmt: skip
    row(
        f"{_name}ss", V128, TWO,
        lambda _, a, b, est=_est: a & ~F32.mask | est(F32, b & F32.mask),
    )  # fmt: skip
