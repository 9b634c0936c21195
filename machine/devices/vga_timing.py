"""Where a VGA's beam is: retrace and blanking follow from the time and the CRT controller.

Source: IBM, "PS/2 Hardware Interface Technical Reference", Video Subsystem, "CRT Controller" and
"Input Status Register 1". Not modelled: the beam's way within horizontal blanking and retrace, and
the interrupt of vertical retrace.
"""

from __future__ import annotations

from machine.clock import SECOND, Clock
from machine.devices.vga_registers import H_TOTAL, V_RETRACE_END, Registers

DISPLAY_OFF, V_RETRACE = 0x01, 0x08

DOT_CLOCKS = (25_175_000, 28_322_000)
"""In Hz, by Miscellaneous Output's clock select."""

SLOWEST, FASTEST = SECOND // 20, SECOND // 200
"""Times of a frame which a monitor may be asked for; else it runs at 60 Hz."""


class Beam:
    """Input Status 1's two bits of position."""

    def __init__(self, clock: Clock, registers: Registers) -> None:
        self._clock = clock
        self._registers = registers
        self.retime()

    def retime(self) -> None:
        """Registers have changed."""
        registers = self._registers
        characters = registers.crtc[H_TOTAL] + 5
        dots = characters * registers.character_width * registers.dot_repeat
        hertz = DOT_CLOCKS[registers.misc >> 2 & 1]
        lines = registers.vertical_total
        frame = SECOND * dots * lines // hertz
        if not FASTEST <= frame <= SLOWEST or registers.vertical_display > lines:
            lines, self._shown, self._retrace, frame = 525, 480, (490, 492), SECOND // 60
            self._part_shown = 0.8
        else:
            self._shown = registers.vertical_display
            first = registers.vertical_retrace
            self._retrace = first, first + retrace_lines(first, registers.crtc[V_RETRACE_END])
            self._part_shown = registers.characters / characters
        self._frame = frame
        self._line = max(1, frame // lines)

    def status(self) -> int:
        """Whether the display is off now, and whether that is vertical retrace."""
        line, within = divmod(self._clock.now() % self._frame, self._line)
        bits = 0
        if line >= self._shown or within >= self._part_shown * self._line:
            bits |= DISPLAY_OFF
        if self._retrace[0] <= line < self._retrace[1]:
            bits |= V_RETRACE | DISPLAY_OFF
        return bits


def retrace_lines(first: int, end: int) -> int:
    """Retrace ends where the line's low four bits are those of Vertical Retrace End.

    >>> retrace_lines(0x19C, 0x8E)
    2
    """
    return (end - first & 15) or 16
