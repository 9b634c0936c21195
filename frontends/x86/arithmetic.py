"""Addition, subtraction and comparison (SDM vol. 1, 7.3.2)."""

from __future__ import annotations

from frontends.insn import insn
from frontends.x86.context import X86
from tcg.ir import Value


@insn
def add(c: X86, dst: Value, src: Value) -> Value:
    """dst <- dst + src.  Sets OF SF ZF AF CF PF."""
    result = dst + src
    c.flags.set_add(dst, src, result)
    return result


@insn
def adc(c: X86, dst: Value, src: Value) -> Value:
    """dst <- dst + src + CF.  Sets OF SF ZF AF CF PF."""
    carry = c.flags.cf
    result = dst + src + carry.zext(dst.type)
    c.flags.set_add(dst, src, result, carry)
    return result


@insn
def sub(c: X86, dst: Value, src: Value) -> Value:
    """dst <- dst - src.  Sets OF SF ZF AF CF PF."""
    result = dst - src
    c.flags.set_sub(dst, src, result)
    return result


@insn
def sbb(c: X86, dst: Value, src: Value) -> Value:
    """dst <- dst - (src + CF).  Sets OF SF ZF AF CF PF."""
    borrow = c.flags.cf
    result = dst - src - borrow.zext(dst.type)
    c.flags.set_sub(dst, src, result, borrow)
    return result


@insn
def cmp(c: X86, dst: Value, src: Value) -> None:
    """dst - src, for the flags only"""
    c.flags.set_sub(dst, src, dst - src)


@insn
def inc(c: X86, dst: Value) -> Value:
    """dst <- dst + 1.  Sets OF SF ZF AF PF; CF stays."""
    result = dst + 1
    _step_flags(c, dst, result, dst.type.mask >> 1)
    return result


@insn
def dec(c: X86, dst: Value) -> Value:
    """dst <- dst - 1.  Sets OF SF ZF AF PF; CF stays."""
    result = dst - 1
    _step_flags(c, dst, result, (dst.type.mask >> 1) + 1)
    return result


def _step_flags(c: X86, dst: Value, result: Value, overflows: int) -> None:
    """Flags after counting by one, which overflows from one number only."""
    c.flags.set_result(result)
    c.flags.set(of=dst.eq(overflows), af=(dst ^ result).trunc(c.byte))


@insn
def neg(c: X86, dst: Value) -> Value:
    """dst <- 0 - dst.  Sets OF SF ZF AF CF PF."""
    result = -dst
    c.flags.set_sub(c.const(dst.type, 0), dst, result)
    c.flags.set(cf=dst.ne(0), of=dst.eq((dst.type.mask >> 1) + 1))
    return result
