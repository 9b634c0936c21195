"""Stack frames and all registers at once, bounds and tables (SDM vol. 1, 6.6 and 7.3.9)."""

from __future__ import annotations

from frontends.insn import insn
from frontends.x86.context import SIZES, X86
from frontends.x86.state import AX, BP, BX, SP
from tcg.frontend import GuestException
from tcg.ir import Value

LEVELS = 32
"""ENTER's nesting level counts modulo this."""


@insn
def enter(c: X86, size: Value, level: Value) -> None:
    """push rBP, then `level` frame pointers of the frames around; rBP <- the frame; make room

    Nothing is written to registers before all stores are done, and the stack has turned out to be
    writable at its new end (#PF).
    """
    step = int(c.opsize)
    type_ = SIZES[step]
    nesting = int(c.imm2 % LEVELS)
    top, base = c.stack_pointer(), c.get_file(c.state.gpr, BP)
    frame = c.as_stack_pointer(top - step)
    last = frame - step * nesting
    end = last - size.zext(c.word)
    c.store_le(c.on_stack(frame), base.trunc(type_))
    for number in range(1, nesting):
        outer = c.load_le(type_, c.on_stack(base - step * number))
        c.store_le(c.on_stack(frame - step * number), outer)
    if nesting:
        c.store_le(c.on_stack(last), frame.trunc(type_))
    c.probe(c.on_stack(end))
    c.write_gpr(BP, step, frame.trunc(type_))
    c.write_stack_pointer(end)


@insn
def leave(c: X86) -> None:
    """rSP <- rBP; rBP <- pop"""
    size = int(c.opsize)
    frame = c.stack_offset(c.get_file(c.state.gpr, BP))
    value = c.load_le(SIZES[size], c.on_stack(frame))
    c.write_stack_pointer(frame + size)
    c.write_gpr(BP, size, value)


@insn
def pusha(c: X86) -> None:
    """push all general registers, rSP as it was"""
    size = int(c.opsize)
    top = c.stack_pointer()
    for number in range(8):
        c.store_le(c.on_stack(top - size * (number + 1)), c.read_gpr(number, size))
    c.write_stack_pointer(top - 8 * size)


@insn
def popa(c: X86) -> None:
    """pop all general registers but rSP, whose value is skipped"""
    size = int(c.opsize)
    top = c.stack_pointer()
    numbers = [number for number in reversed(range(8)) if number != SP]
    places = [c.on_stack(top + size * (7 - number)) for number in numbers]
    values = [c.load_le(SIZES[size], place) for place in places]
    for number, value in zip(numbers, values, strict=True):
        c.write_gpr(number, size, value)
    c.write_stack_pointer(top + 8 * size)


@insn
def bound(c: X86, index: Value, address: Value) -> None:
    """#BR unless the index lies between two signed numbers in memory, bounds included"""
    low = c.load_le(index.type, address)
    high = c.load_le(index.type, address + index.type.bytes)
    c.fault(GuestException.BOUND, when=index.slt(low) | index.sgt(high))


@insn
def into(c: X86) -> None:
    """#OF if OF is set; the next instruction's address is reported"""
    c.raise_(GuestException.OVERFLOW, c.next_pc, when=c.flags.get("of"))


@insn
def xlatb(c: X86) -> None:
    """AL <- [rBX + AL]"""
    table = c.get_file(c.state.gpr, BX)
    address = c.wrap_address(table + c.read_gpr(AX, 1).zext(c.word))
    c.write_gpr(AX, 1, c.load_le(SIZES[1], c.linear(address)))
