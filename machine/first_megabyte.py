"""What the processor sees from A0000h to FFFFFh: display, ROMs, or RAM, as the chipset says.

PAM and SMRAM of the 82441FX (`machine.devices.i440fx`) become mappings of `PhysicalMemory`. Where
reads do not go to RAM they go to PCI: to a ROM that was put there, or else to nothing. An area
that is only writable is treated as PCI, as in QEMU.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from machine.devices.i440fx import AREAS, Shadow
from machine.physical import Buffer, PhysicalMemory

WINDOW, WINDOW_END = 0xA0000, 0xC0000
ROM_AREA, ROM_END = 0xC0000, 0x100000


@dataclass(frozen=True, slots=True)
class Rom:
    """A ROM below one megabyte: a part of a buffer."""

    start: int
    length: int
    buffer: Buffer
    offset: int


class FirstMegabyte:
    """Maps the areas. `show_display` puts the display's window back after SMRAM was there."""

    def __init__(self, memory: PhysicalMemory) -> None:
        self._memory = memory
        self._roms: list[Rom] = []
        self._shadows = {base: Shadow(base, size, False, False) for base, size in AREAS}
        self.show_display: Callable[[], None] = lambda: None
        self._memory.map_device(WINDOW, WINDOW_END - WINDOW)
        for shadow in self._shadows.values():
            self.shadow(shadow)

    def add_rom(self, start: int, buffer: Buffer, offset: int = 0, length: int = 0) -> None:
        """Put a ROM behind PCI, below one megabyte; whole pages."""
        self._roms.append(Rom(start, length or buffer.length - offset, buffer, offset))
        for shadow in self._shadows.values():
            self.shadow(shadow)

    def shadow(self, shadow: Shadow) -> None:
        """An area is RAM or PCI from now on."""
        self._shadows[shadow.base] = shadow
        if shadow.is_readable:
            ram = self._memory.ram
            self._memory.map_ram(
                shadow.base, shadow.size, ram, shadow.base, writable=shadow.is_writable
            )
        else:
            self._show_roms(shadow.base, shadow.base + shadow.size)

    def smram(self, is_open: bool) -> None:
        """The RAM under the display's window can be seen, or not."""
        if is_open:
            length = WINDOW_END - WINDOW
            self._memory.map_ram(WINDOW, length, self._memory.ram, WINDOW)
        else:
            self._memory.map_device(WINDOW, WINDOW_END - WINDOW)
            self.show_display()

    def _show_roms(self, start: int, end: int) -> None:
        self._memory.map_device(start, end - start)
        for rom in self._roms:
            low, high = max(start, rom.start), min(end, rom.start + rom.length)
            if low < high:
                at = rom.offset + low - rom.start
                self._memory.map_ram(low, high - low, rom.buffer, at, writable=False)
