"""Small ELF programs put together by hand, for tests of the loader."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

PT_LOAD, PT_INTERP, PT_PHDR, PT_GNU_STACK = 1, 3, 6, 0x6474E551
R, W, X = 4, 2, 1
EM_PPC = 20


@dataclass(frozen=True)
class Part:
    """A program header and what the file has for it."""

    type: int = PT_LOAD
    flags: int = R
    address: int = 0
    data: bytes = b""
    memory_size: int | None = None
    align: int = 0x10000
    covers_headers: bool = False
    """Whether this is the beginning of the file, as linkers make the first segment."""


@dataclass(frozen=True)
class Elf:
    """An ELF file: `bytes(elf)`; parts with data begin where their address is in its page."""

    parts: Sequence[Part] = field(default_factory=tuple)
    entry: int = 0
    type: int = 2
    machine: int = EM_PPC
    bits: int = 32
    big: bool = True

    def __bytes__(self) -> bytes:
        mark = ">" if self.big else "<"
        header = 52 if self.bits == 32 else 64
        entry_size = 32 if self.bits == 32 else 56
        at = header + entry_size * len(self.parts)
        body = b""
        headers = b""
        for part in self.parts:
            offset = at + len(body)
            if part.covers_headers:
                headers += self._program_header(mark, replace(part, data=bytes(at)), 0, at)
                continue
            if part.type == PT_LOAD:
                offset += (part.address - offset) % 4096
                body = body.ljust(offset - at, b"\xee")
            body += part.data
            size = len(part.data) if part.memory_size is None else part.memory_size
            headers += self._program_header(mark, part, offset, size)
        word = "I" if self.bits == 32 else "Q"
        ident = b"\x7fELF" + bytes((self.bits // 32, 2 if self.big else 1, 1)).ljust(12, b"\0")
        start = struct.pack(
            f"{mark}HHI3{word}IHHHHHH", self.type, self.machine, 1, self.entry, header, 0, 0,
            header, entry_size, len(self.parts), 0, 0, 0,
        )  # fmt: skip
        return ident + start + headers + body

    def _program_header(self, mark: str, part: Part, offset: int, size: int) -> bytes:
        where = (part.type, offset, part.address, part.address, len(part.data), size)
        if self.bits == 32:
            return struct.pack(f"{mark}8I", *where, part.flags, part.align)
        return struct.pack(f"{mark}2I6Q", part.type, part.flags, *where[1:], part.align)


STATIC = Elf(
    (
        Part(PT_LOAD, R | X, 0x10000000, b"text".ljust(0x120, b"t"), align=0x10000),
        Part(PT_LOAD, R | W, 0x10011F80, b"data".ljust(0x40, b"d"), 0x2100),
        Part(PT_GNU_STACK, R | W),
    ),
    entry=0x10000010,
)
"""A program of a page of text and a page of data with .bss reaching into the third page after."""

LINKER = Elf(
    (Part(PT_LOAD, R | X, 0, b"linker".ljust(0x200, b"l")), Part(PT_GNU_STACK, R | W)),
    entry=0x40,
    type=3,
)
"""What a program interpreter looks like."""


def dynamic(interpreter: bytes, position_independent: bool = True) -> Elf:
    """A program that names an interpreter."""
    base = 0 if position_independent else 0x10000000
    parts = (
        Part(PT_INTERP, R, base + 0x1000, interpreter + b"\0"),
        *(replace(part, address=part.address - 0x10000000 + base) for part in STATIC.parts[:2]),
        STATIC.parts[2],
    )
    return Elf(parts, base + 0x10, 3 if position_independent else 2)
