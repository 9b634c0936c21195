"""INT 13h: floppies by number 00h and 01h, hard disks from 80h, CD-ROMs from E0h.

Sources: IBM, "BIOS Interface Technical Reference", Interrupt 13H; Phoenix, "Enhanced Disk Drive
Specification" 1.1 (AH=41h to 48h); "El Torito" Bootable CD-ROM Format Specification 1.0 (AH=4Ah to
4Dh). Drives are read without the controller, and whole requests at once.

Not modelled: formatting but for what it answers, and diagnostics.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from machine.drive import SECTOR, Drive, DriveError
from machine.firmware import bda
from machine.firmware.call import Call, Guest

# fmt: off
OK, BAD_COMMAND, NOT_FOUND, CHANGED, PAST_64K    = 0x00, 0x01, 0x04, 0x06, 0x09
WRITE_PROTECTED, SEEK_FAILED, TIMED_OUT          = 0x03, 0x40, 0x80
CONTROLLER_FAILED, NO_MEDIUM                     = 0x20, 0x31

# Floppies by the number of their sectors: cylinders, heads, sectors of a track, CMOS type.
FLOPPIES = {
    320: (40, 1, 8, 1),   360: (40, 1, 9, 1),   640: (40, 2, 8, 1),   720: (40, 2, 9, 1),
    1440: (80, 2, 9, 3),  2400: (80, 2, 15, 2), 2880: (80, 2, 18, 4), 3360: (80, 2, 21, 4),
    3444: (82, 2, 21, 4), 5760: (80, 2, 36, 5),
}
# fmt: on
DEFAULT_FLOPPY = FLOPPIES[2880]
CD_FIRST = 0xE0


@dataclass(frozen=True, slots=True)
class Geometry:
    """Cylinders, heads, and sectors of a track."""

    cylinders: int
    heads: int
    sectors: int
    floppy_type: int = 0

    def sector(self, cylinder: int, head: int, sector: int) -> int | None:
        """The number of a sector (they count from 1), if there is such a one."""
        if not 1 <= sector <= self.sectors or head >= self.heads or cylinder >= self.cylinders:
            return None
        return (cylinder * self.heads + head) * self.sectors + sector - 1


def floppy_geometry(sectors: int) -> Geometry:
    """A floppy's geometry by its size; unknown sizes are of 18 sectors as far as they go."""
    if sectors in FLOPPIES:
        return Geometry(*FLOPPIES[sectors])
    cylinders = max(1, min(-(-sectors // 36), 84))
    return Geometry(cylinders, 2, 18, 4) if sectors else Geometry(*DEFAULT_FLOPPY)


def disk_geometry(drive: Drive) -> Geometry:
    """A hard disk's geometry as the PC has it: what its partition table was made for, or by size.

    Beyond 504 MB as many heads as 1024 cylinders need ("large" and LBA-assisted translation).
    """
    guessed = partition_geometry(drive)
    if guessed is not None:
        heads, sectors = guessed
    else:
        sectors = 63
        heads = 16
        while drive.sectors > 1024 * heads * sectors and heads < 255:
            heads = min(heads * 2, 255)
    cylinders = drive.sectors // (heads * sectors)
    return Geometry(max(1, min(cylinders, 1024)), heads, sectors)


def partition_geometry(drive: Drive) -> tuple[int, int] | None:
    """Heads and sectors of which a partition's end in the table speaks, as QEMU guesses them."""
    try:
        table = drive.read_sectors(0, 1)
    except DriveError:
        return None
    if table[510:512] != b"\x55\xaa":
        return None
    for at in range(0x1BE, 0x1FE, 16):
        head, sector = table[at + 5], table[at + 6] & 63
        (size,) = struct.unpack_from("<I", table, at + 12)
        if size and head and sector:
            heads = head + 1
            cylinders = drive.sectors // (heads * sector)
            if 1 <= cylinders <= 16383:
                return heads, sector
    return None


@dataclass(slots=True)
class Drives:
    """What there is, in the order of BIOS numbers."""

    floppies: list[Drive | None] = field(default_factory=list)
    disks: list[Drive] = field(default_factory=list)
    cds: list[Drive] = field(default_factory=list)


@dataclass(slots=True)
class Unit:
    """A drive by its BIOS number; one that El Torito emulates lies on a CD from `first` on."""

    number: int
    drive: Drive
    geometry: Geometry
    first: int = 0
    sectors: int = 0
    block: int = SECTOR
    is_read_only: bool = False

    @property
    def is_floppy(self) -> bool:
        return self.number < 0x80

    @property
    def total(self) -> int:
        """Sectors of 512 bytes."""
        return self.sectors or self.drive.sectors

    def read(self, first: int, count: int) -> bytes:
        """Read blocks; what an image lacks at its end is zeros."""
        scale = self.block // SECTOR
        if (first + count) * scale > -(-self.total // scale) * scale:
            raise DriveError(f"{self.drive.name}: beyond the end")
        start, wanted = self.first + first * scale, count * scale
        there = max(0, min(wanted, self.drive.sectors - start))
        data = self.drive.read_sectors(start, there) if there else b""
        return data.ljust(wanted * SECTOR, b"\0")

    def write(self, first: int, data: bytes) -> None:
        if (first + len(data) // SECTOR) > self.total:
            raise DriveError(f"{self.drive.name}: beyond the end")
        self.drive.write_sectors(self.first + first, data)


class DiskServices:
    """INT 13h."""

    def __init__(self, guest: Guest, drives: Drives) -> None:
        self._guest = guest
        self._drives = drives
        self.emulated: Unit | None = None
        """What El Torito stands in for a drive."""
        self.emulation = b""
        """The specification packet that AH=4Bh tells."""
        self._changed: set[int] = set()
        for number, drive in enumerate(drives.floppies):
            if drive is not None:
                self._watch(number, drive)
        # fmt: off
        self._services: dict[int, Callable[[Call, Unit], int]] = {
            0x00: self._reset,     0x01: self._status,      0x02: self._read,     0x03: self._write,
            0x04: self._verify,    0x05: self._format,      0x08: self._parameters,
            0x09: self._nothing,   0x0C: self._seek,        0x0D: self._reset,
            0x10: self._ready,     0x11: self._nothing,     0x14: self._nothing,
            0x15: self._kind,      0x16: self._change,      0x17: self._nothing,  0x18: self._media,
            0x41: self._installed, 0x42: self._read_packet, 0x43: self._write_packet,
            0x44: self._verify_packet, 0x45: self._lock,    0x46: self._eject,
            0x47: self._seek_packet,   0x48: self._extended_parameters,
            0x49: self._extended_change, 0x4B: self._emulation_status, 0x4E: self._nothing,
        }
        # fmt: on

    def _watch(self, number: int, drive: Drive) -> None:
        """A floppy that is changed says so once. Others hear of it too."""
        before = drive.changed

        def changed() -> None:
            self._changed.add(number)
            before()

        drive.changed = changed

    # -- drives

    def unit(self, number: int) -> Unit | None:
        """The drive of a number."""
        emulated = self.emulated
        if emulated is not None:
            if number == emulated.number:
                return emulated
            if (number ^ emulated.number) < 0x80 and number < CD_FIRST:
                number -= 1  # it has pushed the others up
        if number >= CD_FIRST:
            cd = at(self._drives.cds, number - CD_FIRST)
            return (
                Unit(number, cd, Geometry(1, 1, 1), block=2048, is_read_only=True) if cd else None
            )
        if number >= 0x80:
            disk = at(self._drives.disks, number - 0x80)
            return Unit(number, disk, disk_geometry(disk)) if disk and disk.sectors else None
        floppy = at(self._drives.floppies, number)
        return Unit(number, floppy, floppy_geometry(floppy.sectors)) if floppy else None

    @property
    def floppy_count(self) -> int:
        extra = self.emulated is not None and self.emulated.is_floppy
        return min(sum(1 for drive in self._drives.floppies if drive) + extra, 2)

    @property
    def disk_count(self) -> int:
        extra = self.emulated is not None and not self.emulated.is_floppy
        return sum(1 for drive in self._drives.disks if drive.sectors) + (
            extra and self.emulated is not None and self.emulated.number < CD_FIRST
        )

    # -- the call

    def call(self, call: Call) -> None:
        unit = self.unit(call.dl)
        service = self._services.get(call.ah)
        if call.ah == 0x4B and call.dl == 0x7F and self.emulated is not None:
            unit = self.emulated
        is_status = call.ah == 0x01
        if unit is None:
            status = self._absent(call)
        elif service is None:
            status = BAD_COMMAND
        else:
            try:
                status = service(call, unit)
            except DriveError:
                status = NOT_FOUND if unit.drive.sectors else TIMED_OUT
        if status >= 0:
            call.ah = status
            call.carry = status != OK
            if not is_status:
                self._guest.put_byte(
                    bda.FLOPPY_STATUS if call.dl < 0x80 else bda.DISK_STATUS, status
                )

    def _absent(self, call: Call) -> int:
        """What is said of a drive that is not there."""
        if call.ah == 0x15:
            call.ah, call.carry = 0, call.dl >= 0x80
            return -1
        if call.ah == 0x08 and call.dl < 0x80:
            call.ax = call.bx = call.cx = call.di = 0
            call.dx = self.floppy_count
            call.carry = False
            return -1
        if call.ah == 0x08:
            call.ah, call.dl, call.carry = 0x07, self.disk_count, True
            return -1
        if call.ah == 0x00 and call.dl < 0x80:
            return OK
        return BAD_COMMAND if call.dl >= 0x80 or call.ah not in {2, 3, 4, 5} else TIMED_OUT

    def _nothing(self, call: Call, unit: Unit) -> int:
        return OK

    def _reset(self, call: Call, unit: Unit) -> int:
        return OK

    def _status(self, call: Call, unit: Unit) -> int:
        where = bda.FLOPPY_STATUS if unit.is_floppy else bda.DISK_STATUS
        call.al = self._guest.byte(where)
        return call.al

    def _ready(self, call: Call, unit: Unit) -> int:
        return OK if unit.drive.sectors else NO_MEDIUM

    # -- by cylinder, head and sector

    def _place(self, call: Call, unit: Unit) -> int | None:
        cylinder = call.ch | (call.cl & 0xC0) << 2
        return unit.geometry.sector(cylinder, call.dh, call.cl & 0x3F)

    def _check(self, call: Call, unit: Unit) -> int:
        """What is wrong with a transfer, if anything is."""
        if unit.number >= CD_FIRST or not call.al:
            return BAD_COMMAND
        if not unit.drive.sectors:
            return TIMED_OUT
        if unit.is_floppy and unit.number in self._changed:
            self._changed.discard(unit.number)
            return CHANGED
        if self._place(call, unit) is None:
            return NOT_FOUND
        return OK

    def _read(self, call: Call, unit: Unit) -> int:
        if status := self._check(call, unit):
            call.al = 0
            return status
        first = self._place(call, unit) or 0
        count = min(call.al, unit.total - first)
        if count <= 0:
            call.al = 0
            return NOT_FOUND
        self._guest.write(call.es_pointer(call.bx), unit.read(first, count))
        if count < call.al:
            call.al = count
            return NOT_FOUND
        return OK

    def _write(self, call: Call, unit: Unit) -> int:
        if status := self._check(call, unit):
            call.al = 0
            return status
        if unit.drive.read_only or unit.is_read_only:
            call.al = 0
            return WRITE_PROTECTED
        data = self._guest.read(call.es_pointer(call.bx), call.al * SECTOR)
        unit.write(self._place(call, unit) or 0, data)
        return OK

    def _verify(self, call: Call, unit: Unit) -> int:
        status = self._check(call, unit)
        if not status and (self._place(call, unit) or 0) + call.al > unit.total:
            return NOT_FOUND
        return status

    def _format(self, call: Call, unit: Unit) -> int:
        """A track of a floppy is filled with F6h, as a formatted one is."""
        if not unit.is_floppy:
            return BAD_COMMAND
        first = unit.geometry.sector(call.ch | (call.cl & 0xC0) << 2, call.dh, 1)
        if first is None:
            return NOT_FOUND
        if unit.drive.read_only or unit.is_read_only:
            return WRITE_PROTECTED
        unit.write(first, b"\xf6" * (SECTOR * unit.geometry.sectors))
        return OK

    def _parameters(self, call: Call, unit: Unit) -> int:
        if unit.number >= CD_FIRST:
            return BAD_COMMAND
        shape = unit.geometry
        kept = 0 if unit.is_floppy else 1  # the last cylinder is for diagnostics
        last = max(0, min(shape.cylinders, 1024) - 1 - kept)
        call.cx = (last & 0xFF) << 8 | last >> 2 & 0xC0 | shape.sectors & 0x3F
        call.dh = shape.heads - 1
        if unit.is_floppy:
            call.ax, call.bx = 0, shape.floppy_type
            call.dl = self.floppy_count
            table = self._guest.dword(4 * 0x1E)
            call.es, call.di = table >> 16, table & 0xFFFF
        else:
            call.al, call.dl = 0, self.disk_count
        return OK

    def _seek(self, call: Call, unit: Unit) -> int:
        return OK if self._place(call, unit) is not None else SEEK_FAILED

    def _kind(self, call: Call, unit: Unit) -> int:
        """1: floppy without change line, 2: with it, 3: hard disk and its sectors in CX:DX."""
        call.carry = False
        if unit.is_floppy:
            call.ah = 2
        else:
            shape = unit.geometry
            sectors = (shape.cylinders - 1) * shape.heads * shape.sectors
            call.cx, call.dx, call.ah = sectors >> 16, sectors, 3
        return -1

    def _change(self, call: Call, unit: Unit) -> int:
        if unit.number in self._changed:
            self._changed.discard(unit.number)
            return CHANGED
        return OK if unit.drive.sectors else TIMED_OUT

    def _media(self, call: Call, unit: Unit) -> int:
        if not unit.is_floppy:
            return BAD_COMMAND
        table = self._guest.dword(4 * 0x1E)
        call.es, call.di = table >> 16, table & 0xFFFF
        return OK

    # -- by block number: EDD

    def _installed(self, call: Call, unit: Unit) -> int:
        if call.bx != 0x55AA or unit.is_floppy:
            return BAD_COMMAND
        call.bx, call.cx = 0xAA55, 0x0007
        call.ah, call.carry = 0x30, False
        return -1

    def _packet(self, call: Call) -> tuple[int, int, int, int]:
        """Where the address packet is, how many blocks, to where, from which on."""
        at = call.ds_pointer(call.si)
        size, _, count, offset, segment, first = struct.unpack("<BBHHHQ", self._guest.read(at, 16))
        target = 16 * segment + offset
        if size >= 24 and (offset, segment) == (0xFFFF, 0xFFFF):
            target = int.from_bytes(self._guest.read(at + 16, 8), "little")
        return at, count, target, first

    def _blocks(self, call: Call, unit: Unit, work: Callable[[int, int, int], int]) -> int:
        """Check an address packet and do the work; how much was done goes into the packet."""
        if unit.is_floppy:
            return BAD_COMMAND
        at, count, target, first = self._packet(call)
        if not unit.drive.sectors:
            self._guest.put_word(at + 2, 0)
            return NO_MEDIUM if unit.number >= CD_FIRST else TIMED_OUT
        if (first + count) * (unit.block // SECTOR) > max(unit.total, unit.block // SECTOR):
            self._guest.put_word(at + 2, 0)
            return BAD_COMMAND
        status = work(first, count, target)
        if status:
            self._guest.put_word(at + 2, 0)
        return status

    def _read_packet(self, call: Call, unit: Unit) -> int:
        def work(first: int, count: int, target: int) -> int:
            self._guest.write(target, unit.read(first, count))
            return OK

        return self._blocks(call, unit, work)

    def _write_packet(self, call: Call, unit: Unit) -> int:
        def work(first: int, count: int, target: int) -> int:
            if unit.drive.read_only or unit.is_read_only:
                return WRITE_PROTECTED
            unit.write(first, self._guest.read(target, count * SECTOR))
            return OK

        return self._blocks(call, unit, work)

    def _verify_packet(self, call: Call, unit: Unit) -> int:
        return self._blocks(call, unit, lambda first, count, target: OK)

    def _seek_packet(self, call: Call, unit: Unit) -> int:
        return self._blocks(call, unit, lambda first, count, target: OK)

    def _lock(self, call: Call, unit: Unit) -> int:
        if unit.number < CD_FIRST:
            return OK if not unit.is_floppy else BAD_COMMAND
        if call.al == 0:
            unit.drive.is_locked = True
        elif call.al == 1:
            unit.drive.is_locked = False
        call.al = int(unit.drive.is_locked)
        return OK

    def _eject(self, call: Call, unit: Unit) -> int:
        if unit.number < CD_FIRST:
            return 0xB2  # not removable
        if unit.drive.is_locked:
            return 0xB1
        unit.drive.eject()
        return OK

    def _extended_change(self, call: Call, unit: Unit) -> int:
        return OK if unit.number >= CD_FIRST else BAD_COMMAND

    def _extended_parameters(self, call: Call, unit: Unit) -> int:
        """26 bytes of EDD 1.x, as many of them as the caller has room for."""
        if unit.is_floppy:
            return BAD_COMMAND
        at = call.ds_pointer(call.si)
        room = self._guest.word(at)
        if room < 26:
            return BAD_COMMAND
        shape, is_cd = unit.geometry, unit.number >= CD_FIRST
        if is_cd:
            numbers = (0x74, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFF_FFFF_FFFF_FFFF)
        else:
            cylinders = unit.total // (shape.heads * shape.sectors)
            numbers = (2, cylinders & 0xFFFFFFFF, shape.heads, shape.sectors, unit.total)
        result = struct.pack("<HHIIIQH", 26 if room < 30 else 30, *numbers, unit.block)
        if room >= 30:
            result += b"\xff" * 4  # no configuration parameters
        self._guest.write(at, result)
        return OK

    # -- El Torito

    def _emulation_status(self, call: Call, unit: Unit) -> int:
        """AH=4Bh: AL=0 ends the emulation, AL=1 only tells."""
        if not self.emulation:
            return BAD_COMMAND
        self._guest.write(call.ds_pointer(call.si), self.emulation)
        if call.al == 0:
            self.emulated = None
        return OK


def at(drives: list[Drive] | list[Drive | None], index: int) -> Drive | None:
    return drives[index] if index < len(drives) else None
