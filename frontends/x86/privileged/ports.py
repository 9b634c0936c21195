"""Input and output: who may, and then the client does it (SDM vol. 1, 18.5)."""

from __future__ import annotations

from frontends.insn import insn
from frontends.x86.context import Field
from frontends.x86.privileged.builder import SystemX86
from frontends.x86.privileged.flags import iopl
from frontends.x86.state import (
    ASK_PORT_IN,
    ASK_PORT_INS,
    ASK_PORT_OUT,
    ASK_PORT_OUTS,
    CX,
    DX,
)
from frontends.x86.string import element_size
from frontends.x86.system_state import TR
from tcg.frontend import GuestException
from tcg.ir import Value
from tcg.types import I16, I32, I64

MAP_BASE = 102
"""Where a TSS of 32 bits says where its I/O permission bit map begins."""
SMALLEST_TSS = 103
TSS32_TYPE = 8 << 8
"""The bit that tells a TSS of 32 bits from one of 16."""


def check_port(c: SystemX86, port: Value, size: int) -> None:
    """#GP(0) unless IOPL or the I/O permission bit map allow `size` ports from this on."""
    if not (c.is_protected or c.is_virtual):
        return
    asks_map = c.cpl.ugt(iopl(c)) if c.is_protected else c.const(I16, 0).eq(0)
    if asks_map.is_const:
        _check_map(c, port, size)
        return
    with c.when(asks_map, likely=False):
        _check_map(c, port, size)


def _check_map(c: SystemX86, port: Value, size: int) -> None:
    """All bits of the ports must be clear; what is beyond the TSS counts as set."""
    limit = c.get(c.state.seg_limit.slots[TR])
    rights = c.get(c.state.seg_rights.slots[TR])
    base = c.get(c.state.seg_base.slots[TR])
    c.fault(GuestException.PROTECTION, (rights & TSS32_TYPE).eq(0) | limit.ult(SMALLEST_TSS))
    at = c.load_system(I16, base + MAP_BASE).zext(I32) + (port >> 3).zext(I32)
    c.fault(GuestException.PROTECTION, (at + 1).ugt(limit))
    bits = c.load_system(I16, base + at.zext(c.word)) >> (port & 7)
    c.fault(GuestException.PROTECTION, (bits & ((1 << size) - 1)).ne(0))


def _size(c: SystemX86, *, is_byte: bool) -> int:
    return 1 if is_byte else min(int(c.opsize), 4)


@insn
def in_(c: SystemX86, port: Value) -> None:
    """AL, AX or EAX <- a port, by the client"""
    size = _size(c, is_byte=c.row.operands[0].text == "AL")
    port = port.zext(I16)
    check_port(c, port, size)
    c.put(c.slots["ask_a"], port.zext(I64))
    c.put(c.slots["ask_b"], size)
    c.ask(ASK_PORT_IN, c.next_pc)


@insn
def out(c: SystemX86, port: Value, value: Value) -> None:
    """a port <- AL, AX or EAX, by the client"""
    size = _size(c, is_byte=c.row.operands[1].text == "AL")
    port = port.zext(I16)
    check_port(c, port, size)
    c.put(c.slots["ask_a"], port.zext(I64))
    c.put(c.slots["ask_b"], size)
    c.put(c.slots["ask_c"], value.zext(I64))
    c.ask(ASK_PORT_OUT, c.next_pc)


@insn
def ins(c: SystemX86, *_operands: object) -> None:
    """[rDI] <- the port DX; rDI advances; REP: rCX times; all by the client"""
    _string(c, ASK_PORT_INS)


@insn
def outs(c: SystemX86, *_operands: object) -> None:
    """the port DX <- [rSI]; rSI advances; REP: rCX times; all by the client"""
    _string(c, ASK_PORT_OUTS)


def _string(c: SystemX86, what: int) -> None:
    """With a count of zero nothing is done, and nothing is checked."""
    if c.rep:
        count = c.read_gpr(CX, int(c.addrsize))
        c.goto(c.next_pc, count.eq(0))
    size = min(element_size(c), 4)
    port = c.read_gpr(DX, 2)
    check_port(c, port, size)
    how: Field = c.addrsize << 8 | c.rep << 16 | c.segment << 24 | c.length << 32 | size
    c.put(c.slots["ask_a"], port.zext(I64))
    c.put(c.slots["ask_b"], c.value(I64, how))
    c.ask(what, c.pc)
