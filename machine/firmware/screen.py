"""The screen as INT 10h has it: modes, cells of text, characters and dots in graphics modes.

Registers are written through the ports, text through the window at B8000h. What lies in four planes
is drawn straight into the display's memory, of which a word holds a byte of each plane.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from machine.bus import Bus
from machine.firmware import bda
from machine.firmware.call import Guest
from machine.firmware.font import font
from machine.firmware.serial_console import SerialConsole
from machine.firmware.vga_modes import MODES, Kind, Mode, palette

# fmt: off
ATTRIBUTES, MISC_WRITE, SEQUENCER, DAC_MASK        = 0x3C0, 0x3C2, 0x3C4, 0x3C6
DAC_READ_INDEX, DAC_WRITE_INDEX, DAC_DATA          = 0x3C7, 0x3C8, 0x3C9
GRAPHICS, MONO_CRTC, COLOR_CRTC                    = 0x3CE, 0x3B4, 0x3D4
# fmt: on

PALETTE_ON = 0x20
DISPI_INDEX, DISPI_DATA, DISPI_ENABLE = 0x1CE, 0x1CF, 4

CLEAR_ATTRIBUTE = 0x07


class VideoMemory(Protocol):
    """The display's own memory: bytes, and words of a byte of each plane."""

    bytes: memoryview
    words: memoryview


class Screen:
    """What is in the BIOS data area about the display, and how to draw on it.

    `set_vector` sets an interrupt vector to a place in the ROM: fonts are found by them.
    """

    def __init__(
        self,
        ports: Bus,
        guest: Guest,
        memory: VideoMemory | None,
        store: Callable[[int, int, int], None],
        fonts: dict[int, int],
    ) -> None:
        """`fonts`: offsets in segment F000h by height; `store` writes as the processor does."""
        self._ports = ports
        self.guest = guest
        self._memory = memory
        self._store = store
        self.fonts = fonts
        self.mirror: SerialConsole | None = None
        """Where text goes as well."""

    # -- registers

    def out(self, port: int, value: int) -> None:
        self._ports.write(port, value, 1)

    def put(self, port: int, index: int, value: int) -> None:
        """Write a register that is reached by index and data."""
        self.out(port, index)
        self.out(port + 1, value)

    def get(self, port: int, index: int) -> int:
        self.out(port, index)
        return self._ports.read(port + 1, 1)

    @property
    def crtc(self) -> int:
        return self.guest.word(bda.CRTC_PORT)

    def put_attribute(self, index: int, value: int) -> None:
        """Write an attribute controller register; the picture stays on."""
        self._ports.read(self.crtc + 6, 1)  # the next write is an index
        self.out(ATTRIBUTES, index)
        self.out(ATTRIBUTES, value)
        self.out(ATTRIBUTES, PALETTE_ON)

    def get_attribute(self, index: int) -> int:
        self._ports.read(self.crtc + 6, 1)
        self.out(ATTRIBUTES, index)
        value = self._ports.read(ATTRIBUTES + 1, 1)
        self._ports.read(self.crtc + 6, 1)
        self.out(ATTRIBUTES, PALETTE_ON)
        return value

    def put_colors(self, first: int, colors: bytes) -> None:
        """Load DAC registers, three bytes each."""
        self.out(DAC_WRITE_INDEX, first)
        for value in colors:
            self.out(DAC_DATA, value)

    def get_colors(self, first: int, count: int) -> bytes:
        self.out(DAC_READ_INDEX, first)
        return bytes(self._ports.read(DAC_DATA, 1) for _ in range(3 * count))

    # -- modes

    @property
    def mode(self) -> Mode:
        return MODES.get(self.guest.byte(bda.VIDEO_MODE), MODES[3])

    @property
    def columns(self) -> int:
        return self.guest.word(bda.COLUMNS) or 80

    @property
    def rows(self) -> int:
        return self.guest.byte(bda.ROWS) + 1

    @property
    def page_bytes(self) -> int:
        return self.guest.word(bda.PAGE_BYTES)

    @property
    def height(self) -> int:
        """Rows of a character."""
        return self.guest.word(bda.CHARACTER_HEIGHT) or 16

    def set_mode(self, number: int, *, clear: bool = True) -> bool:
        """Set a mode; False if there is no such mode."""
        mode = MODES.get(number)
        if mode is None:
            return False
        self.put_dispi(DISPI_ENABLE, 0)
        self._write_registers(mode)
        if self.guest.byte(bda.VIDEO_FLAGS) & 0x08 == 0:
            self._load_palette(mode)
        if mode.is_text:
            self.load_font(16, font(16))
        if clear:
            self._clear(mode)
        self._note_mode(mode, clear=clear)
        self.set_vector(0x43, self.fonts[mode.character])
        self.set_vector(0x1F, self.fonts[8] + 128 * 8)
        for page in range(8):
            self.guest.put_word(bda.CURSORS + 2 * page, 0)
        if mode.is_text:
            self.set_cursor_shape(0x0607)
        if clear and self.mirror is not None:
            self.mirror.cleared()
        self.show_page(0)
        return True

    def put_dispi(self, index: int, value: int) -> None:
        """Write one of Bochs's registers."""
        self._ports.write(DISPI_INDEX, index, 2)
        self._ports.write(DISPI_DATA, value, 2)

    def get_dispi(self, index: int) -> int:
        self._ports.write(DISPI_INDEX, index, 2)
        return self._ports.read(DISPI_DATA, 2)

    def _write_registers(self, mode: Mode) -> None:
        self.out(MISC_WRITE, mode.misc)
        crtc = COLOR_CRTC if mode.misc & 1 else MONO_CRTC
        self.guest.put_word(bda.CRTC_PORT, crtc)
        self.put(SEQUENCER, 0, 1)
        for index, value in enumerate(mode.sequencer[1:], 1):
            self.put(SEQUENCER, index, value)
        self.put(SEQUENCER, 0, 3)
        self.put(crtc, 0x11, 0)  # lets the first eight be written
        for index, value in enumerate(mode.crtc):
            self.put(crtc, index, value)
        for index, value in enumerate(mode.graphics):
            self.put(GRAPHICS, index, value)
        self._ports.read(crtc + 6, 1)
        for index, value in enumerate(mode.attributes):
            self.out(ATTRIBUTES, index)
            self.out(ATTRIBUTES, value)
        self.out(ATTRIBUTES, PALETTE_ON)
        self.out(DAC_MASK, 0xFF)

    def _load_palette(self, mode: Mode) -> None:
        colors = palette(mode.palette)
        self.put_colors(0, b"".join(bytes(color) for color in colors))

    def _clear(self, mode: Mode) -> None:
        if mode.is_text:
            size = 0x8000
            self.guest.write(mode.base, bytes((0x20, CLEAR_ATTRIBUTE)) * (size // 2))
        elif mode.kind is Kind.CGA4:
            self.guest.write(mode.base, bytes(0x8000))
        elif self._memory is not None:
            self._memory.bytes[:0x40000] = bytes(0x40000)

    def _note_mode(self, mode: Mode, *, clear: bool) -> None:
        guest = self.guest
        guest.put_byte(bda.VIDEO_MODE, mode.number)
        guest.put_word(bda.COLUMNS, mode.columns)
        guest.put_word(bda.PAGE_BYTES, mode.page_bytes)
        guest.put_byte(bda.ROWS, mode.rows - 1)
        guest.put_word(bda.CHARACTER_HEIGHT, mode.character)
        guest.put_byte(bda.VIDEO_CONTROL, 0x60 | (0 if clear else 0x80))
        guest.put_byte(bda.VIDEO_SWITCHES, 0xF9)
        guest.put_byte(bda.VIDEO_FLAGS, guest.byte(bda.VIDEO_FLAGS) & 0x7F | 0x11)
        guest.put_byte(bda.DISPLAY_COMBINATION, 8)
        control = {0: 0x2C, 1: 0x28, 2: 0x2D, 3: 0x29, 4: 0x2A, 5: 0x2E, 6: 0x1E, 7: 0x29}
        guest.put_byte(bda.MODE_CONTROL, control.get(mode.number, 0x29))
        guest.put_byte(bda.COLOR_CONTROL, 0x3F if mode.number == 6 else 0x30)

    def set_vector(self, vector: int, offset: int) -> None:
        """An interrupt vector that points to data in the ROM."""
        self.guest.put_dword(4 * vector, 0xF000_0000 | offset)

    # -- fonts

    def load_font(self, height: int, glyphs: bytes, first: int = 0, block: int = 0) -> None:
        """Put characters into plane 2, 32 bytes each."""
        if self._memory is None:
            return
        self._open_plane_2()
        base = (block << 14 & 0xC000) + (block << 11 & 0x2000) + 32 * first
        for start in range(len(glyphs) // height):
            at = 4 * (base + 32 * start) + 2
            glyph = glyphs[start * height : (start + 1) * height].ljust(32, b"\0")
            self._memory.bytes[at : at + 128 : 4] = glyph
        self._close_plane_2()

    def _open_plane_2(self) -> None:
        """Text leaves the window while planes are touched behind the registers' back."""
        self.put(SEQUENCER, 2, 4)
        self.put(SEQUENCER, 4, 7)
        self.put(GRAPHICS, 5, 0)
        self.put(GRAPHICS, 6, 4)

    def _close_plane_2(self) -> None:
        mode = self.mode
        is_mono = self.crtc == MONO_CRTC
        self.put(SEQUENCER, 2, mode.sequencer[2] if mode.is_text else 3)
        self.put(SEQUENCER, 4, 2)
        self.put(GRAPHICS, 5, 0x10)
        self.put(GRAPHICS, 6, 0x0A if is_mono else 0x0E)

    def set_character_height(self, height: int) -> None:
        """As many rows as fit, for a text font of another height."""
        guest, mode = self.guest, self.mode
        lines = mode.height
        rows = lines // height
        guest.put_word(bda.CHARACTER_HEIGHT, height)
        guest.put_byte(bda.ROWS, rows - 1)
        guest.put_word(bda.PAGE_BYTES, rows * self.columns * 2 + 0x100 & ~0xFF)
        row = self.get(self.crtc, 9) & ~0x1F | height - 1
        self.put(self.crtc, 9, row)
        last = rows * height - 1
        self.put(self.crtc, 0x12, last & 0xFF)
        overflow = self.get(self.crtc, 7) & ~0x42
        self.put(self.crtc, 7, overflow | last >> 7 & 2 | last >> 3 & 0x40)
        self.set_cursor_shape(0x0607)

    # -- the cursor

    def cursor(self, page: int) -> tuple[int, int]:
        """Row and column."""
        word = self.guest.word(bda.CURSORS + 2 * (page & 7))
        return word >> 8, word & 0xFF

    def set_cursor(self, page: int, row: int, column: int) -> None:
        self.guest.put_word(bda.CURSORS + 2 * (page & 7), row << 8 | column)
        if page == self.guest.byte(bda.ACTIVE_PAGE) and self.mode.is_text:
            cell = self.guest.word(bda.PAGE_START) // 2 + row * self.columns + column
            self.put(self.crtc, 0x0E, cell >> 8 & 0xFF)
            self.put(self.crtc, 0x0F, cell & 0xFF)

    def set_cursor_shape(self, shape: int) -> None:
        """Rows of the cursor, as if characters had eight, unless that emulation is off."""
        self.guest.put_word(bda.CURSOR_SHAPE, shape)
        start, end = shape >> 8 & 0x3F, shape & 0x1F
        height = self.height
        if not self.guest.byte(bda.VIDEO_CONTROL) & 1 and height > 8 and end < 8 and start < 0x20:
            last = height - 1
            if end != start + 1:
                start = (start + 1) * height // 8 - 1
            else:
                start = (end + 1) * height // 8 - 2
            end = (end + 1) * height // 8 - 1
            if end == last:  # the lowest row is left free
                start, end = max(start - 1, 0), end - 1
        self.put(self.crtc, 0x0A, start)
        self.put(self.crtc, 0x0B, end)

    def show_page(self, page: int) -> None:
        mode = self.mode
        page &= 7
        start = page * self.page_bytes
        self.guest.put_byte(bda.ACTIVE_PAGE, page)
        self.guest.put_word(bda.PAGE_START, start)
        first = start // 2 if mode.is_text else start
        self.put(self.crtc, 0x0C, first >> 8 & 0xFF)
        self.put(self.crtc, 0x0D, first & 0xFF)
        self.set_cursor(page, *self.cursor(page))

    # -- text

    def cell(self, page: int, row: int, column: int) -> int:
        """The address of a cell of text."""
        return self.mode.base + page * self.page_bytes + 2 * (row * self.columns + column)

    def read(self, page: int, row: int, column: int) -> int:
        """Character and attribute; in graphics modes the character whose dots are there."""
        if self.mode.is_text:
            return self.guest.word(self.cell(page, row, column))
        dots = self._dots(page, row, column)
        glyphs = self._glyphs()
        height = self.height
        for code in range(256):
            if glyphs[code * height : (code + 1) * height] == dots:
                return code
        return 0

    def write(
        self, page: int, row: int, column: int, character: int, attribute: int | None, count: int
    ) -> None:
        """Write a character so many times; attribute None keeps what is there."""
        if not self.mode.is_text:
            for index in range(min(count, self.columns * self.rows)):
                down, across = divmod(column + index, self.columns)
                self.draw(
                    page, row + down, across, character, 7 if attribute is None else attribute
                )
            return
        at = self.cell(page, row, column)
        if attribute is not None:
            cells = bytes((character, attribute)) * count
        else:
            attributes = self.guest.read(at, 2 * count)[1::2]
            cells = b"".join(bytes((character, kept)) for kept in attributes)
        self.guest.write(at, cells[: max(0, self.mode.base + 0x8000 - at)])
        if self.mirror is not None and page == self.guest.byte(bda.ACTIVE_PAGE):
            for index in range(min(count, self.columns * self.rows)):
                down, across = divmod(column + index, self.columns)
                self.mirror.put(row + down, across, character, cells[2 * index + 1])

    def scroll(
        self, lines: int, attribute: int, top: int, left: int, bottom: int, right: int, page: int
    ) -> None:
        """Move a window up by so many lines (down if negative); 0 clears it."""
        bottom, right = min(bottom, self.rows - 1), min(right, self.columns - 1)
        if top > bottom or left > right:
            return
        height = bottom - top + 1
        if not lines or abs(lines) >= height:
            lines = height
        if not self.mode.is_text:
            self._scroll_dots(lines, attribute, top, left, bottom, right, page)
            return
        if self.mirror is not None and (top, left, right) == (0, 0, self.columns - 1):
            if lines == 1 and bottom == self.rows - 1:
                self.mirror.scrolled()
            elif lines == height and bottom >= self.rows - 2:
                self.mirror.cleared()
        guest, width = self.guest, 2 * (right - left + 1)
        rows = [guest.read(self.cell(page, row, left), width) for row in range(top, bottom + 1)]
        blank = bytes((0x20, attribute)) * (width // 2)
        blanks = [blank] * abs(lines)
        moved = rows[lines:] + blanks if lines > 0 else blanks + rows[:lines]
        if width == 2 * self.columns:
            guest.write(self.cell(page, top, 0), b"".join(moved))
            return
        for row, cells in enumerate(moved, top):
            guest.write(self.cell(page, row, left), cells)

    # -- dots

    def _glyphs(self) -> bytes:
        """The characters of graphics modes, which INT 43h and 1Fh point to."""
        height = self.height
        if height == 8:
            low = self.guest.read(self.guest.pointer(4 * 0x43), 128 * 8)
            return low + self.guest.read(self.guest.pointer(4 * 0x1F), 128 * 8)
        return self.guest.read(self.guest.pointer(4 * 0x43), 256 * height)

    def draw(self, page: int, row: int, column: int, character: int, color: int) -> None:
        """Draw a character in a graphics mode."""
        height = self.height
        glyph = self._glyphs()[character * height : (character + 1) * height]
        kind, mode = self.mode.kind, self.mode
        for line, bits in enumerate(glyph, row * height):
            if line >= mode.height or column >= self.columns:
                return
            if kind is Kind.PLANAR:
                self._planar_row(
                    page * self.page_bytes + line * mode.width // 8 + column, bits, color
                )
            elif kind is Kind.LINEAR:
                self._linear_row(line * mode.width + 8 * column, bits, color)
            else:
                self._cga_row(kind, line, column, bits, color)

    def _planar_row(self, at: int, bits: int, color: int) -> None:
        if self._memory is None:
            return
        word = 0
        for plane in range(4):
            word |= (bits if color >> plane & 1 else 0) << 8 * plane
        if color & 0x80:
            word ^= self._memory.words[at]
        self._memory.words[at] = word

    def _linear_row(self, at: int, bits: int, color: int) -> None:
        if self._memory is not None:
            dots = bytes(color if bits >> (7 - x) & 1 else 0 for x in range(8))
            self._memory.bytes[at : at + 8] = dots

    def _cga_row(self, kind: Kind, line: int, column: int, bits: int, color: int) -> None:
        at = self.mode.base + (line & 1) * 0x2000 + (line >> 1) * 80
        if kind is Kind.CGA2:
            self._store_cga(at + column, bits if color & 1 else 0, color, 1)
            return
        wide = 0
        for x in range(8):
            if bits >> (7 - x) & 1:
                wide |= (color & 3) << 14 - 2 * x
        self._store_cga(at + 2 * column, (wide >> 8 | wide << 8) & 0xFFFF, color, 2)

    def _store_cga(self, at: int, value: int, color: int, size: int) -> None:
        if color & 0x80:
            value ^= int.from_bytes(self._cga_bytes(at - self.mode.base, size), "little")
        for index in range(size):
            self._store(at + index, value >> 8 * index & 0xFF, 1)

    def _dots(self, page: int, row: int, column: int) -> bytes:
        return bytes(
            sum(
                0x80 >> x
                for x in range(8)
                if self.dot(page, 8 * column + x, row * self.height + line)
            )
            for line in range(self.height)
        )

    def dot(self, page: int, x: int, y: int) -> int:
        """The colour of a dot."""
        mode = self.mode
        if x >= mode.width or y >= mode.height or self._memory is None:
            return 0
        match mode.kind:
            case Kind.PLANAR:
                word = self._memory.words[page * self.page_bytes + y * mode.width // 8 + x // 8]
                return sum((word >> 8 * plane + 7 - x % 8 & 1) << plane for plane in range(4))
            case Kind.LINEAR:
                return int(self._memory.bytes[y * mode.width + x])
            case _:
                shift, per_byte, mask = self._cga_place(mode.kind, x)
                byte = self._cga_bytes((y & 1) * 0x2000 + (y >> 1) * 80 + x // per_byte, 1)[0]
                return byte >> shift & mask

    @staticmethod
    def _cga_place(kind: Kind, x: int) -> tuple[int, int, int]:
        return (6 - 2 * (x & 3), 4, 3) if kind is Kind.CGA4 else (7 - (x & 7), 8, 1)

    def _cga_bytes(self, at: int, count: int) -> bytes:
        """What is in a CGA mode's memory: plain memory, or mode 6's plane 0."""
        if self.mode.kind is Kind.CGA4 or self._memory is None:
            return self.guest.read(self.mode.base + at, count)
        return bytes(self._memory.bytes[4 * at : 4 * (at + count) : 4])

    def set_dot(self, page: int, x: int, y: int, color: int) -> None:
        """Set a dot; bit 7 of the colour means exclusive-or, but with 256 colours."""
        mode = self.mode
        if x >= mode.width or y >= mode.height or self._memory is None:
            return
        if mode.kind is Kind.LINEAR:
            self._memory.bytes[y * mode.width + x] = color
            return
        if color & 0x80:
            color ^= self.dot(page, x, y)
        if mode.kind is Kind.PLANAR:
            at, bit = page * self.page_bytes + y * mode.width // 8 + x // 8, 7 - x % 8
            word = self._memory.words[at]
            for plane in range(4):
                place = 8 * plane + bit
                word = word & ~(1 << place) | (color >> plane & 1) << place
            self._memory.words[at] = word
            return
        if not mode.is_text:
            shift, per_byte, mask = self._cga_place(mode.kind, x)
            at = (y & 1) * 0x2000 + (y >> 1) * 80 + x // per_byte
            byte = self._cga_bytes(at, 1)[0] & ~(mask << shift) | (color & mask) << shift
            self._store(mode.base + at, byte, 1)

    def _scroll_dots(
        self, lines: int, attribute: int, top: int, left: int, bottom: int, right: int, page: int
    ) -> None:
        """Scroll in a graphics mode: rows of dots are moved."""
        height = self.height
        first, last = top * height, (bottom + 1) * height
        moved = lines * height
        rows = range(first, last) if moved > 0 else range(last - 1, first - 1, -1)
        for line in rows:
            source = line + moved
            inside = first <= source < last and abs(lines) < bottom - top + 1
            self._copy_row(line, source if inside else None, left, right, attribute, page)

    def _copy_row(
        self, line: int, source: int | None, left: int, right: int, attribute: int, page: int
    ) -> None:
        mode, memory = self.mode, self._memory
        if memory is None or line >= mode.height:
            return
        if mode.kind is Kind.LINEAR:
            at, size = line * mode.width + 8 * left, 8 * (right - left + 1)
            other = (source or 0) * mode.width + 8 * left
            dots = (
                bytes((attribute,)) * size if source is None else bytes(memory.bytes[other:][:size])
            )
            memory.bytes[at : at + size] = dots
            return
        if mode.kind is Kind.PLANAR:
            stride, start = mode.width // 8, page * self.page_bytes + left
            at, size = 4 * (start + line * stride), 4 * (right - left + 1)
            other = 4 * (start + (source or 0) * stride)
            blank = bytes(0xFF if attribute >> plane & 1 else 0 for plane in range(4))
            row = blank * (size // 4) if source is None else bytes(memory.bytes[other:][:size])
            memory.bytes[at : at + size] = row
            return
        scale = 2 if mode.kind is Kind.CGA4 else 1
        at, size = (line & 1) * 0x2000 + (line >> 1) * 80 + left * scale, (right - left + 1) * scale
        if source is None:
            row = bytes((attribute,)) * size
        else:
            row = self._cga_bytes((source & 1) * 0x2000 + (source >> 1) * 80 + left * scale, size)
        for index, value in enumerate(row):
            self._store(mode.base + at + index, value, 1)
