"""Every video mode set by a BIOS in three machines: ours with its own and with SeaBIOS, and QEMU's.

A boot sector sets mode after mode by INT 10h and fills the screen; it tells of each by the serial
line and waits for a key. Pictures must be equal. Skipped without `qemu-system-i386` and `as`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.machine.bare import assemble
from tests.machine.vga_cards import QEMU, Picture

SEABIOS = Path(os.environ.get("QEMUPY_SEABIOS", "/usr/share/seabios/bios-256k.bin"))

# fmt: off
MODES = (0x01, 0x03, 0x04, 0x06, 0x0D, 0x0E, 0x10, 0x11, 0x12, 0x13, 0x4101, 0x4111, 0x4115)
# fmt: on
NARROW = 0x01
"""QEMU has 8 dots for a character of 40, and the VGA 9."""

PROGRAM = """
        xor     ax, ax
        mov     ds, ax
        mov     ss, ax
        mov     sp, 0x7c00
        cld
        mov     si, offset modes
next:   lodsw
        test    ax, ax
        jz      end
        mov     bp, ax
        test    ah, ah
        jnz     vbe
        int     0x10
        jmp     fill
vbe:    mov     bx, ax
        and     bx, 0x3fff
        mov     ax, 0x4f02
        int     0x10
fill:   mov     ax, 0xa000
        cmp     bp, 4
        jae     pixels
        mov     ax, 0xb800
        mov     es, ax
        xor     di, di
        mov     cx, 2000
        mov     ax, 0x0020
cells:  stosw
        inc     ah
        and     ah, 0x7f
        loop    cells
        mov     ah, 1           # no cursor
        mov     cx, 0x2000
        int     0x10
        jmp     shown
pixels: cmp     bp, 6
        ja      high
        mov     ax, 0xb800
high:   mov     es, ax
        xor     di, di
        mov     cx, 0x4000
bytes:  mov     ax, di
        xor     al, ah
        stosb
        loop    bytes
        LETTERS
shown:  mov     dx, 0x3f8
        mov     ax, bp
        out     dx, al
        mov     ah, 0
        int     0x16
        jmp     next
end:    hlt
        jmp     end
modes:  .word   MODES, 0
"""

LETTERS = """
        mov     bx, 0x0007
        mov     di, offset text
letter: mov     al, [di]
        inc     di
        test    al, al
        jz      shown
        mov     ah, 0x0e
        int     0x10
        jmp     letter
text:   .ascii  "Hello, world\\\\r\\\\n\\0"
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(QEMU is None, reason="no qemu-system-i386"),
    pytest.mark.skipif(not shutil.which("as"), reason="no binutils"),
]


class Machine:
    """A command like QEMU's that boots a floppy, with its monitor at our pipes."""

    def __init__(self, folder: Path, command: Sequence[str], floppy: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self._serial = folder / "serial"
        self._process = subprocess.Popen(
            [
                *command,
                *("-drive", f"file={floppy},if=floppy,format=raw", "-boot", "a", "-vga", "std"),
                *("-serial", f"file:{self._serial}", "-monitor", "stdio", "-nodefaults"),
                *("-display", "none"),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
        )  # fmt: skip

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()

    def picture(self, number: int) -> Picture:
        """What it shows when the serial line has got so many bytes."""
        deadline = time.monotonic() + 60
        while not self._serial.exists() or self._serial.stat().st_size <= number:
            assert time.monotonic() < deadline, f"mode {MODES[number]:#x} is not reached"
            assert self._process.poll() is None, "it has ended"
            time.sleep(0.05)
        path = self._folder / f"{number}.ppm"
        self._say(f"screendump {path}")
        before = -1
        while before <= 0 or not path.exists() or path.stat().st_size != before:
            before = path.stat().st_size if path.exists() else -1
            assert time.monotonic() < deadline, "no screendump"
            time.sleep(0.1)
        magic, width, height, rest = path.read_bytes().split(maxsplit=3)
        assert magic == b"P6"
        self._say("sendkey spc")
        return Picture(int(width), int(height), rest.split(b"\n", 1)[1])

    def pictures(self) -> list[Picture]:
        try:
            return [self.picture(number) for number in range(len(MODES))]
        finally:
            self._process.kill()
            self._process.communicate()


def boot(folder: Path, name: str, command: Sequence[str], *, letters: bool) -> list[Picture]:
    source = PROGRAM.replace("LETTERS", LETTERS if letters else "")
    code = assemble(source.replace("MODES", ", ".join(map(hex, MODES))))
    assert len(code) <= 510
    floppy = folder / f"{name}.img"
    floppy.write_bytes((code.ljust(510, b"\0") + b"\x55\xaa").ljust(1474560, b"\0"))
    return Machine(folder / name, command, floppy).pictures()


def ours(*options: str) -> list[str]:
    start = "import sys; from machine.main import system_i386; sys.exit(system_i386())"
    return [sys.executable, "-c", start, *options]


def shrunk(picture: Picture) -> Picture:
    """A text screen of spaces, 40 by 25: a dot of each."""
    width, height = picture.width // 40, picture.height // 25
    dots = (
        3 * (row * height * picture.width + column * width)
        for row in range(25)
        for column in range(40)
    )
    return Picture(40, 25, b"".join(picture.rgb[at : at + 3] for at in dots))


def differences(a: Sequence[Picture], b: Sequence[Picture]) -> list[str]:
    """QEMU widens colours of 6 and 5 bits in its own way: five bits are compared."""
    table = bytes(value & 0xF8 for value in range(256))
    found = []
    for mode, one, other in zip(MODES, a, b, strict=True):
        if mode == NARROW:
            one, other = (shrunk(picture) for picture in (one, other))
        if (one.width, one.height) != (other.width, other.height):
            found.append(f"{mode:#x}: {one.width}x{one.height}, {other.width}x{other.height}")
            continue
        first, second = one.rgb.translate(table), other.rgb.translate(table)
        if first != second:
            at = next(n for n in range(len(first)) if first[n] != second[n]) // 3
            y, x = divmod(at, one.width)
            colors = [rgb[3 * at : 3 * at + 3].hex() for rgb in (first, second)]
            found.append(f"{mode:#x}: ({x}, {y}) is {colors[0]}, in QEMU {colors[1]}")
    return found


def test_modes_of_our_bios(tmp_path: Path) -> None:
    """Without letters: the fonts are others."""
    assert QEMU is not None
    theirs = boot(tmp_path, "qemu", [QEMU], letters=False)
    assert differences(boot(tmp_path, "own", ours(), letters=False), theirs) == []


@pytest.mark.skipif(not SEABIOS.exists(), reason="no SeaBIOS")
def test_modes_of_the_vga_bios(tmp_path: Path) -> None:
    assert QEMU is not None
    theirs = boot(tmp_path, "qemu", [QEMU], letters=True)
    mine = boot(tmp_path, "seabios", ours("-bios", str(SEABIOS)), letters=True)
    assert differences(mine, theirs) == []
