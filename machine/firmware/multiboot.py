"""Multiboot kernels: entered in protected mode, with a table of what there is.

Source: "Multiboot Specification" 0.6.96, sections 3.1 (header), 3.2 (machine state) and 3.3 (boot
information). ELF kernels of 32 bits and those with addresses in their header; no video modes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from machine.errors import MachineError, shown
from machine.firmware.bda import CONVENTIONAL_KB
from machine.firmware.boot import Jump
from machine.firmware.call import Guest
from machine.firmware.listing import load
from machine.firmware.memory_map import memory_map

HEADER_MAGIC, LOADER_MAGIC = 0x1BADB002, 0x2BADB002
SEARCHED = 8192
ALIGN_MODULES, WANTS_MEMORY, WANTS_VIDEO, HAS_ADDRESSES = 1, 2, 4, 1 << 16
MUST_UNDERSTAND = 0xFFFF

INFO, INFO_END = 0x9000, 0x10000
"""Where the boot information goes."""
HAS_MEMORY, HAS_LINE, HAS_MODULES, HAS_MAP, HAS_NAME = 1, 4, 8, 64, 512
PAGE, HIGH = 0x1000, 0x100000

MACHINE_386, LOAD_SEGMENT = 3, 1


@dataclass(frozen=True, slots=True)
class Header:
    """The Multiboot header: where it is in the file, and what it asks for."""

    offset: int
    flags: int


@dataclass(frozen=True, slots=True)
class Segment:
    """Bytes for an address; `size` with the zeros after them."""

    address: int
    data: bytes
    size: int


@dataclass(frozen=True, slots=True)
class Module:
    """A file that the kernel gets."""

    path: str
    line: str
    data: bytes


def find_header(image: bytes) -> Header | None:
    """The header in the first 8 KiB, at a multiple of four bytes; its three numbers sum up to 0."""
    searched = image[: SEARCHED + 12]
    at = searched.find(HEADER_MAGIC.to_bytes(4, "little"))
    while at >= 0:
        if at % 4 == 0 and at + 12 <= len(searched):
            magic, flags, checksum = struct.unpack_from("<III", searched, at)
            if (magic + flags + checksum) & 0xFFFFFFFF == 0:
                return Header(at, flags)
        at = searched.find(HEADER_MAGIC.to_bytes(4, "little"), at + 1)
    return None


def read_segments(image: bytes, header: Header, name: str) -> tuple[list[Segment], int]:
    """What is loaded where, and the entry. Raises MachineError."""
    if header.flags & HAS_ADDRESSES:
        return _by_addresses(image, header, name)
    if image[:4] != b"\x7fELF":
        raise MachineError(f"-kernel {shown(name)}: a Multiboot kernel that is no ELF file")
    return _by_elf(image, name)


def _by_addresses(image: bytes, header: Header, name: str) -> tuple[list[Segment], int]:
    if header.offset + 32 > len(image):
        raise MachineError(
            f"-kernel {shown(name)}: it is truncated: its Multiboot header is cut off"
        )
    at, start, end, bss_end, entry = struct.unpack_from("<5I", image, header.offset + 12)
    offset = header.offset - (at - start)
    length = end - start if end else len(image) - offset
    if not 0 <= offset <= len(image) or length < 0 or offset + length > len(image):
        raise MachineError(f"-kernel {shown(name)}: its Multiboot addresses are not in the file")
    size = max(length, bss_end - start)
    return [Segment(start, image[offset : offset + length], size)], entry


def _by_elf(image: bytes, name: str) -> tuple[list[Segment], int]:
    if len(image) < 52 or image[4] != 1:
        raise MachineError(
            f"-kernel {shown(name)}: a Multiboot kernel must be an ELF file of 32 bits"
        )
    (machine,) = struct.unpack_from("<H", image, 18)
    entry, table = struct.unpack_from("<II", image, 24)
    size, count = struct.unpack_from("<HH", image, 42)
    if machine != MACHINE_386 or size < 32 or table + size * count > len(image):
        raise MachineError(f"-kernel {shown(name)}: its ELF header is damaged, or not of an 80386")
    segments = []
    for index in range(count):
        kind, offset, _, physical, in_file, in_memory, _, _ = struct.unpack_from(
            "<8I", image, table + index * size
        )
        if kind != LOAD_SEGMENT:
            continue
        if offset + in_file > len(image):
            raise MachineError(f"-kernel {shown(name)}: it is truncated: a segment is cut off")
        segments.append(
            Segment(physical, image[offset : offset + in_file], max(in_memory, in_file))
        )
    return segments, entry


class MultibootKernel:
    """A kernel, its modules and its command line."""

    def __init__(
        self, name: str, image: bytes, append: str, modules: list[Module], below_4g: int
    ) -> None:
        self._name = name
        header = find_header(image)
        if header is None:
            raise MachineError(f"-kernel {shown(name)} has no Multiboot header")
        if header.flags & MUST_UNDERSTAND & ~(ALIGN_MODULES | WANTS_MEMORY | WANTS_VIDEO):
            raise MachineError(
                f"-kernel {shown(name)}: Multiboot flags {header.flags:#x} are unknown"
            )
        self._segments, self._entry = read_segments(image, header, name)
        self._append = append
        self._modules = modules
        self._below_4g = below_4g
        ends = [one.address + one.size for one in self._segments]
        self._end = max([HIGH, *ends])
        total = self._end + sum(-(-len(one.data) // PAGE) * PAGE + PAGE for one in modules)
        if total > below_4g or not self._segments:
            raise MachineError(
                f"-kernel {shown(name)} with its modules does not fit into {below_4g >> 20} MB of"
                " memory; -m gives it more"
            )

    @property
    def title(self) -> str:
        return f"kernel {self._name.rpartition('/')[2]}"

    def load(self, guest: Guest) -> Jump:
        write = guest.memory.write
        for one in self._segments:
            write(one.address, one.data)
            rest = one.size - len(one.data)
            for start in range(0, rest, 1 << 20):
                write(one.address + len(one.data) + start, bytes(min(1 << 20, rest - start)))
        at = self._end
        rows = []
        for module in self._modules:
            at = -(-at // PAGE) * PAGE
            write(at, module.data)
            rows.append((at, at + len(module.data), module.line))
            at += len(module.data)
        write(INFO, self._information(rows))
        stub = load("flat")
        write(stub.origin, stub.patched(entry=self._entry, magic=LOADER_MAGIC, info=INFO))
        return Jump(0, stub.origin)

    def _information(self, modules: list[tuple[int, int, str]]) -> bytes:
        """The boot information structure, and what it points to, for address `INFO`."""
        tail = bytearray()
        base = INFO + 88

        def place(data: bytes) -> int:
            tail.extend(bytes(-len(tail) % 4))
            tail.extend(data)
            return base + len(tail) - len(data)

        line = f"{self._name} {self._append}".strip()
        line_at = place(line.encode(errors="surrogateescape") + b"\0")
        name_at = place(b"qemupy\0")
        table = b"".join(
            struct.pack("<IIII", start, end, place(text.encode() + b"\0"), 0)
            for start, end, text in modules
        )
        modules_at = place(table)
        ranges = memory_map(self._below_4g, 0, 0)
        map_ = b"".join(struct.pack("<I", 20) + one.packed() for one in ranges)
        map_at = place(map_)
        flags = HAS_MEMORY | HAS_LINE | HAS_MODULES | HAS_MAP | HAS_NAME
        upper = (self._below_4g - HIGH) >> 10
        head = struct.pack("<IIIIIII", flags, CONVENTIONAL_KB, upper, 0xFFFFFFFF, line_at,
                           len(modules), modules_at)  # fmt: skip
        head += bytes(16) + struct.pack("<IIIIIII", len(map_), map_at, 0, 0, 0, name_at, 0)
        return head.ljust(88, b"\0") + bytes(tail)
