"""Frames on stacks: those that gates and returns push and pop, on this stack or on an inner one.

A frame is checked against its segment as a whole and then written or read, so that one check is
enough; it does not wrap around at the end of a 16-bit stack as single pushes do.
"""

from __future__ import annotations

from dataclasses import dataclass

from frontends.x86.context import access
from frontends.x86.privileged.builder import SystemX86
from frontends.x86.privileged.descriptors import error_code, is_null
from frontends.x86.privileged.loading import Loaded, from_descriptor, prepare_stack
from frontends.x86.state import SP, SS
from frontends.x86.system_state import BIG, EXPAND_DOWN, TR, UNUSABLE
from tcg.frontend import GuestException
from tcg.ir import Operand, Value
from tcg.types import I16, I32, I64, Type

INNER = 1
"""Access.mmu of pushes to the stack of an inner level: the system's, whatever CPL still is."""


@dataclass(frozen=True, slots=True)
class Stack:
    """A stack: its segment, the pointer, and by whose rights it is reached.

    `code`: the error code of #SS.  `is_flat`: nothing needs to be checked.
    """

    c: SystemX86
    segment: Loaded
    pointer: Value
    code: Operand
    mmu: int = 0
    is_flat: bool = False

    @property
    def mask(self) -> Value:
        """The bits of the pointer that count, as wide as a register."""
        c = self.c
        assert isinstance(self.segment.rights, Value)
        is_big = (self.segment.rights & BIG).ne(0)
        return c.select(is_big, 0xFFFF_FFFF, 0xFFFF, c.word)

    def below(self, length: Operand) -> Frame:
        """A frame of so many bytes under the pointer, to be pushed; #SS if there is no room."""
        return self._frame(self.pointer - length, self.pointer - 1)

    def above(self, length: Operand) -> Frame:
        """A frame of so many bytes from the pointer on, to be popped; #SS beyond the limit."""
        length = self.c.value(self.c.word, length)
        return self._frame(self.pointer, self.pointer + (length - 1))

    def _frame(self, first: Value, last: Value) -> Frame:
        c = self.c
        if self.is_flat:
            return Frame(self, first, c.stack_offset(first) if not c.is_64 else first)
        first, last = first & self.mask, last & self.mask
        limit, rights = self.segment.limit, self.segment.rights
        assert isinstance(limit, Value)
        assert isinstance(rights, Value)
        low, high = first.trunc(I32), last.trunc(I32)
        goes_down = (rights & EXPAND_DOWN).ne(0)
        outside = c.select(goes_down, low.ule(limit), high.ugt(limit)) | high.ult(low)
        c.fault_with_code(GuestException.STACK, self.code, outside)
        linear = self.segment.base + first
        if c.word is I64:
            linear = linear.trunc(I32).zext(I64)
        return Frame(self, first, linear)


@dataclass(frozen=True, slots=True)
class Frame:
    """Part of a stack: `first`, the offset of its lowest byte, and where that is."""

    stack: Stack
    first: Value
    linear: Value

    def load(self, type_: Type, at: Operand) -> Value:
        """What is so many bytes from the frame's lowest one on."""
        return self.stack.c.load(access(type_, self.stack.mmu), self.linear + at)

    def store(self, at: Operand, value: Value) -> None:
        """Write something there."""
        self.stack.c.store(access(value.type, self.stack.mmu), self.linear + at, value)

    def put_pointer(self, pointer: Value | None = None) -> None:
        """rSP <- the frame's lowest byte, or another offset in the same stack.

        Bits of ESP that a 16-bit stack does not use stay (SDM vol. 3, 6.12.1, by experiment).
        """
        c = self.stack.c
        value = self.first if pointer is None else pointer
        if self.stack.is_flat:
            c.write_stack_pointer(value)
            return
        mask = self.stack.mask
        old = c.get_file(c.state.gpr, SP)
        c.put_file(c.state.gpr, SP, old & (mask ^ 0xFFFF_FFFF) | value & mask)


def current(c: SystemX86, code: Operand = 0) -> Stack:
    """The stack as it is."""
    state = c.state
    parts = (c.get(file.slots[SS]) for file in (state.seg_base, state.seg_limit, state.seg_rights))
    segment = Loaded(c.get(state.selectors.slots[SS]), *parts)
    return Stack(c, segment, c.stack_pointer(), code, is_flat=c.is_flat)


# -- stacks of the task state segment -------------------------------------------------------------

TSS32_TYPE = 8 << 8
"""The bit of a TSS's rights that tells one of 32 bits from one of 16."""


def inner(c: SystemX86, level: Value, external: Operand = 0) -> Stack:
    """The stack for an inner level that the task state segment tells (SDM vol. 3, 5.8.5).

    #TS names the TSS if its limit is too low, and the stack's selector if that is not right.
    """
    pointer, selector = _from_tss(c, level, external)
    no_code = c.value(I32, external)
    c.fault_with_code(GuestException.INVALID_TSS, no_code, is_null(selector))
    found = prepare_stack(c, selector, level, GuestException.INVALID_TSS, external)
    segment = from_descriptor(selector, found)
    return Stack(c, segment, pointer, error_code(selector, external), INNER)


def _from_tss(c: SystemX86, level: Value, external: Operand) -> tuple[Value, Value]:
    """Pointer and selector of a level's stack."""
    state = c.state
    base = c.get(state.seg_base.slots[TR])
    limit = c.get(state.seg_limit.slots[TR])
    is_32 = (c.get(state.seg_rights.slots[TR]) & TSS32_TYPE).ne(0)
    number = level.zext(I32)
    at = c.select(is_32, (number << 3) + 4, (number << 2) + 2)
    last = at + c.select(is_32, 5, 3)
    code = error_code(c.get(state.selectors.slots[TR]), external)
    c.fault_with_code(GuestException.INVALID_TSS, code, last.ugt(limit))
    place = base + at.zext(c.word)
    pointer, selector = c.local(c.word), c.local(I16)
    with c.when(is_32):
        c.put(pointer, c.load_system(I32, place).zext(c.word))
        c.put(selector, c.load_system(I16, place + 4))
    with c.when(~is_32):
        both = c.load_system(I32, place)
        c.put(pointer, (both & 0xFFFF).zext(c.word))
        c.put(selector, (both >> 16).trunc(I16))
    return c.get(pointer), c.get(selector)


def long_pointer(c: SystemX86, slot: Value, external: Operand = 0) -> Value:
    """A stack pointer of a 64-bit TSS: slot 0 to 2 of a level, 4 to 10 of IST (vol. 3, 7.7)."""
    state = c.state
    base, limit = c.get(state.seg_base.slots[TR]), c.get(state.seg_limit.slots[TR])
    at = (slot.zext(I32) << 3) + 4
    code = error_code(c.get(state.selectors.slots[TR]), external)
    c.fault_with_code(GuestException.INVALID_TSS, code, (at + 7).ugt(limit))
    return c.load_system(I64, base + at.zext(I64))


def is_canonical(address: Value) -> Value:
    """All bits from 47 on are the same (SDM vol. 1, 3.3.7.1)."""
    return (address << 16).sar(16).eq(address)


def null_stack(c: SystemX86, level: Value) -> Loaded:
    """What SS gets when 64-bit code goes to an inner level: null, with the level as RPL."""
    return Loaded(level.zext(I16), c.const(c.word, 0), c.const(I32, 0xFFFF_FFFF), UNUSABLE)
