"""The op table's integer meanings against meanings written another way, on lists of bits.

All values at four bits, random ones at the real widths.  Float rows have test_floats.py, rows
without a meaning of their own test_evaluate.py; that no row is left out is a test too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import product
from random import Random

import pytest

from tcg import ops
from tcg.ops import OPS, Op
from tcg.types import I1, I8, I16, I32, I64, I128, V4I1, V4I16, Type

I4 = Type("i4", 4)
Bits = list[int]


def bits(value: int, width: int) -> Bits:
    """The bits of a number, lowest first."""
    return [int(c) for c in reversed(f"{value:0{width}b}")]


def number(listed: Bits) -> int:
    return int("".join(map(str, reversed(listed))), 2)


def signed(x: Bits) -> int:
    return number(x[:-1] or [0]) - (2 ** (len(x) - 1) if x[-1] else 0)


def add(x: Bits, y: Bits, carry: int = 0) -> Bits:
    """A ripple-carry adder."""
    result = []
    for a, b in zip(x, y, strict=True):
        result.append((a + b + carry) % 2)
        carry = (a + b + carry) // 2
    return result


def sub(x: Bits, y: Bits) -> Bits:
    return add(x, [1 - b for b in y], carry=1)


def mul(x: Bits, y: Bits) -> Bits:
    """Sum of shifted copies."""
    result = [0] * len(x)
    for i, b in enumerate(y):
        if b:
            result = add(result, [0] * i + x[: len(x) - i])
    return result


def amount(y: Bits) -> int:
    return number(y) % len(y)


def shifted_right(x: Bits, y: Bits, fill: int) -> Bits:
    n = amount(y)
    return x[n:] + [fill] * n


def rotl(x: Bits, y: Bits) -> Bits:
    for _ in range(amount(y)):
        x = [x[-1], *x[:-1]]
    return x


def truncated(x: int, y: int) -> int:
    """The quotient towards zero."""
    return int(Fraction(x, y))


def wrapped(value: int, like: Bits) -> Bits:
    return bits(value % 2 ** len(like), len(like))


def udiv(x: Bits, y: Bits) -> Bits:
    return wrapped(truncated(number(x), number(y)) if number(y) else 0, x)


def urem(x: Bits, y: Bits) -> Bits:
    return sub(x, mul(udiv(x, y), y))


def sdiv(x: Bits, y: Bits) -> Bits:
    return wrapped(truncated(signed(x), signed(y)) if signed(y) else 0, x)


def srem(x: Bits, y: Bits) -> Bits:
    return sub(x, mul(sdiv(x, y), y))


def leading(x: Bits) -> int:
    return len(f"{number(x):0{len(x)}b}".split("1")[0])


def swapped(x: Bits) -> Bits:
    return [b for i in range(len(x) - 8, -8, -8) for b in x[i : i + 8]]


def held(value: int, low: int, high: int, like: Bits) -> Bits:
    """The nearest number that is in the range."""
    return wrapped(sorted((low, value, high))[1], like)


def held_signed(value: int, like: Bits) -> Bits:
    half = 2 ** (len(like) - 1)
    return held(value, -half, half - 1, like)


def high(product: int, like: Bits) -> Bits:
    """The upper half of a product of twice the width."""
    return bits(product % 4 ** len(like), 2 * len(like))[len(like) :]


def mean(x: Bits, y: Bits) -> Bits:
    total = add(add([*x, 0], [*y, 0]), bits(1, len(x) + 1))
    return total[1:]


def scattered(source: Iterator[int], mask: Bits) -> Bits:
    return [next(source) if has else 0 for has in mask]


def gathered(found: Bits, like: Bits) -> Bits:
    return found + [0] * (len(like) - len(found))


def flag(condition: bool) -> Bits:
    return [int(condition)]


# fmt: off
WITNESS: dict[Op, Callable[..., Bits]] = {
    ops.ADD:    add,
    ops.SUB:    sub,
    ops.MUL:    mul,
    ops.AND:    lambda x, y: [a * b for a, b in zip(x, y, strict=True)],
    ops.OR:     lambda x, y: [max(a, b) for a, b in zip(x, y, strict=True)],
    ops.XOR:    lambda x, y: [int(a != b) for a, b in zip(x, y, strict=True)],
    ops.SHL:    lambda x, y: [0] * amount(y) + x[: len(x) - amount(y)],
    ops.SHR:    lambda x, y: shifted_right(x, y, 0),
    ops.SAR:    lambda x, y: shifted_right(x, y, x[-1]),
    ops.ROTL:   rotl,
    ops.UDIV:   udiv,
    ops.SDIV:   sdiv,
    ops.UREM:   urem,
    ops.SREM:   srem,
    ops.CLZ:    lambda x: wrapped(leading(x), x),
    ops.CTZ:    lambda x: wrapped(leading(x[::-1]), x),
    ops.POPCNT: lambda x: wrapped(sum(x), x),
    ops.BSWAP:  swapped,
    ops.PDEP:   lambda x, y: scattered(iter(x), y),
    ops.PEXT:   lambda x, y: gathered([b for b, has in zip(x, y, strict=True) if has], x),
    ops.SMIN:   lambda x, y: min(x, y, key=signed),
    ops.SMAX:   lambda x, y: max(x, y, key=signed),
    ops.UMIN:   lambda x, y: min(x, y, key=number),
    ops.UMAX:   lambda x, y: max(x, y, key=number),
    ops.IABS:   lambda x: sub(bits(0, len(x)), x) if x[-1] else x,
    ops.SADDS:  lambda x, y: held_signed(signed(x) + signed(y), x),
    ops.SSUBS:  lambda x, y: held_signed(signed(x) - signed(y), x),
    ops.UADDS:  lambda x, y: held(number(x) + number(y), 0, 2 ** len(x) - 1, x),
    ops.USUBS:  lambda x, y: held(number(x) - number(y), 0, 2 ** len(x) - 1, x),
    ops.UAVG:   mean,
    ops.UMULH:  lambda x, y: high(number(x) * number(y), x),
    ops.SMULH:  lambda x, y: high(signed(x) * signed(y), x),
    ops.EQ:     lambda x, y: flag(x == y),
    ops.NE:     lambda x, y: flag(x != y),
    ops.ULT:    lambda x, y: flag(x[::-1] < y[::-1]),
    ops.ULE:    lambda x, y: flag(x[::-1] <= y[::-1]),
    ops.SLT:    lambda x, y: flag(signed(x) < signed(y)),
    ops.SLE:    lambda x, y: flag(signed(x) <= signed(y)),
}
CONVERSIONS: dict[Op, Callable[[Bits, int], Bits]] = {
    ops.ZEXT:    lambda x, to: x + [0] * (to - len(x)),
    ops.SEXT:    lambda x, to: x + [x[-1]] * (to - len(x)),
    ops.TRUNC:   lambda x, to: x[:to],
    ops.BITCAST: lambda x, to: x[:to],
}
# fmt: on


def operands(type_: Type, count: int) -> Iterator[tuple[int, ...]]:
    """All values at four bits, else edges and random ones."""
    if type_ is I4 or type_ is I1:
        yield from product(range(1 << type_.bits), repeat=count)
        return
    random = Random(type_.bits)
    edges = (0, 1, type_.mask, type_.mask >> 1, (type_.mask >> 1) + 1, 2, type_.bits)
    yield from product(edges, repeat=count)
    for _ in range(100):
        yield tuple(random.getrandbits(random.randint(1, type_.bits)) for _ in range(count))


@pytest.mark.parametrize("op", WITNESS, ids=repr)
def test_integer_op(op: Op) -> None:
    witness = WITNESS[op]
    assert op.meaning is not None
    for type_ in (I16, I32, I64, I128) if op is ops.BSWAP else (I1, I4, I8, I32, I64):
        result = I1 if op.result == "i1" else type_
        for given in operands(type_, len(op.operands)):
            expected = number(witness(*(bits(x, type_.bits) for x in given)))
            assert result.wrap(op.meaning(type_, result, *given)) == expected, (type_, given)


def test_udiv2() -> None:
    """Multiplied again, and added to, it is the dividend; what does not fit gives zero."""
    meaning = ops.UDIV2.meaning
    assert meaning is not None
    for high, low, divisor in operands(I64, 3):
        quotient = meaning(I64, I64, high, low, divisor)
        if high >= divisor:
            assert quotient == 0
            continue
        assert quotient <= I64.mask
        assert 0 <= (high << 64) + low - quotient * divisor < divisor


def test_crc32() -> None:
    """The check value of CRC-32C, by bytes and by wider pieces; and linear, as every CRC is."""
    meaning = ops.CRC32.meaning
    assert meaning is not None
    crc = 0xFFFF_FFFF
    for byte in b"123456789":
        crc = meaning(I8, I32, byte, crc)
    assert crc ^ 0xFFFF_FFFF == 0xE306_9283
    wide = meaning(I64, I32, int.from_bytes(b"12345678", "little"), 0xFFFF_FFFF)
    assert meaning(I8, I32, ord("9"), wide) == crc
    for x, y in operands(I32, 2):
        assert meaning(I32, I32, x, y) == meaning(I32, I32, x, 0) ^ meaning(I32, I32, 0, y)


@pytest.mark.parametrize("op", CONVERSIONS, ids=repr)
def test_conversion(op: Op) -> None:
    assert op.meaning is not None
    types = (I1, I4, I8, I32, I64, I128)
    for source, result in product(types, types):
        same = source.bits == result.bits
        if same != (op is ops.BITCAST) or (op is ops.TRUNC) == (source.bits < result.bits):
            continue
        for (x,) in operands(source, 1):
            expected = number(CONVERSIONS[op](bits(x, source.bits), result.bits))
            assert result.wrap(op.meaning(source, result, x)) == expected, (source, result, x)


@pytest.mark.parametrize(
    ("op", "vectors", "result"),
    [
        (ops.ADD, (0x00FF_7FFF_8000_0001, 0x0001_0001_8000_FFFF), 0x0100_8000_0000_0000),
        (ops.SHL, (0x0001_0001_0001_0001, 0x0011_0010_000F_0001), 0x0002_0001_8000_0002),
        (ops.SLT, (0x8000_0001_0000_FFFF, 0x7FFF_0001_FFFF_0000), 0b1001),
    ],
)
def test_lane_by_lane(op: Op, vectors: tuple[int, int], result: int) -> None:
    assert op.meaning is not None
    type_ = V4I1 if op.result == "i1" else V4I16
    assert ops.lanewise(op.meaning)(V4I16, type_, *vectors) == result


@pytest.mark.parametrize("op", [op for op in OPS.values() if op.commutes], ids=repr)
def test_commutes(op: Op) -> None:
    """What the table says about order holds; for floats up to which NaN comes back."""
    if op in ops.FLOAT_OPS:
        return
    assert op.meaning is not None
    for x, y in product(range(16), repeat=2):
        assert op.meaning(I4, I4, x, y) == op.meaning(I4, I4, y, x)


def test_every_row_is_tested() -> None:
    """Integer rows here, float rows in test_floats.py, the rest in test_evaluate.py."""
    from tests.tcg.test_evaluate import ROWS
    from tests.tcg.test_floats import FLOAT_ROWS

    tested = {ops.UDIV2, ops.CRC32, *WITNESS, *CONVERSIONS, *FLOAT_ROWS, *ROWS}
    assert {op.name for op in OPS.values() if op not in tested} == set()
