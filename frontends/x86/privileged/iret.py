"""IRET in all modes (SDM vol. 2, IRET; vol. 3, 6.12 and 20.2.3)."""

from __future__ import annotations

from frontends.insn import insn
from frontends.x86.context import SIZES
from frontends.x86.privileged import stacks
from frontends.x86.privileged.builder import SystemX86
from frontends.x86.privileged.code_segments import Code, fetch_code, go_real, return_to
from frontends.x86.privileged.flags import load_flags, returned_flags
from frontends.x86.privileged.loading import REAL_LIMIT, VIRTUAL, Loaded
from frontends.x86.privileged.returning import (
    forget_inner_segments,
    outer_return,
    prepare_outer_stack,
)
from frontends.x86.privileged.stacks import Frame, Stack
from frontends.x86.privileged.task_gates import BY_RETURN, ask_switch
from frontends.x86.state import AC, CS, DS, ES, FS, GS, ID, IF, IOPL, NT, RF, SP, SS, TF, VM
from frontends.x86.system_state import TR
from tcg.frontend import GuestException
from tcg.ir import Value
from tcg.types import I16, I32, I64

ALL_FLAGS = TF | IF | IOPL | NT | RF | VM | AC | ID
"""What a return to virtual-8086 mode loads from its frame."""


@insn
def iret(c: SystemX86) -> None:
    """rIP, CS, EFLAGS <- pop, and rSP, SS if the level changes or in 64-bit code"""
    size = int(c.opsize)
    if not c.is_protected:
        _return_real(c, size)
        return
    _return_to_task(c)
    if c.is_64:
        _return_64(c, size)
        return
    stack = stacks.current(c)
    frame = stack.above(3 * size)
    target = frame.load(SIZES[size], 0).zext(c.word)
    selector = frame.load(SIZES[size], size).trunc(I16)
    word = _flags_of(frame, size)
    if size == 4 and not c.is_long:
        with c.when((word & VM).ne(0) & c.cpl.eq(0), likely=False):
            _return_to_virtual(c, stack, target, selector, word)
    code = return_to(fetch_code(c, selector))
    mask = _mask(c, size)
    with c.when(code.level.ne(c.cpl)):
        outer = stack.above(5 * size)
        outer_return(c, code, target, outer, c.const(c.word, 3 * size), size, 0)
        load_flags(c, word, mask)
        c.jump_far(target)
    code.check_target(target)
    frame.put_pointer(stack.pointer + 3 * size)
    code.put()
    load_flags(c, word, mask)
    c.jump_far(target)


def _flags_of(frame: Frame, size: int) -> Value:
    """The flags in a frame as 32 bits."""
    word = frame.load(SIZES[size], 2 * size)
    return word.zext(I32) if size == 2 else word.trunc(I32)


def _mask(c: SystemX86, size: int) -> Value:
    """The flags that are loaded; found before CPL changes."""
    return returned_flags(c, size) | (RF if size >= 4 else 0)


def _return_real(c: SystemX86, size: int) -> None:
    """In real mode, and in virtual-8086 mode with IOPL 3."""
    mask = _mask(c, size)
    if c.is_virtual:
        is_low = (c.get(c.slots["eflags"]) & IOPL).ne(IOPL)
        c.fault(GuestException.PROTECTION, is_low)
    top = c.stack_pointer()
    type_ = SIZES[size]
    offset, selector, word = (c.load_le(type_, c.on_stack(top + at)) for at in (0, size, 2 * size))
    offset = offset.zext(c.word)
    c.check_near(offset)
    c.write_stack_pointer(top + 3 * size)
    load_flags(c, word.zext(I32), mask)
    go_real(c, selector.trunc(I16), offset, in_same_mode=False)


def _return_to_task(c: SystemX86) -> None:
    """With NT the return leads to the task before this one, whose selector the TSS holds."""
    nested = (c.get(c.slots["eflags"]) & NT).ne(0)
    if c.is_long:
        c.fault(GuestException.PROTECTION, nested)
        return
    with c.when(nested, likely=False):
        link = c.load_system(I16, c.get(c.state.seg_base.slots[TR]))
        ask_switch(c, link, BY_RETURN)


def _return_to_virtual(
    c: SystemX86, stack: Stack, target: Value, selector: Value, word: Value
) -> None:
    """To virtual-8086 mode: all segments are on the stack (SDM vol. 3, 20.2.3)."""
    c.fault(GuestException.PROTECTION, target.trunc(I32).ugt(REAL_LIMIT))
    frame = stack.above(36)
    pointer = frame.load(I32, 12)
    numbers = (SS, ES, DS, FS, GS)
    selectors = [frame.load(I16, 16 + 4 * at) for at in range(len(numbers))]
    for number, one in zip((CS, *numbers), (selector, *selectors), strict=True):
        Loaded(one, one.zext(c.word) << 4, REAL_LIMIT, VIRTUAL).put(c, number)
    c.put_file(c.state.gpr, SP, pointer.zext(c.word))
    c.put(c.slots["cpl"], 3)
    load_flags(c, word, ALL_FLAGS)
    c.jump_far(target)


def _return_64(c: SystemX86, size: int) -> None:
    """From 64-bit code: SS:rSP is popped always."""
    type_ = SIZES[size]
    top = c.stack_pointer()
    values = [c.load_le(type_, top + size * at) for at in range(5)]
    target, selector, flags, pointer, stack_selector = values
    target, word = target.zext(I64), flags.zext(I32) if size == 2 else flags.trunc(I32)
    code = return_to(fetch_code(c, selector.trunc(I16)))
    stack = prepare_outer_stack(c, stack_selector.trunc(I16), code)
    code.check_target(target)
    mask = _mask(c, size)
    is_outer = code.level.ne(c.cpl)
    _put_code_and_stack(c, code, stack, pointer.zext(I64))
    with c.when(is_outer):
        forget_inner_segments(c, code.level)
    load_flags(c, word, mask)
    c.jump_far(target)


def _put_code_and_stack(c: SystemX86, code: Code, stack: Loaded, pointer: Value) -> None:
    code.put()
    stack.put(c, SS)
    c.put_file(c.state.gpr, SP, pointer)
