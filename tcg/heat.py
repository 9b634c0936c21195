"""Hot blocks: which to compile together, and what becomes of the result.

A block that was entered often grows a region along static successors that were executed too.  A
region may have several *entries*: its first block, and the places where calls that leave it come
back.  While it is being compiled its blocks run on in handlers and do not count; afterwards the
entries' heads lead to it.  A block that is inside and still often entered from outside becomes
one more entry of the region, which is then compiled anew, rather than a copy of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Any

from tcg.backend import Backend, OutOfCodeSpace
from tcg.blocks import Block, BlockTable, Region, Translation
from tcg.faults import GuestFault
from tcg.log import Log
from tcg.state import Head, Notes
from tcg.world import World

NEVER = 0x7FFFFFFF
_NOTES = Struct(f"<{Notes.COUNT}i")
REGION_INSTRUCTIONS = 400
REGION_BLOCKS = 80
REGION_ENTRIES = 32
MOST_ASKED = 8
"""Regions that are being compiled or wait for it; a block that gets hot then counts on for longer,
to be asked for before others if it is hotter than they are."""
DEFERRED = 4
"""How many times longer."""
WARM_ENTRIES = 8
"""Entries that a block must have had to be taken into another one's region."""
COVERED_ENTRIES = 200_000
"""Entries of a block, other than through the region it is part of, before it becomes an entry."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A region that is asked for: its blocks, the entries first."""

    entries: tuple[Block, ...]
    members: tuple[Block, ...]
    translations: tuple[Translation, ...]
    exact: bool

    @property
    def is_current(self) -> bool:
        """Nothing that the region was made from has changed."""
        return all(b.translation is t for b, t in zip(self.members, self.translations, strict=True))


class Heat:
    """Grows regions and installs them.  Everything is called with the world's lock held."""

    def __init__(
        self,
        backend: Backend,
        table: BlockTable,
        world: World,
        log: Log,
        listings: Sequence[str],
        hot_entries: int,
    ) -> None:
        self.backend = backend
        self.table = table
        self.world = world
        self.log = log
        self.listings = list(listings)
        self.hot_entries = hot_entries
        self.exact = False
        self.parallel = False
        self.statistics = {"regions": 0, "region_instructions": 0}
        self.translate: Callable[[int], Block]
        self.known: Callable[[int], Block | None]
        self.head_at: Callable[[int], int]
        self.heads_of: Callable[[Plan], Callable[[int], int]] = lambda _: self.head_at
        """How the heads of the places are found that a region leads to."""
        self.place_of: Callable[[Block], dict[str, Any]] = lambda _: {}
        """What else tells the code of a block from other code with the same bytes."""
        self.pc_mask = (1 << 64) - 1
        """What of a head's PC is the pc."""
        self.may_change: Callable[[int], bool] = lambda _: False
        """Whether the guest may write to a page, and notices that at once."""
        self._epoch = 0
        self._asked = 0
        self._regions: dict[Region, None] = {}
        self._dead: list[Any] = []

    # -- counting --------------------------------------------------------------------------

    def cool(self, block: Block) -> None:
        """A block with a translation and no region starts to count."""
        counts = self.hot_entries and block.translation and block.translation.barrier != 0
        self._count(block, self.hot_entries)
        native = self.backend.native["h_count" if counts else "h_body"]
        self.backend.write_pointer(block.head + Head.CODE, native)

    def _count(self, block: Block, entries: int) -> None:
        self.backend.write_word(block.head + Head.COUNTER, entries)

    def heat(self, block: Block) -> None:
        """A block's counter ran out."""
        self._count(block, NEVER)
        if block.is_pending or block.translation is None or block.region is not None:
            return
        outer = next((r for r in block.member_of if len(r.entries) < REGION_ENTRIES), None)
        if outer is not None:
            also = (other for other in outer.members if self._is_busy(other))
            self._request(self._plan((*outer.entries, block, *also), outer.members))
        elif not self._reuse(block):
            if self._is_crowded:
                self._count(block, DEFERRED * self.hot_entries)
                return
            members = self._grow(block)
            self._request(self._plan((block, *_return_entries(members)), members))

    @property
    def _is_crowded(self) -> bool:
        """So much is being compiled that the hottest blocks had better come first."""
        return self._asked >= MOST_ASKED and self.hot_entries >= MOST_ASKED

    def _is_busy(self, block: Block) -> bool:
        """A covered block that is on its way to become an entry too."""
        left = self.backend.read_word(block.head + Head.COUNTER)
        return block.region is None and left < COVERED_ENTRIES // 2

    def _plan(self, entries: Sequence[Block], members: Sequence[Block]) -> Plan:
        first = tuple(dict.fromkeys(entries))[:REGION_ENTRIES]
        ordered = tuple(dict.fromkeys((*first, *members)))
        translations = tuple(_translation(block) for block in ordered)
        return Plan(first, ordered, translations, self._is_exact(ordered[0]))

    def _is_exact(self, block: Block) -> bool:
        """Whether a region of this block must be exact: a store of its own may change it."""
        return self.exact or self.may_change(block.pc)

    # -- growing ---------------------------------------------------------------------------

    def _grow(self, head: Block) -> list[Block]:
        """Breadth first along successors that have been executed, up to a limit."""
        members, seen = [head], {head}
        count = _translation(head).instructions
        may_change = self.may_change(head.pc)
        for block in members:
            for other in self._neighbours(_translation(block)):
                if other in seen or len(members) >= REGION_BLOCKS:
                    continue
                if self.may_change(other.pc) != may_change:
                    continue
                size = _translation(other).instructions
                if count + size <= REGION_INSTRUCTIONS:
                    seen.add(other)
                    members.append(other)
                    count += size
        return members

    def _neighbours(self, translation: Translation) -> Iterator[Block]:
        if translation.barrier is not None:
            return
        for pc in (*translation.successors, *self._jump_targets(translation)):
            block = self._to_join(pc)
            if block is not None:
                yield block

    def _jump_targets(self, translation: Translation) -> list[int]:
        """Where the computed jump at a block's end went more than once or twice, the newest first.

        Nothing is known of one that goes to more places than are noted.
        """
        if translation.notes is None:
            return []
        here = translation.notes
        distances = [*filter(None, _NOTES.unpack(self.backend.read_records(here, Notes.SIZE)))]
        if len(distances) == Notes.COUNT:
            return []
        keys = (self.backend.read_pointer(here + far + Head.PC) for far in distances)
        targets = [key & self.pc_mask for key in keys]
        return [pc for pc in targets if self._to_join(pc) is not None]

    def _to_join(self, pc: int) -> Block | None:
        """The block at a place, if it may be taken into a region."""
        block = self.known(pc)
        return block if block is not None and self._may_join(block) else None

    def _may_join(self, block: Block) -> bool:
        if block.translation is None or block.translation.barrier == 0:
            return False
        if block.region is not None or block.is_pending or block.member_of:
            return True
        left = self.backend.read_word(block.head + Head.COUNTER)
        is_deferred = self.hot_entries < left <= DEFERRED * self.hot_entries
        return is_deferred or self.hot_entries - left >= min(WARM_ENTRIES, self.hot_entries)

    # -- asking ----------------------------------------------------------------------------

    def _mode(self, block: Block, exact: bool) -> dict[str, Any]:
        return {"exact": exact, "parallel": self.parallel, **self.place_of(block)}

    def _reuse(self, head: Block) -> bool:
        """Install what an earlier run compiled for this head, if the guest's code is the same."""
        if self.listings:
            return False
        found = self.backend.known_region(
            self._mode(head, self._is_exact(head)), head.pc, _code(head)
        )
        if found is None:
            return False
        try:
            members = [self.translate(pc) for pc, _, _ in found["blocks"]]
        except GuestFault:
            return False
        for block, (_, code, targets) in zip(members, found["blocks"], strict=True):
            if _code(block) != code or not self._knows_jumps(block, targets):
                return False
        plan = self._plan(members[: found["entries"]], members)
        if plan.members != tuple(members) or any(
            self._is_exact(block) != plan.exact for block in members
        ):
            return False
        self._note(plan, "found")
        self._install(plan, found["compiled"])
        return True

    def _knows_jumps(self, block: Block, targets: Sequence[int]) -> bool:
        """Whether who compiled a block knew where its computed jump goes in this run."""
        return set(self._jump_targets(_translation(block))) <= set(targets)

    def _request(self, plan: Plan) -> None:
        for block in plan.members:
            block.is_pending = True
            self._count(block, NEVER)
        self._note(plan, "asked for")
        epoch = self._epoch
        request = {
            **self._mode(plan.entries[0], plan.exact),
            "blocks": [
                (block.pc, _code(block), self._jump_targets(_translation(block)))
                for block in plan.members
            ],
            "entries": len(plan.entries),
            "listings": self.listings,
        }

        self._asked += 1

        def done(compiled: Any) -> None:
            with self.world.lock:
                self._asked -= 1
                for block in plan.members:
                    block.is_pending = False
                if compiled is not None and epoch == self._epoch and plan.is_current:
                    self._install(plan, compiled)
                else:
                    self._give_up(plan, compiled is None)

        self.backend.submit_region(request, done)

    def _note(self, plan: Plan, what: str) -> None:
        if self.log.wants("jit"):
            entries = ", ".join(f"{block.pc:#x}" for block in plan.entries)
            size = sum(t.instructions for t in plan.translations)
            facts = f"{len(plan.members)} blocks, {size} instructions, entered at {entries}"
            self.log.write("jit", f"region {what}: {facts}\n", plan.entries[0].pc)

    def _give_up(self, plan: Plan, is_error: bool) -> None:
        for block in plan.members:
            if block.region is None:
                is_hopeless = is_error and block is plan.entries[0]
                self._count(block, NEVER if is_hopeless else self.hot_entries)

    # -- installing ------------------------------------------------------------------------

    def _install(self, plan: Plan, compiled: Any) -> None:
        handle, address = self._place(plan, compiled)
        region = Region(list(plan.entries), plan.members, handle)
        self._regions[region] = None
        for block in plan.members:
            block.member_of.add(region)
            if block.region is None:
                self._count(block, COVERED_ENTRIES)
        for block in plan.entries:
            self._leave_region(block)
            block.region = region
            self.backend.write_pointer(block.head + Head.CODE, address)
        self.statistics["regions"] += 1
        self.statistics["region_instructions"] += compiled["instructions"]
        for item, text in compiled["listings"].items():
            self.log.write(item, text, plan.entries[0].pc)

    def _place(self, plan: Plan, compiled: Any) -> tuple[Any, int]:
        heads = self.heads_of(plan)
        try:
            return self.backend.install_region(compiled, heads)
        except OutOfCodeSpace:
            with self.world.stop():
                self._evict()
            return self.backend.install_region(compiled, heads)

    def _leave_region(self, block: Block) -> None:
        """The block is going to be an entry of another region."""
        old = block.region
        if old is not None:
            old.entries.remove(block)
            if not old.entries:
                self.drop(old)

    def _evict(self) -> None:
        """Drop the older half of the regions; they come back if they are still hot."""
        for region in list(self._regions)[: len(self._regions) // 2 + 1]:
            self.drop(region)
        self.collect()

    # -- dropping --------------------------------------------------------------------------

    def drop(self, region: Region) -> None:
        """The region is not to be entered any more."""
        if region not in self._regions:
            return
        del self._regions[region]
        self._dead.append(region.handle)
        for block in region.members:
            block.member_of.discard(region)
        for block in region.entries:
            block.region = None
            if block.translation is not None:
                self.cool(block)

    def drop_all(self) -> None:
        """Regions must be made anew, in another mode."""
        self._epoch += 1
        for region in list(self._regions):
            self.drop(region)

    def collect(self) -> None:
        """Give the memory of dropped regions back.  Only while the world is stopped."""
        for handle in self._dead:
            self.backend.release_region(handle)
        self._dead.clear()

    def after_fork_in_child(self) -> None:
        """What the parent asked its worker for will not come here."""
        self._epoch += 1
        self._asked = 0
        for block in self.table.by_pc.values():
            if block.is_pending:
                block.is_pending = False
                if block.region is None and block.translation is not None:
                    self.cool(block)


def _translation(block: Block) -> Translation:
    assert block.translation is not None
    return block.translation


def _code(block: Block) -> bytes:
    """What a region takes of a block: its code, up to the first barrier."""
    translation = _translation(block)
    return translation.code[: translation.barrier]


def _return_entries(members: Sequence[Block]) -> Iterator[Block]:
    """The members that calls out of the region come back to.

    More entries would mean fewer regions but worse ones: at an entry nothing is known any more.
    """
    by_pc = {block.pc: block for block in members}
    for block in members:
        translation = _translation(block)
        following = translation.returns_to
        if following in by_pc and not any(
            pc in by_pc for pc in translation.successors if pc != following
        ):
            yield by_pc[following]
