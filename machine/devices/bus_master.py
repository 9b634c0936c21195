"""A PIIX3's bus master for one IDE cable.

Sources: Intel, "Programming Interface for Bus Master IDE Controller", revision 1.0; 82371SB,
sections 2.7 (registers) and 3.5.4 (operation). A transfer is made in one go, when both the drive
and the START bit are ready; the drive's interrupt comes later, by its own timer. Not modelled: bus
errors (there is no memory that could give one).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from machine.bus import Memory
from machine.devices.ide_unit import Unit

START, TO_MEMORY = 0x01, 0x08
ACTIVE, FAILED, INTERRUPT, CAPABLE = 0x01, 0x02, 0x04, 0x60

LAST = 1 << 31
MOST_REGIONS = 8192
"""A table of regions fills at most 64 KiB."""
CHUNK = 1 << 20
"""So much is moved at a time."""


class BusMaster:
    """The eight registers of a cable: command, status, and where the table of regions is."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._unit: Unit | None = None
        self.reset()

    def reset(self) -> None:
        self._command = 0
        self._status = 0
        self._table = 0
        self._ends = False

    def read(self, offset: int) -> int:
        if offset == 0:
            return self._command
        if offset == 2:
            return self._status
        return self._table >> 8 * (offset - 4) & 0xFF if offset >= 4 else 0

    def write(self, offset: int, value: int) -> None:
        if offset == 0:
            self._write_command(value)
        elif offset == 2:
            kept = self._status & ~(value & (INTERRUPT | FAILED)) & ~CAPABLE
            self._status = kept | value & CAPABLE
        elif offset >= 4:
            shift = 8 * (offset - 4)
            self._table = (self._table & ~(0xFF << shift) | value << shift) & ~3

    def interrupt(self) -> None:
        """Hear that the drive's interrupt rose: what it meant to move was moved, or it failed."""
        self._status |= INTERRUPT
        if self._ends:
            self._status &= ~ACTIVE

    def ready(self, unit: Unit) -> None:
        """Hear that a drive has data, or room for it."""
        self._unit = unit
        if self._command & START:
            self._transfer()

    def _write_command(self, value: int) -> None:
        rises = value & ~self._command & START
        self._command = value & (START | TO_MEMORY)
        if rises:
            self._status |= ACTIVE
            self._ends = False
            self._transfer()
        elif not value & START:
            self._status &= ~ACTIVE

    def _regions(self) -> Iterator[tuple[int, int, bool]]:
        """Physical regions: address, length, whether it is the last."""
        for number in range(MOST_REGIONS):
            entry = self._memory.read(self._table + 8 * number & 0xFFFFFFFF, 8)
            address, rest = struct.unpack("<II", entry)
            yield address & ~1, rest & 0xFFFE or 65536, bool(rest & LAST)
            if rest & LAST:
                return

    def _transfer(self) -> None:
        unit = self._unit
        if unit is None or not unit.dma_left:
            return
        self._unit = None
        regions = Regions(self._regions())
        while unit.dma_left:
            length = min(unit.dma_left, CHUNK)
            pieces = regions.take(length)
            got = sum(piece for _, piece in pieces)
            if got < unit.dma_left:
                got -= got % unit.dma_unit
            if not got:
                break
            if unit.dma_to_memory:
                moved = self._to_memory(unit.dma_read(got), pieces)
            else:
                unit.dma_write(self._from_memory(pieces)[:got])
                moved = True
            if not moved or unit.has_failed:
                return
        if unit.dma_left:  # the regions are used up, the drive is not
            self._status &= ~ACTIVE
            return
        self._ends = regions.is_used_up
        unit.dma_done()

    def _to_memory(self, data: bytes, pieces: list[tuple[int, int]]) -> bool:
        at = 0
        for address, length in pieces:
            part = data[at : at + length]
            if part:
                self._memory.write(address, part)
            at += length
        return bool(data)

    def _from_memory(self, pieces: list[tuple[int, int]]) -> bytes:
        return b"".join(self._memory.read(address, length) for address, length in pieces)


class Regions:
    """A table of regions that is used from its beginning."""

    def __init__(self, regions: Iterator[tuple[int, int, bool]]) -> None:
        self._regions = regions
        self._address = self._left = 0
        self._is_last = False

    @property
    def is_used_up(self) -> bool:
        return self._is_last and not self._left

    def take(self, length: int) -> list[tuple[int, int]]:
        """The next `length` bytes as addresses and lengths; fewer if there are no more."""
        pieces: list[tuple[int, int]] = []
        while length:
            if not self._left:
                region = None if self._is_last else next(self._regions, None)
                if region is None:
                    break
                self._address, self._left, self._is_last = region
            step = min(self._left, length)
            pieces.append((self._address, step))
            self._address, self._left = self._address + step, self._left - step
            length -= step
        return pieces
