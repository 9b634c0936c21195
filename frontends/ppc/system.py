"""Special registers and the time base: Book I, 3.3.13, and Book II, 4."""

from __future__ import annotations

from collections.abc import Callable

from frontends.insn import insn
from frontends.ppc.context import Field, Ppc
from frontends.ppc.state import PROCESSOR_VERSION, XER_PARTS
from tcg.frontend import GuestException
from tcg.ir import Value
from tcg.types import I8, I32

XER, LR, CTR, VRSAVE, TBL, TBU, PVR = 1, 8, 9, 256, 268, 269, 287


def read_xer(c: Ppc) -> Value:
    """XER as a word."""
    return c.flags_word([(c.get(c.slots[name]), shift) for name, shift in XER_PARTS])


def write_xer(c: Ppc, value: Value) -> None:
    """XER <- value"""
    for name, shift in XER_PARTS:
        flag = c.flag(value, shift) if shift else (value & 0x7F).trunc(I8)
        c.put(c.slots[name], flag)


READERS: dict[int, Callable[[Ppc], Value]] = {
    XER: read_xer,
    LR: lambda c: c.lr,
    CTR: lambda c: c.ctr,
    VRSAVE: lambda c: c.vrsave,
    TBL: lambda c: c.clock().trunc(I32),
    TBU: lambda c: (c.clock() >> 32).trunc(I32),
    PVR: lambda c: c.const(I32, PROCESSOR_VERSION),
}
"""Special registers that a program may read; Linux gives it PVR too."""


def write_lr(c: Ppc, value: Value) -> None:
    c.lr = value


def write_ctr(c: Ppc, value: Value) -> None:
    c.ctr = value


def write_vrsave(c: Ppc, value: Value) -> None:
    c.vrsave = value.trunc(I32)


WRITERS: dict[int, Callable[[Ppc, Value], None]] = {
    XER: write_xer,
    LR: write_lr,
    CTR: write_ctr,
    VRSAVE: write_vrsave,
}


def refuse(c: Ppc, number: int) -> None:
    """A special register that is not there, or (spr0 = 1) not for programs."""
    is_privileged = number & 0x10 and number not in READERS
    c.raise_(GuestException.PRIVILEGED if is_privileged else GuestException.ILLEGAL, c.pc)


@insn
def mfspr(c: Ppc, rt: Field, spr: Field) -> None:
    """rT <- SPR(n)"""
    number = int(spr)
    if number not in READERS:
        refuse(c, number)
        return
    c.gpr[rt] = READERS[number](c).zext(c.word)


@insn
def mtspr(c: Ppc, rs: Field, spr: Field) -> None:
    """SPR(n) <- (rS)"""
    number = int(spr)
    if number not in WRITERS:
        refuse(c, number)
        return
    WRITERS[number](c, c.gpr[rs])


@insn
def mftb(c: Ppc, rt: Field, tbr: Field) -> None:
    """rT <- TBL or TBU"""
    number = int(tbr)
    if number not in (TBL, TBU):
        refuse(c, number)
        return
    c.gpr[rt] = READERS[number](c).zext(c.word)
