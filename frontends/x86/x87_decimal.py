"""Packed decimal numbers: eighteen digits and a sign (SDM vol. 1, 4.7 and 8.3.3)."""

from __future__ import annotations

from frontends.insn import insn
from frontends.x86 import fpu
from frontends.x86.context import X86
from tcg import ops
from tcg.ir import Value
from tcg.types import F80, I16, I64, VOID

LIMIT = 10**18
STEPS = (
    (4, 10, 0x0F0F_0F0F_0F0F_0F0F),
    (8, 100, 0x00FF_00FF_00FF_00FF),
    (16, 10**4, 0xFFFF_0000_FFFF),
    (32, 10**8, 0xFFFF_FFFF),
)
"""How parts become parts of twice the size: bits of one, its weight, a mask of every other one."""


def from_digits(digits: Value) -> Value:
    """Sixteen decimal digits as a number."""
    for bits, weight, mask in STEPS:
        digits = (digits & mask) + (digits >> bits & mask) * weight
    return digits


def to_digits(value: Value) -> Value:
    """A number below 10**16 as decimal digits: parts are split in two, again and again."""
    for bits, weight, _ in reversed(STEPS):
        value = _split(value, 2 * bits, weight)
    return value


def _split(value: Value, bits: int, by: int) -> Value:
    """Every part of so many bits as its quotient and its remainder, in halves of it."""
    result = None
    for at in range(0, 64, bits):
        part = value >> at & (1 << bits) - 1
        pair = (part.udiv(by) << bits // 2 | part.urem(by)) << at
        result = pair if result is None else result | pair
    assert result is not None
    return result


@insn
def fbld(c: X86, source: Value) -> None:
    """push a packed decimal number"""
    fpu.begin(c)
    low = from_digits(c.load_le(I64, source))
    last = c.load_le(I16, source + 8)
    high = from_digits((last & 0xFF).zext(I64))
    value = (low + high * 10**16).sitof(F80)
    fpu.push(c, c.select(last.slt(0), value.fneg(), value))


@insn
def fbstp(c: X86, target: Value) -> None:
    """target <- ST(0) as a packed decimal number; pop"""
    c.touch(target, I64, I16)
    fpu.begin(c)
    (value,) = fpu.take(c, 0)
    sign = fpu.codes_of(c, fpu.function(c, "class", value))["c1"]
    before = fpu.sticky_flags(c)
    rounded = c.emit(ops.FTOINT, I64, (value,))
    magnitude = c.select(rounded.slt(0), -rounded, rounded)
    fits = magnitude.ult(LIMIT)
    with c.when(~fits, likely=False):
        c.emit(ops.F80SET, VOID, (before | fpu.INVALID,))
    digits = to_digits(magnitude.urem(10**16))
    high = to_digits(magnitude.udiv(10**16)).trunc(I16) | c.select(sign, 0x8000, 0, I16)
    with fpu.commit(c):
        c.store_le(target + 8, c.select(fits, high, 0xFFFF))
        c.store_le(target, c.select(fits, digits, 0xC000_0000_0000_0000))
        fpu.set_codes(c, c1=0)
        fpu.pop(c)
