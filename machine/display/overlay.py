"""What a terminal display shows besides the guest's screen: the monitor, and help.

The monitor's end of the line is a character device: lines scroll up, the last one is edited.
"""

from __future__ import annotations

from machine.chardev import CharacterDevice

MOST_LINES = 1000

HELP = (
    "Ctrl-A h    this help",
    "Ctrl-A x    end the machine",
    "Ctrl-A c    the monitor, and back",
    "Ctrl-A d    Ctrl-Alt-Delete",
    "Ctrl-A 1    F1; 2 to 9 and 0 for F2 to F10, - and = for F11 and F12",
    "Ctrl-A f    Ctrl-Alt with the next key",
    "Ctrl-A l    draw the screen anew",
    "Ctrl-A Ctrl-A   Ctrl-A itself",
    "",
    "Alt is Escape before a key, where the terminal does not send it so.",
)


class OverlayLines(CharacterDevice):
    """A dumb terminal of a few hundred lines."""

    kind = "term"

    def __init__(self) -> None:
        super().__init__()
        self.lines = [""]
        self.column = 0
        self.version = 0
        """Is another one after each change."""
        self._escape = ""

    def write(self, data: bytes) -> None:
        for character in data.decode(errors="replace"):
            self._put(character)
        del self.lines[:-MOST_LINES]
        self.version += 1

    def _put(self, character: str) -> None:
        """Printing characters, and CR, LF, BS, and ESC [ K, which clears to the end of the line."""
        if self._escape or character == "\x1b":
            self._escape += character
            if character == "K":
                self.lines[-1] = self.lines[-1][: self.column]
            if character.isalpha() or len(self._escape) > 8:
                self._escape = ""
            return
        match character:
            case "\r":
                self.column = 0
            case "\n":
                self.lines.append("")
                self.column = 0
            case "\b":
                self.column = max(0, self.column - 1)
            case _ if character.isprintable():
                line = self.lines[-1].ljust(self.column)
                self.lines[-1] = line[: self.column] + character + line[self.column + 1 :]
                self.column += 1

    def last(self, rows: int, columns: int) -> tuple[list[str], int]:
        """What fits on a screen, long lines cut into several, and the cursor's column."""
        shown: list[str] = []
        for line in self.lines[-rows:]:
            shown += [line[at : at + columns] for at in range(0, max(1, len(line)), columns)]
        return shown[-rows:], self.column % columns
