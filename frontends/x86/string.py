"""String instructions (SDM vol. 1, 7.3.9), with REP by bulk operations.

A repeated instruction is a loop of *chunks*: as many elements as surely lie in one page of each
string, so that only a chunk's first access can fault.  Registers are written after each chunk, and
a fault or an event finds them as they are at some element's start: the instruction is then simply
begun again, which is what the manual says of REP (vol. 2, REP).

    rep movsb    loop:  leave if rCX = 0
                        n <- the least of rCX and the bytes that are left in both pages
                        copy n bytes;  rSI, rDI += n;  rCX -= n
                        poll

An element that lies across a page's end is a chunk of its own, and touched by itself.

Where REPE or REPNE ends by what was found, a bulk search skips the elements before it; the rest is
done one by one, and the flags are set for the last one only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from frontends.insn import insn
from frontends.x86.context import FS, SIZES, X86
from frontends.x86.state import AX, CX, DI, SI
from tcg import ops
from tcg.bulk import Bulk
from tcg.ir import Value
from tcg.state import Slot
from tcg.types import Type

PAGE = 4096
WORTH = 16
"""Bytes below which a search looks at elements one by one."""
REPNE, REPE = 2, 3


@dataclass(frozen=True, slots=True)
class String:
    """One operand: the register that points to it, whether a segment override counts."""

    register: int
    overridable: bool


SOURCE = String(SI, overridable=True)
DESTINATION = String(DI, overridable=False)


class Repetition:
    """What all string instructions share: element size, direction, registers."""

    def __init__(self, c: X86, size: int, *strings: String) -> None:
        self.c = c
        self.size = size
        self.type: Type = SIZES[size]
        self.shift = size.bit_length() - 1
        self.addrsize = int(c.addrsize)
        self.strings = strings

    # -- places ------------------------------------------------------------------------------

    def offset(self, string: String) -> Value:
        """The string's pointer, as wide as a register."""
        return self.c.read_gpr(string.register, self.addrsize).zext(self.c.word)

    def address(self, string: String) -> Value:
        """The linear address of the current element."""
        offset = self.offset(string)
        return self.c.linear(offset) if string.overridable else self.c.in_extra(offset)

    def addresses(self) -> list[Value]:
        """Those of all strings."""
        return [self.address(string) for string in self.strings]

    def backwards(self) -> Value:
        """DF"""
        return self.c.flags.get("df")

    def step(self, count: Value | None = None) -> Value:
        """By how much pointers change: an element, or `count` of them, in DF's direction."""
        word = self.c.word
        if count is None:
            return self.c.select(self.backwards(), -self.size & word.mask, self.size, word)
        length = self.scaled(count)
        return self.c.select(self.backwards(), -length, length)

    def scaled(self, count: Value) -> Value:
        """Bytes of so many elements."""
        return count << self.shift if self.shift else count

    def elements(self, length: Value) -> Value:
        """Whole elements in so many bytes."""
        return length >> self.shift if self.shift else length

    def advance(self, step: Value) -> None:
        """Move all pointers."""
        size = SIZES[self.addrsize]
        for string in self.strings:
            moved = self.c.read_gpr(string.register, self.addrsize) + step.trunc(size)
            self.c.write_gpr(string.register, self.addrsize, moved)

    # -- repeating -----------------------------------------------------------------------------

    def left(self) -> Value:
        """rCX, as wide as a register."""
        return self.c.count_register().zext(self.c.word)

    def count_down(self, done: Value | int) -> Value:
        """rCX <- rCX - done; gives it."""
        by = done.trunc(SIZES[self.addrsize]) if isinstance(done, Value) else done
        left = self.c.count_register() - by
        self.c.write_gpr(CX, self.addrsize, left)
        return left

    def room(self, string: String) -> Value:
        """Elements in DF's direction, the current one first, in the page of the current one.

        Zero if that one lies across the page's end.
        """
        address = self.address(string)
        room = self._room_at(address)
        if string.overridable and self.c.segment >= FS:
            room = self.minimum(room, self._room_at(self.offset(string)))
        return room

    def _room_at(self, address: Value) -> Value:
        within = address & (PAGE - 1)
        above = PAGE - within
        below = within + self.size
        if self.size > 1:
            below = self.c.select(below.ugt(PAGE), 0, below)
        return self.elements(self.c.select(self.backwards(), below, above))

    def chunk(self) -> Value:
        """How many elements can be done at once; zero if one lies across the end of a page."""
        count = self.left()
        for string in self.strings:
            count = self.minimum(count, self.room(string))
        return count

    def minimum(self, x: Value, y: Value) -> Value:
        """The lower one, unsigned."""
        return self.c.select(x.ult(y), x, y)

    def lowest(self, string: String, length: Value) -> Value:
        """Where the lowest of the next elements starts, if they have `length` bytes."""
        address = self.address(string)
        return self.c.select(self.backwards(), address + self.size - length, address)

    def bulk(self, kind: str, *operands: Value) -> Value:
        """A bulk operation on elements."""
        imm = Bulk(kind, self.size, self.size)
        return self.c.emit(ops.BULK, self.c.word, operands, imm)

    def load(self, string: String) -> Value:
        """The current element."""
        return self.c.load_le(self.type, self.address(string))

    def store(self, value: Value) -> None:
        """Write the current element of the destination."""
        self.c.store_le(self.address(DESTINATION), value)

    def local(self, type_: Type) -> Slot:
        """A value that lives from block to block."""
        return self.c.local(type_)


# -- movs and stos: nothing is looked for ----------------------------------------------------------


@insn
def movs(c: X86, *_operands: object) -> None:
    """[rDI] <- [rSI]; both advance; REP: rCX times"""
    string = Repetition(c, element_size(c), DESTINATION, SOURCE)
    if not c.rep:
        string.store(string.load(SOURCE))
        string.advance(string.step())
        return
    if not c.strings_in_bulk:
        _repeat(string, lambda: string.store(string.load(SOURCE)))
        return
    with c.loop() as loop:
        loop.leave_if(string.left().eq(0))
        count = string.chunk()
        with c.when(count.ne(0), likely=True):
            _copy(string, string.scaled(count))
        if string.size > 1:
            with c.when(count.eq(0), likely=False):
                string.store(string.load(SOURCE))
            count = c.select(count.eq(0), 1, count)
        string.advance(string.step(count))
        string.count_down(count)
        c.poll(c.pc)


def _repeat(string: Repetition, once: Callable[[], None]) -> None:
    """Do something rCX times, element by element."""
    c = string.c
    with c.loop() as loop:
        loop.leave_if(string.left().eq(0))
        once()
        string.advance(string.step())
        string.count_down(1)
        c.poll(c.pc)


def _copy(string: Repetition, length: Value) -> None:
    """Copy a chunk in DF's direction.  Downwards, the first element is not the lowest one, and is
    copied by itself, so that a fault is where it is.
    """
    c = string.c
    backwards = string.backwards()
    with c.when(backwards, likely=False):
        places = [string.lowest(operand, length) for operand in string.strings]
        string.store(string.load(SOURCE))
        string.bulk("copy_down", *places, length - string.size)
    with c.when(~backwards, likely=True):
        string.bulk("copy", *string.addresses(), length)


@insn
def stos(c: X86, *_operands: object) -> None:
    """[rDI] <- AL, AX, EAX or RAX; rDI advances; REP: rCX times"""
    string = Repetition(c, element_size(c), DESTINATION)
    element = c.read_gpr(AX, string.size)
    if not c.rep:
        string.store(element)
        string.advance(string.step())
        return
    if not c.strings_in_bulk:
        _repeat(string, lambda: string.store(element))
        return
    with c.loop() as loop:
        loop.leave_if(string.left().eq(0))
        count = string.chunk()
        with c.when(count.ne(0), likely=True):
            length = string.scaled(count)
            with c.when(string.backwards(), likely=False):
                string.store(element)
            string.bulk("fill", string.lowest(DESTINATION, length), length, element)
        if string.size > 1:
            with c.when(count.eq(0), likely=False):
                string.store(element)
            count = c.select(count.eq(0), 1, count)
        string.advance(string.step(count))
        string.count_down(count)
        c.poll(c.pc)


@insn
def lods(c: X86, *_operands: object) -> None:
    """AL, AX, EAX or RAX <- [rSI]; rSI advances; REP: rCX times, all of which are read"""
    string = Repetition(c, element_size(c), SOURCE)
    if not c.rep:
        _load_one(string)
        string.advance(string.step())
        return
    _repeat(string, lambda: _load_one(string))


def _load_one(string: Repetition) -> None:
    string.c.write_gpr(AX, string.size, string.load(SOURCE))


# -- cmps and scas: until something is found -------------------------------------------------------


@insn
def cmps(c: X86, *_operands: object) -> None:
    """Flags of [rSI] - [rDI]; both advance; REPE, REPNE: rCX times while equal, unequal"""
    string = Repetition(c, element_size(c), SOURCE, DESTINATION)
    if c.rep:
        _search(string, "compare" if c.rep == REPE else None, None)
        return
    first, second = string.load(SOURCE), string.load(DESTINATION)
    string.advance(string.step())
    c.flags.set_sub(first, second, first - second)


@insn
def scas(c: X86, *_operands: object) -> None:
    """Flags of rAX - [rDI]; rDI advances; REPE, REPNE: rCX times while equal, unequal"""
    string = Repetition(c, element_size(c), DESTINATION)
    element = c.read_gpr(AX, string.size)
    if c.rep:
        _search(string, "span" if c.rep == REPE else "scan", element)
        return
    found = string.load(DESTINATION)
    string.advance(string.step())
    c.flags.set_sub(element, found, element - found)


def _search(string: Repetition, skips: str | None, element: Value | None) -> None:
    """Repeat until rCX is zero or an element ends it; `skips`: what does so in bulk.

    `element`: what elements of the destination are compared with; else it is the source.
    """
    c = string.c
    with c.when(string.left().ne(0), likely=True):
        first, second = string.local(string.type), string.local(string.type)
        with c.loop() as loop:
            if skips and c.strings_in_bulk:
                _skip(string, skips, element)
            c.put(first, string.load(SOURCE) if element is None else element)
            c.put(second, string.load(DESTINATION))
            string.advance(string.step())
            left = string.count_down(1)
            ends = c.get(first).eq(c.get(second))
            loop.leave_if(left.eq(0) | (~ends if c.rep == REPE else ends))
            c.poll(c.pc)
        x, y = c.get(first), c.get(second)
        c.flags.set_sub(x, y, x - y)
        c.flags.flush()


def _skip(string: Repetition, kind: str, element: Value | None) -> None:
    """Skip elements that do not end the search, but never the last one of a chunk."""
    c = string.c
    count = string.chunk()
    before = string.scaled(c.select(count.eq(0), 0, count - 1))
    worth = before.uge(WORTH) & ~string.backwards()
    with c.when(worth):
        places = string.addresses()
        stops = () if element is None else (element,)
        skipped = string.bulk(kind, *places, before, *stops)
        string.advance(skipped)
        string.count_down(string.elements(skipped))


def element_size(c: X86) -> int:
    """Bytes of an element."""
    is_byte = any(operand.letter in "XY" and operand.size == "b" for operand in c.row.operands)
    return 1 if is_byte else int(c.opsize)
