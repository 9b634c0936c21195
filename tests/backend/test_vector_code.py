"""What SSE and AVX code of a guest becomes in a region: the host's own instructions, and no others.

A loop's body is looked at, since what stands around it moves registers in and out.
"""

from __future__ import annotations

import re
from collections import Counter

import pytest

from backend.llvm.regions import compile_region

PLACE = "frontends.x86.frontend:X8664Frontend"
PC = 0x400000

# fmt: off
LOOPS = {
    "scalar double": (
        "f2 0f 58 c1  f2 0f 59 c2  f2 0f 5c 07  f2 0f 51 d8",       # addsd mulsd subsd sqrtsd
        {"vaddsd": 1, "vmulsd": 1, "vsubsd": 1, "vsqrtsd": 1, "vmovsd": 1},
    ),
    "packed single": (
        "0f 10 0f  0f 59 c8  0f 58 0e  0f 11 0e",                   # movups mulps addps movups
        {"vmovups": 2, "vmulps": 1, "vaddps": 1},
    ),
    "packed integer": (
        "66 0f fe cb  66 0f ef d1  66 0f f5 da  66 0f 70 db 1b",    # paddd pxor pmaddwd pshufd
        {"vpaddd": 1, "vpxor": 1, "vpmaddwd": 1, "vpshufd": 1},
    ),
    "saturation, bytes": (
        "66 0f dc c1  66 0f e0 c2  66 0f da c3  66 0f 38 00 c4",    # paddusb pavgb pminub pshufb
        {"vpaddusb": 1, "vpavgb": 1, "vpminub": 1, "vpshufb": 1},
    ),
    "conversion": (
        "f2 48 0f 2a c6  f2 0f 5a c8  f3 48 0f 2c f1",              # cvtsi2sd cvtsd2ss cvttss2si
        {"vcvtsi2sd": 1, "vcvtsd2ss": 1, "vcvttss2si": 1},
    ),
    "AVX": (
        "c5 fc 10 0f  c5 f4 59 c8  c5 f4 58 0e  c5 fc 11 0e",       # vmovups vmulps vaddps vmovups
        {"vmovups": 3, "vmulps": 1, "vaddps": 1},
    ),
    "AVX registers that live from turn to turn": (
        "c5 fc 58 07  c5 e5 fe dc  f3 0f 59 f5",                    # vaddps vpaddd mulss
        {"vaddps": 1, "vmovups": 1, "vpaddd": 1, "vmulss": 1},
    ),
    "FMA": (
        "c4 e2 f1 b8 c2  c4 e2 e9 98 c8",                           # vfmadd231pd vfmadd132pd
        {"vfmadd231pd": 1, "vfmadd132pd": 1},
    ),
}
# fmt: on
NOT_VECTORS = ("vmovaps", "vmovapd", "vmovdqa")
"""Moves between registers, which cost nothing, and which of them there are is LLVM's choice."""


def body_of(code: str) -> list[str]:
    """The host's vector instructions in a loop around guest code."""
    text = bytes.fromhex(code) + bytes.fromhex("48 ff c8")  # dec rax
    text += bytes((0x75, (-len(text) - 2) & 0xFF))  # jne to the start
    made = compile_region({
        "frontend": PLACE, "blocks": [[PC, text, []]], "entries": 1, "exact": False,
        "parallel": False, "listings": ["out_asm"],
    })  # fmt: skip
    lines = [plain_text(line) for line in made["listings"]["out_asm"].splitlines()]
    start = next(i for i, line in enumerate(lines) if re.fullmatch(r"\.LBB0_1:", line))
    back = max(i for i, line in enumerate(lines) if re.match(r"j\w+\s+\.LBB0_1$", line))
    return [line for line in lines[start:back] if line.startswith("v")]


def plain_text(line: str) -> str:
    """A line without what says which encoding to take, and without its comment."""
    return line.partition("#")[0].replace("{vex3}", "").strip()


def plain_name(line: str) -> str:
    """The mnemonic, without the letter that says how wide an integer operand is."""
    return re.sub(r"^(v(?:cvtsi2s[sd]|cvtt?s[sd]2si))[lq]$", r"\1", line.partition("\t")[0])


@pytest.mark.parametrize("name", LOOPS)
def test_one_instruction_each(name: str) -> None:
    from backend.llvm.simd import host_has_avx

    if not host_has_avx():
        pytest.skip("the host has no AVX")
    code, expected = LOOPS[name]
    lines = body_of(code)
    found = Counter(plain_name(line) for line in lines)
    for move in NOT_VECTORS:
        del found[move]
    assert found == expected, "\n".join(lines)
