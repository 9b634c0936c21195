"""`-display term`: the guest's screen in a terminal, by curses, which also takes keys.

Text modes are shown as text, graphics modes as half blocks. Keys go to the guest as key presses, a
few hundredths of a second long; Ctrl-A begins a command of our own, as in QEMU.
"""

from __future__ import annotations

import curses
import locale
import os
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import TYPE_CHECKING

from machine.display.blocks import UPPER_HALF, blocks, fit
from machine.display.colors import Colors, to_16
from machine.display.overlay import HELP, OverlayLines
from machine.display.terminal_keys import chord_of_key, chord_of_sequence, is_complete
from machine.errors import MachineError
from machine.keys import Chord

if TYPE_CHECKING:
    from machine.devices.vga_picture import Frame, TextCells

CTRL_A, ESCAPE = "\x01", "\x1b"

BUSY_MS, MOVING_MS, IDLE_MS = 10, 33, 100
"""How long to wait for a key: with more keys to send, while the picture changes, and else."""
CALM_AFTER = 1.0
"""Seconds without a change after which the picture is looked at less often."""
PICTURE_SECONDS = 0.1
"""Graphics are drawn so often at most."""

MOST_KEYS = 2000
LONGEST_CHORD = 16
"""Bytes that a keyboard sends for keys that are pressed together and let go of, or more."""

FUNCTION_KEYS = dict(zip("1234567890-=", (f"f{n}" for n in range(1, 13)), strict=True))
CONTROL_ALT = ("ctrl", "alt")

# What cannot be shown in a terminal without Unicode.
POOR = {
    ord(a): b for chars, b in (
        ("─═", "-"), ("│║", "|"), ("┌┐└┘├┤┬┴┼╔╗╚╝╠╣╦╩╬╒╓╕╖╘╙╛╜╞╟╡╢╤╥╧╨╪╫", "+"), ("░▒▓█▄▀▌▐■", "#"),
        ("►→", ">"), ("◄←", "<"), ("↑▲", "^"), ("↓▼", "v"), ("•·∙○◘◙", "o"),
    ) for a in chars
}  # fmt: skip


def need_terminal() -> None:
    """Refuse to begin where no terminal is."""
    if not (os.isatty(0) and os.isatty(1)):
        raise MachineError("-display term needs a terminal; use -display none or -nographic")
    if os.environ.get("TERM", "dumb") == "dumb":
        raise MachineError("-display term needs a terminal that TERM names; use -display none")


class TermDisplay:
    """The screen, the keys, and a monitor behind them.

    `screen` makes the picture, `press` (of keys that do not repeat) and `has_room` are the
    keyboard's; all are called with `lock` held. `quit` is called for Ctrl-A x, after which `run`
    returns. `monitor` is a character device for a monitor to be put on.
    """

    def __init__(
        self,
        *,
        screen: Callable[[], Frame],
        press: Callable[[str, bool], object],
        has_room: Callable[[int], bool],
        lock: AbstractContextManager[object],
        quit: Callable[[], object],  # noqa: A002
    ) -> None:
        self._screen = screen
        self._press = press
        self._has_room = has_room
        self._lock = lock
        self._quit = quit
        self.monitor = OverlayLines()
        self._keys: deque[Chord] = deque()
        self._held: Chord = ()
        self._stopped = False
        self._after_ctrl_a = False
        self._adds: Chord = ()
        self._view = "guest"
        self._frame: Frame | None = None
        self._drawn_rows: list[object] = []
        self._drawn_version: object = None
        self._changed_at = self._painted_at = 0.0

    def stop(self) -> None:
        """Have `run` return soon; from any thread."""
        self._stopped = True

    def run(self) -> None:
        """Show the screen and take keys until the end; the terminal then is as it was."""
        need_terminal()
        locale.setlocale(locale.LC_ALL, "")
        self._is_unicode = locale.nl_langinfo(locale.CODESET).upper().replace("-", "") == "UTF8"
        for name in ("LINES", "COLUMNS"):  # these would count for more than the terminal's size
            os.environ.pop(name, None)
        curses.set_escdelay(25)
        try:
            self._window = curses.initscr()
        except curses.error as error:
            raise MachineError(f"-display term cannot use this terminal: {error}") from None
        try:
            self._prepare()
            while not self._stopped:
                self._turn()
        finally:
            with suppress(curses.error):
                curses.curs_set(1)
            curses.endwin()
            sys.stdout.flush()

    def _prepare(self) -> None:
        curses.raw()
        curses.noecho()
        curses.nonl()
        self._window.keypad(True)
        self._window.leaveok(False)
        self._colors = Colors()

    # -- one turn ------------------------------------------------------------------------------

    def _turn(self) -> None:
        now = time.monotonic()
        self._send_keys()
        self._look(now)
        if self._keys or self._held:
            wait = BUSY_MS
        else:
            wait = MOVING_MS if now - self._changed_at < CALM_AFTER else IDLE_MS
        key = self._get_key(wait)
        while key is not None and not self._stopped:
            self._take(key)
            key = self._get_key(0)

    def _get_key(self, wait_ms: int) -> str | int | None:
        self._window.timeout(wait_ms)
        try:
            return self._window.get_wch()
        except curses.error:
            return None
        except KeyboardInterrupt:
            return "\x03"

    # -- keys ----------------------------------------------------------------------------------

    def _take(self, key: str | int) -> None:
        """A key was pressed: it is a command's, the monitor's or the guest's."""
        self._changed_at = time.monotonic()
        if key == curses.KEY_RESIZE:
            self._redraw()
        elif self._after_ctrl_a:
            self._after_ctrl_a = False
            self._command(key)
        elif key == CTRL_A:
            self._after_ctrl_a = True
        elif self._view == "help":
            self._show("guest")
        elif self._view == "monitor":
            self._to_monitor(key)
        else:
            self._to_guest(key)

    def _command(self, key: str | int) -> None:
        """What follows Ctrl-A."""
        match key:
            case "x":
                self._quit()
                self._stopped = True
            case "c":
                self._show("guest" if self._view == "monitor" else "monitor")
            case "h" | "?":
                self._show("help")
            case "l":
                self._redraw()
            case "d":
                self._queue(("ctrl", "alt", "delete"))
            case "f":
                self._adds = CONTROL_ALT
            case _ if key in FUNCTION_KEYS and self._view == "guest":
                self._queue((FUNCTION_KEYS[str(key)],))
            case "\x01":
                self._to_guest(key)

    def _to_monitor(self, key: str | int) -> None:
        arrows = {curses.KEY_UP: "\x1b[A", curses.KEY_DOWN: "\x1b[B", curses.KEY_BACKSPACE: "\x7f"}
        typed = key if isinstance(key, str) else arrows.get(key, "")
        with self._lock:
            self.monitor.receive(typed.encode())

    def _to_guest(self, key: str | int) -> None:
        """Escape with a key right behind it is that key with Alt, or a sequence."""
        chord = self._after_escape() if key == ESCAPE else chord_of_key(key)
        if chord is None:
            curses.beep()
            return
        added, self._adds = self._adds, ()
        self._queue((*added, *(name for name in chord if name not in added)))

    def _after_escape(self) -> Chord | None:
        key = self._get_key(0)
        if key is None:
            return ("esc",)
        if isinstance(key, int):
            return chord_of_key(key, with_alt=True)
        sequence = key
        while key is not None and sequence[0] in "[O" and not is_complete(sequence):
            key = self._get_key(0)
            sequence += "" if key is None else str(key)
        if len(sequence) > 1:
            return chord_of_sequence(sequence)
        return chord_of_key(sequence, with_alt=True)

    def _queue(self, chord: Chord) -> None:
        if len(self._keys) < MOST_KEYS:
            self._keys.append(chord)
        else:
            curses.beep()

    def _send_keys(self) -> None:
        """Let go of what was pressed a turn ago; press what comes next.

        There must be room for both then, so that nothing is ever held that cannot be let go of.
        """
        if not (self._keys or self._held):
            return
        with self._lock:
            for name in reversed(self._held):
                self._press(name, False)
            self._held = ()
            if not self._keys or not self._has_room(LONGEST_CHORD):
                return
            self._held = self._keys.popleft()
            for name in self._held:
                self._press(name, True)

    # -- the screen ------------------------------------------------------------------------------

    def _show(self, view: str) -> None:
        self._view = view
        if view == "monitor" and not self.monitor.lines[-1]:
            with self._lock:
                self.monitor.focused()
        self._redraw()

    def _redraw(self) -> None:
        self._drawn_rows = []
        self._drawn_version = self._frame = None
        self._window.clear()
        self._changed_at = time.monotonic()

    def _look(self, now: float) -> None:
        """Draw what has changed."""
        if self._view == "guest":
            self._look_at_guest(now)
            return
        version = self.monitor.version, self._view
        if version != self._drawn_version:
            self._drawn_version = version
            self._draw_overlay()
            self._window.refresh()

    def _look_at_guest(self, now: float) -> None:
        with self._lock:
            frame = self._screen()
        if frame is self._frame:
            return
        self._changed_at = now
        if frame.text is None and now - self._painted_at < PICTURE_SECONDS:
            return
        if self._frame is None or (frame.width, frame.height, frame.text is None) != (
            self._frame.width, self._frame.height, self._frame.text is None,
        ):  # fmt: skip
            self._drawn_rows = []
            self._window.clear()
        self._frame = frame
        self._painted_at = now
        if frame.text is not None:
            self._draw_text(frame.text)
        elif frame.pixels is not None:
            self._draw_pixels(frame)
        else:
            self._put(0, 0, "(the screen is dark; Ctrl-A h for help)", curses.A_DIM)
            self._cursor(None, 0)
        self._window.refresh()

    def _put(self, row: int, column: int, text: str, attribute: int) -> None:
        """Write into a line; curses objects to its last cell of all, but fills it."""
        with suppress(curses.error):
            self._window.addstr(row, column, text, attribute)

    def _cursor(self, row: int | None, column: int) -> None:
        with suppress(curses.error):
            curses.curs_set(0 if row is None else 1)
        if row is not None:
            with suppress(curses.error):
                self._window.move(row, column)

    def _draw_text(self, text: TextCells) -> None:
        """Rows that are others than before; the part around the cursor if not all fit."""
        from machine.devices.vga_picture import CP437

        rows, columns = self._window.getmaxyx()
        cursor = text.cursor
        top = left = 0
        if cursor is not None:
            top = max(0, min(cursor.row - rows + 1, text.rows - rows))
            left = max(0, cursor.column - columns + 1)
        elif text.rows > rows:
            top = text.rows - rows
        shades = self._colors.of_palette(text.palette)
        for row in range(top, min(text.rows, top + rows)):
            begin = 2 * (row * text.columns + left)
            end = 2 * (row * text.columns + min(text.columns, left + columns))
            cells = text.cells[begin:end]
            drawn = (cells, shades, text.blinks)
            if len(self._drawn_rows) <= row - top:
                self._drawn_rows.append(None)
            if self._drawn_rows[row - top] == drawn:
                continue
            self._drawn_rows[row - top] = drawn
            self._draw_row(row - top, cells, shades, text.blinks, CP437)
        if cursor is None:
            self._cursor(None, 0)
        else:
            self._cursor(cursor.row - top, cursor.column - left)

    def _draw_row(
        self, row: int, cells: bytes, shades: tuple[int, ...], blinks: bool, names: str
    ) -> None:
        """A row of text, by runs of one attribute."""
        codes, attributes = cells[0::2], cells[1::2]
        at = 0
        while at < len(codes):
            end = at + 1
            while end < len(codes) and attributes[end] == attributes[at]:
                end += 1
            words = "".join([names[code] for code in codes[at:end]])
            if not self._is_unicode:
                words = words.translate(POOR).encode("ascii", "replace").decode()
            attribute = attributes[at]
            background = attribute >> 4 & (7 if blinks else 15)
            look = self._colors.attribute(shades[attribute & 15], shades[background])
            if blinks and attribute & 0x80:
                look |= curses.A_BLINK
            self._put(row, at, words, look)
            at = end

    def _draw_pixels(self, frame: Frame) -> None:
        """Half blocks, in the right proportions."""
        rows, columns = self._window.getmaxyx()
        if frame.height <= frame.width * 5 // 8:  # modes of 400 and 350 lines filled a screen too
            width, lines = fit(4, 3, columns, rows)
        else:
            width, lines = fit(frame.width, frame.height, columns, rows)
        self._cursor(None, 0)
        draws = self._paint if self._colors.has_256 and self._is_unicode else self._paint_poorly
        if not self._drawn_rows:
            self._window.refresh()
        for row, cells in enumerate(blocks(frame, width, lines)):
            if len(self._drawn_rows) <= row:
                self._drawn_rows.append(None)
            if self._drawn_rows[row] != cells:
                self._drawn_rows[row] = cells
                draws(row, cells)

    @staticmethod
    def _paint(row: int, cells: list[tuple[int, int]]) -> None:
        """Behind curses' back, which knows only 256 pairs of colours."""
        place = curses.tparm(curses.tigetstr("cup") or b"", row, 0)
        out = bytearray(place)
        before = None
        for cell in cells:
            if cell != before:
                out += b"\x1b[38;5;%d;48;5;%dm" % cell
                before = cell
            out += UPPER_HALF.encode()
        out += b"\x1b[0m"
        sys.stdout.flush()
        while out:
            del out[: os.write(1, out)]

    def _paint_poorly(self, row: int, cells: list[tuple[int, int]]) -> None:
        """Of 16 colours, or eight."""
        words = UPPER_HALF if self._is_unicode else "#"
        for column, (above, below) in enumerate(cells):
            self._put(row, column, words, self._colors.attribute(to_16(above), to_16(below)))

    def _draw_overlay(self) -> None:
        """The monitor, or help."""
        rows, columns = self._window.getmaxyx()
        self._window.erase()
        lines, column = (list(HELP), 0)
        if self._view == "monitor":
            lines, column = self.monitor.last(rows, columns)
        for row, line in enumerate(lines[:rows]):
            self._put(row, 0, line[:columns], curses.A_NORMAL)
        is_monitor = self._view == "monitor"
        self._cursor(min(len(lines), rows) - 1 if is_monitor else None, column)
