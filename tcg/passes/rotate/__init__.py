"""A file used as a stack becomes locals, as its top moves in step with the code.

    %0 = get.i32 top                put.f80 $rotate.1, %5
    %1 = add.i32 %0, 1              %6 = get.f80 $rotate.0
    %2 = and.i32 %1, 7
    putx fpr[%2], %5
    %6 = getx.f80 fpr[%0]

x87's registers are reached by TOP + i, and TOP is known only when the guest runs.  But compilers
keep the stack balanced: relative to what TOP was where the region was entered, it is the same each
time an instruction is reached.  So each register gets a local, by its distance from there; they are
loaded in the region's prologue and stored on the ways out (`Function.way_out`).

Which registers are full is known in the same way.  Where an instruction wants to know it of one
that the region has not touched yet, the likely answer is taken for granted, and checked in the
prologue: if it is wrong, or exceptions are not masked, the guest goes on in handlers (`goto ...
cold`).

Where two ways meet on which the stack differs, one of them leaves the region.  An instruction that
sees the file otherwise, such as one that stores all of it, is left out of the region, and so is one
that uses an overlay of the file (MMX) beside others that use the file itself.
"""

from __future__ import annotations

from collections.abc import Sequence

from tcg.ir import Function
from tcg.passes.rotate.analysis import Analysis
from tcg.passes.rotate.place import CutAt, cut, is_indexed, separate
from tcg.passes.rotate.rewrite import Rewriting, check_writes
from tcg.state import Rotating


def rotate(
    function: Function, rotating: Rotating, entries: Sequence[str], exact: bool = False
) -> None:
    """Give the registers of `rotating` locals.  `entries`: the labels of what is entered.

    In exact mode the file stays where it is, as everything does.
    """
    separate(function, rotating, entries)
    check_writes(function, rotating)
    if exact or not any(is_indexed(inst, rotating) for inst in function.insts()):
        return
    while any(is_indexed(inst, rotating) for inst in function.insts()):
        try:
            analysis = Analysis(function, rotating, entries)
            analysis.run()
            Rewriting(analysis).run()
            return
        except CutAt as problem:
            cut(function, problem.where, entries)
