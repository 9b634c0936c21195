"""VESA BIOS extensions: INT 10h AH=4Fh, for linear modes of Bochs's display interface.

Source: VESA, "VESA BIOS EXTENSION (VBE) Core Functions Standard", version 2.0 and 3.0. Mode
numbers above 13Fh are Bochs's. Not modelled: bank switching by a far call, saving of states,
protected-mode entries, refresh rates.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

from machine.firmware import bda
from machine.firmware.call import Call
from machine.firmware.screen import Screen

SUCCESS, FAILED = 0x004F, 0x014F

X, Y, DEPTH, ENABLE, BANK, VIRTUAL_X, VIRTUAL_Y, OFFSET_X, OFFSET_Y, MEMORY_64K = *range(1, 10), 0xA
ENABLED, EIGHT_BIT_DAC, LINEAR, KEEP = 1, 0x20, 0x40, 0x80


@dataclass(frozen=True, slots=True)
class VbeMode:
    """A linear mode."""

    number: int
    width: int
    height: int
    depth: int

    @property
    def pitch(self) -> int:
        return self.width * ((self.depth + 7) // 8)


# fmt: off
SIZES = {
    (640, 400): {8: 0x100},
    (640, 480): {8: 0x101, 15: 0x110, 16: 0x111, 24: 0x112, 32: 0x142},
    (800, 600): {8: 0x103, 15: 0x113, 16: 0x114, 24: 0x115, 32: 0x143},
    (1024, 768): {8: 0x105, 15: 0x116, 16: 0x117, 24: 0x118, 32: 0x144},
    (1280, 1024): {8: 0x107, 15: 0x119, 16: 0x11A, 24: 0x11B, 32: 0x145},
    (320, 200): {15: 0x10D, 16: 0x10E, 24: 0x10F, 32: 0x140},
    (640, 360): {32: 0x150},
    (1280, 720): {32: 0x15A},
    (1280, 800): {32: 0x15D},
    (1600, 1200): {8: 0x11C, 15: 0x11D, 16: 0x11E, 24: 0x11F, 32: 0x147},
}
VBE_MODES = {number: VbeMode(number, width, height, depth)
             for (width, height), depths in SIZES.items() for depth, number in depths.items()}
# Size and place of red, green, blue and the rest.
COLOR_FIELDS = {
    8:  (0, 0, 0, 0, 0, 0, 0, 0),    15: (5, 10, 5, 5, 5, 0, 1, 15),
    16: (5, 11, 6, 5, 5, 0, 0, 0),   24: (8, 16, 8, 8, 8, 0, 0, 0),
    32: (8, 16, 8, 8, 8, 0, 8, 24),
}
# fmt: on


class Vbe:
    """The services; `frame_buffer` tells where the linear frame buffer is now (0: nowhere)."""

    def __init__(self, screen: Screen, frame_buffer: Callable[[], int], strings: int) -> None:
        """`strings`: where the maker's name is in segment F000h."""
        self._screen = screen
        self._frame_buffer = frame_buffer
        self._strings = strings
        self._mode = 0
        # fmt: off
        self._services: dict[int, Callable[[Call], bool]] = {
            0x00: self._information, 0x01: self._mode_information, 0x02: self._set_mode,
            0x03: self._get_mode,    0x04: self._save,             0x05: self._window,
            0x06: self._line_length, 0x07: self._display_start,    0x08: self._dac_width,
            0x09: self._palette,     0x15: self._monitor,
        }
        # fmt: on

    def call(self, call: Call) -> None:
        service = self._services.get(call.al)
        if service is None or not self._memory():
            return  # AX stays: no VBE, or not this function
        call.ax = SUCCESS if service(call) else FAILED

    def left(self) -> None:
        """A VGA mode was set."""
        self._mode = 0

    def _memory(self) -> int:
        """The display's memory in units of 64 KiB; 0 without Bochs's registers."""
        if self._screen.get_dispi(0) & 0xFFF0 != 0xB0C0:
            return 0
        units = self._screen.get_dispi(MEMORY_64K)
        return units if 0 < units <= 0x4000 else 0

    def _fits(self, mode: VbeMode) -> bool:
        return mode.pitch * mode.height <= self._memory() << 16

    def _information(self, call: Call) -> bool:
        guest, at = self._screen.guest, call.es_pointer(call.di)
        wants_2 = guest.read(at, 4) == b"VBE2"
        modes = [number for number, mode in sorted(VBE_MODES.items()) if self._fits(mode)]
        strings = 0xF000_0000 | self._strings
        head = struct.pack(
            "<4sHIIIHHIII", b"VESA", 0x0300 if wants_2 else 0x0200, strings, 1,
            call.es << 16 | call.di + 0x30 & 0xFFFF, self._memory(), 0, strings, strings, strings,
        )  # fmt: skip
        list_ = struct.pack(f"<{len(modes) + 1}H", *modes, 0xFFFF)
        guest.write(at, (head.ljust(0x30, b"\0") + list_).ljust(512 if wants_2 else 256, b"\0"))
        return True

    def _mode_information(self, call: Call) -> bool:
        mode = VBE_MODES.get(call.cx & 0x1FFF)
        if mode is None or not self._fits(mode):
            return False
        frame = self._frame_buffer()
        is_direct = mode.depth > 8
        pages = max(0, (self._memory() << 16) // (mode.pitch * mode.height) - 1)
        fields = bytes(COLOR_FIELDS[mode.depth])
        block = struct.pack(
            "<HBBHHHHIHHHBBBBBBBBB8sBIIH", 0x9B if frame else 0x1B, 7, 0, 64, 64, 0xA000, 0, 0,
            mode.pitch, mode.width, mode.height, 8, 16, 1, mode.depth, 1, 6 if is_direct else 4,
            0, min(pages, 255), 1, fields, 2 if mode.depth == 32 else 0, frame, 0, 0,
        )  # fmt: skip
        block += struct.pack("<HBB8sI", mode.pitch, pages & 255, pages & 255, fields, 0)
        self._screen.guest.write(call.es_pointer(call.di), block.ljust(256, b"\0"))
        return True

    def _set_mode(self, call: Call) -> bool:
        number = call.bx & 0x1FF
        if number < 0x100:
            self._mode = 0
            return self._screen.set_mode(number & 0x7F, clear=not call.bx & 0x8000)
        mode = VBE_MODES.get(number)
        if mode is None or not self._fits(mode):
            return False
        screen = self._screen
        screen.set_mode(0x13, clear=False)
        screen.put_dispi(ENABLE, 0)
        for index, value in ((X, mode.width), (Y, mode.height), (DEPTH, mode.depth), (BANK, 0)):
            screen.put_dispi(index, value)
        flags = (LINEAR if call.bx & 0x4000 else 0) | (KEEP if call.bx & 0x8000 else 0)
        screen.put_dispi(ENABLE, ENABLED | flags)
        self._mode = call.bx & 0xC000 | number
        screen.guest.put_word(bda.COLUMNS, min(mode.width // 8, 255))
        screen.guest.put_byte(bda.ROWS, min(mode.height // 16 - 1, 255))
        return True

    def _get_mode(self, call: Call) -> bool:
        call.bx = self._mode or self._screen.guest.byte(bda.VIDEO_MODE)
        return True

    def _save(self, call: Call) -> bool:
        if call.dl == 0:
            call.bx = 16
            return True
        return False

    def _window(self, call: Call) -> bool:
        if call.bh == 0:
            self._screen.put_dispi(BANK, call.dx)
        else:
            call.dx = self._screen.get_dispi(BANK)
        return call.bl == 0

    def _line_length(self, call: Call) -> bool:
        mode = VBE_MODES.get(self._mode & 0x1FF)
        if mode is None:
            return False
        screen, per_pixel = self._screen, (mode.depth + 7) // 8
        if call.bl in {0, 2}:
            pixels = call.cx if call.bl == 0 else -(-call.cx // per_pixel)
            screen.put_dispi(VIRTUAL_X, max(pixels, mode.width))
        width = screen.get_dispi(VIRTUAL_X)
        call.bx, call.cx = width * per_pixel, width
        call.dx = min((self._memory() << 16) // (width * per_pixel), 0xFFFF)
        return True

    def _display_start(self, call: Call) -> bool:
        if call.bl & 0x7F == 0:
            self._screen.put_dispi(OFFSET_X, call.cx)
            self._screen.put_dispi(OFFSET_Y, call.dx)
            return True
        call.bh = 0
        call.cx, call.dx = self._screen.get_dispi(OFFSET_X), self._screen.get_dispi(OFFSET_Y)
        return call.bl == 1

    def _dac_width(self, call: Call) -> bool:
        enable = self._screen.get_dispi(ENABLE)
        if call.bl == 0:
            enable = enable & ~EIGHT_BIT_DAC | (EIGHT_BIT_DAC if call.bh >= 8 else 0)
            self._screen.put_dispi(ENABLE, enable | KEEP)
        call.bh = 8 if enable & EIGHT_BIT_DAC else 6
        return True

    def _palette(self, call: Call) -> bool:
        """Four bytes a colour: blue, green, red, nothing."""
        screen, at = self._screen, call.es_pointer(call.di)
        count = min(call.cx, 256)
        if call.bl & 0x7F == 0:
            table = screen.guest.read(at, 4 * count)
            for index in range(count):
                screen.put_colors(call.dx + index & 0xFF, table[4 * index : 4 * index + 3][::-1])
        elif call.bl == 1:
            colors = screen.get_colors(call.dl, count)
            rows = (colors[3 * n : 3 * n + 3][::-1] + b"\0" for n in range(count))
            screen.guest.write(at, b"".join(rows))
        else:
            return False
        return True

    def _monitor(self, call: Call) -> bool:
        return False
