"""Float arithmetic, comparison and conversion: SDM vol. 1, 10.4.1, 11.4.1, 11.5, 12.

Each is one instruction of the host, as rows of tcg/simd say: NaNs, flags and rounding are exact.
"""

from __future__ import annotations

from frontends.x86.context import X86
from frontends.x86.vectors import both, lanes, plain, vector_op
from tcg.ir import Value
from tcg.types import F32, F64, I64


def immediate(c: X86) -> int:
    """The immediate byte, which must be known: it is part of what the instruction does."""
    return int(c.imm) & 0xFF


# fmt: off
TWO_OPERANDS = (
    "addps", "addss", "addpd", "addsd", "subps", "subss", "subpd", "subsd",
    "mulps", "mulss", "mulpd", "mulsd", "divps", "divss", "divpd", "divsd",
    "minps", "minss", "minpd", "minsd", "maxps", "maxss", "maxpd", "maxsd",
    "sqrtss", "sqrtsd", "rcpss", "rsqrtss", "cvtsd2ss", "cvtss2sd",
    "haddps", "haddpd", "hsubps", "hsubpd", "addsubps", "addsubpd",
)
# fmt: on


@both(*TWO_OPERANDS)
def two_operands(c: X86, first: Value, second: Value) -> Value:
    """dst <- first op second; scalar instructions keep the rest of first"""
    return vector_op(c, plain(c.row.name), first, second)


@both("sqrtps", "sqrtpd", "rcpps", "rsqrtps", "cvtdq2ps", "cvtps2dq", "cvttps2dq")
def one_operand(c: X86, src: Value) -> Value:
    """dst <- op src"""
    return vector_op(c, plain(c.row.name), src)


@both("cvtdq2pd", "cvtps2pd", "cvtpd2ps", "cvtpd2dq", "cvttpd2dq")
def resizing_conversion(c: X86, src: Value) -> Value:
    """dst <- src's lanes, converted to others of half or twice the width"""
    name = plain(c.row.name)
    return c.simd(f"{name}_256" if c.row.vector_length == 256 else name, src)


@both("cmpps", "cmpss", "cmppd", "cmpsd", "roundss", "roundsd", "dpps", "dppd")
def two_operands_by_immediate(c: X86, first: Value, second: Value, _: Value) -> Value:
    """dst <- first op second; which operation exactly is in the immediate

    With three bits of predicate (SSE), the others are not looked at.
    """
    imm = immediate(c)
    if c.row.name.startswith("cmp"):
        imm &= 7
    elif "cmp" in c.row.name:
        imm &= 31
    return vector_op(c, plain(c.row.name), first, second, imm=imm)


@both("roundps", "roundpd")
def round_packed(c: X86, src: Value, _: Value) -> Value:
    """dst <- src, integral"""
    return vector_op(c, plain(c.row.name), src, imm=immediate(c) & 15)


# -- bits ------------------------------------------------------------------------------------------


@both("andps", "andpd", "pand")
def and_(c: X86, first: Value, second: Value) -> Value:
    """dst <- first & second"""
    return lanes(first, I64) & lanes(second, I64)


@both("andnps", "andnpd", "pandn")
def andn(c: X86, first: Value, second: Value) -> Value:
    """dst <- ~first & second"""
    return ~lanes(first, I64) & lanes(second, I64)


@both("orps", "orpd", "por")
def or_(c: X86, first: Value, second: Value) -> Value:
    """dst <- first | second"""
    return lanes(first, I64) | lanes(second, I64)


@both("xorps", "xorpd", "pxor")
def xor(c: X86, first: Value, second: Value) -> Value:
    """dst <- first ^ second; 0 if they are one register"""
    if first is second or _same_register(c):
        return c.const(first.type, 0)
    return lanes(first, I64) ^ lanes(second, I64)


def _same_register(c: X86) -> bool:
    """Both operands are one register: a common way to make zeros."""
    first = c.vvvv if c.row.vector_length else c.reg
    return isinstance(c.rm, int) and isinstance(first, int) and bool(c.rm == first)


# -- comparison into EFLAGS ------------------------------------------------------------------------


@both("comiss", "comisd", "ucomiss", "ucomisd")
def compare_scalars(c: X86, first: Value, second: Value) -> None:
    """ZF PF CF <- unordered 111, greater 000, less 001, equal 100; OF SF AF <- 0

    COMISD finds quiet NaNs invalid too, for which it is done once more beside the comparison.
    """
    name = plain(c.row.name)
    lane = F32 if name.endswith("ss") else F64
    if name.startswith("c"):
        c.simd(name, first, second)
    x, y = (c.extract(lanes(v, lane), 0) for v in (first, second))
    unordered = x.funo(y)
    c.flags.set(zf=unordered | x.feq(y), cf=unordered | x.flt(y), of=0, sf=0, af=0)
    c.flags.set_parity(unordered)


# -- general registers -----------------------------------------------------------------------------


@both("cvtsi2ss", "cvtsi2sd")
def from_integer(c: X86, first: Value, src: Value) -> Value:
    """dst <- first with src as a float in its lowest lane"""
    return c.simd(plain(c.row.name) + ("q" if src.type is I64 else "l"), first, src)


@both("cvtss2si", "cvttss2si", "cvtsd2si", "cvttsd2si")
def to_integer(c: X86, src: Value) -> Value:
    """dst <- src's lowest lane as an integer"""
    return c.simd(plain(c.row.name) + ("q" if c.opsize == 8 else "l"), src)
