"""The video modes of a VGA: what goes into its registers, and the colours.

Source: IBM, "Personal System/2 Hardware Interface Technical Reference" (1992), Video Subsystem:
register values of each mode; the palettes are those that a VGA BIOS loads.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import cache


class Kind(Enum):
    """How a mode's memory is laid out."""

    TEXT = "text"
    CGA4 = "two bits a pixel, even and odd rows apart"
    CGA2 = "one bit a pixel, even and odd rows apart"
    PLANAR = "a bit of each of four planes a pixel"
    LINEAR = "a byte a pixel"


@dataclass(frozen=True, slots=True)
class Mode:
    """A mode: its size in characters and in pixels, where its memory is, and its registers."""

    number: int
    kind: Kind
    columns: int
    rows: int
    width: int
    height: int
    character: int
    """Rows of a character: 8, 14 or 16."""
    base: int
    page_bytes: int
    misc: int
    sequencer: bytes
    crtc: bytes
    graphics: bytes
    attributes: bytes
    palette: str

    @property
    def is_text(self) -> bool:
        return self.kind is Kind.TEXT


# fmt: off
HORIZONTAL = {
    80: "5f 4f 50 82 55 81", 40: "2d 27 28 90 2b a0",
    320: "2d 27 28 90 2b 80", 640: "5f 4f 50 82 54 80",
}
# Vertical timing: total and overflow; then retrace start to blank end.
LINES = {
    400: ("bf 1f", "9c 8e 8f", "96 b9"), 350: ("bf 1f", "83 85 5d", "63 ba"),
    480: ("0b 3e", "ea 8c df", "e7 04"),
}
CGA_COLORS = "00 13 15 17 02 04 06 07 10 11 12 13 14 15 16 17"
EGA_COLORS = "00 01 02 03 04 05 06 07 10 11 12 13 14 15 16 17"
ALL_COLORS = "00 01 02 03 04 05 14 07 38 39 3a 3b 3c 3d 3e 3f"
MONO_TEXT  = "00 08 08 08 08 08 08 08 10 18 18 18 18 18 18 18"
MONO_EGA   = "00 08 00 00 18 18 00 00 00 08 00 00 00 18 00 00"


def crtc(horizontal: int, lines: int, row: str, cursor: str, offset: str, underline: str,
         mode: str) -> bytes:
    """The CRT controller's registers 00h to 18h."""
    vertical, retrace, blank = LINES[lines]
    return bytes.fromhex(f"{HORIZONTAL[horizontal]} {vertical} 00 {row} {cursor} 00 00 00 00"
                         f" {retrace} {offset} {underline} {blank} {mode} ff")


def text(number: int, columns: int, base: int, misc: int, colors: str, attribute: str,
         underline: str) -> Mode:
    row, cursor = "4f", "0d 0e"
    return Mode(number, Kind.TEXT, columns, 25, columns * 9, 400, 16, base,
                0x1000 if columns == 80 else 0x800, misc,
                bytes((3, 0 if columns == 80 else 8, 3, 0, 2)),
                crtc(columns, 400, row, cursor, "28" if columns == 80 else "14", underline, "a3"),
                bytes((0, 0, 0, 0, 0, 0x10, 0x0A if number == 7 else 0x0E, 0, 0xFF)),
                bytes.fromhex(f"{colors} {attribute} 00 0f 08 00"),
                "mono" if number == 7 else "ega")


def graphics(number: int, kind: Kind, width: int, height: int, character: int, page_bytes: int,
             misc: int, clocking: int, mask: int, memory: int, row: str, underline: str,
             control: str, gc: str, colors: str, attribute: str, palette: str) -> Mode:
    lines = {200: 400, 350: 350, 480: 480}[height]
    base = 0xB8000 if kind in (Kind.CGA4, Kind.CGA2) else 0xA0000
    is_narrow = clocking & 8
    return Mode(number, kind, width // 8, height // character, width, height, character, base,
                page_bytes, misc, bytes((3, clocking, mask, 0, memory)),
                crtc(320 if is_narrow else 640, lines, row, "00 00",
                     "14" if is_narrow else "28", underline, control),
                bytes.fromhex(gc), bytes.fromhex(f"{colors} {attribute}"), palette)


PLAIN = "00 00 00 00 00"
MODES = {mode.number: mode for mode in (
    *(text(n, 40, 0xB8000, 0x67, ALL_COLORS, "0c", "1f") for n in (0, 1)),
    *(text(n, 80, 0xB8000, 0x67, ALL_COLORS, "0c", "1f") for n in (2, 3)),
    text(7, 80, 0xB0000, 0x66, MONO_TEXT, "0e", "0f"),
    *(graphics(n, Kind.CGA4, 320, 200, 8, 0x4000, 0x63, 9, 3, 2, "c1", "00", "a2",
               f"{PLAIN} 30 0f 00 ff", CGA_COLORS, "01 00 03 00 00", "cga") for n in (4, 5)),
    graphics(6, Kind.CGA2, 640, 200, 8, 0x4000, 0x63, 1, 1, 6, "c1", "00", "c2",
             f"{PLAIN} 00 0d 00 ff", "00" + " 17" * 15, "01 00 01 00 00", "cga"),
    graphics(0x0D, Kind.PLANAR, 320, 200, 8, 0x2000, 0x63, 9, 15, 6, "c0", "00", "e3",
             f"{PLAIN} 00 05 0f ff", EGA_COLORS, "01 00 0f 00 00", "cga"),
    graphics(0x0E, Kind.PLANAR, 640, 200, 8, 0x4000, 0x63, 1, 15, 6, "c0", "00", "e3",
             f"{PLAIN} 00 05 0f ff", EGA_COLORS, "01 00 0f 00 00", "cga"),
    graphics(0x0F, Kind.PLANAR, 640, 350, 14, 0x8000, 0xA3, 1, 15, 6, "40", "0f", "e3",
             f"{PLAIN} 00 05 05 ff", MONO_EGA, "0b 00 05 00 00", "mono"),
    graphics(0x10, Kind.PLANAR, 640, 350, 14, 0x8000, 0xA3, 1, 15, 6, "40", "0f", "e3",
             f"{PLAIN} 00 05 0f ff", ALL_COLORS, "01 00 0f 00 00", "ega"),
    graphics(0x11, Kind.PLANAR, 640, 480, 16, 0xA000, 0xE3, 1, 15, 6, "40", "00", "c3",
             f"{PLAIN} 00 05 01 ff", "00" + " 3f" * 15, "01 00 0f 00 00", "ega"),
    graphics(0x12, Kind.PLANAR, 640, 480, 16, 0xA000, 0xE3, 1, 15, 6, "40", "00", "e3",
             f"{PLAIN} 00 05 0f ff", ALL_COLORS, "01 00 0f 00 00", "ega"),
    graphics(0x13, Kind.LINEAR, 320, 200, 8, 0x10000, 0x63, 1, 15, 14, "41", "40", "a3",
             f"{PLAIN} 40 05 0f ff", "00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f",
             "41 00 0f 00 00", "vga"),
)}

GREYS = (0, 5, 8, 11, 14, 17, 20, 24, 28, 32, 36, 40, 45, 50, 56, 63)
# Intensity by saturation: five levels from the weakest to the strongest component.
WHEELS = (
    (0, 16, 31, 47, 63), (31, 39, 47, 55, 63), (45, 49, 54, 58, 63),
    (0, 7, 14, 21, 28),  (14, 17, 21, 24, 28), (20, 22, 24, 26, 28),
    (0, 4, 8, 12, 16),   (8, 10, 12, 14, 16),  (11, 12, 13, 15, 16),
)
# fmt: on

Color = tuple[int, int, int]


@cache
def palette(name: str) -> tuple[Color, ...]:
    """The 6-bit red, green and blue of as many DAC registers as the mode's BIOS call loads."""
    match name:
        case "ega":
            return tuple(ega_color(n) for n in range(64))
        case "cga":
            return tuple(cga_color(n & 7 | (n & 0x10) >> 1) for n in range(64))
        case "mono":
            return tuple((v, v, v) for n in range(64) for v in ((0, 42, 21, 63)[n >> 3 & 3],))
    wheels = (hue(wheel, n) for wheel in WHEELS for n in range(24))
    return (
        *(cga_color(n) for n in range(16)),
        *((v, v, v) for v in GREYS),
        *wheels,
        *((0, 0, 0) for _ in range(8)),
    )


def ega_color(n: int) -> Color:
    """Bits rgbRGB: a third and two thirds of each."""

    def level(high: int, low: int) -> int:
        return 42 * (n >> high & 1) + 21 * (n >> low & 1)

    return level(2, 5), level(1, 4), level(0, 3)


def cga_color(n: int) -> Color:
    """Bits IRGB; dark yellow is brown."""
    if n == 6:
        return 42, 21, 0
    add = 21 * (n >> 3)
    return 42 * (n >> 2 & 1) + add, 42 * (n >> 1 & 1) + add, 42 * (n & 1) + add


def hue(levels: tuple[int, ...], n: int) -> Color:
    """24 steps around from blue by red and green."""
    least, most = levels[0], levels[-1]
    sector, step = divmod(n, 4)
    rising, falling = levels[step], levels[4 - step]
    return (
        (rising, least, most),
        (most, least, falling),
        (most, rising, least),
        (falling, most, least),
        (least, most, rising),
        (least, falling, most),
    )[sector]
