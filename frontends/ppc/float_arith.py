"""Floating-point arithmetic: Book I, 4.6.5.

The host computes in the format of IEEE 754 that PowerPC uses, so an operation is one native
instruction; what differs are NaN results, which are put right on a cold path.  Exceptions stay in
the host's register until somebody reads FPSCR.

A single-precision result is the double one rounded again.  For + - * / and square roots of single
operands that is exact: 53 bits are more than 2 * 24 + 2.  For multiply-add it is not: see
`round_to_odd`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from frontends.insn import Semantics, insn
from frontends.ppc import float_nan as nan
from frontends.ppc import fpscr_bits as bits
from frontends.ppc.context import Field, Ppc
from frontends.ppc.fpscr import copy_to_cr1, note, take_host_flags
from tcg.build import Builder
from tcg.frontend import GuestException
from tcg.ir import Helper, Value
from tcg.types import F32, F64, I1, I32, I64

ONE = 0x3FF0 << 48
SINGLE_NORMAL = 897 << 52
"""The least normal single, as a double."""
BELOW_SINGLE = (1 << 29) - 1
"""The bits of a double that a single has not."""


@dataclass(frozen=True, slots=True)
class Result:
    """A result, and what it was computed from: operands in the order in which their NaNs count."""

    value: Value
    operands: tuple[Value, ...]
    causes: Helper
    is_single: bool = False


def to_single(value: Value) -> Value:
    """Round to single precision."""
    return value.ftrunc(F32).fext(F64)


def nan_of(c: Ppc, result: Result) -> Value:
    """The NaN that the operation has for a result."""
    found = c.call(nan.NAN_RESULT[len(result.operands)], *result.operands)
    if not result.is_single:
        return found
    return (found.bitcast(I64) & ~BELOW_SINGLE).bitcast(F64)


def set_fpr(c: Ppc, frt: Field, value: Value, is_single: bool) -> None:
    """frT and FPRF <- value"""
    c.fpr[frt] = value
    c.fprf_value = value
    c.fprf_kind = bits.SINGLE_RESULT if is_single else bits.DOUBLE_RESULT


def finish(c: Ppc, frt: Field, result: Result, rc: Field) -> None:
    """frT <- result; FPRF; exceptions; CR1 if Rc"""
    if c.checks_floats:
        finish_checked(c, frt, result, rc)
        return
    set_fpr(c, frt, result.value, result.is_single)
    with c.when(result.value.funo(result.value), likely=False):
        set_fpr(c, frt, nan_of(c, result), result.is_single)
        note(c, c.call(result.causes, *result.operands))
    if rc:
        copy_to_cr1(c)


def finish_checked(c: Ppc, frt: Field, result: Result, rc: Field) -> None:
    """The same, raising exceptions that are enabled (Book I, 4.4).

    Invalid operation and division by zero leave frT alone.  The others are raised after it is
    written; its exponent is not adjusted.
    """
    value, raised = c.local(F64), c.local(I32)
    c.put(value, result.value)
    c.put(raised, take_host_flags(c))
    with c.when(result.value.funo(result.value), likely=False):
        c.put(value, nan_of(c, result))
        c.put(raised, c.get(raised) | c.call(result.causes, *result.operands))
    note(c, c.get(raised))
    raise_if_enabled(c, c.get(raised), bits.VX | bits.ZX)
    set_fpr(c, frt, c.get(value), result.is_single)
    if rc:
        copy_to_cr1(c)
    raise_if_enabled(c, c.get(raised), bits.OX | bits.UX | bits.XX)


def raise_if_enabled(c: Ppc, raised: Value, which: int) -> None:
    """Raise if one of these exceptions has happened and FPSCR enables it."""
    if which & bits.VX:
        raised = raised | c.select((raised & bits.VX_CAUSES).ne(0), bits.VX, 0)
    enabled = raised & which & c.fpscr << bits.ENABLE_SHIFT
    c.raise_(GuestException.FLOAT, c.pc, when=enabled.ne(0) & c.traps_floats)


# -- two operands ----------------------------------------------------------------------------------

Binary = Callable[[Value, Value], Value]
Pair = tuple[Semantics, Semantics]


def binary(name: str, compute: Binary, causes: Helper) -> Pair:
    """frT <- compute of (frA), (frB), in double and in single precision"""

    @insn(name)
    def double(c: Ppc, frt: Field, fra: Field, frb: Field, rc: Field) -> None:
        a, b = c.fpr[fra], c.fpr[frb]
        finish(c, frt, Result(compute(a, b), (a, b), causes), rc)

    @insn(name + "s")
    def single(c: Ppc, frt: Field, fra: Field, frb: Field, rc: Field) -> None:
        a, b = c.fpr[fra], c.fpr[frb]
        finish(c, frt, Result(to_single(compute(a, b)), (a, b), causes, True), rc)

    return double, single


fadd, fadds = binary("fadd", lambda a, b: a.fadd(b), nan.SUM_CAUSES)
fsub, fsubs = binary("fsub", lambda a, b: a.fsub(b), nan.SUM_CAUSES)
fdiv, fdivs = binary("fdiv", lambda a, b: a.fdiv(b), nan.QUOTIENT_CAUSES)


@insn
def fmul(c: Ppc, frt: Field, fra: Field, frc: Field, rc: Field) -> None:
    """frT <- (frA) * (frC)"""
    x, y = c.fpr[fra], c.fpr[frc]
    finish(c, frt, Result(x.fmul(y), (x, y), nan.PRODUCT_CAUSES), rc)


@insn
def fmuls(c: Ppc, frt: Field, fra: Field, frc: Field, rc: Field) -> None:
    """frT <- (frA) * (frC)"""
    x, y = c.fpr[fra], c.fpr[frc]
    finish(c, frt, Result(to_single(x.fmul(y)), (x, y), nan.PRODUCT_CAUSES, True), rc)


# -- one operand -----------------------------------------------------------------------------------


def unary(
    name: str, compute: Callable[[Ppc, Value], Value], causes: Helper, is_single: bool = False
) -> Semantics:
    """frT <- compute of (frB)"""

    @insn(name)
    def operation(c: Ppc, frt: Field, frb: Field, rc: Field) -> None:
        operand = c.fpr[frb]
        value = compute(c, operand)
        if is_single:
            value = to_single(value)
        finish(c, frt, Result(value, (operand,), causes, is_single), rc)

    return operation


def reciprocal(c: Ppc, value: Value) -> Value:
    """1 / value: the estimates are exact, as with QEMU."""
    return c.const(F64, ONE).fdiv(value)


# fmt: off
fsqrt   = unary("fsqrt",   lambda _, b: b.fsqrt(), nan.ROOT_CAUSES)
fsqrts  = unary("fsqrts",  lambda _, b: b.fsqrt(), nan.ROOT_CAUSES, is_single=True)
fres    = unary("fres",    reciprocal, nan.ONE_OPERAND_CAUSES, is_single=True)
frsqrte = unary("frsqrte", lambda c, b: reciprocal(c, b.fsqrt()), nan.ROOT_CAUSES)
frsp    = unary("frsp",    lambda _, b: b, nan.ONE_OPERAND_CAUSES, is_single=True)
# fmt: on


# -- multiply-add ----------------------------------------------------------------------------------


def _round_to_odd(b: Builder, params: tuple[Value, ...]) -> Value:
    x, y, addend, total, is_nearest = params
    product = x.fmul(y)
    part = total.fsub(product)
    error = product.fsub(total.fsub(part)).fadd(addend.fsub(part))
    number = total.bitcast(I64)
    error_bits = error.bitcast(I64)
    is_outward = (number ^ error_bits).sge(0)
    neighbour = number + b.select(is_outward, 1, -1, I64)
    is_inexact = (error_bits & nan.MAGNITUDE).ne(0)
    moves = is_nearest & is_inexact & (number & 1).eq(0)
    return b.select(moves, neighbour, number).bitcast(F64)


ROUND_TO_ODD = Helper("ppc_round_to_odd", (F64, F64, F64, F64, I1), F64, _round_to_odd)
"""x * y + z rounded to odd, from x, y, z and the sum rounded to nearest.

When that is even and not exact, its neighbour on the side of the error: rounding such a double to
single is rounding once.  x * y is exact, as x and y are singles, and so is the error (Knuth's
two-sum).  In the other rounding modes rounding twice does no harm.
"""


def rounds_twice(value: Value) -> Value:
    """Rounding this double to single could differ from rounding the exact sum.

    It lies half way between two singles, or where singles have fewer bits.
    """
    number = value.bitcast(I64)
    is_half_way = (number & BELOW_SINGLE).eq(1 << 28)
    is_tiny = ((number & nan.MAGNITUDE) - 1).ult(SINGLE_NORMAL - 1)
    return is_half_way | is_tiny


def fused_single(c: Ppc, x: Value, y: Value, addend: Value) -> Value:
    """x * y + addend, rounded once to single precision."""
    total = c.fma(x, y, addend)
    value = c.local(F64)
    c.put(value, total)
    with c.when(rounds_twice(total), likely=False):
        is_nearest = (c.fpscr & bits.RN).eq(0)
        c.put(value, c.call(ROUND_TO_ODD, x, y, addend, total, is_nearest))
    return to_single(c.get(value))


def multiply_add(name: str, subtract: bool = False, negate: bool = False) -> Pair:
    """frT <- (frA) * (frC) + (frB), perhaps with (frB) or the result negated"""

    def compute(c: Ppc, fra: Field, frb: Field, frc: Field, is_single: bool) -> Result:
        x, z, y = c.fpr[fra], c.fpr[frb], c.fpr[frc]
        addend = z.fneg() if subtract else z
        value = fused_single(c, x, y, addend) if is_single else c.fma(x, y, addend)
        if negate:
            value = value.fneg()
        return Result(value, (x, z, y), nan.MULTIPLY_ADD_CAUSES, is_single)

    @insn(name)
    def double(c: Ppc, frt: Field, fra: Field, frb: Field, frc: Field, rc: Field) -> None:
        finish(c, frt, compute(c, fra, frb, frc, False), rc)

    @insn(name + "s")
    def single(c: Ppc, frt: Field, fra: Field, frb: Field, frc: Field, rc: Field) -> None:
        finish(c, frt, compute(c, fra, frb, frc, True), rc)

    return double, single


fmadd, fmadds = multiply_add("fmadd")
fmsub, fmsubs = multiply_add("fmsub", subtract=True)
fnmadd, fnmadds = multiply_add("fnmadd", negate=True)
fnmsub, fnmsubs = multiply_add("fnmsub", subtract=True, negate=True)
