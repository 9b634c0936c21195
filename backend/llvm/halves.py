"""Registers of 256 bits that the guest state keeps as two slots: in a region one value is enough.

    xmm0, ymmh0, joined for each operation and split again     =>     one <4 x i64> for both

Otherwise a loop would take its registers apart and put them together on every turn.
"""

from __future__ import annotations

from collections.abc import Iterable

from tcg import ops
from tcg.ir import Function, Value, is_local
from tcg.state import Slot

WHOLE = "<4 x i64>"
HALF = "<2 x i64>"
LANES = ("<2 x i32> <i32 0, i32 1>", "<2 x i32> <i32 2, i32 3>")
"""The lanes of the whole that are the lower and the upper half."""
JOINED = "<4 x i32> <i32 0, i32 1, i32 2, i32 3>"

Pairs = dict[Slot, tuple[Slot, Slot]]
"""Each half, lower or upper, with both halves."""


def find_pairs(region: Function, left_out: Iterable[Slot]) -> Pairs:
    """The slots that the region reads as two halves of one value."""
    pairs: Pairs = {}
    mixed = set(left_out)
    for inst in region.insts():
        found = _joined(inst)
        if found is None:
            continue
        for half in found:
            if pairs.setdefault(half, found) != found:
                mixed.update((*found, *pairs[half]))
    return {half: found for half, found in pairs.items() if mixed.isdisjoint(found)}


def joined_reads(inst: Value) -> tuple[Value, ...]:
    """The two reads of slots that an operation joins to one value; empty if it does not."""
    if inst.op is not ops.SHUFFLE or inst.imm != (0, 1, 2, 3):
        return ()
    reads = tuple(arg.args[0] if arg.op is ops.BITCAST else arg for arg in inst.args)
    return reads if all(read.op is ops.GET for read in reads) else ()


def _joined(inst: Value) -> tuple[Slot, Slot] | None:
    slots = tuple(read.imm for read in joined_reads(inst) if _is_half(read.imm))
    return (slots[0], slots[1]) if len(slots) == 2 and slots[0] is not slots[1] else None


def _is_half(slot: object) -> bool:
    return isinstance(slot, Slot) and not is_local(slot) and slot.type.bits == 128
