"""Integers in vector registers: SDM vol. 1, 11.4.2, 12.6, 12.10."""

from __future__ import annotations

from collections.abc import Callable

from frontends.insn import insn
from frontends.x86.context import X86
from frontends.x86.sse_float import immediate
from frontends.x86.vectors import both, lanes, plain, shuffle_halves, vector_op
from tcg import ops
from tcg.ir import Value
from tcg.ops import Op
from tcg.types import I1, I8, I16, I32, I64, I128, V2I64, V4I32, V128, Type, vector

LETTERS = {"b": I8, "w": I16, "d": I32, "q": I64}
"""The letter that an instruction's name ends with, and its lanes."""


def lane_of(c: X86) -> Type:
    """The lanes that the name's last letter says."""
    return LETTERS[c.row.name[-1]]


# -- lane by lane ----------------------------------------------------------------------------------

# fmt: off
LANE_BY_LANE: dict[str, Op] = {
    "padd": ops.ADD, "psub": ops.SUB, "padds": ops.SADDS, "paddus": ops.UADDS,
    "psubs": ops.SSUBS, "psubus": ops.USUBS, "pavg": ops.UAVG, "pmull": ops.MUL, "pmulh": ops.SMULH,
    "pmins": ops.SMIN, "pmaxs": ops.SMAX, "pminu": ops.UMIN, "pmaxu": ops.UMAX,
}


LANE_BY_LANE_NAMES = (
    "paddb", "paddw", "paddd", "paddq", "paddsb", "paddsw", "paddusb", "paddusw",
    "psubb", "psubw", "psubd", "psubq", "psubsb", "psubsw", "psubusb", "psubusw",
    "pavgb", "pavgw", "pmullw", "pmulld", "pmulhw",
    "pminsb", "pminsw", "pminsd", "pmaxsb", "pmaxsw", "pmaxsd",
    "pminub", "pminuw", "pminud", "pmaxub", "pmaxuw", "pmaxud",
)
# fmt: on


@both(*LANE_BY_LANE_NAMES)
def lane_by_lane(c: X86, first: Value, second: Value) -> Value:
    """dst <- first op second"""
    op = LANE_BY_LANE[plain(c.row.name)[:-1]]
    return c.binary(op, lanes(first, lane_of(c)), lanes(second, lane_of(c)))


@both("pmulhuw")
def pmulhuw(c: X86, first: Value, second: Value) -> Value:
    """dst <- the high halves of unsigned products"""
    return lanes(first, I16).umulh(lanes(second, I16))


@both("pmuludq")
def pmuludq(c: X86, first: Value, second: Value) -> Value:
    """dst <- products of the even unsigned doublewords"""
    a, b = lanes(first, I64), lanes(second, I64)
    mask = c.splat(a.type, 0xFFFF_FFFF)
    return (a & mask) * (b & mask)


@both("pmuldq")
def pmuldq(c: X86, first: Value, second: Value) -> Value:
    """dst <- products of the even signed doublewords"""
    half = c.splat(lanes(first, I64).type, 32)
    a, b = ((lanes(x, I64) << half).sar(half) for x in (first, second))
    return a * b


@both("pabsb", "pabsw", "pabsd")
def pabs(c: X86, src: Value) -> Value:
    """dst <- magnitudes"""
    return lanes(src, lane_of(c)).iabs()


@both("pcmpeqb", "pcmpeqw", "pcmpeqd", "pcmpeqq")
def pcmpeq(c: X86, first: Value, second: Value) -> Value:
    """dst <- all ones in lanes that are equal"""
    a, b = lanes(first, lane_of(c)), lanes(second, lane_of(c))
    return a.eq(b).sext(a.type)


@both("pcmpgtb", "pcmpgtw", "pcmpgtd", "pcmpgtq")
def pcmpgt(c: X86, first: Value, second: Value) -> Value:
    """dst <- all ones in lanes where first is greater"""
    a, b = lanes(first, lane_of(c)), lanes(second, lane_of(c))
    return a.sgt(b).sext(a.type)


# fmt: off
ONE_ROW = (
    "pmaddwd", "psadbw", "packsswb", "packssdw", "packuswb", "packusdw", "pshufb", "pmaddubsw",
    "pmulhrsw", "psignb", "psignw", "psignd",
)
# fmt: on


@both(*ONE_ROW)
def one_row(c: X86, first: Value, second: Value) -> Value:
    """dst <- first op second"""
    return vector_op(c, plain(c.row.name), first, second)


@both("phminposuw")
def phminposuw(c: X86, src: Value) -> Value:
    """dst <- the least word, and where it is"""
    return c.simd("phminposuw", src)


@both("mpsadbw")
def mpsadbw(c: X86, first: Value, second: Value, _: Value) -> Value:
    """dst <- sums of absolute differences at eight places"""
    return vector_op(c, "mpsadbw", first, second, imm=immediate(c))


# -- neighbours ------------------------------------------------------------------------------------


@both("phaddw", "phaddd", "phaddsw", "phsubw", "phsubd", "phsubsw")
def horizontal(c: X86, first: Value, second: Value) -> Value:
    """dst <- sums or differences of neighbours: first's, then second's"""
    a, b = lanes(first, lane_of(c)), lanes(second, lane_of(c))
    count = 128 // lane_of(c).bits
    even = shuffle_halves(c, a, b, range(0, 2 * count, 2))
    odd = shuffle_halves(c, a, b, range(1, 2 * count, 2))
    return c.binary(HORIZONTAL[plain(c.row.name)[2:-1]], even, odd)


HORIZONTAL = {"add": ops.ADD, "adds": ops.SADDS, "sub": ops.SUB, "subs": ops.SSUBS}


# -- shifts ----------------------------------------------------------------------------------------

SHIFTS: dict[str, Callable[[Value, Value], Value]] = {
    "psll": lambda x, n: x << n,
    "psrl": lambda x, n: x >> n,
    "psra": lambda x, n: x.sar(n),
}


@both("psllw", "pslld", "psllq", "psrlw", "psrld", "psrlq", "psraw", "psrad")
def shift(c: X86, value: Value, count: Value) -> Value:
    """dst <- value shifted, by an immediate or the low half of count"""
    if c.row.operands[-1].letter == "I":
        return shift_by_immediate(c, value)
    return vector_op(c, plain(c.row.name), value, count)


def shift_by_immediate(c: X86, src: Value) -> Value:
    """By more than there are bits, nothing is left but signs."""
    name, lane, count = plain(c.row.name)[:-1], lane_of(c), immediate(c)
    value = lanes(src, lane)
    if count >= lane.bits:
        if name != "psra":
            return c.const(value.type, 0)
        count = lane.bits - 1
    return SHIFTS[name](value, c.splat(value.type, count))


@both("pslldq")
def pslldq(c: X86, src: Value, _: Value) -> Value:
    """dst <- src moved up by bytes"""
    count, value = min(immediate(c), 16), lanes(src, I8)
    return shuffle_halves(c, c.const(value.type, 0), value, range(16 - count, 32 - count))


@both("psrldq")
def psrldq(c: X86, src: Value, _: Value) -> Value:
    """dst <- src moved down by bytes"""
    count, value = min(immediate(c), 16), lanes(src, I8)
    return shuffle_halves(c, value, c.const(value.type, 0), range(count, count + 16))


@both("palignr")
def palignr(c: X86, first: Value, second: Value, _: Value) -> Value:
    """dst <- 16 bytes of first:second, from the byte that the immediate says"""
    count, a, b = immediate(c), lanes(first, I8), lanes(second, I8)
    if count > 16:
        a, b, count = c.const(a.type, 0), a, min(count - 16, 16)
    return shuffle_halves(c, b, a, range(count, count + 16))


# -- shuffles --------------------------------------------------------------------------------------


# fmt: off
INTERLEAVING = (
    "punpcklbw", "punpcklwd", "punpckldq", "punpcklqdq", "unpcklps", "unpcklpd",
    "punpckhbw", "punpckhwd", "punpckhdq", "punpckhqdq", "unpckhps", "unpckhpd",
)
# fmt: on


@both(*INTERLEAVING)
def interleave(c: X86, first: Value, second: Value) -> Value:
    """dst <- lanes of first and second in turn, of their lower or upper halves"""
    name = c.row.name
    lane = INTERLEAVED[name[-2:]] if not name.endswith("qdq") else I64
    count = 128 // lane.bits
    start = count // 2 if "ckh" in name else 0
    numbers = [at + side for at in range(start, start + count // 2) for side in (0, count)]
    return shuffle_halves(c, lanes(first, lane), lanes(second, lane), numbers)


INTERLEAVED = {"bw": I8, "wd": I16, "dq": I32, "ps": I32, "pd": I64}


def quarters(imm: int) -> list[int]:
    """The four lane numbers of two bits each in an immediate."""
    return [imm >> at & 3 for at in (0, 2, 4, 6)]


@both("pshufd")
def pshufd(c: X86, src: Value, _: Value) -> Value:
    """dst <- src's doublewords by number"""
    value = lanes(src, I32)
    return shuffle_halves(c, value, value, quarters(immediate(c)))


@insn("pshuflw", "vpshuflw")
def pshuflw(c: X86, src: Value, _: Value) -> Value:
    """dst <- src with its four lower words by number"""
    value = lanes(src, I16)
    return shuffle_halves(c, value, value, [*quarters(immediate(c)), 4, 5, 6, 7])


@insn("pshufhw", "vpshufhw")
def pshufhw(c: X86, src: Value, _: Value) -> Value:
    """dst <- src with its four upper words by number"""
    value = lanes(src, I16)
    return shuffle_halves(c, value, value, [0, 1, 2, 3, *(4 + n for n in quarters(immediate(c)))])


@both("shufps")
def shufps(c: X86, first: Value, second: Value, _: Value) -> Value:
    """dst <- two singles of first by number, two of second"""
    a, b, c_, d = quarters(immediate(c))
    return shuffle_halves(c, lanes(first, I32), lanes(second, I32), (a, b, 4 + c_, 4 + d))


@both("shufpd")
def shufpd(c: X86, first: Value, second: Value, _: Value) -> Value:
    """dst <- a double of first by number, one of second; every half has numbers of its own"""
    imm, a, b = immediate(c), lanes(first, I64), lanes(second, I64)
    count = a.type.lanes
    numbers = [
        at + (imm >> at + side & 1) + side * count for at in range(0, count, 2) for side in (0, 1)
    ]
    return c.shuffle(a, b, numbers)


def _chosen(count: int, imm: int) -> list[int]:
    return [i + (count if imm >> i & 1 else 0) for i in range(count)]


@both("blendps")
def blendps(c: X86, first: Value, second: Value, _: Value) -> Value:
    """dst <- singles of second where the immediate has ones, else of first"""
    a, b = lanes(first, I32), lanes(second, I32)
    return c.shuffle(a, b, _chosen(a.type.lanes, immediate(c)))


@both("blendpd")
def blendpd(c: X86, first: Value, second: Value, _: Value) -> Value:
    """dst <- doubles of second where the immediate has ones, else of first"""
    a, b = lanes(first, I64), lanes(second, I64)
    return c.shuffle(a, b, _chosen(a.type.lanes, immediate(c)))


@both("pblendw")
def pblendw(c: X86, first: Value, second: Value, _: Value) -> Value:
    """dst <- words of second where the immediate has ones, else of first; the same in each half"""
    return shuffle_halves(c, lanes(first, I16), lanes(second, I16), _chosen(8, immediate(c)))


BLENDED = {"pblendvb": I8, "blendvps": I32, "blendvpd": I64}


@both("pblendvb", "blendvps", "blendvpd")
def blend_by_signs(c: X86, first: Value, second: Value, mask: Value) -> Value:
    """dst <- lanes of second where the mask's are negative, else of first"""
    lane = BLENDED[plain(c.row.name)]
    signs = lanes(mask, lane)
    return c.select(signs.slt(c.const(signs.type, 0)), lanes(second, lane), lanes(first, lane))


# -- widening --------------------------------------------------------------------------------------


def _low(c: X86, src: Value, lane: Type, result: Type) -> Value:
    """As many of the lowest lanes as a register has of `result`."""
    count = (c.row.vector_length or 128) // result.bits
    value = lanes(src, lane)
    return c.shuffle(value, value, range(count))


WIDENINGS = ("bw", "bd", "bq", "wd", "wq", "dq")


@both(*(f"pmovsx{pair}" for pair in WIDENINGS))
def pmovsx(c: X86, src: Value) -> Value:
    """dst <- the lowest lanes, widened with their signs"""
    lane, result = (LETTERS[letter] for letter in c.row.name[-2:])
    low = _low(c, src, lane, result)
    return low.sext(vector(result, low.type.lanes))


@both(*(f"pmovzx{pair}" for pair in WIDENINGS))
def pmovzx(c: X86, src: Value) -> Value:
    """dst <- the lowest lanes, widened with zeros"""
    lane, result = (LETTERS[letter] for letter in c.row.name[-2:])
    low = _low(c, src, lane, result)
    return low.zext(vector(result, low.type.lanes))


# -- single lanes ----------------------------------------------------------------------------------


@insn("pinsrw_Vdq_RdMw_Ib", "vpinsrw", "pinsrb", "vpinsrb", "pinsrd", "vpinsrd", "vpinsrq")
def insert_lane(c: X86, first: Value, src: Value, _: Value) -> Value:
    """dst <- first with src in one lane"""
    lane = src.type if c.row.name[-1] in "dq" else LETTERS[c.row.name[-1]]
    value = lanes(first, lane)
    return c.insert(value, immediate(c) & value.type.lanes - 1, src.trunc(lane)).bitcast(V128)


@insn("pextrb", "pextrw_RdMw_Vdq_Ib", "pextrw_Gd_Udq_Ib", "vpextrb", "vpextrw")
def extract_lane(c: X86, src: Value, _: Value) -> Value:
    """dst <- one lane, with zeros above"""
    value = lanes(src, LETTERS[c.row.name[-1]])
    return c.extract(value, immediate(c) & value.type.lanes - 1)


@insn("pextrd", "vpextrd", "vpextrq")
def pextrd(c: X86, src: Value, _: Value) -> Value:
    """dst <- a doubleword, or with REX.W a quadword"""
    value = lanes(src, I64 if c.opsize == 8 else I32)
    return c.extract(value, immediate(c) & value.type.lanes - 1)


@both("extractps")
def extractps(c: X86, src: Value, _: Value) -> Value:
    """dst <- a single"""
    return c.extract(src.bitcast(V4I32), immediate(c) & 3)


@both("insertps")
def insertps(c: X86, first: Value, src: Value, _: Value) -> Value:
    """dst <- first with a single of src; then lanes may be cleared"""
    imm = immediate(c)
    from_lane = imm >> 6 if c.rm >= 0 else 0
    into = imm >> 4 & 3
    whole = c.insert(first.bitcast(V4I32), into, c.extract(src.bitcast(V4I32), from_lane))
    kept = [i + (4 if imm >> i & 1 else 0) for i in range(4)]
    return c.shuffle(whole, c.const(V4I32, 0), kept)


# -- tests -----------------------------------------------------------------------------------------


def is_zero(c: X86, value: Value) -> Value:
    """Whether all bits of a vector of V2I64 or V4I64 are clear."""
    if value.type.bits == 256:
        low, high = c.split_halves(value)
        value = low.bitcast(V2I64) | high.bitcast(V2I64)
    return value.bitcast(I128).eq(0)


@both("ptest")
def ptest(c: X86, first: Value, second: Value) -> None:
    """ZF <- first & second = 0; CF <- ~first & second = 0; the others <- 0"""
    a, b = lanes(first, I64), lanes(second, I64)
    c.flags.set(zf=is_zero(c, a & b), cf=is_zero(c, ~a & b), of=0, sf=0, af=0)
    c.flags.set_parity(c.const(I1, 0))
