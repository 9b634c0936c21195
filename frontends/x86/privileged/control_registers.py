"""Control and debug registers, and what works on them (SDM vol. 3, 2.5, 2.8 and 17.2).

What a write to one has as a consequence, from paging to breakpoints, is the client's business
(machine/processor.py).  CR2, CLTS and LMSW have none but for the mode; CR3 and INVLPG, which are
used all the time, are done here.
"""

from __future__ import annotations

from frontends.insn import insn
from frontends.x86.context import SIZES, X86
from frontends.x86.privileged.builder import SystemX86, system
from frontends.x86.state import (
    ASK_READ_CONTROL,
    ASK_WRITE_CONTROL,
    ASK_WRITE_DEBUG,
    ASK_WRITE_XCR,
    CX,
)
from frontends.x86.system_state import CR0_PE, CR0_TS, CR4_DE, CR4_OSXSAVE
from tcg.frontend import GuestException
from tcg.ir import Value
from tcg.system import FLUSH_ALL, FLUSH_PAGE
from tcg.types import I32, I64

PLAIN = {0: "cr0", 2: "cr2", 3: "cr3", 4: "cr4"}
"""The control registers that are slots; CR8 is the local APIC's task priority."""
TASK_PRIORITY = 8


def ask_with(c: SystemX86, what: int, *values: Value | int) -> None:
    """Ask the client, with up to three numbers, and go on behind this instruction.

    `int_pc` is where the client reports an exception.
    """
    c.put(c.slots["int_pc"], c.value(c.word, c.pc))
    for name, value in zip(("ask_a", "ask_b", "ask_c"), values, strict=False):
        given = c.value(I64, value)
        c.put(c.slots[name], given.zext(I64))
    c.ask(what, c.next_pc)


def is_allowed(c: SystemX86) -> bool:
    """#GP(0) unless CPL is 0; whether there is code for which it can be."""
    c.require_cpl0()
    return not c.block.is_closed


def _exists(c: SystemX86, number: int) -> bool:
    return number in PLAIN or (number == TASK_PRIORITY and c.is_64)


# -- control registers ----------------------------------------------------------------------------


@insn("mov_Ry_Cy")
def read_control(c: X86, _source: object) -> Value | None:
    """rm <- CRn; #UD if there is no such one"""
    c = system(c)
    number = int(c.reg)
    if not _exists(c, number):
        c.fault(GuestException.ILLEGAL)
        return None
    if not is_allowed(c):
        return None
    if number in PLAIN:
        return c.get(c.slots[PLAIN[number]]).trunc(SIZES[8 if c.is_64 else 4])
    ask_with(c, ASK_READ_CONTROL, number, c.value(I64, c.rm))
    return None


@insn("mov_Cy_Ry")
def write_control(c: X86, source: Value) -> None:
    """CRn <- rm; #UD if there is no such one"""
    c = system(c)
    number = int(c.reg)
    if not _exists(c, number):
        c.fault(GuestException.ILLEGAL)
        return
    if not is_allowed(c):
        return
    if number == 2:
        c.put(c.slots["cr2"], source.zext(c.word))
    elif number == 3:
        c.put(c.slots["cr3"], source.zext(c.word))
        _flush(c, FLUSH_ALL, c.const(I64, 0))
    else:
        ask_with(c, ASK_WRITE_CONTROL, number, source.zext(I64))


def _flush(c: SystemX86, what: int, address: Value) -> None:
    """Forget translations, and look up anew where the next instruction is."""
    c.store_physical(c.const(I64, what), address.zext(I64))
    c.jump(c.value(c.word, c.next_pc), hint="far")


@insn
def clts(c: X86) -> None:
    """CR0.TS <- 0"""
    c = system(c)
    if not is_allowed(c):
        return
    cr0 = c.slots["cr0"]
    c.put(cr0, c.get(cr0) & ~CR0_TS)
    c.jump_far(c.value(c.word, c.next_pc))


@insn
def lmsw(c: X86, source: Value) -> None:
    """CR0 bits 0 to 3 <- src; PE cannot be cleared"""
    c = system(c)
    if not is_allowed(c):
        return
    cr0 = c.slots["cr0"]
    old = c.get(cr0)
    c.put(cr0, old & ~0xE | source.zext(c.word) & 0xF | old & CR0_PE)
    c.jump_far(c.value(c.word, c.next_pc))


@insn
def smsw(c: X86) -> Value:
    """dst <- CR0; memory gets 16 bits"""
    size = 2 if c.rm < 0 else int(c.opsize)
    return c.get(c.slots["cr0"]).trunc(SIZES[size])


@insn
def invlpg(c: X86, address: Value) -> None:
    """Forget how a page is translated"""
    c = system(c)
    if is_allowed(c):
        _flush(c, FLUSH_PAGE, address)


@insn
def xgetbv(c: X86) -> None:
    """EDX:EAX <- XCR0; no other extended control register is there (#GP)"""
    _require_osxsave(c)
    c.fault(GuestException.PROTECTION, when=c.read_gpr(CX, 4).ne(0))
    write_halves(c, c.get(c.slots["xcr0"]))


@insn
def xsetbv(c: X86) -> None:
    """XCR0 <- EDX:EAX"""
    c = system(c)
    _require_osxsave(c)
    if is_allowed(c):
        ask_with(c, ASK_WRITE_XCR)


def _require_osxsave(c: X86) -> None:
    has = (c.get(c.slots["cr4"]).trunc(I32) & CR4_OSXSAVE).ne(0)
    c.fault(GuestException.ILLEGAL, when=~has)


def write_halves(c: X86, value: Value) -> None:
    """EDX:EAX <- 64 bits"""
    c.write_gpr(0, 4, value.trunc(I32))
    c.write_gpr(2, 4, (value >> 32).trunc(I32))


# -- debug registers ------------------------------------------------------------------------------


def _debug_register(c: SystemX86) -> int | None:
    """Which one; DR4 and DR5 are DR6 and DR7, unless CR4.DE is set: #UD (SDM vol. 3, 17.2.2)."""
    number = int(c.reg)
    if number > 7:
        c.fault(GuestException.ILLEGAL)
        return None
    if number in (4, 5):
        c.fault(GuestException.ILLEGAL, when=(c.get(c.slots["cr4"]).trunc(I32) & CR4_DE).ne(0))
        number += 2
    return number if is_allowed(c) else None


@insn("mov_Ry_Dy")
def read_debug(c: X86, _source: object) -> Value | None:
    """rm <- DRn"""
    c = system(c)
    number = _debug_register(c)
    if number is None:
        return None
    return c.get(c.state.debug.slots[number]).trunc(SIZES[8 if c.is_64 else 4])


@insn("mov_Dy_Ry")
def write_debug(c: X86, source: Value) -> None:
    """DRn <- rm"""
    c = system(c)
    number = _debug_register(c)
    if number is not None:
        ask_with(c, ASK_WRITE_DEBUG, number, source.zext(I64))
