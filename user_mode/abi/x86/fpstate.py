"""The floating-point and vector registers in a signal frame: FXSAVE's image, and XSAVE's around it.

    0    FXSAVE image (SDM vol. 1, 10.5.1); its last 48 bytes are the kernel's:
         464  magic1, extended_size, xfeatures, xstate_size
    512  XSAVE header: which components follow (SDM vol. 1, 13.4.2)
    576  the upper halves of the ymm registers
    832  magic2

What lies behind byte 512, and the numbers before, are only there where programs can see XSAVE in
CPUID.  Source: arch/x86/kernel/fpu/signal.c, arch/x86/include/uapi/asm/sigcontext.h.
"""

from __future__ import annotations

import errno
import struct
from typing import Protocol

from frontends.x86.fpu_image import fxrstor_image, fxsave_image
from frontends.x86.state import X86State
from tcg.cpu import Cpu
from user_mode.errors import Errno

FXSAVE_BYTES, HEADER_BYTES, UPPER_BYTES = 512, 64, 16 * 16
XSTATE_BYTES = FXSAVE_BYTES + HEADER_BYTES + UPPER_BYTES
X87, SSE, AVX = 1, 2, 4
"""Bits of XCR0 and of an XSAVE header."""

MAGIC1, MAGIC2 = 0x46505853, 0x46505845
_SOFTWARE = struct.Struct("<IIQI28x")
_SOFTWARE_AT = FXSAVE_BYTES - _SOFTWARE.size
_MXCSR_AT = 24
MXCSR_MASK = 0xFFFF
INITIAL_MXCSR, INITIAL_FCW = 0x1F80, 0x37F


class Memory(Protocol):
    """What is asked of guest memory here."""

    def read(self, address: int, size: int, /) -> bytes:
        """Raises Errno(EFAULT)."""


class FpState:
    """Saves, restores and resets the registers of CPUs with this state.

    `has_xsave`: whether frames are XSAVE's.  `before`: how many bytes lie between the start of the
    whole and the image (on i386: FNSAVE's).
    """

    def __init__(self, state: X86State, has_xsave: bool, before: int = 0) -> None:
        self._state = state
        self._upper = state.ymmh.slots
        self.has_xsave = has_xsave
        self._before = before
        self.size = XSTATE_BYTES + 4 if has_xsave else FXSAVE_BYTES
        """Bytes of what `save` gives."""

    def save(self, cpu: Cpu) -> bytes:
        """The area as it goes into a frame."""
        image = fxsave_image(self._state, cpu)
        if not self.has_xsave:
            return image
        features = X87 | SSE | AVX
        software = _SOFTWARE.pack(MAGIC1, self._before + self.size, features, XSTATE_BYTES)
        header = features.to_bytes(8, "little").ljust(HEADER_BYTES, b"\0")
        upper = b"".join(cpu.get(slot).to_bytes(16, "little") for slot in self._upper)
        return (
            image[:_SOFTWARE_AT] + software + header
            + upper.ljust(UPPER_BYTES, b"\0") + MAGIC2.to_bytes(4, "little")
        )  # fmt: skip

    def restore(self, cpu: Cpu, memory: Memory, address: int) -> None:
        """Take back what a frame has at an address, 0 for nothing; raises Errno."""
        if not address:
            self.reset(cpu)
            return
        image = self._image(memory, address)
        if int.from_bytes(image[_MXCSR_AT : _MXCSR_AT + 4], "little") & ~MXCSR_MASK:
            raise Errno(errno.EINVAL)
        features = self._features(memory, address, image)
        if not features & AVX:
            self._set_upper(cpu, bytes(UPPER_BYTES))
        else:
            at = address + FXSAVE_BYTES + HEADER_BYTES
            self._set_upper(cpu, memory.read(at, UPPER_BYTES))
        fxrstor_image(self._state, cpu, _initialized(image, features))

    def _image(self, memory: Memory, address: int) -> bytes:
        """The FXSAVE image of a frame."""
        return memory.read(address, FXSAVE_BYTES)

    def _features(self, memory: Memory, address: int, image: bytes) -> int:
        """Which components a frame has; the rest goes back to its initial state."""
        magic, _, wanted, size = _SOFTWARE.unpack_from(image, _SOFTWARE_AT)
        if not self.has_xsave or magic != MAGIC1 or size != XSTATE_BYTES:
            return X87 | SSE
        if int.from_bytes(memory.read(address + size, 4), "little") != MAGIC2:
            return X87 | SSE
        present = int.from_bytes(memory.read(address + FXSAVE_BYTES, 8), "little")
        return int(wanted) & present

    def mxcsr(self, cpu: Cpu) -> int:
        """MXCSR, with the flags that are raised."""
        image = fxsave_image(self._state, cpu)
        return int.from_bytes(image[_MXCSR_AT : _MXCSR_AT + 4], "little")

    def x87_words(self, cpu: Cpu) -> tuple[int, int]:
        """The x87's control word and status word."""
        control, status = struct.unpack_from("<HH", fxsave_image(self._state, cpu))
        return control, status

    def _set_upper(self, cpu: Cpu, upper: bytes) -> None:
        for i, slot in enumerate(self._upper):
            cpu.set(slot, int.from_bytes(upper[16 * i : 16 * i + 16], "little"))

    def reset(self, cpu: Cpu) -> None:
        """The state of a new program, and of a handler at its start."""
        fxrstor_image(self._state, cpu, INITIAL_IMAGE)
        self._set_upper(cpu, bytes(UPPER_BYTES))


INITIAL_IMAGE = (
    struct.pack("<HHBxHQQII", INITIAL_FCW, 0, 0, 0, 0, 0, INITIAL_MXCSR, MXCSR_MASK)
).ljust(FXSAVE_BYTES, b"\0")
"""What FNINIT and a new MXCSR leave, in FXSAVE's form: all registers empty and zero."""

_XMM_AT, _XMM_END = 160, 416
_X87_END = 160


def _initialized(image: bytes, features: int) -> bytes:
    """An image with the components that XSAVE's header leaves out in their initial state."""
    if not features & X87:
        image = INITIAL_IMAGE[:_MXCSR_AT] + image[_MXCSR_AT:32] + bytes(128) + image[_X87_END:]
    if not features & SSE:
        image = image[:_XMM_AT] + bytes(_XMM_END - _XMM_AT) + image[_XMM_END:]
    return image
