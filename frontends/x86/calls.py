"""Instructions that ask for a service, and those that do nothing (SDM vol. 1, 6.5)."""

from __future__ import annotations

from frontends.insn import insn
from frontends.x86.context import X86
from frontends.x86.operands import ignores_operands
from frontends.x86.state import ASK_INT80, CX
from tcg.frontend import SYSTEM_CALL, GuestException
from tcg.ir import Value
from tcg.types import I64

R11 = 11
SYSTEM_CALL_VECTOR = 0x80
"""Linux' interrupt for 32-bit system calls."""


@insn
def syscall(c: X86) -> None:
    """Fast system call; RCX and R11 get RIP and RFLAGS to return with (SDM vol. 2, SYSCALL)."""
    if c.mode == 64:
        c.write_gpr(CX, 8, c.next_pc_value(8))
        c.write_gpr(R11, 8, c.flags.word().zext(I64))
    c.ask(SYSTEM_CALL, c.next_pc)


@insn("int")
def int_(c: X86, vector: Value) -> None:
    """Interrupt `vector`: 80h calls Linux, the others are not for users (#GP)."""
    if c.imm & 0xFF == SYSTEM_CALL_VECTOR:
        c.ask(ASK_INT80 if c.mode == 64 else SYSTEM_CALL, c.next_pc)
    else:
        c.fault(GuestException.PROTECTION)


@insn
def int3(c: X86) -> None:
    """A breakpoint: the next instruction's address is reported."""
    c.raise_(GuestException.BREAKPOINT, c.next_pc)


@insn
def int1(c: X86) -> None:
    """A debug exception: the next instruction's address is reported."""
    c.raise_(GuestException.BREAKPOINT, c.next_pc)


@insn("ud0", "ud1", "ud2")
@ignores_operands
def ud2(c: X86, *_operands: Value) -> None:
    """Raises #UD."""
    c.fault(GuestException.ILLEGAL)


@insn
def hlt(c: X86) -> None:
    """Not for users (#GP)."""
    c.fault(GuestException.PROTECTION)


@insn("nop", "endbr32", "endbr64")
@ignores_operands
def nop(c: X86, *_operands: Value) -> None:
    """Does nothing, whatever it names."""
