"""Writes that are overwritten before anybody can see them go, and with them all unused values.

    %0 = get.i32 r4                 %0 = get.i32 r4
    %1 = slt.i32 %0, 0              %1 = slt.i32 %0, 7
    put cr0lt, %1                   put cr0lt, %1
    %2 = slt.i32 %0, 7              goto 0x10000108
    put cr0lt, %2
    goto 0x10000108

Every guest slot can be seen where the function is left and, in exact mode, at every guest memory
access; locals only by their own reads.  One walk backwards does both: a read keeps its slot alive
only if it is itself used.  Where the function looks at the sticky flags of the FP environment, all
float operations stay for the flags they may set.
"""

from __future__ import annotations

from tcg import ops
from tcg.ir import Block, Function, Value, is_local
from tcg.ops import Op
from tcg.passes.graph import reverse_postorder, successors
from tcg.state import File, Slot

ACCESSES = frozenset({ops.LOAD, ops.STORE, ops.CAS, ops.RMW})


def dead_slots(function: Function, exact: bool = False) -> None:
    """Remove dead writes of slots and values without use."""
    order = reverse_postorder(function)
    order.reverse()
    bits = _Bits(function)
    live_in = {block.label: bits.all for block in order}
    used: set[Value] = set()
    for block in order:
        live = 0
        for label in successors(block):
            live |= live_in[label]
        live_in[block.label] = _sweep(block, live, bits, used, exact)


class _Bits:
    """One bit for each slot that the function writes; slots it never writes need none.

    `sticky`: the ops that must stay though nobody uses what they give.
    """

    def __init__(self, function: Function) -> None:
        self.of: dict[Slot, int] = {}
        self.guest = self.all = 0
        self.sticky: frozenset[Op] = frozenset()
        for inst in function.insts():
            if inst.op.barrier:
                self.sticky = ops.FLOAT_OPS
            if inst.op is ops.PUT and inst.imm not in self.of:
                bit = self.of[inst.imm] = self.all + 1
                self.all += bit
                if not is_local(inst.imm):
                    self.guest |= bit

    def file(self, file: File) -> int:
        """The bits of all registers of a file."""
        bits = 0
        for slot in file.slots:
            bits |= self.of.get(slot, 0)
        return bits


def _sweep(block: Block, live: int, bits: _Bits, used: set[Value], exact: bool) -> int:
    """Drop what is dead in the block; gives the slots live at its start.  Hot: per operation."""
    get, put = ops.GET, ops.PUT
    guest, bit_of, sticky = bits.guest, bits.of, bits.sticky
    kept: list[Value] = []
    for inst in reversed(block.insts):
        op = inst.op
        if op is put:
            bit = bit_of[inst.imm]
            if not live & bit:
                continue
            live &= ~bit
        elif not op.effects or (op is ops.CALL and inst.imm.pure):
            if inst not in used and op not in sticky:
                continue
            if op is get:
                live |= bit_of.get(inst.imm, 0)
            elif op is ops.GETX:
                live |= bits.file(inst.imm)
            elif op is ops.GETF:
                live |= bits.file(inst.imm[0])
        elif op.leaves or (exact and op in ACCESSES):
            live |= guest
        used.update(inst.args)
        kept.append(inst)
    kept.reverse()
    block.insts = kept
    return live
