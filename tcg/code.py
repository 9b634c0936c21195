"""The code cache of a guest process: which guest code has which native code.

Cold blocks have records, hot ones a region; a block's head says which.  Everything here is called
with the world's lock held.  What is dropped stays in memory until nobody can be in it any more:
`collect` gives it back while the world is stopped.
"""

from __future__ import annotations

from tcg.backend import Backend, Memory
from tcg.blocks import Block, BlockTable, Translation
from tcg.forms import Forms
from tcg.frontend import Frontend
from tcg.heat import Heat
from tcg.kept import KeptCode
from tcg.reading import PAGE
from tcg.state import Check, Head, Record
from tcg.translator import Translator

GARBAGE_BYTES = 32 << 20
"""Records that lie about unused before the world is stopped to give them back."""


WRITES_TO_CHECK, WRITES_AGAIN = 24, 8
"""Stores into a page of code before its blocks check themselves; and after a quiet time."""
FIRST_PATIENCE, MOST_PATIENCE = 50_000, 1 << 30
"""How often a block checks itself before its page is watched again."""


class CodeCache:
    """Blocks, links between them, and regions.

    `links`: whether blocks are linked at all; without, every block comes back to the run loop.
    """

    def __init__(
        self,
        frontend: Frontend,
        memory: Memory,
        backend: Backend,
        forms: Forms,
        table: BlockTable,
        hot: Heat,
        links: bool = True,
    ) -> None:
        self.frontend = frontend
        self.memory = memory
        self.backend = backend
        self.hot_entries = hot.hot_entries
        self.table = table
        self.translator = Translator(frontend, forms, backend, memory)
        self.statistics = {"blocks": 0, "records": 0}
        self.jump_cache = backend.new_jump_cache()
        self.hot = hot
        hot.translate = self.translated
        hot.known = self.known
        hot.head_at = backend.head
        backend.set_cold(
            backend.native["h_count" if self.hot_entries else "h_body"], self.hot_entries
        )
        where = 0 if not links else 1 if self.hot_entries else 2
        backend.set_rules(where, frontend.notices_stores)
        if frontend.notices_stores:
            hot.may_change = memory.may_change
        self._writes: dict[int, int] = {}
        self._patience: dict[int, int] = {}
        self.kept = KeptCode(backend, memory, table)
        self._dead_bodies: list[Translation] = []
        self._dead_bytes = 0

    # -- blocks ----------------------------------------------------------------------------

    def enter(self, pc: int) -> int:
        """The record to enter the block at `pc` by, once it is translated; raises GuestFault."""
        if pc // PAGE in self.kept.waiting:
            self.kept.load(pc // PAGE)
        head = self.backend.find_head(pc)
        if head and self.backend.read_pointer(head) != self.backend.native["h_untranslated"]:
            if self.hot_entries:
                return head
            return self.backend.read_pointer(head + Head.BODY)
        return self.way_in(self.translated(pc))

    def translated(self, pc: int) -> Block:
        """The block at `pc`, translated; raises GuestFault."""
        if pc // PAGE in self.kept.waiting:
            self.kept.load(pc // PAGE)
        block = self.known(pc)
        if block is None:
            block = self.table.by_pc[pc] = Block(pc, self.backend.head(pc))
        if block.translation is None:
            self._attach(block, self.translator.translate(pc))
            self.kept.note(pc)
        return block

    def known(self, pc: int) -> Block | None:
        """The block at `pc`, if there is one."""
        block = self.table.by_pc.get(pc)
        if block is None or block.translation is None:
            return self.kept.block(pc) or block
        return block

    def way_in(self, block: Block) -> int:
        """The record to enter a block by: its head where entries count, else its body."""
        if self.hot_entries or block.translation is None:
            return block.head
        return block.translation.body

    def _attach(self, block: Block, translation: Translation) -> None:
        self.table.attach(block, translation)
        self.statistics["blocks"] += 1
        self.statistics["records"] += translation.instructions
        self.backend.write_pointer(block.head + Head.BODY, translation.body)
        self.hot.cool(block)

    def pc_of_record(self, record: int) -> int:
        """The guest pc of the instruction whose record this is (or of a head)."""
        pc = self.backend.read_pointer(record + Head.PC)
        return pc if self.backend.find_head(pc) == record else self.table.pc_of_record(record)

    def heat(self, head: int) -> int:
        """A head's counter ran out: have its block compiled, give the way on meanwhile."""
        block = self.known(self.backend.read_pointer(head + Head.PC))
        assert block is not None
        self.hot.heat(block)
        return head if block.translation is None else block.translation.body

    # -- stores into code that take effect at once ---------------------------------------------

    def store(self, pc: int, record: int, address: int) -> int:
        """A store at `pc` is about to change code: give the record to go on with, which does it.

        A page that sees many such stores has code and data on it, or code that changes itself all
        the time: its blocks check themselves from then on, and it stays open.
        """
        page = address // PAGE
        self.memory.open_code(address)
        self.invalidate(page * PAGE, (page + 1) * PAGE)
        self._writes[page] = writes = self._writes.get(page, 0) + 1
        if writes == WRITES_TO_CHECK:
            self.translator.checked[page] = self._patience.setdefault(page, FIRST_PATIENCE)
        if record and page not in (pc // PAGE, (pc + self.frontend.max_size - 1) // PAGE):
            return record
        alone = self.translator.translate_alone(pc)
        self.table.bodies.add(alone.body, alone)
        return alone.body

    def recheck(self, pc: int, record: int) -> int:
        """A block's code is not what it was, or it was checked for long: give the way on."""
        size = self.backend.read_word(record + Check.SIZE)
        code = self.backend.read_pointer(record + Check.CODE)
        page = pc // PAGE
        if self.memory.fetch(pc, size) != self.backend.read_records(code, size):
            self.invalidate(pc, pc + 1)
        else:
            # Maybe nobody writes there any more; if somebody does, we shall try again later.
            self.translator.checked.pop(page, None)
            self._patience[page] = min(self._patience.get(page, 1) * 4, MOST_PATIENCE)
            self._writes[page] = WRITES_TO_CHECK - WRITES_AGAIN
            self.memory.open_code(pc)
            self.invalidate(page * PAGE, (page + 1) * PAGE)
        return self.enter(pc)

    # -- invalidation ----------------------------------------------------------------------

    def invalidate(self, start: int, end: int) -> None:
        """Code in [start, end) has changed or is gone."""
        self.kept.blocks(start, end)
        for block in list(self.table.overlapping(start, end)):
            self._drop(block)

    def drop_written(self) -> bool:
        """Invalidate what was translated from pages that were written since, if there are any."""
        pages = self.memory.take_dirty()
        for page in pages:
            self.invalidate(page, page + PAGE)
        return bool(pages)

    def drop_all(self) -> None:
        """Another program takes this one's place.  Only while the world is stopped."""
        self.hot.drop_all()
        self.hot.collect()
        self.hot.exact = self.hot.parallel = False
        self.backend.forget_heads()
        for block in self.table.by_pc.values():
            block.translation = None
        self.table.by_pc.clear()
        self.table.by_page.clear()
        for rows in (self.table.bodies, self.table.pages):
            for start, size in rows.clear():
                self.backend.free(start, size)
        self._dead_bodies.clear()
        self._dead_bytes = 0
        self.kept.forget()
        self.translator.checked.clear()
        self._writes.clear()

    def _drop(self, block: Block) -> None:
        translation = block.translation
        assert translation is not None
        for region in list(block.member_of):
            self.hot.drop(region)
        native = self.backend.native["h_untranslated"]
        self.backend.write_pointer(block.head + Head.CODE, native)
        # Links of other blocks may lead straight to the body.
        self.backend.write_pointer(translation.body + Record.HANDLER, native)
        self.table.detach(block)
        if self.hot_entries:
            self._dead_bodies.append(translation)
            self._dead_bytes += translation.size

    @property
    def has_garbage(self) -> bool:
        """It is worth stopping the world to give memory back."""
        return self._dead_bytes > GARBAGE_BYTES

    def collect(self) -> None:
        """Give back what was dropped.  Only while the world is stopped."""
        self.hot.collect()
        for translation in self._dead_bodies:
            self.table.forget(translation)
            if not translation.is_loaded:
                self.backend.free(translation.body, translation.size)
        self._dead_bodies.clear()
        self._dead_bytes = 0
