"""tcg IR: values, blocks, functions.

An operation is its own value: a `Value` knows its op, its type, its operands and one immediate
whose meaning the op gives (a number, a slot, a label, an `Access`).  A block is a list of values
of which the last ends it.  A value may be used in any block that its own block dominates; what
must survive a join goes through a slot or a local, so there are no phi nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tcg import ops
from tcg.fields import FieldExpr
from tcg.ops import Op
from tcg.state import Slot
from tcg.types import I1, Type

if TYPE_CHECKING:
    from tcg.build import Builder

LOCAL_OFFSET = -1
"""The offset that marks a slot as a local: it lives in the IR function, not in the guest state."""


@dataclass(frozen=True, slots=True)
class Access:
    """How a guest memory operation reads or writes: the type in memory and its byte order.

    `aligned`: the guest guarantees natural alignment (or the access faults); atomics need it.  Of
    vectors nothing is taken for granted: an access that is not aligned raises ALIGNMENT.
    `mmu` selects the address space (user mode has one).
    """

    type: Type
    order: str = "be"
    aligned: bool = False
    mmu: int = 0
    rmw: str = ""

    def __str__(self) -> str:
        extras = "".join((".aligned" if self.aligned else "", f".{self.rmw}" if self.rmw else ""))
        return f"{self.order}{extras}"

    @property
    def is_checked(self) -> bool:
        """Whether the access raises ALIGNMENT where it is not aligned."""
        return self.aligned and self.type.bits >= 128


class Value:
    """One IR operation, which is also the value it gives."""

    __slots__ = ("args", "b", "imm", "op", "type")

    def __init__(
        self, b: Builder | None, op: Op, type_: Type, args: tuple[Value, ...], imm: Any
    ) -> None:
        self.b = b
        self.op = op
        self.type = type_
        self.args = args
        self.imm = imm

    def __repr__(self) -> str:
        return f"<{self.op.name}.{self.type} {self.imm if self.imm is not None else ''}>"

    def __bool__(self) -> bool:
        raise TypeError(f"{self!r} is known only when the guest runs; Python cannot branch on it")

    @property
    def is_const(self) -> bool:
        """The value is a number known now (its imm)."""
        return self.op is ops.CONST

    # -- operators: each appends one operation to the builder's current block ----------------

    def _binary(self, op: Op, other: Operand, type_: Type | None = None) -> Value:
        assert self.b is not None, "operators need the builder that made the value"
        return self.b.binary(op, self, other, type_)

    def _swapped(self, op: Op, other: Operand, type_: Type | None = None) -> Value:
        assert self.b is not None, "operators need the builder that made the value"
        return self.b.binary(op, self.b.value(self.type, other), self, type_)

    def _unary(self, op: Op, type_: Type | None = None) -> Value:
        assert self.b is not None, "operators need the builder that made the value"
        return self if type_ is self.type else self.b.unary(op, self, type_)

    # fmt: off
    def __add__(self, other: Operand) -> Value: return self._binary(ops.ADD, other)
    def __radd__(self, other: Operand) -> Value: return self._binary(ops.ADD, other)
    def __sub__(self, other: Operand) -> Value: return self._binary(ops.SUB, other)
    def __rsub__(self, other: Operand) -> Value: return self._swapped(ops.SUB, other)
    def __mul__(self, other: Operand) -> Value: return self._binary(ops.MUL, other)
    def __rmul__(self, other: Operand) -> Value: return self._binary(ops.MUL, other)
    def __and__(self, other: Operand) -> Value: return self._binary(ops.AND, other)
    def __rand__(self, other: Operand) -> Value: return self._binary(ops.AND, other)
    def __or__(self, other: Operand) -> Value: return self._binary(ops.OR, other)
    def __ror__(self, other: Operand) -> Value: return self._binary(ops.OR, other)
    def __xor__(self, other: Operand) -> Value: return self._binary(ops.XOR, other)
    def __rxor__(self, other: Operand) -> Value: return self._binary(ops.XOR, other)
    def __lshift__(self, other: Operand) -> Value: return self._binary(ops.SHL, other)
    def __rlshift__(self, other: Operand) -> Value: return self._swapped(ops.SHL, other)
    def __rshift__(self, other: Operand) -> Value: return self._binary(ops.SHR, other)
    def __rrshift__(self, other: Operand) -> Value: return self._swapped(ops.SHR, other)
    def __invert__(self) -> Value: return self._binary(ops.XOR, self.type.mask)
    def __neg__(self) -> Value: return self._swapped(ops.SUB, 0)
    def sar(self, other: Operand) -> Value: return self._binary(ops.SAR, other)
    def rotl(self, other: Operand) -> Value: return self._binary(ops.ROTL, other)
    def udiv(self, other: Operand) -> Value: return self._binary(ops.UDIV, other)
    def sdiv(self, other: Operand) -> Value: return self._binary(ops.SDIV, other)
    def urem(self, other: Operand) -> Value: return self._binary(ops.UREM, other)
    def srem(self, other: Operand) -> Value: return self._binary(ops.SREM, other)
    def eq(self, other: Operand) -> Value: return self._binary(ops.EQ, other, I1)
    def ne(self, other: Operand) -> Value: return self._binary(ops.NE, other, I1)
    def ult(self, other: Operand) -> Value: return self._binary(ops.ULT, other, I1)
    def ule(self, other: Operand) -> Value: return self._binary(ops.ULE, other, I1)
    def ugt(self, other: Operand) -> Value: return self._swapped(ops.ULT, other, I1)
    def uge(self, other: Operand) -> Value: return self._swapped(ops.ULE, other, I1)
    def slt(self, other: Operand) -> Value: return self._binary(ops.SLT, other, I1)
    def sle(self, other: Operand) -> Value: return self._binary(ops.SLE, other, I1)
    def sgt(self, other: Operand) -> Value: return self._swapped(ops.SLT, other, I1)
    def sge(self, other: Operand) -> Value: return self._swapped(ops.SLE, other, I1)
    def smin(self, other: Operand) -> Value: return self._binary(ops.SMIN, other)
    def smax(self, other: Operand) -> Value: return self._binary(ops.SMAX, other)
    def umin(self, other: Operand) -> Value: return self._binary(ops.UMIN, other)
    def umax(self, other: Operand) -> Value: return self._binary(ops.UMAX, other)
    def iabs(self) -> Value: return self._unary(ops.IABS)
    def sadds(self, other: Operand) -> Value: return self._binary(ops.SADDS, other)
    def uadds(self, other: Operand) -> Value: return self._binary(ops.UADDS, other)
    def ssubs(self, other: Operand) -> Value: return self._binary(ops.SSUBS, other)
    def usubs(self, other: Operand) -> Value: return self._binary(ops.USUBS, other)
    def uavg(self, other: Operand) -> Value: return self._binary(ops.UAVG, other)
    def umulh(self, other: Operand) -> Value: return self._binary(ops.UMULH, other)
    def smulh(self, other: Operand) -> Value: return self._binary(ops.SMULH, other)
    def clz(self) -> Value: return self._unary(ops.CLZ)
    def ctz(self) -> Value: return self._unary(ops.CTZ)
    def popcnt(self) -> Value: return self._unary(ops.POPCNT)
    def bswap(self) -> Value: return self._unary(ops.BSWAP)
    def zext(self, type_: Type) -> Value: return self._unary(ops.ZEXT, type_)
    def sext(self, type_: Type) -> Value: return self._unary(ops.SEXT, type_)
    def trunc(self, type_: Type) -> Value: return self._unary(ops.TRUNC, type_)
    def bitcast(self, type_: Type) -> Value: return self._unary(ops.BITCAST, type_)
    def fadd(self, other: Operand) -> Value: return self._binary(ops.FADD, other)
    def fsub(self, other: Operand) -> Value: return self._binary(ops.FSUB, other)
    def fmul(self, other: Operand) -> Value: return self._binary(ops.FMUL, other)
    def fdiv(self, other: Operand) -> Value: return self._binary(ops.FDIV, other)
    def fsqrt(self) -> Value: return self._unary(ops.FSQRT)
    def fneg(self) -> Value: return self._unary(ops.FNEG)
    def fabs(self) -> Value: return self._unary(ops.FABS)
    def frint(self) -> Value: return self._unary(ops.FRINT)
    def feq(self, other: Operand) -> Value: return self._binary(ops.FEQ, other, I1)
    def flt(self, other: Operand) -> Value: return self._binary(ops.FLT, other, I1)
    def fle(self, other: Operand) -> Value: return self._binary(ops.FLE, other, I1)
    def fgt(self, other: Operand) -> Value: return self._swapped(ops.FLT, other, I1)
    def fge(self, other: Operand) -> Value: return self._swapped(ops.FLE, other, I1)
    def funo(self, other: Operand) -> Value: return self._binary(ops.FUNO, other, I1)
    def fext(self, type_: Type) -> Value: return self._unary(ops.FEXT, type_)
    def ftrunc(self, type_: Type) -> Value: return self._unary(ops.FTRUNC, type_)
    def ftosi(self, type_: Type) -> Value: return self._unary(ops.FTOSI, type_)
    def ftoui(self, type_: Type) -> Value: return self._unary(ops.FTOUI, type_)
    def sitof(self, type_: Type) -> Value: return self._unary(ops.SITOF, type_)
    def uitof(self, type_: Type) -> Value: return self._unary(ops.UITOF, type_)
    # fmt: on


Operand = Value | FieldExpr | int
"""What operators take on their other side: numbers and fields become values of this side's type."""


@dataclass(slots=True, eq=False)
class Block:
    """A straight run of operations; the last one ends it."""

    label: str
    insts: list[Value] = field(default_factory=list)

    @property
    def is_closed(self) -> bool:
        """The block has its end."""
        return bool(self.insts) and self.insts[-1].op.ends


@dataclass(slots=True, eq=False)
class Function:
    """Blocks in order, the first is the entry.  `kind`: region, handler or helper.

    `way_out`: what a region does on every way out, as late as possible; it reads locals, and no
    value of the blocks.
    """

    kind: str
    name: str
    blocks: dict[str, Block] = field(default_factory=dict)
    params: tuple[Type, ...] = ()
    result: Type | None = None
    way_out: list[Value] = field(default_factory=list)

    def __iter__(self) -> Iterator[Block]:
        return iter(self.blocks.values())

    def insts(self) -> Iterator[Value]:
        """All operations, block by block."""
        for block in self.blocks.values():
            yield from block.insts


@dataclass(frozen=True, slots=True, eq=False)
class Helper:
    """A subroutine written in IR: built once per use by `build`, called by the `call` op.

    `pure`: reads and writes nothing but its operands and result, so a dead call may vanish.
    """

    name: str
    params: tuple[Type, ...]
    result: Type
    build: Callable[[Builder, tuple[Value, ...]], Value | None]
    pure: bool = True

    def __repr__(self) -> str:
        return self.name


def is_local(slot: Slot) -> bool:
    """The slot belongs to the function and not to the guest state."""
    return slot.offset == LOCAL_OFFSET
