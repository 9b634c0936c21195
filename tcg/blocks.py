"""Blocks: straight runs of translated guest code, and where their records lie.

A block's *head* is its identity for native code: it exists as soon as anything refers to the
block, before translation, and outlives translations.  The *body* is the row of records.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(slots=True, eq=False)
class Translation:
    """The body of a block: its records in order, the pc of each, and what follows it.

    `barrier`: how many bytes of code precede the first instruction that no region may contain, if
    there is one (code that does not decode).
    `code` are the guest bytes it was made from.  `returns_to`: its last instruction is a call that
    comes back there.  `notes`: where the `Notes` of a computed jump at its end are.  `links`: the
    offsets of the records with a static link.  `is_loaded`: its records are part of a page that
    was loaded, and stay as long as that.
    """

    body: int
    size: int
    code: bytes
    offsets: Sequence[int]
    pcs: Sequence[int]
    successors: Sequence[int]
    barrier: int | None
    instructions: int
    returns_to: int | None
    notes: int | None
    links: Sequence[int]
    is_loaded: bool = False


class Records(Protocol):
    """Records in a row: how many bytes, where each is from the first on, and its guest pc."""

    @property
    def size(self) -> int:
        """Bytes of all."""

    @property
    def is_loaded(self) -> bool:
        """They are part of others."""

    @property
    def offsets(self) -> Sequence[int]:
        """Where the records are, in order."""

    @property
    def pcs(self) -> Sequence[int]:
        """The guest pc of each."""


class Rows:
    """Rows of records by address."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._at: dict[int, Records] = {}

    def add(self, start: int, records: Records) -> None:
        """Records lie at this address."""
        if start not in self._at:
            insort(self._starts, start)
        self._at[start] = records

    def remove(self, start: int) -> None:
        """They are gone."""
        del self._at[start]
        del self._starts[bisect_left(self._starts, start)]

    def clear(self) -> Iterator[tuple[int, int]]:
        """All are gone: where those lie that are no part of others, and how many bytes."""
        at, self._at, self._starts = self._at, {}, []
        return ((start, row.size) for start, row in at.items() if not row.is_loaded)

    def pc_of(self, record: int) -> int | None:
        """The guest pc of the record at this address, if it is in one of the rows."""
        number = bisect_right(self._starts, record) - 1
        if number < 0:
            return None
        start = self._starts[number]
        row = self._at[start]
        if record >= start + row.size:
            return None
        return row.pcs[bisect_right(row.offsets, record - start) - 1]


@dataclass(slots=True, eq=False)
class Region:
    """Blocks compiled together.  `entries` are those whose heads lead to it now."""

    entries: list[Block]
    members: tuple[Block, ...]
    handle: Any


@dataclass(slots=True, eq=False)
class Block:
    """A guest block: `head` is the address of its head record.

    `region`: the compiled code that its head leads to; `member_of`: all regions that contain it;
    `is_pending`: one that contains it is being compiled.  `at`: by which addresses it is found when
    memory changes, from its first byte on: its pc, in a whole machine its physical address.
    """

    pc: int
    head: int
    translation: Translation | None = None
    region: Region | None = None
    member_of: set[Region] = field(default_factory=set)
    is_pending: bool = False
    at: int = -1
    space: Any = None
    """In a whole machine, what blocks share that can be linked to each other."""

    def __post_init__(self) -> None:
        if self.at < 0:
            self.at = self.pc


class BlockTable:
    """All blocks of a process by pc, by page, and by the addresses of their records.

    In a whole machine `by_pc` has them by what their heads have: (Head.PC, Head.WHERE).
    """

    def __init__(self, page_bits: int = 12) -> None:
        self.by_pc: dict[Any, Block] = {}
        self.by_page: dict[int, set[Block]] = {}
        self._page_bits = page_bits
        self.bodies = Rows()
        self.pages = Rows()
        """Those that were loaded a page at a time; blocks of a page may be in `bodies` as well."""

    def attach(self, block: Block, translation: Translation) -> None:
        """Give a block its translation."""
        block.translation = translation
        self.bodies.add(translation.body, translation)
        for page in self._pages(block.at, len(translation.code)):
            self.by_page.setdefault(page, set()).add(block)

    def detach(self, block: Block) -> None:
        """Take a block's translation away; its records stay known, as somebody may be in them."""
        translation = block.translation
        assert translation is not None
        block.translation = None
        for page in self._pages(block.at, len(translation.code)):
            blocks = self.by_page.get(page)
            if blocks is not None:
                blocks.discard(block)
                if not blocks:
                    del self.by_page[page]

    def forget(self, translation: Translation) -> None:
        """A translation's records are gone: nobody can be in them any more."""
        self.bodies.remove(translation.body)

    def _pages(self, pc: int, size: int) -> range:
        return range(pc >> self._page_bits, ((pc + max(size, 1) - 1) >> self._page_bits) + 1)

    def overlapping(self, start: int, end: int) -> Iterator[Block]:
        """Translated blocks with code in [start, end)."""
        found: set[Block] = set()
        first, last = start >> self._page_bits, (end - 1) >> self._page_bits
        if last - first > len(self.by_page):
            pages = [page for page in self.by_page if first <= page <= last]
        else:
            pages = [page for page in range(first, last + 1) if page in self.by_page]
        for page in pages:
            found |= self.by_page[page]
        for block in found:
            assert block.translation is not None
            if block.at < end and start < block.at + len(block.translation.code):
                yield block

    def pc_of_record(self, record: int) -> int:
        """The guest pc of the instruction whose record this is."""
        pc = self.bodies.pc_of(record)
        if pc is None:
            pc = self.pages.pc_of(record)
        assert pc is not None, f"no record lies at {record:#x}"
        return pc
