"""System calls without gates: SYSCALL, SYSENTER and the ways back (SDM vol. 3, 5.8.7, 5.8.8).

The segments are what the manual says, whatever descriptors their selectors have.
"""

from __future__ import annotations

from frontends.insn import insn
from frontends.x86.privileged.builder import SystemX86
from frontends.x86.privileged.flags import load_flags, put_eflags
from frontends.x86.privileged.loading import Loaded
from frontends.x86.privileged.stacks import is_canonical
from frontends.x86.state import AC, CS, CX, DX, ID, IF, IOPL, NT, RF, SP, SS, TF, VIF, VIP, VM
from frontends.x86.system_state import (
    ACCESSED,
    BIG,
    CODE_SEGMENT,
    DPL,
    EFER_SCE,
    GRANULARITY,
    LONG_CODE,
    NOT_SYSTEM,
    PRESENT,
    READABLE,
    WRITABLE,
)
from tcg.frontend import GuestException
from tcg.ir import Value
from tcg.types import I16, I32, I64

R11 = 11
DATA = GRANULARITY | BIG | PRESENT | NOT_SYSTEM | WRITABLE | ACCESSED
CODE_32 = GRANULARITY | BIG | PRESENT | NOT_SYSTEM | CODE_SEGMENT | READABLE | ACCESSED
CODE_64 = CODE_32 & ~BIG | LONG_CODE
CHANGED_BY_SYSRET = TF | IF | IOPL | NT | AC | ID | VIF | VIP | RF | VM
"""What SYSRET loads, of which RF and VM get zero."""


def _put_flat(c: SystemX86, number: int, selector: Value, rights: int, level: int) -> None:
    """Load a register with a segment that is all of memory."""
    selector = selector.trunc(I16) & 0xFFFC | level
    rights |= DPL if level == 3 else 0
    Loaded(selector, c.const(c.word, 0), 0xFFFF_FFFF, rights).put(c, number)


def _go(c: SystemX86, target: Value, code: Value, stack: Value, rights: int, level: int) -> None:
    """CS, SS, CPL; then rIP."""
    _put_flat(c, CS, code, rights, level)
    _put_flat(c, SS, stack, DATA, level)
    c.put(c.slots["cpl"], level)
    c.jump_far(target)


# -- SYSCALL --------------------------------------------------------------------------------------


def _require_syscall(c: SystemX86) -> None:
    """#UD unless the system has enabled it."""
    enabled = (c.get(c.slots["efer"]).trunc(I32) & EFER_SCE).ne(0)
    c.fault(GuestException.ILLEGAL, ~enabled)


@insn
def syscall(c: SystemX86) -> None:
    """RCX <- RIP; R11 <- RFLAGS; RIP <- LSTAR; RFLAGS <- RFLAGS and not SFMASK; CPL <- 0"""
    _require_syscall(c)
    c.write_gpr(CX, 8, c.next_pc_value(8))
    flags = c.flags.word() & ~RF
    c.write_gpr(R11, 8, flags.zext(I64))
    mask = c.get(c.slots["sfmask"]).trunc(I32)
    load_flags(c, flags & ~mask, CHANGED_BY_SYSRET)
    selector = (c.get(c.slots["star"]) >> 32).trunc(I16)
    _go(c, c.get(c.slots["lstar"]), selector, (selector & 0xFFFC) + 8, CODE_64, 0)


@insn
def sysret(c: SystemX86) -> None:
    """RIP <- RCX; RFLAGS <- R11; CPL <- 3; to 32-bit code without REX.W"""
    _require_syscall(c)
    c.require_cpl0()
    target = c.read_gpr(CX, 8)
    to_64 = int(c.opsize) == 8
    if to_64:
        c.fault(GuestException.PROTECTION, ~is_canonical(target))
    load_flags(c, c.read_gpr(R11, 8).trunc(I32) & ~(RF | VM), CHANGED_BY_SYSRET)
    selector = (c.get(c.slots["star"]) >> 48).trunc(I16)
    code = selector + 16 if to_64 else selector
    target = target if to_64 else target & 0xFFFF_FFFF
    _go(c, target, code, selector + 8, CODE_64 if to_64 else CODE_32, 3)


# -- SYSENTER -------------------------------------------------------------------------------------


def _sysenter_selector(c: SystemX86) -> Value:
    """What the system has set; #GP(0) if it has not."""
    selector = c.get(c.slots["sysenter_cs"]).trunc(I16) & 0xFFFC
    c.fault(GuestException.PROTECTION, selector.eq(0))
    return selector


@insn
def sysenter(c: SystemX86) -> None:
    """CS, SS, rIP, rSP <- what the MSRs say; IF, VM, RF <- 0; CPL <- 0"""
    if not (c.is_protected or c.is_virtual):
        c.fault(GuestException.PROTECTION)
        return
    selector = _sysenter_selector(c)
    stack, target = (
        c.get(c.slots[name]).trunc(c.word) for name in ("sysenter_esp", "sysenter_eip")
    )
    put_eflags(c, c.get(c.slots["eflags"]) & ~(VM | IF | RF))
    c.put_file(c.state.gpr, SP, stack)
    rights = CODE_64 if c.is_long else CODE_32
    _go(c, target, selector, selector + 8, rights, 0)


@insn
def sysexit(c: SystemX86) -> None:
    """rIP <- rDX; rSP <- rCX; CPL <- 3; to 64-bit code with REX.W"""
    if not (c.is_protected or c.is_virtual):
        c.fault(GuestException.PROTECTION)
        return
    selector = _sysenter_selector(c)
    c.require_cpl0()
    if c.block.is_closed:
        return
    size = 8 if c.is_64 and c.opsize == 8 else 4
    target, stack = (c.read_gpr(number, size).zext(c.word) for number in (DX, CX))
    if size == 8:
        wrong = ~is_canonical(target) | ~is_canonical(stack)
        c.fault(GuestException.PROTECTION, wrong)
    c.put_file(c.state.gpr, SP, stack)
    code = selector + (32 if size == 8 else 16)
    _go(c, target, code, code + 8, CODE_64 if size == 8 else CODE_32, 3)


@insn
def swapgs(c: SystemX86) -> None:
    """GS.base <-> KERNEL_GS_BASE"""
    c.require_cpl0()
    here, there = c.slots["gs_base"], c.slots["kernel_gs_base"]
    old, new = c.get(here), c.get(there)
    c.put(here, new)
    c.put(there, old)
