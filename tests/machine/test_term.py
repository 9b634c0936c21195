"""The display in a real terminal: tmux's, 80x25, which says what is on the screen."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from machine.devices.vga_picture import Frame, Pixels
from machine.display.blocks import blocks
from machine.display.overlay import OverlayLines
from machine.display.term import TermDisplay, need_terminal
from machine.display.terminal_keys import chord_of_key, chord_of_sequence
from machine.errors import MachineError

ROOT = Path(__file__).resolve().parents[2]


class Terminal:
    """A terminal that a program was started in."""

    def __init__(self, name: str, settings: Path, command: str) -> None:
        self._name = name
        self._settings = settings
        settings.write_text("set -g status off\nset -g default-terminal screen-256color\n")
        self._tmux("new-session", "-d", "-x", "80", "-y", "25", command)

    def _tmux(self, *words: str) -> str:
        base = ("tmux", "-L", self._name, "-f", str(self._settings))
        return subprocess.run(
            [*base, *words], capture_output=True, text=True, check=True, timeout=30, cwd=ROOT
        ).stdout

    def type(self, *keys: str) -> None:
        self._tmux("send-keys", *keys)

    def lines(self, *, with_colors: bool = False) -> list[str]:
        return self._tmux("capture-pane", "-p", *(["-e"] if with_colors else [])).split("\n")

    def resize(self, columns: int, rows: int) -> None:
        self._tmux("resize-window", "-x", str(columns), "-y", str(rows))

    def cursor(self) -> tuple[int, int]:
        column, row = self._tmux("display", "-p", "#{cursor_x} #{cursor_y}").split()
        return int(column), int(row)

    def wait(self, is_there: Callable[[list[str]], bool]) -> list[str]:
        """Wait until the screen shows something."""
        deadline = time.monotonic() + 20
        while True:
            lines = self.lines()
            if is_there(lines):
                return lines
            assert time.monotonic() < deadline, "the screen is\n" + "\n".join(lines)
            time.sleep(0.05)

    def close(self) -> None:
        self._tmux("kill-server")


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    if shutil.which("tmux") is None:
        pytest.skip("no tmux")
    program = f"env LC_ALL=C.UTF-8 {sys.executable} -m tests.machine.term_guest"
    made = Terminal(
        f"qemupy-{os.getpid()}-{tmp_path.name}",
        tmp_path / "tmux",
        f"{program} 2>&1; stty -a; sleep 60",
    )
    try:
        made.wait(lambda lines: lines[0].startswith("line 0"))
        yield made
    finally:
        made.close()


def test_text_fills_the_screen_and_keys_arrive(terminal: Terminal) -> None:
    lines = terminal.wait(lambda lines: lines[24].startswith("line 24"))
    assert lines[3].startswith("╔═╗░♥3: ")
    assert lines[23] == "line 23: " + "".join(chr(33 + n) for n in range(60))
    assert terminal.cursor() == (5, 24)
    terminal.type("a", "Up", "F1", "S-F2", "C-c", "M-x", "B", "C-Left")
    wanted = "a up f1 shift f2 ctrl c alt x shift b ctrl left"
    terminal.wait(lambda lines: wanted.endswith(lines[24].strip()[-30:]))


def test_colors(terminal: Terminal) -> None:
    """Brown on magenta, 56h, is yellow on magenta in a terminal; 71h blue on white."""
    rows = terminal.lines(with_colors=True)
    assert "\x1b[33m\x1b[45mline 5" in rows[5]
    assert "\x1b[34m\x1b[47mline 7" in rows[7]


def test_commands(terminal: Terminal) -> None:
    terminal.type("C-a", "d", "C-a", "5", "C-a", "C-a")
    terminal.wait(lambda lines: "ctrl alt delete f5 ctrl a" in lines[24])
    terminal.type("C-a", "h")
    terminal.wait(lambda lines: lines[0].startswith("Ctrl-A h"))
    terminal.type("q", "C-a", "c", "info")
    terminal.wait(lambda lines: lines[0] == "(qemu) INFO")
    terminal.type("C-a", "c")
    terminal.wait(lambda lines: "f5 ctrl a" in lines[24])


def test_a_picture_and_back(terminal: Terminal) -> None:
    terminal.type("g")
    lines = terminal.wait(lambda lines: lines[0].startswith("▀▀▀"))
    assert {len(line) for line in lines[:25]} == {66}  # 4:3
    terminal.type("t")
    terminal.wait(lambda lines: lines[0].startswith("line 0"))


def test_a_smaller_terminal_shows_where_the_cursor_is(terminal: Terminal) -> None:
    terminal.resize(60, 20)
    lines = terminal.wait(lambda lines: lines[0].startswith("line 5"))
    assert lines[19].startswith("line 24")
    terminal.resize(80, 25)
    terminal.wait(lambda lines: lines[0].startswith("line 0"))


def test_the_terminal_is_as_it_was(terminal: Terminal) -> None:
    terminal.type("C-a", "x")
    lines = terminal.wait(lambda lines: any("icanon" in line for line in lines))
    assert "the end" in lines[0]
    said = " ".join(lines)
    for flag in ("icanon", "isig", "echo", "icrnl", "opost", "onlcr"):
        assert f" {flag} " in f" {said} ".replace(";", " ")


def test_what_is_pressed_is_let_go_of() -> None:
    """Even if the keyboard has no more room: nothing is pressed before there is room for both."""
    pressed: list[tuple[str, bool]] = []
    room = [True]
    display = TermDisplay(
        screen=lambda: Frame(8, 8),
        press=lambda name, down: pressed.append((name, down)),
        has_room=lambda count: room[0],
        lock=nullcontext(),
        quit=lambda: None,
    )
    display._queue(("shift", "a"))
    display._queue(("b",))
    display._send_keys()
    room[0] = False
    display._send_keys()
    assert pressed == [("shift", True), ("a", True), ("a", False), ("shift", False)]
    display._send_keys()
    assert len(pressed) == 4
    room[0] = True
    display._send_keys()
    display._send_keys()
    assert pressed[4:] == [("b", True), ("b", False)]


def test_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "isatty", lambda fd: fd == 0)
    with pytest.raises(MachineError, match=r"needs a terminal; use -display none"):
        need_terminal()


def test_what_a_terminal_sends() -> None:
    # fmt: off
    cases: dict[str | int, tuple[str, ...] | None] = {
        "a": ("a",), "Z": ("shift", "z"), "\r": ("ret",), "\x7f": ("backspace",),
        "\x03": ("ctrl", "c"), "\x1b": ("esc",), "\t": ("tab",), "_": ("shift", "minus"),
        259: ("up",), 265: ("f1",), 276: ("f12",), 277: ("shift", "f1"), 289: ("ctrl", "f1"),
        353: ("shift", "tab"), "é": None, 409: None,
    }
    # fmt: on
    assert {key: chord_of_key(key) for key in cases} == cases
    assert chord_of_key("x", with_alt=True) == ("alt", "x")
    sequences = {
        "[1;5D": ("ctrl", "left"), "[A": ("up",), "OH": ("home",), "[5;3~": ("alt", "pgup"),
        "[15;6~": ("ctrl", "shift", "f5"), "[1;3P": ("alt", "f1"), "[9z": None, "[99~": None,
    }  # fmt: skip
    assert {text: chord_of_sequence(text) for text in sequences} == sequences


def test_a_dumb_terminal_for_the_monitor() -> None:
    lines = OverlayLines()
    lines.write(b"one\r\ntwo\b\bWO\r\n(qemu) x" + b"y" * 20 + b"\r\x1b[K(qemu) z")
    assert lines.last(10, 80) == (["one", "tWO", "(qemu) z"], 8)
    assert lines.last(2, 4) == (["(qem", "u) z"][-2:], 0)


def test_blocks_are_averages() -> None:
    """A picture of two colours, left and right, in two cells."""
    palette = b"\0\0\0" * 255 + b"\xff\xff\xff"
    row = b"\0" * 4 + b"\xff" * 4
    pixels = Pixels("8", 8, row * 8, 8, (1,) * 8, (0, 0, 0), 1, palette)
    assert blocks(Frame(8, 8, pixels=pixels), 2, 2) == [[(16, 16), (231, 231)]]
