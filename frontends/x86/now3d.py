"""3DNow!: two singles in an MMX register (AMD64 Architecture Programmer's Manual vol. 5).

Arithmetic is SSE's, with its rounding mode and its flags.  It differs from the processors' in what
their manual warns of: there, results that are too large are the largest number, denormals are
zeros, and NaNs and infinities mean nothing.  Reciprocals come out exact at once, so the steps that
would refine them give their second operand.
"""

from __future__ import annotations

from frontends.insn import insn
from frontends.x86.context import X86
from frontends.x86.mmx import emms, result, together, widened
from frontends.x86.vectors import lanes
from tcg.ir import Value
from tcg.types import I8, I16, I32, V4F32, Type

ONE = 0x3F80_0000
SIGNS = 0x8000_0000_8000_0000


@insn
def femms(c: X86) -> None:
    """As EMMS: what the registers hold may be lost, but is not"""
    emms(c)


# fmt: off
ARITHMETIC = {
    "pfadd": "addps", "pfsub": "subps", "pfmul": "mulps", "pfmin": "minps", "pfmax": "maxps",
}
# fmt: on


@insn(*ARITHMETIC)
def arithmetic(c: X86, first: Value, second: Value) -> Value:
    """dst <- first op second"""
    return result(c, c.simd(ARITHMETIC[c.row.name], widened(c, first), widened(c, second)))


@insn
def pfsubr(c: X86, first: Value, second: Value) -> Value:
    """dst <- second - first"""
    return result(c, c.simd("subps", widened(c, second), widened(c, first)))


EQUAL, LESS, LESS_OR_EQUAL = 0, 1, 2


def compared(c: X86, first: Value, second: Value, predicate: int) -> Value:
    """All ones where first and second are so (SDM vol. 2, CMPPS)."""
    return result(c, c.simd("cmpps", widened(c, first), widened(c, second), imm=predicate))


@insn
def pfcmpeq(c: X86, first: Value, second: Value) -> Value:
    """dst <- all ones where they are equal"""
    return compared(c, first, second, EQUAL)


@insn
def pfcmpgt(c: X86, first: Value, second: Value) -> Value:
    """dst <- all ones where first is greater"""
    return compared(c, second, first, LESS)


@insn
def pfcmpge(c: X86, first: Value, second: Value) -> Value:
    """dst <- all ones where first is greater or equal"""
    return compared(c, second, first, LESS_OR_EQUAL)


# -- neighbours ------------------------------------------------------------------------------------


def neighbours(c: X86, first: Value, second: Value) -> tuple[Value, Value]:
    """The even and the odd singles of first, then second, each in the lower half of a register."""
    both = lanes(together(c, first, second), I32)
    even, odd = (c.shuffle(both, both, (n, n + 2, n, n + 2)) for n in (0, 1))
    return even, odd


@insn
def pfacc(c: X86, first: Value, second: Value) -> Value:
    """dst <- first's sum, second's sum"""
    return result(c, c.simd("addps", *neighbours(c, first, second)))


@insn
def pfnacc(c: X86, first: Value, second: Value) -> Value:
    """dst <- first's difference, second's difference"""
    return result(c, c.simd("subps", *neighbours(c, first, second)))


@insn
def pfpnacc(c: X86, first: Value, second: Value) -> Value:
    """dst <- first's difference, second's sum"""
    even, odd = neighbours(c, first, second)
    difference = result(c, c.simd("subps", even, odd)) & 0xFFFF_FFFF
    return difference | result(c, c.simd("addps", even, odd)) & 0xFFFF_FFFF << 32


# -- reciprocals -----------------------------------------------------------------------------------


def twice(c: X86, number: Value) -> Value:
    """The lowest single in both places."""
    low = lanes(number, I32)
    return result(c, c.shuffle(low, low, (0, 0, 0, 0)))


@insn
def pfrcp(c: X86, src: Value) -> Value:
    """dst <- 1 / src's lower single, twice"""
    return twice(c, c.simd("divps", c.splat(V4F32, ONE), widened(c, src)))


@insn
def pfrsqrt(c: X86, src: Value) -> Value:
    """dst <- 1 / the root of src's lower single, which keeps its sign; twice"""
    root = c.simd("sqrtps", widened(c, src & ~SIGNS))
    found = twice(c, c.simd("divps", c.splat(V4F32, ONE), root))
    sign = src & 0x8000_0000
    return found | sign | sign << 32


@insn("pfrcpit1", "pfrcpit2", "pfrsqit1")
def refine(c: X86, first: Value, second: Value) -> Value:
    """dst <- the reciprocal, which was right before the first step; only the last result counts"""
    return second


# -- integers --------------------------------------------------------------------------------------


@insn
def pi2fd(c: X86, src: Value) -> Value:
    """dst <- two singles from two integers"""
    return result(c, c.simd("cvtdq2ps", widened(c, src)))


def low_words(c: X86, src: Value) -> Value:
    """The lower words of two doublewords, widened with their signs."""
    value = lanes(widened(c, src), I32)
    half = c.splat(value.type, 16)
    return (value << half).sar(half)


@insn
def pi2fw(c: X86, src: Value) -> Value:
    """dst <- two singles from the lower words"""
    return result(c, c.simd("cvtdq2ps", low_words(c, src)))


@insn
def pf2id(c: X86, src: Value) -> Value:
    """dst <- two integers, towards zero; what is too large becomes the nearest there is"""
    return saturated(c, src, I32)


@insn
def pf2iw(c: X86, src: Value) -> Value:
    """dst <- two words, towards zero and saturated, widened with their signs"""
    return saturated(c, src, I16)


def saturated(c: X86, src: Value, type_: Type) -> Value:
    """Both singles as integers that a word or a doubleword can hold."""
    value = widened(c, src).bitcast(V4F32)
    parts = [c.extract(value, n).ftosi(I32) for n in (0, 1)]
    if type_ is I16:
        parts = [_held(c, part) for part in parts]
    low, high = (part.zext(src.type) for part in parts)
    return low | high << 32


def _held(c: X86, value: Value) -> Value:
    low = c.select(value.slt(-0x8000), -0x8000, value)
    return c.select(low.sgt(0x7FFF), 0x7FFF, low)


@insn
def pmulhrw(c: X86, first: Value, second: Value) -> Value:
    """dst <- the high halves of products, rounded"""
    a, b = lanes(widened(c, first), I16), lanes(widened(c, second), I16)
    high, low = a.smulh(b), a * b
    return result(c, high + (low >> c.splat(low.type, 15)))


@insn
def pavgusb(c: X86, first: Value, second: Value) -> Value:
    """dst <- means of unsigned bytes, rounded up"""
    a, b = lanes(widened(c, first), I8), lanes(widened(c, second), I8)
    return result(c, a.uavg(b))


@insn
def pswapd(c: X86, src: Value) -> Value:
    """dst <- src with its halves exchanged"""
    return src.rotl(32)
