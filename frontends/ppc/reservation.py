"""Reservations and storage ordering: Book II, 3.3.

lwarx remembers the address and what was there; stwcx. swaps atomically if it is still there.  The
host's compare-and-swap does not see a value that was changed and changed back, as a reservation
would: no program that runs under QEMU can tell.
"""

from __future__ import annotations

from frontends.insn import insn
from frontends.ppc.context import WORD_ATOMIC, Field, Ppc
from frontends.ppc.state import NO_RESERVATION
from tcg.frontend import GuestException
from tcg.ir import Value
from tcg.types import I1, I32, I64


def aligned_address(c: Ppc, ra: Field, rb: Field) -> Value:
    """EA <- (rA|0) + (rB), which must be a multiple of 4"""
    ea = c.address(ra, c.gpr[rb])
    c.raise_(GuestException.ALIGNMENT, c.pc, when=(ea & 3).ne(0))
    return ea


@insn
def lwarx(c: Ppc, rt: Field, ra: Field, rb: Field) -> None:
    """rT <- MEM(EA); RESERVE <- 1; RESERVE_ADDR <- EA"""
    ea = aligned_address(c, ra, rb)
    word = c.load(WORD_ATOMIC, ea)
    c.reservation_address = ea.zext(I64)
    c.reservation_value = word.zext(I64)
    c.gpr[rt] = word.zext(c.word)


@insn
def stwcx_rc(c: Ppc, rs: Field, ra: Field, rb: Field) -> None:
    """MEM(EA) <- (rS) if RESERVE and EA = RESERVE_ADDR; RESERVE <- 0; CR0 <- 00, stored, XER.SO"""
    ea = aligned_address(c, ra, rb)
    stored = c.local(I1)
    c.put(stored, 0)
    with c.when(c.reservation_address.eq(ea.zext(I64)), likely=True):
        expected = c.reservation_value.trunc(I32)
        found = c.cas(WORD_ATOMIC, ea, expected, c.gpr[rs].trunc(I32))
        c.put(stored, found.eq(expected))
    c.reservation_address = NO_RESERVATION
    c.set_cr(0, 0, 0, c.get(stored), c.so)


@insn("sync", "lwsync", "eieio")
def barrier(c: Ppc) -> None:
    """Order storage accesses"""
    c.fence()
