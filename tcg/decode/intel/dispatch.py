"""The rows of a table to the slots that a decoder walks through, for one mode."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from tcg.decode.intel import decoder as d
from tcg.decode.intel.decoder import Dispatch, Leaf, Slot
from tcg.decode.intel.encoding import Encoding

Kept = tuple[Any, ...]

ILLEGAL: Slot = (d.ILLEGAL, None)

SEGMENTS = {0x26: 1, 0x2E: 2, 0x36: 3, 0x3E: 4, 0x64: 5, 0x65: 6}
"""The override prefixes and what the field `segment` says of them."""

# fmt: off
OPSIZES = {
    "":    {16: (2, 4, 2, 4), 32: (4, 2, 4, 2), 64: (4, 2, 8, 8)},
    "d64": {16: (2, 4, 2, 4), 32: (4, 2, 4, 2), 64: (8, 2, 8, 8)},
    "f64": {16: (2, 4, 2, 4), 32: (4, 2, 4, 2), 64: (8, 8, 8, 8)},
    "66":  {16: (4, 4, 4, 4), 32: (4, 4, 4, 4), 64: (4, 4, 8, 8)},
}
# fmt: on
"""Operand sizes: usual, with 66, with REX.W, with both, which is as without 66.  The last line is
for rows in which 66 is part of the opcode, and for VEX.
"""


class Candidate(NamedTuple):
    """What dispatch needs to know of a row."""

    number: int
    encoding: Encoding
    properties: frozenset[str]
    feature: str | None
    operands: tuple[str, ...]


def candidates(facts: Sequence[Kept]) -> list[Candidate]:
    """What is kept of rows as dispatch wants it: see `kept` in `table`."""
    return [
        Candidate(number, Encoding(*values[-1]), frozenset(values[6]), values[7], values[5])
        for number, values in enumerate(facts)
    ]


def build(rows: Iterable[Candidate], mode: int, absent: frozenset[str]) -> Dispatch:
    """The slots for one mode, without rows that need an absent feature."""
    return Builder(rows, mode, absent).build()


class Builder:
    """The slots of one mode while they are made.  `reached` collects the rows that are in any."""

    def __init__(
        self, rows: Iterable[Candidate], mode: int, absent: frozenset[str] = frozenset()
    ) -> None:
        self.mode = mode
        self.reached: set[int] = set()
        self._leaves: dict[int, Leaf] = {}
        self._slots: dict[Slot, Slot] = {}
        self._rows: dict[tuple[bool, int, int], list[Candidate]] = defaultdict(list)
        for row in rows:
            if row.feature not in absent and is_legal(row.properties, mode):
                for key in places(row.encoding):
                    self._rows[key].append(row)

    def build(self) -> Dispatch:
        """The slots of all maps."""
        maps = [self._map(False, number) for number in range(4)]
        maps[1][0x38] = (d.ESCAPE, tuple(maps[2]))
        maps[1][0x3A] = (d.ESCAPE, tuple(maps[3]))
        maps[0][0x0F] = (d.ESCAPE, tuple(maps[1]))
        for byte, slot in self._prefixes():
            maps[0][byte] = slot
        vex = tuple(tuple(self._map(True, number)) for number in range(1, 4))
        return tuple(maps[0]), vex

    def _map(self, vex: bool, number: int) -> list[Slot]:
        return [self._slot(vex, self._rows.get((vex, number, op), [])) for op in range(256)]

    def _prefixes(self) -> Iterator[tuple[int, Slot]]:
        is_64 = self.mode == 64
        for byte, number in SEGMENTS.items():
            yield byte, (d.SEGMENT, number if not is_64 or byte >= 0x64 else 0)
        yield 0x66, (d.OPSIZE, None)
        yield 0x67, (d.ADDRSIZE, None)
        yield 0xF0, (d.LOCK, None)
        yield 0xF2, (d.REP, 2)
        yield 0xF3, (d.REP, 3)
        for byte in (0xC4, 0xC5):
            loads = None if is_64 else self._slot(False, self._rows.get((False, 0, byte), []))
            yield byte, (d.VEX, loads)
        if is_64:
            for byte in range(0x40, 0x50):
                yield byte, (d.REX, byte)

    def _slot(self, vex: bool, rows: Sequence[Candidate]) -> Slot:
        if not rows:
            return ILLEGAL
        if vex:
            return self._by_vex(rows)
        with_rexb = [row for row in rows if "norexb" not in row.properties]
        slot = self._by_prefix(rows)
        if len(with_rexb) == len(rows) or self.mode != 64:
            return slot
        return self._shared((d.BY_REXB, (slot, self._by_prefix(with_rexb))))

    def _by_vex(self, rows: Sequence[Candidate]) -> Slot:
        """Sixteen slots by L, pp and W."""
        slots = []
        for number in range(16):
            length, prefix, w = number >> 3, (0, 1, 3, 2)[number >> 1 & 3], number & 1
            slots.append(
                self._by_modrm([r for r in rows if fits_vex(r.encoding, length, prefix, w)])
            )
        return self._shared((d.BY_VEX, tuple(slots)))

    def _by_prefix(self, rows: Sequence[Candidate]) -> Slot:
        """Rows that name the prefix come before those that say nothing of prefixes."""
        if all(row.encoding.prefix is None for row in rows):
            return self._by_modrm(rows)
        silent = [row for row in rows if row.encoding.prefix is None]
        slots = tuple(
            self._by_modrm([row for row in rows if row.encoding.takes_prefix(prefix)] + silent)
            for prefix in range(4)
        )
        return self._shared((d.BY_PREFIX, slots))

    def _by_modrm(self, rows: Sequence[Candidate]) -> Slot:
        """Of several rows that match, the first counts."""
        if not rows:
            return ILLEGAL
        if rows[0].encoding.suffix is not None:
            return self._by_suffix(rows)
        if not rows[0].encoding.has_modrm:
            return self._shared((d.LEAF, self._leaf(rows[0])))
        if any(row.encoding.rm is not None for row in rows):
            return self._shared((d.BY_MODRM, self._leaves_of(rows, range(256))))
        leaves = self._leaves_of(rows, range(0, 256, 8))
        if all(leaf is leaves[0] for leaf in leaves):
            return self._shared((d.MODRM, leaves[0]))
        return self._shared((d.BY_REG, leaves))

    def _leaves_of(self, rows: Sequence[Candidate], modrms: range) -> tuple[Leaf | None, ...]:
        found = (next((r for r in rows if r.encoding.fits(modrm)), None) for modrm in modrms)
        return tuple(None if row is None else self._leaf(row) for row in found)

    def _by_suffix(self, rows: Sequence[Candidate]) -> Slot:
        """One leaf, in which the byte behind the operands selects the row."""
        _, sizes, _, flags = self._leaf(rows[0])
        self.reached.update(row.number for row in rows)
        by_byte = {row.encoding.suffix: row.number for row in reversed(rows)}
        return (d.MODRM, (by_byte, sizes, d.SUFFIX, flags))

    def _leaf(self, row: Candidate) -> Leaf:
        leaf = self._leaves.get(row.number)
        if leaf is None:
            self.reached.add(row.number)
            leaf = (row.number, opsizes(row, self.mode), row.encoding.immediate, flags_of(row))
            self._leaves[row.number] = leaf
        return leaf

    def _shared(self, slot: Slot) -> Slot:
        """Equal slots are one object: what is kept on disk is smaller for it."""
        return self._slots.setdefault(slot, slot)


def is_legal(properties: frozenset[str], mode: int) -> bool:
    """Whether a row is there in a mode."""
    return ("i64" if mode == 64 else "o64") not in properties


def places(encoding: Encoding) -> Iterator[tuple[bool, int, int]]:
    """The slots that a row belongs to."""
    for opcode in range(encoding.opcode, encoding.opcode + encoding.span):
        yield encoding.vex is not None, encoding.map, opcode


def fits_vex(encoding: Encoding, length: int, prefix: int, w: int) -> bool:
    """Whether a row is meant by a VEX prefix that says this."""
    if encoding.vex is None or encoding.prefix != prefix:
        return False
    lengths, ws = encoding.vex
    return length in lengths and w in ws


def opsizes(row: Candidate, mode: int) -> tuple[int, int, int, int]:
    """The operand sizes of a row by prefixes."""
    if row.encoding.vex or row.encoding.prefix == 1:
        return OPSIZES["66"][mode]
    kind = next((name for name in ("d64", "f64") if name in row.properties), "")
    return OPSIZES[kind][mode]


def flags_of(row: Candidate) -> int:
    """The flags of a row's leaf."""
    letters = {text[0] for text in row.operands}
    flags = 0
    if "lock" in row.properties:
        flags |= d.LOCKABLE
    if "rep" in row.properties:
        flags |= d.REPEATS
    if "segment" in row.properties or letters & {"X", "O"}:
        flags |= d.HAS_MEMORY
    if row.encoding.span == 8:
        flags |= d.LOW_BITS
    if row.encoding.vex and not letters & {"H", "B"}:
        flags |= d.NO_VVVV
    if row.properties & {"vsibx", "vsiby"}:
        flags |= d.VSIB
    if letters & {"P", "S"}:
        flags |= d.LOW_REG
    if letters & {"Q", "N"} or "STi" in row.operands:
        flags |= d.LOW_RM
    return flags
