"""The routine that makes a block's records: decode, find the form, fill, until the block ends.

It is called with the address of a *job* in header.job: eight-byte words, some given and some that
it answers.  It goes on until the block ends, or leaves what it cannot do to Python (BAILED).
"""

from __future__ import annotations

from enum import IntEnum

from tcg import ops
from tcg.ir import Value
from tcg.native.decoder import NativeDecoder
from tcg.native.expressions import DEEPEST, Code
from tcg.native.forms import ENDS, FALLS, LINK, NOTES, QUESTION
from tcg.native.host import HostBuilder
from tcg.reading import PAGE
from tcg.state import HEADER, Notes, Record
from tcg.types import I64, VOID

FIELDS = 17
"""Those of an instruction, and pc."""


class Job(IntEnum):
    """The words of a job, by number."""

    CODE = 0
    """Where the first instruction is on the host."""
    ROOM = 1
    """Bytes from there to the end of the page."""
    PC = 2
    BASE = 3
    """What makes a pc linear, as pages see it."""
    LIMIT = 4
    """Instructions at most."""
    TABLES = 5
    ROOTS = 6
    RECORDS = 7
    """Where to write, and how much fits."""
    CAPACITY = 8
    STATUS = 9
    COUNT = 10
    """Instructions done."""
    SIZE = 11
    """Bytes of their records."""
    LENGTH = 12
    """Bytes of their code."""
    FACTS = 13
    """Of the last one's form."""
    NOTES_AT = 14
    """The offset of the notes of a computed jump, or 0."""
    LINKS = 15
    """How many links there are."""
    FIELD = 16
    STACK = FIELD + FIELDS
    STEPS = STACK + DEEPEST
    """For each instruction: its record's offset, and its own in the code from bit 32 on."""
    LINK_LIST = STEPS + 64
    """For each link: its record's offset, and its target."""
    END = LINK_LIST + 2 * 64


DONE, OPEN, BAILED = range(3)
"""Statuses: the block has ended; it goes on behind its last instruction; Python must go on."""


def build_translate(b: HostBuilder, decoder: NativeDecoder) -> None:
    """Emit the routine."""
    _Translate(b, decoder).emit()
    b.emit(ops.NEXT, VOID)


class _Translate:
    def __init__(self, b: HostBuilder, decoder: NativeDecoder) -> None:
        self.b = b
        self.decoder = decoder
        self.job = b.get(HEADER["job"])

    def given(self, word: Job) -> Value:
        """A word of the job."""
        return self.b.load_u(self.job, 8, 8 * word)

    def answer(self, word: Job, value: Value | int) -> None:
        """Write a word of the job."""
        self.b.store_n(self.job, 8, value, 8 * word)

    def at(self, word: Job) -> Value:
        """The address of a word."""
        return self.job + 8 * word

    def emit(self) -> None:
        """The loop over the block's instructions."""
        b = self.b
        self.count, self.size, self.length, self.links = (b.variable() for _ in range(4))
        self.status = b.variable(BAILED)
        self.facts = b.variable()
        self.going = b.variable(1)
        self.answer(Job.NOTES_AT, 0)
        with b.loop() as loop:
            loop.leave_if(self.going.get().eq(0))
            self._one()
        for word, variable in (
            (Job.COUNT, self.count),
            (Job.SIZE, self.size),
            (Job.LENGTH, self.length),
            (Job.LINKS, self.links),
            (Job.STATUS, self.status),
            (Job.FACTS, self.facts),
        ):
            self.answer(word, variable.get())

    def _end(self, status: int) -> None:
        self.status.set(status)
        self.going.set(0)

    def _one(self) -> None:
        """One instruction, or the end of the block."""
        b = self.b
        length = self.length.get()
        full = self.count.get().uge(self.given(Job.LIMIT)) | length.uge(self.given(Job.ROOM))
        with b.when(full):
            self._end(OPEN)
        with b.when(~full):
            code, pc = self.given(Job.CODE) + length, self.given(Job.PC) + length
            b.store_n(self.job, 8, pc, 8 * (Job.FIELD + FIELDS - 1))
            row, size = self.decoder.emit(b, self.given(Job.TABLES), self.at(Job.FIELD), code, pc)
            reaches = length + size.get()
            known = row.get().ult(self.decoder.rows)
            over = reaches.ugt(self.given(Job.ROOM)) & known
            later = self.count.get().ne(0)
            with b.when(over | ~known):
                # What comes first is Python's; what comes later is another block's beginning.
                with b.when(later):
                    self._end(OPEN)
                with b.when(~later):
                    self._end(BAILED)
            with b.when(known & ~over):
                self._find(row.get(), size.get(), pc)

    # -- the form --------------------------------------------------------------------------------

    def _find(self, row: Value, length: Value, pc: Value) -> None:
        b = self.b
        node = b.variable(b.load_u(self.given(Job.ROOTS) + (row << 3), 8))
        with b.loop() as loop:
            here = node.get()
            loop.leave_if(here.eq(0))
            loop.leave_if(b.load_u(here, 8).ne(QUESTION))
            words = b.load_u(here, 8, 16)
            wanted = self._run(here + 24)
            node.set(self._child(here + 24 + (words << 3), b.load_u(here, 8, 8), wanted))
        found = node.get()
        with b.when(found.eq(0)):
            self._end(BAILED)
        with b.when(found.ne(0)):
            self._fill(found, length, pc)

    def _child(self, pairs: Value, count: Value, wanted: Value) -> Value:
        """The node behind an answer, or 0."""
        b = self.b
        found, at, left = b.variable(), b.variable(pairs), b.variable(count)
        with b.loop() as loop:
            loop.leave_if(left.get().eq(0))
            here = at.get()
            is_it = b.load_u(here, 8).eq(wanted)
            found.set(b.pick(is_it, b.load_u(here, 8, 8), found.get()))
            left.set(b.pick(is_it, 0, left.get() - 1))
            at.set(here + 16)
        return found.get()

    # -- the record ------------------------------------------------------------------------------

    def _fill(self, form: Value, length: Value, pc: Value) -> None:
        b = self.b
        size = b.load_u(form, 8, 24)
        fits = (self.size.get() + size).ule(self.given(Job.CAPACITY))
        with b.when(~fits):
            self._end(BAILED)
        with b.when(fits):
            record = self.given(Job.RECORDS) + self.size.get()
            b.store_n(record, 8, b.load_u(form, 8, 16))
            self._operands(form, record)
            facts = b.load_u(form, 8, 8)
            self.facts.set(facts)
            behind = form + 56 + (b.load_u(form, 8, 48) << 3)
            with b.when((facts & LINK).ne(0)):
                self._link(record, behind, pc)
            with b.when((facts & NOTES).ne(0)):
                notes = self.size.get() + b.load_u(form, 8, 32)
                self.answer(Job.NOTES_AT, notes)
                for part in range(0, Notes.SIZE, 8):  # a block that was given up may have been here
                    b.store_n(self.given(Job.RECORDS) + notes, 8, 0, part)
            self._note_step(size, length)
            ends = (facts & ENDS).ne(0) | (facts & FALLS).eq(0)
            with b.when(ends):
                falls = (facts & FALLS).ne(0)
                self.status.set(b.pick(falls, OPEN, DONE))
                self.going.set(0)

    def _note_step(self, size: Value, length: Value) -> None:
        b = self.b
        place = self.at(Job.STEPS) + (self.count.get() << 3)
        b.store_n(place, 8, self.size.get() | self.length.get() << 32)
        self.count.add(1)
        self.size.add(size)
        self.length.add(length)

    def _operands(self, form: Value, record: Value) -> None:
        b = self.b
        left, at = b.variable(b.load_u(form, 8, 40)), b.variable(form + 56)
        with b.loop() as loop:
            loop.leave_if(left.get().eq(0))
            here = at.get()
            place = record + b.load_u(here, 4)
            size = b.load_u(here, 4, 4)
            value = self._run(here + 16)
            for bytes_ in (2, 8, 4, 1):
                with b.when(size.eq(bytes_)):
                    b.store_n(place, bytes_, value)
            at.set(here + 16 + (b.load_u(here, 8, 8) << 3))
            left.add(-1)

    def _link(self, record: Value, program: Value, pc: Value) -> None:
        """A link that is not set, and that it is one."""
        b = self.b
        target = self._run(program + 8)
        base = self.given(Job.BASE)
        other = ((target + base) ^ (pc + base)) & -PAGE
        link = target << 2 | b.pick(other.ne(0), 3, 1)
        b.store_n(record, 8, link, Record.LINK)
        place = self.at(Job.LINK_LIST) + (self.links.get() << 4)
        b.store_n(place, 8, self.size.get())
        b.store_n(place, 8, target, 8)
        self.links.add(1)

    # -- expressions -----------------------------------------------------------------------------

    def _run(self, program: Value) -> Value:
        """The value of a program."""
        b = self.b
        first = b.load_u(program, 8)
        result = b.variable()
        is_affine = (first & 0xFF).eq(Code.AFFINE)
        with b.when(is_affine, likely=True):
            field = b.load_u(self.at(Job.FIELD) + (first >> 8 << 3), 8)
            result.set(b.load_u(program, 8, 8) + b.load_u(program, 8, 16) * field)
        with b.when(~is_affine):
            result.set(self._general(program))
        return result.get()

    def _general(self, program: Value) -> Value:
        b = self.b
        at, top = b.variable(program), b.variable(self.at(Job.STACK) - 8)
        with b.loop() as loop:
            word = b.load_u(at.get(), 8)
            loop.leave_if(word.eq(Code.END))
            at.add(8)
            code = word & 0xFF
            pushes = code.ule(Code.CONST)
            with b.when(pushes):
                is_field = code.eq(Code.FIELD)
                field = self.at(Job.FIELD) + (word >> 8 << 3)
                top.add(8)
                b.store_n(top.get(), 8, b.load_u(b.pick(is_field, field, at.get()), 8))
                at.add(b.pick(is_field, 0, 8))
            with b.when(~pushes & code.ult(Code.NEG)):
                y, x = b.load_u(top.get(), 8), b.load_u(top.get() - 8, 8)
                top.add(-8)
                self._binary(code, x, y, top.get())
            with b.when(code.uge(Code.NEG)):
                x = b.load_u(top.get(), 8)
                truth = x.ne(0).zext(I64)
                other = b.pick(code.eq(Code.NOT), ~x, truth)
                b.store_n(top.get(), 8, b.pick(code.eq(Code.NEG), -x, other))
        return b.load_u(top.get(), 8)

    def _binary(self, code: Value, x: Value, y: Value, place: Value) -> None:
        b = self.b
        results = {
            Code.ADD: x + y, Code.SUB: x - y, Code.MUL: x * y, Code.AND: x & y, Code.OR: x | y,
            Code.XOR: x ^ y, Code.SHL: x << (y & 63), Code.SAR: x.sar(y & 63),
            Code.EQ: x.eq(y).zext(I64), Code.NE: x.ne(y).zext(I64), Code.SLT: x.slt(y).zext(I64),
            Code.SLE: x.sle(y).zext(I64),
        }  # fmt: skip
        value = results[Code.ADD]
        for one, result in results.items():
            if one != Code.ADD:
                value = b.pick(code.eq(one), result, value)
        b.store_n(place, 8, value)
