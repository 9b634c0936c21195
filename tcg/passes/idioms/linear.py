"""One iteration of a loop, executed symbolically: what registers and memory get, as formulas.

A value is a `Linear` form over what the iteration started with, an `Element` that it loaded, or a
`Test`.  Everything else is unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from tcg import ops
from tcg.ir import Access, Value
from tcg.ops import Op
from tcg.passes.idioms.loops import Loop
from tcg.state import Slot
from tcg.types import I1, Type

Atom = Slot | Value
"""What linear forms are made of: a slot as the iteration finds it, or a value that is opaque."""


@dataclass(frozen=True, slots=True)
class Linear:
    """The sum of atoms times coefficients, and a constant, modulo 2**type.bits."""

    type: Type
    terms: frozenset[tuple[Atom, int]] = frozenset()
    constant: int = 0

    def plus(self, other: Linear, factor: int) -> Linear:
        """This plus `factor` times the other."""
        total: dict[Atom, int] = dict(self.terms)
        for atom, coefficient in other.terms:
            total[atom] = total.get(atom, 0) + factor * coefficient
        return self._made(total, self.constant + factor * other.constant)

    def times(self, factor: int) -> Linear:
        """All of it times a number."""
        return Linear(self.type).plus(self, factor)

    def narrowed(self, type_: Type) -> Linear:
        """The low bits."""
        return Linear(type_).plus(self, 1)

    def _made(self, total: dict[Atom, int], constant: int) -> Linear:
        wrap = self.type.wrap
        terms = ((atom, wrap(coefficient)) for atom, coefficient in total.items())
        return Linear(self.type, frozenset(t for t in terms if t[1]), wrap(constant))


@dataclass(frozen=True, slots=True)
class Element:
    """What load number `load` of the iteration gave, perhaps widened to `type`."""

    load: int
    type: Type
    signed: bool = False


@dataclass(frozen=True, slots=True)
class Test:
    """A comparison, or what is made of some, negated if not `holds`."""

    inst: Value
    holds: bool = True


Formula = Linear | Element | Test | None


@dataclass(slots=True)
class Touch:
    """One memory access of the iteration."""

    address: Linear
    access: Access
    stored: Formula
    is_store: bool

    @property
    def size(self) -> int:
        """Bytes accessed."""
        return self.access.type.bytes


class NotStraight(Exception):
    """The loop does something that no idiom does."""


@dataclass(slots=True)
class Exit:
    """A way out: the loop goes on as long as `test` is `stays`; what was written before it."""

    test: Formula
    stays: bool
    written: frozenset[Slot]


@dataclass(slots=True)
class Iteration:
    """What one iteration does."""

    ends: dict[Slot, Formula] = field(default_factory=dict)
    read: set[Slot] = field(default_factory=set)
    touches: list[Touch] = field(default_factory=list)
    exits: list[Exit] = field(default_factory=list)
    formulas: dict[Value, Formula] = field(default_factory=dict)
    depends: dict[Value, frozenset[Slot]] = field(default_factory=dict)

    def of(self, value: Value) -> Formula:
        """The formula of a value; one from before the loop is opaque and does not change."""
        if value.op is ops.CONST:
            return Linear(value.type, constant=value.imm)
        if value in self.formulas:
            return self.formulas[value]
        return Linear(value.type, frozenset(((value, 1),)))

    def steps(self) -> dict[Slot, int]:
        """The written slots that grow by a constant, with that constant."""
        found = {}
        for slot, end in self.ends.items():
            if isinstance(end, Linear) and end.terms == {(slot, 1)}:
                found[slot] = slot.type.signed(end.constant)
        return found

    @property
    def anew(self) -> set[Slot]:
        """The written slots that do not grow by a constant."""
        return self.ends.keys() - self.steps().keys()

    def step(self, linear: Linear) -> int | None:
        """How much a form grows an iteration; None if not by a constant."""
        steps, total = self.steps(), 0
        for atom, coefficient in linear.terms:
            if isinstance(atom, Slot):
                total += coefficient * (steps[atom] if atom in self.ends else 0)
            elif any(slot in self.ends and steps[slot] for slot in self.depends.get(atom, ())):
                return None
        return linear.type.signed(linear.type.wrap(total))


def execute(loop: Loop) -> Iteration:
    """Execute one iteration; raises NotStraight.

    What it computes anew must not be read before, nor be seen at a poll.
    """
    iteration, seen = Iteration(), list[frozenset[Slot]]()
    for block, stays in zip(loop.blocks, loop.stays, strict=True):
        for inst in block.insts:
            handle = _HANDLERS.get(inst.op)
            if handle is not None:
                handle(iteration, inst)
            elif inst.op in _PURE:
                iteration.formulas[inst] = _opaque(iteration, inst)
            elif inst.op is ops.POLL:
                seen.append(frozenset((*iteration.ends, *inst.imm[1])))
            elif inst.op not in _IGNORED:
                raise NotStraight
        if stays is not None:
            test = iteration.of(block.insts[-1].args[0])
            iteration.exits.append(Exit(test, stays, frozenset(iteration.ends)))
    anew = iteration.anew
    if iteration.read & anew or not all(anew <= written for written in seen):
        raise NotStraight
    return iteration


_IGNORED = frozenset({ops.INSN, ops.BR, ops.CBR})
_COMPARISONS = frozenset({ops.EQ, ops.NE, ops.ULT, ops.ULE, ops.SLT, ops.SLE})
_PURE = frozenset(
    op for op in ops.OPS.values() if op.meaning is not None and op not in ops.FLOAT_OPS
) | {ops.SELECT}


def _opaque(iteration: Iteration, inst: Value) -> Formula:
    """A value that does not change unless a slot that it depends on does."""
    depends: set[Slot] = set()
    for arg in inst.args:
        formula = iteration.of(arg)
        if not isinstance(formula, Linear):
            return None
        for atom, _ in formula.terms:
            depends |= {atom} if isinstance(atom, Slot) else iteration.depends.get(atom, set())
    iteration.depends[inst] = frozenset(depends)
    return Linear(inst.type, frozenset(((inst, 1),)))


# -- one handler an op -----------------------------------------------------------------------------


def _get(iteration: Iteration, inst: Value) -> None:
    slot: Slot = inst.imm
    if slot in iteration.ends:
        iteration.formulas[inst] = iteration.ends[slot]
        return
    iteration.read.add(slot)
    iteration.formulas[inst] = Linear(inst.type, frozenset(((slot, 1),)))


def _put(iteration: Iteration, inst: Value) -> None:
    iteration.ends[inst.imm] = iteration.of(inst.args[0])


def _load(iteration: Iteration, inst: Value) -> None:
    iteration.formulas[inst] = Element(len(iteration.touches), inst.type)
    _touch(iteration, inst, None)


def _store(iteration: Iteration, inst: Value) -> None:
    _touch(iteration, inst, iteration.of(inst.args[1]))


def _touch(iteration: Iteration, inst: Value, stored: Formula) -> None:
    address = iteration.of(inst.args[0])
    access: Access = inst.imm
    if not isinstance(address, Linear) or access.mmu or access.type is I1:
        raise NotStraight
    iteration.touches.append(Touch(address, access, stored, inst.op is ops.STORE))


def _sum(factor: int) -> Callable[[Iteration, Value], None]:
    def handle(iteration: Iteration, inst: Value) -> None:
        x, y = map(iteration.of, inst.args)
        if isinstance(x, Linear) and isinstance(y, Linear):
            iteration.formulas[inst] = x.plus(y, factor)
        else:
            iteration.formulas[inst] = None

    return handle


def _scaled(iteration: Iteration, inst: Value) -> None:
    """Multiply, or shift left, by a constant."""
    x, y = map(iteration.of, inst.args)
    if isinstance(x, Linear) and isinstance(y, Linear) and not y.terms:
        by = y.constant if inst.op is ops.MUL else 1 << (y.constant & (inst.type.bits - 1))
        iteration.formulas[inst] = x.times(by)
    else:
        iteration.formulas[inst] = _opaque(iteration, inst)


def _trunc(iteration: Iteration, inst: Value) -> None:
    x = iteration.of(inst.args[0])
    if isinstance(x, Linear):
        iteration.formulas[inst] = x.narrowed(inst.type)
    elif isinstance(x, Element) and inst.type.bits >= iteration.touches[x.load].access.type.bits:
        iteration.formulas[inst] = replace(x, type=inst.type)
    else:
        iteration.formulas[inst] = None


def _extended(signed: bool) -> Callable[[Iteration, Value], None]:
    def handle(iteration: Iteration, inst: Value) -> None:
        x = iteration.of(inst.args[0])
        if not isinstance(x, Element):
            iteration.formulas[inst] = _opaque(iteration, inst)
        elif x.type is iteration.touches[x.load].access.type:
            iteration.formulas[inst] = Element(x.load, inst.type, signed)
        else:
            known = not x.signed or signed
            iteration.formulas[inst] = replace(x, type=inst.type) if known else None

    return handle


def _and(iteration: Iteration, inst: Value) -> None:
    x, y = map(iteration.of, inst.args)
    if inst.type is I1 and not (isinstance(x, Linear) and isinstance(y, Linear)):
        iteration.formulas[inst] = Test(inst)
    elif isinstance(x, Element) and isinstance(y, Linear) and not y.terms:
        loaded = iteration.touches[x.load].access.type
        kept = y.constant == loaded.mask
        iteration.formulas[inst] = Element(x.load, inst.type) if kept else None
    else:
        iteration.formulas[inst] = _opaque(iteration, inst)


def _or(iteration: Iteration, inst: Value) -> None:
    is_test = any(isinstance(iteration.of(arg), Test) for arg in inst.args)
    iteration.formulas[inst] = Test(inst) if is_test else _opaque(iteration, inst)


def _xor(iteration: Iteration, inst: Value) -> None:
    x, y = map(iteration.of, inst.args)
    if isinstance(x, Test) and isinstance(y, Linear) and not y.terms:
        iteration.formulas[inst] = replace(x, holds=x.holds != bool(y.constant))
    else:
        iteration.formulas[inst] = _opaque(iteration, inst)


def _compare(iteration: Iteration, inst: Value) -> None:
    iteration.formulas[inst] = Test(inst)


def _all(listed: Iterable[Op], handle: Callable[[Iteration, Value], None]) -> _Table:
    return dict.fromkeys(listed, handle)


_Table = dict[Op, Callable[[Iteration, Value], None]]
_HANDLERS: _Table = {
    ops.GET: _get,
    ops.PUT: _put,
    ops.LOAD: _load,
    ops.STORE: _store,
    ops.ADD: _sum(1),
    ops.SUB: _sum(-1),
    ops.MUL: _scaled,
    ops.SHL: _scaled,
    ops.TRUNC: _trunc,
    ops.ZEXT: _extended(False),
    ops.SEXT: _extended(True),
    ops.AND: _and,
    ops.OR: _or,
    ops.XOR: _xor,
    **_all(_COMPARISONS, _compare),
}
