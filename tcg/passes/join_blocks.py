"""Blocks that nothing leads to go; a block joins the only one that leads to it.

A block that only leads on to another is passed over.

    entry:                          entry:
      cbr 1, L1, L2                   put r3, 1
    L1:                               goto 0x10000104
      put r3, 1
      goto 0x10000104
    L2:
      goto 0x10000200

Runs first, so that the other passes see long blocks, and again when they have decided branches.
"""

from __future__ import annotations

from tcg import ops
from tcg.ir import Block, Function, Value
from tcg.passes.graph import predecessors, reverse_postorder
from tcg.types import VOID


def join_blocks(function: Function) -> None:
    """Decide branches on constants, drop unreachable blocks, merge straight runs of blocks.

    Leaves the blocks in an order in which each stands behind those that dominate it.
    """
    ways = _ways_through(function)
    for block in function:
        end = block.insts[-1]
        if end.op is ops.CBR:
            _decide(block, end, ways)
        elif end.op is ops.BR and end.imm in ways:
            end.imm = ways[end.imm]
    if len(function.blocks) == 1:
        return
    order = reverse_postorder(function)
    leading = predecessors(order)
    leading[order[0].label].append(order[0])
    for block in order:
        if block.label in leading:
            _absorb(block, function.blocks, leading)
    function.blocks = {block.label: block for block in order if block.label in leading}


def _ways_through(function: Function) -> dict[str, str]:
    """Where one comes out who enters a block that only leads on."""
    next_of = {
        block.label: block.insts[0].imm
        for block in function
        if len(block.insts) == 1 and block.insts[0].op is ops.BR
    }
    ways: dict[str, str] = {}
    for label, target in next_of.items():
        passed = {label}
        while target in next_of and target not in passed:
            passed.add(target)
            target = next_of[target]
        ways[label] = target
    return ways


def _decide(block: Block, end: Value, ways: dict[str, str]) -> None:
    yes, no, likely = end.imm
    yes, no = ways.get(yes, yes), ways.get(no, no)
    condition = end.args[0]
    if condition.op is ops.CONST:
        block.insts[-1] = Value(end.b, ops.BR, VOID, (), yes if condition.imm else no)
    elif yes == no:
        block.insts[-1] = Value(end.b, ops.BR, VOID, (), yes)
    else:
        end.imm = (yes, no, likely)


def _absorb(block: Block, blocks: dict[str, Block], leading: dict[str, list[Block]]) -> None:
    """Append to `block` what only it leads to, as long as there is such a block."""
    while (end := block.insts[-1]).op is ops.BR and len(leading[end.imm]) == 1:
        if end.imm == block.label:
            return
        del block.insts[-1]
        block.insts += blocks[end.imm].insts
        del leading[end.imm]
