"""A floppy drive: the medium's format by its size, the head over a cylinder, the change line.

Formats are those of the PC's BIOS, and the few larger ones that its drives can do. Not modelled:
motors (a medium always turns), marks of deleted data, and sectors that are not of 512 bytes.
"""

from __future__ import annotations

from typing import NamedTuple

from machine.drive import SECTOR, Drive

RATE_500K, RATE_300K, RATE_250K, RATE_1M = range(4)
"""Data rates by the bits that select them."""
LAST_CYLINDER = 84
"""Where the head of any drive stops."""


class Format(NamedTuple):
    """Cylinders, heads, sectors of a track; the type that CMOS calls its drive; its data rates."""

    cylinders: int
    heads: int
    sectors: int
    cmos_type: int
    rates: frozenset[int]

    @property
    def total(self) -> int:
        return self.cylinders * self.heads * self.sectors


SLOW = frozenset((RATE_250K, RATE_300K))
"""Double density: at 300 rpm, and at the 360 rpm of 1.2M drives."""
FAST, FASTEST = frozenset((RATE_500K,)), frozenset((RATE_1M,))

# fmt: off
_FORMATS = (
    Format(40, 1,  8, 1, SLOW),     #  160K
    Format(40, 1,  9, 1, SLOW),     #  180K
    Format(40, 2,  8, 1, SLOW),     #  320K
    Format(40, 2,  9, 1, SLOW),     #  360K
    Format(80, 2,  9, 3, SLOW),     #  720K
    Format(80, 2, 10, 3, SLOW),     #  800K
    Format(80, 2, 15, 2, FAST),     #  1.2M
    Format(80, 2, 18, 4, FAST),     #  1.44M
    Format(80, 2, 20, 4, FAST),     #  1.6M
    Format(80, 2, 21, 4, FAST),     #  1.68M
    Format(82, 2, 21, 4, FAST),     #  1.72M
    Format(83, 2, 21, 4, FAST),     #  1.74M
    Format(80, 2, 36, 5, FASTEST),  #  2.88M
)
# fmt: on
FORMATS = {one.total: one for one in _FORMATS}
"""Formats by the number of their sectors."""
USUAL = FORMATS[2880]


def format_of(sectors: int) -> Format:
    """The format of a medium of so many sectors; of unknown sizes, the next larger one."""
    known = sorted(total for total in FORMATS if total >= sectors)
    return FORMATS.get(sectors) or (FORMATS[known[0]] if known else _FORMATS[-1])


class FloppyDrive:
    """One drive on the cable, at any time over one of its cylinders."""

    def __init__(self, drive: Drive) -> None:
        self.drive = drive
        self.cylinder = 0
        self.has_changed = True
        """The change line: the medium may be another one, or there is none."""
        before = drive.changed

        def changed() -> None:
            self.has_changed = True
            before()

        drive.changed = changed

    @property
    def format(self) -> Format | None:
        """That of the medium, if there is one."""
        return format_of(self.drive.sectors) if self.drive.sectors else None

    @property
    def cmos_type(self) -> int:
        return (self.format or USUAL).cmos_type

    def step(self, cylinders: int) -> None:
        """Move the head outward or inward. The first pulse resets the change line."""
        self.cylinder = min(max(self.cylinder + cylinders, 0), LAST_CYLINDER)
        if cylinders and self.drive.sectors:
            self.has_changed = False

    def place(self, head: int, sector: int) -> int | None:
        """Which sector of the medium a sector of the track under a head is, if it is there."""
        found = self.format
        if found is None or self.cylinder >= found.cylinders or head >= found.heads:
            return None
        if not 1 <= sector <= found.sectors:
            return None
        number = (self.cylinder * found.heads + head) * found.sectors + sector - 1
        return number if number < self.drive.sectors else None

    def read(self, number: int) -> bytes:
        """A sector. Raises DriveError."""
        return self.drive.read_sectors(number, 1)

    def write(self, number: int, data: bytes) -> None:
        """Write a sector. Raises DriveError."""
        self.drive.write_sectors(number, data.ljust(SECTOR, b"\0"))
