"""Operands: what a row's `Ev, Gv` loads, and where the result goes.

    add  Ev, Gv  lock       dst = load Ev; src = load Gv; result = add(c, dst, src); store Ev; flags

The letters are those of the manual's opcode map (SDM vol. 2, appendix A.2).  A memory operand's
address is computed once; a LOCK prefix makes the whole instruction a compare-and-swap loop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from frontends.x86.context import SIZES, X86, access
from frontends.x86.state import AX
from frontends.x86.vectors import must_be_aligned
from tcg import ops
from tcg.decode.intel.operands import BYTES, FIXED
from tcg.frontend import GuestException
from tcg.ir import Value
from tcg.types import I32, V128, VOID, Type

if TYPE_CHECKING:
    from tcg.decode.intel.operands import Operand
    from tcg.decode.intel.table import Row

Meaning = Callable[..., Value | None]
LOCKS_ITSELF = "__locks_itself__"


def locks_itself(function: Meaning) -> Meaning:
    """Mark a semantic function that is atomic by its own means, where LOCK says so."""
    setattr(function, LOCKS_ITSELF, True)
    return function


Loaded = Any
"""A Value, or for what is no value (a branch's target, a far pointer) its fields."""


IGNORES_OPERANDS = "__ignores_operands__"


def ignores_operands(function: Meaning) -> Meaning:
    """Mark a semantic function whose operands are not read: nop, lea."""
    setattr(function, IGNORES_OPERANDS, True)
    return function


class Operands:
    """The operands of one instruction while it is lifted: memory's address is kept between."""

    def __init__(self, c: X86, row: Row) -> None:
        self.c = c
        self.row = row
        self._address: Value | None = None

    def size(self, operand: Operand, *, memory: bool = False) -> int:
        """Bytes of an integer operand; the operand size is decided on only if it matters."""
        fixed = BYTES.get(operand.memory_size if memory else operand.size)
        return fixed or operand.bytes(int(self.c.opsize), memory=memory)

    @property
    def address(self) -> Value:
        """The linear address of the memory operand."""
        if self._address is None:
            self._address = self.c.linear()
        return self._address

    # -- loading -------------------------------------------------------------------------------

    def load(self, operand: Operand) -> Loaded:
        """The operand as a semantic function takes it."""
        loader = LOADERS.get(operand.letter)
        return self._load_fixed(operand) if loader is None else loader(self, operand)

    def _load_fixed(self, operand: Operand) -> Value:
        """What the instruction names by itself."""
        c = self.c
        kind, number, _ = FIXED[operand.text]
        size = self.size(operand)
        if kind == "constant":
            return c.const(SIZES[size], number)
        if kind == "segment":
            return c.get_file(c.state.selectors, number)
        if kind == "vector":
            return c.get_file(c.state.xmm, number)
        if operand.text == "AH":
            return (c.get_file(c.state.gpr, AX) >> 8).trunc(SIZES[1])
        return c.read_gpr(number, size)

    def load_register(self, operand: Operand, number: Any) -> Value:
        """A general register of the operand's size."""
        if operand.size == "b":
            return self.c.read_byte(number)
        return self.c.read_gpr(number, self.size(operand))

    def load_e(self, operand: Operand) -> Value:
        """A register or memory."""
        if self.c.rm >= 0:
            return self.load_register(operand, self.c.rm)
        return self.c.load_le(SIZES[self.size(operand, memory=True)], self.address)

    def load_immediate(self, operand: Operand) -> Value:
        """An immediate of its own size."""
        return self.c.value(SIZES[self.size(operand)], self.c.imm)

    def load_wide_immediate(self, operand: Operand) -> Value:
        """An immediate that is widened with its sign to the row's first operand."""
        first = self.row.operands[0]
        if first.letter == operand.letter:
            return self.c.value(SIZES[int(self.c.opsize)], self.c.imm)
        return self.c.value(self.first_type(), self.c.imm)

    def first_type(self) -> Type:
        """The type of the row's first operand."""
        first = self.row.operands[0]
        return SIZES[self.size(first, memory=first.letter == "M")]

    def load_offset(self, operand: Operand) -> Value:
        """Memory at an address given in full (O)."""
        return self.c.load_le(SIZES[self.size(operand)], self.address)

    def load_selector(self, operand: Operand) -> Value:
        """A segment register."""
        return self.c.get_file(self.c.state.selectors, self.c.reg)

    def load_vector_register(self, operand: Operand, number: Any) -> Value:
        """An SSE register, or with VEX.256 a whole AVX register."""
        low = self.c.get_file(self.c.state.xmm, number)
        if not self._is_256(operand):
            return low
        return self.c.join_halves(low, self.c.get_file(self.c.state.ymmh, number))

    def _is_256(self, operand: Operand) -> bool:
        return operand.bytes(4, self.row.vector_length) == 32

    def vector_bytes(self, operand: Operand) -> int:
        """Bytes that a vector operand takes in memory."""
        return operand.bytes(4, self.row.vector_length, memory=True)

    def load_w(self, operand: Operand) -> Value:
        """An SSE register or memory; what is narrower than a register is widened with zeros."""
        if self.c.rm >= 0:
            return self.load_vector_register(operand, self.c.rm)
        size = self.vector_bytes(operand)
        return self.c.load_vector(size, self.address, must_be_aligned(self.row, size))

    def load_q(self, operand: Operand) -> Value:
        """An MMX register or memory."""
        if self.c.rm >= 0:
            return self.c.read_mmx(self.c.rm)
        return self.c.load_le(SIZES[self.size(operand, memory=True)], self.address)

    # -- storing -------------------------------------------------------------------------------

    def store(self, operand: Operand, value: Value) -> None:
        """Put a result into the operand."""
        storer = STORERS.get(operand.letter)
        if storer is None:
            self._store_fixed(operand, value)
        else:
            storer(self, operand, value)

    def _store_fixed(self, operand: Operand, value: Value) -> None:
        c = self.c
        _, number, _ = FIXED[operand.text]
        if operand.text == "AH":
            c.merge(AX, value, 8)
        elif FIXED[operand.text][0] == "segment":
            c.load_segment(number, value)
        else:
            c.write_gpr(number, self.size(operand), value)

    def store_register(self, operand: Operand, number: Any, value: Value) -> None:
        """A general register of the operand's size."""
        if operand.size == "b":
            self.c.write_byte(number, value)
        else:
            size = self.size(operand)
            self.c.write_gpr(number, size, value.zext(SIZES[size]))

    def store_e(self, operand: Operand, value: Value) -> None:
        """A register or memory."""
        if self.c.rm >= 0:
            self.store_register(operand, self.c.rm, value)
        else:
            self.c.store_le(self.address, value)

    def store_vector_register(self, operand: Operand, number: Any, value: Value) -> None:
        """An SSE register.  Instructions with VEX clear what is above (SDM vol. 1, 14.1.3)."""
        state = self.c.state
        if value.type is not V128 and value.type.bits == 256:
            low, high = self.c.split_halves(value)
            self.c.put_file(state.xmm, number, low)
            self.c.put_file(state.ymmh, number, high)
            return
        self.c.put_file(state.xmm, number, value.bitcast(V128))
        if self.row.vector_length:
            self.c.put_file(state.ymmh, number, self.c.const(V128, 0))

    def store_w(self, operand: Operand, value: Value) -> None:
        """An SSE register, or as many low bytes of one as memory takes."""
        if self.c.rm >= 0:
            self.store_vector_register(operand, self.c.rm, value)
        else:
            size = self.vector_bytes(operand)
            self.c.store_vector(size, self.address, value, must_be_aligned(self.row, size))

    def store_m(self, operand: Operand, value: Value) -> None:
        """Memory."""
        if value.type.bits >= 128:
            self.store_w(operand, value)
        else:
            self.c.store_le(self.address, value)

    def store_q(self, operand: Operand, value: Value) -> None:
        """An MMX register or memory."""
        if self.c.rm >= 0:
            self.c.write_mmx(self.c.rm, value)
        else:
            self.c.store_le(self.address, value)


# fmt: off
LOADERS: dict[str, Callable[[Operands, Operand], Loaded]] = {
    "E": Operands.load_e,
    "G": lambda a, o: a.load_register(o, a.c.reg),
    "R": lambda a, o: a.load_register(o, a.c.rm),
    "Z": lambda a, o: a.load_register(o, a.c.rm),
    "B": lambda a, o: a.load_register(o, a.c.vvvv),
    "I": lambda a, o: (a.load_wide_immediate if o.size == "z" else a.load_immediate)(o),
    "sI": Operands.load_wide_immediate,
    "J": lambda a, o: a.c.imm,
    "A": lambda a, o: (a.c.imm, a.c.imm2),
    "M": lambda a, o: a.address,
    "O": Operands.load_offset,
    "S": Operands.load_selector,
    "C": lambda a, o: None,  # the instructions that have it are not for programs
    "D": lambda a, o: None,
    "V": lambda a, o: a.load_vector_register(o, a.c.reg),
    "U": lambda a, o: a.load_vector_register(o, a.c.rm),
    "H": lambda a, o: a.load_vector_register(o, a.c.vvvv),
    "L": lambda a, o: a.load_vector_register(o, a.c.imm2),
    "W": Operands.load_w,
    "P": lambda a, o: a.c.read_mmx(a.c.reg),
    "N": lambda a, o: a.c.read_mmx(a.c.rm),
    "Q": Operands.load_q,
    "X": lambda a, o: None,
    "Y": lambda a, o: None,
    "ST": lambda a, o: a.c.rm if o.text == "STi" else 0,
}
STORERS: dict[str, Callable[[Operands, Operand, Value], None]] = {
    "E": Operands.store_e,
    "G": lambda a, o, v: a.store_register(o, a.c.reg, v),
    "R": lambda a, o, v: a.store_register(o, a.c.rm, v),
    "Z": lambda a, o, v: a.store_register(o, a.c.rm, v),
    "B": lambda a, o, v: a.store_register(o, a.c.vvvv, v),
    "M": Operands.store_m,
    "O": lambda a, o, v: a.c.store_le(a.address, v),
    "S": lambda a, o, v: a.c.load_segment(int(a.c.reg), v),
    "V": lambda a, o, v: a.store_vector_register(o, a.c.reg, v),
    "U": lambda a, o, v: a.store_vector_register(o, a.c.rm, v),
    "H": lambda a, o, v: a.store_vector_register(o, a.c.vvvv, v),
    "W": Operands.store_w,
    "P": lambda a, o, v: a.c.write_mmx(a.c.reg, v),
    "N": lambda a, o, v: a.c.write_mmx(a.c.rm, v),
    "Q": Operands.store_q,
}
# fmt: on


# fmt: off
ATOMIC: dict[str, Callable[..., tuple[str, Value]]] = {
    "add": lambda one, src: ("add", src),
    "sub": lambda one, src: ("add", -src),
    "inc": lambda one: ("add", one),
    "dec": lambda one: ("add", -one),
    "and": lambda one, src: ("and", src),
    "or":  lambda one, src: ("or", src),
    "xor": lambda one, src: ("xor", src),
    "not": lambda one: ("xor", -one),
}
# fmt: on
"""Instructions that LOCK makes one atomic operation: which, and its operand."""


FLOATS = frozenset(("frontends.x86.sse_float", "frontends.x86.avx"))
"""The modules with operations that raise floating-point exceptions."""
FLOAT_FLAGS = 0x3F
"""MXCSR's sticky flags."""


def lift_row(c: X86, row: Row, meaning: Meaning) -> None:
    """Emit one instruction: operands, meaning, result, flags."""
    c.operands = operands = Operands(c, row)
    if "lock" in row.properties and c.lock and not hasattr(meaning, LOCKS_ITSELF):
        _lift_locked(c, row, operands, meaning)
    else:
        _lift_plain(row, operands, meaning)
    if not c.block.is_closed:
        c.finish()


def _lift_plain(row: Row, operands: Operands, meaning: Meaning) -> None:
    if hasattr(meaning, IGNORES_OPERANDS):
        listed: tuple[Operand, ...] = ()
    else:
        listed = row.operands[1:] if "wo" in row.properties else row.operands
    sources = [operands.load(operand) for operand in listed]
    if operands.c.checks_floats and meaning.__module__ in FLOATS:
        result = _lift_checked(operands.c, lambda: meaning(operands.c, *sources))
    else:
        result = meaning(operands.c, *sources)
    if result is not None:
        operands.store(row.operands[0], result)


def _lift_checked(c: X86, operation: Callable[[], Value | None]) -> Value | None:
    """Do an operation, then raise #XM before its result is stored if MXCSR lets through what it
    has raised.  Flags that were set before do not count (SDM vol. 1, 11.5.2).
    """
    before = c.emit(ops.FPGET, I32)
    c.emit(ops.FPPUT, VOID, (before & ~FLOAT_FLAGS,))
    result = operation()
    raised = c.emit(ops.FPGET, I32) & FLOAT_FLAGS
    c.emit(ops.FPPUT, VOID, (before | raised,))
    enabled = c.get(c.slots["mxcsr_enabled"])
    c.fault(GuestException.SIMD_FLOAT, when=(raised & enabled).ne(0))
    return result


def _lift_locked(c: X86, row: Row, operands: Operands, meaning: Meaning) -> None:
    """LOCK: the host's own operation; else try until nobody wrote between load and store."""
    type_ = operands.first_type()
    sources = [operands.load(operand) for operand in row.operands[1:]]
    address = operands.address
    atomic = ATOMIC.get(row.name)
    if atomic is not None:
        operation, operand = atomic(c.const(type_, 1), *sources)
        meaning(c, c.rmw(operation, address, operand), *sources)
        return
    again, done = c.new_block("again"), c.new_block("swapped")
    c.br(again)
    c.open(again)
    old = c.load_le(type_, address)
    result = meaning(c, old, *sources)
    assert result is not None, f"{row.name} gives nothing to store"
    seen = c.cas(access(type_), address, old, result)
    c.cbr(seen.eq(old), done, again, likely=True)
    c.open(done)
