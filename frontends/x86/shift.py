"""Shifts and rotates (SDM vol. 1, 7.3.6).

Amounts count modulo 32, or 64 for operands of 64 bits; an amount of zero leaves all flags alone.
OF is defined for an amount of one only, CF of SHL and SHR only up to the operand's width, AF never:
all are set as Zen does, whose rules are the same for every amount (docs/x86.md).
"""

from __future__ import annotations

from frontends.insn import insn
from frontends.x86.context import X86
from tcg.ir import Value
from tcg.types import I1, I8, I32, I64, I128, Type

AF_SET = 0x10


def shift_amount(c: X86, value: Value, count: Value) -> Value:
    """The amount as a value of the operand's type; what is set counts only if it is not zero.

    An amount in the instruction is asked for in Python whether it is zero, as it never is.
    """
    mask = 63 if value.type.bits == 64 else 31
    amount = count & mask
    if c.row.operands[-1].letter == "I":
        if (c.imm & mask) == 0:
            c.flags.only_when(c.const(I1, 0))
    elif not count.is_const:
        c.flags.only_when(amount.ne(0))
    return amount if value.type is I8 else amount.zext(value.type)


def set_shift_flags(c: X86, result: Value, carry: Value, overflow: Value) -> None:
    """The flags of a shift: SF ZF PF of its result."""
    c.flags.set_result(result)
    c.flags.set(cf=carry, of=overflow, af=AF_SET)


def top_bits_differ(value: Value) -> Value:
    """Whether the two highest bits differ: OF of what goes right."""
    return (value ^ (value << 1)).slt(0)


def bit(value: Value, number: Value) -> Value:
    """A bit of a value that is not known to have so many."""
    return (value >> number).trunc(I1)


# -- shifts ----------------------------------------------------------------------------------------


@insn
def shl(c: X86, dst: Value, count: Value) -> Value:
    """dst <- dst << count; CF <- the last bit shifted out"""
    amount = shift_amount(c, dst, count)
    if dst.type.bits >= 32:
        result = dst << amount
        carry = (dst << (amount - 1)).slt(0)
    else:
        wide = dst.zext(I32) << amount.zext(I32)
        result = wide.trunc(dst.type)
        carry = (wide >> dst.type.bits).trunc(I1)
    set_shift_flags(c, result, carry, carry ^ result.slt(0))
    return result


@insn
def shr(c: X86, dst: Value, count: Value) -> Value:
    """dst <- dst >> count, zeros in; CF <- the last bit shifted out"""
    amount = shift_amount(c, dst, count)
    if dst.type.bits >= 32:
        result = dst >> amount
        carry = bit(dst, amount - 1)
    else:
        wide, by = dst.zext(I32), amount.zext(I32)
        result = (wide >> by).trunc(dst.type)
        carry = bit(wide, by - 1)
    set_shift_flags(c, result, carry, top_bits_differ(result))
    return result


@insn
def sar(c: X86, dst: Value, count: Value) -> Value:
    """dst <- dst >> count, the sign in; CF <- the last bit shifted out"""
    amount = shift_amount(c, dst, count)
    if dst.type.bits >= 32:
        result = dst.sar(amount)
        carry = bit(dst, amount - 1)
    else:
        wide, by = dst.sext(I32), amount.zext(I32)
        result = wide.sar(by).trunc(dst.type)
        carry = wide.sar(by - 1).trunc(I1)
    set_shift_flags(c, result, carry, c.const(I1, 0))
    return result


@insn
def shld(c: X86, dst: Value, src: Value, count: Value) -> Value:
    """dst <- dst << count, the high bits of src in; a word goes on with src again"""
    bits = dst.type.bits
    amount = shift_amount(c, dst, count)
    wide = _joined(dst, src) if bits > 16 else _joined(_joined(dst, src), src.zext(I32) << bits)
    wide_by = amount.zext(wide.type)
    result = ((wide << wide_by) >> (wide.type.bits - bits)).trunc(dst.type)
    if bits > 16:
        carry, sign = (dst << (amount - 1)).slt(0), (dst << amount).slt(0)
    else:
        alone = dst.zext(I32) << amount.zext(I32)
        carry, sign = (alone >> bits).trunc(I1), alone.trunc(dst.type).slt(0)
    set_shift_flags(c, result, carry, carry ^ sign)
    return result


@insn
def shrd(c: X86, dst: Value, src: Value, count: Value) -> Value:
    """dst <- dst >> count, the low bits of src in; a word goes on with src again"""
    amount = shift_amount(c, dst, count)
    wide = _joined(src, dst)
    if dst.type.bits == 16:
        wide = _joined(src.zext(I32), wide)
    result = (wide >> amount.zext(wide.type)).trunc(dst.type)
    alone = dst.zext(I32) if dst.type.bits == 16 else dst
    carry = bit(alone, amount.zext(alone.type) - 1)
    set_shift_flags(c, result, carry, top_bits_differ(result))
    return result


_WIDER: dict[Type, Type] = {I32: I64, I64: I128}


def _joined(high: Value, low: Value) -> Value:
    """Both in a value of twice the width."""
    wide = _WIDER.get(high.type, I32)
    return high.zext(wide) << high.type.bits | low.zext(wide)


# -- rotates: CF and OF only -----------------------------------------------------------------------


@insn
def rol(c: X86, dst: Value, count: Value) -> Value:
    """dst <- dst rotated left; CF <- the bit that went around last"""
    result = dst.rotl(shift_amount(c, dst, count))
    carry = result.trunc(I1)
    c.flags.set(cf=carry, of=carry ^ result.slt(0))
    return result


@insn
def ror(c: X86, dst: Value, count: Value) -> Value:
    """dst <- dst rotated right; CF <- the bit that went around last"""
    result = dst.rotl(-shift_amount(c, dst, count))
    c.flags.set(cf=result.slt(0), of=top_bits_differ(result))
    return result


@insn
def rcl(c: X86, dst: Value, count: Value) -> Value:
    """CF:dst <- CF:dst rotated left"""
    wide, by = _with_carry(c, dst, count)
    turned = wide << by | wide >> (dst.type.bits + 1 - by)
    result, carry = turned.trunc(dst.type), (turned >> dst.type.bits).trunc(I1)
    c.flags.set(cf=carry, of=carry ^ result.slt(0))
    return result


@insn
def rcr(c: X86, dst: Value, count: Value) -> Value:
    """dst:CF <- dst:CF rotated right"""
    wide, by = _with_carry(c, dst, count)
    turned = wide >> by | wide << (dst.type.bits + 1 - by)
    result, carry = turned.trunc(dst.type), (turned >> dst.type.bits).trunc(I1)
    c.flags.set(cf=carry, of=top_bits_differ(result))
    return result


def _with_carry(c: X86, dst: Value, count: Value) -> tuple[Value, Value]:
    """CF above the operand, and by how much to rotate the whole, both in a type with room."""
    bits = dst.type.bits
    wide = I128 if bits == 64 else I64
    amount = shift_amount(c, dst, count).zext(wide)
    if bits < 32:
        amount = amount.urem(bits + 1)
    return c.flags.cf.zext(wide) << bits | dst.zext(wide), amount
