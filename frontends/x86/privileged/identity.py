"""The processor itself: model-specific registers, time, halting, caches, FS and GS bases, AC.

SDM vol. 3, 2.8, and vol. 4 for the registers.  Those that 64-bit systems write whenever they switch
between threads, the bases of FS and GS, are written here; the others are the client's.
"""

from __future__ import annotations

from frontends.insn import insn
from frontends.x86.context import X86
from frontends.x86.privileged.builder import SystemX86, system
from frontends.x86.privileged.control_registers import ask_with, is_allowed, write_halves
from frontends.x86.state import (
    AC,
    ASK_HALT,
    ASK_READ_MSR,
    ASK_READ_TSC,
    ASK_RESUME,
    ASK_WAIT,
    ASK_WRITE_MSR,
    AX,
    CX,
    DX,
)
from frontends.x86.system_state import CR4_FSGSBASE, CR4_TSD
from tcg.frontend import GuestException
from tcg.ir import Value
from tcg.types import I32, I64

BASES = ((0xC000_0100, "fs_base"), (0xC000_0101, "gs_base"), (0xC000_0102, "kernel_gs_base"))
"""The model-specific registers that are read and written without asking."""

# -- model-specific registers ---------------------------------------------------------------------


@insn
def rdmsr(c: X86) -> None:
    """EDX:EAX <- the register ECX"""
    c = system(c)
    if not is_allowed(c):
        return
    if c.word is I64:
        number = c.read_gpr(CX, 4)
        for known, name in BASES:
            with c.when(number.eq(known)):
                write_halves(c, c.get(c.slots[name]))
                c.goto(c.next_pc)
    ask_with(c, ASK_READ_MSR)


@insn
def wrmsr(c: X86) -> None:
    """The register ECX <- EDX:EAX; #GP if a base is not canonical"""
    c = system(c)
    if not is_allowed(c):
        return
    if c.word is I64:
        number = c.read_gpr(CX, 4)
        value = c.read_gpr(DX, 4).zext(I64) << 32 | c.read_gpr(AX, 4).zext(I64)
        is_canonical = (value << 16).sar(16).eq(value)
        for known, name in BASES:
            with c.when(number.eq(known) & is_canonical):
                c.put(c.slots[name], value)
                c.goto(c.next_pc)
    ask_with(c, ASK_WRITE_MSR)


def _require_fsgsbase(c: X86) -> None:
    has = (c.get(c.slots["cr4"]).trunc(I32) & CR4_FSGSBASE).ne(0)
    c.fault(GuestException.ILLEGAL, when=~has)


@insn("rdfsbase", "rdgsbase")
def rdfsbase(c: X86) -> Value:
    """dst <- the base of FS or GS"""
    _require_fsgsbase(c)
    return c.get(c.slots[f"{c.row.name[2:4]}_base"]).trunc(I64 if c.opsize == 8 else I32)


@insn("wrfsbase", "wrgsbase")
def wrfsbase(c: X86, source: Value) -> None:
    """The base of FS or GS <- src; #GP(0) if it is not canonical"""
    _require_fsgsbase(c)
    value = source.zext(I64)
    c.fault(GuestException.PROTECTION, when=(value << 16).sar(16).ne(value))
    c.put(c.slots[f"{c.row.name[2:4]}_base"], value)


# -- time -----------------------------------------------------------------------------------------


def _require_time(c: SystemX86) -> None:
    """CR4.TSD keeps the time-stamp counter from all but CPL 0."""
    if c.is_protected or c.is_virtual:
        is_kept = (c.get(c.slots["cr4"]).trunc(I32) & CR4_TSD).ne(0)
        c.fault(GuestException.PROTECTION, when=is_kept & c.cpl.ne(0))


def _time(c: SystemX86) -> Value:
    return c.clock() + c.get(c.slots["tsc_offset"])


@insn
def rdtsc(c: X86) -> None:
    """EDX:EAX <- the time-stamp counter, which counts nanoseconds; where instructions are counted
    instead, the client knows
    """
    c = system(c)
    _require_time(c)
    with c.when(c.get(c.slots["tsc_counts"]).ne(0), likely=False):
        ask_with(c, ASK_READ_TSC)
    write_halves(c, _time(c))


@insn
def rdtscp(c: X86) -> None:
    """EDX:EAX <- the time-stamp counter, ECX <- IA32_TSC_AUX"""
    c = system(c)
    _require_time(c)
    c.write_gpr(CX, 4, c.get(c.slots["tsc_aux"]).trunc(I32))
    with c.when(c.get(c.slots["tsc_counts"]).ne(0), likely=False):
        ask_with(c, ASK_READ_TSC)
    write_halves(c, _time(c))


@insn
def rdpid(c: X86) -> Value:
    """dst <- IA32_TSC_AUX"""
    return c.get(c.slots["tsc_aux"]).trunc(c.word)


@insn
def rdpmc(c: X86) -> None:
    """There are no performance counters: #GP(0)"""
    c.fault(GuestException.PROTECTION)


# -- waiting, caches ------------------------------------------------------------------------------


@insn
def hlt(c: X86) -> None:
    """Wait for an interrupt"""
    c = system(c)
    if is_allowed(c):
        ask_with(c, ASK_HALT)


def _require_cpl0_or_undefined(c: SystemX86) -> None:
    """#UD for programs."""
    if c.is_virtual:
        c.fault(GuestException.ILLEGAL)
    elif c.is_protected:
        c.fault(GuestException.ILLEGAL, when=c.cpl.ne(0))


@insn
def monitor(c: X86) -> None:
    """Watch an address: nothing, since MWAIT may end for no reason; #GP(0) unless ECX is 0"""
    c = system(c)
    _require_cpl0_or_undefined(c)
    if not c.block.is_closed:
        c.fault(GuestException.PROTECTION, when=c.read_gpr(CX, 4).ne(0))


@insn
def mwait(c: X86) -> None:
    """A hint that there is nothing to do"""
    c = system(c)
    _require_cpl0_or_undefined(c)
    if not c.block.is_closed:
        ask_with(c, ASK_WAIT)


@insn("invd", "wbinvd")
def wbinvd(c: X86) -> None:
    """Caches are the host's"""
    system(c).require_cpl0()


@insn
def rsm(c: X86) -> None:
    """Leave system management mode; outside of it the client says #UD"""
    ask_with(system(c), ASK_RESUME)


# -- supervisor-mode access prevention ------------------------------------------------------------


@insn("clac", "stac")
def stac(c: X86) -> None:
    """EFLAGS.AC <- 0 or 1: whether the system may touch the pages of programs (SDM vol. 3, 4.6)"""
    c = system(c)
    _require_cpl0_or_undefined(c)
    if c.block.is_closed:
        return
    eflags = c.slots["eflags"]
    old = c.get(eflags)
    c.put(eflags, old | AC if c.row.name == "stac" else old & ~AC)
    c.jump_far(c.value(c.word, c.next_pc))
