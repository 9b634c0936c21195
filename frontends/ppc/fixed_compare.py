"""Fixed-point compare, trap and select: Book I, 3.3.9 and 3.3.10."""

from __future__ import annotations

from collections.abc import Callable

from frontends.insn import insn
from frontends.ppc.context import Field, Ppc
from tcg.frontend import GuestException
from tcg.ir import Value


def compare_signed(c: Ppc, crfd: Field, a: Value, b: Value) -> None:
    """CR field <- a < b, a > b, a = b as signed numbers, XER.SO"""
    c.set_cr(crfd, a.slt(b), b.slt(a), a.eq(b), c.so)


def compare_unsigned(c: Ppc, crfd: Field, a: Value, b: Value) -> None:
    """CR field <- a < b, a > b, a = b as unsigned numbers, XER.SO"""
    c.set_cr(crfd, a.ult(b), b.ult(a), a.eq(b), c.so)


@insn
def cmpi(c: Ppc, crfd: Field, ra: Field, si: Field) -> None:
    """CR[BF] <- (rA) compared with SI"""
    compare_signed(c, crfd, c.gpr[ra], c.value(c.word, si))


@insn
def cmpli(c: Ppc, crfd: Field, ra: Field, ui: Field) -> None:
    """CR[BF] <- (rA) compared with UI"""
    compare_unsigned(c, crfd, c.gpr[ra], c.value(c.word, ui))


@insn
def cmp(c: Ppc, crfd: Field, ra: Field, rb: Field) -> None:
    """CR[BF] <- (rA) compared with (rB)"""
    compare_signed(c, crfd, c.gpr[ra], c.gpr[rb])


@insn
def cmpl(c: Ppc, crfd: Field, ra: Field, rb: Field) -> None:
    """CR[BF] <- (rA) compared with (rB)"""
    compare_unsigned(c, crfd, c.gpr[ra], c.gpr[rb])


def trap_if(c: Ppc, to: Field, a: Value, b: Value) -> None:
    """Trap if a condition that TO selects holds."""
    selected = int(to)
    if selected == 31:
        c.raise_(GuestException.TRAP, c.pc)
        return
    tests: tuple[tuple[int, Callable[[], Value]], ...] = (
        (16, lambda: a.slt(b)),
        (8, lambda: b.slt(a)),
        (4, lambda: a.eq(b)),
        (2, lambda: a.ult(b)),
        (1, lambda: b.ult(a)),
    )
    holding = [test() for bit, test in tests if selected & bit]
    if not holding:
        return
    condition = holding[0]
    for other in holding[1:]:
        condition = condition | other
    c.raise_(GuestException.TRAP, c.pc, when=condition)


@insn
def twi(c: Ppc, to: Field, ra: Field, si: Field) -> None:
    """Trap if (rA) compares with SI as TO says"""
    trap_if(c, to, c.gpr[ra], c.value(c.word, si))


@insn
def tw(c: Ppc, to: Field, ra: Field, rb: Field) -> None:
    """Trap if (rA) compares with (rB) as TO says"""
    trap_if(c, to, c.gpr[ra], c.gpr[rb])


@insn
def isel(c: Ppc, rt: Field, ra: Field, rb: Field, bc: Field) -> None:
    """rT <- (rA|0) if CR[BC] else (rB)"""
    c.gpr[rt] = c.select(c.crb[bc], c.gpr_or_zero(ra), c.gpr[rb])
