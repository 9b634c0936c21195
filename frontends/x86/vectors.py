"""What semantic functions of vector instructions write with: memory, halves, lanes, rows of simd.

lanes(a, I16) + lanes(b, I16)       eight sums, or sixteen in an AVX register
float_op(c, "addpd", a, b)          what ADDPD does, exactly, with both widths
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from frontends.insn import insn
from tcg.build import Builder
from tcg.ir import Access, Value
from tcg.types import I8, I16, I32, I64, V2I64, V4I64, V128, V256, Type, vector

if TYPE_CHECKING:
    from tcg.decode.intel.table import Row

F = TypeVar("F", bound=Callable[..., object])

_INTEGERS = {1: I8, 2: I16, 4: I32, 8: I64}
_WHOLE = {
    (type_.bytes, aligned): Access(type_, "le", aligned=aligned)
    for type_ in (V128, V256)
    for aligned in (False, True)
}
_PARTS = {size: Access(type_, "le") for size, type_ in _INTEGERS.items()}

ALIGNED_MOVES = frozenset((
    "vmovaps", "vmovapd", "vmovdqa", "vmovntps", "vmovntpd", "vmovntdq", "vmovntdqa",
))  # fmt: skip
UNALIGNED = frozenset((
    "movups", "movupd", "movdqu", "lddqu", "pcmpestri", "pcmpestrm", "pcmpistri", "pcmpistrm",
))  # fmt: skip
"""Instructions without VEX whose operand may be anywhere."""


class VectorBuilder(Builder):
    """A builder that knows vector registers: one of AVX is two slots, its halves."""

    def join_halves(self, low: Value, high: Value) -> Value:
        """The 256 bits of two halves."""
        both = self.shuffle(low.bitcast(V2I64), high.bitcast(V2I64), (0, 1, 2, 3))
        return both.bitcast(V256)

    def split_halves(self, whole: Value) -> tuple[Value, Value]:
        """The lower and the upper 128 bits."""
        words = whole.bitcast(V4I64)
        low, high = (self.shuffle(words, words, (at, at + 1)) for at in (0, 2))
        return low.bitcast(V128), high.bitcast(V128)

    def load_vector(self, size: int, address: Value, aligned: bool = False) -> Value:
        """Read so many bytes; less than a register is widened with zeros."""
        if size >= 16:
            return self.load(_WHOLE[size, aligned], address)
        return self.widened(self.load(_PARTS[size], address))

    def store_vector(self, size: int, address: Value, value: Value, aligned: bool = False) -> None:
        """Write the lowest so many bytes of a vector."""
        if size >= 16:
            how = _WHOLE[size, aligned]
            self.store(how, address, value.bitcast(how.type))
        else:
            self.store(_PARTS[size], address, self.low_part(value, size))

    def widened(self, value: Value) -> Value:
        """An integer in the lowest lane, the rest zero."""
        lanes_ = vector(value.type, 128 // value.type.bits)
        return self.insert(self.const(lanes_, 0), 0, value).bitcast(V128)

    def low_part(self, value: Value, size: int) -> Value:
        """The lowest 1, 2, 4 or 8 bytes of a vector as an integer."""
        return self.extract(lanes(value, _INTEGERS[size]), 0)


def must_be_aligned(row: Row, size: int) -> bool:
    """Whether an operand of `size` bytes in memory raises #GP where it is not aligned.

    SDM vol. 1, 11.3 and 14.9: all of 16 bytes, but with VEX only those of moves that say so.
    """
    if row.vector_length:
        return row.name in ALIGNED_MOVES and size >= 16
    return size == 16 and row.name not in UNALIGNED


def lanes(value: Value, lane: Type) -> Value:
    """A vector seen as lanes of that type."""
    return value.bitcast(vector(lane, value.type.bits // lane.bits))


def each_half(value: Value, numbers: Sequence[int], second: int = 0) -> tuple[int, ...]:
    """Lane numbers of a shuffle for every 128 bits, given those for the first.

    `value` has the lanes.  Numbers from `second` on, if it is given, mean the second vector.
    """
    assert value.type.lane is not None
    count = 128 // value.type.lane.bits
    total = value.type.lanes
    return tuple(
        half + number if not second or number < second else total + half + number - second
        for half in range(0, total, count)
        for number in numbers
    )


def shuffle_halves(c: Builder, a: Value, b: Value, numbers: Sequence[int]) -> Value:
    """A shuffle that does the same to every 128 bits; b's lanes are numbered behind a's."""
    assert a.type.lane is not None
    return c.shuffle(a, b, each_half(a, numbers, 128 // a.type.lane.bits))


def wide(name: str, value: Value) -> str:
    """The name of the row of tcg/simd for a vector of that width."""
    return f"{name}_256" if value.type.bits == 256 else name


def vector_op(c: Builder, name: str, *values: Value, imm: int = 0) -> Value:
    """What a row of tcg/simd does, with SSE or AVX registers as the first operand is."""
    return c.simd(wide(name, values[0]), *values, imm=imm)


def both(*names: str) -> Callable[[F], F]:
    """`@insn` for instructions that AVX has too, with a v before their name."""
    return insn(*(f"{v}{name}" for name in names for v in ("", "v")))


def plain(name: str) -> str:
    """The name of an instruction without AVX's v."""
    return name.removeprefix("v")
