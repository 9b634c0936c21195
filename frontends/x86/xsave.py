"""XSAVE and XRSTOR, in the standard format: SDM vol. 1, 13.

State components are x87, SSE and AVX; all that XCR0 enables are always in use.
"""

from __future__ import annotations

from frontends.insn import insn
from frontends.x86.context import X86
from frontends.x86.sse_control import write_mxcsr
from frontends.x86.state import AX
from frontends.x86.x87_control import (
    load_mxcsr,
    load_vectors,
    load_x87,
    reset,
    store_mxcsr,
    store_vectors,
    store_x87,
    vector_count,
)
from tcg.frontend import GuestException
from tcg.ir import Value
from tcg.types import I32, I64, V128

X87, SSE, AVX = 1, 2, 4
ENABLED = X87 | SSE | AVX
"""XCR0"""
HEADER, UPPER_HALVES = 512, 576
"""Where the header and the upper halves of the YMM registers are."""


def _wanted(c: X86) -> Value:
    """The components that EDX:EAX asks for; those above the lowest 32 do not exist."""
    return c.read_gpr(AX, 4) & ENABLED


def _check_alignment(c: X86, address: Value) -> None:
    c.fault(GuestException.PROTECTION, when=(address & 63).ne(0))


@insn
def xsave(c: X86, target: Value) -> None:
    """memory <- the components in EDX:EAX; XSTATE_BV <- that they are there"""
    _check_alignment(c, target)
    wanted = _wanted(c)
    there = c.load_le(I64, target + HEADER)
    with c.when((wanted & X87).ne(0)):
        store_x87(c, target)
    with c.when((wanted & (SSE | AVX)).ne(0)):
        store_mxcsr(c, target)
    with c.when((wanted & SSE).ne(0)):
        store_vectors(c, target)
    with c.when((wanted & AVX).ne(0)):
        for i in range(vector_count(c)):
            c.store_le(target + UPPER_HALVES + 16 * i, c.get(c.state.ymmh.slots[i]))
    c.store_le(target + HEADER, there | wanted.zext(I64))


@insn
def xrstor(c: X86, source: Value) -> None:
    """The components in EDX:EAX <- memory, or as they are after reset if they are not there"""
    _check_alignment(c, source)
    wanted, there = _wanted(c), c.load_le(I64, source + HEADER)
    c.fault(GuestException.PROTECTION, when=(there & ~ENABLED).ne(0))
    c.fault(GuestException.PROTECTION, when=c.load_le(I64, source + HEADER + 8).ne(0))
    present = wanted & there.trunc(I32)
    absent = wanted & ~there.trunc(I32)
    with c.when((wanted & (SSE | AVX)).ne(0)):
        write_mxcsr(c, load_mxcsr(c, source))
    with c.when((present & X87).ne(0)):
        load_x87(c, source)
    with c.when((absent & X87).ne(0)):
        reset(c)
    with c.when((present & SSE).ne(0)):
        load_vectors(c, source)
    with c.when((absent & SSE).ne(0)):
        for slot in c.state.xmm.slots[: vector_count(c)]:
            c.put(slot, 0)
    halves = c.state.ymmh.slots[: vector_count(c)]
    with c.when((present & AVX).ne(0)):
        for i, slot in enumerate(halves):
            c.put(slot, c.load_le(V128, source + UPPER_HALVES + 16 * i))
    with c.when((absent & AVX).ne(0)):
        for slot in halves:
            c.put(slot, 0)
