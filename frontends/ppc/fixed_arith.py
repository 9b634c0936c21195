"""Fixed-point arithmetic: Book I, 3.3.8.

Sums are all a + b + carry: subtraction adds the complement, as the manual defines it, so that CA
is the carry out of the sum and OV follows from the signs of the two addends.
"""

from __future__ import annotations

from collections.abc import Callable

from frontends.insn import Semantics, insn
from frontends.ppc.context import Field, Ppc
from tcg.ir import Operand, Value
from tcg.types import I64


@insn
def addi(c: Ppc, rt: Field, ra: Field, si: Field) -> None:
    """rT <- (rA|0) + SI"""
    c.gpr[rt] = c.address(ra, si)


@insn
def addis(c: Ppc, rt: Field, ra: Field, si: Field) -> None:
    """rT <- (rA|0) + (SI || 0x0000)"""
    c.gpr[rt] = c.address(ra, si << 16)


@insn
def addic(c: Ppc, rt: Field, ra: Field, si: Field) -> None:
    """rT <- (rA) + SI; CA"""
    a = c.gpr[ra]
    total = a + si
    c.gpr[rt] = total
    c.ca = total.ult(a)


@insn
def addic_rc(c: Ppc, rt: Field, ra: Field, si: Field) -> None:
    """rT <- (rA) + SI; CA, CR0"""
    addic(c, rt, ra, si)
    c.set_cr0(c.gpr[rt])


@insn
def subfic(c: Ppc, rt: Field, ra: Field, si: Field) -> None:
    """rT <- ~(rA) + SI + 1; CA"""
    a = c.gpr[ra]
    minuend = c.value(c.word, si)
    c.gpr[rt] = minuend - a
    c.ca = a.ule(minuend)


@insn
def mulli(c: Ppc, rt: Field, ra: Field, si: Field) -> None:
    """rT <- low half of (rA) * SI"""
    c.gpr[rt] = c.gpr[ra] * si


def sum_overflows(a: Value, b: Value, total: Value) -> Value:
    """Both addends have the sign that the sum has not."""
    return ((a ^ total) & (b ^ total)).slt(0)


@insn
def add(c: Ppc, rt: Field, ra: Field, rb: Field, oe: Field, rc: Field) -> None:
    """rT <- (rA) + (rB)"""
    a, b = c.gpr[ra], c.gpr[rb]
    total = a + b
    if oe:
        c.set_overflow(sum_overflows(a, b, total))
    c.set_result(rt, total, rc)


@insn
def subf(c: Ppc, rt: Field, ra: Field, rb: Field, oe: Field, rc: Field) -> None:
    """rT <- ~(rA) + (rB) + 1"""
    a, b = c.gpr[ra], c.gpr[rb]
    difference = b - a
    if oe:
        c.set_overflow(sum_overflows(~a, b, difference))
    c.set_result(rt, difference, rc)


@insn
def addc(c: Ppc, rt: Field, ra: Field, rb: Field, oe: Field, rc: Field) -> None:
    """rT <- (rA) + (rB); CA"""
    a, b = c.gpr[ra], c.gpr[rb]
    total = a + b
    c.ca = total.ult(a)
    if oe:
        c.set_overflow(sum_overflows(a, b, total))
    c.set_result(rt, total, rc)


@insn
def subfc(c: Ppc, rt: Field, ra: Field, rb: Field, oe: Field, rc: Field) -> None:
    """rT <- ~(rA) + (rB) + 1; CA"""
    a, b = c.gpr[ra], c.gpr[rb]
    difference = b - a
    c.ca = a.ule(b)
    if oe:
        c.set_overflow(sum_overflows(~a, b, difference))
    c.set_result(rt, difference, rc)


def add_with_carry(c: Ppc, rt: Field, a: Value, b: Operand, oe: Field, rc: Field) -> None:
    """rT <- a + b + CA; CA"""
    addend = c.value(c.word, b)
    partial = a + addend
    total = partial + c.ca.zext(c.word)
    c.ca = partial.ult(a) | total.ult(partial)
    if oe:
        c.set_overflow(sum_overflows(a, addend, total))
    c.set_result(rt, total, rc)


@insn
def adde(c: Ppc, rt: Field, ra: Field, rb: Field, oe: Field, rc: Field) -> None:
    """rT <- (rA) + (rB) + CA; CA"""
    add_with_carry(c, rt, c.gpr[ra], c.gpr[rb], oe, rc)


@insn
def subfe(c: Ppc, rt: Field, ra: Field, rb: Field, oe: Field, rc: Field) -> None:
    """rT <- ~(rA) + (rB) + CA; CA"""
    add_with_carry(c, rt, ~c.gpr[ra], c.gpr[rb], oe, rc)


@insn
def addme(c: Ppc, rt: Field, ra: Field, oe: Field, rc: Field) -> None:
    """rT <- (rA) + CA - 1; CA"""
    add_with_carry(c, rt, c.gpr[ra], -1, oe, rc)


@insn
def subfme(c: Ppc, rt: Field, ra: Field, oe: Field, rc: Field) -> None:
    """rT <- ~(rA) + CA - 1; CA"""
    add_with_carry(c, rt, ~c.gpr[ra], -1, oe, rc)


def add_carry(c: Ppc, rt: Field, a: Value, oe: Field, rc: Field) -> None:
    """rT <- a + CA; CA"""
    total = a + c.ca.zext(c.word)
    c.ca = total.ult(a)
    if oe:
        c.set_overflow((~a & total).slt(0))
    c.set_result(rt, total, rc)


@insn
def addze(c: Ppc, rt: Field, ra: Field, oe: Field, rc: Field) -> None:
    """rT <- (rA) + CA; CA"""
    add_carry(c, rt, c.gpr[ra], oe, rc)


@insn
def subfze(c: Ppc, rt: Field, ra: Field, oe: Field, rc: Field) -> None:
    """rT <- ~(rA) + CA; CA"""
    add_carry(c, rt, ~c.gpr[ra], oe, rc)


@insn
def neg(c: Ppc, rt: Field, ra: Field, oe: Field, rc: Field) -> None:
    """rT <- ~(rA) + 1"""
    result = -c.gpr[ra]
    if oe:
        c.set_overflow(result.eq(1 << c.width - 1))
    c.set_result(rt, result, rc)


@insn
def mullw(c: Ppc, rt: Field, ra: Field, rb: Field, oe: Field, rc: Field) -> None:
    """rT <- low half of (rA) * (rB)"""
    a, b = c.gpr[ra], c.gpr[rb]
    result = a * b
    if oe:
        product = a.sext(I64) * b.sext(I64)
        c.set_overflow(product.ne(result.sext(I64)))
    c.set_result(rt, result, rc)


def multiply_high(name: str, widen: Callable[[Value], Value]) -> Semantics:
    """mulhw and mulhwu: rT <- high half of (rA) * (rB)"""

    @insn(name)
    def multiply(c: Ppc, rt: Field, ra: Field, rb: Field, rc: Field) -> None:
        product = widen(c.gpr[ra]) * widen(c.gpr[rb])
        c.set_result(rt, (product >> 32).trunc(c.word), rc)

    return multiply


mulhw = multiply_high("mulhw", lambda value: value.sext(I64))
mulhwu = multiply_high("mulhwu", lambda value: value.zext(I64))


@insn
def divw(c: Ppc, rt: Field, ra: Field, rb: Field, oe: Field, rc: Field) -> None:
    """rT <- (rA) / (rB), signed.  Where the manual has no result it is (rA), as with QEMU."""
    a, b = c.gpr[ra], c.gpr[rb]
    by_zero = b.eq(0)
    quotient = a.sdiv(c.select(by_zero, 1, b))
    if oe:
        c.set_overflow(by_zero | b.eq(-1) & a.eq(1 << c.width - 1))
    c.set_result(rt, quotient, rc)


@insn
def divwu(c: Ppc, rt: Field, ra: Field, rb: Field, oe: Field, rc: Field) -> None:
    """rT <- (rA) / (rB), unsigned.  Where the manual has no result it is (rA), as with QEMU."""
    a, b = c.gpr[ra], c.gpr[rb]
    by_zero = b.eq(0)
    quotient = a.udiv(c.select(by_zero, 1, b))
    if oe:
        c.set_overflow(by_zero)
    c.set_result(rt, quotient, rc)
