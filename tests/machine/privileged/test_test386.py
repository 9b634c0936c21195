"""test386.asm, Marco Bortolin's test ROM of the 80386, which real ones have passed.

QEMUPY_TEST386 names a checkout of https://github.com/barotto/test386.asm (GPL); it is assembled
with its ROM of 128 KiB, and what it prints is compared with the reference that comes with it.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from machine.bus import Window
from machine.physical import PhysicalMemory
from tests.machine.privileged.rom import NASM, Machine

FOLDER = os.environ.get("QEMUPY_TEST386", "")
POST_PORT = 0x190
PASSED = 0xFF
SETTINGS = {"POST_PORT": POST_PORT, "OUT_PORT": 0xE9, "ROM128": 1}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not FOLDER, reason="QEMUPY_TEST386 names no checkout of test386.asm"),
    pytest.mark.skipif(not NASM, reason="needs nasm"),
]


class Diagnosed(Machine):
    """A machine with a diagnostic port; `posts` are the tests that were begun."""

    def __init__(self, rom: bytes, engine: str) -> None:
        super().__init__(rom, engine, "486")
        self.posts: list[int] = []
        self.board.ports.attach(POST_PORT, Window(2, lambda _o, _s: 0, self._post, width=2))

    @staticmethod
    def _place(memory: PhysicalMemory, rom: bytes) -> None:
        for end in (1 << 20, 1 << 32):
            memory.add_rom(end - len(rom), rom)

    def _post(self, _offset: int, value: int, _size: int) -> None:
        self.posts.append(value & 0xFF)
        if value & 0xFF == PASSED:
            self._end()


def build(folder: Path) -> bytes:
    """The ROM, with our settings."""
    source = Path(FOLDER, "src")
    text = (source / "configuration.asm").read_text()
    for name, value in SETTINGS.items():
        text, count = re.subn(
            rf"^{name} equ .*", f"{name} equ {value:#x}", text, flags=re.MULTILINE
        )
        assert count == 1, name
    (folder / "configuration.asm").write_text(text)
    made = folder / "test386.bin"
    assert NASM
    options = ["-w-all", f"-I{folder}/", f"-I{source}/", "-fbin", "-o", str(made)]
    subprocess.run([NASM, *options, source / "test386.asm"], check=True)
    return made.read_bytes()


@pytest.mark.parametrize("engine", ["threaded", "jit"])
def test_test386(engine: str, tmp_path: Path) -> None:
    machine = Diagnosed(build(tmp_path), engine)
    printed = machine.run().replace(b"\r", b"")
    last = machine.posts[-1] if machine.posts else -1
    assert last == PASSED, f"it stops in test {last:#04x}"
    reference = Path(FOLDER, "test386-EE-reference.txt").read_bytes().replace(b"\r", b"")
    wrong = [
        f"{mine.decode()} not {theirs.decode()}"
        for mine, theirs in zip(printed.split(b"\n"), reference.split(b"\n"), strict=True)
        if mine != theirs
    ]
    assert not wrong, "\n".join(wrong[:20])
