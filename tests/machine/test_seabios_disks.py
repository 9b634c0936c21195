"""SeaBIOS boots from IDE: its driver finds the drives, and INT 13h reads and writes them.

The processor is unicorn's, as in `test_seabios`.
"""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from machine.devices.ide import Ide
from machine.drive import SECTOR, Drive
from machine.images import open_image
from machine.images.creating import create_qcow2
from tests.machine.test_seabios import IMAGE, Pc

pytestmark = pytest.mark.skipif(not IMAGE.exists(), reason=f"no {IMAGE}")

# INT 13h AH=42h reads 100 sectors from 5 on to 8000h; AH=02h two of sector 8 of the first track to
# 1000h:0C00h, which is among them; AH=43h writes the hundred from 200 on; then K goes to the
# debug console.
FROM_DISK = bytes.fromhex(
    "31c08ed88ec0be407cb442cd13722db80302bb000c1e68001007b90800b600cd13721966c706487cc8000000"
    "b80043be407ccd137206b04bba0204eefbf4ebfd10006400008000000500000000000000"
)
# INT 13h AH=42h reads 12 blocks of 2048 bytes from 30 on to 8000h; then K.
FROM_CD = bytes.fromhex(
    "31c08ed8be177cb442cd137206b04bba0204eefbf4ebfd10000c00008000001e00000000000000"
)


def numbered(sectors: int) -> bytearray:
    """Sectors full of their own number."""
    return bytearray(b"".join(struct.pack("<I", at) * 128 for at in range(sectors)))


def boot(drives: dict[int, Drive], until: bytes) -> Pc:
    pc = Pc()
    irqs = (pc.board.isa_irq(14), pc.board.isa_irq(15))
    ide = Ide(pc.time.clock, pc, irqs, drives)
    ide.attach(pc.board.ports)
    pc.board.pci.add(1, 1, ide)
    pc.run(halts=3000, until=until)
    pc.run(halts=200, until=b"\nK")
    return pc


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_disk_boots(place: int, tmp_path: Path) -> None:
    path = tmp_path / "disk.qcow2"
    create_qcow2(str(path), 1 << 20)
    content = numbered(2048)
    content[:SECTOR] = FROM_DISK.ljust(510, b"\0") + b"\x55\xaa"
    image = open_image(str(path))
    image.write(0, bytes(content))
    drive = Drive(image, "disk")
    pc = boot({place: drive}, b"Booting from 0000:7c00")
    text = pc.text.decode()
    assert f"ata{place // 2}-{place % 2}: QEMUPY HARDDISK ATA-6 Hard-Disk (1 MiBytes)" in text
    assert text.endswith("Booting from 0000:7c00\nK")
    wanted = content[5 * SECTOR : 105 * SECTOR]
    wanted[0x8C00 : 0x8C00 + 3 * SECTOR] = content[7 * SECTOR : 10 * SECTOR]
    assert pc.read(0x8000, 100 * SECTOR) == wanted
    assert drive.read_sectors(200, 100) == wanted
    drive.close()


def el_torito() -> bytearray:
    """The least that boots: a volume descriptor, a boot record, a catalog and an image."""
    iso = bytearray(struct.pack("<I", 0) * 512 * 50)
    for block in range(50):
        iso[block * 2048 : block * 2048 + 2048] = struct.pack("<I", block) * 512
    record = b"\0CD001\1EL TORITO SPECIFICATION".ljust(71, b"\0") + struct.pack("<I", 19)
    entry = bytearray(b"\1\0\0\0" + b"test".ljust(24, b"\0") + b"\0\0\x55\xaa")
    struct.pack_into("<H", entry, 28, -sum(struct.unpack("<16H", entry)) & 0xFFFF)
    catalog = entry + struct.pack("<BBHBxHI20x", 0x88, 0, 0, 0, 4, 20)
    for block, data in (
        (16, b"\1CD001\1"),
        (17, record),
        (18, b"\xffCD001\1"),
        (19, catalog),
        (20, FROM_CD),
    ):
        iso[block * 2048 : block * 2048 + 2048] = data.ljust(2048, b"\0")
    return iso


def test_a_cd_boots(tmp_path: Path) -> None:
    content = el_torito()
    path = tmp_path / "cd.iso"
    path.write_bytes(content)
    drive = Drive(open_image(str(path), writable=False), "cd", is_cd=True)
    pc = boot({2: drive}, b"Booting from 0000:7c00")
    text = pc.text.decode()
    assert "DVD/CD [ata1-0: QEMUPY DVD-ROM ATAPI-6 DVD/CD]" in text
    assert text.endswith("Booting from 0000:7c00\nK")
    assert pc.read(0x8000, 12 * 2048) == content[30 * 2048 : 42 * 2048]
    drive.close()
