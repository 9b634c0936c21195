"""Loops whose body is one way through: what the recognition of idioms starts from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tcg import ops
from tcg.ir import Block, Function, Value
from tcg.passes.graph import dominators, predecessors, reverse_postorder, successors

MAX_BLOCKS = 64


@dataclass(frozen=True, slots=True)
class Loop:
    """The loop's blocks in the order they run, and for each how it goes on.

    `stays`: the value that the end's condition has when the loop goes on; None if there is none.
    """

    blocks: tuple[Block, ...]
    stays: tuple[bool | None, ...]

    @property
    def head(self) -> Block:
        """Where each iteration starts."""
        return self.blocks[0]

    @property
    def latch(self) -> Block:
        """Where each iteration ends."""
        return self.blocks[-1]

    @property
    def ends_with_poll(self) -> bool:
        """Between two iterations the guest may be left."""
        return len(self.latch.insts) > 1 and self.latch.insts[-2].op is ops.POLL

    @property
    def pc(self) -> int | None:
        """The guest address of the loop's start, if it starts with an instruction."""
        first = self.head.insts[0]
        return first.imm[0] if first.op is ops.INSN else None


def straight_loops(function: Function) -> Iterator[Loop]:
    """The loops that have one way through and one back edge."""
    order = reverse_postorder(function)
    leading = predecessors(order)
    above = dominators(order, leading) if len(order) > 1 else {order[0].label: order[0].label}
    for latch in order:
        for head in successors(latch):
            back = [b for b in leading[head] if _dominates(head, b.label, above)]
            if back == [latch] and (loop := _follow(latch, head, leading)) is not None:
                yield loop


def _dominates(label: str, other: str, above: dict[str, str]) -> bool:
    while other != label:
        if above[other] == other:
            return False
        other = above[other]
    return True


def _follow(latch: Block, head: str, leading: dict[str, list[Block]]) -> Loop | None:
    """Backwards from the latch to the head, as long as there is one way; then forwards."""
    blocks = [latch]
    while blocks[-1].label != head:
        before = leading[blocks[-1].label]
        if len(before) != 1 or len(blocks) > MAX_BLOCKS:
            return None
        blocks.append(before[0])
    blocks.reverse()
    inside = {block.label for block in blocks}
    if any(len(inside.intersection(successors(block))) != 1 for block in blocks):
        return None
    after = (*blocks[1:], blocks[0])
    stays = (_stays(one.insts[-1], two.label) for one, two in zip(blocks, after, strict=True))
    return Loop(tuple(blocks), tuple(stays))


def _stays(end: Value, after: str) -> bool | None:
    return end.imm[0] == after if end.op is ops.CBR else None
