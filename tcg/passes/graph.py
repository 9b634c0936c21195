"""The control-flow graph of a function: orders, predecessors, dominators."""

from __future__ import annotations

from tcg import ops
from tcg.ir import Block, Function


def successors(block: Block) -> tuple[str, ...]:
    """The labels that the block's end may go to."""
    end = block.insts[-1]
    if end.op is ops.BR:
        return (end.imm,)
    if end.op is ops.CBR:
        labels: tuple[str, ...] = end.imm[:2]
        return labels
    return ()


def reverse_postorder(function: Function) -> list[Block]:
    """The reachable blocks, each before what it leads to except along edges that close a loop."""
    blocks = function.blocks
    entry = next(iter(blocks.values()))
    if len(blocks) == 1:
        return [entry]
    done: list[Block] = []
    seen = {entry.label}
    path = [(entry, iter(successors(entry)))]
    while path:
        block, labels = path[-1]
        label = next((one for one in labels if one not in seen), None)
        if label is None:
            done.append(block)
            path.pop()
        else:
            seen.add(label)
            path.append((blocks[label], iter(successors(blocks[label]))))
    done.reverse()
    return done


def predecessors(order: list[Block]) -> dict[str, list[Block]]:
    """The blocks that lead to each of the blocks in `order`."""
    found: dict[str, list[Block]] = {block.label: [] for block in order}
    for block in order:
        for label in successors(block):
            found[label].append(block)
    return found


def dominators(order: list[Block], leading: dict[str, list[Block]]) -> dict[str, str]:
    """Each block's immediate dominator, the entry's is itself (Cooper, Harvey and Kennedy)."""
    number = {block.label: i for i, block in enumerate(order)}
    above = {order[0].label: order[0].label}
    changed = True
    while changed:
        changed = False
        for block in order[1:]:
            known = [p.label for p in leading[block.label] if p.label in above]
            nearest = known[0]
            for other in known[1:]:
                nearest = _common(nearest, other, above, number)
            if above.get(block.label) != nearest:
                above[block.label] = nearest
                changed = True
    return above


def _common(one: str, other: str, above: dict[str, str], number: dict[str, int]) -> str:
    while one != other:
        while number[one] > number[other]:
            one = above[one]
        while number[other] > number[one]:
            other = above[other]
    return one
