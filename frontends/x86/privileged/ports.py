"""Input and output: who may, and then the client does it (SDM vol. 1, 18.5)."""

from __future__ import annotations

from frontends.insn import insn
from frontends.x86.context import SIZES, Field
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
from frontends.x86.system_state import PLAIN_WORDS, TR
from tcg.frontend import GuestException
from tcg.ir import Value
from tcg.types import I1, I16, I32, I64

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


PORT_SPACE = 0xF_FFFF_0000
"""Where the client shows the ports in physical memory, at the end of what the address lines reach.

Accesses there do not end their block, as asking does, and cost a fifth of it.  Only a guest with 60
GiB of memory could tell.
"""


@insn
def in_(c: SystemX86, port: Value) -> Value:
    """AL, AX or EAX <- a port

    One that lies across its own size is left to the client.
    """
    size = _size(c, is_byte=c.row.operands[0].text == "AL")
    port = port.zext(I16)
    check_port(c, port, size)
    is_odd = (port & size - 1).ne(0)
    if not (is_odd.is_const and not is_odd.imm) and size > 1:
        with c.when(is_odd, likely=False):
            _ask_port(c, ASK_PORT_IN, port, size)
    return c.load_physical(SIZES[size], _place(c, port))


def _place(c: SystemX86, port: Value) -> Value:
    return port.zext(I64) | PORT_SPACE


def _ask_port(c: SystemX86, what: int, port: Value, size: int) -> None:
    c.put(c.slots["ask_a"], port.zext(I64))
    c.put(c.slots["ask_b"], size)
    c.ask(what, c.next_pc)


@insn
def out(c: SystemX86, port: Value, value: Value) -> None:
    """a port <- AL, AX or EAX

    The client marks the ports that concern nothing but their device (`plain_ports`, a bit each).
    Whatever changes what the processor sees, or is a call of the firmware, is left to it.
    """
    size = _size(c, is_byte=c.row.operands[1].text == "AL")
    port = port.zext(I16)
    check_port(c, port, size)
    word = c.get_file(c.state.plain_ports, (port >> 6).zext(I32) & PLAIN_WORDS - 1)
    is_plain = (word >> (port & 63).zext(I64)).trunc(I1) & port.ult(64 * PLAIN_WORDS)
    if size > 1:
        is_plain = is_plain & (port & size - 1).eq(0)
    with c.when(~is_plain, likely=False):
        c.put(c.slots["ask_c"], value.zext(I64))
        _ask_port(c, ASK_PORT_OUT, port, size)
    c.store_physical(_place(c, port), value.trunc(SIZES[size]))


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
