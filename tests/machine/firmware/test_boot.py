"""Floppies boot on the embedded BIOS, with unicorn for a processor."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from machine.drive import Drive
from machine.firmware.bios import BiosOptions
from machine.firmware.disk import Drives
from machine.images.opening import open_image, overlay_of
from tests.machine.firmware import fat
from tests.machine.firmware.harness import Pc

GUESTS = Path(
    os.environ.get("QEMUPY_GUESTS", Path(__file__).resolve().parents[4] / "shared" / "guests")
)
"""Where images of other systems are, which are no part of the project."""
FREEDOS, ELKS = GUESTS / "freedos722.img", GUESTS / "elks-fd1440.img"

# Writes X to the screen and waits for ever.
SHOWS_X = bytes.fromhex("b8580ecd10fb f4 ebfd".replace(" ", "")).ljust(510, b"\0") + b"\x55\xaa"
# Does not boot: INT 18h.
GIVES_UP = bytes.fromhex("cd18").ljust(510, b"\0") + b"\x55\xaa"


def drive(path: Path) -> Drive:
    return Drive(overlay_of(open_image(str(path), "raw", writable=False)), path.name)


def written(folder: Path, name: str, data: bytes, size: int = 1440 << 10) -> Drive:
    path = folder / name
    path.write_bytes(data.ljust(size, b"\0"))
    return drive(path)


@pytest.mark.skipif(not FREEDOS.exists(), reason=f"no {FREEDOS}")
@pytest.mark.slow
def test_freedos_gets_to_its_prompt_and_takes_keys() -> None:
    pc = Pc(Drives(floppies=[drive(FREEDOS)]))
    pc.run_until("A:\\>")
    pc.type("v", "e", "r", "ret")
    assert "FreeCom version" in pc.run_until(
        "FreeCom version 0.82 pl 3 XMS_Swap [Dec 10 2003 06:49:21]\n\nA:"
    )


@pytest.mark.slow
@pytest.mark.skipif(not FREEDOS.exists(), reason=f"no {FREEDOS}")
def test_freedos_writes_files_to_a_hard_disk(tmp_path: Path) -> None:
    """What COPY has written is read back here, by the file system's own tables."""
    path = tmp_path / "disk"
    path.write_bytes(fat.disk(40))
    disk = Drive(open_image(str(path), "raw"), "disk")
    pc = Pc(Drives(floppies=[drive(FREEDOS)], disks=[disk]), BiosOptions(order="a"))
    pc.run_until("A:\\>")
    pc.type(*"copy", "spc", *"command", "dot", *"com", "spc", "c", "shift-semicolon", "ret")
    pc.run_until("command.com => c:command.com\n\nA:")
    disk.close()
    found = fat.files(path.read_bytes())
    assert list(found) == ["COMMAND COM"]
    assert found["COMMAND COM"] in FREEDOS.read_bytes()


@pytest.mark.slow
@pytest.mark.skipif(not ELKS.exists(), reason=f"no {ELKS}")
def test_elks_gets_to_its_shell() -> None:
    pc = Pc(Drives(floppies=[drive(ELKS)]))
    pc.run_until("VFS: Mounted root")
    pc.run_until("\n#")


@pytest.mark.parametrize(
    ("order", "wanted"),
    [("ac", "Booting from floppy disk A ...\nX"), ("ca", "Booting from hard disk 1 ...\nX")],
)
def test_the_order_of_drives(tmp_path: Path, order: str, wanted: str) -> None:
    drives = Drives(
        floppies=[written(tmp_path, "floppy", SHOWS_X)], disks=[written(tmp_path, "disk", SHOWS_X)]
    )
    assert wanted in Pc(drives, BiosOptions(order=order)).run_until("X", 200)


def test_what_does_not_boot_is_told_and_the_next_is_tried(tmp_path: Path) -> None:
    drives = Drives(
        floppies=[written(tmp_path, "floppy", b"")],
        disks=[written(tmp_path, "first", GIVES_UP), written(tmp_path, "second", SHOWS_X)],
    )
    text = Pc(drives, BiosOptions(order="ac")).run_until("X", 200)
    assert "floppy disk A ...\nIt does not boot: its first sector is no boot sector.\n" in text
    assert "hard disk 1 ...\nBooting from hard disk 2 ...\nX" in text


def test_nothing_to_boot_from() -> None:
    pc = Pc(Drives(floppies=[Drive(None, "empty")]))
    text = pc.run_until("No bootable device.", 200)
    assert "floppy disk A ...\nIt does not boot: there is no medium.\n" in text
    before = pc.bios.guest.dword(0x46C)
    pc.run(2000)
    assert pc.bios.guest.dword(0x46C) > before, "the tick goes on"


def test_the_menu_waits_for_a_key(tmp_path: Path) -> None:
    drives = Drives(
        floppies=[written(tmp_path, "floppy", GIVES_UP)], disks=[written(tmp_path, "disk", SHOWS_X)]
    )
    pc = Pc(drives, BiosOptions(order="ac", menu=True))
    pc.run_until("1. floppy disk A\n2. hard disk 1", 200)
    pc.run(100)
    assert "Booting" not in "\n".join(pc.screen())
    pc.type("2")
    assert "Booting from hard disk 1 ...\nX" in pc.run_until("X", 400)


def test_the_count_of_ticks_is_the_time_of_the_day() -> None:
    pc = Pc()
    pc.run(20)
    assert pc.bios.guest.dword(0x46C) < 20  # the clock stood at midnight
