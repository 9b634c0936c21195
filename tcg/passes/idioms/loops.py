"""Loops whose body is one way through: what the recognition of idioms starts from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from tcg import ops
from tcg.ir import Block, Function, Value
from tcg.passes.graph import dominators, predecessors, reverse_postorder, successors


@dataclass(frozen=True, slots=True)
class Loop:
    """The loop's blocks in the order they run, and for each but the last how it goes on.

    `stays`: the value that the end's condition has when the loop goes on; None if there is none.
    The last block ends with a poll, at which the guest is between two iterations, and a branch to
    the first.
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
    def pc(self) -> int:
        """The guest address of the loop's start."""
        number: int = self.latch.insts[-2].imm[0]
        return number


def straight_loops(function: Function) -> Iterator[Loop]:
    """The loops that have one way through, one back edge and a poll on it."""
    order = reverse_postorder(function)
    if len(order) == 1:
        yield from _own_successor(order[0])
        return
    leading = predecessors(order)
    above = dominators(order, leading)
    for latch in order:
        if not _ends_like_a_loop(latch):
            continue
        head = latch.insts[-1].imm
        if _dominates(head, latch.label, above) and not any(
            _dominates(head, block.label, above) for block in leading[head] if block is not latch
        ):
            loop = _follow(latch, leading)
            if loop is not None:
                yield loop


def _own_successor(block: Block) -> Iterator[Loop]:
    if _ends_like_a_loop(block) and block.insts[-1].imm == block.label:
        yield Loop((block,), (None,))


def _ends_like_a_loop(block: Block) -> bool:
    insts = block.insts
    return insts[-1].op is ops.BR and len(insts) > 1 and insts[-2].op is ops.POLL


def _dominates(label: str, other: str, above: dict[str, str]) -> bool:
    while other != label:
        if above[other] == other:
            return False
        other = above[other]
    return True


def _follow(latch: Block, leading: dict[str, list[Block]]) -> Loop | None:
    """Backwards from the latch to the head, as long as there is one way; then forwards."""
    head = latch.insts[-1].imm
    blocks = [latch]
    while blocks[-1].label != head:
        before = leading[blocks[-1].label]
        if len(before) != 1 or len(blocks) > 64:
            return None
        blocks.append(before[0])
    blocks.reverse()
    stays = [_stays(block.insts[-1], after.label) for block, after in pairwise(blocks)]
    inside = {block.label for block in blocks}
    if any(len(inside.intersection(successors(block))) != 1 for block in blocks):
        return None
    return Loop(tuple(blocks), (*stays, None))


def _stays(end: Value, after: str) -> bool | None:
    return end.imm[0] == after if end.op is ops.CBR else None
