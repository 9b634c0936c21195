"""Which physical addresses are memory: what INT 15h AX=E820h and the fw_cfg item etc/e820 tell.

Source: ACPI specification 6.5, section 15 (System Address Map Interfaces).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

from machine.firmware.bda import EBDA

MB = 1 << 20
HIGH = 1 << 32


class Use(IntEnum):
    """Types of address ranges."""

    RAM = 1
    RESERVED = 2
    ACPI = 3
    ACPI_NVS = 4


@dataclass(frozen=True, slots=True)
class Range:
    """Addresses of one use."""

    start: int
    length: int
    use: Use

    def packed(self) -> bytes:
        return struct.pack("<QQI", self.start, self.length, self.use)


def memory_map(below_4g: int, above_4g: int, acpi_size: int) -> list[Range]:
    """The map that the embedded BIOS tells; ACPI tables are the last bytes of low memory."""
    top = below_4g - acpi_size
    ranges = [
        Range(0, EBDA, Use.RAM),
        Range(EBDA, 0xA0000 - EBDA, Use.RESERVED),
        Range(0xF0000, 0x10000, Use.RESERVED),
        Range(MB, max(0, top - MB), Use.RAM),
        Range(top, acpi_size, Use.ACPI),
        Range(0xFEFFC000, 0x4000, Use.RESERVED),
        Range(0xFFFC0000, 0x40000, Use.RESERVED),
        Range(HIGH, above_4g, Use.RAM),
    ]
    return [one for one in ranges if one.length]
