"""Handlers: native code for one form of guest instruction, which reads its operands in a record.

    h(env, rec, base):   do what the instruction does with the operands in rec
                         tail-call the handler of the next record

A block is a row of such records, so running cold code means going from handler to handler with
one load and one indirect jump between two instructions.
"""

from __future__ import annotations

from collections.abc import Sequence

from backend.llvm.lower import (
    ATTRIBUTES,
    SIGNATURE,
    STATE,
    Declarations,
    Lowering,
    finish_module,
    llvm_type,
)
from tcg import ops
from tcg.fields import FieldExpr
from tcg.forms import Form, Operand, is_elsewhere, offset_key, operand_key
from tcg.ir import Value
from tcg.state import Notes, Reason, Record

INVARIANT = ", !invariant.load !8"
EMPTY = "!8 = !{}\n"
PASSES = ("sroa", "instruction_combine", "simplify_cfg")
"""What LLVM does before it selects instructions; its O2 pipeline takes longer for the same code."""


class HandlerLowering(Lowering):
    """Lowers a form: slots are in env, operands in the record, the way on is a tail call."""

    follow_symbol = "h_follow"
    """What a record goes to whose link is not set."""

    def __init__(self, form: Form, declarations: Declarations, pc_shift: int) -> None:
        assert form.function is not None
        super().__init__(form.function, declarations)
        self.form = form
        self.pc_shift = pc_shift
        self.fields: dict[str, str] = {}

    def text(self) -> str:
        """The handler as an LLVM function."""
        self.lower_blocks()
        first = next(iter(self.function.blocks))
        head = f"define tailcc void @{self.form.symbol}({SIGNATURE}) {ATTRIBUTES} {{"
        return "\n".join((head, "start:", *self.entry, f"  br label %{first}", *self.lines, "}"))

    def operand(self, value: Value) -> str:
        if value.op is ops.FIELD:
            return self._field(value)
        return super().operand(value)

    def _field(self, value: Value) -> str:
        """Operand loads stand in the entry, where they dominate every use."""
        key = operand_key(value.type, value.imm)
        name = self.fields.get(key)
        if name is None:
            name = self.fields[key] = f"%f{len(self.fields)}"
            self._load_operand(name, self.form.operand(key), llvm_type(value.type))
        return name

    def _load_operand(self, name: str, operand: Operand, type_: str) -> None:
        memory = f"i{8 * operand.size}" if type_ == "i1" else type_
        self.entry += [
            f"  {name}p = getelementptr i8, ptr %rec, i64 {operand.offset}",
            f"  {name}{'w' if type_ == 'i1' else ''} = load {memory}, ptr {name}p{INVARIANT}",
        ]
        if type_ == "i1":
            self.entry.append(f"  {name} = trunc i8 {name}w to i1")

    def lower_field(self, inst: Value) -> None:
        """Fields are read when they are used."""

    def _file_pointer(self, inst: Value) -> str:
        key = offset_key(*inst.imm)
        name = self.fields.get(key)
        if name is None:
            name = self.fields[key] = f"%f{len(self.fields)}"
            self._load_operand(f"{name}o", self.form.operand(key), "i16")
            self.entry += [
                f"  {name}z = zext i16 {name}o to i64",
                f"  {name} = getelementptr i8, ptr %env, i64 {name}z",
            ]
        return name

    def lower_getf(self, inst: Value) -> None:
        """Read the register whose offset the record holds."""
        self.names[inst] = self.load_slot(self._file_pointer(inst), inst.type)

    def lower_putf(self, inst: Value) -> None:
        """Write the register whose offset the record holds."""
        file = inst.imm[0]
        self.store_slot(self._file_pointer(inst), file.type, self.operand(inst.args[0]))

    def before_access(self) -> None:
        """A fault finds the record that caused it in the header."""
        self.line(f"store volatile ptr %rec, ptr {self.header('current_rec')}{STATE}")

    def _poll(self) -> str:
        pointer = self.header("event")
        event = self.temp(f"load volatile i32, ptr {pointer}{STATE}")
        return self.temp(f"icmp ne i32 {event}, 0")

    def lower_goto(self, inst: Value) -> None:
        """Follow the record's link."""
        pointer = self.temp(f"getelementptr i8, ptr %rec, i64 {Record.LINK}")
        link = self.temp(f"load i64, ptr {pointer}")
        unset = self.temp(f"trunc i64 {link} to i1")
        slow = self.temp(f"or i1 {unset}, {self._poll()}")
        slow_label, go_label = self.fresh("slow"), self.fresh("go")
        self.line(f"br i1 {slow}, label %{slow_label}, label %{go_label}, !prof !6")
        self.label(slow_label)
        self._runtime_code(self.follow_symbol)
        self.label(go_label)
        self.tail_call(self.temp(f"inttoptr i64 {link} to ptr"))

    def lower_jump(self, inst: Value) -> None:
        """Look the target up, after a look at the event word.

        The record notes the head that was found, except of a return: a region that takes the jump
        in can try those first.
        """
        target = inst.args[0]
        pc = self.operand(target)
        wide = pc if target.type.bits == 64 else self.temp(f"zext {target.type} {pc} to i64")
        event_label, go_label = self.fresh("event"), self.fresh("go")
        self.line(f"br i1 {self._poll()}, label %{event_label}, label %{go_label}, !prof !6")
        self.label(event_label)
        self.leave(Reason.EVENT, exit_pc=wide, exit_rec="0")
        self.label(go_label)
        self.look_up(pc, target.type, self.pc_shift)

    def found_head(self, head: str) -> None:
        """Note a head that is news, before all others."""
        if not self.form.notes_targets:
            return
        t = places = f"<{Notes.COUNT} x i32>"
        notes = self.temp(f"getelementptr i8, ptr %rec, i64 {self.form.size - Notes.SIZE}")
        known = self.temp(f"load {t}, ptr {notes}, align 4")
        here, there = (self.temp(f"ptrtoint ptr {text} to i32") for text in (notes, head))
        small = self.temp(f"sub i32 {there}, {here}")
        first = self.temp(f"insertelement {t} poison, i32 {small}, i32 0")
        splat = self.temp(f"shufflevector {t} {first}, {t} poison, {places} zeroinitializer")
        same = self.temp(f"icmp eq {t} {known}, {splat}")
        bits = self.temp(f"bitcast <{Notes.COUNT} x i1> {same} to i{Notes.COUNT}")
        is_news = self.temp(f"icmp eq i{Notes.COUNT} {bits}, 0")
        news_label, on_label = self.fresh("news"), self.fresh("on")
        self.line(f"br i1 {is_news}, label %{news_label}, label %{on_label}, !prof !6")
        self.label(news_label)
        order = ", ".join(f"i32 {n}" for n in (Notes.COUNT, *range(Notes.COUNT - 1)))
        moved = self.temp(f"shufflevector {t} {known}, {t} {first}, {places} <{order}>")
        self.line(f"store {t} {moved}, ptr {notes}, align 4")
        self.line(f"br label %{on_label}")
        self.label(on_label)

    def _record_address(self) -> str:
        return self.temp("ptrtoint ptr %rec to i64")

    def lower_raise(self, inst: Value) -> None:
        """The run loop knows the pc of a record; any other is an operand."""
        code, pc = inst.imm
        place = {"exit_rec": self._record_address()}
        if is_elsewhere(pc):
            place = {"exit_rec": "0", "exit_pc": self._pc_operand(pc)}
        self.leave(Reason.EXCEPTION, exit_info=str(int(code)), **place)

    def lower_ask(self, inst: Value) -> None:
        """The pc to go on at is an operand."""
        what, next_pc = inst.imm
        text = self._pc_operand(next_pc) if isinstance(next_pc, FieldExpr) else str(next_pc)
        self.leave(Reason.ASK, exit_info=str(what), exit_pc=text)

    def lower_poll(self, inst: Value) -> None:
        """Leave if an event is pending, to start again with this record: its own address is the
        only one that a handler can poll for.
        """
        event_label, go_label = self.fresh("event"), self.fresh("go")
        self.line(f"br i1 {self._poll()}, label %{event_label}, label %{go_label}, !prof !6")
        self.label(event_label)
        self.leave(Reason.EVENT, exit_rec=self._record_address())
        self.label(go_label)

    def _pc_operand(self, pc: FieldExpr) -> str:
        key = f"next:{pc.text}"
        name = self.fields.get(key)
        if name is None:
            name = self.fields[key] = f"%f{len(self.fields)}"
            self._load_operand(name, self.form.operand(key), "i64")
        return name

    def lower_next(self, inst: Value) -> None:
        """Go on with the record that follows."""
        self.tail_call(self.temp(f"getelementptr i8, ptr %rec, i64 {self.form.size}"))


def handlers_text(forms: Sequence[Form], pc_shift: int, system: bool = False) -> str:
    """One LLVM module with the handlers of `forms`; `system`: of a whole machine."""
    lowering = HandlerLowering
    if system:
        from backend.llvm.softmmu import SystemHandlerLowering

        lowering = SystemHandlerLowering
    declarations = Declarations()
    texts = [lowering(form, declarations, pc_shift).text() for form in forms]
    return finish_module(texts, declarations) + EMPTY
