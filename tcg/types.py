"""The value types of tcg IR.

A type is a width and a kind; byte order, signedness and meaning belong to the operations.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, eq=False)
class Type:
    """One IR type: its name in the text form, its width in bits, and whether it is a float.

    There is one object of each, compared and hashed by identity: types are keys in hot code.
    """

    name: str
    bits: int
    is_float: bool = False

    @property
    def bytes(self) -> int:
        """Bytes that a value of this type takes in the guest state (an i1 takes one)."""
        return (self.bits + 7) // 8

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

    def __repr__(self) -> str:
        return self.name


I1 = Type("i1", 1)
I8 = Type("i8", 8)
I16 = Type("i16", 16)
I32 = Type("i32", 32)
I64 = Type("i64", 64)
I128 = Type("i128", 128)
F32 = Type("f32", 32, is_float=True)
F64 = Type("f64", 64, is_float=True)
F80 = Type("f80", 80, is_float=True)
V128 = Type("v128", 128)
VOID = Type("void", 0)

ALL_TYPES = (I1, I8, I16, I32, I64, I128, F32, F64, F80, V128, VOID)
TYPE_BY_NAME = {t.name: t for t in ALL_TYPES}


def integer(bits: int) -> Type:
    """The integer type of that width; KeyError when there is none."""
    return TYPE_BY_NAME[f"i{bits}"]
