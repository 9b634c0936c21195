"""Records of cold code, kept from one run of a program to the next.

Decoding and filling records takes 10 to 20 microseconds of Python for each guest instruction; a
small program meets ten thousand of them before its own first one.  So when a program ends, the
records of all its blocks are kept on disk, a *page image* for each page of code, all in one file
for each program.  The next run loads a page's image when the guest first comes to that page, and
only if the page's bytes are the same:

    digest      of the page, and of as much of the next one as its last instruction takes
    records     all blocks' records; links unset; handlers left out
    places      where in them a handler is wanted, and which (a number in the file's list)
    blocks      the pc of each block, and where its body starts
    facts       what Python would want to know of the blocks, msgpack

Loading is native (`rt_load`).  Block objects are made only of blocks that somebody asks for, as
they get hot or are thrown away.  Code in pages that the guest may write to is not kept.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from struct import Struct
from typing import Any, NamedTuple

from tcg.backend import Backend, Memory
from tcg.blocks import Block, BlockTable, Translation
from tcg.faults import GuestFault
from tcg.reading import PAGE
from tcg.state import Head, Notes, Record, unset_link

WORTH_KEEPING = 16
"""So many new blocks are worth writing the file anew."""
CHILDREN_WAIT = 2.0
"""Seconds for which the file must have been left alone for a forked child to write it anew."""
MOST_BYTES = 64 << 20
"""What the images of one program may take; beyond, those that were not used go."""
MOST_HANDLERS = MOST_UNITS = 1 << 16

_WORD = Struct("<Q")
_PLACE = Struct("<I")
_BLOCK = Struct("<QQ")


class PageImage(NamedTuple):
    """The records of one page of code; see above."""

    digest: bytes
    spill: int
    records: bytes
    places: bytes
    blocks: bytes
    facts: bytes


class Facts(NamedTuple):
    """A block of an image: where its body starts, and what its Translation has.

    All offsets are the body's own; `pcs` and `size` are relative to the block's pc.
    """

    body: int
    size: int
    code_size: int
    barrier: int | None
    instructions: int
    returns_to: int | None
    notes: int | None
    offsets: Sequence[int]
    pcs: Sequence[int]
    successors: Sequence[int]
    links: Sequence[int]


class LoadedPage:
    """An image that is in memory, at `base`, and the guest code from `start` on that it is of.

    `waiting`: its blocks without a Block, by pc.
    """

    is_loaded = False
    """These records are not part of others."""

    def __init__(self, base: int, image: PageImage, start: int, code: bytes) -> None:
        self.base = base
        self.start = start
        self.code = code
        self.size = len(image.records)
        self._packed = image.facts

    @cached_property
    def waiting(self) -> dict[int, Facts]:
        import msgpack

        return {pc: Facts(*facts) for pc, *facts in msgpack.unpackb(self._packed)}

    @cached_property
    def _rows(self) -> list[tuple[int, int]]:
        return sorted(
            (facts.body + offset, pc + delta)
            for pc, facts in self._all.items()
            for offset, delta in zip(facts.offsets, facts.pcs, strict=True)
        )

    @cached_property
    def _all(self) -> dict[int, Facts]:
        import msgpack

        return {pc: Facts(*facts) for pc, *facts in msgpack.unpackb(self._packed)}

    @cached_property
    def offsets(self) -> list[int]:
        """Where the records are, in order."""
        return [offset for offset, _ in self._rows]

    @cached_property
    def pcs(self) -> list[int]:
        """The guest pc of each record."""
        return [pc for _, pc in self._rows]


class KeptCode:
    """The page images of the program that runs.  Called with the world's lock held."""

    def __init__(self, backend: Backend, memory: Memory, table: BlockTable) -> None:
        self._backend = backend
        self._memory = memory
        self._table = table
        self._key: str | None = None
        self._symbols: list[str] = []
        self._handlers = array("Q")
        self._kept: dict[int, bytes] = {}
        """The images as they are on disk, by page."""
        self.waiting: dict[int, bytes] = {}
        """Those that nobody has asked for yet."""
        self._loaded: dict[int, list[LoadedPage]] = {}
        self._used: set[int] = set()
        self._new_blocks = 0
        self._new_pages: set[int] = set()
        self._is_child = False
        self.statistics = {"pages_loaded": 0, "pages_kept": 0}

    def open(self, key: str) -> None:
        """Another program starts: see what is kept of it."""
        self.forget()
        self._key = key
        found = self._backend.known_images(key)
        if found is None:
            return
        self._symbols, self._kept = found
        self._handlers = array("Q", self._backend.handler_addresses(self._symbols))
        self.waiting = dict(self._kept)

    def forget(self) -> None:
        """All code goes."""
        self._key = None
        self._symbols, self._handlers = [], array("Q")
        self._kept, self.waiting, self._loaded = {}, {}, {}
        self._used.clear()
        self.start_over()

    def start_over(self) -> None:
        """What was translated so far is no news."""
        self._new_blocks = 0
        self._new_pages.clear()

    def after_fork_in_child(self) -> None:
        """What was translated so far is the parent's, which may have many children like this."""
        self.start_over()
        self._is_child = True

    # -- loading ---------------------------------------------------------------------------

    def load(self, page: int) -> None:
        """Make the image of a page run, if the page's code is that which it was made from."""
        import msgpack

        image = PageImage(*msgpack.unpackb(self.waiting.pop(page)))
        start = page * PAGE
        places = array("I", image.places)
        try:
            self._memory.fetch(start, 1)
            for address in (start, start + PAGE)[: 2 if image.spill else 1]:
                self._memory.protect_code(address)
            code = self._memory.fetch(start, PAGE + image.spill)
        except GuestFault:
            return
        if self._backend.digest(code) != image.digest:
            return
        if not all(self._handlers[place >> 16] for place in places):
            return
        base = self._backend.load_records(image.records, self._handlers, image.places, image.blocks)
        made = LoadedPage(base, image, start, code)
        self._table.pages.add(base, made)
        for other in (page, page + 1)[: 2 if image.spill else 1]:
            self._loaded.setdefault(other, []).append(made)
        self._used.add(page)
        self.statistics["pages_loaded"] += 1

    # -- Block objects ---------------------------------------------------------------------

    def block(self, pc: int) -> Block | None:
        """The block of a loaded image at `pc`, made if nobody has asked for it before."""
        for page in self._loaded.get(pc // PAGE, ()):
            facts = page.waiting.pop(pc, None)
            if facts is not None:
                return self._block(pc, page, facts)
        return None

    def blocks(self, start: int, end: int) -> None:
        """Make the blocks of all images in a range, because they are going to be dropped."""
        first, last = start // PAGE, (end - 1) // PAGE
        if last - first < len(self._loaded):
            pages = [page for page in range(first, last + 1) if page in self._loaded]
        else:
            pages = [page for page in self._loaded if first <= page <= last]
        for page in pages:
            for loaded in self._loaded.pop(page):
                for pc in list(loaded.waiting):
                    self._block(pc, loaded, loaded.waiting.pop(pc))

    def _block(self, pc: int, page: LoadedPage, facts: Facts) -> Block | None:
        head = self._backend.head(pc)
        body = page.base + facts.body
        block = self._table.by_pc.get(pc)
        if block is None:
            block = self._table.by_pc[pc] = Block(pc, head)
        elif block.translation is not None:
            return block  # somebody translated it before its page was loaded
        if self._backend.read_pointer(head + Head.BODY) != body:
            return None
        code = page.code[pc - page.start : pc - page.start + facts.code_size]
        self._table.attach(
            block,
            Translation(
                body, facts.size, code, facts.offsets, [pc + delta for delta in facts.pcs],
                facts.successors, facts.barrier, facts.instructions, facts.returns_to,
                None if facts.notes is None else body + facts.notes, facts.links, is_loaded=True,
            ),
        )  # fmt: skip
        return block

    # -- keeping ---------------------------------------------------------------------------

    def note(self, pc: int) -> None:
        """A block was translated that no image had."""
        self._new_blocks += 1
        self._new_pages.add(pc // PAGE)

    def keep(self) -> None:
        """The program ends: write down what is new, if it is worth it."""
        if self._key is None or self._new_blocks < WORTH_KEEPING:
            return
        if self._is_child and self._backend.images_age(self._key) < CHILDREN_WAIT:
            return
        numbers = {symbol: number for number, symbol in enumerate(self._symbols)}
        by_address = self._backend.handler_symbols()
        images = dict(self._kept)
        for page in self._new_pages & self._table.by_page.keys():
            self.blocks(page * PAGE, (page + 1) * PAGE)
            made = _ImageMaker(self._backend, self._table, numbers, by_address).image(
                page, self._memory
            )
            if made is not None:
                images[page] = made
                self._used.add(page)
        self.start_over()
        if sum(map(len, images.values())) > MOST_BYTES:
            images = {page: image for page, image in images.items() if page in self._used}
        self.statistics["pages_kept"] = len(images)
        if len(numbers) < MOST_HANDLERS:
            self._backend.keep_images(self._key, list(numbers), images)


class _ImageMaker:
    """Makes the image of one page of the blocks that are translated now."""

    def __init__(
        self,
        backend: Backend,
        table: BlockTable,
        numbers: dict[str, int],
        by_address: Mapping[int, str],
    ) -> None:
        self._backend = backend
        self._table = table
        self._numbers = numbers
        self._by_address = by_address
        self._records = bytearray()
        self._places = bytearray()
        self._blocks = bytearray()
        self._facts: list[Any] = []

    def image(self, page: int, memory: Memory) -> bytes | None:
        """The packed image; None if nothing of the page is to be kept."""
        import msgpack

        start, end = page * PAGE, (page + 1) * PAGE
        if memory.may_change(start):
            return None
        spill = 0
        for block, translation in self._live(page):
            spill = max(spill, block.pc + len(translation.code) - end)
            self._add(block.pc, translation)
        if not self._facts or len(self._records) >= Record.SIZE * MOST_UNITS:
            return None
        if spill and memory.may_change(end):
            return None
        try:
            digest = self._backend.digest(memory.fetch(start, PAGE + spill))
        except GuestFault:
            return None
        packed: bytes = msgpack.packb(PageImage(
            digest, spill, bytes(self._records), bytes(self._places), bytes(self._blocks),
            msgpack.packb(self._facts),
        ))  # fmt: skip
        return packed

    def _live(self, page: int) -> Iterator[tuple[Block, Translation]]:
        for block in self._table.by_page[page]:
            translation = block.translation
            if translation is not None and block.pc // PAGE == page and translation.barrier is None:
                yield block, translation

    def _add(self, pc: int, translation: Translation) -> None:
        body = len(self._records)
        records = bytearray(self._backend.read_records(translation.body, translation.size))
        for offset in translation.offsets:
            (address,) = _WORD.unpack_from(records, offset)
            number = self._numbers.setdefault(self._by_address[address], len(self._numbers))
            self._places += _PLACE.pack((body + offset) // Record.SIZE | number << 16)
            _WORD.pack_into(records, offset, 0)
        for offset in translation.links:
            (link,) = _WORD.unpack_from(records, offset + Record.LINK)
            if not link & 1:
                target = self._pc_of(link)
                _WORD.pack_into(records, offset + Record.LINK, unset_link(target))
        notes = None if translation.notes is None else translation.notes - translation.body
        if notes is not None:
            records[notes : notes + Notes.SIZE] = bytes(Notes.SIZE)
        self._records += records
        self._blocks += _BLOCK.pack(pc, body)
        self._facts.append((
            pc, body, translation.size, len(translation.code), translation.barrier,
            translation.instructions, translation.returns_to, notes, translation.offsets,
            [one - pc for one in translation.pcs], translation.successors, translation.links,
        ))  # fmt: skip

    def _pc_of(self, address: int) -> int:
        pc = self._backend.read_pointer(address + Head.PC)
        is_head = self._backend.find_head(pc) == address
        return pc if is_head else self._table.pc_of_record(address)
