"""Instructions for systems, as a program at CPL 3 has them (SDM vol. 2, and vol. 3, 5.9).

What is privileged raises #GP.  Descriptor tables are those that Linux gives a 64-bit kernel's
programs: flat segments, of which LAR and LSL tell as if it were so.  Writing a segment register
asks the client, which knows the descriptors.
"""

from __future__ import annotations

from frontends.insn import insn
from frontends.x86.context import SIZES, X86
from frontends.x86.state import (
    ASK_CPUID,
    ASK_RDRAND,
    ASK_SYSENTER,
    AX,
    CX,
    DX,
    SEGMENTS,
)
from tcg.frontend import GuestException
from tcg.ir import Operand, Value
from tcg.types import I16, I32, I64

# -- time, identity, random numbers ----------------------------------------------------------------


def _write_halves(c: X86, value: Value) -> None:
    """EDX:EAX <- 64 bits"""
    c.write_gpr(AX, 4, value.trunc(I32))
    c.write_gpr(DX, 4, (value >> 32).trunc(I32))


@insn
def cpuid(c: X86) -> None:
    """EAX EBX ECX EDX <- leaf EAX, subleaf ECX: the client's answer"""
    c.ask(ASK_CPUID, c.next_pc)


@insn
def rdtsc(c: X86) -> None:
    """EDX:EAX <- the time-stamp counter, which counts nanoseconds"""
    _write_halves(c, c.clock())


@insn
def rdtscp(c: X86) -> None:
    """EDX:EAX <- the time-stamp counter, ECX <- IA32_TSC_AUX: processor 0 of node 0"""
    _write_halves(c, c.clock())
    c.write_gpr(CX, 4, 0)


@insn
def rdpid(c: X86) -> Value:
    """dst <- IA32_TSC_AUX"""
    return c.const(c.word, 0)


@insn("rdrand", "rdseed")
def rdrand(c: X86) -> None:
    """dst <- a random number, by the client; CF <- 1, the other flags <- 0"""
    c.flags.set(cf=1, of=0, sf=0, zf=0, af=0, pf=1)
    c.flags.flush()
    c.ask(ASK_RDRAND | int(c.rm) << 8 | int(c.opsize) << 16, c.next_pc)


XCR0 = 7
"""The states that XSAVE would handle: x87, SSE, AVX."""


@insn
def xgetbv(c: X86) -> None:
    """EDX:EAX <- XCR0; no other extended control register is there (#GP)"""
    c.fault(GuestException.PROTECTION, when=c.read_gpr(CX, 4).ne(0))
    c.write_gpr(AX, 4, XCR0)
    c.write_gpr(DX, 4, 0)


# -- segments --------------------------------------------------------------------------------------


@insn("lds", "les", "lfs", "lgs", "lss")
def lds(c: X86, address: Value) -> None:
    """Sreg:rG <- a far pointer in memory"""
    size = int(c.opsize)
    offset = c.load_le(SIZES[size], address)
    selector = c.load_le(I16, address + size)
    c.write_gpr(c.reg, size, offset)
    c.load_segment(SEGMENTS.index(c.row.name[1:]), selector)


@insn
def rdfsbase(c: X86) -> Value:
    """dst <- FS.base"""
    return _base(c, "fs_base")


@insn
def rdgsbase(c: X86) -> Value:
    """dst <- GS.base"""
    return _base(c, "gs_base")


def _base(c: X86, name: str) -> Value:
    return c.get(c.slots[name]).trunc(I64 if c.opsize == 8 else I32)


@insn
def wrfsbase(c: X86, src: Value) -> None:
    """FS.base <- src"""
    c.put(c.slots["fs_base"], src.zext(c.word))


@insn
def wrgsbase(c: X86, src: Value) -> None:
    """GS.base <- src"""
    c.put(c.slots["gs_base"], src.zext(c.word))


USER_CODE_32, USER_DATA, USER_CODE_64, PROCESSOR_NUMBER = 0x23, 0x2B, 0x33, 0x7B
"""The selectors of Linux that a program may ask about."""

# fmt: off
ACCESS_RIGHTS = {
    USER_CODE_32: 0xCFFB00, USER_DATA: 0xCFF300, USER_CODE_64: 0xAFFB00, PROCESSOR_NUMBER: 0x40F500,
}
# fmt: on
LIMITS = {**dict.fromkeys(ACCESS_RIGHTS, 0xFFFF_FFFF), PROCESSOR_NUMBER: 0}


def _look_up(c: X86, selector: Value, table: dict[int, int]) -> tuple[Value, Value]:
    """Whether a selector is in a table, and what it says."""
    found: Value = c.const(I32, 0)
    known = selector.eq(-1)
    for number, answer in table.items():
        is_it = selector.trunc(I16).eq(number)
        known = is_it if number == USER_CODE_32 else known | is_it
        found = c.select(is_it, answer, found, I32)
    return known, found


def _describe(c: X86, selector: Value, table: dict[int, int]) -> None:
    known, found = _look_up(c, selector, table)
    size = int(c.opsize)
    old = c.get_file(c.state.gpr, c.reg)
    new = old & ~0xFFFF | (found & 0xFFFF).zext(c.word) if size == 2 else found.zext(c.word)
    c.put_file(c.state.gpr, c.reg, c.select(known, new, old))
    c.flags.set(zf=known)


@insn
def lar(c: X86, selector: Value) -> None:
    """dst <- a descriptor's access rights; ZF tells whether there is one"""
    _describe(c, selector, ACCESS_RIGHTS)


@insn
def lsl(c: X86, selector: Value) -> None:
    """dst <- a segment's limit; ZF tells whether there is one"""
    _describe(c, selector, LIMITS)


@insn
def verr(c: X86, selector: Value) -> None:
    """ZF <- the segment can be read"""
    c.flags.set(zf=_look_up(c, selector, LIMITS)[0])


@insn
def verw(c: X86, selector: Value) -> None:
    """ZF <- the segment can be written"""
    c.flags.set(zf=selector.trunc(I16).eq(USER_DATA))


@insn
def arpl(c: X86, dst: Value, src: Value) -> Value:
    """dst.RPL <- src.RPL if that is higher, which ZF tells"""
    is_lower = (dst & 3).ult(src & 3)
    c.flags.set(zf=is_lower)
    return c.select(is_lower, dst & ~3 | src & 3, dst)


# -- system registers that a program can read ------------------------------------------------------

MACHINE_STATUS = 0x8005_0033
"""CR0 under Linux: PG AM WP NE ET MP PE."""
TASK_SELECTOR = 0x40


@insn
def smsw(c: X86) -> Value:
    """dst <- CR0; memory gets 16 bits"""
    return _system_word(c, MACHINE_STATUS)


@insn
def sldt(c: X86) -> Value:
    """dst <- the selector of the LDT: none"""
    return _system_word(c, 0)


@insn("str")
def str_(c: X86) -> Value:
    """dst <- the selector of the task"""
    return _system_word(c, TASK_SELECTOR)


def _system_word(c: X86, number: int) -> Value:
    return c.const(SIZES[2 if c.rm < 0 else int(c.opsize)], number)


TABLE_LIMITS = {"sgdt": 0x7F, "sidt": 0xFFF}
TABLE_BASES = {"sgdt": 0xFFFF_FE00_0000_1000, "sidt": 0xFFFF_FE00_0000_0000}


@insn("sgdt", "sidt")
def sgdt(c: X86, address: Value) -> None:
    """memory <- limit and base of a descriptor table"""
    c.store_le(address, c.const(I16, TABLE_LIMITS[c.row.name]))
    c.store_le(address + 2, c.const(c.word, TABLE_BASES[c.row.name]))


# -- what does nothing here ------------------------------------------------------------------------


@insn
def mfence(c: X86) -> None:
    """Orders all memory accesses"""
    c.fence()


@insn("lfence", "sfence", "pause")
def lfence(c: X86) -> None:
    """Needs nothing: the host orders loads and stores as the guest's does"""


@insn("clflush", "clflushopt", "clwb")
def clflush(c: X86, address: Value) -> None:
    """Caches are the host's; what is not there faults as if it were read"""
    c.load_le(c.byte, address)


@insn("prefetchw", "prefetchnta", "prefetcht0", "prefetcht1", "prefetcht2")
def prefetch(c: X86, _: Value) -> None:
    """Caches are the host's"""


@insn
def movnti(c: X86, src: Value) -> Value:
    """dst <- src, past the caches"""
    return src


# -- what is not for programs ----------------------------------------------------------------------


@insn
def sysenter(c: X86) -> None:
    """Fast system call of 32-bit code, which the vDSO makes"""
    c.ask(ASK_SYSENTER, c.next_pc)


# fmt: off
PRIVILEGED = (
    "clts", "in", "ins", "invd", "invlpg", "lgdt", "lidt", "lldt", "lmsw", "ltr", "out", "outs",
    "rdmsr", "rdpmc", "swapgs", "sysexit", "sysret", "wbinvd", "wrmsr", "xsetbv",
)
# fmt: on


@insn(*PRIVILEGED)
def privileged(c: X86, *_operands: Operand) -> None:
    """Not for programs (#GP)"""
    c.fault(GuestException.PROTECTION)


@insn("monitor", "mwait", "clac", "stac", "rsm")
def undefined(c: X86) -> None:
    """Not there for programs (#UD)"""
    c.fault(GuestException.ILLEGAL)


CONTROL_REGISTERS = (0, 2, 3, 4, 8)
DEBUG_REGISTERS = 8


@insn("mov_Cy_Ry", "mov_Ry_Cy")
def move_control(c: X86, *_operands: Operand) -> None:
    """Not for programs (#GP); one that is not there is not for anybody (#UD)"""
    exists = int(c.reg) in CONTROL_REGISTERS
    c.fault(GuestException.PROTECTION if exists else GuestException.ILLEGAL)


@insn("mov_Dy_Ry", "mov_Ry_Dy")
def move_debug(c: X86, *_operands: Operand) -> None:
    """Not for programs (#GP); one that is not there is not for anybody (#UD)"""
    exists = c.reg < DEBUG_REGISTERS
    c.fault(GuestException.PROTECTION if exists else GuestException.ILLEGAL)
