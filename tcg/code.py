"""The code cache of a guest process: which guest code has which native code.

Cold blocks have records, hot ones a region; a block's head says which.  Everything here is called
with the world's lock held.  What is dropped stays in memory until nobody can be in it any more:
`collect` gives it back while the world is stopped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tcg.backend import Backend, Memory, OutOfCodeSpace
from tcg.blocks import Block, BlockTable, Translation
from tcg.forms import Forms
from tcg.frontend import Frontend
from tcg.state import JUMP_CACHE_BITS, Head, Record
from tcg.translator import PAGE, Translator
from tcg.world import World

NEVER = 0x7FFFFFFF
REGION_INSTRUCTIONS = 400
REGION_BLOCKS = 80
GARBAGE_BYTES = 32 << 20
"""Records that lie about unused before the world is stopped to give them back."""


class CodeCache:
    """Blocks, links between them, and regions.

    `hot_entries`: entries of a block before it is compiled; 0 compiles nothing.  `links`: whether
    blocks are linked at all; without, every block comes back to the run loop.
    """

    def __init__(
        self,
        frontend: Frontend,
        memory: Memory,
        backend: Backend,
        forms: Forms,
        world: World,
        hot_entries: int,
        links: bool = True,
    ) -> None:
        self.frontend = frontend
        self.memory = memory
        self.backend = backend
        self.world = world
        self.hot_entries = hot_entries
        self.links = links
        self.table = BlockTable()
        self.translator = Translator(frontend, forms, backend, memory.fetch)
        self.statistics = {"blocks": 0, "records": 0, "regions": 0, "region_instructions": 0}
        self.exact = False
        self.parallel = False
        self.jump_cache = backend.new_jump_cache()
        self._epoch = 0
        self._regions: dict[Block, None] = {}
        self._dead_regions: list[Any] = []
        self._dead_bodies: list[Translation] = []
        self._dead_bytes = 0

    # -- blocks ----------------------------------------------------------------------------

    def translated(self, pc: int) -> Block:
        """The block at `pc`, translated; raises GuestFault."""
        block = self.block(pc)
        if block.translation is None:
            self.memory.protect_code(pc)
            code = self.memory.fetch(pc, PAGE - pc % PAGE)
            self._attach(block, self.translator.translate(pc, code))
        return block

    def block(self, pc: int) -> Block:
        """The block at `pc`; it has a head, but maybe no translation yet."""
        block = self.table.by_pc.get(pc)
        if block is None:
            block = Block(pc, self._new_head(pc))
            self.table.add(block)
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
        self._set_code_cold(block)

    def _set_code_cold(self, block: Block) -> None:
        assert block.translation is not None
        counts = self.hot_entries and self.links and block.translation.barrier != 0
        native = self.backend.native["h_count" if counts else "h_body"]
        self.backend.write_word(block.head + Head.COUNTER, self.hot_entries)
        self.backend.write_pointer(block.head + Head.CODE, native)

    def _new_head(self, pc: int) -> int:
        head = self.backend.allocate(Head.SIZE)
        self.backend.write_pointer(head + Head.PC, pc)
        self.backend.write_pointer(head + Head.CODE, self.backend.native["h_untranslated"])
        return head

    def follow_link(self, record: int) -> int:
        """Translate what a record's link leads to, set the link, and give the way in."""
        way_in = self.way_in(self.translated(self.translator.links[record]))
        if self.links:
            self.backend.write_pointer(record + Record.LINK, way_in)
        return way_in

    def follow_jump(self, pc: int) -> int:
        """Translate an indirect target, enter it in the jump cache, and give the way in."""
        block = self.translated(pc)
        if self.links:
            index = (pc >> self.frontend.pc_shift) & ((1 << JUMP_CACHE_BITS) - 1)
            self.backend.write_pointer(self.jump_cache + 8 * index, block.head)
        return self.way_in(block)

    # -- regions ---------------------------------------------------------------------------

    def heat(self, head: int, listings: Sequence[str], log: Any) -> int:
        """A head's counter ran out: have its block compiled, give the way on meanwhile."""
        block = self.table.by_head[head]
        self.backend.write_word(head + Head.COUNTER, NEVER)
        if block.translation is None:
            return head
        body = block.translation.body
        if not block.tried:
            block.tried = True
            self._request(block, listings, log)
        return body

    def _request(self, head: Block, listings: Sequence[str], log: Any) -> None:
        members = self._grow(head)
        translations = [block.translation for block in members]
        request = {
            "blocks": [_region_code(block) for block in members],
            "exact": self.exact,
            "parallel": self.parallel,
            "listings": list(listings),
        }
        epoch = self._epoch

        def done(compiled: Any) -> None:
            with self.world.lock:
                now = [block.translation for block in members]
                if epoch != self._epoch or now != translations:
                    head.tried = False
                elif compiled is not None:
                    self._install(head, members, compiled)
                    for item, text in compiled["listings"].items():
                        log.write(item, text)

        self.backend.submit_region(request, done)

    def _grow(self, head: Block) -> list[Block]:
        """The blocks of a region: breadth first along static successors already translated."""
        members, count = [head], 0
        seen = {head}
        for block in members:
            assert block.translation is not None
            count += block.translation.instructions
            for pc in _ways_on(block.translation):
                other = self.table.by_pc.get(pc)
                if other is None or other in seen or not self._may_join(other, members, count):
                    continue
                seen.add(other)
                members.append(other)
        return members

    @staticmethod
    def _may_join(block: Block, members: list[Block], count: int) -> bool:
        translation = block.translation
        if translation is None or translation.barrier == 0 or len(members) >= REGION_BLOCKS:
            return False
        return count + translation.instructions <= REGION_INSTRUCTIONS

    def _install(self, head: Block, members: list[Block], compiled: Any) -> None:
        try:
            made = self.backend.install_region(compiled, self._head_at)
        except OutOfCodeSpace:
            with self.world.stop():
                self._evict()
            made = self.backend.install_region(compiled, self._head_at)
        head.region, address = made
        self._regions[head] = None
        for block in members:
            block.member_of.add(head)
        self.backend.write_pointer(head.head + Head.CODE, address)
        self.statistics["regions"] += 1
        self.statistics["region_instructions"] += compiled["instructions"]

    def _head_at(self, pc: int) -> int:
        return self.block(pc).head

    def _evict(self) -> None:
        """Drop the older half of the regions; they come back if they are still hot."""
        for head in list(self._regions)[: len(self._regions) // 2 + 1]:
            self._drop_region(head)
        self._collect_regions()

    # -- invalidation ----------------------------------------------------------------------

    def invalidate(self, start: int, end: int) -> None:
        """Code in [start, end) has changed or is gone."""
        for block in list(self.table.overlapping(start, end)):
            self._drop(block)

    def drop_written(self) -> None:
        """Invalidate what was translated from pages that were written since."""
        for page in self.memory.take_dirty():
            self.invalidate(page, page + PAGE)

    def drop_all(self) -> None:
        """Another program takes this one's place."""
        self._epoch += 1
        for block in list(self.table.by_pc.values()):
            if block.translation is not None:
                self._drop(block)
        self.exact = self.parallel = False

    def drop_regions(self) -> None:
        """Regions must be made anew, in another mode."""
        self._epoch += 1
        for block in self.table.by_pc.values():
            self._drop_region(block)
            block.tried = False
            if block.translation is not None:
                self._set_code_cold(block)

    def _drop(self, block: Block) -> None:
        translation = block.translation
        assert translation is not None
        native = self.backend.native["h_untranslated"]
        self.backend.write_pointer(block.head + Head.CODE, native)
        # Links of other blocks may lead straight to the body.
        self.backend.write_pointer(translation.body + Record.HANDLER, native)
        for offset in translation.offsets:
            self.translator.links.pop(translation.body + offset, None)
        self.table.detach(block)
        for head in block.member_of:
            self._drop_region(head)
        block.member_of.clear()
        block.tried = False
        if self.hot_entries:
            self._dead_bodies.append(translation)
            self._dead_bytes += translation.size

    def _drop_region(self, head: Block) -> None:
        if head.region is None:
            return
        self._dead_regions.append(head.region)
        self._regions.pop(head, None)
        head.region = None
        head.tried = False
        if head.translation is not None:
            self._set_code_cold(head)

    @property
    def has_garbage(self) -> bool:
        """It is worth stopping the world to give memory back."""
        return self._dead_bytes > GARBAGE_BYTES

    def collect(self) -> None:
        """Give back what was dropped.  Only while the world is stopped."""
        self._collect_regions()
        for translation in self._dead_bodies:
            self.table.forget(translation)
            self.backend.free(translation.body, translation.size)
        self._dead_bodies.clear()
        self._dead_bytes = 0

    def _collect_regions(self) -> None:
        for handle in self._dead_regions:
            self.backend.release_region(handle)
        self._dead_regions.clear()

    def after_fork_in_child(self) -> None:
        """What the parent asked its worker for will not come here."""
        self._epoch += 1
        for block in self.table.by_pc.values():
            if block.region is None and block.tried and block.translation is not None:
                block.tried = False
                self._set_code_cold(block)


def _ways_on(translation: Translation) -> Sequence[int]:
    return translation.successors if translation.barrier is None else ()


def _region_code(block: Block) -> tuple[int, bytes]:
    """What a region takes of a block: its code, up to the first barrier."""
    translation = block.translation
    assert translation is not None
    return block.pc, translation.code[: translation.barrier]
