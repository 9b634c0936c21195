"""What disks and CD-ROM drives say of themselves: IDENTIFY DEVICE, and S.M.A.R.T.

Source: T13 1410D (ATA/ATAPI-6), sections 8.15 (IDENTIFY DEVICE), 8.16 (IDENTIFY PACKET DEVICE),
8.54.6 (SMART READ DATA).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from machine.drive import Drive

MAX_MULTIPLE = 16
MAX_28_BIT = (1 << 28) - 1
FIRMWARE = "1.0"


@dataclass(slots=True)
class Settings:
    """What the host has set: shown by IDENTIFY."""

    default_geometry: tuple[int, int, int] = (0, 0, 0)
    """Cylinders, heads, sectors."""
    geometry: tuple[int, int, int] = (0, 0, 0)
    multiple: int = MAX_MULTIPLE
    write_cache: bool = True
    multiword_mode: int | None = None
    ultra_mode: int | None = 5

    def set_mode(self, value: int) -> bool:
        """Choose a transfer mode (table 44); False if there is none of this number."""
        kind, mode = value >> 3, value & 7
        if value in (0, 1) or (kind == 1 and mode <= 4):
            self.multiword_mode = self.ultra_mode = None
        elif kind == 4 and mode <= 2:
            self.multiword_mode, self.ultra_mode = mode, None
        elif kind == 8 and mode <= 5:
            self.multiword_mode, self.ultra_mode = None, mode
        else:
            return False
        return True

    def mode_words(self) -> dict[int, int]:
        """Words 63 to 68 and 88: modes that there are, and the one in force."""
        multiword = 0 if self.multiword_mode is None else 1 << self.multiword_mode
        ultra = 0 if self.ultra_mode is None else 1 << self.ultra_mode
        return {
            53: 0x0006,  # words 64 to 70 and 88 are valid
            63: 0x0007 | multiword << 8,
            64: 0x0003,  # PIO 3 and 4
            65: 120,
            66: 120,
            67: 120,
            68: 120,  # nanoseconds of a cycle
            88: 0x003F | ultra << 8,
        }


def disk_identity(drive: Drive, number: int, settings: Settings) -> bytes:
    """Return the 256 words of IDENTIFY DEVICE."""
    cylinders, heads, sectors = settings.default_geometry
    now_cylinders, now_heads, now_sectors = settings.geometry
    capacity = now_cylinders * now_heads * now_sectors
    total = drive.sectors
    short = min(total, MAX_28_BIT)
    cache = 0x0020 if settings.write_cache else 0
    words = {
        0: 0x0040,  # fixed
        1: cylinders,
        3: heads,
        6: sectors,
        47: 0x8000 | MAX_MULTIPLE,
        49: 0x0B00,  # IORDY, LBA, DMA
        50: 0x4000,
        51: 0x0200,
        54: now_cylinders,
        55: now_heads,
        56: now_sectors,
        57: capacity & 0xFFFF,
        58: capacity >> 16,
        59: 0x0100 | settings.multiple if settings.multiple else 0,
        60: short & 0xFFFF,
        61: short >> 16,
        **settings.mode_words(),
        53: 0x0007,  # words 54 to 58 too
        80: 0x007E,  # ATA-1 to ATA/ATAPI-6
        82: 0x7069,  # NOP, buffers, look-ahead, write cache, power management, SMART
        83: 0x7400,  # FLUSH CACHE (EXT), 48-bit addresses
        84: 0x4040,  # FUA
        85: 0x7049 | cache,
        86: 0x3400,
        87: 0x4040,
        93: reset_result(number),
        100: total & 0xFFFF,
        101: total >> 16 & 0xFFFF,
        102: total >> 32 & 0xFFFF,
        103: total >> 48,
        106: 0x6000,  # physical sectors are as long as logical ones
    }
    return identity_of(words, "QEMUPY HARDDISK", f"QP{drive_number(drive, number):05}")


def packet_identity(drive: Drive, number: int, settings: Settings) -> bytes:
    """Return the 256 words of IDENTIFY PACKET DEVICE."""
    words = {
        0: 0x85C0,  # CD-ROM, removable, DRQ within 50 us, packets of 12 bytes
        49: 0x0B00,
        **settings.mode_words(),
        71: 30,
        72: 30,
        80: 0x007E,
        82: 0x4210,  # NOP, DEVICE RESET, PACKET
        83: 0x4000,
        84: 0x4000,
        85: 0x4210,
        87: 0x4000,
        93: reset_result(number),
    }
    return identity_of(words, "QEMUPY DVD-ROM", f"QP{drive_number(drive, number):05}")


def drive_number(drive: Drive, number: int) -> int:
    """A number for the serial: that in the drive's name (`ide1-cd0`) after the bus."""
    digits = [int(char) for char in drive.name if char.isdigit()]
    return digits[0] * 2 + digits[-1] + 1 if len(digits) > 1 else number + 1


def reset_result(number: int) -> int:
    """Word 93: how the hardware reset went, and an 80-conductor cable."""
    return 0x6B00 if number else 0x600B


def identity_of(words: dict[int, int], model: str, serial: str) -> bytes:
    """Lay out the words, with the strings and the checksum of word 255."""
    data = bytearray(512)
    for at, word in words.items():
        struct.pack_into("<H", data, 2 * at, word)
    for at, length, text in ((10, 20, serial), (23, 8, FIRMWARE), (27, 40, model)):
        data[2 * at : 2 * at + length] = swapped(text.ljust(length).encode("ascii", "replace"))
    data[510] = 0xA5
    data[511] = -sum(data[:511]) & 0xFF
    return bytes(data)


def swapped(text: bytes) -> bytes:
    """ATA strings have the first character of each pair in the high byte.

    >>> swapped(b"ATA ")
    b'TA A'
    """
    return b"".join(text[at : at + 2][::-1] for at in range(0, len(text), 2))


# fmt: off
ATTRIBUTES = (
    # id   flags   value worst  raw  threshold
    (0x01, 0x0003, 0x64, 0x64, 0,    0x06),  # raw read error rate
    (0x03, 0x0003, 0x64, 0x64, 0,    0x00),  # spin-up time
    (0x04, 0x0002, 0x64, 0x64, 1,    0x14),  # start/stop count
    (0x05, 0x0003, 0x64, 0x64, 0,    0x24),  # reallocated sectors
    (0x09, 0x0003, 0x64, 0x64, 1,    0x00),  # power-on hours
    (0x0C, 0x0003, 0x64, 0x64, 1,    0x00),  # power cycles
    (0xBE, 0x0003, 0x45, 0x45, 31,   0x32),  # temperature
)
# fmt: on


def smart_data() -> bytes:
    """Return the attributes of a disk that is well."""
    data = bytearray(512)
    data[0] = 1
    for number, (kind, flags, value, worst, raw, _) in enumerate(ATTRIBUTES):
        struct.pack_into("<BHBBI", data, 2 + 12 * number, kind, flags, value, worst, raw)
    data[362] = 0x02  # off-line collection was completed
    data[367] = 0x53  # it can be started and aborted
    data[368] = 0x03  # attributes are saved
    data[511] = -sum(data) & 0xFF
    return bytes(data)


def smart_thresholds() -> bytes:
    data = bytearray(512)
    data[0] = 1
    for number, (kind, *_, threshold) in enumerate(ATTRIBUTES):
        struct.pack_into("<BB", data, 2 + 12 * number, kind, threshold)
    data[511] = -sum(data) & 0xFF
    return bytes(data)
