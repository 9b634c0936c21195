"""Loops that are known algorithms get a way to do many iterations at once.

    copy until zero    while ((*t++ = *s++));
    copy               for (i = 0; i < n; i++) t[i] = s[i];
    fill               for (i = 0; i < n; i++) t[i] = x;
    scan               while (*s != a && *s != b) s++;
    compare            while (n-- && *s == *t) s++, t++;

Recognised by data flow in an iteration that has one way through: which registers grow by a
constant, that accesses of memory stand side by side, and that whatever else is written is computed
anew by each iteration.  Instructions, unrolling and the order of independent ones do not matter.

The loop itself stays, so all that is odd (the last iteration, faults, crossing into another page,
events) is still done by it; what is added on its back edge is explained in `skip`.  Runs last, as
nothing has to be done to the code that is added.
"""

from __future__ import annotations

from tcg.ir import Function
from tcg.passes.idioms.linear import NotStraight, execute
from tcg.passes.idioms.loops import straight_loops
from tcg.passes.idioms.shapes import NoIdiom, recognise
from tcg.passes.idioms.skip import insert_skip


def idioms(function: Function, parallel: bool = False) -> list[str]:
    """Recognise loops and add the skips; gives a line of text for each.

    `parallel`: others may write the guest's memory at the same time.
    """
    found = []
    for loop in list(straight_loops(function)):
        pc = loop.pc
        if pc is None:
            continue
        try:
            iteration = execute(loop)
            idiom = recognise(iteration, parallel)
        except (NotStraight, NoIdiom):
            continue
        found.append(f"loop at {pc:#x}: {idiom}")
        insert_skip(function, loop, pc, idiom, iteration.steps())
    return found
