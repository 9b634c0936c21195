"""Multiplication and division (SDM vol. 1, 7.3.2).

What the manual leaves undefined is as on Zen: multiplications leave SF ZF AF PF alone, divisions
clear SF ZF PF, set AF and leave CF and OF (docs/x86.md).
"""

from __future__ import annotations

from frontends.insn import insn
from frontends.x86.context import X86
from frontends.x86.shift import AF_SET
from frontends.x86.state import AX, DX
from tcg.frontend import GuestException
from tcg.ir import Value
from tcg.types import I8, I16, I32, I64, I128, Type

TWICE: dict[Type, Type] = {I8: I16, I16: I32, I32: I64, I64: I128}


def accumulator(c: X86, type_: Type) -> Value:
    """AL, AX, EAX or RAX."""
    return c.read_gpr(AX, type_.bytes)


def dividend(c: X86, type_: Type) -> Value:
    """AX, DX:AX, EDX:EAX or RDX:RAX: twice as wide as `type_`."""
    if type_ is I8:
        return c.read_gpr(AX, 2)
    wide = TWICE[type_]
    high = c.read_gpr(DX, type_.bytes).zext(wide)
    return high << type_.bits | accumulator(c, type_).zext(wide)


def write_pair(c: X86, low: Value, high: Value) -> None:
    """AH:AL, DX:AX, EDX:EAX or RDX:RAX <- two halves."""
    if low.type is I8:
        c.write_gpr(AX, 2, high.zext(I16) << 8 | low.zext(I16))
        return
    c.write_gpr(AX, low.type.bytes, low)
    c.write_gpr(DX, high.type.bytes, high)


def write_product(c: X86, product: Value, type_: Type) -> tuple[Value, Value]:
    """The product into its pair of registers; gives its halves."""
    low, high = product.trunc(type_), (product >> type_.bits).trunc(type_)
    if type_ is I8:
        c.write_gpr(AX, 2, product)
    else:
        write_pair(c, low, high)
    return low, high


@insn
def mul(c: X86, src: Value) -> None:
    """rDX:rAX <- rAX * src, unsigned; CF and OF tell that the high half is not zero"""
    wide = TWICE[src.type]
    product = accumulator(c, src.type).zext(wide) * src.zext(wide)
    _, high = write_product(c, product, src.type)
    large = high.ne(0)
    c.flags.set(cf=large, of=large)


@insn
def imul(c: X86, first: Value, second: Value | None = None) -> Value | None:
    """Signed product: rDX:rAX <- rAX * first, or dst <- first * second, cut off at its width.

    CF and OF tell that the high half is not the low one's sign.
    """
    type_ = first.type
    wide = TWICE[type_]
    other = accumulator(c, type_) if second is None else second
    product = first.sext(wide) * other.sext(wide)
    result = product.trunc(type_) if second is None else first * other
    high = (product >> type_.bits).trunc(type_)
    large = high.ne(result.sar(type_.bits - 1))
    c.flags.set(cf=large, of=large)
    if second is not None:
        return result
    write_product(c, product, type_)
    return None


def _set_division_flags(c: X86) -> None:
    c.flags.set(zf=0, sf=0, pf=1, af=AF_SET)


@insn
def div(c: X86, src: Value) -> None:
    """rAX <- rDX:rAX / src, rDX <- the rest, unsigned; #DE if the quotient is too large"""
    type_ = src.type
    wide = TWICE[type_]
    number = dividend(c, type_)
    high = (number >> type_.bits).trunc(type_)
    c.fault(GuestException.DIVIDE, when=src.ule(high))
    if type_ is I64:
        low = accumulator(c, type_)
        quotient = c.udiv2(high, low, src)
        rest = low - quotient * src
    else:
        divisor = src.zext(wide)
        result = number.udiv(divisor)
        quotient, rest = result.trunc(type_), (number - result * divisor).trunc(type_)
    write_pair(c, quotient, rest)
    _set_division_flags(c)


@insn
def idiv(c: X86, src: Value) -> None:
    """rAX <- rDX:rAX / src towards zero, rDX <- the rest, signed; #DE if that is too large"""
    type_ = src.type
    if type_ is I64:
        quotient, rest = _divide_128(c, src)
    else:
        wide = TWICE[type_]
        number, divisor = dividend(c, type_), src.sext(wide)
        result = number.sdiv(divisor)
        quotient = result.trunc(type_)
        c.fault(GuestException.DIVIDE, when=src.eq(0) | result.ne(quotient.sext(wide)))
        rest = (number - result * divisor).trunc(type_)
    write_pair(c, quotient, rest)
    _set_division_flags(c)


def _divide_128(c: X86, src: Value) -> tuple[Value, Value]:
    """RDX:RAX / src: the magnitudes are divided, the signs put on again."""
    low, high = c.read_gpr(AX, 8), c.read_gpr(DX, 8)
    sign, divisor_sign = high.sar(63), src.sar(63)
    borrow = (low.ne(0) & high.slt(0)).zext(I64)
    size_low = (low ^ sign) - sign
    size_high = (high ^ sign) - sign - borrow
    divisor = (src ^ divisor_sign) - divisor_sign
    c.fault(GuestException.DIVIDE, when=divisor.ule(size_high))
    size = c.udiv2(size_high, size_low, divisor)
    negative = sign ^ divisor_sign
    largest = 0x7FFF_FFFF_FFFF_FFFF - negative
    c.fault(GuestException.DIVIDE, when=largest.ult(size))
    quotient = (size ^ negative) - negative
    return quotient, low - quotient * src


# -- widening the accumulator ----------------------------------------------------------------------


@insn
def cbw(c: X86) -> None:
    """rAX <- its lower half, widened with its sign"""
    size = int(c.opsize)
    half = c.read_gpr(AX, size // 2)
    c.write_gpr(AX, size, half.sext(TWICE[half.type]))


@insn
def cwd(c: X86) -> None:
    """rDX <- the sign of rAX"""
    size = int(c.opsize)
    value = c.read_gpr(AX, size)
    c.write_gpr(DX, size, value.sar(value.type.bits - 1))
