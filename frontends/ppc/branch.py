"""Branches and the system call: Book I, 2.4."""

from __future__ import annotations

from frontends.insn import insn
from frontends.ppc.context import Field, Ppc
from tcg.fields import field_function
from tcg.frontend import SYSTEM_CALL, GuestException
from tcg.ir import Value


@field_function
def branch_target(pc: int, aa: int, words: int) -> int:
    """Where a branch goes: words * 4 from here, or from 0 if AA."""
    return (0 if aa else pc) + 4 * words & 0xFFFF_FFFF


@insn
def b(c: Ppc, li: Field, aa: Field, lk: Field) -> None:
    """NIA <- CIA + LI (or LI if AA); LR <- CIA + 4 if LK"""
    if lk:
        c.lr = c.next_pc
    c.goto(branch_target(c.pc, aa, li), hint="call" if lk else "")


def branch_condition(c: Ppc, bo: Field, bi: Field) -> Value | None:
    """Decrement CTR if BO says so; whether the branch is taken, None if always.

    BO: 16 do not look at CR, 8 taken if the bit is set, 4 do not touch CTR, 2 taken if CTR = 0;
    1 is a hint.
    """
    taken: Value | None = None
    if not bo & 4:
        count = c.ctr - 1
        c.ctr = count
        taken = count.eq(0) if bo & 2 else count.ne(0)
    if not bo & 16:
        bit = c.crb[bi]
        holds = bit if bo & 8 else ~bit
        taken = holds if taken is None else taken & holds
    return taken


@insn
def bc(c: Ppc, bo: Field, bi: Field, bd: Field, aa: Field, lk: Field) -> None:
    """NIA <- CIA + BD (or BD if AA) if BO and CR[BI] say so; LR <- CIA + 4 if LK"""
    taken = branch_condition(c, bo, bi)
    if lk:
        c.lr = c.next_pc
    c.goto(branch_target(c.pc, aa, bd), when=taken, hint="call" if lk else "")


@insn
def bclr(c: Ppc, bo: Field, bi: Field, lk: Field) -> None:
    """NIA <- (LR)0:29 || 00 if BO and CR[BI] say so; LR <- CIA + 4 if LK"""
    taken = branch_condition(c, bo, bi)
    target = c.lr & -4
    if lk:
        c.lr = c.next_pc
    c.jump(target, when=taken, hint="call" if lk else "return")


@insn
def bcctr(c: Ppc, bo: Field, bi: Field, lk: Field) -> None:
    """NIA <- (CTR)0:29 || 00 if BO and CR[BI] say so; LR <- CIA + 4 if LK.

    A BO that decrements CTR makes the form invalid.
    """
    if not bo & 4:
        c.raise_(GuestException.ILLEGAL, c.pc)
        return
    taken = branch_condition(c, bo, bi)
    if lk:
        c.lr = c.next_pc
    c.jump(c.ctr & -4, when=taken, hint="call" if lk else "")


@insn
def sc(c: Ppc) -> None:
    """System call"""
    c.ask(SYSTEM_CALL, c.next_pc)
