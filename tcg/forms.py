"""Forms: a guest instruction with its operands taken out.

Lifting a semantic function with symbolic fields gives IR that is good for every instruction of
the same *form*: the table row plus the answers to what the function decided on in Python
(`if rc:`).  A form says which operands a record must carry, at which offsets, computed how, and
whether it ends a block.  The forms of one row hang in a decision tree, so that finding the form
of a decoded instruction costs one small lambda per decision.

    add  rt ra rb oe rc      questions: bool(oe), bool(rc)      leaves: 4 forms
    record of add r3, r4, r5:  handler | u16 &r3 | u16 &r4 | u16 &r5
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import pairwise
from typing import Any

from tcg import ops
from tcg.fields import Decisions, FieldExpr, NeedDecision
from tcg.frontend import Decoded, Frontend
from tcg.ir import Function, Value
from tcg.state import File, Notes, Record
from tcg.types import VOID, Type

MASK64 = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Operand:
    """One operand kept in a record: where, how wide, and the expression that computes it."""

    key: str
    offset: int
    size: int
    expression: str


@dataclass(slots=True)
class Form:
    """One handler's worth of instructions.

    `link` is the expression of the static target that the record's link leads to.  `ends`: no
    instruction of this form is followed by another one in its block; `falls`: the guest may go on
    behind it; `calls`: it will come back there; `notes_targets`: its records end with `Notes` of
    where its computed jump went; `stores`: it writes to guest memory.  `functions` are the field
    functions its expressions call, as `module:name`; `path` are the decisions that lead here.
    """

    symbol: str
    row: int
    names: tuple[str, ...]
    operands: tuple[Operand, ...]
    size: int
    link: str | None
    ends: bool
    falls: bool
    calls: bool
    notes_targets: bool
    stores: bool
    functions: dict[str, str]
    path: tuple[tuple[str, int], ...] = ()
    function: Function | None = None
    address: int = 0
    fill: Callable[..., None] | None = None
    target: Callable[..., int] | None = None

    def dump(self) -> tuple[Any, ...]:
        """The form as plain data, without its IR; `load_form` is the inverse."""
        operands = tuple((o.key, o.offset, o.size, o.expression) for o in self.operands)
        return (
            self.symbol, self.row, self.names, operands, self.size, self.link, self.ends,
            self.falls, self.calls, self.notes_targets, self.stores, self.functions, self.path,
        )  # fmt: skip

    def operand(self, key: str) -> Operand:
        """The operand with that key (see `operand_key`, `offset_key`)."""
        return next(o for o in self.operands if o.key == key)


def load_form(data: Sequence[Any]) -> Form:
    """A form from what `dump` gave; raises ValueError or TypeError if it is something else."""
    symbol, row, names, operands, size, link, *facts, functions, path = data
    ends, falls, calls, notes_targets, stores = facts
    return Form(
        symbol, row, tuple(names), tuple(Operand(*o) for o in operands), size, link, ends, falls,
        calls, notes_targets, stores, functions, tuple((text, answer) for text, answer in path),
    )  # fmt: skip


@dataclass(slots=True)
class Question:
    """An inner node of a row's decision tree: ask, then go on with the child for the answer."""

    text: str
    functions: dict[str, str]
    ask: Callable[..., int] | None
    children: dict[int, Question | Form]


def operand_key(type_: Type, expr: FieldExpr) -> str:
    """The key of the operand that a `field` op of that type and expression reads."""
    return f"{type_}:{expr.text}"


def offset_key(file: File, expr: FieldExpr) -> str:
    """The key of the operand that holds a register's offset in env."""
    return f"{file.name}[{expr.text}]"


def is_elsewhere(pc: object) -> bool:
    """Whether the address of a `raise` is another one than its record's own pc."""
    return isinstance(pc, FieldExpr) and pc.text != "pc"


def compile_expression(
    names: Sequence[str], text: str, functions: dict[str, str]
) -> Callable[..., int]:
    """A function of the row's fields and `pc` that computes a field expression."""
    made: Callable[..., int] = eval(
        f"lambda {', '.join((*names, 'pc'))}: {text}", load_functions(functions)
    )
    return made


def load_functions(functions: dict[str, str]) -> dict[str, Any]:
    """Import the field functions that expressions name."""
    found: dict[str, Any] = {}
    for name, place in functions.items():
        module, _, attribute = place.partition(":")
        found[name] = getattr(import_module(module), attribute).__wrapped__
    return found


def _places(decisions: Decisions) -> dict[str, str]:
    return {name: f"{f.__module__}:{name}" for name, f in decisions.functions.items()}


class _Collector:
    """Finds what a form's IR wants from its record."""

    def __init__(self) -> None:
        self.wanted: dict[str, tuple[int, str]] = {}
        self.link: str | None = None
        self.jumps = False

    def read(self, function: Function) -> None:
        for inst in function.insts():
            for value in (inst, *inst.args):
                if value.op is ops.FIELD:
                    self._want(operand_key(value.type, value.imm), value.type.bytes, value.imm.text)
            if inst.op is ops.GETF or inst.op is ops.PUTF:
                file, expr = inst.imm
                text = f"{file.offset} + {file.stride} * {expr.text}"
                self._want(offset_key(file, expr), 2, text)
            elif inst.op is ops.GOTO:
                self._goto(inst.imm[0])
            elif inst.op is ops.JUMP:
                self.jumps = inst.imm not in ("return", "far")
            elif inst.op in (ops.ASK, ops.RAISE) and _takes_pc(inst):
                self._want(f"next:{inst.imm[1].text}", 8, inst.imm[1].text)

    def _want(self, key: str, size: int, text: str) -> None:
        self.wanted[key] = (size, text)

    def _goto(self, target: FieldExpr) -> None:
        if self.link is not None and self.link != target.text:
            raise NotImplementedError("an instruction with two static targets")
        self.link = target.text

    def place(self) -> tuple[tuple[Operand, ...], int]:
        """Lay the operands out, widest first, around the link."""
        placed = []
        at = Record.OPERANDS
        limit = Record.OPERANDS_END if self.link is not None else Record.SIZE
        for key, (size, text) in sorted(self.wanted.items(), key=lambda item: -item[1][0]):
            at = -(-at // size) * size
            if at + size > limit:
                at = -(-max(at, Record.SIZE) // size) * size
                limit = -(-(at + size) // Record.SIZE) * Record.SIZE
            placed.append(Operand(key, at, size, text))
            at += size
        return tuple(placed), max(limit, Record.SIZE)


def _takes_pc(inst: Value) -> bool:
    """Whether the pc that an `ask` or a `raise` gives is an operand."""
    pc = inst.imm[1]
    return is_elsewhere(pc) if inst.op is ops.RAISE else isinstance(pc, FieldExpr)


def lift_form(frontend: Frontend, row: int, answers: dict[str, int]) -> Form | NeedDecision:
    """Lift `row` with symbolic fields; gives the question when a decision is missing."""
    decisions = Decisions(answers)
    names = frontend.field_names(row)
    function = Function("handler", _symbol(frontend, row, answers))
    b = frontend.new_builder(function)
    try:
        frontend.lift(b, row, [decisions.field(n) for n in names], decisions.field("pc"))
    except NeedDecision as need:
        return need
    falls = not b.block.is_closed
    if falls:
        b.emit(ops.NEXT, VOID)
    form = finish_form(function, row, names, falls, _places(decisions))
    form.path = tuple(answers.items())
    return form


def finish_form(
    function: Function,
    row: int,
    names: tuple[str, ...],
    falls: bool,
    functions: dict[str, str],
) -> Form:
    """A form from its lifted IR."""
    collector = _Collector()
    collector.read(function)
    operands, size = collector.place()
    leaves = any(i.op in _LEAVING for i in function.insts())
    calls = any(_is_call(i) for i in function.insts())
    notes = collector.jumps and collector.link is None
    if notes:
        size += Notes.SIZE
    stores = any(i.op in _STORING for i in function.insts())
    return Form(
        function.name, row, names, operands, size, collector.link, leaves, falls, calls,
        notes, stores, functions, function=function,
    )  # fmt: skip


def _is_call(inst: Value) -> bool:
    if inst.op is ops.GOTO:
        return bool(inst.imm[1] == "call")
    return inst.op is ops.JUMP and bool(inst.imm == "call")


_LEAVING = (ops.GOTO, ops.JUMP, ops.ASK)
_STORING = (ops.STORE, ops.CAS, ops.RMW, ops.BULK)


def _symbol(frontend: Frontend, row: int, answers: dict[str, int]) -> str:
    tail = "".join(f"_{answer}" for answer in answers.values())
    return f"h_{frontend.form_name(row)}_{frontend.row_name(row)}{tail}".replace("-", "m")


def make_filler(form: Form) -> Callable[..., None]:
    """A function (buffer, offset, handler, *fields, pc) that writes a record of this form."""
    layout, values, at = "<Q", [], Record.OPERANDS
    for operand in sorted(form.operands, key=lambda o: o.offset):
        layout += "x" * (operand.offset - at) + _CODES[operand.size]
        mask = (1 << (8 * operand.size)) - 1
        values.append(f"({operand.expression}) & {mask}")
        at = operand.offset + operand.size
    listed = "".join(f", {v}" for v in values)
    text = (
        f"lambda buf, at, handler, {', '.join((*form.names, 'pc'))}: pack(buf, at, handler{listed})"
    )
    names = load_functions(form.functions) | {"pack": struct.Struct(layout).pack_into}
    made: Callable[..., None] = eval(text, names)
    return made


_CODES = {1: "B", 2: "H", 4: "I", 8: "Q"}


class Forms:
    """The decision trees of a frontend's rows, grown as instructions are met."""

    def __init__(self, frontend: Frontend) -> None:
        self.frontend = frontend
        self.roots: dict[int, Question | Form] = {}
        self.known: Callable[[int], Iterable[Form]] = lambda _: ()
        """The forms of a row that earlier runs have made, in whatever mode."""
        self._mode = frontend.name

    def renew(self) -> None:
        """Forget all forms if the frontend is in another mode: its rows mean something else."""
        if self._mode != self.frontend.name:
            self._mode = self.frontend.name
            self.roots.clear()

    def find(self, decoded: Decoded, pc: int) -> Form:
        """The form of an instruction, lifting it if it is the first of its kind."""
        node = self.roots.get(decoded.row) or self._root(decoded.row)
        answers: dict[str, int] = {}
        while isinstance(node, Question):
            answer = int(self._asker(node, decoded.row)(*decoded.fields, pc))
            answers[node.text] = answer
            child = node.children.get(answer)
            if child is None:
                child = node.children[answer] = self._grow(decoded.row, answers)
            node = child
        return node

    def _root(self, row: int) -> Question | Form:
        """What an earlier run knew of a row that comes for the first time, or a first lifting."""
        for form in self.known(row):
            self.add(form)
        if row not in self.roots:
            self.roots[row] = self._grow(row, {})
        return self.roots[row]

    def add(self, form: Form) -> None:
        """Enter a form that an earlier run has made, if that was in this mode."""
        if form.row < 0 or not form.symbol.startswith(_symbol(self.frontend, form.row, {})):
            return
        if not form.path:
            self.roots[form.row] = form
            return
        node = self.roots.get(form.row)
        if not isinstance(node, Question):
            node = self.roots[form.row] = Question(form.path[0][0], form.functions, None, {})
        for (_, answer), (text, _) in pairwise(form.path):
            child = node.children.get(answer)
            if not isinstance(child, Question):
                child = node.children[answer] = Question(text, form.functions, None, {})
            node = child
        node.children[form.path[-1][1]] = form

    def _asker(self, node: Question, row: int) -> Callable[..., int]:
        if node.ask is None:
            names = self.frontend.field_names(row)
            node.ask = compile_expression(names, node.text, node.functions)
        return node.ask

    def _grow(self, row: int, answers: dict[str, int]) -> Question | Form:
        made = lift_form(self.frontend, row, answers)
        if isinstance(made, Form):
            return made
        return Question(made.expr.text, _places(made.expr.decisions), None, {})
