"""Decimal arithmetic on AL and AH, not in 64-bit mode (SDM vol. 1, 7.3.3).

OF, and after AAA and AAS what else is undefined, is as docs/x86.md says.
"""

from __future__ import annotations

from frontends.insn import insn
from frontends.x86.context import X86
from frontends.x86.state import AX
from tcg.frontend import GuestException
from tcg.ir import Value
from tcg.types import I8, I16


def _al(c: X86) -> Value:
    return c.read_gpr(AX, 1)


def _adjust(c: X86, sign: int) -> None:
    """AL <- AL +- 6 and +- 60h where a digit is above 9 or there was a carry (DAA, DAS)."""
    al, carry = _al(c), c.flags.cf
    low = (al & 15).ugt(9) | c.flags.adjust
    high = al.ugt(0x99) | carry
    six = c.select(low, sign * 6, 0, I8)
    borrow = al.ult(6) if sign < 0 else al.ugt(0xFF - 6)
    result = al + six + c.select(high, sign * 0x60, 0, I8)
    c.write_gpr(AX, 1, result)
    c.flags.set_result(result)
    c.flags.set_adjust(low)
    c.flags.set(cf=high | (low & borrow), of=0)


@insn
def daa(c: X86) -> None:
    """AL <- packed decimal after an addition"""
    _adjust(c, 1)


@insn
def das(c: X86) -> None:
    """AL <- packed decimal after a subtraction"""
    _adjust(c, -1)


def _adjust_unpacked(c: X86, sign: int) -> None:
    """AX <- AX +- 106h where the digit is above 9 or there was a carry; AL <- its low digit."""
    ax = c.read_gpr(AX, 2)
    needed = (ax & 15).ugt(9) | c.flags.adjust
    changed = c.select(needed, ax + sign * 0x106, ax)
    c.write_gpr(AX, 2, changed & 0xFF0F)
    c.flags.set_result((changed & 15).trunc(I8))
    c.flags.set_adjust(needed)
    c.flags.set(cf=needed, of=0)


@insn
def aaa(c: X86) -> None:
    """AX <- unpacked decimal after an addition"""
    _adjust_unpacked(c, 1)


@insn
def aas(c: X86) -> None:
    """AX <- unpacked decimal after a subtraction"""
    _adjust_unpacked(c, -1)


def _set_result(c: X86, result: Value) -> None:
    c.flags.set_result(result)
    c.flags.set(cf=0, of=0, af=0)


@insn
def aam(c: X86, base: Value) -> None:
    """AH <- AL / base, AL <- the rest; #DE if the base is zero"""
    al = _al(c)
    c.fault(GuestException.DIVIDE, when=base.eq(0))
    high, low = al.udiv(base), al.urem(base)
    c.write_gpr(AX, 2, high.zext(I16) << 8 | low.zext(I16))
    _set_result(c, low)


@insn
def aad(c: X86, base: Value) -> None:
    """AL <- AL + AH * base, AH <- 0"""
    ax = c.read_gpr(AX, 2)
    result = ax.trunc(I8) + (ax >> 8).trunc(I8) * base
    c.write_gpr(AX, 2, result.zext(I16))
    _set_result(c, result)


@insn
def salc(c: X86) -> None:
    """AL <- FFh if CF is set, else 0 (not in the manual, in all its processors)"""
    c.write_gpr(AX, 1, c.flags.cf.sext(I8))
