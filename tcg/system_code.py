"""The code cache of a whole machine: blocks by physical address and mode.

A block belongs to a *space*: a mode and where the code segment begins.  Within one, blocks are
linked and compiled together by their pcs; which physical page is behind a pc is asked of the MMU as
the guest would, at the time when the guest is there.

Writes to code are found by chunks of 64 bytes: the MMU lets all others through.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from tcg.backend import Backend
from tcg.blocks import Block, BlockTable, Translation
from tcg.faults import GuestFault
from tcg.forms import Form, Forms, Operand
from tcg.frontend import Frontend
from tcg.heat import Heat, Plan
from tcg.native.blocks import NativeBlocks
from tcg.reading import PAGE, CodeReader, leaves_page
from tcg.state import MODE_BITS, Head, Record, where_of
from tcg.translator import Decoded, Step, Translator

CHUNK = 64
MASK32, MASK64 = (1 << 32) - 1, (1 << 64) - 1
NOWHERE = MASK64
"""What the MMU answers for code that cannot be fetched."""
LONGEST = 15
"""Bytes of an instruction: what it may have of its second page is less."""
MOST_ALONE = 64
GARBAGE_BYTES = 8 << 20


class CodeMemory(Protocol):
    """What is asked of physical memory."""

    code_chunks: Any
    """For each page, a bit for each chunk that code was translated from."""
    code_bytes: Any
    """For each page, the host address of a bit for each such byte, or 0."""

    def read(self, address: int, length: int) -> bytes:
        """Bytes at a physical address."""

    def load(self, address: int, size: int) -> int:
        """What the processor reads, little endian; of devices too."""

    def watch_code(self, address: int) -> None:
        """Have writes to the page of an address noticed."""

    def unwatch_code(self, address: int) -> None:
        """Have them noticed no more."""

    def host_address(self, address: int) -> int:
        """Where RAM or ROM is on the host; 0 for a device."""


class FetchFault(GuestFault):
    """Code that paging does not let be fetched; the error code is in header.fault_code."""


@dataclass(frozen=True, slots=True)
class Space:
    """A mode and a code segment.  `code_space` is the header's field."""

    mode: int
    code_space: int
    is_long: bool

    @property
    def base(self) -> int:
        """The linear address of pc 0."""
        return self.code_space >> 32

    @property
    def pc_mask(self) -> int:
        """What of a key is the pc."""
        return MASK64 if self.is_long else MASK32

    def key(self, pc: int) -> int:
        """What a head at this pc has for its PC."""
        return pc + self.code_space & MASK64

    def linear(self, pc: int) -> int:
        """The linear address of a pc."""
        return pc if self.is_long else pc + self.base & MASK32


class SystemTranslator(Translator):
    """Translates the code of one mode; `space` and `locate` say where it is for now."""

    def __init__(
        self, frontend: Frontend, forms: Forms, backend: Backend, memory: CodeMemory
    ) -> None:
        super().__init__(frontend, forms, backend, self)  # type: ignore[arg-type]
        self.physical = memory
        self.backend = backend
        self.space: Space
        self.locate: Callable[[int], int]
        """The physical address of code at a linear one; raises FetchFault."""
        self.native: NativeBlocks | None = None
        self.second: tuple[int, int] | None = None
        """The linear and the physical address of the second page of the block translated last."""
        self.page_form = _page_form(backend.native["s_page"])

    def fetch(self, pc: int, length: int) -> bytes:
        """Code at `pc`, within a page; raises FetchFault."""
        physical = self.locate(self.space.linear(pc))
        if self.physical.host_address(physical):
            return self.physical.read(physical, length)
        return bytes(self.physical.load(physical + at, 1) for at in range(length))

    def reader(self, pc: int, watch: Callable[[int], None] | None = None) -> CodeReader:
        """Reads guest code by where its segment begins; raises FetchFault."""
        return CodeReader(self.frontend, self.fetch, pc, base=self.space.base)

    def translate(self, pc: int) -> Translation:
        """Translate the block at `pc`; raises FetchFault.

        A block ends before an instruction that reaches into the next page.  One that begins with
        such an instruction has no other; it looks each time where its second page is.
        """
        if self.native is not None and self.on_translated is None:
            made = self._natively(pc)
            if made is not None:
                return made
        code = self.reader(pc)
        decoded = self._decode(code)
        self.second = None
        if decoded.size > code.page_size:
            linear = self.space.linear(pc + code.page_size)
            self.second = linear, self.locate(linear)
            decoded.steps.insert(0, Step(pc, self.page_form, self.second))
            decoded.barrier = 0
        made = self._finish(pc, code, decoded, None)
        if self.native is not None:
            self.native.update(step.form.row for step in decoded.steps)
        return made

    def _natively(self, pc: int) -> Translation | None:
        """The block as native code makes it, if it can."""
        assert self.native is not None
        linear = self.space.linear(pc)
        host = self.physical.host_address(self.locate(linear))
        if not host:
            return None
        if not self.goto_form.address:
            self.maker.make_handlers([self.goto_form])
        self.second = None
        room, base = PAGE - linear % PAGE, self.space.base
        return self.native.translate(pc, host, room, base, self.limit, self.goto_form)

    def translate_alone(self, pc: int) -> Translation:
        """Translate just the instruction at `pc`; raises FetchFault."""
        limit, self.limit = self.limit, 1
        try:
            return self.translate(pc)
        finally:
            self.limit = limit

    def _decode(self, code: CodeReader, ends_at_store: bool = False) -> Decoded:
        decoded = super()._decode(code, ends_at_store)
        if decoded.size > code.page_size and len(decoded.steps) > 1:
            last = decoded.steps.pop()
            decoded.size = last.pc - code.pc
            decoded.is_open = True
            decoded.barrier = None
        return decoded

    def leaves_page(self, pc: int, target: int) -> bool:
        return leaves_page(pc, target, self.space.base)


def _page_form(address: int) -> Form:
    """The form of the record that looks where a block's second page is (`s_page`)."""
    operands = (Operand("linear", 8, 8, "linear"), Operand("physical", 16, 8, "physical"))
    return Form(
        "s_page", -1, ("linear", "physical"), operands, Record.SIZE, None, ends=False, falls=True,
        calls=False, notes_targets=False, stores=False, functions={}, address=address,
    )  # fmt: skip


@dataclass(slots=True)
class Pages:
    """Which blocks reach into a physical page from the one before, by that page."""

    straddling: dict[int, set[Block]] = field(default_factory=dict)

    def add(self, block: Block, physical: int) -> None:
        """A block reaches into the page of `physical`."""
        self.straddling.setdefault(physical // PAGE, set()).add(block)

    def into(self, page: int) -> set[Block]:
        """Those of a page that have not been dropped for what changed in their first one."""
        blocks = self.straddling.get(page)
        if blocks is None:
            return set()
        live = {block for block in blocks if block.translation is not None}
        self.straddling[page] = live
        return live

    def take(self, page: int) -> set[Block]:
        """Those of a page, which are dropped."""
        return self.straddling.pop(page, set())


class SystemCode:
    """Blocks, links between them, and regions.  Called with the world's lock held.

    `where(key)`: Head.WHERE for the CPU that is being run, or NOWHERE.
    """

    def __init__(
        self,
        backend: Backend,
        memory: CodeMemory,
        frontend: Callable[[int], Frontend],
        table: BlockTable,
        hot: Heat,
        is_long: Callable[[int], bool],
        links: bool = True,
    ) -> None:
        self.backend = backend
        self.memory = memory
        self.table = table
        self.hot = hot
        self.hot_entries = hot.hot_entries
        self.statistics = {"blocks": 0, "records": 0, "code_writes": 0}
        self.where: Callable[[int], int]
        self.protect: Callable[[int], None]
        self.native_blocks: Callable[[Any, Forms], NativeBlocks | None] = lambda *_: None
        """Makes what translates the blocks of a mode natively."""
        self.limit: int | None = None
        self.on_translated: Callable[[int, bytes], None] | None = None
        self._frontend = frontend
        self._is_long = is_long
        self._spaces: dict[tuple[int, int], Space] = {}
        self._translators: dict[int, SystemTranslator] = {}
        self._here: Space
        self._pages = Pages()
        self._bodies: dict[int, Block] = {}
        self._dead: list[Translation] = []
        self._dead_bytes = 0
        self._alone: deque[Translation] = deque()
        self._exact: set[int] = set()
        """Pages whose code is watched by bytes."""
        hot.translate = self._translated_here
        hot.known = self._known_here
        hot.heads_of = self._heads_of
        hot.place_of = self._place_of
        backend.set_rules(1 if links else 0, True)

    # -- where ---------------------------------------------------------------------------------

    def space(self, mode: int, code_space: int) -> Space:
        """The space of a mode and a code segment."""
        found = self._spaces.get((mode, code_space))
        if found is None:
            found = Space(mode, code_space, self._is_long(mode))
            self._spaces[mode, code_space] = found
        return found

    def translator(self, space: Space) -> SystemTranslator:
        """The translator of a mode, made ready for a space."""
        made = self._translators.get(space.mode)
        if made is None:
            frontend = self._frontend(space.mode)
            forms = Forms(frontend)
            self.backend.load_handlers(forms)
            made = SystemTranslator(frontend, forms, self.backend, self.memory)
            made.locate = self.locate
            made.on_translated = self.on_translated
            made.native = self.native_blocks(frontend, forms)
            self._translators[space.mode] = made
            if self.limit is not None:
                made.limit = self.limit
        made.space = space
        self._here = space
        return made

    def locate(self, linear: int) -> int:
        """The physical address of code; raises FetchFault."""
        space = self._here
        where = self.where(linear if space.is_long else linear - space.base + space.code_space)
        if where == NOWHERE:
            raise FetchFault(linear)
        return where >> MODE_BITS

    # -- blocks --------------------------------------------------------------------------------

    def enter(self, space: Space, pc: int) -> int:
        """The head to enter the block at `pc` by, once it is translated; raises FetchFault."""
        key = space.key(pc)
        where = self._where_is(space, pc)
        head = self.backend.find_head(key, where)
        if head and self.backend.read_pointer(head) != self.backend.native["h_untranslated"]:
            return head
        return self._translated(space, pc, where).head

    def _where_is(self, space: Space, pc: int) -> int:
        """Head.WHERE of the block at `pc`; raises FetchFault."""
        where = self.where(space.key(pc))
        if where == NOWHERE:
            raise FetchFault(space.linear(pc))
        return where

    def _translated(self, space: Space, pc: int, where: int) -> Block:
        key = space.key(pc)
        block = self.table.by_pc.get((key, where))
        if block is None:
            head = self.backend.head(key, where)
            block = Block(pc, head, at=where >> MODE_BITS, space=space)
            self.table.by_pc[key, where] = block
        if block.translation is None:
            translator = self.translator(space)
            self._attach(block, translator.translate(pc), translator.second)
        return block

    def _translated_here(self, pc: int) -> Block:
        space = self._here
        return self._translated(space, pc, self._where_is(space, pc))

    def _known_here(self, pc: int) -> Block | None:
        key = self._here.key(pc)
        where = self.where(key)
        return None if where == NOWHERE else self.table.by_pc.get((key, where))

    def _attach(
        self, block: Block, translation: Translation, second: tuple[int, int] | None
    ) -> None:
        self.table.attach(block, translation)
        self._bodies[translation.body] = block
        self.statistics["blocks"] += 1
        self.statistics["records"] += translation.instructions
        self.backend.write_pointer(block.head + Head.BODY, translation.body)
        self._watch(block.at, min(len(translation.code), PAGE - block.at % PAGE))
        if second is not None:
            self._pages.add(block, second[1])
            self._watch(second[1], len(translation.code) - (PAGE - block.at % PAGE))
        self.hot.cool(block)

    def _watch(self, start: int, length: int) -> None:
        """Have writes to these bytes, within a page, noticed."""
        page = start // PAGE
        chunks = self.memory.code_chunks
        if not chunks[page]:
            self.memory.watch_code(start)
            self.protect(page * PAGE)
        chunks[page] |= chunk_bits(start, length)
        if page in self._exact:
            self._add_bits(page, start % PAGE, length)

    # -- records and heads -----------------------------------------------------------------------

    def head_at(self, record: int) -> Block | None:
        """The block whose head this is, if it is one."""
        key = self.backend.read_pointer(record + Head.PC)
        where = self.backend.read_pointer(record + Head.WHERE)
        if self.backend.find_head(key, where) != record:
            return None
        return self.table.by_pc.get((key, where))

    def pc_of_record(self, record: int, pc_mask: int) -> int:
        """The pc of the instruction whose record this is (or of a head)."""
        key = self.backend.read_pointer(record + Head.PC)
        where = self.backend.read_pointer(record + Head.WHERE)
        if self.backend.find_head(key, where) == record:
            return key & pc_mask
        return self.table.pc_of_record(record)

    # -- heat ------------------------------------------------------------------------------------

    def heat(self, space: Space, head: int) -> int:
        """A head's counter ran out: have its block compiled, give the way on meanwhile."""
        block = self.head_at(head)
        assert block is not None
        self._here = space
        self.hot.pc_mask = space.pc_mask
        self.translator(space)
        self.hot.heat(block)
        return head if block.translation is None else block.translation.body

    def _heads_of(self, plan: Plan) -> Callable[[int], int]:
        """Regions lead by heads only to pages that they have blocks in."""
        space: Space = plan.entries[0].space
        pages = {space.linear(block.pc) // PAGE: block.at // PAGE for block in plan.members}

        def head(pc: int) -> int:
            linear = space.linear(pc)
            physical = pages[linear // PAGE] * PAGE + linear % PAGE
            return self.backend.head(space.key(pc), where_of(physical, space.mode))

        return head

    def _place_of(self, block: Block) -> dict[str, Any]:
        space: Space = block.space
        return {
            "frontend": self._frontend(space.mode).place,
            "code_space": space.code_space,
        }

    # -- writes ------------------------------------------------------------------------------------

    def store(self, space: Space, pc: int, start: int, end: int) -> int:
        """An instruction at `pc` is about to write to code at physical [start, end), in a page.

        Gives the record to go on with, which does it.  Where only data is written that lies close
        to code, the page's code is watched by bytes from then on.
        """
        self.statistics["code_writes"] += 1
        if not self.invalidate(start, end):
            self._watch_bytes(start // PAGE)
        return self.alone(space, pc).body

    def alone(self, space: Space, pc: int) -> Translation:
        """The instruction at `pc` by itself, to be run once; raises FetchFault.

        The records of those from long ago go.
        """
        alone = self.translator(space).translate_alone(pc)
        self.table.bodies.add(alone.body, alone)
        self._alone.append(alone)
        if len(self._alone) > MOST_ALONE:
            old = self._alone.popleft()
            self.table.forget(old)
            self.backend.free(old.body, old.size)
        return alone

    def invalidate(self, start: int, end: int) -> bool:
        """Physical memory in [start, end) has changed, or will at once; gives whether code has."""
        chunks = self.memory.code_chunks
        found = False
        for page in range(start // PAGE, (end - 1) // PAGE + 1):
            if not chunks[page]:
                continue
            first, last = max(start, page * PAGE), min(end, (page + 1) * PAGE)
            if not chunks[page] & chunk_bits(first, last - first):
                continue
            blocks = [*self.table.overlapping(first, last)]
            if first % PAGE < LONGEST:
                blocks += self._pages.take(page)
            for block in blocks:
                if block.translation is not None:
                    self._drop(block)
                    found = True
            self._mark(page)
        return found

    def _extents(self, page: int) -> Iterator[tuple[int, int]]:
        """Where in a page code was translated from: offsets and lengths."""
        for block in self.table.by_page.get(page, ()):
            assert block.translation is not None
            if block.at // PAGE == page:
                yield block.at % PAGE, len(block.translation.code)
        for block in self._pages.into(page):
            assert block.translation is not None
            yield 0, len(block.translation.code) - (PAGE - block.at % PAGE)

    def _mark(self, page: int) -> None:
        """Say anew where a page has code."""
        bits = code = 0
        for at, length in self._extents(page):
            length = min(length, PAGE - at)
            bits |= chunk_bits(at, length)
            code |= ((1 << length) - 1) << at
        self.memory.code_chunks[page] = bits
        if not bits:
            self.memory.unwatch_code(page * PAGE)
        if page in self._exact:
            self._write_bits(page, code)

    def _watch_bytes(self, page: int) -> None:
        """Have writes close to code let through."""
        if page not in self._exact:
            self._exact.add(page)
            self.memory.code_bytes[page] = self.backend.allocate(PAGE // 8)
            self._mark(page)

    def _write_bits(self, page: int, code: int) -> None:
        start = self.memory.code_bytes[page] - self.backend.base
        self.backend.view[start : start + PAGE // 8] = code.to_bytes(PAGE // 8, "little")

    def _add_bits(self, page: int, at: int, length: int) -> None:
        start = self.memory.code_bytes[page] - self.backend.base
        code = int.from_bytes(self.backend.view[start : start + PAGE // 8], "little")
        self._write_bits(page, code | ((1 << length) - 1) << at)

    def _drop(self, block: Block) -> None:
        translation = block.translation
        assert translation is not None
        for region in list(block.member_of):
            self.hot.drop(region)
        native = self.backend.native["h_untranslated"]
        self.backend.write_pointer(block.head + Head.CODE, native)
        self.table.detach(block)
        # The head stays, as links lead to it; another block may come to stand behind it.
        del self.table.by_pc[block.space.key(block.pc), where_of(block.at, block.space.mode)]
        self._bodies.pop(translation.body, None)
        self._dead.append(translation)
        self._dead_bytes += translation.size

    @property
    def has_garbage(self) -> bool:
        """It is worth giving memory back."""
        return self._dead_bytes > GARBAGE_BYTES

    def collect(self) -> None:
        """Give back what was dropped; while the processor is outside guest code.

        A link may still lead to the head of a dropped block, never to its body.
        """
        self.hot.collect()
        for translation in self._dead:
            self.table.forget(translation)
            self.backend.free(translation.body, translation.size)
        self._dead.clear()
        self._dead_bytes = 0

    def recheck(self, record: int) -> None:
        """A block's second page is another one: the block goes."""
        block = self._bodies.get(record)
        if block is not None and block.translation is not None:
            self._drop(block)


def chunk_bits(start: int, length: int) -> int:
    """The chunks that bytes of one page touch, as bits."""
    first, last = start % PAGE // CHUNK, (start + max(length, 1) - 1) % PAGE // CHUNK
    return (MASK64 << first) & (MASK64 >> (63 - last))
