"""Booting from a CD-ROM: the boot catalogue of "El Torito" 1.0.

Without emulation a few sectors are loaded and run; with it an image of a floppy or a hard disk on
the CD stands in for drive A or C.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from machine.drive import SECTOR, Drive, DriveError

CD_SECTOR = 2048
BOOT_RECORD = 17
NO_EMULATION, HARD_DISK = 0, 4
FLOPPY_SECTORS = {1: 2400, 2: 2880, 3: 5760}


class NotBootable(Exception):
    """The CD has no boot catalogue, or not one that can be used."""


@dataclass(frozen=True, slots=True)
class Entry:
    """The default entry: what is to be loaded from where to which segment."""

    emulation: int
    segment: int
    count: int
    """Sectors of 512 bytes."""
    first: int
    """The CD's sector of 2048 bytes."""


def read_entry(drive: Drive) -> Entry:
    """Find the default entry of the boot catalogue. Raises NotBootable."""
    try:
        record = drive.read_sectors(BOOT_RECORD * 4, 4)
        if record[:7] != b"\0CD001\1" or not record[7:].startswith(b"EL TORITO SPECIFICATION"):
            raise NotBootable("it has no boot record")
        (catalogue,) = struct.unpack_from("<I", record, 0x47)
        entries = drive.read_sectors(catalogue * 4, 4)
    except DriveError:
        raise NotBootable("it could not be read") from None
    if (
        sum(struct.unpack("<16H", entries[:32])) & 0xFFFF
        or entries[0] != 1
        or entries[30:32] != b"\x55\xaa"
    ):
        raise NotBootable("its boot catalogue is damaged")
    if entries[32] != 0x88:
        raise NotBootable("its boot catalogue has nothing that boots")
    kind, segment, count, first = entries[33] & 15, *struct.unpack_from("<H2xHI", entries, 34)
    if kind > HARD_DISK:
        raise NotBootable(f"emulation {kind} is unknown")
    return Entry(kind, segment or 0x7C0, count or 1, first)


def specification_packet(entry: Entry, number: int, cd_index: int) -> bytes:
    """What INT 13h AH=4Bh tells: 13h bytes."""
    return struct.pack(
        "<BBBBIHHHHBBB", 0x13, entry.emulation, number, cd_index >> 1, entry.first,
        cd_index & 1, 0, entry.segment, entry.count, 0, 0, 0,
    )  # fmt: skip


def image_bytes(drive: Drive, entry: Entry) -> bytes:
    """What is loaded. Raises NotBootable."""
    first = entry.first * 4
    count = min(entry.count, max(0, drive.sectors - first))
    try:
        data = drive.read_sectors(first, count) if count else b""
    except DriveError:
        raise NotBootable("it could not be read") from None
    if not data:
        raise NotBootable("its boot image is beyond its end")
    return data.ljust(entry.count * SECTOR, b"\0")
