"""The registers of a VGA, and what they say together: names and sections of IBM's manual.

Source: IBM, "PS/2 Hardware Interface Technical Reference", Video Subsystem, May 1992.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from machine.devices.vga_memory import Access

# Miscellaneous Output
IS_COLOR, ENABLE_RAM = 0x01, 0x02

# Sequencer
CLOCKING_MODE, MAP_MASK, CHARACTER_MAP, MEMORY_MODE = 1, 2, 3, 4
EIGHT_DOTS, DOT_CLOCK_HALVED, SCREEN_OFF = 0x01, 0x08, 0x20

# CRT controller
H_TOTAL, H_DISPLAY_END, H_BLANK_START = 0x00, 0x01, 0x02
V_TOTAL, OVERFLOW, PRESET_ROW, MAXIMUM_SCAN = 0x06, 0x07, 0x08, 0x09
CURSOR_START, CURSOR_END, START_HIGH, START_LOW, CURSOR_HIGH, CURSOR_LOW = range(0x0A, 0x10)
V_RETRACE_START, V_RETRACE_END, V_DISPLAY_END, OFFSET, UNDERLINE = range(0x10, 0x15)
MODE_CONTROL, LINE_COMPARE = 0x17, 0x18

# Graphics controller
(
    SET_RESET, ENABLE_SET_RESET, COLOR_COMPARE, DATA_ROTATE, READ_MAP, GRAPHICS_MODE, MISCELLANEOUS,
    COLOR_DONT_CARE, BIT_MASK,
) = range(9)  # fmt: skip
IS_GRAPHICS = 0x01

# Attribute controller
ATTRIBUTE_MODE, OVERSCAN, PLANE_ENABLE, PANNING, COLOR_SELECT = range(0x10, 0x15)
MONO_EMULATION, LINE_GRAPHICS, BLINKS, PANS_TOP_ONLY, WIDE_PIXELS, P5_P4_SELECT = (
    0x02, 0x04, 0x08, 0x20, 0x40, 0x80,
)  # fmt: skip

# fmt: off
SEQUENCER_BITS = bytes.fromhex("03 3d 0f 3f 0e 00 00 ff")
GRAPHICS_BITS  = bytes.fromhex("0f 0f 0f 1f 03 7b 0f 0f ff") + bytes(7)
ATTRIBUTE_BITS = b"\x3f" * 16 + bytes.fromhex("ef ff 3f 0f 0f")
# fmt: on
"""Bits of the registers that exist."""

CRTC_COUNT = 25


@dataclass(slots=True)
class Registers:
    """All that can be written of sequencer, CRT, graphics and attribute controllers, and DAC."""

    misc: int = 0
    feature: int = 0
    sequencer: bytearray = field(default_factory=lambda: bytearray(8))
    crtc: bytearray = field(default_factory=lambda: bytearray(CRTC_COUNT))
    graphics: bytearray = field(default_factory=lambda: bytearray(16))
    attributes: bytearray = field(default_factory=lambda: bytearray(21))
    palette_is_on: bool = False
    """Palette Address Source: the display has the palette, and there is a picture."""
    dac: bytearray = field(default_factory=lambda: bytearray(3 * 256))
    pel_mask: int = 0xFF

    def access(self) -> Access:
        """How the processor reaches memory."""
        graphics = self.graphics
        mode = graphics[GRAPHICS_MODE]
        return Access(
            is_on=bool(self.misc & ENABLE_RAM),
            memory_map=graphics[MISCELLANEOUS] >> 2 & 3,
            chain_4=bool(self.sequencer[MEMORY_MODE] & 0x08),
            odd_even=bool(mode & 0x10),
            map_mask=self.sequencer[MAP_MASK],
            set_reset=graphics[SET_RESET],
            enable_set_reset=graphics[ENABLE_SET_RESET],
            color_compare=graphics[COLOR_COMPARE],
            rotate=graphics[DATA_ROTATE] & 7,
            function=graphics[DATA_ROTATE] >> 3,
            read_map=graphics[READ_MAP],
            write_mode=mode & 3,
            read_mode=mode >> 3 & 1,
            color_dont_care=graphics[COLOR_DONT_CARE],
            bit_mask=graphics[BIT_MASK],
        )

    def _with_overflow(self, index: int, bit_8: int, bit_9: int) -> int:
        """A vertical count, of which Overflow has two more bits."""
        overflow = self.crtc[OVERFLOW]
        return self.crtc[index] | (overflow >> bit_8 & 1) << 8 | (overflow >> bit_9 & 1) << 9

    @property
    def vertical_total(self) -> int:
        return self._with_overflow(V_TOTAL, 0, 5) + 2

    @property
    def vertical_display(self) -> int:
        """Scan lines that show something."""
        return self._with_overflow(V_DISPLAY_END, 1, 6) + 1

    @property
    def vertical_retrace(self) -> int:
        """The scan line with which vertical retrace begins."""
        return self._with_overflow(V_RETRACE_START, 2, 7)

    @property
    def line_compare(self) -> int:
        """The last scan line before memory is shown from address 0 on."""
        crtc = self.crtc
        high = (crtc[OVERFLOW] >> 4 & 1) << 8 | (crtc[MAXIMUM_SCAN] >> 6 & 1) << 9
        return crtc[LINE_COMPARE] | high

    @property
    def characters(self) -> int:
        """Character clocks of a line that show something."""
        return self.crtc[H_DISPLAY_END] + 1

    @property
    def start(self) -> int:
        """The first word of memory on the screen."""
        return self.crtc[START_HIGH] << 8 | self.crtc[START_LOW]

    @property
    def cursor(self) -> int:
        """The word of memory that the cursor is at."""
        return self.crtc[CURSOR_HIGH] << 8 | self.crtc[CURSOR_LOW]

    @property
    def character_width(self) -> int:
        """Dots of a character clock."""
        return 8 if self.sequencer[CLOCKING_MODE] & EIGHT_DOTS else 9

    @property
    def dot_repeat(self) -> int:
        return 2 if self.sequencer[CLOCKING_MODE] & DOT_CLOCK_HALVED else 1

    @property
    def shows_picture(self) -> bool:
        return self.palette_is_on and not self.sequencer[CLOCKING_MODE] & SCREEN_OFF

    def color_of(self, pixel: int) -> int:
        """The DAC's register for one of 16 colours (Attribute Controller, Internal Palette)."""
        attributes = self.attributes
        select = attributes[COLOR_SELECT]
        color = attributes[pixel & attributes[PLANE_ENABLE]]
        if attributes[ATTRIBUTE_MODE] & P5_P4_SELECT:
            return color & 0x0F | (select & 0x0F) << 4
        return color & 0x3F | (select & 0x0C) << 4
