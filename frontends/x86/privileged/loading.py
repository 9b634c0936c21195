"""Loads of segment registers (SDM vol. 3, 3.4 and 5.4 to 5.7; vol. 2, MOV and LDS).

A load is prepared first, which reads the descriptor and may fault, and done when nothing of the
instruction can fault any more.
"""

from __future__ import annotations

from dataclasses import dataclass

from frontends.x86.modes import FLAT, STACK32
from frontends.x86.privileged.builder import SystemX86
from frontends.x86.privileged.descriptors import Descriptor, error_code, fetch, is_null
from frontends.x86.state import CS, DS, GS, SS
from frontends.x86.system_state import (
    ACCESSED,
    BIG,
    CODE_SEGMENT,
    CONFORMING,
    EXPAND_DOWN,
    NOT_SYSTEM,
    READABLE,
    UNUSABLE,
    WRITABLE,
)
from tcg.frontend import GuestException
from tcg.ir import Operand, Value
from tcg.types import I16, I32

DATA_16 = 0x9300
"""Rights of a data segment that can be written: what real mode has."""
VIRTUAL = 0xF300
"""What virtual-8086 mode has: the same with DPL 3 (SDM vol. 3, 20.1.1)."""
REAL_LIMIT = 0xFFFF


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a segment register gets; what is None it keeps."""

    selector: Value
    base: Value
    limit: Operand | None
    rights: Operand | None

    def put(self, c: SystemX86, number: int) -> None:
        """Load the register."""
        state = c.state
        c.put_file(state.selectors, number, self.selector)
        c.put_file(state.seg_base, number, self.base)
        if self.limit is not None:
            c.put_file(state.seg_limit, number, self.limit)
        if self.rights is not None:
            c.put_file(state.seg_rights, number, self.rights)


def real_segment(c: SystemX86, number: int, selector: Value) -> Loaded:
    """What a selector means in real mode: limit and rights stay what they were.

    But a segment that a null selector made unusable is one of data again.
    """
    base = selector.zext(c.word) << 4
    if c.is_virtual:
        return Loaded(selector, base, REAL_LIMIT, VIRTUAL)
    if number == CS:
        return Loaded(selector, base, None, None)
    state = c.state
    limit, rights = c.get(state.seg_limit.slots[number]), c.get(state.seg_rights.slots[number])
    was_null = (rights & UNUSABLE).ne(0)
    limit, rights = c.select(was_null, REAL_LIMIT, limit), c.select(was_null, DATA_16, rights)
    return Loaded(selector, base, limit, rights)


def from_descriptor(selector: Value, found: Descriptor) -> Loaded:
    """What a descriptor says."""
    return Loaded(selector, found.base, found.limit, found.rights | ACCESSED)


def prepare(c: SystemX86, number: int, selector: Value) -> Loaded:
    """See what a selector would load a register of data or the stack with."""
    if not c.is_protected:
        return real_segment(c, number, selector)
    base, limit, rights = c.local(c.word), c.local(I32), c.local(I32)
    c.put(base, 0)
    c.put(limit, 0)
    c.put(rights, UNUSABLE)
    null = is_null(selector)
    if number == SS:
        _check_null_stack(c, selector, null)
    with c.when(~null, likely=True):
        found = prepare_stack(c, selector, c.cpl) if number == SS else _prepare_data(c, selector)
        c.put(base, found.base)
        c.put(limit, found.limit)
        c.put(rights, found.rights | ACCESSED)
    return Loaded(selector, c.get(base), c.get(limit), c.get(rights))


def _check_null_stack(c: SystemX86, selector: Value, null: Value) -> None:
    """#GP(0) for a null SS, but in 64-bit code below CPL 3 if RPL is CPL."""
    if c.is_64:
        rpl = selector.trunc(c.byte) & 3
        null = null & (c.cpl.eq(3) | rpl.ne(c.cpl))
    c.fault(GuestException.PROTECTION, null)


def prepare_stack(
    c: SystemX86,
    selector: Value,
    level: Value,
    exception: GuestException = GuestException.PROTECTION,
    external: Operand = 0,
) -> Descriptor:
    """The descriptor of a stack for a privilege level; `exception` if it is not right for it."""
    found = fetch(c, selector, exception, external)
    wrong = ~found.is_writable_data | found.dpl.ne(level) | found.rpl.ne(level)
    code = error_code(selector, external)
    c.fault_with_code(exception, code, wrong)
    c.fault_with_code(GuestException.STACK, code, found.is_absent)
    found.mark_accessed()
    return found


def _prepare_data(c: SystemX86, selector: Value) -> Descriptor:
    """The descriptor of data, or of code that can be read."""
    found = fetch(c, selector)
    is_secret = found.is_code & ~found.has(READABLE)
    is_private = (found.high & (CODE_SEGMENT | CONFORMING)).ne(CODE_SEGMENT | CONFORMING)
    level = c.cpl.umax(found.rpl)
    wrong = ~found.has(NOT_SYSTEM) | is_secret | (is_private & level.ugt(found.dpl))
    c.fault_with_code(GuestException.PROTECTION, error_code(selector), wrong)
    c.fault_with_code(GuestException.NOT_PRESENT, error_code(selector), found.is_absent)
    found.mark_accessed()
    return found


def load_segment(c: SystemX86, number: int, selector: Value) -> None:
    """Load a segment register, as the last thing that an instruction does."""
    if number == CS or number > GS:
        c.fault(GuestException.ILLEGAL)
        return
    prepare_and_put(c, number, selector.trunc(I16))


def prepare_and_put(c: SystemX86, number: int, selector: Value) -> None:
    """Load a segment register; at the instruction's end see to the mode."""
    loaded = prepare(c, number, selector)
    c.later(lambda: finish(c, number, loaded))


def finish(c: SystemX86, number: int, loaded: Loaded) -> None:
    """Load a register with what was prepared, and go on in the mode that follows.

    No interrupt is taken between a load of SS and the next instruction (SDM vol. 3, 6.8.3).
    """
    loaded.put(c, number)
    if number == SS:
        c.put(c.slots["shadow"], c.value(c.word, c.next_pc))
    if not c.is_protected or c.is_64 or number > DS:
        return
    if c.bits & FLAT:
        c.go_on_in_mode(~_is_flat(c, number, loaded))
    else:
        c.go_on_in_mode()


def _is_flat(c: SystemX86, number: int, loaded: Loaded) -> Value:
    """The mode stays what it is: the segment is all of memory, and the stack's width the same."""
    assert isinstance(loaded.limit, Value)
    assert isinstance(loaded.rights, Value)
    looked_at = UNUSABLE | CODE_SEGMENT | EXPAND_DOWN | WRITABLE
    wanted = WRITABLE
    if number == SS:
        looked_at |= BIG
        wanted |= BIG if c.bits & STACK32 else 0
    fits = (loaded.rights & looked_at).eq(wanted)
    return fits & loaded.base.eq(0) & loaded.limit.eq(0xFFFF_FFFF)
