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
    top, base = c.get_file(c.state.gpr, SP), c.get_file(c.state.gpr, BP)
    frame = top - step
    last = frame - step * nesting
    end = last - size.zext(c.word)
    c.store_le(frame, base.trunc(type_))
    for number in range(1, nesting):
        outer = c.load_le(type_, base - step * number)
        c.store_le(frame - step * number, outer)
    if nesting:
        c.store_le(last, frame.trunc(type_))
    c.store_le(end, c.load_le(c.byte, end))
    c.write_gpr(BP, step, frame.trunc(type_))
    c.write_stack_pointer(end)


@insn
def leave(c: X86) -> None:
    """rSP <- rBP; rBP <- pop"""
    size = int(c.opsize)
    frame = c.get_file(c.state.gpr, BP)
    value = c.load_le(SIZES[size], frame)
    c.write_stack_pointer(frame + size)
    c.write_gpr(BP, size, value)


@insn
def pusha(c: X86) -> None:
    """push all general registers, rSP as it was"""
    size = int(c.opsize)
    top = c.get_file(c.state.gpr, SP)
    for number in range(8):
        c.store_le(top - size * (number + 1), c.read_gpr(number, size))
    c.write_stack_pointer(top - 8 * size)


@insn
def popa(c: X86) -> None:
    """pop all general registers but rSP, whose value is skipped"""
    size = int(c.opsize)
    top = c.get_file(c.state.gpr, SP)
    numbers = [number for number in reversed(range(8)) if number != SP]
    values = [c.load_le(SIZES[size], top + size * (7 - number)) for number in numbers]
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
