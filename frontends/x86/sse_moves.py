"""Moves between vector registers, memory and general registers: SDM vol. 1, 10.4.1, 11.4.1.

Which of them want their operand aligned is in vectors.py.
"""

from __future__ import annotations

from frontends.insn import insn
from frontends.x86.context import X86, access
from frontends.x86.state import DI
from frontends.x86.vectors import both, lanes, must_be_aligned, shuffle_halves, vector_op
from tcg.ir import Value
from tcg.types import I8, I32, I64, V2I64, V128

# -- whole registers -------------------------------------------------------------------------------


@both(
    "movaps", "movapd", "movups", "movupd", "movdqa", "movdqu", "movntps", "movntpd", "movntdq",
)  # fmt: skip
def move(c: X86, src: Value) -> Value:
    """dst <- src"""
    return src


@both("lddqu", "movntdqa")
def load_only(c: X86, address: Value) -> Value:
    """dst <- MEM(address)"""
    size = c.row.vector_length // 8 or 16
    return c.load_vector(size, address, must_be_aligned(c.row, size))


# -- one float -------------------------------------------------------------------------------------


def merged(c: X86, dst: Value, src: Value, size: int) -> Value:
    """`dst` with the lowest lane of `src`."""
    lane = I32 if size == 4 else I64
    whole = lanes(dst, lane)
    return c.insert(whole, 0, c.extract(lanes(src, lane), 0)).bitcast(V128)


def move_scalar(c: X86, dst: Value, src: Value, size: int) -> Value:
    """From a register: only the lowest lane; from memory: the rest becomes zero."""
    return merged(c, dst, src, size) if c.rm >= 0 else src


@insn("movss_Vss_Wss")
def movss(c: X86, dst: Value, src: Value) -> Value:
    """dst[0] <- src[0]"""
    return move_scalar(c, dst, src, 4)


@insn("movsd_Vsd_Wsd")
def movsd(c: X86, dst: Value, src: Value) -> Value:
    """dst[0] <- src[0]"""
    return move_scalar(c, dst, src, 8)


def store_scalar(c: X86, src: Value, size: int) -> Value:
    """To memory the lane, to a register the lane only."""
    return merged(c, c.get_file(c.state.xmm, c.rm), src, size) if c.rm >= 0 else src


@insn("movss_Wss_Vss")
def movss_to(c: X86, src: Value) -> Value:
    """dst[0] <- src[0]"""
    return store_scalar(c, src, 4)


@insn("movsd_Wsd_Vsd")
def movsd_to(c: X86, src: Value) -> Value:
    """dst[0] <- src[0]"""
    return store_scalar(c, src, 8)


@insn("vmovss_Vss_Hss_Uss", "vmovss_Uss_Hss_Vss")
def vmovss(c: X86, first: Value, second: Value) -> Value:
    """dst <- first with second's lowest single"""
    return merged(c, first, second, 4)


@insn("vmovsd_Vsd_Hsd_Usd", "vmovsd_Usd_Hsd_Vsd")
def vmovsd(c: X86, first: Value, second: Value) -> Value:
    """dst <- first with second's lowest double"""
    return merged(c, first, second, 8)


@insn("vmovss_Vss_Md")
def vmovss_load(c: X86, address: Value) -> Value:
    """dst <- MEM, zeros above"""
    return c.load_vector(4, address)


@insn("vmovsd_Vsd_Mq")
def vmovsd_load(c: X86, address: Value) -> Value:
    """dst <- MEM, zeros above"""
    return c.load_vector(8, address)


@insn("vmovss_Md_Vss")
def vmovss_store(c: X86, src: Value) -> Value:
    """MEM <- src[0]"""
    return c.low_part(src, 4)


@insn("vmovsd_Mq_Vsd")
def vmovsd_store(c: X86, src: Value) -> Value:
    """MEM <- src[0]"""
    return c.low_part(src, 8)


# -- half a register -------------------------------------------------------------------------------


@insn(
    "movlps_Vq_Mq", "movlpd_Vq_Mq", "movhps_Vq_Mq", "movhpd_Vq_Mq",
    "vmovlps_Vq_Hq_Mq", "vmovlpd_Vq_Hq_Mq", "vmovhps_Vq_Hq_Mq", "vmovhpd_Vq_Hq_Mq",
)  # fmt: skip
def load_half(c: X86, dst: Value, address: Value) -> Value:
    """One half of dst <- MEM(address)"""
    is_high = "movh" in c.row.name
    return c.insert(dst.bitcast(V2I64), int(is_high), c.load_le(I64, address)).bitcast(V128)


@insn(
    "movlps_Mq_Vq", "movlpd_Mq_Vq", "movhps_Mq_Vq", "movhpd_Mq_Vq",
    "vmovlps_Mq_Vq", "vmovlpd_Mq_Vq", "vmovhps_Mq_Vq", "vmovhpd_Mq_Vq",
)  # fmt: skip
def store_half(c: X86, src: Value) -> Value:
    """MEM <- one half of src"""
    return c.extract(src.bitcast(V2I64), int("movh" in c.row.name))


@both("movhlps")
def movhlps(c: X86, dst: Value, src: Value) -> Value:
    """dst[63:0] <- src[127:64]"""
    return c.shuffle(dst.bitcast(V2I64), src.bitcast(V2I64), (3, 1))


@both("movlhps")
def movlhps(c: X86, dst: Value, src: Value) -> Value:
    """dst[127:64] <- src[63:0]"""
    return c.shuffle(dst.bitcast(V2I64), src.bitcast(V2I64), (0, 2))


@insn("movq_Vq_Wq", "vmovq_Vq_Wq", "movq_Wq_Vq", "vmovq_Wq_Vq")
def movq(c: X86, src: Value) -> Value:
    """dst <- src[63:0], zeros above"""
    if c.row.operands[0].letter == "W" and not c.rm >= 0:
        return src
    return c.insert(src.bitcast(V2I64), 1, 0)


# -- copies of lanes -------------------------------------------------------------------------------


@both("movddup")
def movddup(c: X86, src: Value) -> Value:
    """Even doubles, twice each"""
    words = lanes(src, I64)
    return shuffle_halves(c, words, words, (0, 0))


@both("movsldup")
def movsldup(c: X86, src: Value) -> Value:
    """Even singles, twice each"""
    singles = lanes(src, I32)
    return shuffle_halves(c, singles, singles, (0, 0, 2, 2))


@both("movshdup")
def movshdup(c: X86, src: Value) -> Value:
    """Odd singles, twice each"""
    singles = lanes(src, I32)
    return shuffle_halves(c, singles, singles, (1, 1, 3, 3))


# -- general registers -----------------------------------------------------------------------------


@insn("movd_Vdq_Ey", "vmovd_Vdq_Ey")
def movd(c: X86, src: Value) -> Value:
    """dst <- src, zeros above"""
    return c.widened(src)


@insn("movd_Ey_Vdq", "vmovd_Ey_Vdq")
def movd_from(c: X86, src: Value) -> Value:
    """dst <- the low bits of src"""
    return c.low_part(src, 8 if c.opsize == 8 else 4)


@insn("movmskps", "movmskpd", "pmovmskb_Gd_Ux", "vmovmskps", "vmovmskpd", "vpmovmskb")
def signs(c: X86, src: Value) -> Value:
    """dst <- the highest bit of each lane"""
    return vector_op(c, c.row.name.removeprefix("v"), src)


# -- stores by a mask ------------------------------------------------------------------------------


@insn("maskmovdqu", "vmaskmovdqu")
def maskmovdqu(c: X86, src: Value, mask: Value) -> None:
    """MEM(DS:rDI) <- those bytes of src that the mask's sign bits choose

    Bytes that are not chosen are written with what was read, unless none is.
    """
    chosen = lanes(mask, I8).slt(c.splat(lanes(mask, I8).type, 0))
    address = c.linear(c.read_gpr(DI, int(c.addrsize)).zext(c.word))
    with c.when(c.simd("pmovmskb", mask).ne(0)):
        old = lanes(c.load(access(V128), address), I8)
        c.store_le(address, c.select(chosen, lanes(src, I8), old).bitcast(V128))
