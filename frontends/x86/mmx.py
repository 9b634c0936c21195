"""MMX: SSE's instructions on the lower half of a register (SDM vol. 1, 9.4).

Operands are widened with zeros, and the lower half of what the SSE instruction gives is the result.
Where halves of a register go together both operands are put into one register first.
"""

from __future__ import annotations

from collections.abc import Callable

from frontends.insn import insn
from frontends.x86 import fpu, sse_integer
from frontends.x86.context import X86
from frontends.x86.sse_float import immediate
from frontends.x86.state import DI
from frontends.x86.vectors import lanes
from tcg.ir import Value
from tcg.types import I8, I16, I32, I64, V2I64, V128, Type

WIDE = 8
"""Bytes of an MMX register."""


def widened(c: X86, value: Value) -> Value:
    """An MMX operand in the lower half of an SSE register; one of 32 bits in its quarter."""
    return c.widened(value)


def together(c: X86, low: Value, high: Value) -> Value:
    """Two MMX operands in an SSE register."""
    pair = c.insert(c.insert(c.const(V2I64, 0), 0, low), 1, high)
    return pair.bitcast(V128)


def result(c: X86, value: Value) -> Value:
    """The lower half."""
    return c.low_part(value, WIDE)


# -- as SSE has it ---------------------------------------------------------------------------------

TwoOperands = Callable[[X86, Value, Value], Value]

# fmt: off
TWO_OPERANDS: dict[TwoOperands, tuple[str, ...]] = {
    sse_integer.lane_by_lane: (
        "paddb", "paddw", "paddd", "paddq", "paddsb", "paddsw", "paddusb", "paddusw",
        "psubb", "psubw", "psubd", "psubq", "psubsb", "psubsw", "psubusb", "psubusw",
        "pmullw", "pmulhw", "pavgb", "pavgw", "pminub", "pminsw", "pmaxub", "pmaxsw",
    ),
    sse_integer.pmulhuw: ("pmulhuw",),
    sse_integer.pmuludq: ("pmuludq",),
    sse_integer.pcmpeq: ("pcmpeqb", "pcmpeqw", "pcmpeqd"),
    sse_integer.pcmpgt: ("pcmpgtb", "pcmpgtw", "pcmpgtd"),
    sse_integer.one_row: (
        "pmaddwd", "psadbw", "pmaddubsw", "pmulhrsw", "psignb", "psignw", "psignd",
    ),
    sse_integer.shift: (
        "psllw", "pslld", "psllq", "psrlw", "psrld", "psrlq", "psraw", "psrad",
    ),
}
# fmt: on
MEANINGS = {name: meaning for meaning, names in TWO_OPERANDS.items() for name in names}


@insn(*(f"{name}_Pq_Qq" for name in MEANINGS))
def two_operands(c: X86, first: Value, second: Value) -> Value:
    """dst <- first op second"""
    wide = MEANINGS[c.row.name](c, widened(c, first), widened(c, second))
    return result(c, wide)


@insn(*(f"{name}_Nq_Ib" for name in TWO_OPERANDS[sse_integer.shift]))
def shift_by_immediate(c: X86, value: Value, _: Value) -> Value:
    """dst <- value shifted"""
    return result(c, sse_integer.shift_by_immediate(c, widened(c, value)))


@insn("pabsb_Pq_Qq", "pabsw_Pq_Qq", "pabsd_Pq_Qq")
def pabs(c: X86, src: Value) -> Value:
    """dst <- magnitudes"""
    return result(c, sse_integer.pabs(c, widened(c, src)))


BITWISE: dict[str, Callable[[Value, Value], Value]] = {
    "pand": lambda a, b: a & b,
    "pandn": lambda a, b: ~a & b,
    "por": lambda a, b: a | b,
    "pxor": lambda a, b: a ^ b,
}


@insn(*(f"{name}_Pq_Qq" for name in BITWISE))
def bitwise(c: X86, first: Value, second: Value) -> Value:
    """dst <- first op second"""
    return BITWISE[c.row.name](first, second)


# -- where halves go together ----------------------------------------------------------------------


@insn("packsswb_Pq_Qq", "packssdw_Pq_Qq", "packuswb_Pq_Qq")
def pack(c: X86, first: Value, second: Value) -> Value:
    """dst <- first's lanes and then second's, of half the width"""
    both = together(c, first, second)
    return result(c, sse_integer.one_row(c, both, both))


@insn(*(f"ph{name}_Pq_Qq" for name in ("addw", "addd", "addsw", "subw", "subd", "subsw")))
def horizontal(c: X86, first: Value, second: Value) -> Value:
    """dst <- sums or differences of neighbours: first's, then second's"""
    both = together(c, first, second)
    return result(c, sse_integer.horizontal(c, both, both))


INTERLEAVED: dict[str, Type] = {"bw": I8, "wd": I16, "dq": I32}


def interleaved(c: X86, first: Value, second: Value) -> Value:
    """Lanes of two MMX operands in turn: twice as many as an MMX register has."""
    a, b = (lanes(widened(c, x), INTERLEAVED[c.row.name[-2:]]) for x in (first, second))
    count = a.type.lanes
    numbers = [at + side for at in range(count // 2) for side in (0, count)]
    return c.shuffle(a, b, numbers)


@insn(*(f"punpckl{pair}_Pq_NqMd" for pair in INTERLEAVED))
def punpckl(c: X86, first: Value, second: Value) -> Value:
    """dst <- the lower lanes of first and second in turn"""
    return result(c, interleaved(c, first, second))


@insn(*(f"punpckh{pair}_Pq_Qq" for pair in INTERLEAVED))
def punpckh(c: X86, first: Value, second: Value) -> Value:
    """dst <- the upper lanes of first and second in turn"""
    return c.extract(lanes(interleaved(c, first, second), I64), 1)


@insn("pshufb_Pq_Qq")
def pshufb(c: X86, first: Value, second: Value) -> Value:
    """dst <- bytes of first by number, three bits of it; zeros where bit 7 is set"""
    numbers = widened(c, second & 0x8787_8787_8787_8787)
    return result(c, sse_integer.one_row(c, widened(c, first), numbers))


@insn("palignr_Pq_Qq_Ib")
def palignr(c: X86, first: Value, second: Value, _: Value) -> Value:
    """dst <- eight bytes of first:second, from the byte that the immediate says"""
    count, both = min(immediate(c), 2 * WIDE), lanes(together(c, second, first), I8)
    return result(c, c.shuffle(both, c.const(both.type, 0), range(count, count + 2 * WIDE)))


@insn
def pshufw(c: X86, src: Value, _: Value) -> Value:
    """dst <- src's words by number"""
    value = lanes(widened(c, src), I16)
    numbers = sse_integer.quarters(immediate(c))
    return result(c, c.shuffle(value, value, [*numbers, 4, 5, 6, 7]))


@insn("pinsrw_Pq_RdMw_Ib")
def pinsrw(c: X86, first: Value, src: Value, _: Value) -> Value:
    """dst <- first with src in one lane"""
    value = lanes(widened(c, first), I16)
    return result(c, c.insert(value, immediate(c) & 3, src.trunc(I16)))


@insn("pextrw_Gd_Nq_Ib")
def pextrw(c: X86, src: Value, _: Value) -> Value:
    """dst <- one lane, with zeros above"""
    return c.extract(lanes(widened(c, src), I16), immediate(c) & 3).zext(I32)


@insn("pmovmskb_Gd_Nq")
def pmovmskb(c: X86, src: Value) -> Value:
    """dst <- the bytes' signs"""
    return c.simd("pmovmskb", widened(c, src))


# -- moves -----------------------------------------------------------------------------------------


@insn("movd_Pq_Ey", "movq_Pq_Qq", "movq_Qq_Pq", "movntq", "movdq2q")
def move(c: X86, src: Value) -> Value:
    """dst <- src, with zeros above"""
    return result(c, src) if src.type is V128 else src.zext(I64)


@insn("movd_Ey_Pq")
def movd(c: X86, src: Value) -> Value:
    """dst <- the lower half of src, or with REX.W all of it"""
    return src if c.opsize == 8 else src.trunc(I32)


@insn
def movq2dq(c: X86, src: Value) -> Value:
    """dst <- src, with zeros above"""
    return widened(c, src)


@insn
def maskmovq(c: X86, src: Value, mask: Value) -> None:
    """MEM(DS:rDI) <- those bytes of src that the mask's sign bits choose

    Bytes that are not chosen are written with what was read, unless none is.
    """
    signs = mask & 0x8080_8080_8080_8080
    chosen = (signs >> 7) * 0xFF
    address = c.linear(c.read_gpr(DI, int(c.addrsize)).zext(c.word))
    with c.when(signs.ne(0)):
        old = c.load_le(I64, address)
        c.store_le(address, src & chosen | old & ~chosen)


@insn
def emms(c: X86) -> None:
    """All registers are empty; TOP <- 0, which the manual leaves open"""
    fpu.begin(c)
    c.put(c.slots["fpu_top"], 0)
    c.put(c.slots["fpu_full"], 0)


# -- between MMX and SSE ---------------------------------------------------------------------------

TO_INTEGERS = {
    "cvtps2pi": "cvtps2dq",
    "cvttps2pi": "cvttps2dq",
    "cvtpd2pi": "cvtpd2dq",
    "cvttpd2pi": "cvttpd2dq",
}


@insn(*TO_INTEGERS)
def to_integers(c: X86, src: Value) -> Value:
    """dst <- two integers from two floats; singles are in the lower half"""
    if c.row.operands[1].size == "q":
        src = widened(c, result(c, src))
    return result(c, c.simd(TO_INTEGERS[c.row.name], src))


@insn
def cvtpi2ps(c: X86, first: Value, src: Value) -> Value:
    """dst <- two singles from two integers; the upper half stays"""
    low = result(c, c.simd("cvtdq2ps", widened(c, src)))
    return c.insert(first.bitcast(V2I64), 0, low)


@insn
def cvtpi2pd(c: X86, src: Value) -> Value:
    """dst <- two doubles from two integers"""
    return c.simd("cvtdq2pd", widened(c, src))
