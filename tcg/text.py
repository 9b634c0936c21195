"""The text form of IR: what `-d op` prints and what tests are written in.

    region R_10000100
    b_10000100:
      ; 10000100  lwz r3, 8(r4)
      %0 = get.i32 r4
      %1 = add.i32 %0, 8
      %2 = load.i32.be %1
      put r3, %2
      goto 0x10000104

Every operation is one line: the value it gives, the op with the type that its table row leaves
open, the operands.  Constants have the type the op asks for; where it leaves that open too they
say it (`5:i32`).  `$t1` is a local, `%p0` a parameter of a helper, `{ra * 4}` an expression over
fields.  A guest instruction is a comment.  Printing and parsing are each other's inverse, but for
what a pass has put on the ways out, which is only printed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib import resources
from itertools import chain
from typing import Any

from tcg import ops
from tcg.build import Builder
from tcg.bulk import Bulk
from tcg.fields import Decisions, FieldExpr
from tcg.fmath import FUNCTIONS
from tcg.frontend import GuestException
from tcg.ir import LOCAL_OFFSET, Access, Block, Function, Helper, Value, is_local
from tcg.ops import Op
from tcg.state import Slot, StateLayout
from tcg.types import I1, I32, TYPE_BY_NAME, VOID, Type, with_lanes_of

SMALL = 1024
"""Integers below this size are printed in decimal, others in hexadecimal."""

_TYPED_BY_SLOT = frozenset({ops.PUT, ops.PUTX, ops.PUTF})


def open_type(inst: Value) -> Type | None:
    """The type that stands for T in the op's row; None if the row has no T or the slot says it."""
    op = inst.op
    if op.result == "T":
        return inst.type
    if op in _TYPED_BY_SLOT:
        return inst.imm.type if op is ops.PUT and is_local(inst.imm) else None
    if "T" in op.operands:
        return inst.args[op.operands.index("T")].type
    return None


# -- printing --------------------------------------------------------------------------------------


def print_function(function: Function) -> str:
    """The function's text, without a newline at its end."""
    return "\n".join(_Printer(function).lines())


class _Printer:
    def __init__(self, function: Function) -> None:
        self.function = function
        everything = chain(function.insts(), function.way_out)
        giving = (inst for inst in everything if inst.op.result)
        self.names = {inst: f"%{i}" for i, inst in enumerate(giving)}

    def lines(self) -> Iterable[str]:
        yield _header(self.function)
        for block in self.function:
            yield f"{block.label}:"
            for inst in block.insts:
                yield f"  {self.line(inst)}"
        if self.function.way_out:
            yield "way out:"
            for inst in self.function.way_out:
                yield f"  {self.line(inst)}"

    def line(self, inst: Value) -> str:
        """One operation."""
        if inst.op is ops.INSN:
            pc, text = inst.imm
            return f"; {pc:08x}  {text}" if text else f"; {pc:08x}"
        given = f"{self.names[inst]} = " if inst.op.result else ""
        operands = [self.operand(inst, i) for i in range(len(inst.args))]
        rest = _OPERANDS.get(inst.op, _plain)(inst, operands)
        return f"{given}{_op_text(inst)} {rest}".rstrip()

    def operand(self, inst: Value, index: int) -> str:
        """An operand: a value's name, or a constant with its type if the op leaves that open."""
        value = inst.args[index]
        if value.op is not ops.CONST:
            return self.name(value)
        wanted = inst.op.operands[min(index, len(inst.op.operands) - 1)]
        known = wanted == "T" or wanted in TYPE_BY_NAME
        text = number_text(value.type, value.imm)
        return text if known else f"{text}:{value.type}"

    def name(self, value: Value) -> str:
        """The name of a value; one that is in no block prints as `%?`, for error messages."""
        if value.op is ops.GET and isinstance(value.imm, int):
            return f"%p{value.imm}"
        return self.names.get(value, "%?")


def print_inst(function: Function, inst: Value) -> str:
    """One operation of a function, as the function's text has it."""
    return _Printer(function).line(inst)


def _header(function: Function) -> str:
    if function.kind != "helper":
        return f"{function.kind} {function.name}"
    listed = ", ".join(map(str, function.params))
    return f"helper {function.name}({listed}) {function.result or VOID}"


def number_text(type_: Type, number: int) -> str:
    """A constant: small numbers signed and in decimal, others and floats in hexadecimal."""
    signed = number if type_ is I1 else type_.signed(number)
    if type_.is_float or not -SMALL < signed < SMALL:
        return hex(number)
    return str(signed)


def _op_text(inst: Value) -> str:
    type_ = open_type(inst)
    parts = [inst.op.name] if type_ is None else [inst.op.name, type_.name]
    if isinstance(inst.imm, Access):
        parts += _access_parts(inst.imm)
    return ".".join(parts)


def _access_parts(access: Access) -> list[str]:
    parts = [access.order]
    if access.aligned:
        parts.append("aligned")
    if access.mmu:
        parts.append(f"mmu{access.mmu}")
    if access.rmw:
        parts.append(access.rmw)
    return parts


def _number(value: int | FieldExpr) -> str:
    return f"{{{value.text}}}" if isinstance(value, FieldExpr) else hex(value)


def _slot(slot: Slot | None) -> str:
    if slot is None:
        return "?"
    return f"${slot.name}" if is_local(slot) else slot.name


def _plain(_: Value, operands: list[str]) -> str:
    return ", ".join(operands)


def _put(inst: Value, operands: list[str]) -> str:
    return f"{_slot(inst.imm)}, {operands[0]}"


def _putx(inst: Value, operands: list[str]) -> str:
    return f"{inst.imm}[{operands[0]}], {operands[1]}"


def _field_register(inst: Value) -> str:
    file, expr = inst.imm
    return f"{file}[{_number(expr)}]"


def _cbr(inst: Value, operands: list[str]) -> str:
    yes, no, likely = inst.imm
    hint = {True: " (likely)", False: " (unlikely)", None: ""}[likely]
    return f"{operands[0]}, {yes}, {no}{hint}"


def _exception(code: int) -> str:
    return GuestException(code).name if code in set(GuestException) else str(code)


def _lane_number(inst: Value, operands: list[str]) -> str:
    return ", ".join((*operands, str(inst.imm)))


def _shuffle(inst: Value, operands: list[str]) -> str:
    return ", ".join((*operands, *map(str, inst.imm)))


def _simd(inst: Value, operands: list[str]) -> str:
    row, imm = inst.imm
    return ", ".join((row.name, *operands, *([str(imm)] if imm else [])))


_OPERANDS: dict[Op, Callable[[Value, list[str]], str]] = {
    ops.FIELD: lambda inst, _: _number(inst.imm),
    ops.GET: lambda inst, _: _slot(inst.imm),
    ops.PUT: _put,
    ops.GETX: lambda inst, operands: f"{inst.imm}[{operands[0]}]",
    ops.PUTX: _putx,
    ops.GETF: lambda inst, _: _field_register(inst),
    ops.PUTF: lambda inst, operands: f"{_field_register(inst)}, {operands[0]}",
    ops.CALL: lambda inst, operands: ", ".join((inst.imm.name, *operands)),
    ops.BULK: lambda inst, operands: ", ".join((str(inst.imm), *operands)),
    ops.FMATH: lambda inst, operands: ", ".join((str(inst.imm), *operands)),
    ops.EXTRACT: _lane_number,
    ops.INSERT: _lane_number,
    ops.SHUFFLE: _shuffle,
    ops.SIMD: _simd,
    ops.SIMDF: _simd,
    ops.POLL: lambda inst, _: ", ".join((_number(inst.imm[0]), *map(_slot, inst.imm[1]))),
    ops.BR: lambda inst, _: str(inst.imm),
    ops.CBR: _cbr,
    ops.GOTO: lambda inst, _: f"{_number(inst.imm[0])} {inst.imm[1]}",
    ops.JUMP: lambda inst, operands: f"{operands[0]} {inst.imm}",
    ops.RAISE: lambda inst, _: f"{_exception(inst.imm[0])} {_number(inst.imm[1])}",
    ops.ASK: lambda inst, _: f"{inst.imm[0]} {_number(inst.imm[1])}",
}
"""How the operands of ops that have more than values are written."""


# -- parsing ---------------------------------------------------------------------------------------


class TextError(ValueError):
    """IR text that does not parse: the message names the line and what is wrong with it."""


def parse_function(
    text: str, layout: StateLayout, helpers: Iterable[Helper] = (), address_type: Type = I32
) -> Function:
    """The function that `text` describes, with the slots of `layout`; raises TextError."""
    return _Reader(layout, {h.name: h for h in helpers}, address_type).read(text)


@cache
def _parser() -> Any:
    """The lark parser, made once (30 ms); lark is imported here because printing needs none."""
    from lark import Lark

    grammar = resources.files("tcg").joinpath("text.lark").read_text()
    return Lark(grammar, parser="lalr", maybe_placeholders=True)


class _Line:
    """One parsed operation: its value-to-be and the items that stand behind the op."""

    __slots__ = ("items", "number", "parts", "value")

    def __init__(self, number: int, parts: list[str], items: list[Any], value: Value) -> None:
        self.number = number
        self.parts = parts
        self.items = items
        self.value = value


class _Reader:
    """Builds a function from a parse tree.

    First all values, then their operands, because a block may stand before one that dominates it.
    """

    def __init__(
        self, layout: StateLayout, helpers: Mapping[str, Helper], address_type: Type
    ) -> None:
        self.layout = layout
        self.helpers = helpers
        self.address_type = address_type
        self.locals: dict[str, Slot] = {}
        self.values: dict[str, Value] = {}
        self.decisions = Decisions()

    def read(self, text: str) -> Function:
        """Parse and build."""
        from lark.exceptions import UnexpectedInput

        try:
            tree = _parser().parse(text.rstrip("\n") + "\n")
        except UnexpectedInput as problem:
            place = f"line {problem.line}, column {problem.column}"
            shown = problem.get_context(text).rstrip("\n")
            raise TextError(f"{place}: not IR text\n{shown}") from None
        header, *statements = tree.children
        function = self._header(header)
        self.b = Builder(function, self.address_type)
        function.blocks.clear()
        for line in list(self._statements(statements)):
            try:
                _READ.get(line.value.op, _read_plain)(self, line)
            except (KeyError, IndexError, ValueError) as problem:
                raise TextError(f"line {line.number}: {_reason(problem)}") from None
        return function

    def _header(self, tree: Any) -> Function:
        kind, name, params, result = tree.children
        if params is None:
            return Function(str(kind), str(name))
        types = tuple(TYPE_BY_NAME[t] for t in params.children)
        self.values.update((f"%p{i}", Value(None, ops.GET, t, (), i)) for i, t in enumerate(types))
        return Function(str(kind), str(name), params=types, result=TYPE_BY_NAME[result])

    def _statements(self, statements: list[Any]) -> Iterable[_Line]:
        for statement in statements:
            if statement.data == "label":
                self.b.open(Block(str(statement.children[0])))
            elif statement.data == "insn":
                pc, _, text = statement.children[0][1:].strip().partition(" ")
                self.b.emit(ops.INSN, VOID, (), (int(pc, 16), text.strip() or None))
            else:
                yield self._line(*statement.children)

    def _line(self, name: Any, spelled: Any, *items: Any) -> _Line:
        op_name, *parts = spelled.split(".")
        op = ops.OPS.get(op_name)
        if op is None:
            raise TextError(f"line {spelled.line}: there is no op {op_name}")
        type_ = TYPE_BY_NAME.get(op.result or "void")
        if op.result == "T":
            type_ = TYPE_BY_NAME.get(parts[0] if parts else "")
        elif op.lanes and type_ is not None and parts:
            type_ = with_lanes_of(type_, TYPE_BY_NAME.get(parts[0], type_))
        if type_ is None:
            raise TextError(f"line {spelled.line}: {op_name} needs a type, as in {op_name}.i32")
        value = self.b.emit(op, type_)
        if name is not None:
            self.values[str(name)] = value
        return _Line(spelled.line, parts, list(items), value)

    # -- items -----------------------------------------------------------------------------

    def args(self, line: _Line, items: list[Any]) -> tuple[Value, ...]:
        """Operand items as values; constants take the type that the op's row gives them."""
        wanted = line.value.op.operands
        return tuple(
            self.arg(line, item, wanted[min(i, len(wanted) - 1)]) for i, item in enumerate(items)
        )

    def arg(self, line: _Line, item: Any, wanted: str) -> Value:
        """One operand."""
        if item.data == "value":
            return self.values[str(item.children[0])]
        if item.data != "number":
            raise ValueError(f"{line.value.op} takes values")
        number, type_name = item.children
        type_ = TYPE_BY_NAME[type_name] if type_name else self.wanted_type(line, wanted)
        return self.b.const(type_, int(number, 0))

    def wanted_type(self, line: _Line, wanted: str) -> Type:
        """The type that a row's operand letter stands for on this line."""
        if wanted in TYPE_BY_NAME:
            return TYPE_BY_NAME[wanted]
        if wanted != "T":
            raise ValueError("this constant needs a type, as in 5:i32")
        slot = line.value.imm
        if line.value.op in _TYPED_BY_SLOT:
            typed: Type = (slot[0] if isinstance(slot, tuple) else slot).type
            return typed
        return TYPE_BY_NAME[line.parts[0]]

    def slot(self, line: _Line, item: Any) -> Slot:
        """A slot of the layout, or a local."""
        name = str(item.children[0])
        if item.data != "local":
            return self.layout.slots[name]
        found = self.locals.get(name)
        if found is None:
            type_ = TYPE_BY_NAME[line.parts[0]]
            found = self.locals[name] = Slot(name[1:], type_, LOCAL_OFFSET)
        return found

    def number(self, item: Any) -> Any:
        """A plain number or an expression over fields."""
        text = str(item.children[0])
        return FieldExpr(text[1:-1], self.decisions) if item.data == "fields" else int(text, 0)


def _reason(problem: Exception) -> str:
    if isinstance(problem, KeyError):
        return f"{problem.args[0]} is not known here"
    if isinstance(problem, IndexError) or "to unpack" in str(problem):
        return "too few or too many operands"
    return str(problem)


def _word(item: Any) -> str:
    return str(item.children[0])


def _read_plain(r: _Reader, line: _Line) -> None:
    line.value.args = r.args(line, line.items)


def _read_get(r: _Reader, line: _Line) -> None:
    line.value.imm = r.slot(line, line.items[0])


def _read_put(r: _Reader, line: _Line) -> None:
    slot, value = line.items
    line.value.imm = r.slot(line, slot)
    line.value.args = (r.arg(line, value, "T"),)


def _read_indexed(r: _Reader, line: _Line) -> None:
    name, index = line.items[0].children
    line.value.imm = r.layout.files[name]
    line.value.args = (
        r.arg(line, index, "i32"),
        *(r.arg(line, item, "T") for item in line.items[1:]),
    )


def _read_field_register(r: _Reader, line: _Line) -> None:
    name, index = line.items[0].children
    line.value.imm = (r.layout.files[name], r.number(index))
    line.value.args = tuple(r.arg(line, item, "T") for item in line.items[1:])


def _read_access(r: _Reader, line: _Line) -> None:
    type_name, order, *extras = line.parts
    mmu = next((int(e[3:]) for e in extras if e.startswith("mmu")), 0)
    rmw = extras[-1] if line.value.op is ops.RMW else ""
    line.value.imm = Access(TYPE_BY_NAME[type_name], order, "aligned" in extras, mmu, rmw)
    line.value.args = r.args(line, line.items)


def _read_call(r: _Reader, line: _Line) -> None:
    line.value.imm = r.helpers[_word(line.items[0])]
    line.value.args = r.args(line, line.items[1:])


def _read_bulk(r: _Reader, line: _Line) -> None:
    line.value.imm = Bulk.parse(_word(line.items[0]))
    line.value.args = r.args(line, line.items[1:])


def _read_lane_number(r: _Reader, line: _Line) -> None:
    *items, number = line.items
    line.value.imm = r.number(number)
    line.value.args = r.args(line, items)


def _read_shuffle(r: _Reader, line: _Line) -> None:
    first, second, *numbers = line.items
    line.value.args = r.args(line, [first, second])
    line.value.imm = tuple(r.number(number) for number in numbers)


def _read_simd(r: _Reader, line: _Line) -> None:
    from tcg.simd import SIMD

    name, *items = line.items
    row = SIMD[_word(name)]
    count = len(row.operands)
    line.value.args = r.args(line, items[:count])
    line.value.imm = (row, r.number(items[count]) if items[count:] else 0)


def _read_fmath(r: _Reader, line: _Line) -> None:
    line.value.imm = FUNCTIONS[_word(line.items[0])]
    line.value.args = r.args(line, line.items[1:])


def _read_br(_: _Reader, line: _Line) -> None:
    line.value.imm = _word(line.items[0])


def _read_cbr(r: _Reader, line: _Line) -> None:
    condition, yes, no, *hint = line.items
    likely = {"likely": True, "unlikely": False}[_word(hint[0])] if hint else None
    line.value.args = (r.arg(line, condition, "i1"),)
    line.value.imm = (_word(yes), _word(no), likely)


def _read_goto(r: _Reader, line: _Line) -> None:
    pc, *hint = line.items
    line.value.imm = (r.number(pc), _word(hint[0]) if hint else "")


def _read_jump(r: _Reader, line: _Line) -> None:
    target, *hint = line.items
    line.value.args = (r.arg(line, target, "P"),)
    line.value.imm = _word(hint[0]) if hint else ""


def _read_raise(r: _Reader, line: _Line) -> None:
    code, pc = line.items
    named = code.data == "name"
    line.value.imm = (GuestException[_word(code)] if named else r.number(code), r.number(pc))


def _read_ask(r: _Reader, line: _Line) -> None:
    line.value.imm = (r.number(line.items[0]), r.number(line.items[1]))


def _read_poll(r: _Reader, line: _Line) -> None:
    pc, *dead = line.items
    line.value.imm = (r.number(pc), tuple(r.slot(line, slot) for slot in dead))


def _read_number(r: _Reader, line: _Line) -> None:
    line.value.imm = r.number(line.items[0])


_READ: dict[Op, Callable[[_Reader, _Line], None]] = {
    ops.FIELD: _read_number,
    ops.GET: _read_get,
    ops.PUT: _read_put,
    ops.GETX: _read_indexed,
    ops.PUTX: _read_indexed,
    ops.GETF: _read_field_register,
    ops.PUTF: _read_field_register,
    **dict.fromkeys((ops.LOAD, ops.STORE, ops.CAS, ops.RMW), _read_access),
    ops.CALL: _read_call,
    ops.BULK: _read_bulk,
    ops.FMATH: _read_fmath,
    ops.POLL: _read_poll,
    ops.EXTRACT: _read_lane_number,
    ops.INSERT: _read_lane_number,
    ops.SHUFFLE: _read_shuffle,
    ops.SIMD: _read_simd,
    ops.SIMDF: _read_simd,
    ops.BR: _read_br,
    ops.CBR: _read_cbr,
    ops.GOTO: _read_goto,
    ops.JUMP: _read_jump,
    ops.RAISE: _read_raise,
    ops.ASK: _read_ask,
}
