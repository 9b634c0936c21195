"""FXSAVE's image of the x87 and SSE registers, read and written while the guest does not run.

Layout: SDM vol. 1, table 10-2.  Pointers to the last x87 instruction and its operand are not kept;
they are stored as zeros.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from frontends.x86.state import X86State
from tcg.cpu import Cpu
from tcg.fmath import C0, C1, C2, C3

FXSAVE_BYTES = 512
_ST_AT, _XMM_AT = 32, 160
_HEAD = struct.Struct("<HHBxHQQII")
"""FCW, FSW, abridged FTW, FOP, FIP, FDP, MXCSR, MXCSR_MASK"""
MXCSR_MASK = 0xFFFF
_MXCSR_SHIFT, _MXCSR_MASKED = 7, 63 << 7

_CODES = (("fpu_c0", C0), ("fpu_c1", C1), ("fpu_c2", C2), ("fpu_c3", C3), ("fpu_sf", 1 << 6))
_MASKS = 63
_PENDING = 1 << 7 | 1 << 15
"""ES and B"""


def read_control(state: X86State, cpu: Cpu) -> int:
    """FCW"""
    return cpu.get(state.layout.slots["fpu_cw"])


def write_control(state: X86State, cpu: Cpu, value: int) -> None:
    """FCW <- value, in force when the guest goes on"""
    value = value & 0x1F3F | 0x40
    slots = state.layout.slots
    cpu.set(slots["fpu_cw"], value)
    cpu.set(slots["fpu_traps"], int(bool(~value & _MASKS)))
    cpu.set_header("x87_control", value | 0x7F)


def read_status(state: X86State, cpu: Cpu) -> int:
    """FSW"""
    slots = state.layout.slots
    flags = cpu.header("x87_status") & _MASKS
    word = flags | (cpu.get(slots["fpu_top"]) & 7) << 11
    word |= sum(bit for name, bit in _CODES if cpu.get(slots[name]))
    return word | _PENDING if flags & ~read_control(state, cpu) else word


def write_status(state: X86State, cpu: Cpu, value: int) -> None:
    """FSW <- value; what is pending follows from flags and masks"""
    slots = state.layout.slots
    cpu.set_header("x87_status", value & _MASKS)
    cpu.set(slots["fpu_top"], value >> 11 & 7)
    for name, bit in _CODES:
        cpu.set(slots[name], int(bool(value & bit)))


def stack(state: X86State, cpu: Cpu) -> Sequence[int]:
    """ST(0) to ST(7)"""
    top = cpu.get(state.layout.slots["fpu_top"])
    return [cpu.get(state.fpr.slots[top + i & 7]) for i in range(8)]


def _set_stack(state: X86State, cpu: Cpu, image: bytes) -> None:
    top = cpu.get(state.layout.slots["fpu_top"])
    for i in range(8):
        at = _ST_AT + 16 * i
        cpu.set(state.fpr.slots[top + i & 7], int.from_bytes(image[at : at + 10], "little"))


def read_mxcsr(state: X86State, cpu: Cpu) -> int:
    """MXCSR; the host's has all exceptions masked, whatever the guest's says"""
    masks = ~cpu.get(state.layout.slots["mxcsr_enabled"]) & _MASKS
    return cpu.header("mxcsr") & ~_MXCSR_MASKED & MXCSR_MASK | masks << _MXCSR_SHIFT


def write_mxcsr(state: X86State, cpu: Cpu, value: int) -> None:
    """MXCSR <- value, without its reserved bits"""
    cpu.set_header("mxcsr", value & MXCSR_MASK | _MXCSR_MASKED)
    cpu.set(state.layout.slots["mxcsr_enabled"], ~value >> _MXCSR_SHIFT & _MASKS)


# -- FXSAVE ----------------------------------------------------------------------------------------


def fxsave_image(state: X86State, cpu: Cpu) -> bytes:
    """The image that FXSAVE would store."""
    head = _HEAD.pack(
        read_control(state, cpu), read_status(state, cpu), cpu.get(state.layout.slots["fpu_full"]),
        0, 0, 0, read_mxcsr(state, cpu), MXCSR_MASK,
    )  # fmt: skip
    floats = b"".join(value.to_bytes(16, "little") for value in stack(state, cpu))
    vectors = b"".join(cpu.get(slot).to_bytes(16, "little") for slot in state.xmm.slots)
    return (head + floats + vectors).ljust(FXSAVE_BYTES, b"\0")


def fxrstor_image(state: X86State, cpu: Cpu, image: bytes) -> None:
    """Load an image as FXRSTOR does; reserved bits of MXCSR are the caller's to refuse."""
    control, status, full, _, _, _, mxcsr, _ = _HEAD.unpack_from(image)
    write_control(state, cpu, control)
    write_status(state, cpu, status)
    cpu.set(state.layout.slots["fpu_full"], full)
    _set_stack(state, cpu, image)
    write_mxcsr(state, cpu, mxcsr)
    for i, slot in enumerate(state.xmm.slots):
        at = _XMM_AT + 16 * i
        cpu.set(slot, int.from_bytes(image[at : at + 16], "little"))
