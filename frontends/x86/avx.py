"""What only AVX, AVX2, FMA and F16C have: SDM vol. 1, 14.

AVX's forms of SSE's instructions are where those are.
"""

from __future__ import annotations

from frontends.insn import insn
from frontends.x86.context import X86
from frontends.x86.operands import ignores_operands
from frontends.x86.sse_float import immediate
from frontends.x86.sse_integer import is_zero, quarters
from frontends.x86.vectors import lanes, plain, shuffle_halves, vector_op
from tcg.fields import FieldLike
from tcg.ir import Value
from tcg.types import I1, I8, I16, I32, I64, V2I64, V128, V256, Type, vector

# -- broadcasts ------------------------------------------------------------------------------------

BROADCAST = {"b": I8, "w": I16, "d": I32, "q": I64}
FROM_MEMORY = {"vbroadcastss": I32, "vbroadcastsd": I64}


def _everywhere(c: X86, value: Value) -> Value:
    bits = c.row.vector_length
    return c.splat(vector(value.type, bits // value.type.bits), value)


@insn("vbroadcastss", "vbroadcastsd")
def broadcast_float(c: X86, src: Value) -> Value:
    """dst <- src's lowest float in every lane"""
    lane = FROM_MEMORY[c.row.name]
    if c.row.operands[1].letter == "M":
        return _everywhere(c, c.load_le(lane, src))
    return _everywhere(c, c.extract(lanes(src, lane), 0))


@insn("vpbroadcastb", "vpbroadcastw", "vpbroadcastd", "vpbroadcastq")
def broadcast_integer(c: X86, src: Value) -> Value:
    """dst <- src's lowest lane in every lane"""
    return _everywhere(c, c.extract(lanes(src, BROADCAST[c.row.name[-1]]), 0))


@insn("vbroadcastf128", "vbroadcasti128")
def broadcast_half(c: X86, address: Value) -> Value:
    """dst <- the 128 bits at the address, twice"""
    half = c.load_vector(16, address)
    return c.join_halves(half, half)


# -- halves ----------------------------------------------------------------------------------------


@insn("vinsertf128", "vinserti128")
def insert_half(c: X86, first: Value, src: Value, _: Value) -> Value:
    """dst <- first with one half from src"""
    low, high = c.split_halves(first)
    return c.join_halves(low, src) if immediate(c) & 1 else c.join_halves(src, high)


@insn("vextractf128", "vextracti128")
def extract_half(c: X86, src: Value, _: Value) -> Value:
    """dst <- one half of src"""
    return c.split_halves(src)[immediate(c) & 1]


@insn("vperm2f128", "vperm2i128")
def choose_halves(c: X86, first: Value, second: Value, _: Value) -> Value:
    """Each half of dst <- one of the four halves, or zero"""
    imm = immediate(c)
    halves = (*c.split_halves(first), *c.split_halves(second))
    zero = c.const(V128, 0)
    low, high = (zero if n & 8 else halves[n & 3] for n in (imm, imm >> 4))
    return c.join_halves(low, high)


@insn("vzeroupper")
def vzeroupper(c: X86) -> None:
    """Upper halves of all AVX registers <- 0"""
    for slot in c.state.ymmh.slots:
        c.put(slot, 0)


@insn("vzeroall")
def vzeroall(c: X86) -> None:
    """All AVX registers <- 0"""
    for slot in (*c.state.xmm.slots, *c.state.ymmh.slots):
        c.put(slot, 0)


# -- permutations ----------------------------------------------------------------------------------


@insn("vpermilps", "vpermilpd")
def permute_in_halves(c: X86, src: Value, numbers: Value) -> Value:
    """dst <- src's lanes by number, within each half"""
    if c.row.operands[-1].letter != "I":
        return vector_op(c, c.row.name, src, numbers)
    imm = immediate(c)
    if c.row.name == "vpermilps":
        value = lanes(src, I32)
        return shuffle_halves(c, value, value, quarters(imm))
    value = lanes(src, I64)
    chosen = [at & ~1 | imm >> at & 1 for at in range(value.type.lanes)]
    return c.shuffle(value, value, chosen)


@insn("vpermd", "vpermps")
def permute_doublewords(c: X86, numbers: Value, src: Value) -> Value:
    """dst <- src's doublewords by number"""
    return c.simd("vpermd", src, numbers)


@insn("vpermq", "vpermpd")
def permute_quadwords(c: X86, src: Value, _: Value) -> Value:
    """dst <- src's quadwords by number"""
    value = lanes(src, I64)
    return c.shuffle(value, value, quarters(immediate(c)))


@insn("vpblendd")
def vpblendd(c: X86, first: Value, second: Value, _: Value) -> Value:
    """dst <- doublewords of second where the immediate has ones, else of first"""
    a, b = lanes(first, I32), lanes(second, I32)
    count, imm = a.type.lanes, immediate(c)
    return c.shuffle(a, b, [i + (count if imm >> i & 1 else 0) for i in range(count)])


@insn("vpsllvd", "vpsllvq", "vpsrlvd", "vpsrlvq", "vpsravd")
def shift_each(c: X86, first: Value, counts: Value) -> Value:
    """dst <- first's lanes shifted, each by its own count"""
    return vector_op(c, plain(c.row.name), first, counts)


# -- tests -----------------------------------------------------------------------------------------


@insn("vtestps", "vtestpd")
def test_signs(c: X86, first: Value, second: Value) -> None:
    """ZF, CF <- no sign is set in first & second, in ~first & second"""
    lane = I32 if c.row.name == "vtestps" else I64
    a, b = lanes(first, lane), lanes(second, lane)
    signs = c.splat(a.type, 1 << lane.bits - 1)
    zf, cf = (is_zero(c, lanes(x & signs, I64)) for x in (a & b, ~a & b))
    c.flags.set(zf=zf, cf=cf, of=0, sf=0, af=0)
    c.flags.set_parity(c.const(I1, 0))


# -- memory by a mask: lanes that are not chosen are not touched -----------------------------------

MASKED = {"vmaskmovps": I32, "vmaskmovpd": I64, "vpmaskmovd": I32, "vpmaskmovq": I64}


def _whole_of(bits: int) -> Type:
    return V256 if bits == 256 else V128


@insn("vmaskmovps", "vmaskmovpd", "vpmaskmovd", "vpmaskmovq")
def move_masked(c: X86, first: Value, second: Value, third: Value | None = None) -> Value | None:
    """dst <- the lanes whose mask is negative; a load has zeros elsewhere"""
    lane = MASKED[c.row.name]
    if third is None:
        return _load_masked(c, lane, first, second)
    _store_masked(c, lane, first, second, third)
    return None


def _load_masked(c: X86, lane: Type, mask: Value, address: Value) -> Value:
    chosen, result = lanes(mask, lane), c.local(_whole_of(c.row.vector_length))
    c.put(result, 0)
    for number in range(chosen.type.lanes):
        with c.when(c.extract(chosen, number).slt(0)):
            loaded = c.load_le(lane, address + number * lane.bytes)
            whole = c.insert(lanes(c.get(result), lane), number, loaded)
            c.put(result, whole.bitcast(result.type))
    return c.get(result)


def _store_masked(c: X86, lane: Type, address: Value, mask: Value, src: Value) -> None:
    chosen, values = lanes(mask, lane), lanes(src, lane)
    for number in range(chosen.type.lanes):
        with c.when(c.extract(chosen, number).slt(0)):
            c.store_le(address + number * lane.bytes, c.extract(values, number))


# -- gathers: an address for each lane -------------------------------------------------------------

# fmt: off
GATHERS = {
    "vpgatherdd": (I32, I32), "vpgatherdq": (I32, I64),
    "vpgatherqd": (I64, I32), "vpgatherqq": (I64, I64),
    "vgatherdps": (I32, I32), "vgatherdpd": (I32, I64),
    "vgatherqps": (I64, I32), "vgatherqpd": (I64, I64),
}
# fmt: on
"""The lanes of the index, and of the result."""


def _vector(c: X86, number: FieldLike, size: int) -> Value:
    low = c.get_file(c.state.xmm, number)
    return c.join_halves(low, c.get_file(c.state.ymmh, number)) if size == 256 else low


def _write_vector(c: X86, number: FieldLike, value: Value) -> None:
    if value.type.bits == 256:
        low, high = c.split_halves(value)
        c.put_file(c.state.ymmh, number, high)
    else:
        low = value.bitcast(V128)
    c.put_file(c.state.xmm, number, low)


@insn(*GATHERS)
@ignores_operands
def gather(c: X86, *_: Value) -> None:
    """dst <- lanes at base + index * scale + disp where the mask is negative; mask <- 0

    Lane after lane: where one faults, those before it are done.
    """
    index_lane, lane = GATHERS[c.row.name]
    count = c.row.vector_length // max(index_lane.bits, lane.bits)
    size = 256 if count * lane.bits == 256 else 128
    index_size = 256 if count * index_lane.bits == 256 else 128
    index = lanes(_vector(c, c.index, index_size), index_lane)
    start = c.get_file(c.state.gpr, c.base) + c.value(c.word, c.disp)
    for number in range(count):
        mask = lanes(_vector(c, c.vvvv, size), lane)
        with c.when(c.extract(mask, number).slt(0)):
            step = c.extract(index, number)
            step = step.sext(c.word) if step.type.bits < c.word.bits else step.trunc(c.word)
            address = c.linear(c.wrap_address(start + (step << int(c.scale))))
            loaded = c.load_le(lane, address)
            old = lanes(_vector(c, c.reg, size), lane)
            _write_vector(c, c.reg, c.insert(old, number, loaded))
        _write_vector(c, c.vvvv, c.insert(mask, number, 0))
    _end_gather(c, count * lane.bits)


def _end_gather(c: X86, bits: int) -> None:
    """What is above the lanes <- 0"""
    for number in (c.reg, c.vvvv):
        if bits < 128:
            low = c.get_file(c.state.xmm, number).bitcast(V2I64)
            c.put_file(c.state.xmm, number, c.insert(low, 1, 0).bitcast(V128))
        if bits < 256:
            c.put_file(c.state.ymmh, number, c.const(V128, 0))


# -- fused multiply and add, half precision --------------------------------------------------------

FMA_NAMES = [
    f"v{name}{order}{suffix}"
    for order in ("132", "213", "231")
    for name, suffixes in (
        ("fmadd", ("ps", "pd", "ss", "sd")),
        ("fmsub", ("ps", "pd", "ss", "sd")),
        ("fnmadd", ("ps", "pd", "ss", "sd")),
        ("fnmsub", ("ps", "pd", "ss", "sd")),
        ("fmaddsub", ("ps", "pd")),
        ("fmsubadd", ("ps", "pd")),
    )
    for suffix in suffixes
]


@insn(*FMA_NAMES)
def multiply_add(c: X86, first: Value, second: Value, third: Value) -> Value:
    """dst <- the product of two operands plus or minus the third, in the order of the name"""
    return vector_op(c, plain(c.row.name), first, second, third)


@insn("vcvtph2ps")
def vcvtph2ps(c: X86, src: Value) -> Value:
    """dst <- singles of half-precision floats"""
    return c.simd("cvtph2ps_256" if c.row.vector_length == 256 else "cvtph2ps", src)


@insn("vcvtps2ph")
def vcvtps2ph(c: X86, src: Value, _: Value) -> Value:
    """dst <- half-precision floats of singles; to a register, zeros above"""
    if not c.rm >= 0:
        c.touch(c.linear(), *[I64] * (src.type.bits // 128))
    return vector_op(c, "cvtps2ph", src, imm=immediate(c) & 7)
