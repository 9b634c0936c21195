"""Floating-point compare and select: Book I, 4.6.7 and 5.1."""

from __future__ import annotations

from frontends.insn import insn
from frontends.ppc import float_nan as nan
from frontends.ppc import fpscr_bits as bits
from frontends.ppc.context import Field, Ppc
from frontends.ppc.float_arith import raise_if_enabled
from frontends.ppc.fpscr import copy_to_cr1, note
from tcg.ir import Helper
from tcg.types import F64


def compare(c: Ppc, crfd: Field, fra: Field, frb: Field, causes: Helper) -> None:
    """CR[BF], FPCC <- (frA) < (frB), >, =, unordered"""
    a, b = c.fpr[fra], c.fpr[frb]
    unordered = a.funo(b)
    c.set_cr(crfd, a.flt(b), b.flt(a), a.feq(b), unordered)
    c.fpcc_a, c.fpcc_b = a, b
    c.fprf_kind = c.fprf_kind | bits.COMPARED
    with c.when(unordered, likely=False):
        raised = c.call(causes, a, b)
        note(c, raised)
        if c.checks_floats:
            raise_if_enabled(c, raised, bits.VX)


@insn
def fcmpu(c: Ppc, crfd: Field, fra: Field, frb: Field) -> None:
    """Compare; only signalling NaNs are invalid"""
    compare(c, crfd, fra, frb, nan.COMPARE_CAUSES)


@insn
def fcmpo(c: Ppc, crfd: Field, fra: Field, frb: Field) -> None:
    """Compare; all NaNs are invalid"""
    compare(c, crfd, fra, frb, nan.ORDERED_CAUSES)


@insn
def fsel(c: Ppc, frt: Field, fra: Field, frb: Field, frc: Field, rc: Field) -> None:
    """frT <- (frC) if (frA) >= 0.0 else (frB)"""
    c.fpr[frt] = c.select(c.fpr[fra].fge(c.const(F64, 0)), c.fpr[frc], c.fpr[frb])
    if rc:
        copy_to_cr1(c)
