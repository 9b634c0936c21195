"""Segment registers, descriptor tables, and questions about descriptors (SDM vol. 2)."""

from __future__ import annotations

from frontends.insn import insn
from frontends.x86 import stack
from frontends.x86.context import SIZES
from frontends.x86.privileged.builder import SystemX86
from frontends.x86.privileged.descriptors import (
    BUSY_TSS16,
    BUSY_TSS32,
    CALL_GATE16,
    CALL_GATE32,
    LDT,
    TABLE_INDICATOR,
    TASK_GATE,
    TSS16,
    TSS32,
    Descriptor,
    error_code,
    fetch_system,
    is_null,
    place,
    read,
)
from frontends.x86.privileged.loading import Loaded, finish, prepare, prepare_and_put
from frontends.x86.state import SEGMENTS
from frontends.x86.system_state import (
    CODE_SEGMENT,
    CONFORMING,
    LDTR,
    NOT_SYSTEM,
    READABLE,
    TR,
    UNUSABLE,
    WRITABLE,
)
from tcg.decode.intel.operands import FIXED
from tcg.frontend import GuestException
from tcg.ir import Value
from tcg.types import I16, I32

# -- loads ----------------------------------------------------------------------------------------


@insn
def pop(c: SystemX86) -> Value | None:
    """dst <- [rSP]; rSP <- rSP + size; a segment register is loaded before rSP changes"""
    kind, number, _ = FIXED.get(c.row.operands[0].text, ("", 0, ""))
    if kind != "segment":
        return stack.pop(c)
    size = int(c.opsize)
    top = c.stack_pointer()
    selector = c.load_le(SIZES[size], c.on_stack(top))
    loaded = prepare(c, number, selector.trunc(I16))
    c.write_stack_pointer(top + size)
    finish(c, number, loaded)
    return None


@insn("lds", "les", "lfs", "lgs", "lss")
def lds(c: SystemX86, address: Value) -> None:
    """Sreg:rG <- a far pointer in memory"""
    size = int(c.opsize)
    offset = c.load_le(SIZES[size], address)
    selector = c.load_le(I16, address + size)
    prepare_and_put(c, SEGMENTS.index(c.row.name[1:]), selector)
    c.write_gpr(c.reg, size, offset)


# -- LDTR and TR ----------------------------------------------------------------------------------


def _require_protected(c: SystemX86) -> bool:
    """#UD in real and virtual-8086 mode; whether there is more to be done."""
    if not c.is_protected:
        c.fault(GuestException.ILLEGAL)
    return c.is_protected


def _require_global(c: SystemX86, selector: Value) -> None:
    """#GP with a selector that is not one of the GDT."""
    is_local = (selector & TABLE_INDICATOR).ne(0)
    c.fault_with_code(GuestException.PROTECTION, error_code(selector), is_local)


def _fetch_of_type(c: SystemX86, selector: Value, *types: int) -> Descriptor:
    """The system descriptor that a selector names; #GP if it is of none of these types, #NP."""
    found = fetch_system(c, selector)
    is_right = is_one_of(found, types)
    c.fault_with_code(GuestException.PROTECTION, error_code(selector), ~is_right)
    c.fault_with_code(GuestException.NOT_PRESENT, error_code(selector), found.is_absent)
    return found


def is_one_of(found: Descriptor, types: tuple[int, ...]) -> Value:
    """The descriptor has one of some types, which are below 16: a bit set."""
    known = sum(1 << number for number in types)
    type_ = found.type
    return type_.ult(16) & (found.c.const(I32, known) >> (type_ & 15) & 1).ne(0)


@insn
def lldt(c: SystemX86, selector: Value) -> None:
    """LDTR <- a selector and its descriptor; null: no LDT"""
    if not _require_protected(c):
        return
    c.require_cpl0()
    base, limit, rights = c.local(c.word), c.local(I32), c.local(I32)
    c.put(base, 0)
    c.put(limit, 0)
    c.put(rights, UNUSABLE)
    with c.when(~is_null(selector), likely=True):
        _require_global(c, selector)
        found = _fetch_of_type(c, selector, LDT)
        c.put(base, found.wide_base())
        c.put(limit, found.limit)
        c.put(rights, found.rights)
    Loaded(selector, c.get(base), c.get(limit), c.get(rights)).put(c, LDTR)


@insn
def ltr(c: SystemX86, selector: Value) -> None:
    """TR <- a selector and its descriptor, which is marked busy"""
    if not _require_protected(c):
        return
    c.require_cpl0()
    c.fault(GuestException.PROTECTION, is_null(selector))
    _require_global(c, selector)
    found = _fetch_of_type(c, selector, TSS32) if c.is_long else _any_tss(c, selector)
    base = found.wide_base()
    found.mark_busy()
    rights = found.rights | 2 << 8
    Loaded(selector, base, found.limit, rights).put(c, TR)


def _any_tss(c: SystemX86, selector: Value) -> Descriptor:
    return _fetch_of_type(c, selector, TSS16, TSS32)


@insn
def sldt(c: SystemX86) -> Value | None:
    """dst <- the selector in LDTR"""
    return _selector_of(c, LDTR)


@insn("str")
def str_(c: SystemX86) -> Value | None:
    """dst <- the selector in TR"""
    return _selector_of(c, TR)


def _selector_of(c: SystemX86, number: int) -> Value | None:
    if not _require_protected(c):
        return None
    selector = c.get_file(c.state.selectors, number)
    return selector.zext(SIZES[2 if c.rm < 0 else int(c.opsize)])


# -- GDTR and IDTR --------------------------------------------------------------------------------


@insn("sgdt", "sidt")
def sgdt(c: SystemX86, address: Value) -> None:
    """memory <- limit and base"""
    name = c.row.name[1:]
    base = c.get(c.slots[f"{name}_base"])
    c.store_le(address, c.get(c.slots[f"{name}_limit"]).trunc(I16))
    c.store_le(address + 2, base if c.is_64 else base.trunc(I32))


@insn("lgdt", "lidt")
def lgdt(c: SystemX86, address: Value) -> None:
    """limit and base <- memory; with 16-bit operands the base has 24 bits"""
    c.require_cpl0()
    if c.block.is_closed:
        return
    name = c.row.name[1:]
    limit = c.load_le(I16, address)
    base = c.load_le(c.word if c.is_64 else I32, address + 2)
    if not c.is_64 and c.opsize == 2:
        base = base & 0xFF_FFFF
    c.put(c.slots[f"{name}_limit"], limit.zext(I32))
    c.put(c.slots[f"{name}_base"], base.zext(c.word))


# -- questions ------------------------------------------------------------------------------------

# fmt: off
WITH_LIMIT = (TSS16, LDT, BUSY_TSS16, TSS32, BUSY_TSS32)
WITH_RIGHTS = (*WITH_LIMIT, CALL_GATE16, TASK_GATE, CALL_GATE32)
LONG_WITH_LIMIT = (LDT, TSS32, BUSY_TSS32)
LONG_WITH_RIGHTS = (*LONG_WITH_LIMIT, CALL_GATE32)
# fmt: on
"""The types of system descriptors that LSL and LAR tell of (SDM vol. 2, tables 3-53 and 3-67)."""
SHOWN_RIGHTS = 0x00F0_FF00
"""What LAR shows of a descriptor's second doubleword."""


def _may_see(found: Descriptor) -> Value:
    """CPL and RPL allow to know of the descriptor: it is conforming, or both are low enough."""
    conforming = NOT_SYSTEM | CODE_SEGMENT | CONFORMING
    level = found.c.cpl.umax(found.rpl)
    return (found.high & conforming).eq(conforming) | level.ule(found.dpl)


def _look(c: SystemX86, selector: Value) -> tuple[Value, Descriptor]:
    """Whether there is a descriptor that may be seen; with it, or another one if there is none."""
    address, is_beyond = place(c, selector)
    there = ~(is_null(selector) | is_beyond)
    nearest = c.select(there, address, c.get(c.slots["gdt_base"]))
    found = read(c, selector, nearest)
    return there & _may_see(found), found


def _answer(c: SystemX86, is_right: Value, answer: Value) -> None:
    """ZF tells whether there is an answer, which goes to the register then."""
    size = int(c.opsize)
    old = c.read_gpr(c.reg, size)
    new = answer.trunc(I16) if size == 2 else answer.zext(SIZES[size])
    with c.when(is_right):
        c.write_gpr(c.reg, size, c.select(is_right, new, old))
    c.flags.set(zf=is_right)


@insn
def lar(c: SystemX86, selector: Value) -> None:
    """dst <- a descriptor's access rights; ZF tells whether there is one"""
    if not _require_protected(c):
        return
    is_seen, found = _look(c, selector)
    types = LONG_WITH_RIGHTS if c.is_long else WITH_RIGHTS
    is_right = is_seen & (found.has(NOT_SYSTEM) | is_one_of(found, types))
    _answer(c, is_right, found.high & SHOWN_RIGHTS)


@insn
def lsl(c: SystemX86, selector: Value) -> None:
    """dst <- a segment's limit; ZF tells whether there is one"""
    if not _require_protected(c):
        return
    is_seen, found = _look(c, selector)
    types = LONG_WITH_LIMIT if c.is_long else WITH_LIMIT
    is_right = is_seen & (found.has(NOT_SYSTEM) | is_one_of(found, types))
    _answer(c, is_right, found.limit)


@insn
def verr(c: SystemX86, selector: Value) -> None:
    """ZF <- the segment can be read"""
    if not _require_protected(c):
        return
    is_seen, found = _look(c, selector)
    is_data = ~found.has(CODE_SEGMENT)
    c.flags.set(zf=is_seen & found.has(NOT_SYSTEM) & (is_data | found.has(READABLE)))


@insn
def verw(c: SystemX86, selector: Value) -> None:
    """ZF <- the segment can be written"""
    if not _require_protected(c):
        return
    is_seen, found = _look(c, selector)
    wanted = NOT_SYSTEM | WRITABLE
    is_right = (found.high & (wanted | CODE_SEGMENT)).eq(wanted)
    c.flags.set(zf=is_seen & is_right)


@insn
def arpl(c: SystemX86, dst: Value, src: Value) -> None:
    """dst.RPL <- src.RPL if that is higher, which ZF tells; else nothing is written"""
    if not _require_protected(c):
        return
    is_lower = (dst & 3).ult(src & 3)
    c.flags.set(zf=is_lower)
    with c.when(is_lower):
        c.operands.store(c.row.operands[0], dst & ~3 | src & 3)
