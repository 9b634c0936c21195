"""The value types of tcg IR.

A type is a width and a kind; byte order, signedness and meaning belong to the operations.  A vector
is a number too: lane 0 is in its lowest bits.  `v128` and `v256` are what registers hold, whatever
their lanes; `v4i32` and the like are what operations work on, lane by lane.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, eq=False)
class Type:
    """One IR type: its name in the text form, its width in bits, and whether it is a float.

    There is one object of each, compared and hashed by identity: types are keys in hot code.
    `lane`, `lanes`: of a vector that has lanes, their type and how many.
    """

    name: str
    bits: int
    is_float: bool = False
    lane: Type | None = None
    lanes: int = 1

    @property
    def bytes(self) -> int:
        """Bytes that a value of this type takes in the guest state (an i1 takes one)."""
        return (self.bits + 7) // 8

    @property
    def stride(self) -> int:
        """Bytes from one register of a file to the next: an f80 has six to spare behind it."""
        return 16 if self.bits == 80 else self.bytes

    @property
    def mask(self) -> int:
        """All value bits set."""
        return (1 << self.bits) - 1

    def wrap(self, value: int) -> int:
        """The value's bit pattern as an unsigned number, taken modulo 2**bits."""
        return value & ((1 << self.bits) - 1)

    def signed(self, value: int) -> int:
        """The two's complement reading of a bit pattern."""
        sign = 1 << (self.bits - 1)
        return ((value & ((sign << 1) - 1)) ^ sign) - sign

    def split(self, value: int) -> list[int]:
        """The lanes of a vector, lane 0 first."""
        assert self.lane is not None
        bits, mask = self.lane.bits, self.lane.mask
        return [value >> at & mask for at in range(0, self.bits, bits)]

    def join(self, values: Iterable[int]) -> int:
        """The vector of these lanes, each wrapped to its type."""
        assert self.lane is not None
        bits, mask = self.lane.bits, self.lane.mask
        return sum((value & mask) << bits * i for i, value in enumerate(values))

    def __repr__(self) -> str:
        return self.name


I1 = Type("i1", 1)
I8 = Type("i8", 8)
I16 = Type("i16", 16)
I32 = Type("i32", 32)
I64 = Type("i64", 64)
I128 = Type("i128", 128)
F16 = Type("f16", 16, is_float=True)
"""Half precision, which only conversions know: no value of the IR has it."""
F32 = Type("f32", 32, is_float=True)
F64 = Type("f64", 64, is_float=True)
F80 = Type("f80", 80, is_float=True)
V128 = Type("v128", 128)
V256 = Type("v256", 256)
VOID = Type("void", 0)


def _vector(lane: Type, lanes: int) -> Type:
    return Type(f"v{lanes}{lane}", lane.bits * lanes, lane.is_float, lane, lanes)


# fmt: off
V16I8, V8I16, V4I32, V2I64 = (_vector(lane, 128 // lane.bits) for lane in (I8, I16, I32, I64))
V32I8, V16I16, V8I32, V4I64 = (_vector(lane, 256 // lane.bits) for lane in (I8, I16, I32, I64))
V4F32, V2F64, V8F32, V4F64 = (_vector(F32, 4), _vector(F64, 2), _vector(F32, 8), _vector(F64, 4))
V8I8, V4I16, V2I32 = (_vector(lane, 64 // lane.bits) for lane in (I8, I16, I32))
V4I8, V2I16, V2I8 = (_vector(I8, 4), _vector(I16, 2), _vector(I8, 2))
V2F32 = _vector(F32, 2)
V2I1, V4I1, V8I1, V16I1, V32I1 = (_vector(I1, lanes) for lanes in (2, 4, 8, 16, 32))
# fmt: on

FULL_VECTORS = (
    V16I8, V8I16, V4I32, V2I64, V4F32, V2F64, V32I8, V16I16, V8I32, V4I64, V8F32, V4F64,
)  # fmt: skip
"""The vectors with lanes that fill a register."""
VECTORS = (
    *FULL_VECTORS, V8I8, V4I16, V2I32, V4I8, V2I16, V2I8, V2F32, V2I1, V4I1, V8I1, V16I1, V32I1,
)  # fmt: skip
"""All vectors with lanes; the shorter ones are what widening takes, and what comparisons give."""
ALL_TYPES = (I1, I8, I16, I32, I64, I128, F32, F64, F80, V128, V256, VOID, *VECTORS)
TYPE_BY_NAME = {t.name: t for t in ALL_TYPES}


def integer(bits: int) -> Type:
    """The integer type of that width; KeyError when there is none."""
    return TYPE_BY_NAME[f"i{bits}"]


def vector(lane: Type, lanes: int) -> Type:
    """The vector of so many lanes of that type; KeyError when there is none."""
    return TYPE_BY_NAME[f"v{lanes}{lane}"]


def with_lanes_of(lane: Type, like: Type) -> Type:
    """`lane` itself, or a vector of as many of them as `like` has lanes."""
    return lane if like.lane is None else vector(lane, like.lanes)
