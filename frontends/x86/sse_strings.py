"""String comparison, AES and carry-less multiplication: SDM vol. 1, 12.10.3, 12.13."""

from __future__ import annotations

from frontends.insn import insn
from frontends.x86.context import X86
from frontends.x86.sse_float import immediate
from frontends.x86.state import AX, CX, DX
from frontends.x86.vectors import both, plain
from tcg.ir import Value
from tcg.types import I32, I64, V128

# -- strings ---------------------------------------------------------------------------------------


def _length(c: X86, number: int) -> Value:
    """A length in EAX or EDX; one in RAX or RDX is held within what 32 bits take."""
    if c.opsize != 8:
        return c.read_gpr(number, 4)
    wide = c.read_gpr(number, 8)
    return wide.smax(-64 & I64.mask).smin(64).trunc(I32)


def _operands(c: X86, first: Value, second: Value) -> tuple[Value, ...]:
    if "istr" in c.row.name:
        return first, second
    return first, _length(c, AX), second, _length(c, DX)


def _set_flags(c: X86, name: str, operands: tuple[Value, ...], imm: int) -> None:
    cf, zf, sf, of = (c.simd(f"{name}{flag}", *operands, imm=imm).ne(0) for flag in "czso")
    c.flags.set(cf=cf, zf=zf, sf=sf, of=of, af=0)
    c.flags.set_parity(c.const(cf.type, 0))


@both("pcmpestri", "pcmpistri")
def compare_to_index(c: X86, first: Value, second: Value, _: Value) -> None:
    """ECX <- where the strings match"""
    operands, imm = _operands(c, first, second), immediate(c)
    name = plain(c.row.name)[:-1]
    index = c.simd(f"{name}i", *operands, imm=imm)
    _set_flags(c, name, operands, imm)
    c.write_gpr(CX, 4, index)


@both("pcmpestrm", "pcmpistrm")
def compare_to_mask(c: X86, first: Value, second: Value, _: Value) -> None:
    """XMM0 <- where the strings match"""
    operands, imm = _operands(c, first, second), immediate(c)
    name = plain(c.row.name)[:-1]
    mask = c.simd(f"{name}m", *operands, imm=imm)
    _set_flags(c, name, operands, imm)
    c.put_file(c.state.xmm, 0, mask)
    if c.row.vector_length:
        c.put_file(c.state.ymmh, 0, c.const(V128, 0))


# -- AES, carry-less multiplication ----------------------------------------------------------------


@both("aesenc", "aesenclast", "aesdec", "aesdeclast")
def aes_round(c: X86, state: Value, key: Value) -> Value:
    """dst <- a round of AES"""
    return c.simd(plain(c.row.name), state, key)


@both("aesimc")
def aesimc(c: X86, src: Value) -> Value:
    """dst <- src for the equivalent inverse cipher"""
    return c.simd("aesimc", src)


@both("aeskeygenassist")
def aeskeygenassist(c: X86, src: Value, _: Value) -> Value:
    """dst <- what the next round key is made of"""
    return c.simd("aeskeygenassist", src, imm=immediate(c))


@insn("pclmulqdq", "vpclmulqdq")
def pclmulqdq(c: X86, first: Value, second: Value, _: Value) -> Value:
    """dst <- the carry-less product of two halves"""
    return c.simd("pclmulqdq", first, second, imm=immediate(c) & 17)
