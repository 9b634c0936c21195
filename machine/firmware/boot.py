"""INT 19h: which drive boots, El Torito, a kernel given by name, and the boot menu.

The ROM goes where this says; see `bios.asm`. Without anything that boots it waits for ever, as
interrupts go on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from machine.drive import SECTOR, DriveError
from machine.firmware import bda, el_torito
from machine.firmware.call import Call, Guest
from machine.firmware.disk import CD_FIRST, DiskServices, Drives, Geometry, Unit, floppy_geometry
from machine.firmware.el_torito import NotBootable

BOOT_ADDRESS = 0x7C00
SIGNATURE = b"\x55\xaa"
SECTOR_SIZE = SECTOR


@dataclass(frozen=True, slots=True)
class Jump:
    """Where the processor goes in real mode: CS:IP, what DS, ES, FS, GS and SS are, SP and DL."""

    segment: int
    offset: int
    data: int = 0
    stack: int = BOOT_ADDRESS
    drive: int = 0


class Kernel(Protocol):
    """What -kernel names: it puts itself into memory and says where to go."""

    @property
    def title(self) -> str: ...
    def load(self, guest: Guest) -> Jump: ...


@dataclass(frozen=True, slots=True)
class Candidate:
    """Something that may boot."""

    title: str
    load: Callable[[], Jump]


class Boot:
    """Tries what there is, in the order that was asked for."""

    def __init__(
        self,
        guest: Guest,
        disks: DiskServices,
        drives: Drives,
        say: Callable[[str], None],
        order: Callable[[], str],
        kernel: Kernel | None = None,
        menu: bool = False,
    ) -> None:
        self._guest = guest
        self._disks = disks
        self._drives = drives
        self._say = say
        self._order = order
        self._kernel = kernel
        self._wants_menu = menu
        self._is_in_menu = False
        self._is_over = False
        self._left: list[Candidate] = []

    # -- what there is

    def candidates(self) -> Iterator[Candidate]:
        """Everything that could boot, in order."""
        if self._kernel is not None:
            kernel = self._kernel
            yield Candidate(kernel.title, lambda: kernel.load(self._guest))
        for letter in self._order():
            yield from self._of_letter(letter)

    def _of_letter(self, letter: str) -> Iterator[Candidate]:
        drives = self._drives
        if letter in "ab":
            number = "ab".index(letter)
            if number < len(drives.floppies) and drives.floppies[number] is not None:
                yield Candidate(f"floppy disk {letter.upper()}", partial(self._sector, number))
        elif letter == "c":
            for index in range(len(drives.disks)):
                number = 0x80 + index
                yield Candidate(f"hard disk {index + 1}", partial(self._sector, number))
        elif letter == "d":
            for index in range(len(drives.cds)):
                yield Candidate(f"CD-ROM {index + 1}", partial(self._cd, index))

    # -- the calls

    def first(self, call: Call) -> None:
        """INT 19h: from the beginning."""
        self._disks.emulated, self._disks.emulation = None, b""
        self._left = list(self.candidates())
        self._is_over = False
        self._is_in_menu = self._wants_menu and len(self._left) > 1
        if self._is_in_menu:
            rows = "".join(f"{n}. {one.title}\n" for n, one in enumerate(self._left[:9], 1))
            self._say(f"\nSelect what to boot:\n\n{rows}\n")
        self.next(call)

    def next(self, call: Call) -> None:
        """Go on: INT 18h, or the ROM that waited."""
        if self._is_in_menu and not self._choose():
            call.not_yet = True
            return
        while self._left:
            one = self._left.pop(0)
            self._say(f"Booting from {one.title} ...\n")
            try:
                self._go(call, one.load())
            except (NotBootable, DriveError) as error:
                self._say(f"It does not boot: {error}.\n")
            else:
                return
        if not self._is_over:
            self._is_over = True
            self._say("\nNo bootable device.\n")
        call.not_yet = True

    def kernel(self, call: Call) -> None:
        """The option ROM under another BIOS wants the kernel."""
        if self._kernel is not None:
            self._go(call, self._kernel.load(self._guest))

    def _go(self, call: Call, jump: Jump) -> None:
        call.ax, call.bp = jump.data, jump.stack
        call.bx, call.si = jump.segment, jump.offset
        call.dx = jump.drive
        call.carry = False

    def _choose(self) -> bool:
        """Whether a key has chosen something."""
        guest = self._guest
        head, tail = guest.word(bda.KEY_HEAD), guest.word(bda.KEY_TAIL)
        guest.put_word(bda.KEY_HEAD, tail)
        if head == tail:
            return False
        key = guest.byte(0x400 + head)
        if not ord("1") <= key < ord("1") + min(len(self._left), 9):
            return False
        chosen = self._left.pop(key - ord("1"))
        self._left.insert(0, chosen)
        self._is_in_menu = False
        return True

    # -- loading

    def _sector(self, number: int) -> Jump:
        """A boot sector at 0:7C00."""
        unit = self._disks.unit(number)
        if unit is None or not unit.drive.sectors:
            raise NotBootable("there is no medium")
        sector = unit.read(0, 1)
        if sector[510:512] != SIGNATURE:
            raise NotBootable("its first sector is no boot sector")
        self._guest.write(BOOT_ADDRESS, sector)
        return Jump(0, BOOT_ADDRESS, drive=number)

    def _cd(self, index: int) -> Jump:
        drive = self._drives.cds[index]
        if not drive.sectors:
            raise NotBootable("there is no medium")
        entry = el_torito.read_entry(drive)
        number = CD_FIRST + index
        image = el_torito.image_bytes(drive, entry)
        if entry.emulation != el_torito.NO_EMULATION:
            number = self._emulate(entry, index)
            image = image[:SECTOR]
        self._disks.emulation = el_torito.specification_packet(entry, number, index)
        self._guest.write(16 * entry.segment, image)
        return Jump(entry.segment & 0xF000, entry.segment << 4 & 0xFFFF, drive=number)

    def _emulate(self, entry: el_torito.Entry, index: int) -> int:
        """An image on the CD stands in for the first floppy or hard disk."""
        drive = self._drives.cds[index]
        first = entry.first * 4
        if entry.emulation == el_torito.HARD_DISK:
            number, geometry, sectors = 0x80, self._emulated_disk(drive.read_sectors(first, 1)), 0
            sectors = geometry.cylinders * geometry.heads * geometry.sectors
        else:
            number, sectors = 0, el_torito.FLOPPY_SECTORS[entry.emulation]
            geometry = floppy_geometry(sectors)
        unit = Unit(number, drive, geometry, first, sectors, is_read_only=True)
        self._disks.emulated = unit
        guest = self._guest
        if number == 0:
            count = self._disks.floppy_count
            equipment = guest.word(bda.EQUIPMENT) & ~0xC1
            guest.put_word(bda.EQUIPMENT, equipment | 1 | max(0, count - 1) << 6)
        return number

    @staticmethod
    def _emulated_disk(table: bytes) -> Geometry:
        """The first partition's end says what the geometry is."""
        head, sector, cylinder = table[0x1C3], table[0x1C4], table[0x1C5]
        return Geometry((cylinder | (sector & 0xC0) << 2) + 1, head + 1, max(1, sector & 63))
