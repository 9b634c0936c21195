"""The code that skips iterations of a recognised loop, put on the loop's back edge.

    latch:                      latch:
      poll 0x10000700             poll 0x10000700
      br head                     br head.gate
                                head.gate:
                                  (is a stream at a multiple of 16?)
                                  cbr %9, head.skip, head
                                head.skip:
                                  (how many iterations are whole: pages, bounds, distance)
                                  cbr %30, head, head.bulk
                                head.bulk:
                                  %31 = bulk.i32 copy_until.1.1, ...
                                  (n from it; every counter and pointer grows by n steps)
                                  br head

An iteration is *whole* if it surely comes to the back edge: no bound is reached, no stop is met,
and it touches only pages that the iteration just done touched in the same way, so that nothing can
fault.  If `w` are whole, `w - 1` are skipped.  So the next iteration of the original loop is whole
too: it computes every other register and flag anew, before anybody can look at them.

The iteration just done may have written to translated code.  Then an event is pending, and a poll
between it and the skip sees to that; if the loop has none there, the skip brings one.
"""

from __future__ import annotations

from collections.abc import Sequence

from tcg import ops
from tcg.build import Builder
from tcg.bulk import Bulk
from tcg.ir import Block, Function, Value
from tcg.passes.idioms.linear import Linear
from tcg.passes.idioms.loops import Loop
from tcg.passes.idioms.shapes import Bound, Idiom, Stop, Stream
from tcg.state import Slot
from tcg.types import I1, Type, integer

PAGE = 4096
WORTH = 32
"""Bytes below which the original loop is as good."""


def insert_skip(
    function: Function, loop: Loop, pc: int, idiom: Idiom, steps: dict[Slot, int]
) -> None:
    """Put the idiom's skip on the loop's back edge; `steps`: what each slot grows an iteration.

    `pc`: the guest address of the loop's start, where the guest is when the skip runs.
    """
    code = _Skip(idiom, pc, needs_poll=not loop.ends_with_poll)
    head = loop.head.label
    gate, skip, bulk = (Block(f"{head}.{name}") for name in ("gate", "skip", "bulk"))
    code.gate(gate, skip.label, head)
    whole = code.count(skip, bulk.label, head)
    code.run(bulk, whole, steps, head)
    _turn(loop.latch, head, gate.label)
    for block in (gate, skip, bulk):
        function.blocks[block.label] = block


def _turn(latch: Block, head: str, gate: str) -> None:
    """Have the back edge lead to the gate."""
    end = latch.insts[-1]
    if end.op is ops.BR:
        end.imm = gate
    else:
        end.imm = (*(gate if label == head else label for label in end.imm[:2]), end.imm[2])


class _Skip:
    """Emits the code for one idiom."""

    def __init__(self, idiom: Idiom, pc: int, needs_poll: bool) -> None:
        self.idiom = idiom
        self.pc = pc
        self.needs_poll = needs_poll
        self.type = idiom.streams[0].start.type
        self.bytes = abs(idiom.step)
        self.b = Builder(Function("region", "skip"), self.type)

    # -- the three blocks ------------------------------------------------------------------

    def gate(self, block: Block, skip: str, head: str) -> None:
        """Try now and then only, so that a short run costs little."""
        self.b.block = block
        window = 16
        while window < 4 * self.bytes:
            window *= 2
        place = self.linear(self.idiom.streams[-1].start) & (window - 1)
        self._branch(place.ult(self.bytes), skip, head, likely=False)

    def count(self, block: Block, bulk: str, head: str) -> Value:
        """How many iterations are whole, as far as can be said without a look at memory."""
        self.b.block = block
        limits = [
            *map(self.room, self.idiom.streams),
            *map(self.until, self.idiom.bounds),
            *self.distance(),
        ]
        whole = limits[0]
        for limit in limits[1:]:
            whole = self.minimum(whole, limit)
        for stop in self.idiom.stops:
            whole = self.b.select(self.fits(stop), whole, 0, self.type)
        self._branch(whole.ult(max(2, WORTH // self.bytes)), head, bulk, likely=None)
        return whole

    def run(self, block: Block, whole: Value, steps: dict[Slot, int], head: str) -> None:
        """Do the work, and move all that counts iterations."""
        self.b.block = block
        self.b.insn(self.pc)
        if self.needs_poll:
            self.b.poll(self.pc)
        scans = bool(self.idiom.stops) or self.idiom.kind == "compare"
        count = whole if scans else whole - 1
        done = self.bulk(count)
        if scans:
            found = self.divided(done, self.bytes)
            count = self.b.select(found.eq(0), 0, found - 1, self.type)
        for slot, step in steps.items():
            if step:
                grown = self.scaled(self.converted(count, slot.type), step)
                self.b.put(slot, self.b.get(slot) + grown)
        self.b.br(Block(head))

    def _branch(self, condition: Value, yes: str, no: str, likely: bool | None) -> None:
        self.b.cbr(condition, Block(yes), Block(no), likely)

    def bulk(self, count: Value) -> Value:
        """The operation on memory."""
        idiom = self.idiom
        stream = idiom.streams[0]
        length = self.length(count)
        operands = [self.lowest(s, length) for s in idiom.streams] + [length]
        operands += [self.in_memory(stop.value, stream) for stop in idiom.stops]
        if idiom.value is not None:
            operands.append(self.in_memory(idiom.value, stream))
        imm = Bulk(idiom.kind, stream.size, self.bytes)
        return self.b.emit(ops.BULK, self.type, tuple(operands), imm)

    # -- limits ----------------------------------------------------------------------------

    def room(self, stream: Stream) -> Value:
        """The iterations that stay in the page of the byte touched last."""
        start = self.linear(stream.start)
        if stream.step > 0:
            left = -start & (PAGE - 1)
        else:
            left = (start + self.bytes) & (PAGE - 1)
        return self.divided(left, self.bytes)

    def until(self, bound: Bound) -> Value:
        """The iterations before a comparison fails, or fewer."""
        x, y = self.linear(bound.x), self.linear(bound.y)
        far = y - x if bound.step > 0 else x - y
        left = self.divided(far, abs(bound.step))
        if bound.op is not ops.NE:
            left = self.b.select(self.b.binary(bound.op, x, y, I1), left, 0, left.type)
        if left.type.bits > self.type.bits:
            left = self.minimum(left, self.b.const(left.type, PAGE))
        return self.converted(left, self.type)

    def distance(self) -> Sequence[Value]:
        """Copies must not read what they write themselves, unless the target begins lower."""
        if self.idiom.kind not in ("copy", "copy_until"):
            return ()
        target, source = (self.linear(stream.start) for stream in self.idiom.streams)
        ahead = self.divided(target - source - 1, self.bytes)
        if self.idiom.kind == "copy" and self.idiom.step > 0:
            return (ahead,)
        return (ahead, self.divided(source - target - 1, self.bytes))

    def fits(self, stop: Stop) -> Value:
        """Whether any element can be equal to the stop at all."""
        value = self.linear(stop.value)
        element = integer(8 * self.idiom.streams[0].size)
        if value.type is element:
            return self.b.const(I1, 1)
        low = value.trunc(element)
        return (low.sext(value.type) if stop.signed else low.zext(value.type)).eq(value)

    # -- formulas --------------------------------------------------------------------------

    def linear(self, form: Linear) -> Value:
        """The form's value for the next iteration."""
        total = self.b.const(form.type, form.constant)
        for atom, coefficient in sorted(form.terms, key=lambda term: repr(term[0])):
            value = self.b.get(atom) if isinstance(atom, Slot) else atom
            value = self._built(self.converted(value, form.type))
            scaled = self.scaled(value, coefficient)
            is_zero = total.op is ops.CONST and total.imm == 0
            total = scaled if is_zero else scaled + total
        return total

    def _built(self, value: Value) -> Value:
        """The value with our builder behind its operators."""
        if value.op is ops.CONST or value.b is self.b:
            return value
        return self.b.emit(ops.BITCAST, value.type, (value,))

    def in_memory(self, form: Linear, stream: Stream) -> Value:
        """An element as a little-endian load has it."""
        value = self.converted(self.linear(form), integer(8 * stream.size))
        return value if stream.order == "le" else value.bswap()

    def lowest(self, stream: Stream, length: Value) -> Value:
        """The lowest address of `length` bytes of the stream from the next iteration on."""
        start = self.linear(stream.start)
        return start if stream.step > 0 else start + self.bytes - length

    def divided(self, value: Value, by: int) -> Value:
        """The unsigned quotient by a constant."""
        if by == 1:
            return value
        return value >> by.bit_length() - 1 if not by & (by - 1) else value.udiv(by)

    def length(self, count: Value) -> Value:
        """Bytes of so many iterations."""
        return self.scaled(count, self.bytes)

    def scaled(self, value: Value, by: int) -> Value:
        """The product with a constant."""
        return value if by == 1 else value * by

    def minimum(self, x: Value, y: Value) -> Value:
        """The lower one, unsigned."""
        return self.b.select(x.ult(y), x, y)

    def converted(self, value: Value, type_: Type) -> Value:
        """The low bits of the value in another width."""
        if value.type is type_:
            return value
        value = self._built(value)
        return value.zext(type_) if value.type.bits < type_.bits else value.trunc(type_)
