"""CD-ROMs: boot catalogues, images without and with emulation, damage."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machine.drive import Drive
from machine.firmware import el_torito
from machine.firmware.bios import BiosOptions
from machine.firmware.disk import Drives
from machine.firmware.el_torito import NotBootable
from machine.images.opening import open_image
from tests.machine.firmware.harness import Pc

CATALOGUE, IMAGE = 20, 24

# Writes DL, as a letter from @ on, and waits: at seg 0 whatever CS is.
SHOWS_DRIVE = bytes.fromhex("88d0 243f 0440 b40e cd10 fbf4 ebfd".replace(" ", ""))


def iso(emulation: int = 0, count: int = 4, image: bytes = SHOWS_DRIVE) -> bytearray:
    """As little of an ISO image as boots."""
    made = bytearray(2048 * 2000)
    record = b"\0CD001\1EL TORITO SPECIFICATION".ljust(0x47, b"\0") + struct.pack("<I", CATALOGUE)
    made[17 * 2048 : 17 * 2048 + len(record)] = record
    validation = bytearray(struct.pack("<BBH24sHBB", 1, 0, 0, b"test", 0, 0x55, 0xAA))
    total = sum(struct.unpack("<16H", validation))
    struct.pack_into("<H", validation, 28, -total & 0xFFFF)
    default = struct.pack("<BBHBBHI", 0x88, emulation, 0, 0, 0, count, IMAGE)
    entries = bytes(validation) + default
    made[CATALOGUE * 2048 : CATALOGUE * 2048 + len(entries)] = entries
    made[IMAGE * 2048 : IMAGE * 2048 + len(image)] = image
    return made


def cd(folder: Path, data: bytes | bytearray) -> Drive:
    path = folder / "cd.iso"
    path.write_bytes(data)
    return Drive(open_image(str(path), "raw", writable=False), "cd", is_cd=True)


def shown(drive: Drive, **others: list[Drive | None]) -> str:
    pc = Pc(Drives(cds=[drive], **others), BiosOptions(order="d"))  # type: ignore[arg-type]
    pc.run(100)
    return "\n".join(pc.screen())


def test_without_emulation_the_drive_is_e0(tmp_path: Path) -> None:
    assert "Booting from CD-ROM 1 ...\n`" in shown(cd(tmp_path, iso()))


@pytest.mark.parametrize(("emulation", "letter"), [(2, "@"), (4, "@")])
def test_an_emulated_drive_is_the_first(tmp_path: Path, emulation: int, letter: str) -> None:
    image = SHOWS_DRIVE.ljust(0x1BE, b"\0") + bytes.fromhex("80 010100 06 0f3f20 3f000000 c0ff0000")
    assert f"Booting from CD-ROM 1 ...\n{letter}" in shown(cd(tmp_path, iso(emulation, 1, image)))


def test_an_emulated_floppy_pushes_the_real_one_up(tmp_path: Path) -> None:
    path = tmp_path / "floppy"
    path.write_bytes(b"real".ljust(1440 << 10, b"\0"))
    floppy = Drive(open_image(str(path), "raw", writable=False), "floppy")
    image = SHOWS_DRIVE.ljust(512, b"\0") + b"second sector"
    pc = Pc(Drives(floppies=[floppy], cds=[cd(tmp_path, iso(2, 1, image))]), BiosOptions(order="d"))
    pc.run(100)
    first, second = pc.bios.disks.unit(0), pc.bios.disks.unit(1)
    assert first is not None and second is not None
    assert first.read(1, 1).startswith(b"second sector") and first.total == 2880
    assert second.read(0, 1).startswith(b"real")
    assert pc.bios.disks.floppy_count == 2
    assert pc.bios.disks.emulation[:3] == bytes((0x13, 2, 0))


# fmt: off
DAMAGE = [
    (17 * 2048, b"x",                         "it has no boot record"),
    (17 * 2048 + 0x47, b"\xff" * 4,           "it could not be read"),
    (CATALOGUE * 2048, b"\2",                 "its boot catalogue is damaged"),
    (CATALOGUE * 2048 + 32, b"\0",            "its boot catalogue has nothing that boots"),
    (CATALOGUE * 2048 + 33, b"\7",            "emulation 7 is unknown"),
    (CATALOGUE * 2048 + 40, b"\xff\xff\xff",  "its boot image is beyond its end"),
]
# fmt: on


@pytest.mark.parametrize(("at", "data", "message"), DAMAGE)
def test_damage_is_told(tmp_path: Path, at: int, data: bytes, message: str) -> None:
    image = iso()
    image[at : at + len(data)] = data
    drive = cd(tmp_path, image)
    with pytest.raises(NotBootable, match=message):
        el_torito.image_bytes(drive, el_torito.read_entry(drive))


class RandomCd:
    """A CD of random bytes after a good boot record."""

    sectors = 4 * 2000

    def __init__(self, entries: bytes) -> None:
        self._entries = entries
        self._image = iso()

    def read_sectors(self, first: int, count: int) -> bytes:
        at = CATALOGUE * 2048
        self._image[at : at + len(self._entries)] = self._entries
        return bytes(self._image[first * 512 : (first + count) * 512])


@given(st.binary(min_size=32, max_size=32))
def test_random_entries_end_well(default: bytes) -> None:
    validation = bytes(iso()[CATALOGUE * 2048 : CATALOGUE * 2048 + 32])
    drive = RandomCd(validation + b"\x88" + default[1:])
    try:
        entry = el_torito.read_entry(drive)  # type: ignore[arg-type]
        assert len(el_torito.image_bytes(drive, entry)) == 512 * entry.count  # type: ignore[arg-type]
    except NotBootable:
        pass
