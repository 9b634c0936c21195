"""The BIOS's text on a serial line too: for a machine that nobody looks at but there (-nographic).

What INT 10h writes in text modes goes out with ANSI's escape sequences for places and colours, and
what comes in become keys for INT 16h. An operating system that takes the port for itself, which is
seen by its interrupt enables, has it for itself.
"""

from __future__ import annotations

from collections.abc import Callable

from machine.bus import Bus

DATA, INTERRUPT_ENABLE, LINE_STATUS = 0, 1, 5
DATA_READY, CAN_SEND = 0x01, 0x20

# Registers and values: divisor 1 behind DLAB, 8N1, FIFOs, DTR and RTS.
SET_UP = ((3, 0x80), (0, 1), (1, 0), (3, 0x03), (2, 0x01), (4, 0x03))

# ANSI's numbers of the eight colours, in the order of attributes' bits.
COLORS = (0, 4, 2, 6, 1, 5, 3, 7)
PLAIN = 0x07

# fmt: off
# Keys by the end of their escape sequences: scan code and character.
SEQUENCES = {
    b"[A": 0x48E0, b"[B": 0x50E0, b"[C": 0x4DE0, b"[D": 0x4BE0, b"[H": 0x47E0, b"[F": 0x4FE0,
    b"OA": 0x48E0, b"OB": 0x50E0, b"OC": 0x4DE0, b"OD": 0x4BE0, b"OH": 0x47E0, b"OF": 0x4FE0,
    b"[1~": 0x47E0, b"[2~": 0x52E0, b"[3~": 0x53E0, b"[4~": 0x4FE0, b"[5~": 0x49E0, b"[6~": 0x51E0,
    b"OP": 0x3B00, b"OQ": 0x3C00, b"OR": 0x3D00, b"OS": 0x3E00, b"[15~": 0x3F00, b"[17~": 0x4000,
    b"[18~": 0x4100, b"[19~": 0x4200, b"[20~": 0x4300, b"[21~": 0x4400,
}
# fmt: on
ESCAPE = 0x011B


class SerialConsole:
    """Characters out, keys in, by the registers of a UART at `base`."""

    def __init__(
        self, ports: Bus, base: int, put_key: Callable[[int], bool], word: Callable[[int], int]
    ) -> None:
        """`word` gives the scan code and character of a typed character."""
        self._ports = ports
        self._base = base
        self._put_key = put_key
        self._word = word
        self._place = (0, 0)
        """Where the terminal's cursor is."""
        self._attribute = PLAIN
        self._sequence = bytearray()

    def open(self) -> None:
        """115200 bits a second, eight of them a character, with the FIFOs."""
        for register, value in SET_UP:
            self._ports.write(self._base + register, value, 1)

    @property
    def is_ours(self) -> bool:
        """Whether no driver has taken the port."""
        return not self._ports.read(self._base + INTERRUPT_ENABLE, 1)

    def _send(self, data: bytes) -> None:
        for value in data:
            self._ports.write(self._base, value, 1)

    def put(self, row: int, column: int, character: int, attribute: int) -> None:
        """A character was written at a place."""
        if not self.is_ours:
            return
        out = self._way(row, column)
        if attribute != self._attribute:
            self._attribute = attribute
            out += self._colors(attribute)
        text = " " if not character else "." if character < 0x20 else as_text(character)
        self._send(out + text.encode())
        self._place = (row, column + 1)

    def _way(self, row: int, column: int) -> bytes:
        """From where the terminal's cursor is to a place."""
        down = row - self._place[0]
        if (down, column) == (0, self._place[1]):
            return b""
        if not column and self._place[0] >= 0 and 0 < down <= 4:
            return b"\r\n" * down
        return b"\x1b[%d;%dH" % (row + 1, column + 1)

    @staticmethod
    def _colors(attribute: int) -> bytes:
        if attribute == PLAIN:
            return b"\x1b[0m"
        bold = b"1;" if attribute & 8 else b""
        return b"\x1b[0;%s3%d;4%dm" % (bold, COLORS[attribute & 7], COLORS[attribute >> 4 & 7])

    def scrolled(self) -> None:
        """The whole screen went up by a line."""
        if self.is_ours:
            self._send(b"\x1b[999;1H\n")
            self._place = (-1, -1)

    def cleared(self) -> None:
        """The whole screen is empty."""
        if self.is_ours:
            self._send(b"\x1b[0m\x1b[2J\x1b[H")
            self._place, self._attribute = (0, 0), PLAIN

    def poll(self) -> None:
        """Take what was typed: INT 16h asks."""
        ports, base = self._ports, self._base
        if not self.is_ours:
            return
        while ports.read(base + LINE_STATUS, 1) & DATA_READY:
            self._typed(ports.read(base + DATA, 1))
        if self._sequence == b"\x1b":
            self._sequence.clear()
            self._put_key(ESCAPE)

    def _typed(self, value: int) -> None:
        if not self._sequence and value != 0x1B:
            self._put_key(self._word(0x0D if value == 0x0A else 0x08 if value == 0x7F else value))
            return
        self._sequence.append(value)
        rest = bytes(self._sequence[1:])
        if rest in SEQUENCES:
            self._put_key(SEQUENCES[rest])
            self._sequence.clear()
        elif not any(known.startswith(rest) for known in SEQUENCES):
            self._sequence.clear()


def as_text(character: int) -> str:
    """A character of code page 437."""
    return bytes((character,)).decode("cp437")
