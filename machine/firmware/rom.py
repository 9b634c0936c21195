"""The embedded BIOS's ROM: 64 KiB at F0000h, put together from a listing, fonts and tables.

Entries and tables are also where IBM's first BIOS had them, since programs go there: "PC/XT
Technical Reference", 1983, and "PC AT BIOS Compatibility" tables as listed in IBM's "BIOS Interface
Technical Reference".
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cache

from machine.firmware.font import font
from machine.firmware.listing import Listing, load
from machine.firmware.video import functionality

SIZE = 0x10000
BASE = 0xF0000

# fmt: off
FONT_16, FONT_14, FONT_8           = 0x0000, 0x1000, 0x1E00
FUNCTIONALITY, NAME, BIOS32_HEADER = 0x2600, 0x2610, 0x2640
TABLES, TABLES_END                 = 0x2800, 0xC000
CONFIGURATION, FLOPPY_TABLE        = 0xE6F5, 0xEFC7
FIRST_HALF_OF_FONT                 = 0xFA6E
RESET, DATE, MODEL                 = 0xFFF0, 0xFFF5, 0xFFFE

FONTS = {8: FONT_8, 14: FONT_14, 16: FONT_16}

# Old entries and what they are now.
ENTRIES = {
    0xE05B: "post",  0xE2C3: "nothing", 0xE3FE: "int13", 0xE6F2: "int19", 0xE739: "int14",
    0xE82E: "int16", 0xE987: "int09",   0xEC59: "int13", 0xEF57: "int0e", 0xEFD2: "int17",
    0xF065: "int10", 0xF841: "int12",   0xF84D: "int11", 0xF859: "int15", 0xFE6E: "int1a",
    0xFEA5: "int08",
}
OLD_IRET, PRINT_SCREEN_ENTRY = 0xFF53, 0xFF54

# Interrupt vectors that are code; others do nothing, or are 0: 60h to 67h and from 78h on.
VECTORS = {
    0x08: "int08", 0x09: "int09", **dict.fromkeys((0x0A, 0x0B, 0x0C, 0x0D, 0x0F), "ignored_first"),
    0x0E: "int0e", 0x10: "int10", 0x11: "int11", 0x12: "int12", 0x13: "int13", 0x14: "int14",
    0x15: "int15", 0x16: "int16", 0x17: "int17", 0x18: "int18", 0x19: "int19", 0x1A: "int1a",
    0x40: "int13", 0x42: "int10", 0x6D: "int10",
    0x70: "int70", 0x71: "int71", 0x72: "ignored_second", 0x73: "ignored_second", 0x74: "int74",
    0x75: "int75", 0x76: "int76", 0x77: "int76",
}
NO_VECTORS = frozenset((*range(0x60, 0x68), *range(0x78, 0x100)))

# Step rate and head unload, DMA; motor off after, bytes of a sector, sectors, gap, length, gap for
# formatting, filler, head settling in ms, motor start in eighths of a second.
FLOPPY_PARAMETERS = bytes((0xAF, 0x02, 0x25, 0x02, 0x12, 0x1B, 0xFF, 0x6C, 0xF6, 0x0F, 0x08))

# Length; model FCh (AT), submodel, revision; what there is: second PIC, clock, EBDA, INT 16h AH=9.
CONFIGURATION_TABLE = struct.pack("<HBBBBBBBB", 8, 0xFC, 0x00, 0x01, 0x74, 0x40, 0, 0, 0)
# fmt: on

NAME_TEXT = b"qemupy VGA BIOS\0"
DATE_TEXT = b"01/01/26"


@cache
def code() -> Listing:
    """The BIOS's code."""
    return load("bios")


@dataclass(slots=True)
class Rom:
    """A ROM while it is put together: `place` finds room for tables that software searches for."""

    image: bytearray
    free: int = TABLES

    def put(self, offset: int, data: bytes) -> None:
        self.image[offset : offset + len(data)] = data

    def place(self, table: bytes, alignment: int = 16) -> int:
        """Put a table where there is room; returns its offset."""
        at = -(-self.free // alignment) * alignment
        if at + len(table) > TABLES_END:
            raise ValueError("the ROM is full")
        self.put(at, table)
        self.free = at + len(table)
        return at

    def finish(self) -> bytes:
        """With a checksum in its last byte."""
        self.image[-1] = 0
        self.image[-1] = -sum(self.image) & 0xFF
        return bytes(self.image)


def new_rom() -> Rom:
    """All that is the same for every machine."""
    rom = Rom(bytearray(b"\xff" * SIZE))
    listing = code()
    rom.put(listing.origin, listing.code)
    for height, offset in FONTS.items():
        rom.put(offset, font(height))
    rom.put(FIRST_HALF_OF_FONT, font(8)[: 128 * 8])
    rom.put(FUNCTIONALITY, functionality())
    rom.put(NAME, NAME_TEXT)
    rom.put(BIOS32_HEADER, bios32_header(BASE + listing.labels["bios32"]))
    for offset, label in ENTRIES.items():
        rom.put(offset, b"\xe9" + struct.pack("<H", listing.labels[label] - offset - 3 & 0xFFFF))
    rom.put(CONFIGURATION, CONFIGURATION_TABLE)
    rom.put(FLOPPY_TABLE, FLOPPY_PARAMETERS)
    rom.put(OLD_IRET, b"\xcf\xcf")
    rom.put(RESET, b"\xea" + struct.pack("<HH", 0xE05B, 0xF000) + DATE_TEXT)
    rom.put(MODEL, b"\xfc")
    return rom


def bios32_header(entry: int) -> bytes:
    """The BIOS32 service directory's header (PCI BIOS Specification 2.1, 3.3)."""
    header = bytearray(struct.pack("<4sIBBB5x", b"_32_", entry, 0, 1, 0))
    header[10] = -sum(header) & 0xFF
    return bytes(header)


def vectors() -> bytes:
    """The interrupt vector table."""
    labels = code().labels
    table = bytearray()
    for number in range(256):
        offset = labels[VECTORS.get(number, "nothing")]
        table += bytes(4) if number in NO_VECTORS else struct.pack("<HH", offset, 0xF000)
    data = {0x1D: 0xF0A4, 0x1E: FLOPPY_TABLE, 0x1F: FONT_8 + 128 * 8, 0x43: FONT_16}
    for number, offset in data.items():
        struct.pack_into("<HH", table, 4 * number, offset, 0xF000)
    return bytes(table)
