"""The integer instructions of SSE and AVX that no operation on lanes stands for."""

from __future__ import annotations

from collections.abc import Callable

from tcg.simd import aes, strings
from tcg.simd.table import row
from tcg.types import I16, I32, I64, V2I64, V4I32, V8I16, V8I32, V16I8, V32I8, V128, V256, Type

TWO, ONE = (V128, V128), (V128,)


def _held(t: Type, value: int, signed: bool = True) -> int:
    """The value at the nearest end of the type's range, if it is beyond."""
    low, high = (-(t.mask >> 1) - 1, t.mask >> 1) if signed else (0, t.mask)
    return max(low, min(high, value))


def _signed(v: Type, x: int) -> list[int]:
    assert v.lane is not None
    return [v.lane.signed(one) for one in v.split(x)]


# -- moving bytes and bits -------------------------------------------------------------------------


def pshufb(_: int, a: int, b: int) -> int:
    """Bytes of `a` by the numbers in `b`; 0 where bit 7 of the number is set."""
    table = V16I8.split(a)
    return V16I8.join(0 if n & 0x80 else table[n & 15] for n in V16I8.split(b))


def _signs(v: Type) -> Callable[..., int]:
    """The highest bit of every lane, lane 0 in bit 0."""
    assert v.lane is not None
    shift = v.lane.bits - 1
    return lambda _, x: sum((one >> shift) << i for i, one in enumerate(v.split(x)))


row("pshufb", V128, TWO, pshufb, twin=True)
row("pmovmskb", I32, ONE, _signs(V16I8))
row("pmovmskb_256", I32, (V256,), _signs(V32I8))
row("movmskps", I32, ONE, _signs(V4I32))
row("movmskps_256", I32, (V256,), _signs(V8I32))
row("movmskpd", I32, ONE, _signs(V2I64))


def _movmskpd_256(_: int, x: int) -> int:
    return sum((x >> 64 * i + 63 & 1) << i for i in range(4))


row("movmskpd_256", I32, (V256,), _movmskpd_256)


# -- packing with saturation -----------------------------------------------------------------------


def _packs(source: Type, result: Type, signed: bool) -> Callable[..., int]:
    """Signed lanes of both operands, held within what a lane of half the width takes."""
    assert result.lane is not None
    t = result.lane

    def meaning(_: int, a: int, b: int) -> int:
        return result.join(_held(t, x, signed) for x in _signed(source, a) + _signed(source, b))

    return meaning


row("packsswb", V128, TWO, _packs(V8I16, V16I8, signed=True), twin=True)
row("packuswb", V128, TWO, _packs(V8I16, V16I8, signed=False), twin=True)
row("packssdw", V128, TWO, _packs(V4I32, V8I16, signed=True), twin=True)
row("packusdw", V128, TWO, _packs(V4I32, V8I16, signed=False), twin=True)


# -- products and sums -----------------------------------------------------------------------------


def pmaddwd(_: int, a: int, b: int) -> int:
    """Products of signed words, summed in pairs."""
    products = [x * y for x, y in zip(_signed(V8I16, a), _signed(V8I16, b), strict=True)]
    return V4I32.join(x + y for x, y in zip(products[::2], products[1::2], strict=True))


def pmaddubsw(_: int, a: int, b: int) -> int:
    """Products of unsigned bytes with signed ones, summed in pairs and held."""
    products = [x * y for x, y in zip(V16I8.split(a), _signed(V16I8, b), strict=True)]
    return V8I16.join(_held(I16, x + y) for x, y in zip(products[::2], products[1::2], strict=True))


def pmulhrsw(_: int, a: int, b: int) -> int:
    """Bits 30..15 of the products, rounded."""
    pairs = zip(_signed(V8I16, a), _signed(V8I16, b), strict=True)
    return V8I16.join((x * y >> 14) + 1 >> 1 for x, y in pairs)


def psadbw(_: int, a: int, b: int) -> int:
    """Sums of the differences' magnitudes, of eight bytes each."""
    gaps = [abs(x - y) for x, y in zip(V16I8.split(a), V16I8.split(b), strict=True)]
    return V2I64.join((sum(gaps[:8]), sum(gaps[8:])))


def _mpsadbw(imm: int, a: int, b: int) -> int:
    """Eight sums of four differences: bytes of `a` from where bit 2 says, four bytes of `b`."""
    first, second = V16I8.split(a), V16I8.split(b)
    at, four = (imm >> 2 & 1) * 4, (imm & 3) * 4
    return V8I16.join(
        sum(abs(first[at + i + k] - second[four + k]) for k in range(4)) for i in range(8)
    )


def _mpsadbw_256(imm: int, a: int, b: int) -> int:
    low = _mpsadbw(imm, a & V128.mask, b & V128.mask)
    return low | _mpsadbw(imm >> 3, a >> 128, b >> 128) << 128


def phminposuw(_: int, a: int) -> int:
    """The least word, and its number behind it."""
    words = V8I16.split(a)
    least = min(words)
    return least | words.index(least) << 16


def _psign(v: Type) -> Callable[..., int]:
    """Lanes of `a`, negated or 0 as the sign of `b` is."""

    def meaning(_: int, a: int, b: int) -> int:
        pairs = zip(v.split(a), _signed(v, b), strict=True)
        return v.join(-x if s < 0 else x if s else 0 for x, s in pairs)

    return meaning


row("pmaddwd", V128, TWO, pmaddwd, twin=True)
row("pmaddubsw", V128, TWO, pmaddubsw, twin=True)
row("pmulhrsw", V128, TWO, pmulhrsw, twin=True)
row("psadbw", V128, TWO, psadbw, twin=True)
row("mpsadbw", V128, TWO, _mpsadbw)
row("mpsadbw_256", V256, (V256, V256), _mpsadbw_256)
row("phminposuw", V128, ONE, phminposuw)
for _letter, _v in (("b", V16I8), ("w", V8I16), ("d", V4I32)):
    row(f"psign{_letter}", V128, TWO, _psign(_v), twin=True)


# -- shifts by one amount for all lanes ------------------------------------------------------------


def _shift(v: Type, shift: Callable[[Type, int, int], int]) -> Callable[..., int]:
    """The amount is the low half of the second operand, however large."""
    assert v.lane is not None
    t = v.lane
    return lambda _, a, n: v.join(shift(t, x, min(n & I64.mask, t.bits)) for x in v.split(a))


def _shift_each(v: Type, shift: Callable[[Type, int, int], int]) -> Callable[..., int]:
    """Every lane has its own amount."""
    assert v.lane is not None
    t = v.lane

    def meaning(_: int, a: int, n: int) -> int:
        pairs = zip(v.split(a), v.split(n), strict=True)
        return v.join(shift(t, x, min(by, t.bits)) for x, by in pairs)

    return meaning


def _left(_: Type, x: int, by: int) -> int:
    return x << by


def _right(_: Type, x: int, by: int) -> int:
    return x >> by


def _right_signed(t: Type, x: int, by: int) -> int:
    return t.signed(x) >> by


def _add_shift(name: str, v: Type, shift: Callable[[Type, int, int], int]) -> None:
    """The instruction, and the one for AVX registers, whose amount is in an SSE register too."""
    one = _shift(v, shift)
    row(name, V128, TWO, one)
    row(
        f"{name}_256", V256, (V256, V128),
        lambda _, a, n: one(0, a & V128.mask, n) | one(0, a >> 128, n) << 128,
    )  # fmt: skip


for _letter, _v in (("w", V8I16), ("d", V4I32), ("q", V2I64)):
    _add_shift(f"psll{_letter}", _v, _left)
    _add_shift(f"psrl{_letter}", _v, _right)
    if _v is not V2I64:
        _add_shift(f"psra{_letter}", _v, _right_signed)
for _letter, _v in (("d", V4I32), ("q", V2I64)):
    row(f"psllv{_letter}", V128, TWO, _shift_each(_v, _left), twin=True)
    row(f"psrlv{_letter}", V128, TWO, _shift_each(_v, _right), twin=True)
row("psravd", V128, TWO, _shift_each(V4I32, _right_signed), twin=True)


# -- strings, cryptography, checksums --------------------------------------------------------------

for _what, _result in strings.RESULTS.items():
    row(
        f"pcmpestr{_what}", _result, (V128, I32, V128, I32),
        lambda imm, a, la, b, lb, what=_what: strings.explicit(what, imm, a, la, b, lb),
    )  # fmt: skip
    row(
        f"pcmpistr{_what}", _result, TWO,
        lambda imm, a, b, what=_what: strings.implicit(what, imm, a, b),
    )  # fmt: skip


def clmul(imm: int, a: int, b: int) -> int:
    """The product without carries of one half each, which bits 0 and 4 choose."""
    x = a >> 64 if imm & 1 else a & I64.mask
    y = b >> 64 if imm & 16 else b & I64.mask
    product = 0
    while y:
        bit = y & -y
        product ^= x * bit
        y ^= bit
    return product


row("pclmulqdq", V128, TWO, clmul)
row("aesenc", V128, TWO, aes.encrypt_round)
row("aesenclast", V128, TWO, aes.encrypt_last)
row("aesdec", V128, TWO, aes.decrypt_round)
row("aesdeclast", V128, TWO, aes.decrypt_last)
row("aesimc", V128, ONE, aes.mix_for_decryption)
row("aeskeygenassist", V128, ONE, aes.key_assist)


# -- across the lanes of an AVX register -----------------------------------------------------------


def _permute(v: Type) -> Callable[..., int]:
    """Lanes of the first operand by the low bits of the numbers in the second."""

    def meaning(_: int, a: int, numbers: int) -> int:
        table = v.split(a)
        return v.join(table[n & v.lanes - 1] for n in v.split(numbers))

    return meaning


row("vpermd", V256, (V256, V256), _permute(V8I32))
row("vpermilps", V128, TWO, _permute(V4I32), twin=True)


def _vpermilpd(_: int, a: int, numbers: int) -> int:
    table = V2I64.split(a)
    return V2I64.join(table[n >> 1 & 1] for n in V2I64.split(numbers))


row("vpermilpd", V128, TWO, _vpermilpd, twin=True)
