"""INT 13h without a machine: places, errors, packets, geometries, changes of media."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machine.drive import Drive
from machine.firmware.call import Call, Guest
from machine.firmware.disk import (
    DiskServices,
    Drives,
    Geometry,
    disk_geometry,
    floppy_geometry,
)
from machine.images.opening import open_image
from tests.machine.fakes import Ram
from tests.machine.firmware.fakes import call

MB = 1 << 20


def drive(
    folder: Path, size: int, name: str = "disk", *, cd: bool = False, writable: bool = True
) -> Drive:
    path = folder / name
    numbers = b"".join(struct.pack("<I", n) * 128 for n in range(min(size // 512, 4000)))
    path.write_bytes(numbers.ljust(size, b"\0"))
    return Drive(open_image(str(path), "raw", writable=writable), name, is_cd=cd)


class Bench:
    def __init__(self, folder: Path) -> None:
        self.floppy = drive(folder, 1440 << 10, "floppy")
        self.disk = drive(folder, 40 * 16 * 63 * 512)
        self.cd = drive(folder, 2 * MB, "cd", cd=True)
        self.ram = Ram(MB)
        self.services = DiskServices(
            Guest(self.ram), Drives(floppies=[self.floppy], disks=[self.disk], cds=[self.cd])
        )

    def do(self, **registers: int) -> Call:
        made = call(**registers)
        self.services.call(made)
        return made

    def packet(self, count: int, target: int, first: int, size: int = 16) -> None:
        self.ram.write(
            0x600, struct.pack("<BBHHHQ", size, 0, count, target & 15, target >> 4, first)
        )


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_sectors_are_read_where_es_bx_says(bench: Bench) -> None:
    got = bench.do(ax=0x0203, cx=0x0105, dx=0x0100, es=0x900, bx=0x10)
    first = (1 * 2 + 1) * 18 + 4
    assert (got.ah, got.al, got.carry) == (0, 3, False)
    assert bench.ram.read(0x9010, 4) == struct.pack("<I", first)
    assert bench.ram.read(0x9010 + 1024, 4) == struct.pack("<I", first + 2)


def test_what_is_written_is_there(bench: Bench) -> None:
    bench.ram.write(0x9000, b"new" * 200)
    assert not bench.do(ax=0x0301, cx=0x0003, dx=0x0080, es=0x900).carry
    assert bench.disk.read_sectors(2, 1) == (b"new" * 200)[:512]


def test_a_write_protected_floppy(tmp_path: Path) -> None:
    floppy = drive(tmp_path, 1440 << 10, writable=False)
    services = DiskServices(Guest(Ram(MB)), Drives(floppies=[floppy]))
    for ax in (0x0301, 0x0501):
        made = call(ax=ax, cx=1)
        services.call(made)
        assert (made.ah, made.carry) == (3, True)


# fmt: off
MISTAKES = [
    ({"ax": 0x0201, "cx": 0x0013},                 0x04),   # sector 19
    ({"ax": 0x0201, "cx": 0x0000},                 0x04),   # sector 0
    ({"ax": 0x0201, "cx": 0x0001, "dx": 0x0200},   0x04),   # head 2
    ({"ax": 0x0201, "cx": 0x5001},                 0x04),   # cylinder 80
    ({"ax": 0x0200, "cx": 0x0001},                 0x01),   # nothing to do
    ({"ax": 0x0201, "cx": 0x0001, "dx": 0x0001},   0x80),   # no drive B
    ({"ax": 0x0201, "cx": 0x0001, "dx": 0x0081},   0x01),   # no second disk
    ({"ax": 0x7700},                               0x01),
    ({"ax": 0x4100, "bx": 0x55AA},                 0x01),   # no EDD for floppies
    ({"ax": 0x4100, "bx": 0x1234, "dx": 0x80},     0x01),
    ({"ax": 0x4600, "dx": 0x80},                   0xB2),   # cannot be taken out
]
# fmt: on


@pytest.mark.parametrize(("registers", "status"), MISTAKES)
def test_mistakes(bench: Bench, registers: dict[str, int], status: int) -> None:
    got = bench.do(**registers)
    assert (got.ah, got.carry) == (status, True)
    if "dx" not in registers:
        assert bench.do(ax=0x0100).ah == status


def test_a_read_beyond_the_end_gives_what_is_there(bench: Bench) -> None:
    got = bench.do(ax=0x0205, cx=0x4F10, dx=0x0100, es=0x900)
    assert (got.al, got.ah, got.carry) == (3, 4, True)
    assert bench.ram.read(0x9000 + 1024, 4) == struct.pack("<I", 2879)


def test_packets(bench: Bench) -> None:
    bench.packet(2, 0x9000, 3900)
    assert not bench.do(ax=0x4200, dx=0x80, si=0x600).carry
    assert bench.ram.read(0x9200, 4) == struct.pack("<I", 3901)
    bench.ram.write(0x9000, b"!" * 512)
    bench.packet(1, 0x9000, 3900)
    assert not bench.do(ax=0x4300, dx=0x80, si=0x600).carry
    assert bench.disk.read_sectors(3900, 1) == b"!" * 512


@pytest.mark.parametrize("first", [40 * 16 * 63 - 1, 1 << 40])
def test_a_packet_beyond_the_end_does_nothing(bench: Bench, first: int) -> None:
    bench.packet(2, 0x9000, first)
    got = bench.do(ax=0x4200, dx=0x80, si=0x600)
    assert got.carry and bench.ram.read(0x602, 2) == b"\0\0"


def test_a_packet_with_a_flat_address(bench: Bench) -> None:
    bench.packet(1, 0, 7, size=24)
    bench.ram.write(0x604, b"\xff" * 4)
    bench.ram.write(0x610, struct.pack("<Q", 0x90000))
    assert not bench.do(ax=0x4200, dx=0x80, si=0x600).carry
    assert bench.ram.read(0x90000, 4) == struct.pack("<I", 7)


def test_a_cds_blocks_have_2048_bytes(bench: Bench) -> None:
    bench.packet(1, 0x9000, 3)
    assert not bench.do(ax=0x4200, dx=0xE0, si=0x600).carry
    assert bench.ram.read(0x9000, 4) == struct.pack("<I", 12)
    assert bench.ram.read(0x9600, 4) == struct.pack("<I", 15)
    bench.packet(1, 0x9000, 3)
    assert bench.do(ax=0x4300, dx=0xE0, si=0x600).ah == 3
    bench.ram.write(0x600, struct.pack("<H", 30))
    assert not bench.do(ax=0x4800, dx=0xE0, si=0x600).carry
    assert bench.ram.read(0x618, 2) == struct.pack("<H", 2048)
    assert bench.do(ax=0x0201, cx=1, dx=0xE0).ah == 1


def test_a_disks_parameters(bench: Bench) -> None:
    bench.ram.write(0x600, struct.pack("<H", 26))
    assert not bench.do(ax=0x4800, dx=0x80, si=0x600).carry
    size, _, cylinders, heads, sectors, total, block = struct.unpack(
        "<HHIIIQH", bench.ram.read(0x600, 26)
    )
    assert (size, cylinders, heads, sectors, total, block) == (26, 40, 16, 63, 40320, 512)
    bench.ram.write(0x600, struct.pack("<H", 10))
    assert bench.do(ax=0x4800, dx=0x80, si=0x600).carry


def test_a_changed_floppy_says_so_once(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(bytes(720 << 10))
    bench.floppy.insert(open_image(str(tmp_path / "other"), "raw", writable=True))
    assert bench.do(ax=0x0201, cx=1).ah == 6
    assert bench.do(ax=0x0201, cx=1).ah == 0
    bench.floppy.eject()
    assert bench.do(ax=0x1600).ah == 6
    assert bench.do(ax=0x1600).ah == 0x80
    assert bench.do(ax=0x0201, cx=1).ah == 0x80


def test_a_cd_can_be_locked_and_taken_out(bench: Bench) -> None:
    assert bench.do(ax=0x4500, dx=0xE0).al == 1
    assert bench.do(ax=0x4600, dx=0xE0).ah == 0xB1
    assert bench.do(ax=0x4501, dx=0xE0).al == 0
    assert bench.do(ax=0x4600, dx=0xE0).ah == 0
    bench.packet(1, 0x9000, 3)
    assert bench.do(ax=0x4200, dx=0xE0, si=0x600).ah == 0x31


@pytest.mark.parametrize(
    ("kilobytes", "shape"),
    [
        (360, (40, 2, 9)),
        (720, (80, 2, 9)),
        (1200, (80, 2, 15)),
        (1440, (80, 2, 18)),
        (2880, (80, 2, 36)),
    ],
)
def test_floppies_by_size(kilobytes: int, shape: tuple[int, int, int]) -> None:
    got = floppy_geometry(2 * kilobytes)
    assert (got.cylinders, got.heads, got.sectors) == shape


def test_a_large_disk_has_more_heads_and_at_most_1024_cylinders(tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(8 << 30)
    large = Drive(open_image(str(path), "raw", writable=True), "large")
    assert disk_geometry(large) == Geometry(1024, 255, 63)
    large.close()
    with path.open("wb") as file:
        file.truncate(1 << 30)
    middle = Drive(open_image(str(path), "raw", writable=True), "middle")
    assert disk_geometry(middle) == Geometry(520, 64, 63)


def test_the_partition_table_knows_the_geometry(tmp_path: Path) -> None:
    disk = drive(tmp_path, 20 * MB)
    table = bytearray(512)
    table[0x1BE:0x1CE] = struct.pack("<8BII", 0x80, 1, 1, 0, 6, 7, 32, 155, 32, 40000)
    table[510:] = b"\x55\xaa"
    disk.write_sectors(0, bytes(table))
    assert disk_geometry(disk) == Geometry(160, 8, 32)


@given(
    st.integers(0, 0xFFFF), st.integers(0, 0xFFFF), st.integers(0, 0xFFFF), st.binary(max_size=24)
)
def test_random_calls_end_well(ax: int, cx: int, dx: int, packet: bytes) -> None:
    class Disk:
        sectors, read_only, name, is_locked = 5000, False, "x", False

        def __init__(self) -> None:
            self.changed = lambda: None

        def read_sectors(self, first: int, count: int) -> bytes:
            assert 0 <= first <= first + count <= self.sectors
            return bytes(512 * count)

        def write_sectors(self, first: int, data: bytes) -> None:
            assert 0 <= first <= first + len(data) // 512 <= self.sectors

        def eject(self) -> None: ...

    disks = [Disk() for _ in range(3)]
    ram = Ram(MB)
    ram.write(0x600, packet)
    services = DiskServices(Guest(ram), Drives([disks[0]], [disks[1]], [disks[2]]))  # type: ignore[list-item]
    made = call(ax=ax, cx=cx, dx=dx, si=0x600, es=0x1000)
    services.call(made)
    assert made.carry == (made.ah != 0) or ax >> 8 in {0x15, 0x41}  # which answer in AH
