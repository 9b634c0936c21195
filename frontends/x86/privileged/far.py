"""Far jumps, calls and returns, and call gates (SDM vol. 3, 5.8; vol. 2, CALL, JMP, RET)."""

from __future__ import annotations

from frontends.insn import insn
from frontends.x86.context import SIZES
from frontends.x86.far import Pointer
from frontends.x86.privileged import stacks
from frontends.x86.privileged.builder import SystemX86
from frontends.x86.privileged.code_segments import (
    Code,
    fetch_code,
    gate_to,
    go_real,
    jump_to,
    return_to,
)
from frontends.x86.privileged.descriptors import (
    CALL_GATE16,
    CALL_GATE32,
    TASK_GATE,
    TSS16,
    TSS32,
    Descriptor,
    error_code,
    read,
)
from frontends.x86.privileged.returning import outer_return
from frontends.x86.privileged.segments import is_one_of
from frontends.x86.privileged.stacks import Stack
from frontends.x86.privileged.task_gates import ask_switch, check_task
from frontends.x86.state import CS, SP, SS
from tcg.frontend import GuestException
from tcg.ir import Value
from tcg.types import I16, I64

JUMP, CALL = "jump", "call"
PARAMETERS = 0x1F
"""The bits of a call gate that count the words to be copied from stack to stack."""


def _target(c: SystemX86, pointer: Pointer) -> tuple[Value, Value]:
    """Offset and selector of a far pointer, the offset as wide as a register."""
    size = int(c.opsize)
    if isinstance(pointer, Value):
        offset, selector = c.load_le(SIZES[size], pointer), c.load_le(I16, pointer + size)
    else:
        offset, selector = c.value(SIZES[size], pointer[0]), c.value(I16, pointer[1])
    return offset.zext(c.word), selector


@insn
def jmpf(c: SystemX86, pointer: Pointer) -> None:
    """CS:rIP <- a far pointer, or what a gate or a task state segment says"""
    offset, selector = _target(c, pointer)
    if not c.is_protected:
        c.check_near(offset)
        go_real(c, selector, offset)
        return
    found = fetch_code(c, selector)
    with c.when(found.is_code, likely=True):
        code = jump_to(found)
        code.check_target(offset)
        code.put()
        c.jump_far(offset)
    _through_system(c, found, JUMP)


@insn
def callf(c: SystemX86, pointer: Pointer) -> None:
    """push CS; push the next instruction's address; CS:rIP <- a far pointer, or what a gate says"""
    offset, selector = _target(c, pointer)
    if not c.is_protected:
        _call_real(c, selector, offset)
        return
    found = fetch_code(c, selector)
    with c.when(found.is_code, likely=True):
        code = jump_to(found)
        code.check_target(offset)
        _push_return(c, stacks.current(c), int(c.opsize))
        code.put()
        c.jump_far(offset)
    _through_system(c, found, CALL)


def _call_real(c: SystemX86, selector: Value, offset: Value) -> None:
    """A call in real or virtual-8086 mode."""
    size = int(c.opsize)
    c.check_near(offset)
    top = c.stack_pointer()
    c.store_le(c.on_stack(top - size), _old_cs(c, size))
    c.store_le(c.on_stack(top - 2 * size), c.next_pc_value(size))
    c.write_stack_pointer(top - 2 * size)
    go_real(c, selector, offset)


def _old_cs(c: SystemX86, size: int) -> Value:
    return c.get_file(c.state.selectors, CS).zext(SIZES[size])


def _push_return(c: SystemX86, stack: Stack, size: int) -> None:
    """Push CS and the next instruction's address."""
    frame = stack.below(2 * size)
    frame.store(size, _old_cs(c, size))
    frame.store(0, c.next_pc_value(size))
    frame.put_pointer()


# -- gates and tasks ------------------------------------------------------------------------------


def _through_system(c: SystemX86, found: Descriptor, how: str) -> None:
    """Go to what is no segment: through a gate, or to another task."""
    code = error_code(found.selector)
    gates = (CALL_GATE32,) if c.is_long else (CALL_GATE16, CALL_GATE32)
    tasks = () if c.is_long else (TSS16, TSS32, TASK_GATE)
    c.fault_with_code(GuestException.PROTECTION, code, ~is_one_of(found, (*gates, *tasks)))
    is_private = found.dpl.ult(c.cpl.umax(found.rpl))
    c.fault_with_code(GuestException.PROTECTION, code, is_private)
    if tasks:
        with c.when(is_one_of(found, tasks)):
            check_task(found)
            ask_switch(c, found.selector, 1 if how == CALL else 0)
    c.fault_with_code(GuestException.NOT_PRESENT, code, found.is_absent)
    if c.is_long:
        _through_long_gate(c, found, how)
    else:
        _through_gate(c, found, how)


def _through_gate(c: SystemX86, gate: Descriptor, how: str) -> None:
    """Through a call gate of 16 or 32 bits."""
    found = gate_to(c, gate.gate_selector)
    is_32 = gate.has(8 << 8)
    offset = c.select(is_32, gate.gate_offset, gate.low & 0xFFFF).zext(c.word)
    is_inner = found.dpl.ult(c.cpl) & ~found.is_conforming
    if how == JUMP:
        c.fault_with_code(GuestException.PROTECTION, error_code(found.selector), is_inner)
    else:
        with c.when(is_inner):
            _call_inner(c, gate, found, is_32, offset)
    same = Code(found, c.cpl)
    same.check_target(offset)
    found.mark_accessed()
    if how == CALL:
        with c.when(is_32):
            _push_return(c, stacks.current(c), 4)
        with c.when(~is_32):
            _push_return(c, stacks.current(c), 2)
    same.put()
    c.jump_far(offset)


def _call_inner(
    c: SystemX86, gate: Descriptor, found: Descriptor, is_32: Value, offset: Value
) -> None:
    """Call an inner level: on its own stack, with parameters copied from this one."""
    code = Code(found, found.dpl)
    stack = stacks.inner(c, found.dpl)
    code.check_target(offset)
    found.mark_accessed()
    count = (gate.high & PARAMETERS).zext(c.word)
    with c.when(is_32):
        _enter_inner(c, code, stack, 4, count, offset)
    _enter_inner(c, code, stack, 2, count, offset)


def _enter_inner(
    c: SystemX86, code: Code, stack: Stack, size: int, count: Value, offset: Value
) -> None:
    """Push SS:rSP, parameters, CS:rIP, and go."""
    type_ = SIZES[size]
    old = stacks.current(c)
    length = count * size
    frame = stack.below(length + 4 * size)
    old_pointer = c.get_file(c.state.gpr, SP)
    frame.store(length + 3 * size, old.segment.selector.zext(type_))
    frame.store(length + 2 * size, old_pointer.trunc(type_))
    with c.when(count.ne(0)):
        parameters = old.above(length)
        at = c.local(c.word)
        c.put(at, 0)
        with c.loop() as loop:
            loop.leave_if(c.get(at).eq(length))
            frame.store(c.get(at) + 2 * size, parameters.load(type_, c.get(at)))
            c.put(at, c.get(at) + size)
    frame.store(size, _old_cs(c, size))
    frame.store(0, c.next_pc_value(size))
    stack.segment.put(c, SS)
    frame.put_pointer()
    code.put()
    c.jump_far(offset)


def _through_long_gate(c: SystemX86, gate: Descriptor, how: str) -> None:
    """Through a call gate of 64 bits, to 64-bit code (SDM vol. 3, 5.8.3.1)."""
    upper = read(c, gate.selector, gate.address + 8)
    c.fault_with_code(GuestException.PROTECTION, error_code(gate.selector), upper.type.ne(0))
    found = gate_to(c, gate.gate_selector)
    code = error_code(found.selector)
    c.fault_with_code(GuestException.PROTECTION, code, ~found.is_long)
    offset = gate.gate_offset.zext(I64) | upper.low.zext(I64) << 32
    is_inner = found.dpl.ult(c.cpl) & ~found.is_conforming
    if how == JUMP:
        c.fault_with_code(GuestException.PROTECTION, code, is_inner)
    level = c.select(is_inner, found.dpl, c.cpl)
    new = Code(found, level)
    new.check_target(offset)
    found.mark_accessed()
    if how == CALL:
        with c.when(is_inner):
            top = stacks.long_pointer(c, found.dpl)
            old_selector = c.get_file(c.state.selectors, SS).zext(I64)
            old_pointer = c.get_file(c.state.gpr, SP)
            for number, value in enumerate((old_selector, old_pointer)):
                c.store_system(top - 8 * (number + 1), value)
            c.store_system(top - 24, _old_cs(c, 8))
            c.store_system(top - 32, c.next_pc_value(8))
            stacks.null_stack(c, found.dpl).put(c, SS)
            c.put_file(c.state.gpr, SP, top - 32)
            new.put()
            c.jump_far(offset)
        top = c.get_file(c.state.gpr, SP)
        c.store_le(top - 8, _old_cs(c, 8))
        c.store_le(top - 16, c.next_pc_value(8))
        c.put_file(c.state.gpr, SP, top - 16)
    new.put()
    c.jump_far(offset)


# -- returns --------------------------------------------------------------------------------------


@insn
def retf(c: SystemX86, count: Value | None = None) -> None:
    """rIP, CS <- pop; then `count` bytes of arguments are popped, of an outer stack's too"""
    size = int(c.opsize)
    released = c.const(c.word, 0) if count is None else count.zext(c.word)
    if not c.is_protected:
        top = c.stack_pointer()
        offset, selector = (c.load_le(SIZES[size], c.on_stack(top + at)) for at in (0, size))
        offset = offset.zext(c.word)
        c.check_near(offset)
        c.write_stack_pointer(top + 2 * size + released)
        go_real(c, selector.trunc(I16), offset)
        return
    stack = stacks.current(c)
    frame = stack.above(2 * size)
    offset = frame.load(SIZES[size], 0).zext(c.word)
    code = return_to(fetch_code(c, frame.load(SIZES[size], size).trunc(I16)))
    with c.when(code.level.ne(c.cpl)):
        outer = stack.above(released + 4 * size)
        outer_return(c, code, offset, outer, released + 2 * size, size, released)
        c.jump_far(offset)
    code.check_target(offset)
    frame.put_pointer(stack.pointer + 2 * size + released)
    code.put()
    c.jump_far(offset)
