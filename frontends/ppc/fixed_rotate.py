"""Fixed-point rotates and shifts: Book I, 3.3.12."""

from __future__ import annotations

from frontends.insn import insn
from frontends.ppc.context import Field, Ppc
from tcg.fields import field_function
from tcg.ir import Value


@field_function
def rotate_mask(mb: int, me: int) -> int:
    """MASK(mb, me): ones from bit mb to bit me, counted from the left, going around the end."""
    from_mb = 0xFFFF_FFFF >> mb
    to_me = 0xFFFF_FFFF << 31 - me & 0xFFFF_FFFF
    return from_mb & to_me if mb <= me else from_mb | to_me


@insn
def rlwinm(c: Ppc, rs: Field, ra: Field, sh: Field, mb: Field, me: Field, rc: Field) -> None:
    """rA <- ROTL32((rS), SH) & MASK(MB, ME)"""
    c.set_result(ra, c.gpr[rs].rotl(sh) & rotate_mask(mb, me), rc)


@insn
def rlwnm(c: Ppc, rs: Field, ra: Field, rb: Field, mb: Field, me: Field, rc: Field) -> None:
    """rA <- ROTL32((rS), (rB)27:31) & MASK(MB, ME)"""
    c.set_result(ra, c.gpr[rs].rotl(c.gpr[rb]) & rotate_mask(mb, me), rc)


@insn
def rlwimi(c: Ppc, rs: Field, ra: Field, sh: Field, mb: Field, me: Field, rc: Field) -> None:
    """rA <- ROTL32((rS), SH) & m | (rA) & ~m, m = MASK(MB, ME)"""
    old = c.gpr[ra]
    changed = (c.gpr[rs].rotl(sh) ^ old) & rotate_mask(mb, me)
    c.set_result(ra, changed ^ old, rc)


@insn
def slw(c: Ppc, rs: Field, ra: Field, rb: Field, rc: Field) -> None:
    """rA <- (rS) << (rB)26:31; amounts from 32 up leave 0"""
    amount = c.gpr[rb]
    shifted = c.gpr[rs] << amount
    c.set_result(ra, c.select((amount & 32).ne(0), 0, shifted), rc)


@insn
def srw(c: Ppc, rs: Field, ra: Field, rb: Field, rc: Field) -> None:
    """rA <- (rS) >> (rB)26:31, zeros in; amounts from 32 up leave 0"""
    amount = c.gpr[rb]
    shifted = c.gpr[rs] >> amount
    c.set_result(ra, c.select((amount & 32).ne(0), 0, shifted), rc)


def loses_ones(value: Value, result: Value, amount: Value | Field) -> Value:
    """CA of an algebraic shift: a negative value, and ones shifted out on the right."""
    return value.slt(0) & (result << amount).ne(value)


@insn
def srawi(c: Ppc, rs: Field, ra: Field, sh: Field, rc: Field) -> None:
    """rA <- (rS) >> SH, sign in; CA"""
    value = c.gpr[rs]
    result = value.sar(sh)
    c.ca = loses_ones(value, result, sh)
    c.set_result(ra, result, rc)


@insn
def sraw(c: Ppc, rs: Field, ra: Field, rb: Field, rc: Field) -> None:
    """rA <- (rS) >> (rB)26:31, sign in; amounts from 32 up leave signs; CA"""
    value, amount = c.gpr[rs], c.gpr[rb]
    is_all = (amount & 32).ne(0)
    shifted = value.sar(amount)
    signs = value.sar(c.width - 1)
    c.ca = c.select(is_all, signs.ne(0), loses_ones(value, shifted, amount))
    c.set_result(ra, c.select(is_all, signs, shifted), rc)
