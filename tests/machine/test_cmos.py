"""What is in CMOS for a BIOS, beside what QEMU puts there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from machine.cmos import Hardware, disk_geometry, fill_cmos

QEMU = os.environ.get("QEMUPY_QEMU_SYSTEM") or shutil.which("qemu-system-i386")
MB = 1 << 20

MEMORY = (0x15, 0x16, 0x17, 0x18, 0x30, 0x31, 0x34, 0x35, 0x5B, 0x5C, 0x5D)
BOOT = (0x38, 0x3D)
DISKS = (0x12, 0x19, 0x1A, *range(0x1B, 0x2D))
DRIVES = (0x10, 0x14)


def qemu_cmos(*options: str) -> bytes:
    """The 128 bytes, by QEMU's monitor, of a machine that was never started."""
    assert QEMU is not None
    lines = [line for at in range(128) for line in (f"o /b 0x70 {at}", "i /b 0x71")]
    done = subprocess.run(
        [QEMU, "-machine", "pc", "-display", "none", "-S", "-monitor", "stdio", *options],
        input="\n".join([*lines, "quit", ""]), capture_output=True, text=True, timeout=60,
        check=True,
    )  # fmt: skip
    found = re.findall(r"^portb\[0x0071\] = 0x([0-9a-f]+)", done.stdout, re.MULTILINE)
    assert len(found) == 128
    return bytes(int(value, 16) for value in found)


def our_cmos(hardware: Hardware) -> bytes:
    cmos = bytearray(128)
    fill_cmos(cmos, hardware)
    return bytes(cmos)


def compare(ours: bytes, theirs: bytes, places: tuple[int, ...]) -> None:
    differ = {hex(at): (ours[at], theirs[at]) for at in places if ours[at] != theirs[at]}
    assert not differ


@pytest.mark.skipif(QEMU is None, reason="no qemu-system-i386")
@pytest.mark.parametrize(("megabytes", "order"), [(1, "c"), (2, "cad"), (15, "dc"), (300, "nac")])
def test_memory_and_boot_order(megabytes: int, order: str) -> None:
    hardware = Hardware(below_4g=megabytes * MB, order=order)
    theirs = qemu_cmos("-m", str(megabytes), "-boot", order, "-nodefaults")
    compare(our_cmos(hardware), theirs, (*MEMORY, *BOOT))


@pytest.mark.skipif(QEMU is None, reason="no qemu-system-i386")
@pytest.mark.parametrize("size", [8, 100, 600, 9000])
def test_disks_and_floppies(size: int, tmp_path: Path) -> None:
    path = tmp_path / "disk"
    with path.open("wb") as file:
        file.truncate(size * MB)
    floppy = tmp_path / "floppy"
    floppy.write_bytes(bytes(1440 << 10))
    hardware = Hardware(
        below_4g=64 * MB, floppies=(4,), disks=(disk_geometry(size * MB // 512), None)
    )
    theirs = qemu_cmos(
        *("-m", "64", "-drive", f"file={path},format=raw", "-nodefaults"),
        *("-drive", f"file={floppy},format=raw,if=floppy"),
    )
    compare(our_cmos(hardware), theirs, (*DISKS, *DRIVES))


def test_more_than_four_gigabytes() -> None:
    cmos = our_cmos(Hardware(below_4g=0xE000_0000, above_4g=0x1_2345_0000))
    assert cmos[0x5B:0x5E] == bytes.fromhex("452301")
    assert cmos[0x34:0x36] == ((0xE000_0000 - 16 * MB) >> 16).to_bytes(2, "little")
