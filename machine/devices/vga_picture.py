"""What a VGA shows: characters of text modes, pixels of all modes.

A picture is taken in two steps. `scan_out` copies what is on the screen now, which is quick and
needs the machine's lock; two copies that are equal are the same picture. Colours are made of the
copy when somebody asks for them, at any time.

Sources: IBM, "PS/2 Hardware Interface Technical Reference", Video Subsystem. Not modelled:
overscan, interlacing, blinking (what blinks is always shown), the bits of CRTC Mode Control beyond
the two that mix row scan counts into addresses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from itertools import repeat

from machine.devices.dispi import Dispi
from machine.devices.vga_memory import PLANE_SIZE, VgaMemory
from machine.devices.vga_registers import (
    ATTRIBUTE_MODE,
    BLINKS,
    CHARACTER_MAP,
    CURSOR_END,
    CURSOR_START,
    GRAPHICS_MODE,
    IS_GRAPHICS,
    LINE_GRAPHICS,
    MAXIMUM_SCAN,
    MISCELLANEOUS,
    MODE_CONTROL,
    MONO_EMULATION,
    OFFSET,
    PANNING,
    PANS_TOP_ONLY,
    PRESET_ROW,
    UNDERLINE,
    Registers,
)

BLANK_SIZE = 720, 400

CP437 = (
    (
        "\0☺☻♥♦♣♠•◘○◙♂♀♪♫☼►◄↕‼¶§▬↨↑↓→←∟↔▲▼"
        + bytes(range(0x20, 0x7F)).decode("cp437")
        + "⌂"
        + bytes(range(0x80, 0x100)).decode("cp437")
    )
    .replace("\0", " ")
    .replace("\xa0", " ")
)
"""What the characters of a PC's font look like, in Unicode."""

FONT_SIZE = 256 * 32
VGA_SIZE = 4 * PLANE_SIZE


# -- what is copied -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where in a text screen it is, and which lines of the character it covers."""

    column: int
    row: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class TextCells:
    """A text screen: a character and an attribute for every cell, row after row."""

    columns: int
    rows: int
    cells: bytes
    cursor: Cursor | None
    blinks: bool
    """Bit 7 of an attribute blinks; else the background is bright."""
    palette: bytes
    """The 16 colours, red, green, blue."""
    width: int
    height: int
    """Dots of a cell; 9 wide ones repeat the eighth dot of line graphics."""
    dot_repeat: int
    line_repeat: int
    fonts: tuple[bytes, bytes]
    """For attributes without and with bit 3: 32 bytes a character."""
    has_line_graphics: bool
    underline: int
    """The line that underlines blue characters of a monochrome screen, or 32."""

    def lines(self) -> list[str]:
        """What can be read, without blanks at the ends of lines."""
        codes = self.cells[0::2]
        starts = range(0, self.columns * self.rows, self.columns)
        return ["".join(CP437[c] for c in codes[at : at + self.columns]).rstrip() for at in starts]


@dataclass(frozen=True, slots=True)
class Pixels:
    """A graphics screen: pieces of memory, one a row of pixels, in one of several formats."""

    layout: str
    """`planar`, `cga`, `8`, `15`, `16`, `24` or `32`."""
    width: int
    """Pixels of a row; the bytes may hold some more."""
    data: bytes
    row_bytes: int
    repeats: tuple[int, ...]
    """How often each row is shown, one below the other."""
    pans: tuple[int, int, int]
    """Pixels that rows begin later: before row number so and so, and from there on."""
    dot_repeat: int
    palette: bytes
    """256 colours, red, green, blue; empty if pixels have colours of their own."""


@dataclass(frozen=True)
class Frame:
    """One picture: its size in dots, its text if it is text, its colours."""

    width: int
    height: int
    text: TextCells | None = None
    pixels: Pixels | None = None

    def rgb(self) -> bytes:
        """Red, green and blue of every dot, from the top left on."""
        return self._rgb

    @cached_property
    def _rgb(self) -> bytes:
        if self.text is not None:
            return draw_text(self.text)
        if self.pixels is not None:
            return draw_pixels(self.pixels)
        return bytes(3 * self.width * self.height)


def scan_out(registers: Registers, dispi: Dispi, memory: VgaMemory) -> Frame:
    """Copy what the screen shows now."""
    is_on = dispi.is_on
    if not (registers.shows_picture or (is_on and registers.palette_is_on)):
        return Frame(*BLANK_SIZE)
    if is_on:
        return _linear(registers, dispi, memory)
    if registers.graphics[MISCELLANEOUS] & IS_GRAPHICS:
        return _graphics(registers, memory)
    return _text(registers, memory)


def dac_colors(registers: Registers, is_8_bit: bool, indices: Sequence[int]) -> bytes:
    """Red, green and blue of some of the DAC's registers, 8 bits each."""
    dac, mask = registers.dac, registers.pel_mask
    found = bytearray()
    for index in indices:
        at = 3 * (index & mask)
        found += dac[at : at + 3]
    return bytes(found) if is_8_bit else bytes(found).translate(FROM_6_BITS)


FROM_6_BITS = bytes((value & 0x3F) << 2 | (value & 0x3F) >> 4 for value in range(256))


def _linear(registers: Registers, dispi: Dispi, memory: VgaMemory) -> Frame:
    """A mode of Bochs's interface."""
    width, height, depth = dispi.width, dispi.height, dispi.depth
    pitch, start = dispi.pitch, dispi.start
    row_bytes = width // 8 * 4 if depth == 4 else width * ((depth + 7) // 8)
    if pitch == row_bytes:
        data = memory.bytes[start : start + pitch * height].tobytes()
    else:
        begins = range(start, start + pitch * height, pitch)
        data = b"".join([memory.bytes[at : at + row_bytes] for at in begins])
    has_8_bits = dispi.has_8_bit_dac
    palette = b""
    if depth == 4:
        palette = dac_colors(registers, has_8_bits, [registers.color_of(n) for n in range(16)])
    elif depth == 8:
        palette = dac_colors(registers, has_8_bits, range(256))
    # Rows may be missing at the end of memory.
    data = data.ljust(row_bytes * height, b"\0")
    pixels = Pixels(
        "planar" if depth == 4 else str(depth), width, data, row_bytes, (1,) * height, (0, 0, 0), 1,
        palette,
    )  # fmt: skip
    return Frame(width, height, pixels=pixels)


@lru_cache(maxsize=8)
def _rows(
    height: int, start: int, pitch: int, scans: int, preset: int, doubles: bool, control: int,
    line_compare: int,
) -> tuple[tuple[int, ...], tuple[int, ...], int]:  # fmt: skip
    """The beam's way down: where in memory rows begin, how often each is shown.

    Also which row is the first below a split. Two bits of CRTC Mode Control, if they are 0, have
    bits of the row scan counter instead of address bits 13 and 14, as CGA and Hercules need it;
    word addresses are one bit shorter here, since `VgaMemory` drops that bit.
    """
    swapped = (13 if control & 0x40 else 12) + 2
    address, scan, is_second = start, preset, False
    begins: list[int] = []
    counts: list[int] = []
    split = -1
    for y in range(height):
        if y == line_compare + 1:
            address, scan, is_second, split = 0, 0, False, len(begins)
        at = address
        if not control & 1:
            at = at & ~(1 << swapped) | (scan & 1) << swapped
        if not control & 2:
            at = at & ~(2 << swapped) | (scan >> 1 & 1) << swapped + 1
        if begins and begins[-1] == at and split != len(begins):
            counts[-1] += 1
        else:
            begins.append(at)
            counts.append(1)
        if doubles and not is_second:
            is_second = True
            continue
        is_second = False
        scan += 1
        if scan > scans:
            scan = 0
            address += pitch
    return tuple(begins), tuple(counts), len(begins) if split < 0 else split


def _graphics(registers: Registers, memory: VgaMemory) -> Frame:
    """A graphics mode of the VGA itself: 4 planes, CGA's 4 colours, or 256 colours."""
    memory.settle()
    crtc, attributes = registers.crtc, registers.attributes
    shift = registers.graphics[GRAPHICS_MODE] >> 5 & 3
    width = 8 * registers.characters
    pan = attributes[PANNING] & 7
    if shift >= 2:
        layout, width, dot_repeat, pan = "8", width // 2, 2, pan >> 1
        palette = dac_colors(registers, False, range(256))
        row_bytes = width
    else:
        layout, dot_repeat = "cga" if shift else "planar", registers.dot_repeat
        palette = dac_colors(registers, False, [registers.color_of(n) for n in range(16)])
        row_bytes = width // 2
    row_bytes += 4 if pan else 0
    maximum = crtc[MAXIMUM_SCAN]
    begins, counts, split = _rows(
        registers.vertical_display, 4 * registers.start, 8 * crtc[OFFSET], maximum & 0x1F,
        crtc[PRESET_ROW] & 0x1F, bool(maximum & 0x80), crtc[MODE_CONTROL] & 0x43,
        registers.line_compare,
    )  # fmt: skip
    below = 0 if attributes[ATTRIBUTE_MODE] & PANS_TOP_ONLY else pan
    data = b"".join([_wrapped(memory.bytes, at, row_bytes) for at in begins])
    pixels = Pixels(
        layout, width, data, row_bytes, counts, (pan, split, below), dot_repeat, palette
    )
    return Frame(width * dot_repeat, sum(counts), pixels=pixels)


def _wrapped(memory: memoryview, at: int, length: int) -> bytes | memoryview:
    """Memory from an address on, of which there are 256 KiB."""
    at %= VGA_SIZE
    if at + length <= VGA_SIZE:
        return memory[at : at + length]
    return bytes(memory[at:VGA_SIZE]) + bytes(memory[: at + length - VGA_SIZE])


def _text(registers: Registers, memory: VgaMemory) -> Frame:
    crtc, attributes = registers.crtc, registers.attributes
    columns = registers.characters
    height = (crtc[MAXIMUM_SCAN] & 0x1F) + 1
    line_repeat = 2 if crtc[MAXIMUM_SCAN] & 0x80 else 1
    rows = max(1, registers.vertical_display // (height * line_repeat))
    pitch = 2 * crtc[OFFSET]
    top = min(rows, (registers.line_compare + 1) // (height * line_repeat))
    begins = [registers.start + row * pitch for row in range(top)]
    begins += [row * pitch for row in range(rows - top)]
    cells = b"".join([memory.text(at % PLANE_SIZE, columns) for at in begins])
    is_mono = attributes[ATTRIBUTE_MODE] & MONO_EMULATION
    text = TextCells(
        columns=columns,
        rows=rows,
        cells=cells,
        cursor=_cursor(registers, begins, height),
        blinks=bool(attributes[ATTRIBUTE_MODE] & BLINKS),
        palette=dac_colors(registers, False, [registers.color_of(n) for n in range(16)]),
        width=registers.character_width,
        height=height,
        dot_repeat=registers.dot_repeat,
        line_repeat=line_repeat,
        fonts=_fonts(registers.sequencer[CHARACTER_MAP], memory),
        has_line_graphics=bool(attributes[ATTRIBUTE_MODE] & LINE_GRAPHICS),
        underline=crtc[UNDERLINE] & 0x1F if is_mono else 32,
    )
    return Frame(columns * text.width * text.dot_repeat, rows * height * line_repeat, text=text)


def _cursor(registers: Registers, begins: Sequence[int], height: int) -> Cursor | None:
    """The cursor, if it is on, covers a line, and is on the screen."""
    start, end = registers.crtc[CURSOR_START], registers.crtc[CURSOR_END] & 0x1F
    if start & 0x20 or start & 0x1F > end or start & 0x1F >= height:
        return None
    for row, at in enumerate(begins):
        if at <= registers.cursor < at + registers.characters:
            return Cursor(registers.cursor - at, row, start & 0x1F, min(end, height - 1))
    return None


def _fonts(select: int, memory: VgaMemory) -> tuple[bytes, bytes]:
    """Character maps B and A are in plane 2, in the order 0, 4, 1, 5, 2, 6, 3, 7."""
    maps = (select & 3) << 1 | select >> 4 & 1, (select >> 2 & 3) << 1 | select >> 5 & 1
    fonts = [
        memory.bytes[4 * FONT_SIZE * n + 2 : 4 * FONT_SIZE * (n + 1) : 4].tobytes() for n in maps
    ]
    return fonts[0], fonts[1]


# -- colours ------------------------------------------------------------------------------------


def colored(indices: bytes, palette: bytes) -> bytearray:
    """Colours of a palette for indices into it."""
    size = len(palette) // 3
    out = bytearray(3 * len(indices))
    for part in range(3):
        table = palette[part::3] * (256 // size)
        out[part::3] = indices.translate(table)
    return out


def draw_text(text: TextCells) -> bytes:
    """The dots of a text screen."""
    images: dict[tuple[int, int], list[bytes]] = {}
    cells = list(zip(text.cells[0::2], text.cells[1::2], strict=True))
    for cell in set(cells):
        images[cell] = _cell(text, *cell)
    lines: list[bytes] = []
    for row in range(text.rows):
        images_of_row = [images[c] for c in cells[row * text.columns : (row + 1) * text.columns]]
        if text.cursor is not None and text.cursor.row == row:
            column = text.cursor.column
            images_of_row[column] = _under_cursor(
                text, text.cursor, images_of_row[column], cells[row * text.columns + column][1]
            )
        for parts in zip(*images_of_row, strict=True):
            lines += repeat(b"".join(parts), text.line_repeat)
    indices = b"".join(lines)
    return bytes(colored(_widened(indices, text.dot_repeat), text.palette))


def _cell(text: TextCells, code: int, attribute: int) -> list[bytes]:
    """The dots of one character, line by line, as colours of 16."""
    font = text.fonts[attribute >> 3 & 1]
    foreground, background = attribute & 15, attribute >> 4 & (7 if text.blinks else 15)
    table = bytes((background, foreground))
    repeats_eighth = text.has_line_graphics and 0xC0 <= code <= 0xDF
    lines = []
    for line in range(text.height):
        bits = font[32 * code + line]
        if line == text.underline and attribute & 0x77 == 1:
            bits = 0xFF
        dots = BITS[bits]
        if text.width == 9:
            dots += dots[7:] if repeats_eighth else b"\0"
        lines.append(dots.translate(table.ljust(256, b"\0")))
    return lines


def _under_cursor(
    text: TextCells, cursor: Cursor, image: list[bytes], attribute: int
) -> list[bytes]:
    block = bytes((attribute & 15,)) * text.width
    return [
        block if cursor.start <= line <= cursor.end else dots for line, dots in enumerate(image)
    ]


BITS = [bytes(value >> bit & 1 for bit in range(7, -1, -1)) for value in range(256)]
"""The eight pixels of a byte."""
PAIRS = [bytes(value >> bit & 3 for bit in range(6, -1, -2)) for value in range(256)]
"""Its four pixels of two bits."""


def draw_pixels(pixels: Pixels) -> bytes:
    """The dots of a graphics screen."""
    draw = DRAW[pixels.layout]
    bytes_per_pixel = 3
    if pixels.palette:
        image = bytes(draw(pixels.data))
        bytes_per_pixel = 1
    else:
        image = bytes(draw(pixels.data))
    image = _cropped(pixels, image, bytes_per_pixel)
    if pixels.palette:
        image = bytes(colored(_widened(image, pixels.dot_repeat), pixels.palette))
    return _lengthened(pixels, image)


def _cropped(pixels: Pixels, image: bytes, size: int) -> bytes:
    """Rows without the pixels that panning has moved out at the left, and those too many."""
    count = len(pixels.repeats)
    stride = len(image) // count
    width = pixels.width * size
    if stride == width:
        return image
    before, split, after = pixels.pans
    starts = (n * stride + (before if n < split else after) * size for n in range(count))
    return b"".join([image[at : at + width] for at in starts])


def _widened(indices: bytes, times: int) -> bytes:
    if times == 1:
        return indices
    out = bytearray(times * len(indices))
    for part in range(times):
        out[part::times] = indices
    return bytes(out)


def _lengthened(pixels: Pixels, image: bytes) -> bytes:
    """Every row as often as it is shown."""
    if max(pixels.repeats) == 1:
        return image
    stride = 3 * pixels.width * pixels.dot_repeat
    rows = (image[n * stride : (n + 1) * stride] for n in range(len(pixels.repeats)))
    return b"".join([row * times for row, times in zip(rows, pixels.repeats, strict=True)])


def _planar(data: bytes) -> bytes:
    """Four planes: a bit of each makes a pixel."""
    total = 0
    for plane in range(4):
        part = data[plane::4]
        if any(part):
            spread = b"".join([BITS[value] for value in part])
            total |= int.from_bytes(spread, "little") << plane
    return total.to_bytes(2 * len(data), "little")


def _cga(data: bytes) -> bytes:
    """Two bits of planes 0 and 1 make a pixel, in turn; 2 and 3 would give the high ones."""
    low, high = bytearray(len(data) // 2), bytearray(len(data) // 2)
    low[0::2], low[1::2], high[0::2], high[1::2] = (data[plane::4] for plane in range(4))
    total = 0
    for part, bits in ((low, 0), (high, 2)):
        if any(part):
            total |= int.from_bytes(b"".join([PAIRS[value] for value in part]), "little") << bits
    return total.to_bytes(2 * len(data), "little")


def _indexed(data: bytes) -> bytes:
    return data


@cache
def _table(low: int, count: int, up: int) -> bytes:
    """Of a byte, `count` bits from `low` on, moved to bit `up`."""
    return bytes((value >> low & (1 << count) - 1) << up for value in range(256))


def _or(*parts: bytes) -> bytes:
    total = 0
    for part in parts:
        total |= int.from_bytes(part, "little")
    return total.to_bytes(len(parts[0]), "little")


FILL_5 = bytes((value & 0xF8) | value >> 5 for value in range(256))
FILL_6 = bytes((value & 0xFC) | value >> 6 for value in range(256))


def _direct_15(data: bytes) -> bytearray:
    low, high = data[0::2], data[1::2]
    out = bytearray(3 * len(low))
    out[0::3] = high.translate(_table(2, 5, 3)).translate(FILL_5)
    green = _or(high.translate(_table(0, 2, 6)), low.translate(_table(5, 3, 3)))
    out[1::3] = green.translate(FILL_5)
    out[2::3] = low.translate(_table(0, 5, 3)).translate(FILL_5)
    return out


def _direct_16(data: bytes) -> bytearray:
    low, high = data[0::2], data[1::2]
    out = bytearray(3 * len(low))
    out[0::3] = high.translate(_table(3, 5, 3)).translate(FILL_5)
    green = _or(high.translate(_table(0, 3, 5)), low.translate(_table(5, 3, 2)))
    out[1::3] = green.translate(FILL_6)
    out[2::3] = low.translate(_table(0, 5, 3)).translate(FILL_5)
    return out


def _direct_24(data: bytes) -> bytearray:
    out = bytearray(len(data))
    out[0::3], out[1::3], out[2::3] = data[2::3], data[1::3], data[0::3]
    return out


def _direct_32(data: bytes) -> bytearray:
    out = bytearray(len(data) // 4 * 3)
    out[0::3], out[1::3], out[2::3] = data[2::4], data[1::4], data[0::4]
    return out


DRAW: dict[str, Callable[[bytes], bytes | bytearray]] = {
    "planar": _planar,
    "cga": _cga,
    "8": _indexed,
    "15": _direct_15,
    "16": _direct_16,
    "24": _direct_24,
    "32": _direct_32,
}
