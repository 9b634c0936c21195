"""The line that is typed at a monitor: echo, a little editing, a history; then the command runs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from machine.chardev import CharacterDevice, MuxEnd
from machine.monitor.commands import COMMANDS, Session, execute
from machine.monitor.info import SUBJECTS

PROMPT = "(qemu) "
LONGEST_LINE = 4096
HISTORY = 100

ARROWS = {b"\x1b[A": -1, b"\x1bOA": -1, b"\x1b[B": 1, b"\x1bOB": 1}


class LineEditor:
    """Makes lines of what is typed; everything is echoed to `write`."""

    def __init__(self, write: Callable[[str], None], done: Callable[[str], None]) -> None:
        self._write = write
        self._done = done
        self._line = ""
        self._history: list[str] = []
        self._at = 0
        self._escape = b""
        self._after_return = False

    def feed(self, data: bytes) -> None:
        for byte in data:
            self._one(byte)

    def prompt(self) -> None:
        """Show the prompt with what has been typed."""
        self._write(PROMPT + self._line)

    def _one(self, byte: int) -> None:
        if self._escape or byte == 0x1B:
            self._in_escape(byte)
            return
        after_return, self._after_return = self._after_return, byte == 0x0D
        match byte:
            case 0x0A if after_return:
                pass
            case 0x0A | 0x0D:
                self._finish()
            case 0x08 | 0x7F:
                if self._line:
                    self._line = self._line[:-1]
                    self._write("\b \b")
            case 0x09:
                self._complete()
            case 0x15 | 0x03:  # Ctrl-U, Ctrl-C
                self._replace("")
            case 0x17:  # Ctrl-W
                self._replace(self._line.rstrip().rpartition(" ")[0])
            case _ if 32 <= byte < 127 and len(self._line) < LONGEST_LINE:
                self._line += chr(byte)
                self._write(chr(byte))

    def _in_escape(self, byte: int) -> None:
        self._escape += bytes((byte,))
        if len(self._escape) < 3 and self._escape in {b"\x1b", b"\x1b[", b"\x1bO"}:
            return
        step = ARROWS.get(self._escape)
        self._escape = b""
        if step is not None:
            self._at = max(0, min(len(self._history), self._at + step))
            self._replace(self._history[self._at] if self._at < len(self._history) else "")

    def _replace(self, line: str) -> None:
        self._write("\r\x1b[K" + PROMPT + line)
        self._line = line

    def _complete(self) -> None:
        """Tab: the rest of a command's or subject's name, if there is one only."""
        head, blank, part = self._line.rpartition(" ")
        if head.strip() == "info":
            names = list(SUBJECTS)
        elif not blank:
            names = [name for command in COMMANDS for name in command.names]
        else:
            return
        found = sorted(name for name in names if name.startswith(part))
        if len(found) == 1:
            rest = found[0][len(part) :] + " "
            self._line += rest
            self._write(rest)
        elif found:
            self._write("\n" + "  ".join(found) + "\n")
            self.prompt()

    def _finish(self) -> None:
        line, self._line = self._line, ""
        self._write("\n")
        if line.strip() and (not self._history or self._history[-1] != line):
            self._history = [*self._history[1 - HISTORY :], line]
        self._at = len(self._history)
        self._done(line)


class Monitor:
    """A monitor at a character device; `standing` keeps the machine still while a command runs.

    It greets at once, or where the device is shared, when what is typed first goes to it.
    """

    def __init__(
        self,
        session: Session,
        device: CharacterDevice,
        standing: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self._session = session
        self._device = device
        self._standing = standing
        self._editor = LineEditor(self._write, self._run)
        self._has_greeted = False
        device.receive = self._editor.feed
        device.focused = self._focused
        if not isinstance(device, MuxEnd):
            self._focused()

    def _focused(self) -> None:
        """Say what this is, and wait for commands."""
        if not self._has_greeted:
            from importlib.metadata import version

            self._has_greeted = True
            hint = "type 'help' for more information"
            self._write(f"qemupy {version('qemupy')} monitor - {hint}\n")
        self._editor.prompt()

    def _write(self, text: str) -> None:
        self._device.write(text.replace("\n", "\r\n").encode(errors="replace"))

    def _run(self, line: str) -> None:
        with self._standing():
            try:
                answer = execute(self._session, line)
            except Exception as error:
                answer = f"internal error: {type(error).__name__}: {error}"
        if answer:
            self._write(answer if answer.endswith("\n") else answer + "\n")
        self._editor.prompt()
