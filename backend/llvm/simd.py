"""How the rows of tcg/simd become LLVM: an intrinsic, or the instruction itself.

Integer rows are intrinsics, whose meaning LLVM knows.  Float rows are one instruction of inline
assembly each: LLVM takes itself to be free to swap the operands of a sum, to drop what nobody
uses and to move what it likes, and the guest would see other NaNs and other sticky flags.

    simdf.v128 addsd, %0, %1     =>     vaddsd %xmm1, %xmm0, %xmm0
"""

from __future__ import annotations

from functools import cache

from tcg.simd import Simd
from tcg.types import I1, V128, V256, Type

# fmt: off
INTRINSICS: dict[str, str] = {
    "pshufb":         "<16 x i8> @llvm.x86.ssse3.pshuf.b.128(<16 x i8>, <16 x i8>)",
    "pshufb_256":     "<32 x i8> @llvm.x86.avx2.pshuf.b(<32 x i8>, <32 x i8>)",
    "pmovmskb":       "i32 @llvm.x86.sse2.pmovmskb.128(<16 x i8>)",
    "pmovmskb_256":   "i32 @llvm.x86.avx2.pmovmskb(<32 x i8>)",
    "movmskps":       "i32 @llvm.x86.sse.movmsk.ps(<4 x float>)",
    "movmskps_256":   "i32 @llvm.x86.avx.movmsk.ps.256(<8 x float>)",
    "movmskpd":       "i32 @llvm.x86.sse2.movmsk.pd(<2 x double>)",
    "movmskpd_256":   "i32 @llvm.x86.avx.movmsk.pd.256(<4 x double>)",
    "packsswb":       "<16 x i8> @llvm.x86.sse2.packsswb.128(<8 x i16>, <8 x i16>)",
    "packuswb":       "<16 x i8> @llvm.x86.sse2.packuswb.128(<8 x i16>, <8 x i16>)",
    "packssdw":       "<8 x i16> @llvm.x86.sse2.packssdw.128(<4 x i32>, <4 x i32>)",
    "packusdw":       "<8 x i16> @llvm.x86.sse41.packusdw(<4 x i32>, <4 x i32>)",
    "packsswb_256":   "<32 x i8> @llvm.x86.avx2.packsswb(<16 x i16>, <16 x i16>)",
    "packuswb_256":   "<32 x i8> @llvm.x86.avx2.packuswb(<16 x i16>, <16 x i16>)",
    "packssdw_256":   "<16 x i16> @llvm.x86.avx2.packssdw(<8 x i32>, <8 x i32>)",
    "packusdw_256":   "<16 x i16> @llvm.x86.avx2.packusdw(<8 x i32>, <8 x i32>)",
    "pmaddwd":        "<4 x i32> @llvm.x86.sse2.pmadd.wd(<8 x i16>, <8 x i16>)",
    "pmaddwd_256":    "<8 x i32> @llvm.x86.avx2.pmadd.wd(<16 x i16>, <16 x i16>)",
    "pmaddubsw":      "<8 x i16> @llvm.x86.ssse3.pmadd.ub.sw.128(<16 x i8>, <16 x i8>)",
    "pmaddubsw_256":  "<16 x i16> @llvm.x86.avx2.pmadd.ub.sw(<32 x i8>, <32 x i8>)",
    "pmulhrsw":       "<8 x i16> @llvm.x86.ssse3.pmul.hr.sw.128(<8 x i16>, <8 x i16>)",
    "pmulhrsw_256":   "<16 x i16> @llvm.x86.avx2.pmul.hr.sw(<16 x i16>, <16 x i16>)",
    "psadbw":         "<2 x i64> @llvm.x86.sse2.psad.bw(<16 x i8>, <16 x i8>)",
    "psadbw_256":     "<4 x i64> @llvm.x86.avx2.psad.bw(<32 x i8>, <32 x i8>)",
    "mpsadbw":        "<8 x i16> @llvm.x86.sse41.mpsadbw(<16 x i8>, <16 x i8>, i8 imm)",
    "mpsadbw_256":    "<16 x i16> @llvm.x86.avx2.mpsadbw(<32 x i8>, <32 x i8>, i8 imm)",
    "phminposuw":     "<8 x i16> @llvm.x86.sse41.phminposuw(<8 x i16>)",
    "psignb":         "<16 x i8> @llvm.x86.ssse3.psign.b.128(<16 x i8>, <16 x i8>)",
    "psignw":         "<8 x i16> @llvm.x86.ssse3.psign.w.128(<8 x i16>, <8 x i16>)",
    "psignd":         "<4 x i32> @llvm.x86.ssse3.psign.d.128(<4 x i32>, <4 x i32>)",
    "psignb_256":     "<32 x i8> @llvm.x86.avx2.psign.b(<32 x i8>, <32 x i8>)",
    "psignw_256":     "<16 x i16> @llvm.x86.avx2.psign.w(<16 x i16>, <16 x i16>)",
    "psignd_256":     "<8 x i32> @llvm.x86.avx2.psign.d(<8 x i32>, <8 x i32>)",
    "psllvd":         "<4 x i32> @llvm.x86.avx2.psllv.d(<4 x i32>, <4 x i32>)",
    "psllvq":         "<2 x i64> @llvm.x86.avx2.psllv.q(<2 x i64>, <2 x i64>)",
    "psrlvd":         "<4 x i32> @llvm.x86.avx2.psrlv.d(<4 x i32>, <4 x i32>)",
    "psrlvq":         "<2 x i64> @llvm.x86.avx2.psrlv.q(<2 x i64>, <2 x i64>)",
    "psravd":         "<4 x i32> @llvm.x86.avx2.psrav.d(<4 x i32>, <4 x i32>)",
    "psllvd_256":     "<8 x i32> @llvm.x86.avx2.psllv.d.256(<8 x i32>, <8 x i32>)",
    "psllvq_256":     "<4 x i64> @llvm.x86.avx2.psllv.q.256(<4 x i64>, <4 x i64>)",
    "psrlvd_256":     "<8 x i32> @llvm.x86.avx2.psrlv.d.256(<8 x i32>, <8 x i32>)",
    "psrlvq_256":     "<4 x i64> @llvm.x86.avx2.psrlv.q.256(<4 x i64>, <4 x i64>)",
    "psravd_256":     "<8 x i32> @llvm.x86.avx2.psrav.d.256(<8 x i32>, <8 x i32>)",
    "vpermd":         "<8 x i32> @llvm.x86.avx2.permd(<8 x i32>, <8 x i32>)",
    "vpermilps":      "<4 x float> @llvm.x86.avx.vpermilvar.ps(<4 x float>, <4 x i32>)",
    "vpermilps_256":  "<8 x float> @llvm.x86.avx.vpermilvar.ps.256(<8 x float>, <8 x i32>)",
    "vpermilpd":      "<2 x double> @llvm.x86.avx.vpermilvar.pd(<2 x double>, <2 x i64>)",
    "vpermilpd_256":  "<4 x double> @llvm.x86.avx.vpermilvar.pd.256(<4 x double>, <4 x i64>)",
    "pclmulqdq":      "<2 x i64> @llvm.x86.pclmulqdq(<2 x i64>, <2 x i64>, i8 imm)",
    "aesenc":         "<2 x i64> @llvm.x86.aesni.aesenc(<2 x i64>, <2 x i64>)",
    "aesenclast":     "<2 x i64> @llvm.x86.aesni.aesenclast(<2 x i64>, <2 x i64>)",
    "aesdec":         "<2 x i64> @llvm.x86.aesni.aesdec(<2 x i64>, <2 x i64>)",
    "aesdeclast":     "<2 x i64> @llvm.x86.aesni.aesdeclast(<2 x i64>, <2 x i64>)",
    "aesimc":         "<2 x i64> @llvm.x86.aesni.aesimc(<2 x i64>)",
    "aeskeygenassist": "<2 x i64> @llvm.x86.aesni.aeskeygenassist(<2 x i64>, i8 imm)",
    "rcpps":          "<4 x float> @llvm.x86.sse.rcp.ps(<4 x float>)",
    "rcpps_256":      "<8 x float> @llvm.x86.avx.rcp.ps.256(<8 x float>)",
    "rsqrtps":        "<4 x float> @llvm.x86.sse.rsqrt.ps(<4 x float>)",
    "rsqrtps_256":    "<8 x float> @llvm.x86.avx.rsqrt.ps.256(<8 x float>)",
}
"""Rows that are an intrinsic: the declaration, with `imm` where the immediate goes."""
# fmt: on

LANES = {"w": "i16", "d": "i32", "q": "i64"}
for _shift, _letters in (("psll", "wdq"), ("psrl", "wdq"), ("psra", "wd")):
    for _letter in _letters:
        _lane = LANES[_letter]
        _bits = int(_lane[1:])
        _one, _two = f"<{128 // _bits} x {_lane}>", f"<{256 // _bits} x {_lane}>"
        INTRINSICS[f"{_shift}{_letter}"] = (
            f"{_one} @llvm.x86.sse2.{_shift}.{_letter}({_one}, {_one})"
        )
        INTRINSICS[f"{_shift}{_letter}_256"] = (
            f"{_two} @llvm.x86.avx2.{_shift}.{_letter}({_two}, {_one})"
        )
_STRING = {"i": ("i32", ""), "m": ("<16 x i8>", "m"), **{f: ("i32", f"i{f}") for f in "acosz"}}
for _what, (_type, _suffix) in _STRING.items():
    _name = f"{_suffix or 'i'}128"
    INTRINSICS[f"pcmpestr{_what}"] = (
        f"{_type} @llvm.x86.sse42.pcmpestr{_name}(<16 x i8>, i32, <16 x i8>, i32, i8 imm)"
    )
    INTRINSICS[f"pcmpistr{_what}"] = (
        f"{_type} @llvm.x86.sse42.pcmpistr{_name}(<16 x i8>, <16 x i8>, i8 imm)"
    )

WITH_IMMEDIATE = ("cmp", "round", "dp", "cvtps2ph")
SWAPPED = frozenset(("addps", "addpd", "mulps", "mulpd"))
"""Instructions whose operands LLVM's assembler would swap for a shorter encoding, unless it is told
to take the long one: another NaN would come back."""
ESTIMATES = ("rcpss", "rsqrtss")
"""Scalar rows that raise nothing, but are assembly for their rest, the first operand's."""


@cache
def host_has_avx() -> bool:
    """The host has three-operand encodings, which are to be used: mixing with the old is slow."""
    with open("/proc/cpuinfo") as info:
        return any(" avx " in f"{line} " for line in info if line.startswith("flags"))


def parameters(declaration: str) -> list[str]:
    """The types of an intrinsic's operands."""
    listed = declaration.partition("(")[2].rstrip(")").split(", ")
    return [part for part in listed if not part.endswith(" imm")]


def assembly(row: Simd, imm: int) -> tuple[str, str]:
    """Template and constraints of a row that is one instruction; AT&T's order of operands."""
    name = row.name.removesuffix("_256")
    if row.result is I1:
        return f"{_vex()}{name} $2, $1", "={@ccp},x,x,~{flags}"
    if name.startswith(("fm", "fnm")):
        return f"v{name} $3, $2, $0", "=x,0,x,x"
    output = "=x"
    if not _is_vector(row.result):
        name, output = name[:-1], "=r"
    number = f"$${imm}, " if name.startswith(WITH_IMMEDIATE) else ""
    inputs = ["x" if _is_vector(t) else "r" for t in row.operands]
    if host_has_avx():
        places = ", ".join(f"${i}" for i in range(len(inputs), -1, -1))
        long = "{vex3} " if name in SWAPPED else ""
        return f"{long}v{name} {number}{places}", ",".join((output, *inputs))
    if len(inputs) == 1:
        return f"{name} {number}$1, $0", f"{output},{inputs[0]}"
    return f"{name} {number}$2, $0", f"{output},0,{inputs[1]}"


def aligned_load(type_: str, pointer: str) -> str:
    """A load of a vector that the host itself refuses (#GP) where it is not aligned.

    It is assembly, as LLVM takes aligned loads for a promise and makes them part of others.
    """
    return (
        f'call {type_} asm sideeffect "{_vex()}movaps $1, $0", "=x,*m"'
        f"(ptr elementtype({type_}) {pointer})"
    )


def aligned_store(type_: str, value: str, pointer: str) -> str:
    """A store of the same kind."""
    return (
        f'call void asm sideeffect "{_vex()}movaps $1, $0", "=*m,x,~{{memory}}"'
        f"(ptr elementtype({type_}) {pointer}, {type_} {value})"
    )


def _vex() -> str:
    return "v" if host_has_avx() else ""


def _is_vector(type_: Type) -> bool:
    return type_ is V128 or type_ is V256
