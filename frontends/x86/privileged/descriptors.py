"""Descriptors: finding them by selectors, taking them apart (SDM vol. 3, 3.4 and 3.5)."""

from __future__ import annotations

from dataclasses import dataclass

from frontends.x86.privileged.builder import SystemX86
from frontends.x86.system_state import (
    ACCESSED,
    BIG,
    CODE_SEGMENT,
    CONFORMING,
    DPL_SHIFT,
    GRANULARITY,
    LDTR,
    LONG_CODE,
    NOT_SYSTEM,
    PRESENT,
    RIGHTS_MASK,
    WRITABLE,
)
from tcg.frontend import GuestException
from tcg.ir import Operand, Value
from tcg.types import I8, I16, I32, I64

TABLE_INDICATOR = 4
"""The bit of a selector that takes it to the LDT."""
TYPE_SHIFT = 8

# Types of system segments and gates (SDM vol. 3, table 3-2).
TSS16, LDT, BUSY_TSS16, CALL_GATE16, TASK_GATE, INTERRUPT_GATE16, TRAP_GATE16 = range(1, 8)
TSS32, BUSY_TSS32, CALL_GATE32, INTERRUPT_GATE32, TRAP_GATE32 = 9, 11, 12, 14, 15
BUSY = 2
"""The bit of a TSS's type that says it is in use."""


@dataclass(frozen=True, slots=True)
class Descriptor:
    """Eight bytes of a descriptor table: where they are, and what they are."""

    c: SystemX86
    selector: Value
    address: Value
    low: Value
    high: Value

    # -- bits -------------------------------------------------------------------------------------

    def has(self, bits: int) -> Value:
        """Whether one of some bits of the second doubleword is set."""
        return (self.high & bits).ne(0)

    @property
    def is_code(self) -> Value:
        """It is a code segment."""
        wanted = NOT_SYSTEM | CODE_SEGMENT
        return (self.high & wanted).eq(wanted)

    @property
    def is_writable_data(self) -> Value:
        """It is a data segment that can be written."""
        looked_at = NOT_SYSTEM | CODE_SEGMENT | WRITABLE
        return (self.high & looked_at).eq(NOT_SYSTEM | WRITABLE)

    @property
    def is_conforming(self) -> Value:
        """Code that keeps its caller's privilege; for code segments only."""
        return self.has(CONFORMING)

    @property
    def is_absent(self) -> Value:
        """The bit P is clear."""
        return (self.high & PRESENT).eq(0)

    @property
    def is_long(self) -> Value:
        """It is 64-bit code, in long mode."""
        return self.has(LONG_CODE)

    @property
    def dpl(self) -> Value:
        """Its privilege level, a byte."""
        return (self.high >> DPL_SHIFT).trunc(I8) & 3

    @property
    def rpl(self) -> Value:
        """The privilege level that the selector asks for, a byte."""
        return self.selector.trunc(I8) & 3

    @property
    def type(self) -> Value:
        """The bits S and type: below 16 it is a system's."""
        return self.high >> TYPE_SHIFT & 0x1F

    # -- fields -----------------------------------------------------------------------------------

    @property
    def base(self) -> Value:
        """Where the segment begins, as wide as a register."""
        base = self.low >> 16 | (self.high & 0xFF) << 16 | self.high & 0xFF00_0000
        return base.zext(self.c.word)

    @property
    def limit(self) -> Value:
        """The offset of the segment's last byte."""
        limit = self.low & 0xFFFF | self.high & 0xF_0000
        pages = limit << 12 | 0xFFF
        return self.c.select(self.has(GRANULARITY), pages, limit)

    @property
    def rights(self) -> Value:
        """What the slot `seg_rights` keeps."""
        return self.high & RIGHTS_MASK

    @property
    def gate_selector(self) -> Value:
        """Where a gate leads to: the selector ..."""
        return (self.low >> 16).trunc(I16)

    @property
    def gate_offset(self) -> Value:
        """... and the offset, of which gates of 16 bits have half."""
        return self.low & 0xFFFF | self.high & 0xFFFF_0000

    @property
    def stack_number(self) -> Value:
        """The number in the interrupt stack table, of a 64-bit gate (SDM vol. 3, 6.14.5)."""
        return self.high & 7

    def upper(self) -> Value:
        """The third doubleword, which in long mode is the upper half of a base or an offset."""
        return self.c.load_system(I32, self.address + 8)

    def wide_base(self) -> Value:
        """The base of a system segment: in long mode it has 64 bits."""
        if not self.c.is_long:
            return self.base
        return self.base | self.upper().zext(I64) << 32

    # -- changes ----------------------------------------------------------------------------------

    def mark_accessed(self) -> None:
        """Set the bit A in memory, if it is not."""
        with self.c.when((self.high & ACCESSED).eq(0), likely=False):
            self._write_type(self.high | ACCESSED)

    def mark_busy(self) -> None:
        """Set a TSS's busy bit in memory."""
        self._write_type(self.high | BUSY << TYPE_SHIFT)

    def _write_type(self, high: Value) -> None:
        self.c.store_system(self.address + 5, (high >> TYPE_SHIFT).trunc(I8))


def error_code(selector: Value, external: Operand = 0) -> Value:
    """The error code that names a selector: its index and table (SDM vol. 3, 6.13)."""
    code = (selector & 0xFFFC).zext(I32)
    if isinstance(external, int) and not external:
        return code
    return code | external


def is_null(selector: Value) -> Value:
    """The selector is one of 0 to 3."""
    return (selector & 0xFFFC).eq(0)


def place(c: SystemX86, selector: Value, size: int = 8) -> tuple[Value, Value]:
    """Where a selector's descriptor of so many bytes is, and whether it is beyond its table."""
    state, slots = c.state, c.slots
    is_local = (selector & TABLE_INDICATOR).ne(0)
    base = c.select(is_local, c.get(state.seg_base.slots[LDTR]), c.get(slots["gdt_base"]))
    limit = c.select(is_local, c.get(state.seg_limit.slots[LDTR]), c.get(slots["gdt_limit"]))
    index = (selector & 0xFFF8).zext(c.word)
    return base + index, (index.trunc(I32) + (size - 1)).ugt(limit)


def read(c: SystemX86, selector: Value, address: Value) -> Descriptor:
    """The descriptor at an address."""
    both = c.load_system(I64, address)
    return Descriptor(c, selector, address, both.trunc(I32), (both >> 32).trunc(I32))


def fetch(
    c: SystemX86,
    selector: Value,
    exception: GuestException = GuestException.PROTECTION,
    external: Operand = 0,
    size: int = 8,
) -> Descriptor:
    """The descriptor that a selector names; an exception with it if there is none."""
    address, is_beyond = place(c, selector, size)
    c.fault_with_code(exception, error_code(selector, external), is_beyond)
    return read(c, selector, address)


def fetch_system(
    c: SystemX86,
    selector: Value,
    exception: GuestException = GuestException.PROTECTION,
    external: Operand = 0,
) -> Descriptor:
    """The descriptor of an LDT or a TSS: 16 bytes in long mode."""
    return fetch(c, selector, exception, external, 16 if c.is_long else 8)


def default_limit(c: SystemX86, rights: Value) -> Value:
    """The highest offset that a segment's pointers reach: 64 KiB or 4 GiB."""
    return c.select((rights & BIG).ne(0), 0xFFFF_FFFF, 0xFFFF)
