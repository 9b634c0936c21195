"""Far transfers within the code segment that a program has (SDM vol. 1, 6.4 and 6.5).

Another code segment would be another mode of the CPU, or no code segment at all: #GP.
"""

from __future__ import annotations

from frontends.insn import insn
from frontends.x86.context import SIZES, X86, Field
from frontends.x86.flag_instructions import write_flags
from frontends.x86.state import SEGMENTS, SP
from tcg.frontend import GuestException
from tcg.ir import Value
from tcg.types import I16, I32

CS = SEGMENTS.index("cs")

Pointer = tuple[Field, Field] | Value
"""A far pointer: offset and selector in the instruction, or the address of both."""


def _check_selector(c: X86, selector: Value) -> None:
    """Only the code segment that we are in."""
    c.fault(GuestException.PROTECTION, when=selector.ne(c.get_file(c.state.selectors, CS)))


def _target(c: X86, pointer: Pointer, size: int) -> tuple[Value, Value]:
    """Offset and selector."""
    if isinstance(pointer, Value):
        return c.load_le(SIZES[size], pointer), c.load_le(I16, pointer + size)
    offset, selector = pointer
    return c.value(SIZES[size], offset), c.value(I16, selector)


def _popped(c: X86, size: int, *numbers: int) -> list[Value]:
    """Words on the stack, which stay there."""
    top = c.get_file(c.state.gpr, SP)
    return [c.load_le(SIZES[size], top + size * number) for number in numbers]


def _release(c: X86, count: Value | int) -> None:
    """Take bytes off the stack."""
    c.write_stack_pointer(c.get_file(c.state.gpr, SP) + count)


@insn
def jmpf(c: X86, pointer: Pointer) -> None:
    """CS:rIP <- a far pointer"""
    offset, selector = _target(c, pointer, int(c.opsize))
    _check_selector(c, selector)
    c.jump(c.code_address(offset))


@insn
def callf(c: X86, pointer: Pointer) -> None:
    """push CS; push the address of the next instruction; CS:rIP <- a far pointer"""
    size = int(c.opsize)
    offset, selector = _target(c, pointer, size)
    _check_selector(c, selector)
    top = c.get_file(c.state.gpr, SP)
    c.store_le(top - size, selector.zext(SIZES[size]))
    c.store_le(top - 2 * size, c.next_pc_value(size))
    c.write_stack_pointer(top - 2 * size)
    c.jump(c.code_address(offset), hint="call")


@insn
def retf(c: X86, count: Value | None = None) -> None:
    """rIP, CS <- pop; then `count` bytes of arguments are popped"""
    size = int(c.opsize)
    offset, selector = _popped(c, size, 0, 1)
    _check_selector(c, selector.trunc(I16))
    _release(c, 2 * size)
    if count is not None:
        _release(c, count.zext(c.word))
    c.jump(c.code_address(offset), hint="return")


@insn
def iret(c: X86) -> None:
    """rIP, CS, EFLAGS <- pop; in 64-bit mode rSP and SS too"""
    size = int(c.opsize)
    offset, selector, flags = _popped(c, size, 0, 1, 2)
    _check_selector(c, selector.trunc(I16))
    if c.mode == 64:
        c.write_stack_pointer(_popped(c, size, 3)[0].zext(c.word))
    else:
        _release(c, 3 * size)
    write_flags(c, flags.zext(I32) if size < 4 else flags.trunc(I32), size)
    c.flags.flush()
    c.jump(c.code_address(offset), hint="return")
