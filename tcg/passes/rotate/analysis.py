"""What is known of the stack at each block of a region."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tcg import ops
from tcg.ir import Block, Function, Value
from tcg.ops import Op
from tcg.passes.graph import successors
from tcg.passes.rotate.place import CutAt, Insn, by_instruction, is_guest_block, is_indexed
from tcg.state import Rotating
from tcg.types import I1

REGISTERS = 8
TRIES = 200

Symbol = tuple[Any, ...]
"""What is known of a value: ("index", n) or ("sum", n), the number of the register at distance n,
before it wraps or after; ("full", tags); ("at", n, tags), with that register's bit lowest;
("bit", n), that bit alone; ("others", n), all but that bit; ("const", n)."""

Tag = bool | frozenset[int]
"""A register is full, or empty, or as it was at the entries with these numbers."""


@dataclass(frozen=True, slots=True)
class Stack:
    """The top's distance from the base, and the tags by distance."""

    delta: int
    tags: tuple[Tag, ...]

    def with_tag(self, n: int, full: bool) -> tuple[Tag, ...]:
        """The tags with one changed."""
        return (*self.tags[:n], full, *self.tags[n + 1 :])


class _Again(Exception):
    """Something was learned that the analysis has to start with."""


class Analysis:
    """Finds the stack at every block, what must hold at the entries, and which edges leave.

    `assumed`: tags taken for granted, by entry and distance; `deltas`: each entry's top.
    """

    def __init__(self, function: Function, rotating: Rotating, entries: Sequence[str]) -> None:
        self.function = function
        self.rotating = rotating
        self.entries = list(entries)
        self.homes = {inst: where for where, inst in by_instruction(function)}
        self.deltas: dict[int, int] = {0: 0}
        self.assumed: dict[tuple[int, int], bool] = {}
        self.stacks: dict[str, Stack] = {}
        self.known: dict[Value, Symbol] = {}
        self.leaving: set[tuple[str, str]] = set()
        self._likely = {
            inst.args[0]: bool(inst.imm[2])
            for inst in function.insts()
            if inst.op is ops.CBR and inst.imm[2] is not None
        }
        self._moved: set[int] = set()

    def run(self) -> None:
        """Until nothing new has to be taken for granted; raises CutAt."""
        for _ in range(TRIES):
            self.stacks.clear()
            self.known.clear()
            self.leaving.clear()
            try:
                for number, label in enumerate(self.entries):
                    self._enter(number, label)
            except _Again:
                continue
            return
        raise CutAt(self.home(self.first_use()))

    def first_use(self) -> Value:
        """The first operation that reaches the file."""
        return next(inst for inst in self.function.insts() if is_indexed(inst, self.rotating))

    def home(self, inst: Value) -> Insn:
        """The guest instruction that an operation belongs to."""
        where = self.homes[inst]
        assert where is not None, "what a region does belongs to a guest instruction"
        return where

    # -- the flow ----------------------------------------------------------------------------------

    def _enter(self, number: int, label: str) -> None:
        if number not in self.deltas:
            known = self.stacks.get(label)
            self.deltas[number] = known.delta if known else 0
        unknown = frozenset((number,))
        tags = tuple(self.assumed.get((number, n), unknown) for n in range(REGISTERS))
        work: list[tuple[str, str, Stack]] = [("", label, Stack(self.deltas[number], tags))]
        while work:
            source, label, stack = work.pop()
            merged = self._merge(source, label, stack, number)
            if merged is not None:
                self.stacks[label] = merged
                block = self.function.blocks[label]
                after = Walk(self, merged).block(block)
                work += [(label, target, after) for target in self._targets(block)]

    def _targets(self, block: Block) -> tuple[str, ...]:
        """Where the block leads, as far as that is not decided."""
        end = block.insts[-1]
        condition = self.number(end.args[0]) if end.op is ops.CBR else None
        if condition is None:
            return successors(block)
        return (end.imm[0 if condition else 1],)

    def _merge(self, source: str, label: str, stack: Stack, number: int) -> Stack | None:
        """The stack at a block that is reached once more; None if nothing follows from that."""
        known = self.stacks.get(label)
        if known is None:
            return stack
        if known.delta != stack.delta:
            self._move(number, known.delta - stack.delta)
            self._leave(source, label)
            return None
        merged: list[Tag] = []
        for n, (a, b) in enumerate(zip(known.tags, stack.tags, strict=True)):
            if isinstance(a, bool) and isinstance(b, bool):
                if a != b:
                    self._leave(source, label)
                    return None
                merged.append(a)
            elif isinstance(a, frozenset) and isinstance(b, frozenset):
                merged.append(a | b)
            else:
                self._assume(n, *((a, b) if isinstance(a, frozenset) else (b, a)))
        new = Stack(known.delta, tuple(merged))
        return None if new == known else new

    def _move(self, number: int, by: int) -> None:
        """Have an entry that meets ways from earlier ones count as they do, if that helps."""
        if number and number not in self._moved:
            self._moved.add(number)
            self.deltas[number] = self.deltas[number] + by & REGISTERS - 1
            raise _Again

    def _leave(self, source: str, label: str) -> None:
        """Ways with different stacks meet: this one leaves."""
        if not source:
            return
        if not is_guest_block(label):
            raise CutAt(self.home(self.function.blocks[source].insts[-1]))
        self.leaving.add((source, label))

    def _assume(self, n: int, entries: Tag, value: Tag) -> None:
        assert isinstance(entries, frozenset)
        for number in entries:
            self.assumed[number, n] = bool(value)
        raise _Again

    # -- values ------------------------------------------------------------------------------------

    def number(self, value: Value) -> int | None:
        """The number that a value is, if that is known."""
        if value.op is ops.CONST:
            return int(value.imm)
        symbol = self.known.get(value)
        return symbol[1] if symbol is not None and symbol[0] == "const" else None

    def is_full(self, inst: Value, n: int, tag: Tag) -> bool:
        """Whether a register is full; if that is not known, what a branch finds likely."""
        if isinstance(tag, frozenset):
            self._assume(n, tag, self._likely.get(inst, True))
        return bool(tag)


class Walk:
    """One walk over a block."""

    def __init__(self, analysis: Analysis, stack: Stack) -> None:
        self.analysis = analysis
        self.rotating = analysis.rotating
        self.known = analysis.known
        self.stack = stack

    def block(self, block: Block) -> Stack:
        """Note what is known of the block's values; gives the stack behind it."""
        for inst in block.insts:
            self.operation(inst)
        return self.stack

    def operation(self, inst: Value) -> None:
        """Follow one operation.  Hot."""
        handle = _HANDLERS.get(inst.op)
        if handle is not None:
            handle(self, inst)
            return
        for arg in inst.args:
            if arg in self.known:
                self._other(inst)
                return

    def refuse(self, inst: Value) -> None:
        """The instruction does something that is not understood."""
        raise CutAt(self.analysis.home(inst))

    def _symbol(self, value: Value) -> Symbol:
        if value.op is ops.CONST:
            return ("const", value.imm)
        return self.known.get(value, ("",))

    def _other(self, inst: Value) -> None:
        """An operation that means nothing to the stack; with known operands its result is known."""
        if any(self._symbol(arg)[0] in ("full", "at") for arg in inst.args):
            self.refuse(inst)
        if inst.op.meaning is None or inst.op in ops.FLOAT_OPS or inst.type.lane is not None:
            return
        numbers = [self.analysis.number(arg) for arg in inst.args]
        if None not in numbers:
            value = inst.op.meaning(inst.args[0].type, inst.type, *numbers)
            self.known[inst] = ("const", inst.type.wrap(int(value)))

    def get(self, inst: Value) -> None:
        """Read a slot."""
        slot, rotating = inst.imm, self.rotating
        if slot is rotating.top:
            self.known[inst] = ("index", self.stack.delta)
        elif slot is rotating.full:
            self.known[inst] = ("full", self.stack.tags)
        elif slot is rotating.zero:
            self.known[inst] = ("const", 0)
        elif slot in rotating.registers:
            self.refuse(inst)

    def put(self, inst: Value) -> None:
        """Write a slot."""
        slot, rotating = inst.imm, self.rotating
        symbol = self._symbol(inst.args[0])
        if slot is rotating.top:
            if symbol[0] != "index":
                self.refuse(inst)
            self.stack = Stack(symbol[1], self.stack.tags)
        elif slot is rotating.full:
            if symbol[0] != "full":
                self.refuse(inst)
            self.stack = Stack(self.stack.delta, symbol[1])
        elif slot in rotating.registers or symbol[0] in ("full", "at"):
            self.refuse(inst)

    def indexed(self, inst: Value) -> None:
        """Reach a register of a file."""
        if inst.imm is self.rotating.file and self._symbol(inst.args[0])[0] != "index":
            self.refuse(inst)

    def add(self, inst: Value) -> None:
        """The register so many places further."""
        (kind, *rest), (other, *by) = map(self._symbol, inst.args)
        if kind in ("index", "sum") and other == "const":
            self.known[inst] = ("sum", rest[0] + by[0])
        else:
            self._other(inst)

    def and_(self, inst: Value) -> None:
        """A register's number wraps; a tag is cleared."""
        (kind, *rest), (other, *by) = map(self._symbol, inst.args)
        if kind in ("index", "sum") and (other, *by) == ("const", REGISTERS - 1):
            self.known[inst] = ("index", rest[0] & REGISTERS - 1)
        elif kind == "full" and other == "others":
            self.known[inst] = ("full", Stack(0, rest[0]).with_tag(by[0], False))
        else:
            self._other(inst)

    def or_(self, inst: Value) -> None:
        """A tag is set."""
        (kind, *rest), (other, *by) = map(self._symbol, inst.args)
        if kind == "full" and other == "bit":
            self.known[inst] = ("full", Stack(0, rest[0]).with_tag(by[0], True))
        else:
            self._other(inst)

    def xor(self, inst: Value) -> None:
        """All bits but one."""
        (kind, *rest), (other, *by) = map(self._symbol, inst.args)
        if kind == "bit" and (other, *by) == ("const", inst.type.mask):
            self.known[inst] = ("others", rest[0])
        else:
            self._other(inst)

    def shl(self, inst: Value) -> None:
        """A register's bit."""
        (kind, *rest), (other, *by) = map(self._symbol, inst.args)
        if (kind, *rest) == ("const", 1) and other == "index":
            self.known[inst] = ("bit", by[0])
        else:
            self._other(inst)

    def shr(self, inst: Value) -> None:
        """A register's bit comes to the right end."""
        (kind, *rest), (other, *by) = map(self._symbol, inst.args)
        if kind == "full" and other == "index":
            self.known[inst] = ("at", by[0], rest[0])
        else:
            self._other(inst)

    def trunc(self, inst: Value) -> None:
        """A register's bit alone, or a register's number as a byte."""
        kind, *rest = self._symbol(inst.args[0])
        if kind == "index":
            self.known[inst] = (kind, *rest)
        elif kind == "at" and inst.type is I1:
            n, tags = rest
            self.known[inst] = ("const", int(self.analysis.is_full(inst, n, tags[n])))
        else:
            self._other(inst)


_HANDLERS: dict[Op, Callable[[Walk, Value], None]] = {
    ops.GET: Walk.get,
    ops.PUT: Walk.put,
    ops.GETX: Walk.indexed,
    ops.PUTX: Walk.indexed,
    ops.ADD: Walk.add,
    ops.AND: Walk.and_,
    ops.OR: Walk.or_,
    ops.XOR: Walk.xor,
    ops.SHL: Walk.shl,
    ops.SHR: Walk.shr,
    ops.TRUNC: Walk.trunc,
}
