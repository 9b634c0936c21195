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

A poll is left between two instructions, to come back: there a flag that is overwritten before it
is read need not be right, and the poll is told so.  Otherwise every loop that ends with a compare
would keep its flags up to date for the poll's sake alone.
"""

from __future__ import annotations

from tcg import ops
from tcg.ir import Block, Function, Value, is_local
from tcg.ops import Op
from tcg.passes.graph import reverse_postorder, successors
from tcg.state import File, Slot
from tcg.types import F80, I1

ACCESSES = frozenset({ops.LOAD, ops.STORE, ops.CAS, ops.RMW})
_INDEXED = frozenset({ops.GETX, ops.GETF})


def dead_slots(function: Function, exact: bool = False) -> None:
    """Remove dead writes of slots and values without use."""
    order = reverse_postorder(function)
    order.reverse()
    bits = _Bits(function)
    live_in = _live_in_loops(order, bits, exact)
    used: set[Value] = set()
    for block in order:
        live = _live_out(block, live_in)
        live_in[block.label] = _sweep(block, live, bits, used, exact)


def _live_out(block: Block, live_in: dict[str, int]) -> int:
    live = 0
    for label in successors(block):
        live |= live_in[label]
    return live


def _live_in_loops(order: list[Block], bits: _Bits, exact: bool) -> dict[str, int]:
    """The slots live at the start of each block; nothing, as nobody asks, if there is no loop.

    The solution of `in = reads | out & ~writes`, with all reads taken for used ones.
    """
    seen: set[str] = set()
    for block in order:
        if not seen.issuperset(successors(block)):
            break
        seen.add(block.label)
    else:
        return {}
    effects = [(block, *_reads_and_writes(block, bits, exact)) for block in order]
    live_in = dict.fromkeys((block.label for block in order), 0)
    changed = True
    while changed:
        changed = False
        for block, reads, writes in effects:
            live = reads | _live_out(block, live_in) & ~writes
            if live != live_in[block.label]:
                live_in[block.label] = live
                changed = True
    return live_in


def _reads_and_writes(block: Block, bits: _Bits, exact: bool) -> tuple[int, int]:
    """The slots that the block reads before it writes them, and those that it writes.  Hot."""
    get, put, bit_of = ops.GET, ops.PUT, bits.of
    live = written = 0
    for inst in reversed(block.insts):
        op = inst.op
        if op is put:
            bit = bit_of[inst.imm]
            live &= ~bit
            written |= bit
        elif op is get:
            live |= bit_of.get(inst.imm, 0)
        elif op.leaves or op in _INDEXED or (exact and op in ACCESSES):
            live |= _seen_by(inst, bits, exact)
    return live, written


def _seen_by(inst: Value, bits: _Bits, exact: bool) -> int:
    """The slots that an operation other than a read of one slot looks at."""
    op = inst.op
    if op is ops.GETX:
        return bits.file(inst.imm)
    if op is ops.GETF:
        return bits.file(inst.imm[0])
    if op is ops.POLL and not exact:
        return bits.guest & ~bits.flags
    return bits.guest


class _Bits:
    """One bit for each slot that the function writes; slots it never writes need none.

    `guest`, `flags`: those of the guest state, and those among them that hold one bit.
    `sticky`: the ops that must stay though nobody uses what they give.
    """

    def __init__(self, function: Function) -> None:
        self.of: dict[Slot, int] = {}
        self.guest = self.flags = self.all = 0
        self.sticky: frozenset[Op] = frozenset()
        for inst in function.insts():
            if inst.op.barrier:
                self.sticky = ops.RAISING_FLAGS
            if inst.op is ops.PUT and inst.imm not in self.of:
                bit = self.of[inst.imm] = self.all + 1
                self.all += bit
                if not is_local(inst.imm):
                    self.guest |= bit
                    if inst.imm.type is I1:
                        self.flags |= bit

        for inst in function.way_out:
            if inst.op is ops.GET and inst.imm in self.of:
                self.guest |= self.of[inst.imm]

    def dead_flags(self, live: int) -> tuple[Slot, ...]:
        """The flags that are not live."""
        dead = self.flags & ~live
        return tuple([slot for slot, bit in self.of.items() if bit & dead]) if dead else ()

    def file(self, file: File) -> int:
        """The bits of all registers of a file."""
        bits = 0
        for slot in file.slots:
            bits |= self.of.get(slot, 0)
        return bits


def _raises_f80(inst: Value) -> bool:
    """An operation on f80 is done for its sticky flags, which no function may look at for long."""
    return inst.type is F80 and inst.op in ops.RAISING_FLAGS


def _sweep(block: Block, live: int, bits: _Bits, used: set[Value], exact: bool) -> int:
    """Drop what is dead in the block; gives the slots live at its start.  Hot: per operation."""
    get, put = ops.GET, ops.PUT
    bit_of, sticky = bits.of, bits.sticky
    kept: list[Value] = []
    for inst in reversed(block.insts):
        op = inst.op
        if op is put:
            bit = bit_of[inst.imm]
            if not live & bit:
                continue
            live &= ~bit
        elif not op.effects or (op is ops.CALL and inst.imm.pure):
            if inst not in used and op not in sticky and not _raises_f80(inst):
                continue
            if op is get:
                live |= bit_of.get(inst.imm, 0)
            elif op in _INDEXED:
                live |= _seen_by(inst, bits, exact)
        elif op.leaves or (exact and op in ACCESSES):
            if op is ops.POLL and not exact:
                inst.imm = (inst.imm[0], bits.dead_flags(live))
            live |= _seen_by(inst, bits, exact)
        used.update(inst.args)
        kept.append(inst)
    kept.reverse()
    block.insts = kept
    return live
