"""SMBIOS: who made the machine; only what every table must have.

Source: DMTF DSP0134, "System Management BIOS Reference Specification" 2.8, sections 5.2 and 7.
"""

from __future__ import annotations

import struct

MAKER, PRODUCT = "qemupy", "Standard PC (i440FX + PIIX)"


def structure(kind: int, handle: int, fields: bytes, *strings: str) -> bytes:
    """A structure: its formatted part, then the strings that it counts from 1."""
    head = struct.pack("<BBH", kind, 4 + len(fields), handle)
    text = b"".join(string.encode() + b"\0" for string in strings) or b"\0"
    return head + fields + text + b"\0"


def structures() -> tuple[bytes, int]:
    """All structures, and how many they are."""
    bios = struct.pack("<BBHBBQBBBBBB", 1, 2, 0xF000, 3, 0, 0x08, 0, 0x04, 0, 0, 0xFF, 0xFF)
    system = struct.pack("<BBBB16sBBB", 1, 2, 3, 0, bytes(16), 6, 0, 0)
    chassis = struct.pack("<BBBBBBBBBIBBBB", 1, 1, 2, 0, 0, 3, 3, 3, 2, 0, 0, 0, 0, 0)
    rows = (
        structure(0, 0, bios, MAKER, "1", "01/01/2026"),
        structure(1, 0x100, system, MAKER, PRODUCT, "pc"),
        structure(3, 0x300, chassis, MAKER, "pc"),
        structure(127, 0x7F00, b""),
    )
    return b"".join(rows), len(rows)


def entry_point(address: int, table: bytes, count: int) -> bytes:
    """The 32-bit entry point (5.2.1) for structures at `address`."""
    largest = 128
    inner = bytearray(struct.pack("<5sBHIHB", b"_DMI_", 0, len(table), address, count, 0x28))
    inner[5] = -sum(inner) & 0xFF
    outer = bytearray(
        struct.pack("<4sBBBBHB5s", b"_SM_", 0, 31, 2, 8, largest, 0, bytes(5)) + inner
    )
    outer[4] = -sum(outer) & 0xFF
    return bytes(outer)


def smbios_tables(at: int) -> tuple[bytes, ...]:
    """The entry point at physical address `at`, and what comes 32 bytes after it."""
    table, count = structures()
    return (entry_point(at + 32, table, count).ljust(32, b"\0") + table,)
