"""What a BIOS finds in the real-time clock's memory: how much RAM there is, which drives.

Source: the AT's layout (IBM, "Technical Reference, Personal Computer AT", RT/CMOS RAM), with the
additions that QEMU's `pc` machine has and SeaBIOS reads: bytes 34h, 38h, 3Dh, 5Bh, 5Fh.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

FLOPPIES, HARD_DISKS, EQUIPMENT, BASE_MEMORY, EXTENDED_MEMORY = 0x10, 0x12, 0x14, 0x15, 0x17
DISK_TYPES, DISK_GEOMETRY, EXTENDED_AGAIN, ABOVE_16M = (0x19, 0x1A), (0x1B, 0x24), 0x30, 0x34
BOOT_THIRD, TRANSLATION, BOOT_FIRST, ABOVE_4G, MORE_CPUS = 0x38, 0x39, 0x3D, 0x5B, 0x5F

HAS_FPU, HAS_MOUSE, HAS_FLOPPY = 0x02, 0x04, 0x01
USER_TYPE = 0x2F
"""A disk whose geometry is told."""

BOOT_CODES = {"a": 1, "b": 1, "c": 2, "d": 3, "n": 4}
DEFAULT_ORDER = "cad"

KB, MB = 1 << 10, 1 << 20


@dataclass(frozen=True, slots=True)
class Hardware:
    """What is to be told: bytes of RAM, types of floppy drives, cylinders, heads, sectors."""

    below_4g: int
    above_4g: int = 0
    floppies: Sequence[int] = ()
    disks: Sequence[tuple[int, int, int] | None] = ()
    """The first two hard disks' geometries."""
    order: str = DEFAULT_ORDER
    floppy_checked: bool = True


def fill_cmos(cmos: bytearray, hardware: Hardware) -> None:
    """Write all of it."""
    _fill_memory(cmos, hardware)
    types = [*hardware.floppies, 0, 0]
    cmos[FLOPPIES] = types[0] << 4 | types[1]
    cmos[EQUIPMENT] = HAS_FPU | HAS_MOUSE
    count = len(hardware.floppies)
    if count:
        cmos[EQUIPMENT] |= HAS_FLOPPY | count - 1 << 6
    for number, geometry in enumerate(hardware.disks[:2]):
        if geometry is not None:
            _fill_disk(cmos, number, *geometry)
    codes = [BOOT_CODES[letter] for letter in hardware.order[:3]] + [0, 0, 0]
    cmos[BOOT_FIRST] = codes[1] << 4 | codes[0]
    cmos[BOOT_THIRD] = codes[2] << 4 | (0 if hardware.floppy_checked else 1)
    cmos[MORE_CPUS] = 0


def _fill_memory(cmos: bytearray, hardware: Hardware) -> None:
    low = hardware.below_4g
    extended = min(max(low - MB, 0) // KB, 0xFFFF)
    _put(cmos, BASE_MEMORY, min(low // KB, 640), 2)
    _put(cmos, EXTENDED_MEMORY, extended, 2)
    _put(cmos, EXTENDED_AGAIN, extended, 2)
    _put(cmos, ABOVE_16M, min(max(low - 16 * MB, 0) // (64 * KB), 0xFFFF), 2)
    _put(cmos, ABOVE_4G, hardware.above_4g // (64 * KB), 3)


def _fill_disk(cmos: bytearray, number: int, cylinders: int, heads: int, sectors: int) -> None:
    """Type 47: cylinders, heads, precompensation, control byte, landing zone, sectors."""
    cmos[HARD_DISKS] |= 0xF0 >> 4 * number
    cmos[DISK_TYPES[number]] = USER_TYPE
    at = DISK_GEOMETRY[number]
    control = 0xC0 | (8 if heads > 8 else 0)
    row = (*_bytes(cylinders), heads, 0xFF, 0xFF, control, *_bytes(cylinders), sectors)
    cmos[at : at + 9] = bytes(row)
    translation = 0 if cylinders <= 1024 else 1
    cmos[TRANSLATION] |= translation << 2 * number


def _bytes(value: int) -> tuple[int, int]:
    return value & 0xFF, value >> 8 & 0xFF


def _put(cmos: bytearray, at: int, value: int, size: int) -> None:
    cmos[at : at + size] = value.to_bytes(size, "little")


def disk_geometry(sectors: int) -> tuple[int, int, int]:
    """Cylinders, heads and sectors that a disk of so many sectors says it has (ATA-2, annex B)."""
    heads, per_track = 16, 63
    cylinders = min(max(sectors // (heads * per_track), 2), 16383)
    return cylinders, heads, per_track
