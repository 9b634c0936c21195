"""The builder: emits IR with Python operators.

Frontends' semantic functions write `a + b`, `c.load(...)`, `with c.when(...)`; every operator
appends one operation to the current block.  Operations on constants are folded as they are
emitted; everything cleverer is a pass.  Numbers and operand fields mix freely with values: they
take the other side's type.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tcg import ops
from tcg.fields import FieldExpr, FieldLike
from tcg.ir import LOCAL_OFFSET, Access, Block, Function, Helper, Operand, Value
from tcg.ops import Op
from tcg.state import File, Slot
from tcg.types import I1, I32, VOID, Type, vector, with_lanes_of


class Builder:
    """Appends operations to `function`, at the end of `block`."""

    def __init__(self, function: Function, address_type: Type = I32) -> None:
        self.function = function
        self.address_type = address_type
        self.block = Block("entry")
        self._consts: dict[tuple[Type, int], Value] = {}
        self._labels = 0
        self._locals = 0
        self._prefix = ""
        self.open(self.block)

    # -- blocks ----------------------------------------------------------------------------

    def open(self, block: Block) -> None:
        """Go on in `block`, which becomes part of the function."""
        self.function.blocks[block.label] = block
        self.block = block

    def new_block(self, hint: str = "L") -> Block:
        """A block with a fresh label, not yet part of the function."""
        self._labels += 1
        return Block(f"{self._prefix}{hint}{self._labels}")

    # -- operations ------------------------------------------------------------------------

    def emit(self, op: Op, type_: Type, args: tuple[Value, ...] = (), imm: Any = None) -> Value:
        """Append one operation and return its value."""
        value = Value(self, op, type_, args, imm)
        self.block.insts.append(value)
        return value

    def const(self, type_: Type, number: int) -> Value:
        """A number; floats are given by their bit pattern."""
        key = (type_, number & type_.mask)
        found = self._consts.get(key)
        if found is None:
            found = self._consts[key] = Value(self, ops.CONST, type_, (), key[1])
        return found

    def value(self, type_: Type, operand: Operand) -> Value:
        """`operand` as a value: numbers become constants, unknown fields become field reads."""
        if isinstance(operand, Value):
            return operand
        if isinstance(operand, FieldExpr):
            return self.emit(ops.FIELD, type_, (), operand)
        return self.const(type_, operand)

    def binary(self, op: Op, left: Value, right: Operand, type_: Type | None = None) -> Value:
        """Apply a two-operand op; constants fold at once, but for vectors."""
        other = right if isinstance(right, Value) else self.value(left.type, right)
        result = type_ or left.type
        if left.type.lane is not None:
            return self.emit(
                op, with_lanes_of(I1, left.type) if type_ is I1 else result, (left, other)
            )
        if left.op is ops.CONST and other.op is ops.CONST and not left.type.is_float:
            assert op.meaning is not None
            return self.const(result, op.meaning(left.type, result, left.imm, other.imm))
        return self.emit(op, result, (left, other))

    def unary(self, op: Op, operand: Value, type_: Type | None = None) -> Value:
        """Apply a one-operand op; constants fold at once."""
        result = type_ or operand.type
        if operand.op is ops.CONST and not (
            result.is_float or operand.type.is_float or operand.type.lane
        ):
            assert op.meaning is not None
            return self.const(result, op.meaning(operand.type, result, operand.imm))
        return self.emit(op, result, (operand,))

    def select(self, condition: Value, yes: Operand, no: Operand, type_: Type = I32) -> Value:
        """`yes` if `condition` is set, else `no`; `type_` counts when both are plain numbers."""
        for operand in (yes, no):
            if isinstance(operand, Value):
                type_ = operand.type
        args = (condition, self.value(type_, yes), self.value(type_, no))
        if condition.op is ops.CONST:
            return args[1] if condition.imm else args[2]
        return self.emit(ops.SELECT, type_, args)

    def fma(self, a: Value, b: Value, c: Value) -> Value:
        """A * b + c, rounded once."""
        return self.emit(ops.FMA, a.type, (a, b, c))

    def udiv2(self, high: Value, low: Value, divisor: Value) -> Value:
        """The unsigned quotient of high:low; 0 if it does not fit."""
        return self.emit(ops.UDIV2, high.type, (high, low, divisor))

    def pdep(self, value: Value, mask: Value) -> Value:
        """The low bits of a value at the places of the mask's ones."""
        return self.emit(ops.PDEP, value.type, (value, mask))

    def pext(self, value: Value, mask: Value) -> Value:
        """The bits of a value at the places of the mask's ones, gathered low."""
        return self.emit(ops.PEXT, value.type, (value, mask))

    def crc32(self, crc: Value, data: Value) -> Value:
        """CRC-32C of `data`, going on from `crc`."""
        return self.emit(ops.CRC32, I32, (data, crc))

    # -- vectors ---------------------------------------------------------------------------

    def splat(self, type_: Type, lane: Operand) -> Value:
        """A vector with the same in every lane."""
        assert type_.lane is not None
        if isinstance(lane, int):
            return self.const(type_, type_.join([lane] * type_.lanes))
        return self.emit(ops.SPLAT, type_, (self.value(type_.lane, lane),))

    def extract(self, whole: Value, lane: int) -> Value:
        """One lane of a vector."""
        assert whole.type.lane is not None
        return self.emit(ops.EXTRACT, whole.type.lane, (whole,), lane)

    def insert(self, whole: Value, lane: int, value: Operand) -> Value:
        """The vector with another value in one lane."""
        assert whole.type.lane is not None
        args = (whole, self.value(whole.type.lane, value))
        return self.emit(ops.INSERT, whole.type, args, lane)

    def shuffle(self, first: Value, second: Value, lanes: Sequence[int]) -> Value:
        """The vector of these lanes of two vectors, numbered through from `first` to `second`."""
        assert first.type.lane is not None
        type_ = vector(first.type.lane, len(lanes))
        return self.emit(ops.SHUFFLE, type_, (first, second), tuple(lanes))

    def simd(self, name: str, *args: Value, imm: int = 0) -> Value:
        """What a row of tcg/simd.py does, to vectors of any lanes."""
        from tcg.simd import SIMD

        row = SIMD[name]
        given = tuple(a.bitcast(t) for a, t in zip(args, row.operands, strict=True))
        return self.emit(ops.SIMDF if row.raises else ops.SIMD, row.result, given, (row, imm))

    # -- guest state -----------------------------------------------------------------------

    def get(self, slot: Slot) -> Value:
        """Read a slot or a local."""
        return self.emit(ops.GET, slot.type, (), slot)

    def put(self, slot: Slot, value: Operand) -> None:
        """Write a slot or a local."""
        self.emit(ops.PUT, VOID, (self.value(slot.type, value),), slot)

    def get_file(self, file: File, index: Operand) -> Value:
        """Read the register of `file` that `index` names: a number, a field, or a value."""
        if isinstance(index, Value):
            return self.emit(ops.GETX, file.type, (index,), file)
        if isinstance(index, FieldExpr):
            return self.emit(ops.GETF, file.type, (), (file, index))
        return self.get(file.slots[index])

    def put_file(self, file: File, index: Operand, value: Operand) -> None:
        """Write the register of `file` that `index` names."""
        given = self.value(file.type, value)
        if isinstance(index, Value):
            self.emit(ops.PUTX, VOID, (index, given), file)
        elif isinstance(index, FieldExpr):
            self.emit(ops.PUTF, VOID, (given,), (file, index))
        else:
            self.put(file.slots[index], given)

    def local(self, type_: Type) -> Slot:
        """A fresh local: like a slot, but it belongs to this function."""
        self._locals += 1
        return Slot(f"{self._prefix}t{self._locals}", type_, LOCAL_OFFSET)

    # -- guest memory ----------------------------------------------------------------------

    def load(self, access: Access, address: Value) -> Value:
        """Read guest memory at `address` as `access.type`."""
        return self.emit(ops.LOAD, access.type, (address,), access)

    def store(self, access: Access, address: Value, value: Value) -> None:
        """Write `value` (of `access.type`) to guest memory."""
        self.emit(ops.STORE, VOID, (address, value), access)

    def cas(self, access: Access, address: Value, expected: Value, new: Value) -> Value:
        """Atomic compare and swap; gives what was in memory."""
        return self.emit(ops.CAS, access.type, (address, expected, new), access)

    def fence(self) -> None:
        """Order all memory accesses before against all after."""
        self.emit(ops.FENCE, VOID)

    # -- helpers ---------------------------------------------------------------------------

    def call(self, helper: Helper, *args: Operand) -> Value:
        """Call a helper.  One that touches guest state is built in place, so that the passes and
        the backend see what it reads and writes.
        """
        given = tuple(self.value(t, a) for t, a in zip(helper.params, args, strict=True))
        if not helper.pure:
            made = helper.build(self, given)
            return self.const(I32, 0) if made is None else made
        return self.emit(ops.CALL, helper.result, given, helper)

    # -- control flow ----------------------------------------------------------------------

    def br(self, block: Block) -> None:
        """End the block: go to `block`."""
        self.emit(ops.BR, VOID, (), block.label)

    def cbr(self, condition: Value, yes: Block, no: Block, likely: bool | None = None) -> None:
        """End the block: go to `yes` or `no`; `likely` says which way it mostly goes."""
        self.emit(ops.CBR, VOID, (condition,), (yes.label, no.label, likely))

    @contextmanager
    def when(self, condition: Value, likely: bool | None = None) -> Iterator[None]:
        """Emit the body so that it runs only if `condition` is set."""
        body, after = self.new_block("then"), self.new_block("end")
        self.cbr(condition, body, after, likely)
        self.open(body)
        yield
        if not self.block.is_closed:
            self.br(after)
        self.open(after)

    @contextmanager
    def loop(self) -> Iterator[Loop]:
        """Emit the body as a loop that ends through `leave_if`."""
        head, after = self.new_block("loop"), self.new_block("end")
        self.br(head)
        self.open(head)
        yield Loop(self, after)
        self.br(head)
        self.open(after)

    def goto(
        self, pc: FieldLike, when: Value | None = None, hint: str = "", likely: bool | None = None
    ) -> None:
        """Leave for a static guest address, always or only when a condition is set.

        `hint`: `call` (the guest pushed a return address), `return`, or `leave` (a region must
        end here).
        """
        if when is None:
            self.emit(ops.GOTO, VOID, (), (pc, hint))
            return
        with self.when(when, likely):
            self.emit(ops.GOTO, VOID, (), (pc, hint))

    def jump(self, target: Value, when: Value | None = None, hint: str = "") -> None:
        """Leave for a computed guest address, always or only when a condition is set."""
        if when is None:
            self.emit(ops.JUMP, VOID, (target,), hint)
            return
        with self.when(when):
            self.emit(ops.JUMP, VOID, (target,), hint)

    def raise_(self, code: int, pc: FieldLike, when: Value | None = None) -> None:
        """Raise guest exception `code` at `pc`, always or only when a condition is set."""
        if when is None:
            self.emit(ops.RAISE, VOID, (), (code, pc))
            return
        with self.when(when, likely=False):
            self.emit(ops.RAISE, VOID, (), (code, pc))

    def ask(self, what: int, next_pc: FieldLike) -> None:
        """Leave for the client; the guest goes on at `next_pc`."""
        self.emit(ops.ASK, VOID, (), (what, next_pc))

    def poll(self, pc: FieldLike) -> None:
        """Leave if an event is pending; the guest goes on at `pc`."""
        self.emit(ops.POLL, VOID, (), (pc, ()))

    def insn(self, pc: int, text: str | None = None) -> None:
        """Mark the start of a guest instruction."""
        self._prefix = f"x{pc:x}_"
        self.emit(ops.INSN, VOID, (), (pc, text))


class Loop:
    """The inside of `Builder.loop`."""

    def __init__(self, b: Builder, after: Block) -> None:
        self._b = b
        self._after = after

    def leave_if(self, condition: Value) -> None:
        """Leave the loop if `condition` is set."""
        rest = self._b.new_block("body")
        self._b.cbr(condition, self._after, rest)
        self._b.open(rest)
