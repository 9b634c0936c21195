"""Interrupts by instructions (SDM vol. 2, INT n)."""

from __future__ import annotations

from frontends.insn import insn
from frontends.x86.privileged.builder import SystemX86
from frontends.x86.privileged.delivery import deliver, event_of_instruction
from frontends.x86.privileged.flags import iopl
from tcg.frontend import GuestException
from tcg.ir import Value
from tcg.types import I32

DEBUG, BREAKPOINT, OVERFLOW = 1, 3, 4


@insn("int")
def int_(c: SystemX86, vector: Value) -> None:
    """Interrupt `vector`; in virtual-8086 mode only with IOPL 3 (#GP)"""
    if c.is_virtual:
        c.fault(GuestException.PROTECTION, iopl(c).ne(3))
    deliver(c, event_of_instruction(c, vector.zext(I32)))


@insn
def int3(c: SystemX86) -> None:
    """Interrupt 3, whatever IOPL is"""
    deliver(c, event_of_instruction(c, BREAKPOINT))


@insn
def into(c: SystemX86) -> None:
    """Interrupt 4 if OF is set"""
    with c.when(c.flags.get("of"), likely=False):
        deliver(c, event_of_instruction(c, OVERFLOW))


@insn
def int1(c: SystemX86) -> None:
    """Interrupt 1, whatever the gate's DPL is"""
    deliver(c, event_of_instruction(c, DEBUG, by_program=False))
