"""Cache management and isync: Book II, 3.2.

There are no caches to manage, but dcbz clears memory, and after icbi and isync the guest expects
that instructions it has written are seen: regions end there.
"""

from __future__ import annotations

from frontends.insn import insn
from frontends.ppc.context import DOUBLE, Field, Ppc
from frontends.ppc.state import CACHE_LINE, NO_RESERVATION
from tcg.types import I64


@insn("dcbt", "dcbtst")
def touch(c: Ppc, ra: Field, rb: Field) -> None:
    """A hint"""


@insn("dcbf", "dcbst")
def write_back(c: Ppc, ra: Field, rb: Field) -> None:
    """Copy a line to memory, where it is already"""


@insn
def dcbz(c: Ppc, ra: Field, rb: Field) -> None:
    """The cache line of EA <- 0; a reservation in that line is lost, as Book II, 3.3.1 allows"""
    line = c.address(ra, c.gpr[rb]) & -CACHE_LINE
    zero = c.const(DOUBLE.type, 0)
    for at in range(0, CACHE_LINE, 8):
        c.store(DOUBLE, line + at if at else line, zero)
    reserved = c.reservation_address
    is_here = (reserved & -CACHE_LINE).eq(line.zext(I64))
    c.reservation_address = c.select(is_here, NO_RESERVATION, reserved)


@insn
def icbi(c: Ppc, ra: Field, rb: Field) -> None:  # noqa: ARG001
    """Invalidate a line of the instruction cache"""
    c.goto(c.next_pc, hint="leave")


@insn
def isync(c: Ppc) -> None:
    """Refetch what follows"""
    c.goto(c.next_pc, hint="leave")
