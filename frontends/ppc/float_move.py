"""Floating-point moves: Book I, 4.6.4.  They look at bits only: no NaN is changed or noticed."""

from __future__ import annotations

from collections.abc import Callable

from frontends.insn import Semantics, insn
from frontends.ppc.context import Field, Ppc
from frontends.ppc.fpscr import copy_to_cr1
from tcg.ir import Value


def move(name: str, meaning: Callable[[Value], Value]) -> Semantics:
    """frT <- meaning of (frB)"""

    @insn(name)
    def operation(c: Ppc, frt: Field, frb: Field, rc: Field) -> None:
        c.fpr[frt] = meaning(c.fpr[frb])
        if rc:
            copy_to_cr1(c)

    return operation


fmr = move("fmr", lambda b: b)
fneg = move("fneg", lambda b: b.fneg())
fabs = move("fabs", lambda b: b.fabs())
fnabs = move("fnabs", lambda b: b.fabs().fneg())
