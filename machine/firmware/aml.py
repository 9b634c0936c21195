"""ACPI Machine Language: functions that make its terms, as bytes.

Source: ACPI specification 6.5, chapter 20 (AML); resource descriptors by section 6.4.
"""

from __future__ import annotations

import struct

ARG0, LOCAL0, ONES = b"\x68", b"\x60", b"\xff"

SYSTEM_IO, PCI_CONFIG = 1, 2
BYTE_ACCESS, DWORD_ACCESS = 1, 3

END_TAG = b"\x79\x00"


def segment(text: str) -> bytes:
    """A name of four characters."""
    return text.ljust(4, "_").encode()


def path(text: str) -> bytes:
    r"""A name as ASL has it: "PCI0", "\\_SB.PCI0"."""
    root = b"\\" if text.startswith("\\") else b""
    parts = [segment(part) for part in text.lstrip("\\").split(".") if part]
    prefix = {0: b"\0", 1: b"", 2: b"\x2e"}.get(len(parts), b"\x2f" + bytes((len(parts),)))
    return root + prefix + b"".join(parts)


def number(value: int) -> bytes:
    """An integer in as few bytes as it takes."""
    if value < 2:
        return bytes((value,))
    for prefix, size in ((0x0A, 1), (0x0B, 2), (0x0C, 4), (0x0E, 8)):
        if value < 1 << 8 * size:
            return bytes((prefix,)) + value.to_bytes(size, "little")
    raise ValueError(f"{value:#x} has more than 64 bits")


def string(text: str) -> bytes:
    return b"\x0d" + text.encode() + b"\0"


def eisa(identity: str) -> bytes:
    """A device's identity, such as PNP0A03, in 32 bits."""
    a, b, c = (ord(letter) - 0x40 for letter in identity[:3])
    value = (a << 10 | b << 5 | c) << 16 | int(identity[3:], 16)
    return b"\x0c" + value.to_bytes(4, "big")


def sized(body: bytes) -> bytes:
    """A package length, which counts itself, and the body."""
    if len(body) + 1 < 0x40:
        return bytes((len(body) + 1,)) + body
    for extra in (1, 2, 3):
        total = len(body) + 1 + extra
        if total < 1 << 4 + 8 * extra:
            high = (total >> 4).to_bytes(extra, "little")
            return bytes((extra << 6 | total & 15,)) + high + body
    raise ValueError("AML: the package is too long")


def scope(name: str, *terms: bytes) -> bytes:
    return b"\x10" + sized(path(name) + b"".join(terms))


def device(name: str, *terms: bytes) -> bytes:
    return b"\x5b\x82" + sized(path(name) + b"".join(terms))


def processor(name: str, identity: int) -> bytes:
    return b"\x5b\x83" + sized(path(name) + struct.pack("<BIB", identity, 0, 0))


def method(name: str, arguments: int, *terms: bytes) -> bytes:
    return b"\x14" + sized(path(name) + bytes((arguments,)) + b"".join(terms))


def named(name: str, value: bytes) -> bytes:
    """Name (name, value)"""
    return b"\x08" + path(name) + value


def package(*elements: bytes) -> bytes:
    return b"\x12" + sized(bytes((len(elements),)) + b"".join(elements))


def buffer(data: bytes) -> bytes:
    return b"\x11" + sized(number(len(data)) + data)


def returns(value: bytes) -> bytes:
    return b"\xa4" + value


def store(value: bytes, target: bytes) -> bytes:
    return b"\x70" + value + target


def region(name: str, space: int, offset: int, length: int) -> bytes:
    return b"\x5b\x80" + path(name) + bytes((space,)) + number(offset) + number(length)


def fields(name: str, access: int, *rows: tuple[str, int]) -> bytes:
    """Field (name, access, NoLock, Preserve): names and their bits; an empty name skips bits."""
    body = b"".join((segment(label) if label else b"\0") + _bits(bits) for label, bits in rows)
    return b"\x5b\x81" + sized(path(name) + bytes((access,)) + body)


def _bits(count: int) -> bytes:
    """A length that does not count itself."""
    return bytes((count,)) if count < 0x40 else bytes((0x40 | count & 15, count >> 4))


# -- resources


def resources(*descriptors: bytes) -> bytes:
    """A resource template."""
    return buffer(b"".join(descriptors) + END_TAG)


def ports(start: int, length: int, end: int | None = None) -> bytes:
    return struct.pack("<BBHHBB", 0x47, 1, start, start if end is None else end, 1, length)


def irq(number_: int) -> bytes:
    """An edge-triggered interrupt request."""
    return struct.pack("<BH", 0x22, 1 << number_)


def dma(channel: int) -> bytes:
    return struct.pack("<BBB", 0x2A, 1 << channel, 0)


def memory_32(start: int, length: int, *, writable: bool) -> bytes:
    return struct.pack("<BHBII", 0x86, 9, writable, start, length)


def bus_numbers(first: int, last: int) -> bytes:
    return struct.pack("<BHBBBHHHHH", 0x88, 13, 2, 0x0C, 0, 0, first, last, 0, last - first + 1)


def port_window(first: int, last: int) -> bytes:
    return struct.pack("<BHBBBHHHHH", 0x88, 13, 1, 0x0C, 3, 0, first, last, 0, last - first + 1)


def memory_window(first: int, last: int, *, cacheable: bool = False) -> bytes:
    kind = 3 if cacheable else 1
    return struct.pack("<BHBBBIIIII", 0x87, 23, 0, 0x0C, kind, 0, first, last, 0, last - first + 1)
