"""The colours of a terminal: numbers of its palette, and pairs of them as curses wants it."""

from __future__ import annotations

import curses
from contextlib import suppress

from machine.display.blocks import CUBE, GREYS, LEVELS, nearest

ANSI = (0, 4, 2, 6, 1, 5, 3, 7)
"""Which of a terminal's eight colours, with bit 0 for red, are a PC's, with bit 0 for blue."""

PC_COLORS = bytes.fromhex(
    "000000 0000aa 00aa00 00aaaa aa0000 aa00aa aa5500 aaaaaa"
    "555555 5555ff 55ff55 55ffff ff5555 ff55ff ffff55 ffffff"
)
"""What a BIOS loads; they are shown in what the terminal's user takes for these colours."""

MOST_PAIRS = 256
"""An attribute has eight bits for the number of a pair."""


class Colors:
    """Attributes for pairs of colours, made when they are first met."""

    def __init__(self) -> None:
        self._count = 0
        self._pairs: dict[tuple[int, int], int] = {}
        if curses.has_colors():
            curses.start_color()
            with suppress(curses.error):
                curses.use_default_colors()
            self._count = curses.COLORS
        self.has_256 = self._count >= 256
        self._palettes: dict[bytes, tuple[int, ...]] = {}

    def of_palette(self, palette: bytes) -> tuple[int, ...]:
        """The terminal's numbers for 16 colours of the guest's."""
        known = self._palettes.get(palette)
        if known is None:
            if len(self._palettes) > 64:
                self._palettes.clear()
            known = tuple(self._of(palette[3 * n : 3 * n + 3]) for n in range(16))
            self._palettes[palette] = known
        return known

    def _of(self, color: bytes) -> int:
        for n in range(16):
            standard = PC_COLORS[3 * n : 3 * n + 3]
            if all(abs(a - b) < 24 for a, b in zip(color, standard, strict=True)):
                return ANSI[n & 7] | n & 8
        return nearest(*color)

    def attribute(self, foreground: int, background: int) -> int:
        """What to write with: bright colours are bold where there are but eight."""
        if not self._count:
            return curses.A_REVERSE if background and not foreground else curses.A_NORMAL
        extra = 0
        if self._count < 256:
            foreground, background = to_16(foreground), to_16(background)
        if self._count < 16:
            extra = curses.A_BOLD if foreground & 8 else 0
            foreground, background = foreground & 7, background & 7
        return curses.color_pair(self._pair(foreground, background)) | extra

    def _pair(self, foreground: int, background: int) -> int:
        key = foreground, background
        number = self._pairs.get(key)
        if number is None:
            if len(self._pairs) + 1 >= min(curses.COLOR_PAIRS, MOST_PAIRS):
                self._pairs.clear()  # what has these pairs on the screen is drawn again some time
            number = len(self._pairs) + 1
            try:
                curses.init_pair(number, foreground, background)
            except (curses.error, ValueError):
                return 0
            self._pairs[key] = number
        return number


def to_16(color: int) -> int:
    """The nearest of a terminal's first 16 colours."""
    if color < CUBE:
        return color
    if color >= GREYS:
        red = green = blue = 8 + 10 * (color - GREYS)
    else:
        red, green, blue = (LEVELS[(color - CUBE) // step % 6] for step in (36, 6, 1))
    bright = 8 if max(red, green, blue) > 0xC0 else 0
    least = max(red, green, blue) // 2
    bits = (red > least) | (green > least) << 1 | (blue > least) << 2
    return bits | bright
