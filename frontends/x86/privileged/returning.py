"""Returns to an outer level: another stack, and segments that it may not see (SDM vol. 2, RET)."""

from __future__ import annotations

from frontends.x86.context import SIZES
from frontends.x86.privileged.builder import SystemX86
from frontends.x86.privileged.code_segments import Code
from frontends.x86.privileged.descriptors import is_null
from frontends.x86.privileged.loading import Loaded, from_descriptor, prepare_stack
from frontends.x86.privileged.stacks import Frame
from frontends.x86.state import DS, ES, FS, GS, SP, SS
from frontends.x86.system_state import (
    BIG,
    CODE_SEGMENT,
    CONFORMING,
    DPL_SHIFT,
    UNUSABLE,
)
from tcg.frontend import GuestException
from tcg.ir import Operand, Value
from tcg.types import I8, I16, I32


def outer_return(
    c: SystemX86, code: Code, target: Value, frame: Frame, at: Value, size: int, released: Operand
) -> None:
    """Load CS and SS:rSP, which are at `at` in a frame, and forget inner segments."""
    type_ = SIZES[size]
    pointer = frame.load(type_, at).zext(c.word)
    selector = frame.load(type_, at + size).trunc(I16)
    stack = prepare_outer_stack(c, selector, code)
    code.check_target(target)
    code.put()
    stack.put(c, SS)
    put_outer_pointer(c, stack, pointer + released)
    forget_inner_segments(c, code.level)


def prepare_outer_stack(c: SystemX86, selector: Value, code: Code) -> Loaded:
    """The stack of an outer level; 64-bit code below CPL 3 may have none."""
    if not c.is_long:
        c.fault(GuestException.PROTECTION, is_null(selector))
        return from_descriptor(selector, prepare_stack(c, selector, code.level))
    null = is_null(selector)
    allowed = code.found.is_long & code.level.ne(3) & (selector.trunc(I8) & 3).eq(code.level)
    c.fault(GuestException.PROTECTION, null & ~allowed)
    base, limit, rights = c.local(c.word), c.local(I32), c.local(I32)
    c.put(base, 0)
    c.put(limit, 0)
    c.put(rights, UNUSABLE)
    with c.when(~null, likely=True):
        loaded = from_descriptor(selector, prepare_stack(c, selector, code.level))
        c.put(base, loaded.base)
        for local, value in ((limit, loaded.limit), (rights, loaded.rights)):
            assert isinstance(value, Value)
            c.put(local, value)
    return Loaded(selector, c.get(base), c.get(limit), c.get(rights))


def put_outer_pointer(c: SystemX86, stack: Loaded, pointer: Value) -> None:
    """rSP <- what was popped, as far as the new stack's width goes."""
    if c.is_64:
        c.put_file(c.state.gpr, SP, pointer)
        return
    assert isinstance(stack.rights, Value)
    is_big = (stack.rights & BIG).ne(0)
    old = c.get_file(c.state.gpr, SP)
    narrow = old & 0xFFFF_0000 | pointer & 0xFFFF
    c.put_file(c.state.gpr, SP, c.select(is_big, pointer, narrow))


def forget_inner_segments(c: SystemX86, level: Value) -> None:
    """Data segments that the level may not use become null."""
    state = c.state
    for number in (ES, DS, FS, GS):
        rights = c.get(state.seg_rights.slots[number])
        is_private = (rights & (CODE_SEGMENT | CONFORMING)).ne(CODE_SEGMENT | CONFORMING)
        dpl = (rights >> DPL_SHIFT).trunc(I8) & 3
        goes = is_private & dpl.ult(level) & (rights & UNUSABLE).eq(0)
        with c.when(goes, likely=False):
            zero = c.const(c.word, 0)
            Loaded(c.const(I16, 0), zero, 0, UNUSABLE).put(c, number)
