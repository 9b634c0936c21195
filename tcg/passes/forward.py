"""What is known to be in a slot is used instead of reading it.

    put r3, %1                      put r3, %1
    %2 = get.i32 r3                 %3 = add.i32 %1, 4
    %3 = add.i32 %2, 4              goto 0x10000104
    put r3, %1
    goto 0x10000104

What floats are is forgotten where the FP environment is looked at: a float operation behind that
must not find its operands before it.

Knowledge flows along every edge that does not close a loop; where edges meet, what all of them
agree on stays known.
"""

from __future__ import annotations

from tcg import ops
from tcg.ir import Block, Function, Value
from tcg.passes.graph import predecessors, reverse_postorder
from tcg.state import Slot

Known = dict[Slot, Value]


def forward(function: Function) -> None:
    """Replace reads of slots and locals whose value is known; drop writes that change nothing."""
    order = reverse_postorder(function)
    leading = predecessors(order) if len(order) > 1 else {order[0].label: []}
    at_end: dict[str, Known] = {}
    replaced: dict[Value, Value] = {}
    for block in order:
        known = _known_at_start(leading[block.label], at_end)
        block.insts = _forward_in(block.insts, known, replaced)
        at_end[block.label] = known


def _known_at_start(leading: list[Block], at_end: dict[str, Known]) -> Known:
    """What all blocks that lead here agree on; nothing if one of them comes later."""
    tables = [at_end.get(block.label) for block in leading]
    if not tables or None in tables:
        return {}
    first, *others = sorted((t for t in tables if t is not None), key=len)
    if not others:
        return first.copy()
    return {
        slot: value
        for slot, value in first.items()
        if all(other.get(slot) is value for other in others)
    }


def _forward_in(insts: list[Value], known: Known, replaced: dict[Value, Value]) -> list[Value]:
    """The block's operations without needless reads and writes.  Hot: runs per operation."""
    get, put = ops.GET, ops.PUT
    indexed = (ops.PUTX, ops.PUTF)
    kept: list[Value] = []
    keep = kept.append
    for inst in insts:
        for arg in inst.args:
            if arg in replaced:
                inst.args = tuple([replaced.get(a, a) for a in inst.args])
                break
        op = inst.op
        if op is get:
            value = known.get(inst.imm)
            if value is not None:
                replaced[inst] = value
                continue
            known[inst.imm] = inst
        elif op is put:
            value = inst.args[0]
            if known.get(inst.imm) is value:
                continue
            known[inst.imm] = value
        elif op in indexed:
            file = inst.imm if op is ops.PUTX else inst.imm[0]
            for slot in file.slots:
                known.pop(slot, None)
        elif op.barrier:
            for slot in [slot for slot in known if slot.type.is_float]:
                del known[slot]
        keep(inst)
    return kept
