"""What a BIOS service sees of the processor: registers, flags, and memory by linear address.

Services speak in terms of `Call`: `call.ah`, `call.es_pointer(call.di)`, `call.carry = True`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from machine.bus import Memory

CARRY, ZERO, OVERFLOW, INTERRUPTS = 0x0001, 0x0040, 0x0800, 0x0200

PAGE = 4096

DATA_AREA, DATA_AREA_END = 0x400, 0x500
CONVENTIONAL_END = 0xA0000


class Registers(Protocol):
    """The processor's registers by name: `eax`, `es`, `es_base`, `eflags`.

    Writing a segment register in real or virtual-8086 mode sets its base too.
    """

    def __getitem__(self, name: str, /) -> int: ...
    def __setitem__(self, name: str, value: int, /) -> None: ...


class Part:
    """A register or a part of one as an attribute: `bits` wide, from bit `shift` on."""

    def __init__(self, register: str, bits: int, shift: int = 0) -> None:
        self._register = register
        self._shift = shift
        self._mask = (1 << bits) - 1

    def __get__(self, call: Call, owner: type[Call] | None = None) -> int:
        return call.registers[self._register] >> self._shift & self._mask

    def __set__(self, call: Call, value: int) -> None:
        whole = call.registers[self._register]
        kept = whole & ~(self._mask << self._shift)
        call.registers[self._register] = kept | (value & self._mask) << self._shift


class Flag:
    """A bit of EFLAGS as an attribute."""

    def __init__(self, bit: int) -> None:
        self._bit = bit

    def __get__(self, call: Call, owner: type[Call] | None = None) -> bool:
        return bool(call.registers["eflags"] & self._bit)

    def __set__(self, call: Call, value: bool) -> None:
        flags = call.registers["eflags"]
        if bool(flags & self._bit) != value:
            call.registers["eflags"] = flags ^ self._bit


class Call:
    """One request to the BIOS; answers go where it came from."""

    # fmt: off
    eax, ebx, ecx, edx = Part("eax", 32), Part("ebx", 32), Part("ecx", 32), Part("edx", 32)
    esi, edi           = Part("esi", 32), Part("edi", 32)
    ax,  bx,  cx,  dx  = Part("eax", 16), Part("ebx", 16), Part("ecx", 16), Part("edx", 16)
    si,  di,  bp,  sp  = Part("esi", 16), Part("edi", 16), Part("ebp", 16), Part("esp", 16)
    al,  bl,  cl,  dl  = Part("eax", 8), Part("ebx", 8), Part("ecx", 8), Part("edx", 8)
    ah,  bh,  ch,  dh  = Part("eax", 8, 8), Part("ebx", 8, 8), Part("ecx", 8, 8), Part("edx", 8, 8)
    es,  ds            = Part("es", 16), Part("ds", 16)
    carry, zero        = Flag(CARRY), Flag(ZERO)
    not_yet            = Flag(OVERFLOW)
    # fmt: on

    def __init__(self, registers: Registers) -> None:
        self.registers = registers

    def es_pointer(self, offset: int) -> int:
        """The linear address of ES:offset."""
        return self.registers["es_base"] + offset

    def ds_pointer(self, offset: int) -> int:
        """The linear address of DS:offset."""
        return self.registers["ds_base"] + offset

    @property
    def stack(self) -> int:
        """Where the stack is: it tells waiting calls from one another."""
        return self.registers["ss_base"] + self.sp


class Guest:
    """The guest's memory as the BIOS uses it, little endian.

    `translate` is the paging in force, for services called in virtual-8086 mode; without it linear
    addresses are physical ones.
    """

    def __init__(
        self,
        memory: Memory,
        translate: Callable[[int], int] | None = None,
        low: memoryview | None = None,
    ) -> None:
        """`low`: conventional memory on the host, if it can be reached without ceremony."""
        self.memory = memory
        self.translate = translate
        self._low = low

    def read(self, linear: int, length: int) -> bytes:
        if self.translate is None:
            if self._low is not None and linear + length <= CONVENTIONAL_END:
                return bytes(self._low[linear : linear + length])
            return self.memory.read(linear, length)
        return b"".join(
            self.memory.read(self.translate(at), size) for at, size in by_page(linear, length)
        )

    def write(self, linear: int, data: bytes) -> None:
        if self.translate is None:
            if self._low is not None and DATA_AREA <= linear < DATA_AREA_END - len(data):
                self._low[linear : linear + len(data)] = data  # nobody runs code there
            else:
                self.memory.write(linear, data)
            return
        done = 0
        for at, size in by_page(linear, len(data)):
            self.memory.write(self.translate(at), data[done : done + size])
            done += size

    def byte(self, linear: int) -> int:
        return self.read(linear, 1)[0]

    def word(self, linear: int) -> int:
        return int.from_bytes(self.read(linear, 2), "little")

    def dword(self, linear: int) -> int:
        return int.from_bytes(self.read(linear, 4), "little")

    def put_byte(self, linear: int, value: int) -> None:
        self.write(linear, bytes((value & 0xFF,)))

    def put_word(self, linear: int, value: int) -> None:
        self.write(linear, (value & 0xFFFF).to_bytes(2, "little"))

    def put_dword(self, linear: int, value: int) -> None:
        self.write(linear, (value & 0xFFFFFFFF).to_bytes(4, "little"))

    def pointer(self, linear: int) -> int:
        """The linear address that a far pointer (offset, segment) names."""
        return self.word(linear) + 16 * self.word(linear + 2)


def by_page(linear: int, length: int) -> list[tuple[int, int]]:
    """A range of addresses, cut at pages."""
    pieces = []
    while length > 0:
        size = min(length, PAGE - linear % PAGE)
        pieces.append((linear, size))
        linear += size
        length -= size
    return pieces
