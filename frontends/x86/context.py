"""What semantic functions write to: a builder that knows x86's registers, addresses and modes.

c.read_gpr(DX, size)        the part of a register that an operand size takes
c.linear()                  the address that ModRM and the segment say
c.flags.set_add(a, b, r)    flags, put when the instruction's result is in its place

`c.opsize`, `c.reg` and the like are the decoded fields: numbers in regions, unknown in handlers,
where asking for one in Python (`int(c.opsize)`, `if c.rep:`) makes a handler for each answer.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, TypeAlias

from frontends.x86.fields import FIELDS
from frontends.x86.flags import Flags, condition
from frontends.x86.mmx_registers import MmxRegisters
from frontends.x86.state import ASK_LOAD_SEGMENT, CS, CX, SP, X86State
from frontends.x86.vectors import VectorBuilder
from tcg import ops
from tcg.fields import FieldExpr, FieldLike, field_function
from tcg.frontend import GuestException
from tcg.ir import Access, Function, Operand, Value
from tcg.types import I8, I16, I32, I64, Type

if TYPE_CHECKING:
    from collections.abc import Sequence

    from frontends.x86.operands import Operands
    from tcg.decode.intel.table import Row

Field: TypeAlias = FieldLike

SIZES = {1: I8, 2: I16, 4: I32, 8: I64}
"""The integer type of so many bytes."""

FS, GS = 5, 6
"""What the field `segment` says of the two overrides that matter where memory is flat."""


SYSTEM, PHYSICAL = 1, 2
"""Access.mmu of accesses that the system makes whatever CPL is, and of those without paging."""


@cache
def access(type_: Type, mmu: int = 0) -> Access:
    """A little-endian access, one object for each type."""
    return Access(type_, "le", mmu=mmu)


@field_function
def following(pc: int, length: int, mask: int) -> int:
    """The address of the next instruction."""
    return pc + length & mask


class X86(VectorBuilder, MmxRegisters):
    """The builder of x86's semantic functions.

    `mode`: 16, 32 or 64, the width of addresses and operands that code segment and CPU give.
    `row`: the table's row that is lifted; `cc`: its condition number, if it has one.
    """

    byte = I8
    pc: Field
    row: Row
    operands: Operands
    cc: int
    length: Field
    opsize: Field
    addrsize: Field
    segment: Field
    lock: Field
    rep: Field
    rex: Field
    reg: Field
    rm: Field
    base: Field
    index: Field
    scale: Field
    disp: Field
    imm: Field
    imm2: Field
    vvvv: Field

    def __init__(
        self, function: Function, state: X86State, mode: int, checks_floats: bool = False
    ) -> None:
        """`checks_floats`: SSE's exceptions are looked for after each operation."""
        super().__init__(function, state.word)
        self.checks_floats = checks_floats
        self.state = state
        self.no_register = state.no_register
        self.mode = mode
        self.word = state.word
        self.slots = state.layout.slots
        self.flags = Flags(self)
        self.pc = 0
        self._later: list[Callable[[], None]] = []

    def start(self, row: Row, fields: Sequence[FieldLike], pc: FieldLike) -> None:
        """Begin with another instruction."""
        self.row = row
        self.cc = -1 if row.cc is None else row.cc
        self.pc = pc
        for name, value in zip(FIELDS, fields, strict=True):
            setattr(self, name, value)

    def later(self, action: Callable[[], None]) -> None:
        """Have something emitted after the result was stored: registers beside the first operand
        are written when nothing can fault any more.
        """
        self._later.append(action)

    def finish(self) -> None:
        """End the instruction: what was put off, and the flags."""
        self.flags.flush()
        actions, self._later = self._later, []
        for action in actions:
            action()

    @property
    def pc_mask(self) -> int:
        """The bits that an instruction pointer has."""
        return (1 << self.mode) - 1

    @property
    def next_pc(self) -> Field:
        """The address of the next instruction."""
        found: Field = following(self.pc, self.length, self.pc_mask)
        return found

    def next_pc_value(self, size: int) -> Value:
        """The address of the next instruction as a value of `size` bytes."""
        return self.value(SIZES[size], self.next_pc)

    # -- general registers -------------------------------------------------------------------

    def read_gpr(self, number: Operand, size: int) -> Value:
        """The low `size` bytes of a register.  Byte operands are `read_byte`'s."""
        return self.get_file(self.state.gpr, number).trunc(SIZES[size])

    def write_gpr(self, number: Operand, size: int, value: Operand) -> None:
        """Write a register of 2, 4 or 8 bytes, or (size 1) the low byte of one.

        32 bits clear the upper half of a 64-bit register, 8 and 16 bits keep what is above them
        (SDM vol. 1, 3.4.1.1).
        """
        given = self.value(SIZES[size], value)
        if size >= 4:
            self.put_file(self.state.gpr, number, given.zext(self.word))
        else:
            self.merge(number, given, 0)

    def merge(self, number: Operand, value: Value, shift: int) -> None:
        """Put a byte or a word into a register, `shift` bits from its right end."""
        old = self.get_file(self.state.gpr, number)
        kept = old & ~(value.type.mask << shift)
        wide = value.zext(self.word)
        self.put_file(self.state.gpr, number, kept | (wide << shift if shift else wide))

    def _is_high_byte(self, number: FieldLike) -> bool:
        """Without REX, byte registers 4 to 7 are AH, CH, DH, BH."""
        return bool((number >= 4) & (self.rex == 0))

    def read_byte(self, number: FieldLike) -> Value:
        """A byte register by its number in the encoding."""
        if self._is_high_byte(number):
            return (self.get_file(self.state.gpr, number - 4) >> 8).trunc(I8)
        return self.read_gpr(number, 1)

    def write_byte(self, number: FieldLike, value: Operand) -> None:
        """Write a byte register by its number in the encoding."""
        given = self.value(I8, value)
        if self._is_high_byte(number):
            self.merge(number - 4, given, 8)
        else:
            self.merge(number, given, 0)

    # -- addresses ---------------------------------------------------------------------------

    def effective_address(self) -> Value:
        """What ModRM, SIB and displacement say, within the segment; as wide as a register.

        An address of 2 or 4 bytes wraps (SDM vol. 1, 3.7.5).
        """
        address = self._sum_of_registers()
        if address is None:
            address = self.value(self.word, self.disp)
        elif not (isinstance(self.disp, int) and not self.disp):
            address = address + self.value(self.word, self.disp)
        return self.wrap_address(address)

    def _sum_of_registers(self) -> Value | None:
        address = None
        if isinstance(self.base, FieldExpr) or self.base != self.no_register:
            address = self.get_file(self.state.gpr, self.base)
        if self.index != self.no_register:
            index = self.get_file(self.state.gpr, self.index)
            if isinstance(self.scale, FieldExpr):
                index = index << self.value(I8, self.scale).zext(self.word)
            elif self.scale:
                index = index << self.scale
            address = index if address is None else address + index
        return address

    def wrap_address(self, address: Value) -> Value:
        """An address taken modulo the address size."""
        if self.word is I32 and self.mode == 32 and self.addrsize == 4:
            return address
        if self.word is I64 and self.mode == 64 and self.addrsize == 8:
            return address
        size = SIZES[int(self.addrsize)]
        return address.trunc(size).zext(self.word)

    def linear(self, address: Value | None = None) -> Value:
        """The linear address of the ModRM operand, or of another effective address.

        Memory is flat: only FS and GS have bases.
        """
        if address is None:
            address = self.effective_address()
        if self.segment >= FS:
            base = "fs_base" if self.segment == FS else "gs_base"
            address = address + self.get(self.slots[base])
        return address

    # -- segments ----------------------------------------------------------------------------

    def load_segment(self, number: int, selector: Value) -> None:
        """Write a selector and, at the instruction's end, have the client see to its base.

        CS cannot be loaded this way (#UD; SDM vol. 2, MOV).
        """
        if number == CS:
            self.fault(GuestException.ILLEGAL)
            return
        self.put_file(self.state.selectors, number, selector.trunc(I16))
        self.later(lambda: self.ask(ASK_LOAD_SEGMENT | number << 8, self.next_pc))

    # -- memory ------------------------------------------------------------------------------

    def load_le(self, type_: Type, address: Value) -> Value:
        """Read memory at a linear address."""
        return self.load(access(type_), address)

    def store_le(self, address: Value, value: Value) -> None:
        """Write memory at a linear address."""
        self.store(access(value.type), address, value)

    def touch(self, address: Value, *types: Type) -> None:
        """Write back what is there, so that a store that cannot be made faults before all else.

        Where nobody looks at what a fault leaves behind, LLVM sees that nothing happens.
        """
        for type_ in types:
            self.store_le(address, self.load_le(type_, address))
            address = address + type_.bytes

    def load_system(self, type_: Type, linear: Value) -> Value:
        """Read memory as the system does, whatever CPL is: descriptors, task state segments."""
        return self.load(access(type_, SYSTEM), linear)

    def store_system(self, linear: Value, value: Value) -> None:
        """Write memory as the system does."""
        self.store(access(value.type, SYSTEM), linear, value)

    def load_physical(self, type_: Type, address: Value) -> Value:
        """Read physical memory; the address has 64 bits."""
        return self.load(access(type_, PHYSICAL), address)

    def store_physical(self, address: Value, value: Value) -> None:
        """Write physical memory."""
        self.store(access(value.type, PHYSICAL), address, value)

    def cas_physical(self, address: Value, expected: Value, new: Value) -> Value:
        """Atomic compare and swap in physical memory; gives what was there."""
        return self.cas(access(new.type, PHYSICAL), address, expected, new)

    # -- the stack -----------------------------------------------------------------------------

    def stack_offset(self, address: Value) -> Value:
        """An address modulo the width of the stack pointer."""
        return address

    def stack_pointer(self) -> Value:
        """RSP, ESP or SP, as wide as a register."""
        return self.stack_offset(self.get_file(self.state.gpr, SP))

    def as_stack_pointer(self, offset: Value) -> Value:
        """What the whole register holds when the stack pointer becomes `offset`."""
        return offset

    def on_stack(self, offset: Value) -> Value:
        """The linear address of an offset in the stack's segment."""
        return offset

    def in_extra(self, offset: Value) -> Value:
        """The linear address of an offset in the segment ES, where strings go."""
        return offset

    @property
    def strings_in_bulk(self) -> bool:
        """Whether repeated string instructions may be done many elements at a time."""
        return True

    def check_near(self, target: Operand, when: Value | None = None) -> None:
        """#GP(0) if a branch that is about to be taken leads out of the code segment."""

    def rmw(self, operation: str, address: Value, value: Value) -> Value:
        """Atomic read-modify-write (add, and, or, xor, xchg); gives what was in memory."""
        how = Access(value.type, "le", rmw=operation)
        return self.emit(ops.RMW, value.type, (address, value), how)

    def write_stack_pointer(self, value: Value) -> None:
        """rSP <- value"""
        self.put_file(self.state.gpr, SP, value)

    def count_register(self) -> Value:
        """CX, ECX or RCX, as wide as addresses are."""
        return self.read_gpr(CX, int(self.addrsize))

    def code_address(self, target: Value) -> Value:
        """A target of 2, 4 or 8 bytes as an instruction pointer."""
        return target.zext(self.word)

    def probe(self, address: Value) -> None:
        """Fault if a byte cannot be written; it stays what it is."""
        self.touch(address, self.byte)

    def push(self, value: Value) -> None:
        """Push a value of 2, 4 or 8 bytes."""
        top = self.stack_pointer() - value.type.bytes
        self.store_le(self.on_stack(top), value)
        self.write_stack_pointer(top)

    def pop(self, size: int) -> Value:
        """Pop `size` bytes."""
        top = self.stack_pointer()
        value = self.load_le(SIZES[size], self.on_stack(top))
        self.write_stack_pointer(top + size)
        return value

    # -- leaving -----------------------------------------------------------------------------

    def condition(self, number: int) -> Value:
        """Whether a condition (tttn) holds."""
        return condition(self.flags, number)

    def fault(self, exception: GuestException, when: Value | None = None) -> None:
        """Raise an exception that reports this instruction's own address."""
        self.raise_(exception, self.pc, when)

    def clock(self) -> Value:
        """The time-stamp counter: 64 bits of nanoseconds."""
        return self.emit(ops.CLOCK, I64)
