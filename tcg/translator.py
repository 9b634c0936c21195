"""Guest code to records: decode a block, find each instruction's form, write its record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from struct import Struct

from tcg import ops
from tcg.backend import HandlerMaker, Memory
from tcg.blocks import Translation
from tcg.faults import GuestFault
from tcg.fields import Decisions
from tcg.forms import Form, Forms, compile_expression, finish_form, make_filler
from tcg.frontend import Frontend, GuestException
from tcg.ir import Function
from tcg.reading import PAGE, CodeReader
from tcg.state import Notes, Record, unset_link
from tcg.types import VOID

_LINK = Struct("<Q")
_CHECK = Struct("<QQQII")
MAX_BLOCK_INSTRUCTIONS = 64
LOOK_AHEAD_BLOCKS = 400
"""How far to look for more forms when some handler must be made anyway: one batch of many costs
far less than many batches of few."""


@dataclass(slots=True)
class Step:
    """One instruction on its way into a record."""

    pc: int
    form: Form
    fields: tuple[int, ...]


@dataclass(slots=True)
class Decoded:
    """A block decoded: its steps, its code, and whether it ran into its limit."""

    steps: list[Step] = field(default_factory=list)
    size: int = 0
    is_open: bool = True
    barrier: int | None = None


class Translator:
    """Makes translations."""

    def __init__(
        self,
        frontend: Frontend,
        forms: Forms,
        maker: HandlerMaker,
        memory: Memory,
    ) -> None:
        self.memory = memory
        self.frontend = frontend
        self.forms = forms
        self.maker = maker
        self.limit = MAX_BLOCK_INSTRUCTIONS
        self.on_translated: Callable[[int, bytes], None] | None = None
        self.checked: dict[int, int] = {}
        """Pages whose blocks check themselves, and how often they do so before they come back."""
        self.goto_form = _goto_form(frontend)
        self.illegal_form = _illegal_form(frontend)

    def translate(self, pc: int) -> Translation:
        """Translate the block at `pc`, whose pages are watched from now on; raises GuestFault."""
        code = self.reader(pc, self._watch)
        patience = self.checked.get(pc // PAGE) or self.checked.get((pc + code.page_size) // PAGE)
        decoded = self._decode(code, ends_at_store=patience is not None)
        return self._finish(pc, code, decoded, patience)

    def reader(self, pc: int, watch: Callable[[int], None] | None = None) -> CodeReader:
        """Reads guest code; raises GuestFault."""
        return CodeReader(self.frontend, self.memory.fetch, pc, watch)

    def _finish(
        self, pc: int, code: CodeReader, decoded: Decoded, patience: int | None
    ) -> Translation:
        steps = decoded.steps
        if decoded.is_open:
            following = pc + decoded.size
            steps.append(Step(steps[-1].pc if steps else pc, self.goto_form, (following,)))
        missing = _missing(steps)
        if missing:
            self._make_handlers(pc, decoded, missing)
        if self.on_translated is not None:
            self.on_translated(pc, code.bytes[: decoded.size])
        return self._write(pc, code.bytes[: decoded.size], decoded, patience)

    def _make_handlers(self, pc: int, decoded: Decoded, missing: dict[str, Form]) -> None:
        """Make the handlers that a block lacks, and those of code that it leads to."""
        wanted = dict(missing)
        self._look_ahead(pc, decoded, wanted)
        try:
            self.maker.make_handlers(list(wanted.values()))
        except Exception:
            # What the guest may never come to is no reason to end it.
            if len(wanted) == len(missing):
                raise
            self.maker.make_handlers(list(missing.values()))

    def translate_alone(self, pc: int) -> Translation:
        """Translate just the instruction at `pc`, and watch nothing; raises GuestFault."""
        limit, self.limit = self.limit, 1
        try:
            code = CodeReader(self.frontend, self.memory.fetch, pc)
            decoded = self._decode(code)
        finally:
            self.limit = limit
        if decoded.is_open:
            decoded.steps.append(Step(pc, self.goto_form, (pc + decoded.size,)))
        self.maker.make_handlers(list(_missing(decoded.steps).values()))
        return self._write(pc, code.bytes[: decoded.size], decoded, None)

    def _watch(self, address: int) -> None:
        self.memory.protect_code(address, address // PAGE in self.checked)

    def _decode(self, code: CodeReader, ends_at_store: bool = False) -> Decoded:
        """The instructions up to one that ends the block, the limit, or the end of the page.

        Raises GuestFault where the first one cannot be fetched.
        """
        decoded = Decoded()
        pc = code.pc
        at = 0
        while len(decoded.steps) < self.limit:
            try:
                one = code.decode(at)
            except GuestFault:
                if not decoded.steps:
                    raise
                break
            if one is None:
                if not decoded.steps:
                    decoded.steps.append(Step(pc, self.illegal_form, ()))
                    decoded.is_open = False
                    decoded.barrier = 0
                break
            form = self.forms.find(one, pc + at)
            decoded.steps.append(Step(pc + at, form, one.fields))
            at += one.size
            if form.ends or not form.falls or (ends_at_store and form.stores):
                decoded.is_open = form.falls
                break
        decoded.size = at
        return decoded

    def leaves_page(self, _pc: int, _target: int) -> bool:
        """Whether a way leads to where other code may be mapped one day."""
        return False

    def _look_ahead(self, pc: int, first: Decoded, missing: dict[str, Form]) -> None:
        """Add the forms of code that this block leads to."""
        waiting = _ways_on(pc, first)
        seen = {pc, *waiting}
        for there in waiting:
            try:
                decoded = self._decode(self.reader(there))
            except GuestFault:
                continue
            missing.update(_missing(decoded.steps))
            fresh = [target for target in _ways_on(there, decoded) if target not in seen]
            seen.update(fresh)
            if len(seen) < LOOK_AHEAD_BLOCKS:
                waiting += fresh

    def _write(self, pc: int, code: bytes, decoded: Decoded, patience: int | None) -> Translation:
        """Write the records; with some patience, a check of the block's code comes first."""
        steps = decoded.steps
        size = sum(step.form.size for step in steps)
        if patience is not None:
            size += Record.SIZE + -(-len(code) // Record.SIZE) * Record.SIZE
        body = self.maker.allocate(size)
        view, start = self.maker.view, body - self.maker.base
        offsets, pcs, successors, links = [], [], [], []
        notes = None
        at = 0
        if patience is not None:
            decoded.barrier = 0
            offsets.append(0)
            pcs.append(pc)
            at = Record.SIZE
            self._write_check(body, size, pc, code, patience)
        for step in steps:
            form = step.form
            _filler(form)(view, start + at, form.address, *step.fields, step.pc)
            if form.link is not None:
                target = _target(form)(*step.fields, step.pc)
                successors.append(target)
                links.append(at)
                link = unset_link(target, self.leaves_page(step.pc, target))
                _LINK.pack_into(view, start + at + Record.LINK, link)
            offsets.append(at)
            pcs.append(step.pc)
            at += form.size
            if form.notes_targets:
                notes = body + at - Notes.SIZE
                view[start + at - Notes.SIZE : start + at] = bytes(Notes.SIZE)
        returns_to = None
        if steps[-1].form.calls and not decoded.is_open:
            returns_to = pc + decoded.size
            successors.append(returns_to)
        return Translation(
            body, size, code, offsets, pcs, successors, decoded.barrier, len(steps), returns_to,
            notes, links,
        )  # fmt: skip

    def _write_check(self, body: int, size: int, pc: int, code: bytes, patience: int) -> None:
        """The record that checks the block's code; what it should be lies behind all records."""
        view, start = self.maker.view, body - self.maker.base
        kept = -(-len(code) // Record.SIZE) * Record.SIZE
        _CHECK.pack_into(
            view, start, self.maker.native["h_check"], pc, body + size - kept, len(code), patience
        )
        view[start + size - kept : start + size - kept + len(code)] = code


def _missing(steps: Sequence[Step]) -> dict[str, Form]:
    return {s.form.symbol: s.form for s in steps if not s.form.address}


def _ways_on(pc: int, decoded: Decoded) -> list[int]:
    """Where the guest may go on after a block: its static targets, and what follows it."""
    targets = [
        _target(step.form)(*step.fields, step.pc)
        for step in decoded.steps
        if step.form.link is not None
    ]
    return [*targets, pc + decoded.size]


def _filler(form: Form) -> Callable[..., None]:
    if form.fill is None:
        form.fill = make_filler(form)
    return form.fill


def _target(form: Form) -> Callable[..., int]:
    if form.target is None:
        assert form.link is not None
        form.target = compile_expression(form.names, form.link, form.functions)
    return form.target


def _goto_form(frontend: Frontend) -> Form:
    """What ends a block that just runs into the next one."""
    function = Function("handler", f"h_{frontend.name}__goto")
    b = frontend.new_builder(function)
    b.goto(Decisions().field("target"))
    return finish_form(function, -1, ("target",), False, {})


def _illegal_form(frontend: Frontend) -> Form:
    """What stands for code that does not decode."""
    function = Function("handler", f"h_{frontend.name}__illegal")
    b = frontend.new_builder(function)
    b.emit(ops.RAISE, VOID, (), (int(GuestException.ILLEGAL), Decisions().field("pc")))
    return finish_form(function, -1, (), False, {})
