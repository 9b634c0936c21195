"""INT 10h: video services.

Source: IBM, "BIOS Interface Technical Reference", Interrupt 10H. VBE (AH=4Fh) is in `vbe`. Not
modelled: light pens, and saving of the state (AH=1Ch) beyond its size.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from machine.firmware import bda
from machine.firmware.call import Call
from machine.firmware.font import font
from machine.firmware.screen import DAC_MASK, SEQUENCER, Screen
from machine.firmware.vbe import Vbe
from machine.firmware.vga_modes import MODES, Kind


class Video:
    """The services of INT 10h on a screen."""

    def __init__(self, screen: Screen, vbe: Vbe, table: int) -> None:
        """`table`: where the static functionality table is in segment F000h."""
        self.screen = screen
        self._vbe = vbe
        self._table = table
        # fmt: off
        self._services: dict[int, Callable[[Call], None]] = {
            0x00: self._set_mode,      0x01: self._set_cursor_shape, 0x02: self._set_cursor,
            0x03: self._get_cursor,    0x05: self._set_page,         0x06: self._scroll,
            0x07: self._scroll,        0x08: self._read,             0x09: self._write,
            0x0A: self._write,         0x0B: self._set_cga_colors,   0x0C: self._set_dot,
            0x0D: self._get_dot,       0x0E: self._teletype,         0x0F: self._get_mode,
            0x10: self._palette,       0x11: self._font,             0x12: self._select,
            0x13: self._write_string,  0x1A: self._combination,      0x1B: self._state,
            0x1C: self._save,          0x4F: vbe.call,
        }
        # fmt: on

    def call(self, call: Call) -> None:
        service = self._services.get(call.ah)
        if service is not None:
            service(call)

    # -- modes and the cursor

    def _set_mode(self, call: Call) -> None:
        mode = call.al
        if self.screen.set_mode(mode & 0x7F, clear=not mode & 0x80):
            self._vbe.left()
            call.al = 0x3F if mode & 0x7F == 6 else 0x20 if mode & 0x7F > 7 else 0x30

    def _get_mode(self, call: Call) -> None:
        guest = self.screen.guest
        keeps = guest.byte(bda.VIDEO_CONTROL) & 0x80
        call.ax = guest.byte(bda.COLUMNS) << 8 | guest.byte(bda.VIDEO_MODE) | keeps
        call.bh = guest.byte(bda.ACTIVE_PAGE)

    def _set_cursor_shape(self, call: Call) -> None:
        self.screen.set_cursor_shape(call.cx)

    def _set_cursor(self, call: Call) -> None:
        self.screen.set_cursor(call.bh & 7, call.dh, call.dl)

    def _get_cursor(self, call: Call) -> None:
        row, column = self.screen.cursor(call.bh)
        call.dx = row << 8 | column
        call.cx = self.screen.guest.word(bda.CURSOR_SHAPE)

    def _set_page(self, call: Call) -> None:
        self.screen.show_page(call.al)

    # -- text

    def _scroll(self, call: Call) -> None:
        lines = call.al if call.ah == 6 else -call.al
        page = self.screen.guest.byte(bda.ACTIVE_PAGE)
        self.screen.scroll(lines, call.bh, call.ch, call.cl, call.dh, call.dl, page)

    def _read(self, call: Call) -> None:
        call.ax = self.screen.read(call.bh & 7, *self.screen.cursor(call.bh))

    def _write(self, call: Call) -> None:
        """AH=09h with an attribute, AH=0Ah without (in graphics modes it has a colour)."""
        page = call.bh & 7
        attribute = call.bl if call.ah == 9 or not self.screen.mode.is_text else None
        if call.cx:
            self.screen.write(page, *self.screen.cursor(page), call.al, attribute, call.cx)

    def _teletype(self, call: Call) -> None:
        page = self.screen.guest.byte(bda.ACTIVE_PAGE)
        self.type(page, call.al, None if self.screen.mode.is_text else call.bl)

    def type(self, page: int, character: int, attribute: int | None) -> None:
        """Write a character and go on: control characters move, the end of the screen scrolls."""
        screen = self.screen
        row, column = screen.cursor(page)
        match character:
            case 7:  # bell
                return
            case 8:  # backspace
                column = max(0, column - 1)
            case 10:  # line feed
                row += 1
            case 13:  # carriage return
                column = 0
            case _:
                screen.write(page, row, column, character, attribute, 1)
                column += 1
                if column >= screen.columns:
                    row, column = row + 1, 0
        if row >= screen.rows:
            self._scroll_up(page, screen.rows - 1)
            row = screen.rows - 1
        screen.set_cursor(page, row, column)

    def _scroll_up(self, page: int, last: int) -> None:
        screen = self.screen
        is_text = screen.mode.is_text
        attribute = screen.read(page, last, screen.columns - 1) >> 8 if is_text else 0
        screen.scroll(1, attribute, 0, 0, last, screen.columns - 1, page)

    def _write_string(self, call: Call) -> None:
        """AL bit 0: the cursor goes along; bit 1: attributes are in the string."""
        screen, page = self.screen, call.bh & 7
        before = screen.cursor(page)
        has_attributes, moves = bool(call.al & 2), bool(call.al & 1)
        size = 2 if has_attributes else 1
        text = screen.guest.read(call.es_pointer(call.bp), call.cx * size)
        screen.set_cursor(page, call.dh, call.dl)
        for at in range(0, len(text), size):
            self.type(page, text[at], text[at + 1] if has_attributes else call.bl)
        if not moves:
            screen.set_cursor(page, *before)

    def write_text(self, text: str) -> None:
        """What the BIOS itself says."""
        page = self.screen.guest.byte(bda.ACTIVE_PAGE)
        for character in text.replace("\n", "\r\n").encode("cp437", "replace"):
            self.type(page, character, None)

    # -- dots

    def _set_dot(self, call: Call) -> None:
        self.screen.set_dot(call.bh & 7, call.cx, call.dx, call.al)

    def _get_dot(self, call: Call) -> None:
        call.al = self.screen.dot(call.bh & 7, call.cx, call.dx)

    # -- colours

    def _set_cga_colors(self, call: Call) -> None:
        """Border and background (BH=0), or the palette of mode 4 (BH=1)."""
        screen, guest = self.screen, self.screen.guest
        chosen = guest.byte(bda.COLOR_CONTROL)
        if call.bh == 0:
            chosen = chosen & ~0x1F | call.bl & 0x1F
            color = call.bl & 7 | (call.bl & 8) << 1
            screen.put_attribute(0x11, color)
            if not screen.mode.is_text:
                screen.put_attribute(0, color)
        elif call.bh == 1:
            chosen = chosen & ~0x20 | (call.bl & 1) << 5
        guest.put_byte(bda.COLOR_CONTROL, chosen)
        if screen.mode.kind is Kind.CGA4:
            bright = chosen & 0x10
            for index in range(1, 4):
                screen.put_attribute(index, bright | 2 * index + (1 if chosen & 0x20 else 0))

    def _palette(self, call: Call) -> None:
        if call.al < 0x10:
            self._attributes(call)
        else:
            self._colors(call)

    def _attributes(self, call: Call) -> None:
        screen = self.screen
        match call.al:
            case 0x00:
                screen.put_attribute(call.bl & 0x1F, call.bh)
            case 0x01:
                screen.put_attribute(0x11, call.bh)
            case 0x02:
                for index, value in enumerate(screen.guest.read(call.es_pointer(call.dx), 17)):
                    screen.put_attribute(index if index < 16 else 0x11, value)
            case 0x03:
                self._choose_blinking(blinks=bool(call.bl & 1))
            case 0x07:
                call.bh = screen.get_attribute(call.bl & 0x1F)
            case 0x08:
                call.bh = screen.get_attribute(0x11)
            case 0x09:
                values = bytes(screen.get_attribute(n if n < 16 else 0x11) for n in range(17))
                screen.guest.write(call.es_pointer(call.dx), values)

    def _colors(self, call: Call) -> None:
        screen = self.screen
        match call.al:
            case 0x10:
                screen.put_colors(call.bl, bytes((call.dh, call.ch, call.cl)))
            case 0x12:
                colors = screen.guest.read(call.es_pointer(call.dx), 3 * min(call.cx, 256))
                screen.put_colors(call.bl, colors)
            case 0x13:
                self._choose_colors(call)
            case 0x15:
                call.dh, call.ch, call.cl = screen.get_colors(call.bl, 1)
            case 0x17:
                colors = screen.get_colors(call.bl, min(call.cx, 256))
                screen.guest.write(call.es_pointer(call.dx), colors)
            case 0x18:
                screen.out(DAC_MASK, call.bl)
            case 0x19:
                call.bl = 0xFF
            case 0x1A:
                control = screen.get_attribute(0x10) >> 7
                page = screen.get_attribute(0x14)
                call.bl, call.bh = control, page if control else page >> 2
            case 0x1B:
                self._make_grey(call.bl, call.cx)

    def _choose_blinking(self, *, blinks: bool) -> None:
        control = self.screen.get_attribute(0x10) & ~8
        self.screen.put_attribute(0x10, control | 8 * blinks)
        guest = self.screen.guest
        guest.put_byte(bda.MODE_CONTROL, guest.byte(bda.MODE_CONTROL) & ~0x20 | 0x20 * blinks)

    def _choose_colors(self, call: Call) -> None:
        """Four groups of 64 DAC registers or sixteen of 16 (BL=0), and which one is used."""
        screen = self.screen
        control = screen.get_attribute(0x10)
        if call.bl == 0:
            screen.put_attribute(0x10, control & 0x7F | (call.bh & 1) << 7)
        else:
            screen.put_attribute(0x14, call.bh & 0xF if control & 0x80 else call.bh << 2 & 0xF)

    def _make_grey(self, first: int, count: int) -> None:
        colors = self.screen.get_colors(first, min(count, 256))
        grey = bytearray()
        for red, green, blue in zip(colors[::3], colors[1::3], colors[2::3], strict=True):
            grey += bytes((min((77 * red + 151 * green + 28 * blue + 0x80) >> 8, 63),)) * 3
        self.screen.put_colors(first, bytes(grey))

    # -- fonts

    def _font(self, call: Call) -> None:
        screen, service = self.screen, call.al
        if service in {0x00, 0x10}:
            glyphs = screen.guest.read(call.es_pointer(call.bp), call.bh * call.cx)
            if call.bh:
                screen.load_font(call.bh, glyphs, call.dx & 0xFF, call.bl)
            if service & 0x10 and call.bh:
                screen.set_character_height(call.bh)
        elif service & ~0x10 in {0x01, 0x02, 0x04}:
            height = {1: 14, 2: 8, 4: 16}[service & ~0x10]
            screen.load_font(height, font(height), 0, call.bl)
            if service & 0x10:
                screen.set_character_height(height)
        elif service == 0x03:
            screen.put(SEQUENCER, 3, call.bl)
        elif service in {0x20, 0x21, 0x22, 0x23, 0x24}:
            self._choose_glyphs(call)
        elif service == 0x30:
            self._tell_font(call)

    def _choose_glyphs(self, call: Call) -> None:
        """Characters of graphics modes: the guest's own, or one of the ROM's."""
        screen = self.screen
        match call.al:
            case 0x20:
                screen.guest.put_dword(4 * 0x1F, call.es << 16 | call.bp)
                return
            case 0x21:
                screen.guest.put_dword(4 * 0x43, call.es << 16 | call.bp)
                height = call.cx
            case service:
                height = {0x22: 14, 0x23: 8, 0x24: 16}[service]
                screen.set_vector(0x43, screen.fonts[height])
        screen.guest.put_word(bda.CHARACTER_HEIGHT, height)
        rows = {0: call.dl, 1: 14, 2: 25, 3: 43}.get(call.bl, 25)
        screen.guest.put_byte(bda.ROWS, max(rows, 1) - 1)

    def _tell_font(self, call: Call) -> None:
        screen, guest = self.screen, self.screen.guest
        fonts = screen.fonts
        known = {
            2: fonts[14],
            3: fonts[8],
            4: fonts[8] + 0x400,
            5: fonts[14],
            6: fonts[16],
            7: fonts[16],
        }
        match call.bh:
            case 0 | 1:
                far = guest.dword(4 * (0x43 if call.bh else 0x1F))
            case which if which in known:
                far = 0xF000_0000 | known[which]
            case _:
                return
        call.es, call.bp = far >> 16, far & 0xFFFF
        call.cx = guest.byte(bda.CHARACTER_HEIGHT)
        call.dl = guest.byte(bda.ROWS)

    # -- what there is

    def _select(self, call: Call) -> None:
        """Alternate select."""
        guest = self.screen.guest
        match call.bl:
            case 0x10:
                call.bx = 0x0003 | (0x100 if guest.byte(bda.VIDEO_MODE) == 7 else 0)
                call.cx = guest.byte(bda.VIDEO_SWITCHES) & 0x0F
                return
            case 0x30 if call.al <= 2:
                pass  # rows of dots in text modes: always 400
            case 0x31:
                flags = guest.byte(bda.VIDEO_FLAGS) & ~8
                guest.put_byte(bda.VIDEO_FLAGS, flags | (call.al & 1) << 3)
            case 0x32 | 0x33 | 0x35:
                pass
            case 0x34:
                control = guest.byte(bda.VIDEO_CONTROL) & ~1
                guest.put_byte(bda.VIDEO_CONTROL, control | call.al & 1)
            case 0x36:
                clocking = self.screen.get(SEQUENCER, 1) & ~0x20
                self.screen.put(SEQUENCER, 1, clocking | (call.al & 1) << 5)
            case _:
                return
        call.al = 0x12

    def _combination(self, call: Call) -> None:
        if call.al == 0:
            call.bx = self.screen.guest.byte(bda.DISPLAY_COMBINATION)
        call.al = 0x1A

    def _state(self, call: Call) -> None:
        """64 bytes: a table of what there can be, and what there is."""
        if call.bx:
            return
        screen, guest = self.screen, self.screen.guest
        mode = screen.mode
        colors = {Kind.CGA4: 4, Kind.CGA2: 2, Kind.LINEAR: 256}.get(mode.kind, 16)
        pages = 8 if mode.is_text else 1
        image = struct.pack("<I", 0xF000_0000 | self._table)
        image += guest.read(bda.VIDEO_MODE, bda.RESUME - bda.VIDEO_MODE - 1)
        image = image[:0x22].ljust(0x22, b"\0")
        image += bytes((screen.rows,)) + struct.pack("<H", screen.height)
        image += bytes((guest.byte(bda.DISPLAY_COMBINATION), 0)) + struct.pack(
            "<H", colors & 0xFFFF
        )
        image += bytes(
            (pages, {200: 0, 350: 1, 400: 2}.get(mode.height, 3), 0, 0, 0x21, 0, 0, 0, 3)
        )
        guest.write(call.es_pointer(call.di), image.ljust(64, b"\0"))
        call.al = 0x1B

    def _save(self, call: Call) -> None:
        if call.al == 0:
            call.bx, call.al = 16, 0x1C


def functionality() -> bytes:
    """The static functionality table: all modes, all numbers of rows, everything of a VGA."""
    modes = sum(1 << number for number in MODES)
    return modes.to_bytes(3, "little") + bytes((0, 0, 0, 0, 7, 2, 8, 0xE7, 0x0C, 0, 0, 0x3F, 0))
