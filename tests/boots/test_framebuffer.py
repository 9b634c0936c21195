"""Linux draws into the linear frame buffer, in modes that `vga=` has its setup ask the BIOS for."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.boots.guests import debian_linux
from tests.boots.harness import OURS, QEMU, Guest, boot

EMULATOR = os.environ.get("QEMUPY_BOOT", OURS)
PATIENCE = float(os.environ.get("QEMUPY_BOOT_PATIENCE", "1"))
SEABIOS = Path("/usr/share/seabios/bios-256k.bin")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900 * PATIENCE)]


def picture(guest: Guest, path: Path) -> tuple[int, int, bytes]:
    """What a screendump has; QEMU may answer before it is written."""
    guest.monitor(f"screendump {path}")
    deadline = time.monotonic() + 20
    while True:
        parts = path.read_bytes().split(maxsplit=3) if path.exists() else []
        if len(parts) == 4:
            width, height = int(parts[1]), int(parts[2])
            rgb = parts[3].split(b"\n", 1)[1]
            if len(rgb) == 3 * width * height:
                return width, height, rgb
        assert time.monotonic() < deadline, "no screendump"
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("mode", "size", "pixel", "colors"),
    [
        (0x317, (1024, 768), b"\x1f\x84", "8482ff"),  # red 16 and green 32 of 5 and 6 bits, blue 31
        (0x315, (800, 600), b"\x56\x34\x12", "123456"),
    ],
)
@pytest.mark.parametrize("firmware", ["embedded", "seabios"])
def test_the_frame_buffer_of_linux(
    tmp_path: Path, firmware: str, mode: int, size: tuple[int, int], pixel: bytes, colors: str
) -> None:
    """The console has text; what is written to /dev/fb0 are pixels of these colours."""
    if EMULATOR == QEMU and firmware == "embedded":
        pytest.skip("QEMU's BIOS is SeaBIOS")
    if firmware == "seabios" and not SEABIOS.exists():
        pytest.skip(f"no {SEABIOS} (Debian: apt-get install seabios)")
    files = debian_linux("i386")
    options = [
        "-m", "256", "-kernel", str(files.kernel), "-initrd", str(files.initrd),
        "-append", f"console=tty0 console=ttyS0 vga={mode:#x}",
        *(("-bios", str(SEABIOS)) if firmware == "seabios" else ()),
    ]  # fmt: skip
    with boot(EMULATOR, *options) as guest:
        guest.wait("/ # ", 600 * PATIENCE)
        guest.run("printf '\\33[2J\\33[1;1Htext of the console\\n' >/dev/tty1", 30 * PATIENCE)
        width, height, rgb = picture(guest, tmp_path / "text.ppm")
        assert (width, height) == size
        top = rgb[: 3 * width * 16]
        lit = sum(any(top[at : at + 3]) for at in range(0, len(top), 3))
        assert 200 < lit < 3000, f"{lit} pixels of the first line are lit"
        escaped = "".join(f"\\{byte:03o}" for byte in pixel)
        line = f"yes | head -1000 | while read x; do printf '{escaped}'; done >/p"
        guest.run(line, 120 * PATIENCE)
        guest.run("cat /p >/dev/fb0", 30 * PATIENCE)
        _, _, rgb = picture(guest, tmp_path / "pixels.ppm")
        found = {rgb[3 * at : 3 * at + 3].hex() for at in range(1000)}
        assert found == {colors}
