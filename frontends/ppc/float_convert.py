"""Conversions to integers: Book I, 4.6.6."""

from __future__ import annotations

from frontends.insn import insn
from frontends.ppc import float_nan as nan
from frontends.ppc import fpscr_bits as bits
from frontends.ppc.context import Field, Ppc
from frontends.ppc.float_arith import raise_if_enabled
from frontends.ppc.fpscr import copy_to_cr1, note, take_host_flags
from tcg.build import Builder
from tcg.ir import Helper, Operand, Value
from tcg.types import F64, I32, I64

TWO_TO_31 = 0x41E0 << 48
"""2147483648.0"""
GREATEST, LEAST = 0x41DF_FFFF_FFC0_0000, 0xC1E0 << 48
"""2147483647.0 and -2147483648.0"""
BELOW_LEAST = 0xC1E0_0000_0020_0000
"""-2147483649.0"""
GREATEST_AND_HALF, LEAST_AND_HALF = 0x41DF_FFFF_FFE0_0000, 0xC1E0_0000_0010_0000
TOWARDS_ZERO, UP, DOWN = 1, 2, 3
"""RN, less 0, which is to the nearest."""


def _causes_out_of_range(b: Builder, params: tuple[Value, ...]) -> Value:
    operand, rounding = params

    def double(bits_: int) -> Value:
        return b.const(F64, bits_)

    is_nearest = rounding.eq(0)
    above = double(GREATEST).flt(operand) & operand.flt(double(TWO_TO_31))
    rounds_up = rounding.eq(UP) | is_nearest & double(GREATEST_AND_HALF).fle(operand)
    below = double(BELOW_LEAST).flt(operand) & operand.flt(double(LEAST))
    rounds_down = rounding.eq(DOWN) | is_nearest & operand.flt(double(LEAST_AND_HALF))
    is_inexact = above & ~rounds_up | below & ~rounds_down
    invalid = b.select(nan.Operand(operand).is_signalling, bits.VXCVI | bits.VXSNAN, bits.VXCVI)
    return b.select(is_inexact, bits.XX, invalid)


CAUSES_OUT_OF_RANGE = Helper("ppc_causes_out_of_range", (F64, I32), I32, _causes_out_of_range)
"""FPSCR's exceptions for what is not between the least and the greatest integer, with this RN."""


def is_in_range(c: Ppc, operand: Value) -> Value:
    """Not a NaN, and between the least and the greatest integer."""
    return c.const(F64, LEAST).fle(operand) & operand.fle(c.const(F64, GREATEST))


def saturated(c: Ppc, operand: Value) -> Value:
    """frT for what is not in range."""
    negative = c.select(operand.funo(operand), 0x8000_0000, 0xFFFF_FFFF_8000_0000, I64)
    return c.select(c.const(F64, 0).flt(operand), 0x7FFF_FFFF, negative)


def convert(c: Ppc, frt: Field, operand: Value, integral: Value, rn: Operand, rc: Field) -> None:
    """(frT)32:63 <- the integer, saturated; the upper half, undefined, repeats its sign"""
    number, raised = c.local(I64), c.local(I32)
    c.put(number, integral.ftosi(I32).sext(I64))
    if c.checks_floats:
        c.put(raised, take_host_flags(c))
    with c.when(~is_in_range(c, operand), likely=False):
        c.put(number, saturated(c, operand))
        causes = c.call(CAUSES_OUT_OF_RANGE, operand, rn)
        if c.checks_floats:
            c.put(raised, c.get(raised) | causes)
        else:
            note(c, causes)
    if c.checks_floats:
        note(c, c.get(raised))
        raise_if_enabled(c, c.get(raised), bits.VX)
    c.fpr[frt] = c.get(number).bitcast(F64)
    if rc:
        copy_to_cr1(c)
    if c.checks_floats:
        raise_if_enabled(c, c.get(raised), bits.XX)


@insn
def fctiwz(c: Ppc, frt: Field, frb: Field, rc: Field) -> None:
    """(frT)32:63 <- (frB) rounded towards zero"""
    operand = c.fpr[frb]
    convert(c, frt, operand, operand, TOWARDS_ZERO, rc)


@insn
def fctiw(c: Ppc, frt: Field, frb: Field, rc: Field) -> None:
    """(frT)32:63 <- (frB) rounded as RN says"""
    operand = c.fpr[frb]
    # What is out of range must not be rounded, as that could set XX.  It is a zero of its own sign
    # and not simply 0, as LLVM would then round first and select after.
    zero = (operand.bitcast(I64) & nan.SIGN).bitcast(F64)
    rounded = c.select(is_in_range(c, operand), operand, zero).frint()
    convert(c, frt, operand, rounded, c.fpscr & bits.RN, rc)
