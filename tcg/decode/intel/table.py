"""A table in Intel's notation as it is used: its rows, its decoders, its disassembler.

Rows are kept as plain tuples and become `Row`s when they are asked for: a start pays for what a
program uses.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, overload

from tcg.decode.intel.decoder import Decode, Dispatch, make_decoder
from tcg.decode.intel.operands import Operand, operand
from tcg.frontend import Decoded

if TYPE_CHECKING:
    from tcg.decode.intel.native import IntelDecoder

MODES = (16, 32, 64)


class Row(NamedTuple):
    """An instruction of the table.

    `name`: the mnemonic; `function`: that of its meaning, `jcc` for each row of `j{cc}`;
    `cc`: the condition's number there; `key`: a name that no other row has;
    `mnemonics`: those for operand sizes (with the property byaddr: address sizes) 2, 4, 8;
    `feature`: the CPUID feature that it needs, or None;
    `encoding`: how the table has it; `vector_length`: 128 or 256 with VEX, else 0.
    """

    name: str
    function: str
    cc: int | None
    key: str
    mnemonics: tuple[str, str, str]
    operands: tuple[Operand, ...]
    properties: frozenset[str]
    feature: str | None
    encoding: str
    vector_length: int
    file: str
    line: int

    @property
    def place(self) -> str:
        """`base.decode:12`"""
        return f"{os.path.basename(self.file)}:{self.line}"


Kept = tuple[Any, ...]
"""A Row's values in its order, operands and properties as texts; then its encoding's values."""


def kept(row: Row) -> Kept:
    """The row as marshal can write it, without its encoding's values."""
    plain = row._asdict()
    plain["operands"] = tuple(operand.text for operand in row.operands)
    plain["properties"] = tuple(sorted(row.properties))
    plain["file"] = os.path.basename(row.file)
    return tuple(plain.values())


class Rows(Sequence[Row]):
    """Rows that are made of what was kept when they are needed."""

    def __init__(self, load: Callable[[], Sequence[Kept]], paths: Sequence[str]) -> None:
        self._load = load
        self._paths = {os.path.basename(path): path for path in paths}
        self._made: dict[int, Row] = {}

    def __len__(self) -> int:
        return len(self._load())

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | Sequence[Row]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        found = self._made.get(index)
        if found is None:
            found = self._made[index] = self._make(self._load()[index])
        return found

    def __iter__(self) -> Iterator[Row]:
        return (self[index] for index in range(len(self)))

    def _make(self, values: Kept) -> Row:
        (
            name, function, cc, key, mnemonics, operands, properties,
            feature, encoding, vector_length, file, line, _,
        ) = values  # fmt: skip
        return Row(
            name, function, cc, key, mnemonics, tuple(map(operand, operands)),
            frozenset(properties), feature, encoding, vector_length, self._paths[file], line,
        )  # fmt: skip


class Table:
    """A checked table.  `paths` are its files, `rows` all their rows."""

    def __init__(
        self,
        paths: Sequence[str],
        rows: Rows,
        dispatch: Callable[[int, frozenset[str]], Dispatch],
        features: Callable[[], Sequence[str]],
    ) -> None:
        self.paths = tuple(paths)
        self.rows = rows
        self._dispatch = dispatch
        self._features = features
        self._decoders: dict[tuple[int, frozenset[str], int], Decode] = {}

    def decoder(self, mode: int, absent: frozenset[str] = frozenset(), none: int = 0) -> Decode:
        """decode(code, at, pc) -> Decoded | None, for 16-, 32- or 64-bit code.

        None: no row matches, or bytes are missing.  Rows that need a CPU feature which is
        `absent` are not there.  `none`: see make_decoder.
        """
        key = mode, absent, none
        if key not in self._decoders:
            self._decoders[key] = make_decoder(mode, self._dispatch(mode, absent), none)
        return self._decoders[key]

    def native_decoder(
        self, mode: int, absent: frozenset[str] = frozenset(), none: int = 0
    ) -> IntelDecoder:
        """The same decoder as IR: see tcg.native."""
        from tcg.decode.intel.native import IntelDecoder

        none = none or (16 if mode == 64 else 8)
        return IntelDecoder(self._dispatch(mode, absent), mode, none, len(self.rows))

    def features(self) -> frozenset[str]:
        """The CPU features that rows need."""
        return frozenset(self._features())

    def disassemble(self, decoded: Decoded, pc: int, mode: int) -> str:
        """The instruction in Intel's syntax; what is relative to `pc` is absolute in its fields."""
        from tcg.decode.intel.text import show

        return show(self.rows[decoded.row], decoded.fields, mode)
