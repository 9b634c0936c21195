"""The builder of semantic functions for a whole machine: segments, checks, modes.

Addresses are linear ones from `linear`, `on_stack` and `in_extra` on.  Where memory is not flat
these remember which segment and offset an address came from, so that each access to it, or to what
is some bytes behind it, is held against the segment's limit and type with its own size:

    address = c.linear()              seg_base[DS] + offset, remembered
    c.load_le(I16, address + 4)       offset + 5 <= seg_limit[DS], else #GP(0); the load

In flat code (the bit FLAT) this is left out but for FS and GS, in 64-bit code altogether: there an
address that is not canonical is found by the page walk.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from frontends.x86.context import SIZES, X86, Field
from frontends.x86.modes import (
    CODE,
    CODE_64,
    FLAT,
    IGNORED,
    LONG,
    PROTECTED,
    STACK32,
    VM86,
    update_mode,
)
from frontends.x86.state import CS, DS, ES, SP, SS, X86State
from frontends.x86.system_state import (
    BIG,
    CODE_SEGMENT,
    EXPAND_DOWN,
    UNUSABLE,
    WRITABLE,
    SystemState,
)
from tcg import ops
from tcg.decode.intel.table import Row
from tcg.fields import FieldExpr, FieldLike
from tcg.frontend import GuestException
from tcg.ir import Access, Function, Operand, Value
from tcg.state import HEADER
from tcg.types import I8, I32, I64

WITH_CODE = frozenset((
    GuestException.PROTECTION, GuestException.ALIGNMENT, GuestException.STACK,
    GuestException.NOT_PRESENT, GuestException.INVALID_TSS, GuestException.DOUBLE_FAULT,
))  # fmt: skip
"""The exceptions that push an error code (SDM vol. 3, table 6-1), but for #PF."""

Origin: TypeAlias = tuple[Field, Value]
"""The number of a segment, and an offset in it."""


class SystemX86(X86):
    """`bits`: the mode word that code is lifted for (frontends/x86/modes.py)."""

    state: SystemState

    def __init__(
        self, function: Function, state: X86State, bits: int, checks_floats: bool = False
    ) -> None:
        super().__init__(function, state, (16, 32, 64, 64)[bits & CODE], checks_floats)
        self.bits = bits
        self.is_64 = bits & CODE == CODE_64
        self.is_flat = self.is_64 or bool(bits & FLAT)
        self.is_long = bool(bits & LONG)
        self.is_virtual = bool(bits & VM86)
        self.is_protected = bool(bits & (PROTECTED | LONG)) and not self.is_virtual
        """Segments are described by descriptors: not real or virtual-8086 mode."""
        self.stack_bytes = 8 if self.is_64 else 4 if bits & STACK32 else 2
        self._origins: dict[Value, Origin] = {}

    def start(self, row: Row, fields: Sequence[FieldLike], pc: FieldLike) -> None:
        """Begin with another instruction."""
        super().start(row, fields, pc)
        self._origins.clear()

    # -- modes -----------------------------------------------------------------------------------

    def update_mode(self) -> None:
        """Compute the mode anew."""
        update_mode(self)

    def jump_far(self, target: Value) -> None:
        """Go on at another place, in whatever mode the state says now."""
        self.flags.flush()
        self.update_mode()
        self.jump(target, hint="far")

    def go_on_in_mode(self, when: Value | None = None) -> None:
        """Go on with the next instruction, which another mode than this may be for.

        `when`: only then the mode may be another one.  Not for what changes the mode of
        floating-point instructions, in which others do not differ.
        """
        target = self.value(self.word, self.next_pc)
        self.flags.flush()
        if when is None:
            self.update_mode()
            when = (self.get(HEADER["mode"]) & ~IGNORED).ne(self.bits & ~IGNORED)
            self.jump(target, when, hint="far")
        else:
            with self.when(when, likely=False):
                self.jump_far(target)

    # -- exceptions -------------------------------------------------------------------------------

    def fault(self, exception: GuestException, when: Value | None = None) -> None:
        """Raise an exception at this instruction; its error code, if it has one, is 0."""
        if exception in WITH_CODE:
            self.fault_with_code(exception, 0, when)
        else:
            self.raise_(exception, self.pc, when)

    def fault_with_code(
        self, exception: GuestException, code: Operand, when: Value | None = None
    ) -> None:
        """Raise an exception at this instruction with an error code."""
        if when is not None and when.is_const and not when.imm:
            return
        if when is None:
            self.put(self.slots["error_code"], self.value(I32, code))
            self.raise_(exception, self.pc)
            return
        with self.when(when, likely=False):
            self.fault_with_code(exception, code)

    def require_cpl0(self) -> None:
        """#GP(0) unless CPL is 0, as it is in real mode and never is in virtual-8086 mode."""
        if self.is_virtual:
            self.fault(GuestException.PROTECTION)
        elif self.is_protected:
            self.fault(GuestException.PROTECTION, when=self.cpl.ne(0))

    @property
    def cpl(self) -> Value:
        """The current privilege level, a byte."""
        return self.get(self.slots["cpl"])

    # -- addresses --------------------------------------------------------------------------------

    def linear(self, address: Value | None = None) -> Value:
        """The linear address of the ModRM operand, or of another effective address."""
        if address is None:
            address = self.effective_address()
        if not self.is_flat:
            return self.in_segment(self._segment_of_operand(), address)
        if self.segment >= 1 + 4:
            return self.in_segment(int(self.segment) - 1, address)
        return address

    def _segment_of_operand(self) -> Field:
        """The override's number, or that of SS if the address is based on BP or SP, or DS.

        SDM vol. 1, table 3-5.
        """
        is_on_stack = (self.base & 14) == 4
        default: Field = DS - is_on_stack
        chosen: Field = self.segment - 1 + (self.segment == 0) * (default + 1)
        return chosen

    def in_segment(self, number: Field, offset: Value) -> Value:
        """The linear address of an offset in a segment."""
        if self.is_flat and not isinstance(number, FieldExpr) and number <= DS:
            return offset
        base = self.get_file(self.state.seg_base, number)
        if self.is_64:
            return offset + base
        linear = offset + base
        if self.word is I64:
            linear = linear.trunc(I32).zext(I64)
        self._origins[linear] = number, offset
        return linear

    def stack_offset(self, address: Value) -> Value:
        """An address modulo the width of the stack pointer."""
        if self.stack_bytes == self.word.bytes:
            return address
        return address.trunc(SIZES[self.stack_bytes]).zext(self.word)

    def as_stack_pointer(self, offset: Value) -> Value:
        """What the whole register holds when the stack pointer becomes `offset`."""
        if self.stack_bytes > 2:
            return self.stack_offset(offset)
        above = self.get_file(self.state.gpr, SP) & ~0xFFFF
        return above | offset & 0xFFFF

    def write_stack_pointer(self, value: Value) -> None:
        """RSP, ESP or SP <- value"""
        self.write_gpr(SP, self.stack_bytes, value.trunc(SIZES[self.stack_bytes]))

    def on_stack(self, offset: Value) -> Value:
        """The linear address of an offset in the stack's segment."""
        return self.in_segment(SS, self.stack_offset(offset))

    def probe(self, address: Value) -> None:
        """Fault as a write if a byte cannot be written: an atomic access always is one."""
        self.rmw("or", address, self.const(I8, 0))

    def in_extra(self, offset: Value) -> Value:
        """The linear address of an offset in the segment ES."""
        return self.in_segment(ES, offset)

    @property
    def strings_in_bulk(self) -> bool:
        """Only where no element can lie beyond a limit."""
        return self.is_64 or (self.is_flat and not self.segment >= 1 + 4)

    def check_near(self, target: Operand, when: Value | None = None) -> None:
        """#GP(0) if a branch that is about to be taken leads out of the code segment.

        In real mode only a 32-bit target can.
        """
        if self.is_flat or not (self.is_protected or self.opsize == 4):
            return
        limit = self.get(self.state.seg_limit.slots[CS])
        place = self.value(self.word, target)
        narrow = place.zext(I32) if place.type.bits < 32 else place.trunc(I32)
        beyond = narrow.ugt(limit)
        self.fault(GuestException.PROTECTION, beyond if when is None else when & beyond)

    # -- what segments allow ----------------------------------------------------------------------

    def load(self, access: Access, address: Value) -> Value:
        """Read guest memory, if the segment lets us."""
        self._check(access, address, is_write=False)
        return super().load(access, address)

    def store(self, access: Access, address: Value, value: Value) -> None:
        """Write guest memory, if the segment lets us."""
        self._check(access, address, is_write=True)
        super().store(access, address, value)

    def cas(self, access: Access, address: Value, expected: Value, new: Value) -> Value:
        """Compare and swap, if the segment lets us."""
        self._check(access, address, is_write=True)
        return super().cas(access, address, expected, new)

    def rmw(self, operation: str, address: Value, value: Value) -> Value:
        """Atomic read-modify-write, if the segment lets us."""
        self._check(Access(value.type), address, is_write=True)
        return super().rmw(operation, address, value)

    def _origin(self, address: Value) -> Origin | None:
        """Where an address came from, if that has to be checked."""
        found = self._origins.get(address)
        if found is None and address.op is ops.ADD:
            below = self._origin(address.args[0])
            if below is not None:
                return below[0], below[1] + address.args[1]
        return found

    def _check(self, access: Access, address: Value, *, is_write: bool) -> None:
        if not self._origins or access.mmu:
            return
        origin = self._origin(address)
        if origin is not None:
            self._check_segment(*origin, access.type.bytes, is_write=is_write)

    def _check_segment(self, number: Field, offset: Value, size: int, *, is_write: bool) -> None:
        """#SS(0) or #GP(0) unless `size` bytes at an offset may be read or written.

        SDM vol. 3, 5.3 and 5.5.
        """
        limit = self.get_file(self.state.seg_limit, number)
        last = offset.trunc(I32).zext(I64) + (size - 1)
        beyond = last.ugt(limit.zext(I64))
        if not self.is_protected:
            self._refuse(number, beyond)
            return
        rights = self.get_file(self.state.seg_rights, number)
        looked_at = UNUSABLE | CODE_SEGMENT | EXPAND_DOWN | (WRITABLE if is_write else 0)
        is_odd = (rights & looked_at).ne(WRITABLE if is_write else 0)
        with self.when(is_odd | beyond, likely=False):
            self._refuse(number, self._is_forbidden(limit, rights, offset, last, is_write=is_write))

    def _is_forbidden(
        self, limit: Value, rights: Value, offset: Value, last: Value, *, is_write: bool
    ) -> Value:
        """Whether a segment of any type forbids an access."""
        is_code = (rights & CODE_SEGMENT).ne(0)
        lacks = (rights & WRITABLE).eq(0)
        """Code that may not be read, data that may not be written: one bit says both."""
        wrong = is_code | lacks if is_write else is_code & lacks
        goes_down = ~is_code & (rights & EXPAND_DOWN).ne(0)
        end = self.select((rights & BIG).ne(0), 0xFFFF_FFFF, 0xFFFF).zext(I64)
        outside = offset.trunc(I32).ule(limit) | last.ugt(end)
        beyond = self.select(goes_down, outside, last.ugt(limit.zext(I64)))
        return wrong | beyond | (rights & UNUSABLE).ne(0)

    def _refuse(self, number: Field, when: Value) -> None:
        """#SS(0) for the stack's segment, #GP(0) for the others."""
        if not isinstance(number, FieldExpr):
            kind = GuestException.STACK if number == SS else GuestException.PROTECTION
            self.fault(kind, when)
            return
        with self.when(when, likely=False):
            self.fault(GuestException.STACK, self.value(I8, number).eq(SS))
            self.fault(GuestException.PROTECTION)

    # -- segment registers ------------------------------------------------------------------------

    def load_segment(self, number: int, selector: Value) -> None:
        """Load a segment register with what its selector stands for."""
        from frontends.x86.privileged.loading import load_segment

        load_segment(self, number, selector)


def system(c: X86) -> SystemX86:
    """The builder, which is a system's."""
    assert isinstance(c, SystemX86)
    return c
