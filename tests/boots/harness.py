"""Boots a system in an emulator, ours or QEMU, and talks to it: waits for text, types, reads.

    with boot("ours", "-fda", "freedos.img") as guest:
        guest.wait_screen("A:\\>", 60)
        guest.type("dir\n")

The serial line and the monitor are TCP connections to us; the screen is asked for by the monitor. A
text that does not come is an error that shows what came instead.
"""

from __future__ import annotations

import os
import re
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OURS, QEMU = "ours", "qemu"
LAST_LINES = 40
SCREEN_POLL = 0.3
KEY_PAUSE = 0.04

START = "import sys; from machine.main import *; sys.exit(system_{}())"
COMMANDS = {
    (OURS, 32): (sys.executable, "-c", START.format("i386")),
    (OURS, 64): (sys.executable, "-c", START.format("x86_64")),
    (QEMU, 32): ("qemu-system-i386", "-accel", "tcg"),
    (QEMU, 64): ("qemu-system-x86_64", "-accel", "tcg"),
}

KEYS = {
    " ": "spc", "\n": "ret", "\t": "tab", "-": "minus", "=": "equal", "[": "bracket_left",
    "]": "bracket_right", ";": "semicolon", "'": "apostrophe", "`": "grave_accent",
    "\\": "backslash", ",": "comma", ".": "dot", "/": "slash", "\x1b": "esc",
}  # fmt: skip
SHIFTED = dict(zip('!@#$%^&*()_+{}:"~|<>?', "1234567890-=[];'`\\,./", strict=True))


class BootError(AssertionError):
    """A guest did not do what was waited for; with what it showed last."""


class Wire:
    """A TCP connection that the emulator makes to us, and all that came by it."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._peer: socket.socket | None = None
        self.text = ""
        self.read_up_to = 0

    def pump(self, seconds: float) -> None:
        """Take what comes within this time, or at once when something is there."""
        if self._peer is None:
            if select.select([self._server], [], [], seconds)[0]:
                self._peer = self._server.accept()[0]
            return
        if self._peer.fileno() >= 0 and select.select([self._peer], [], [], seconds)[0]:
            try:
                data = self._peer.recv(65536)
            except OSError:
                data = b""
            if not data:
                self._peer.close()
            self.text += data.decode(errors="replace")

    @property
    def is_closed(self) -> bool:
        return self._peer is not None and self._peer.fileno() < 0

    def send(self, data: bytes) -> None:
        while self._peer is None:
            self.pump(0.1)
        self._peer.sendall(data)

    def close(self) -> None:
        for one in (self._peer, self._server):
            if one is not None:
                one.close()


class Guest:
    """A machine that boots."""

    def __init__(self, emulator: str, *options: str, bits: int = 32, folder: Path) -> None:
        self.emulator = emulator
        self.serial, self._monitor = Wire(), Wire()
        self._folder = folder
        command = [*COMMANDS[emulator, bits]]
        if emulator == OURS and (extra := os.environ.get("QEMUPY_BOOT_OPTIONS")):
            command += extra.split()
        command += ["-display", "none", "-serial", f"tcp:127.0.0.1:{self.serial.port}"]
        command += ["-monitor", f"tcp:127.0.0.1:{self._monitor.port}", *options]
        self.command = command
        self.started = time.monotonic()
        with open(folder / "stderr", "wb") as errors:
            self.process = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors
            )

    # -- the serial line ---------------------------------------------------------------------

    def wait(self, text: str, seconds: float) -> str:
        """Wait for a regular expression on the serial line, after what was waited for last.

        Answers what came up to its end.
        """
        end = time.monotonic() + seconds
        pattern = re.compile(text)
        while True:
            found = pattern.search(self.serial.text, self.serial.read_up_to)
            if found:
                start, self.serial.read_up_to = self.serial.read_up_to, found.end()
                return self.serial.text[start : found.end()]
            if time.monotonic() > end or self._is_over():
                raise self._failure(f"{text!r} did not come on the serial line in {seconds} s")
            self.serial.pump(0.1)

    def send(self, text: str) -> None:
        """Type on the serial line."""
        self.serial.send(text.encode())

    def run(self, line: str, seconds: float, prompt: str = "/ # ") -> str:
        """Type a shell's command on the serial line; answers its output."""
        self.send(line + "\n")
        self.wait(re.escape(line) + r"\r?\n", seconds)
        output = self.wait(re.escape(prompt), seconds)
        return output[: -len(prompt)].replace("\r", "")

    # -- the screen ----------------------------------------------------------------------------

    def screen(self) -> str:
        """The text that is on the screen."""
        if self.emulator == QEMU:
            return self._qemu_screen()
        path = self._folder / "screen.txt"
        answer = self.monitor(f"screendump {path}")
        if not path.exists():
            return answer
        text = path.read_text(errors="replace")
        path.unlink()
        return text

    def _qemu_screen(self) -> str:
        path = self._folder / "screen.bin"
        self.monitor(f'pmemsave 0xb8000 4000 "{path}"')
        cells = path.read_bytes()[::2].decode("cp437")
        return "\n".join(cells[at : at + 80].rstrip() for at in range(0, 2000, 80))

    def wait_screen(self, text: str, seconds: float) -> str:
        """Wait for a regular expression on the screen; answers the screen."""
        end = time.monotonic() + seconds
        pattern = re.compile(text, re.MULTILINE)
        while True:
            shown = self.screen()
            if pattern.search(shown):
                return shown
            if time.monotonic() > end or self._is_over():
                raise self._failure(f"{text!r} did not come on the screen in {seconds} s", shown)
            self.serial.pump(0)
            time.sleep(SCREEN_POLL)

    def type(self, text: str) -> None:
        """Type on the keyboard."""
        for char in text:
            self.key(key_of(char))

    def key(self, name: str) -> None:
        """Press a key, or a combination such as ctrl-alt-delete."""
        self.monitor(f"sendkey {name} 20")
        time.sleep(KEY_PAUSE)

    # -- the monitor -----------------------------------------------------------------------------

    def monitor(self, line: str, seconds: float = 20) -> str:
        """Give the monitor a command; answers what it says."""
        wire = self._monitor
        self._wait_prompt(wire.read_up_to, seconds)
        wire.read_up_to = len(wire.text)
        wire.send(line.encode() + b"\n")
        if line in {"quit", "q"}:
            return ""
        self._wait_prompt(wire.read_up_to, seconds)
        answer = wire.text[wire.read_up_to :].replace("\r", "")
        wire.read_up_to = wire.text.rfind("(qemu) ")
        return answer.partition("\n")[2].rpartition("(qemu) ")[0]

    def _wait_prompt(self, start: int, seconds: float) -> None:
        end = time.monotonic() + seconds
        while "(qemu) " not in self._monitor.text[start:]:
            if time.monotonic() > end or self._monitor.is_closed or self._is_over():
                raise self._failure("the monitor does not answer")
            self._monitor.pump(0.1)

    # -- the end -----------------------------------------------------------------------------------

    def wait_end(self, seconds: float) -> int:
        """Wait for the emulator's end; answers its exit status."""
        end = time.monotonic() + seconds
        while self.process.poll() is None:
            if time.monotonic() > end:
                raise self._failure(f"it did not end within {seconds} s")
            self.serial.pump(0.1)
        return int(self.process.returncode)

    def close(self) -> None:
        """End the emulator, if it has not."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.serial.close()
        self._monitor.close()

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self.started

    @property
    def errors(self) -> str:
        """What the emulator wrote to its standard error."""
        return (self._folder / "stderr").read_text(errors="replace")

    def _is_over(self) -> bool:
        return self.process.poll() is not None

    def _failure(self, reason: str, screen: str = "") -> BootError:
        lines = self.serial.text.replace("\r", "").splitlines()[-LAST_LINES:]
        parts = [reason, f"command: {' '.join(self.command)}"]
        if self._is_over():
            parts.append(f"the emulator ended with status {self.process.returncode}")
        if self.errors:
            parts.append(f"standard error:\n{self.errors[-4000:]}")
        parts.append("serial line:\n" + "\n".join(lines))
        if screen:
            parts.append(f"screen:\n{screen}")
        return BootError("\n".join(parts))


def key_of(char: str) -> str:
    """The name that `sendkey` has for what types a character."""
    if char in SHIFTED:
        return f"shift-{key_of(SHIFTED[char])}"
    if char.isupper():
        return f"shift-{char.lower()}"
    return KEYS.get(char, char)


@contextmanager
def boot(emulator: str, *options: str, bits: int = 32) -> Iterator[Guest]:
    """A machine that is ended at the end."""
    folder = Path(tempfile.mkdtemp(prefix="boot-"))
    guest = Guest(emulator, *options, bits=bits, folder=folder)
    try:
        yield guest
    finally:
        guest.close()
        shutil.rmtree(folder)


def has_qemu() -> bool:
    """Whether QEMU can be asked."""
    return shutil.which("qemu-system-i386") is not None
