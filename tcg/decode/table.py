"""A decode table as it is used: its rows and its decoder.

The modules that `generate` writes import this one and build these objects; nothing of the parser
is needed for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

Decoder = Callable[[int], tuple[int, tuple[int, ...]] | None]


@dataclass(frozen=True, slots=True)
class BitField:
    """An operand field.  `pieces`: (shift in the word, width, shift in the field), high first."""

    name: str
    width: int
    signed: bool
    pieces: tuple[tuple[int, int, int], ...]

    def holds(self, value: int) -> bool:
        """Whether `value` can be stored in the field."""
        low = -(1 << self.width - 1) if self.signed else 0
        stored = sum((1 << width) - 1 << shift for _, width, shift in self.pieces)
        return (
            low <= value < low + (1 << self.width) and not value & ~stored & (1 << self.width) - 1
        )

    def place(self, value: int) -> int:
        """The bits of `value` where they are in a word."""
        return sum((value >> shift & (1 << width) - 1) << at for at, width, shift in self.pieces)


@dataclass(frozen=True, slots=True)
class Row:
    """An instruction: a word is one if `word & mask == value`.

    `show` takes pc and the fields' values and returns the text; `template` is how the table has it.
    """

    name: str
    mask: int
    value: int
    fields: tuple[BitField, ...]
    template: str
    line: int
    show: Callable[..., str]

    def disassemble(self, fields: Sequence[int], pc: int) -> str:
        """The instruction at `pc` with these field values, as assembly."""
        return self.show(pc, *fields)

    def encode(self, fields: Sequence[int]) -> int:
        """The word with these field values.  Raises ValueError for one that does not fit."""
        word = self.value
        for field, value in zip(self.fields, fields, strict=True):
            if not field.holds(value):
                raise ValueError(f"{self.name}: {value} does not fit the field {field.name}")
            word |= field.place(value)
        return word


@dataclass(frozen=True, slots=True)
class Table:
    """A checked decode table.  `path` is where it came from."""

    path: str
    width: int
    rows: tuple[Row, ...]
    decode: Decoder

    def decoder(self) -> Decoder:
        """decode(word) -> (index of the row, its field values in the row's order), or None."""
        return self.decode

    def row(self, name: str) -> Row:
        """The row of this name.  Raises KeyError."""
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(name)

    def source(self) -> str:
        """The table as a Python module: what `cached` keeps, for people to read."""
        from tcg.decode.generate import source_of

        return source_of(self.path)
