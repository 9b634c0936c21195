"""The FPU's part of an i386 signal frame: FNSAVE's image, then FXSAVE's or XSAVE's.

The x87 is in both; programs look at the first, and what they leave there is what sigreturn takes.

    0    cw, sw, tag, ipoff, cssel, dataoff, datasel    each 4 bytes, the upper half of words set
    28   ST0 to ST7, 10 bytes each
    108  status (sw again), magic: 0, an FXSAVE image follows
    112  the FXSAVE image

Source: arch/x86/kernel/fpu/{regset,signal}.c; SDM vol. 1, figures 8-9 and 10-5.
"""

from __future__ import annotations

import struct

from frontends.x86.state import X86State
from tcg.cpu import Cpu
from user_mode.abi.x86.fpstate import FXSAVE_BYTES, FpState, Memory
from user_mode.abi.x86.registers import USER_CS_32, USER_DS

FSAVE_BYTES = 112
_ENVIRONMENT = struct.Struct("<7I")
_FX_HEAD = struct.Struct("<HHBxHQQ")
_UNUSED = 0xFFFF_0000
_FX_REGISTERS_AT, _FX_STRIDE, _REGISTER = 32, 16, 10
_VALID, _ZERO, _SPECIAL, _EMPTY = range(4)


class I386FpState(FpState):
    """What the kernel's copy_fpstate_to_sigframe() does for 32-bit programs."""

    def __init__(self, state: X86State, has_xsave: bool) -> None:
        super().__init__(state, has_xsave, FSAVE_BYTES)

    def save(self, cpu: Cpu) -> bytes:
        """The area as it goes into a frame."""
        image = super().save(cpu)
        return fnsave_header(image) + image

    def restore(self, cpu: Cpu, memory: Memory, address: int) -> None:
        """Take back what a frame has at an address, 0 for nothing; raises Errno."""
        super().restore(cpu, memory, address and address + FSAVE_BYTES)

    def _image(self, memory: Memory, address: int) -> bytes:
        """The FXSAVE image, with the x87 as FNSAVE's has it."""
        header = memory.read(address - FSAVE_BYTES, FSAVE_BYTES)
        return with_fnsave(memory.read(address, FXSAVE_BYTES), header)


def fnsave_header(image: bytes) -> bytes:
    """What lies before an FXSAVE image: convert_from_fxsr()."""
    cw, sw, tags, _, ip, data = _FX_HEAD.unpack_from(image)
    registers = [image[at : at + _REGISTER] for at in _register_places()]
    environment = _ENVIRONMENT.pack(
        cw | _UNUSED,
        sw | _UNUSED,
        _full_tags(tags, sw >> 11 & 7, registers) | _UNUSED,
        ip & 0xFFFF_FFFF,
        USER_CS_32,
        data & 0xFFFF_FFFF,
        USER_DS | _UNUSED,
    )
    return environment + b"".join(registers) + struct.pack("<HH", sw, 0)


def with_fnsave(image: bytes, header: bytes) -> bytes:
    """An FXSAVE image whose x87 part comes from what lies before it: convert_to_fxsr()."""
    cw, sw, tags, ip, code, data, _ = _ENVIRONMENT.unpack_from(header)
    head = _FX_HEAD.pack(cw & 0xFFFF, sw & 0xFFFF, _short_tags(tags), code >> 16 & 0x7FF, ip, data)
    changed = bytearray(image)
    changed[: len(head)] = head
    first = _ENVIRONMENT.size
    for i, at in enumerate(_register_places()):
        changed[at : at + _REGISTER] = header[first + i * _REGISTER : first + (i + 1) * _REGISTER]
    return bytes(changed)


def _register_places() -> range:
    return range(_FX_REGISTERS_AT, _FX_REGISTERS_AT + 8 * _FX_STRIDE, _FX_STRIDE)


def _full_tags(tags: int, top: int, registers: list[bytes]) -> int:
    """Two bits for each physical register, of FXSAVE's one; `registers` begin at the top."""
    found = 0
    for physical in range(8):
        is_used = tags >> physical & 1
        tag = _kind(registers[physical - top & 7]) if is_used else _EMPTY
        found |= tag << 2 * physical
    return found


def _kind(register: bytes) -> int:
    """SDM vol. 1, 8.1.7"""
    significand = int.from_bytes(register[:8], "little")
    exponent = int.from_bytes(register[8:], "little") & 0x7FFF
    if exponent == 0 and significand == 0:
        return _ZERO
    return _VALID if 0 < exponent < 0x7FFF and significand >> 63 else _SPECIAL


def _short_tags(tags: int) -> int:
    """A bit for each register that is not empty."""
    return sum((tags >> 2 * i & 3 != _EMPTY) << i for i in range(8))
