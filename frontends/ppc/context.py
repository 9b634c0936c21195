"""What semantic functions write to: a builder that knows PowerPC's registers.

c.gpr[rt] = c.gpr_or_zero(ra) + si      a register file, indexed by a number, a field, a value
c.ca = total.ult(a)                     a register of its own
"""

from __future__ import annotations

from typing import TypeAlias, overload

from frontends.ppc.state import CHECKS_FLOATS, CR_BITS, PpcState
from tcg import ops
from tcg.build import Builder
from tcg.fields import FieldLike, field_function
from tcg.ir import Access, Function, Operand, Value
from tcg.state import HEADER, File
from tcg.types import F64, I8, I16, I32, I64, Type, integer

Field: TypeAlias = FieldLike

BYTE = Access(I8)
HALF = Access(I16)
WORD = Access(I32)
DOUBLE = Access(I64)
FLOAT = Access(F64)
HALF_REVERSED = Access(I16, "le")
WORD_REVERSED = Access(I32, "le")
WORD_ATOMIC = Access(I32, aligned=True)


class Registers:
    """A register file, as an attribute that is indexed."""

    __slots__ = ("_b", "_file")

    def __init__(self, b: Builder, file: File) -> None:
        self._b = b
        self._file = file

    def __getitem__(self, index: Operand) -> Value:
        return self._b.get_file(self._file, index)

    def __setitem__(self, index: Operand, value: Operand) -> None:
        self._b.put_file(self._file, index, value)


class Register:
    """A register of its own: reading the attribute emits a get, assigning to it a put."""

    def __init__(self, name: str, header: bool = False) -> None:
        self.name = name
        self.header = header

    @overload
    def __get__(self, c: None, owner: type[Ppc]) -> Register: ...
    @overload
    def __get__(self, c: Ppc, owner: type[Ppc]) -> Value: ...
    def __get__(self, c: Ppc | None, owner: type[Ppc]) -> Register | Value:
        if c is None:
            return self
        return c.get((HEADER if self.header else c.slots)[self.name])

    def __set__(self, c: Ppc, value: Operand) -> None:
        c.put((HEADER if self.header else c.slots)[self.name], value)


@field_function
def sequel(pc: int) -> int:
    """The address of the next instruction."""
    return pc + 4 & 0xFFFF_FFFF


class Ppc(Builder):
    """The builder of PowerPC's semantic functions.

    `pc` is the address of the instruction that is lifted; `mode` is 0, or CHECKS_FLOATS for code
    that looks for enabled floating-point exceptions after each operation (Book I, 4.4).
    """

    pc: Field

    lr = Register("lr")
    ctr = Register("ctr")
    so = Register("xer.so")
    ov = Register("xer.ov")
    ca = Register("xer.ca")
    string_count = Register("xer.count")
    vrsave = Register("vrsave")
    fpscr = Register("fpscr")
    fpscr_raised = Register("fpscr_raised")
    fprf_kind = Register("fprf_kind")
    fprf_value = Register("fprf_value")
    fpcc_a = Register("fpcc_a")
    fpcc_b = Register("fpcc_b")
    traps_floats = Register("msr.fe")
    reservation_address = Register("reservation_address", header=True)
    reservation_value = Register("reservation_value", header=True)

    def __init__(self, function: Function, state: PpcState, mode: int = 0) -> None:
        self.width = state.width
        self.word: Type = integer(state.width)
        super().__init__(function, self.word)
        self.slots = state.layout.slots
        self.gpr = Registers(self, state.gpr)
        self.fpr = Registers(self, state.fpr)
        self.crb = Registers(self, state.crb)
        self.mode = mode
        self.pc = 0

    @property
    def checks_floats(self) -> bool:
        """The code has to look for enabled floating-point exceptions."""
        return self.mode == CHECKS_FLOATS

    # -- operands --------------------------------------------------------------------------

    @property
    def next_pc(self) -> Field:
        """The address of the next instruction."""
        found: Field = sequel(self.pc)
        return found

    def gpr_or_zero(self, ra: Field) -> Value:
        """(rA|0): the manual's "if RA = 0 then 0 else (RA)"."""
        return self.const(self.word, 0) if ra == 0 else self.gpr[ra]

    def address(self, ra: Field, offset: Operand) -> Value:
        """EA <- (rA|0) + offset"""
        if ra == 0:
            return self.value(self.word, offset)
        return self.gpr[ra] + offset

    # -- results ---------------------------------------------------------------------------

    def set_cr(self, crfd: Field, lt: Operand, gt: Operand, eq: Operand, so: Operand) -> None:
        """Set a field of CR."""
        for i, bit in enumerate((lt, gt, eq, so)):
            self.crb[4 * crfd + i] = bit

    def set_cr0(self, result: Value) -> None:
        """CR0 <- signed comparison of the result with 0, and XER.SO (Book I, 2.3.1)."""
        self.set_cr(0, result.slt(0), result.sgt(0), result.eq(0), self.so)

    def set_overflow(self, overflow: Value) -> None:
        """XER.OV <- overflow; XER.SO keeps it (Book I, 3.2.2)."""
        self.ov = overflow
        self.so = self.so | overflow

    def set_result(self, rt: Field, result: Value, rc: Field) -> None:
        """The end of most fixed-point instructions: rT <- result; CR0 if Rc."""
        self.gpr[rt] = result
        if rc:
            self.set_cr0(result)

    # -- bits in words ---------------------------------------------------------------------

    def flag(self, word: Value, bit: int) -> Value:
        """Bit `bit` of a 32-bit word, counted from the right."""
        return (word & (1 << bit)).ne(0)

    def flags_word(self, flags: list[tuple[Value, int]]) -> Value:
        """A 32-bit word with each flag at its place, counted from the right."""
        word = self.const(I32, 0)
        for flag, bit in flags:
            wide = flag.zext(I32)
            word = word | (wide << bit if bit else wide)
        return word

    def cr_field(self, crf: Field) -> tuple[Value, ...]:
        """The four bits of a field of CR."""
        return tuple(self.crb[4 * crf + i] for i in range(len(CR_BITS)))

    def clock(self) -> Value:
        """The time base: 64 bits of nanoseconds."""
        return self.emit(ops.CLOCK, I64)
