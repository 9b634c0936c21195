"""FXSAVE's image of the x87 and SSE registers, read and written while the guest does not run.

Layout: SDM vol. 1, table 10-2.
"""

from __future__ import annotations

import struct

from frontends.x86.state import X86State
from tcg.cpu import Cpu

FXSAVE_BYTES = 512
_XMM_AT = 160
_HEAD = struct.Struct("<HHBxHQQII")
"""FCW, FSW, abridged FTW, FOP, FIP, FDP, MXCSR, MXCSR_MASK"""
MXCSR_MASK = 0xFFFF


def fxsave_image(state: X86State, cpu: Cpu) -> bytes:
    """The image that FXSAVE would store."""
    mxcsr = cpu.header("mxcsr")
    head = _HEAD.pack(0x37F, 0, 0, 0, 0, 0, mxcsr, MXCSR_MASK)
    vectors = b"".join(cpu.get(slot).to_bytes(16, "little") for slot in state.xmm.slots)
    return (head.ljust(_XMM_AT, b"\0") + vectors).ljust(FXSAVE_BYTES, b"\0")


def fxrstor_image(state: X86State, cpu: Cpu, image: bytes) -> None:
    """Load an image as FXRSTOR does; reserved bits of MXCSR are the caller's to refuse."""
    mxcsr = _HEAD.unpack_from(image)[6]
    cpu.set_header("mxcsr", mxcsr & MXCSR_MASK)
    for i, slot in enumerate(state.xmm.slots):
        at = _XMM_AT + 16 * i
        cpu.set(slot, int.from_bytes(image[at : at + 16], "little"))
