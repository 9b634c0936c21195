"""Conversions to integers: Book I, 4.6.6."""

from __future__ import annotations

from frontends.insn import insn
from frontends.ppc import float_nan as nan
from frontends.ppc import fpscr_bits as bits
from frontends.ppc.context import Field, Ppc
from frontends.ppc.float_arith import raise_if_enabled
from frontends.ppc.fpscr import copy_to_cr1, note, take_host_flags
from tcg.ir import Value
from tcg.types import F64, I32, I64

TWO_TO_31 = 0x41E0 << 48
BELOW_MINUS_TWO_TO_31 = 0xC1E0_0000_0020_0000
"""-2147483649.0: the greatest integer that is too small."""


def is_in_range(c: Ppc, value: Value) -> Value:
    """The value truncates to a signed 32-bit integer."""
    low, high = c.const(F64, BELOW_MINUS_TWO_TO_31), c.const(F64, TWO_TO_31)
    return low.flt(value) & value.flt(high)


def convert(c: Ppc, frt: Field, operand: Value, integral: Value, rc: Field) -> None:
    """(frT)32:63 <- the integer, saturated; the upper half, undefined, repeats its sign"""
    fits = is_in_range(c, integral)
    number = c.local(I64)
    c.put(number, integral.ftosi(I32).sext(I64))
    invalid = c.local(I32)
    if c.checks_floats:
        c.put(invalid, take_host_flags(c))
    with c.when(~fits, likely=False):
        c.put(number, c.select(operand.funo(operand), 0x8000_0000, c.get(number)))
        causes = c.call(nan.ONE_OPERAND_CAUSES, operand) | bits.VXCVI
        if c.checks_floats:
            c.put(invalid, c.get(invalid) | causes)
        else:
            note(c, causes)
    if c.checks_floats:
        note(c, c.get(invalid))
        raise_if_enabled(c, c.get(invalid), bits.VX)
    c.fpr[frt] = c.get(number).bitcast(F64)
    if rc:
        copy_to_cr1(c)
    if c.checks_floats:
        raise_if_enabled(c, c.get(invalid), bits.XX)


@insn
def fctiwz(c: Ppc, frt: Field, frb: Field, rc: Field) -> None:
    """(frT)32:63 <- (frB) rounded towards zero"""
    operand = c.fpr[frb]
    convert(c, frt, operand, operand, rc)


@insn
def fctiw(c: Ppc, frt: Field, frb: Field, rc: Field) -> None:
    """(frT)32:63 <- (frB) rounded as RN says"""
    operand = c.fpr[frb]
    # What is far out of range must not be rounded: that could set XX.
    rounded = c.select(is_in_range(c, operand), operand, c.const(F64, 0)).frint()
    integral = c.select(is_in_range(c, operand), rounded, operand)
    convert(c, frt, operand, integral, rc)
