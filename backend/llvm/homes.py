"""Where a region reads the guest's slots from env, and what each way out stores back.

    enter ──> a: get r1 ──> b: put r2 ──> exit        r1 is read in a, r2 is written by the exit,
         └──> c: get r3 ──> loop: get r3 ──> ...      r3 is read on the way into c

A slot gets its value where one path first needs it, so that a short visit does not pay for all
that the region ever touches.  Where paths meet, and one of them has the slot in its home already,
the others read it on the edge; a loop's header is such a place.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

from backend.llvm.halves import Pairs
from tcg import ops
from tcg.ir import Block, Function, Value
from tcg.passes.graph import reverse_postorder, successors
from tcg.state import Slot

LEAVING = frozenset((ops.GOTO, ops.JUMP, ops.RAISE, ops.ASK, ops.POLL))


class _Effects(NamedTuple):
    """What a block does, in bits: slots it needs as they are at its start, touches, overwrites."""

    needs: int
    touches: int
    kills: int


class Homes:
    """What is known of the slots at the start of each block.  Two halves of a pair are one home."""

    def __init__(
        self, region: Function, slots: Collection[Slot], dirty: Collection[Slot], pairs: Pairs
    ) -> None:
        """`slots` have homes; `dirty` are those of them that the ways out may have to store."""
        self._pairs = pairs
        self._slots = list(slots)
        self._bits = {slot: 1 << i for i, slot in enumerate(self._slots)}
        self._dirty = {slot: self._bits[slot] for slot in dirty}
        self._order = reverse_postorder(region)
        self._written = self._forward({b.label: self._puts(b) for b in self._order})
        effects = {block.label: self._effects(block) for block in self._order}
        self._touched = self._forward({label: e.touches for label, e in effects.items()})
        self._after = {
            label: self._touched[label] | effect.touches for label, effect in effects.items()
        }
        self._live = self._backward(effects)

    # -- answers -----------------------------------------------------------------------------

    def written(self, label: str) -> frozenset[Slot]:
        """The slots that may have been written before the block."""
        return frozenset(self._of(self._written[label]))

    def filled(self, label: str) -> set[Slot]:
        """The slots that are in their homes when the block starts, if anybody needs them."""
        return set(self._of(self._touched[label]))

    def to_fill(self, start: str | None, end: str) -> list[Slot]:
        """What is to be read on the way from a block (or from outside) into another one."""
        there = self._touched[end] & self._live[end]
        return list(self._of(there if start is None else there & ~self._after[start]))

    def _of(self, bits: int) -> Iterator[Slot]:
        return (slot for slot in self._slots if bits & self._bits[slot])

    def home(self, slot: Slot) -> Slot:
        """The slot whose home a slot lives in."""
        return self._pairs[slot][0] if slot in self._pairs else slot

    # -- one block -----------------------------------------------------------------------------

    def _puts(self, block: Block) -> int:
        written = 0
        for inst in block.insts:
            if inst.op is ops.PUT:
                written |= self._dirty.get(inst.imm, 0)
        return written

    def _effects(self, block: Block) -> _Effects:
        needs = touches = kills = 0
        written = self._written[block.label]
        for inst in block.insts:
            if inst.op is ops.GET or inst.op is ops.PUT:
                slot = inst.imm
                if slot not in self._bits:
                    continue
                bit = self._bits[self.home(slot)]
                touches |= bit
                if inst.op is ops.GET or slot in self._pairs:
                    needs |= bit & ~kills
                else:
                    kills |= bit
                if inst.op is ops.PUT:
                    written |= self._dirty.get(slot, 0)
            elif inst.op in LEAVING:
                needs |= self._homes_of(written & ~self._dead_at(inst)) & ~kills
        return _Effects(needs, touches, kills)

    def _dead_at(self, leaving: Value) -> int:
        """What a poll says that nobody will look at."""
        dead = 0
        for slot in leaving.imm[1] if leaving.op is ops.POLL else ():
            dead |= self._bits.get(slot, 0)
        return dead

    def _homes_of(self, bits: int) -> int:
        for half in self._pairs:
            if bits & self._bits[half]:
                bits |= self._bits[self.home(half)]
        return bits

    # -- all blocks ----------------------------------------------------------------------------

    def _forward(self, own: Mapping[str, int]) -> dict[str, int]:
        """What any path to the start of each block has of `own`."""
        found = dict.fromkeys(own, 0)
        changed = True
        while changed:
            changed = False
            for block in self._order:
                after = found[block.label] | own[block.label]
                for label in successors(block):
                    if after & ~found[label]:
                        found[label] |= after
                        changed = True
        return found

    def _backward(self, effects: Mapping[str, _Effects]) -> dict[str, int]:
        """What is needed as it is at the start of each block."""
        live = dict.fromkeys(effects, 0)
        changed = True
        while changed:
            changed = False
            for block in reversed(self._order):
                after = 0
                for label in successors(block):
                    after |= live[label]
                needs, _, kills = effects[block.label]
                before = needs | after & ~kills
                if before != live[block.label]:
                    live[block.label] = before
                    changed = True
        return live
