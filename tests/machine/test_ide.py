"""The IDE controller without a machine: what QEMU is no witness for, errors of the host, chaos."""

from __future__ import annotations

import os
import random
import struct
from pathlib import Path

import pytest

from machine.devices.ata import TRANSFERS
from machine.devices.atapi import PACKETS
from machine.drive import SECTOR, Drive
from machine.images import ImageError, open_image
from tests.machine.fakes import is_up
from tests.machine.ide_hosts import MASTER, OurHost

SEED = int(os.environ.get("QEMUPY_SEED", "1"))
BSY, DRDY, DSC, DRQ, ERR = 0x80, 0x40, 0x10, 0x08, 0x01
UNC, IDNF, ABRT = 0x40, 0x10, 0x04
READY = DRDY | DSC


class Memory:
    """An image in memory; `broken` sectors cannot be read or written."""

    format, path, backing, writable = "raw", "memory", None, True

    def __init__(self, sectors: int) -> None:
        self.data = bytearray(b"".join(struct.pack("<I", at) * 128 for at in range(sectors)))
        self.size = len(self.data)
        self.broken: set[int] = set()
        self.flushed = 0

    def read(self, offset: int, length: int) -> bytes:
        self._check(offset, length)
        return bytes(self.data[offset : offset + length])

    def write(self, offset: int, data: bytes) -> None:
        self._check(offset, len(data))
        self.data[offset : offset + len(data)] = data

    def _check(self, offset: int, length: int) -> None:
        if self.broken & {*range(offset // SECTOR, (offset + length) // SECTOR)}:
            raise ImageError("memory: cannot be read: Input/output error")

    def flush(self) -> None:
        self.flushed += 1

    def close(self) -> None:
        pass


class Bench(OurHost):
    """A disk of so many sectors on the first cable, and a CD-ROM on the second."""

    def __init__(self, sectors: int = 4096, blocks: int = 64) -> None:
        super().__init__({})
        self.disk, self.cd = Memory(sectors), Memory(blocks * 4)
        self.reports: list[str] = []
        drives = {
            0: Drive(self.disk, "ide0-hd0", report=self.reports.append),
            2: Drive(self.cd, "ide1-cd0", is_cd=True, report=self.reports.append),
        }
        self.plug(drives)

    def command(self, code: int, *pairs: tuple[int, int]) -> int:
        """Return the status when it is no longer busy."""
        for register, value in pairs:
            self.write(0x1F0 + register, value)
        self.write(0x1F7, code)
        self.settle(0x1F0)
        return self.read(0x1F7)

    def packet(self, text: str, limit: int = 0xFFFE) -> tuple[int, int, bytes]:
        """Status, error and data of a packet command on the second cable."""
        for register, value in ((6, 0xA0), (1, 0), (4, limit & 0xFF), (5, limit >> 8)):
            self.write(0x170 + register, value)
        self.write(0x177, 0xA0)
        self.write_block(0x170, bytes.fromhex(text).ljust(12, b"\0"))
        data = b""
        while True:
            self.settle(0x170)
            status = self.read(0x177)
            if not status & DRQ:
                return status, self.read(0x171), data
            length = self.read(0x174) | self.read(0x175) << 8
            data += self.read_block(0x170, -(-length // 2))[:length]

    def sense(self) -> tuple[int, int, int]:
        data = self.packet("03 00 00 00 12")[2]
        return data[2], data[12], data[13]


def lba(address: int, count: int = 1) -> tuple[tuple[int, int], ...]:
    low, middle, high = address & 0xFF, address >> 8 & 0xFF, address >> 16 & 0xFF
    return ((2, count & 0xFF), (3, low), (4, middle), (5, high), (6, 0xE0 | address >> 24))


def test_it_is_busy_for_a_while_and_then_asks_once() -> None:
    bench = Bench()
    for register, value in lba(7):
        bench.write(0x1F0 + register, value)
    bench.write(0x1F7, 0x20)
    assert bench.read(0x3F6) & (BSY | DRQ) == BSY
    assert bench.irqs[0].up == 0
    bench.time.pass_(1_000_000)
    assert is_up(bench.irqs[0])
    assert bench.read(0x3F6) == READY | DRQ
    assert is_up(bench.irqs[0])
    assert bench.read(0x1F7) == READY | DRQ
    assert not is_up(bench.irqs[0])
    assert bench.read_block(0x1F0, 256) == struct.pack("<I", 7) * 128
    assert (bench.read(0x1F7), bench.irqs[0].up) == (READY, 1)


def test_who_polls_does_not_wait_for_a_late_timer() -> None:
    bench = Bench()
    bench.write(0x1F7, 0xEC)
    bench.time.ns += 1_000_000
    assert bench.read(0x1F7) == READY | DRQ


def test_all_widths_of_the_data_register() -> None:
    bench = Bench()
    wanted = bench.disk.data[5 * SECTOR : 6 * SECTOR]
    bench.command(0x20, *lba(5))
    words = b"".join(bench.read(0x1F0, 2).to_bytes(2, "little") for _ in range(256))
    bench.command(0x20, *lba(5))
    doubles = bench.ports.read_block(0x1F0, 100, 4) + bench.ports.read_block(0x1F0, 56, 2)
    assert words == doubles == wanted
    bench.command(0x30, *lba(9))
    bench.ports.write_block(0x1F0, bytes(wanted[:400]), 4)
    for at in range(400, 512, 4):
        bench.write(0x1F0, int.from_bytes(wanted[at : at + 4], "little"), 4)
    bench.settle(0x1F0)
    assert bench.disk.data[9 * SECTOR : 10 * SECTOR] == wanted
    assert bench.read(0x1F0, 4) == 0
    assert bench.read(0x1F7) == READY


def test_a_block_read_goes_over_the_ends_of_drq_blocks() -> None:
    bench = Bench()
    bench.command(0x20, *lba(100, 8))
    assert bench.ports.read_block(0x1F0, 2048, 2) == bench.disk.data[100 * 512 : 108 * 512]
    assert bench.irqs[0].up == 2  # it stays up while nobody reads the status


def test_256_and_65536_sectors_are_a_count_of_zero() -> None:
    bench = Bench(sectors=66_000)
    bench.command(0x20, *lba(0, 0))
    assert bench.ports.read_block(0x1F0, 256 * 128, 4) == bench.disk.data[: 256 * 512]
    assert bench.read(0x1F7) == READY
    bench.command(0x24, *((register, 0) for register in (2, 3, 4, 5)), *lba(7, 0))
    assert bench.ports.read_block(0x1F0, 65536 * 128, 4) == bench.disk.data[7 * 512 : 65543 * 512]
    assert bench.read(0x1F7) == READY


def test_addresses_by_cylinder_head_and_sector() -> None:
    bench = Bench()
    assert bench.command(0x91, (2, 17), (6, 0xA3)) == READY  # 4 heads, 17 sectors
    assert bench.command(0x20, (2, 1), (3, 17), (4, 3), (5, 0), (6, 0xA2)) == READY | DRQ
    assert bench.read(0x1F0, 4) == (3 * 4 + 2) * 17 + 16
    bench.write(0x3F6, 4)
    bench.write(0x3F6, 0)
    for sector, cylinder, head in ((0, 0, 0), (18, 0, 0), (1, 0, 4), (1, 61, 0)):
        status = bench.command(0x20, (2, 1), (3, sector), (4, cylinder), (5, 0), (6, 0xA0 | head))
        assert (status, bench.read(0x1F1)) == (READY | ERR, IDNF)


def test_hob_shows_what_was_written_before() -> None:
    bench = Bench()
    for value in (0x12, 0x34):
        bench.write(0x1F3, value)
    bench.write(0x3F6, 0x80)
    assert bench.read(0x1F3) == 0x12
    bench.write(0x1F2, 1)  # any write of a command register ends it
    assert bench.read(0x1F3) == 0x34


def test_sectors_that_the_host_cannot_read() -> None:
    bench = Bench()
    bench.disk.broken = {12}
    assert bench.command(0x20, *lba(10, 4)) == READY | DRQ
    for at in (10, 11):
        assert bench.read_block(0x1F0, 256) == struct.pack("<I", at) * 128
    assert (bench.read(0x1F7), bench.read(0x1F1), bench.read(0x1F3)) == (READY | ERR, UNC, 12)
    bench.command(0x30, *lba(12))
    bench.write_block(0x1F0, bytes(512))
    assert (bench.read(0x1F7), bench.read(0x1F1)) == (READY | ERR, ABRT)
    assert bench.reports == ["ide0-hd0: memory: cannot be read: Input/output error"]
    assert bench.command(0x20, *lba(0)) == READY | DRQ


def start_dma(bench: Bench, code: int, regions: list[tuple[int, int]], to_memory: bool) -> None:
    table = b"".join(
        struct.pack("<II", address, length & 0xFFFF | (1 << 31 if last else 0))
        for last, (address, length) in zip(
            [False] * (len(regions) - 1) + [True], regions, strict=True
        )
    )
    bench.write_memory(0x1000, table)
    bench.write(MASTER + 4, 0x1000, 4)
    bench.write(MASTER + 2, 0x06)
    bench.write(MASTER, 8 if to_memory else 0)
    bench.write(0x1F7, code)
    bench.write(MASTER, 9 if to_memory else 1)


@pytest.mark.parametrize("order", ["command first", "start first"])
def test_dma_begins_when_both_are_ready(order: str) -> None:
    bench = Bench()
    for register, value in lba(3, 2):
        bench.write(0x1F0 + register, value)
    if order == "command first":
        start_dma(bench, 0xC8, [(0x2000, 1024)], True)
    else:
        bench.write_memory(0x1000, struct.pack("<II", 0x2000, 1024 | 1 << 31))
        bench.write(MASTER + 4, 0x1000, 4)
        bench.write(MASTER, 9)
        assert bench.read(MASTER + 2) & 7 == 1
        bench.write(0x1F7, 0xC8)
    assert bench.read(MASTER + 2) & 7 == 1
    assert bench.read(0x3F6) & BSY
    bench.time.pass_(1_000_000)
    assert bench.read(MASTER + 2) & 7 == 4
    assert is_up(bench.irqs[0])
    assert bench.read_memory(0x2000, 1024) == bench.disk.data[3 * 512 : 5 * 512]
    assert bench.read(0x1F7) == READY
    bench.write(MASTER + 2, 4)
    assert bench.read(MASTER + 2) & 7 == 0


def test_a_table_that_is_too_short_leaves_the_drive_waiting() -> None:
    """Active is clear without an interrupt: programming interface 1.0, section 2.1."""
    bench = Bench()
    for register, value in lba(3, 4):
        bench.write(0x1F0 + register, value)
    start_dma(bench, 0xC8, [(0x2000, 512), (0x3000, 600)], True)
    bench.time.pass_(10_000_000)
    assert bench.read(MASTER + 2) & 7 == 0
    assert bench.read(0x3F6) & BSY
    assert bench.irqs[0].up == 0
    bench.write(0x3F6, 4)
    bench.write(0x3F6, 0)
    assert bench.read(0x1F7) == READY


def test_a_table_that_is_too_long_stays_active() -> None:
    bench = Bench()
    for register, value in lba(3):
        bench.write(0x1F0 + register, value)
    start_dma(bench, 0xCA, [(0x2000, 0)], False)
    bench.time.pass_(1_000_000)
    assert bench.read(MASTER + 2) & 7 == 5
    bench.write(MASTER, 0)
    assert bench.read(MASTER + 2) & 7 == 4
    assert bench.disk.data[3 * 512 : 4 * 512] == bytes(512)


def test_dma_of_a_broken_sector_ends_with_an_error() -> None:
    bench = Bench()
    bench.disk.broken = {5}
    for register, value in lba(4, 4):
        bench.write(0x1F0 + register, value)
    start_dma(bench, 0xC8, [(0x2000, 2048)], True)
    bench.time.pass_(1_000_000)
    assert is_up(bench.irqs[0])
    assert bench.read(MASTER + 2) & 4
    assert (bench.read(0x1F7), bench.read(0x1F1)) == (READY | ERR, UNC)


def test_flushes() -> None:
    """FLUSH CACHE, writing without a cache, and what is forced."""
    bench = Bench()
    assert bench.command(0xE7) == READY
    assert bench.disk.flushed == 1
    bench.command(0xEF, (1, 0x82))  # write cache off: what is in it is written
    assert bench.disk.flushed == 2
    bench.command(0x30, *lba(1))
    bench.write_block(0x1F0, bytes(512))
    bench.settle(0x1F0)
    assert bench.disk.flushed == 3
    assert not struct.unpack_from("<H", identify(bench), 170)[0] & 0x20
    bench.command(0xEF, (1, 0x02))
    assert struct.unpack_from("<H", identify(bench), 170)[0] & 0x20
    for register, value in ((2, 0), (3, 0), (4, 0), (5, 0), *lba(1)):
        bench.write(0x1F0 + register, value)
    start_dma(bench, 0x3D, [(0x2000, 512)], False)
    bench.settle(0x1F0)
    assert bench.disk.flushed == 4


def identify(bench: Bench) -> bytes:
    assert bench.command(0xEC, (6, 0xA0)) == READY | DRQ
    return bench.read_block(0x1F0, 256)


def test_identify_device() -> None:
    words = struct.unpack("<256H", identify(Bench(sectors=20_000_000 >> 9)))
    total = 20_000_000 >> 9
    assert words[0] == 0x40
    assert (words[1], words[3], words[6]) == (total // 1008, 16, 63)
    assert words[57] | words[58] << 16 == total // 1008 * 1008
    assert words[60] | words[61] << 16 == words[100] | words[101] << 16 == total
    assert words[49] & 0x300 == 0x300  # LBA, DMA
    assert words[83] & 0xC400 == 0x4400  # 48-bit
    data = struct.pack("<256H", *words)
    assert sum(data) & 0xFF == 0
    assert b"".join(data[at : at + 2][::-1] for at in range(54, 94, 2)).startswith(b"QEMUPY")


def test_a_disk_beyond_137_gigabytes() -> None:
    bench = Bench()
    bench.disk.size = 1 << 40
    bench.plug(bench.drives)
    words = struct.unpack("<256H", identify(bench))
    assert words[60] | words[61] << 16 == (1 << 28) - 1
    assert words[100] | words[101] << 16 | words[102] << 32 == 1 << 31
    assert words[1] == 16383


def test_power_and_smart() -> None:
    bench = Bench()
    for code, said in ((0xE0, 0), (0xE1, 0xFF), (0x94, 0), (0x20, 0xFF)):
        bench.command(code, *lba(0))
        bench.read_block(0x1F0, 256)
        bench.command(0xE5)
        assert bench.read(0x1F2) == said
    key = ((4, 0x4F), (5, 0xC2), (6, 0xA0))
    assert bench.command(0xB0, (1, 0xD0), *key) == READY | DRQ
    assert sum(bench.read_block(0x1F0, 256)) & 0xFF == 0
    assert bench.command(0xB0, (1, 0xD9), *key) == READY
    assert bench.command(0xB0, (1, 0xDA), *key) == READY | ERR
    assert bench.command(0xB0, (1, 0xD8), *key) == READY
    assert bench.command(0xB0, (1, 0xDA), *key) == READY
    assert bench.command(0xB0, (1, 0xDA), (4, 0), (5, 0)) == READY | ERR


def test_the_highest_address() -> None:
    bench = Bench()
    assert bench.command(0xF8, (6, 0xE0)) == READY
    assert bench.read(0x1F3) | bench.read(0x1F4) << 8 == 4095
    assert bench.command(0x27, (6, 0xE0)) == READY
    assert bench.read(0x1F3) | bench.read(0x1F4) << 8 == 4095


def test_a_write_protected_disk() -> None:
    bench = Bench()
    bench.drives[0].read_only = True
    bench.command(0x30, *lba(1))
    bench.write_block(0x1F0, bytes(512))
    assert (bench.read(0x1F7), bench.read(0x1F1)) == (READY | ERR, ABRT)


# CD-ROM


def test_a_medium_is_changed() -> None:
    bench = Bench()
    cd = bench.drives[2]
    assert bench.packet("00")[0] == READY
    cd.eject()
    assert bench.packet("00")[:2] == (READY | ERR, 0x20)
    assert bench.sense() == (2, 0x3A, 0)
    assert bench.packet("4a 01 00 00 10 00 00 00 08")[2][4:6] == b"\x03\x01"  # removed, open
    assert bench.packet("bd 00 00 00 00 00 00 00 00 08")[2][1] & 0x10
    cd.insert(Memory(4 * 10))
    assert bench.packet("12 00 00 00 24")[0] == READY
    assert bench.packet("25")[:2] == (READY | ERR, 0x60)
    assert bench.sense() == (6, 0x28, 0)
    assert bench.packet("25")[2] == struct.pack(">II", 9, 2048)
    assert bench.packet("4a 01 00 00 10 00 00 00 08")[2][4:6] == b"\x02\x02"  # new, present


def test_a_locked_door() -> None:
    from machine.drive import DriveError

    bench = Bench()
    cd = bench.drives[2]
    assert bench.packet("1e 00 00 00 01")[0] == READY
    assert bench.packet("1b 00 00 00 02")[:2] == (READY | ERR, 0x54)
    assert bench.sense() == (5, 0x53, 2)
    with pytest.raises(DriveError) as error:
        cd.eject()
    assert str(error.value) == "ide1-cd0: the guest has locked it; it was told to let go"
    assert bench.packet("4a 01 00 00 10 00 00 00 08")[2][4] == 1
    assert bench.packet("1e")[0] == READY
    assert bench.packet("1b 00 00 00 02")[0] == READY
    assert cd.image is None
    assert cd.is_open


def test_reading_by_parts_of_any_size() -> None:
    bench = Bench()
    wanted = bytes(bench.cd.data[5 * 2048 : 8 * 2048])
    for limit in (2048, 4096, 2, 1000, 1001, 0xFFFF):
        assert bench.packet("28 00 00 00 00 05 00 00 03", limit) == (READY, 0, wanted)
    bench.cd.broken = {30}
    assert bench.packet("28 00 00 00 00 05 00 00 03", 2048)[:2] == (READY | ERR, 0x30)
    assert bench.sense() == (3, 0x11, 0)


def test_raw_sectors_have_their_address() -> None:
    bench = Bench()
    data = bench.packet("be 00 00 00 00 0a 00 00 01 f8")[2]
    assert len(data) == 2352
    assert data[:16] == b"\0" + b"\xff" * 10 + b"\0" + b"\x00\x02\x10\x01"  # 00:02:10, mode 1
    assert data[16:2064] == bench.cd.data[10 * 2048 : 11 * 2048]


def test_packets_by_dma() -> None:
    bench = Bench()
    bench.write_memory(0x1000, struct.pack("<II", 0x2000, 6144 | 1 << 31))
    bench.write(MASTER + 12, 0x1000, 4)
    bench.write(MASTER + 8, 9)
    for register, value in ((6, 0xA0), (1, 1), (4, 0), (5, 0)):
        bench.write(0x170 + register, value)
    bench.write(0x177, 0xA0)
    bench.write_block(0x170, bytes.fromhex("2800 0000 0005 0000 0300 0000"))
    bench.time.pass_(1_000_000)
    assert bench.read_memory(0x2000, 6144) == bench.cd.data[5 * 2048 : 8 * 2048]
    assert bench.read(MASTER + 10) & 7 == 4
    assert is_up(bench.irqs[1])
    assert (bench.read(0x177), bench.read(0x172)) == (READY, 3)


def test_disc_information() -> None:
    bench = Bench()
    assert bench.packet("51 00 00 00 00 00 00 00 22")[2][:4] == b"\0\x20\x0e\1"
    track = bench.packet("52 01 00 00 00 01 00 00 24")[2]
    assert len(track) == 36
    assert struct.unpack_from(">I", track, 24)[0] == 64
    assert bench.packet("46 00 00 00 00 00 00 00 ff")[2][6:8] == b"\0\x08"


def test_the_signature_and_device_reset() -> None:
    bench = Bench()
    assert [bench.read(0x170 + at) for at in (2, 3, 4, 5, 7)] == [1, 1, 0x14, 0xEB, 0]
    bench.write(0x177, 0xEC)
    bench.settle(0x170)
    assert (bench.read(0x177), bench.read(0x171)) == (READY | ERR, ABRT)
    assert (bench.read(0x174), bench.read(0x175)) == (0x14, 0xEB)
    bench.write(0x177, 0xA0)
    bench.write(0x177, 0x08)
    assert [bench.read(0x170 + at) for at in (1, 4, 5, 7)] == [1, 0x14, 0xEB, 0]


# Anything at any time


@pytest.mark.parametrize(
    "seed", [SEED, *(pytest.param(n, marks=pytest.mark.slow) for n in range(200, 220))]
)
def test_any_access(seed: int, tmp_path: Path) -> None:
    """Random commands, packets, DMA and resets; the disk has the size that it had."""
    rng = random.Random(seed)
    path = tmp_path / "disk"
    path.write_bytes(bytes(SECTOR * 300))
    bench = Bench(blocks=8)
    bench.plug({0: Drive(open_image(str(path), "raw"), "hd"), 2: bench.drives[2],
                3: Drive(Memory(77), "ide1-hd1")})  # fmt: skip
    codes = [*TRANSFERS, 0x08, 0x10, 0x70, 0x90, 0xA0, 0xA1, 0xB0, 0xC6, 0xE7, 0xEC, 0xEF, 0x91]
    ports = [*range(0x1F0, 0x1F8), *range(0x170, 0x178), 0x3F6, 0x376, *range(MASTER, MASTER + 16)]
    for _ in range(8000):
        base = rng.choice((0x1F0, 0x170, 0x170))
        match rng.randrange(12):
            case 0 | 1:
                for register in range(1, 6):
                    bench.write(base + register, rng.choice((0, 1, 2, rng.getrandbits(8))))
                bench.write(base + 6, 0xA0 | rng.choice((0, 0x10, 0x40, 0x50)))
                bench.write(base + 7, rng.choice((*codes, 0xA0, rng.getrandbits(8))))
            case 2 | 3:
                code = rng.choice((*PACKETS, rng.getrandbits(8)))
                rest = bytes(rng.choice((0, 0, 1, 2, 0x10, rng.getrandbits(8))) for _ in range(11))
                bench.write_block(base, bytes((code,)) + rest)
            case 4:
                bench.write_memory(0x1000, rng.randbytes(64))
                bench.write(MASTER + rng.choice((4, 12)), 0x1000, 4)
                bench.write(MASTER + rng.choice((0, 8)), rng.choice((0, 1, 9)))
            case 5:
                bench.write(base + 0x206, rng.choice((0, 2, 4, 0, 0x80)))
            case 6:
                size = rng.choice((1, 2, 4))
                assert len(bench.ports.read_block(base, 300, size)) == 300 * size
            case 7:
                bench.ports.write_block(base, rng.randbytes(1024), rng.choice((1, 2, 4)))
            case 8:
                size = rng.choice((1, 2, 4))
                assert 0 <= bench.read(rng.choice(ports), size) < 1 << 8 * size
            case 9:
                bench.write(rng.choice(ports), rng.getrandbits(32), rng.choice((1, 2, 4)))
            case 10:
                bench.time.pass_(rng.choice((100, 30_000, 1_000_000)))
            case _ if rng.random() < 0.05:
                bench.drives[2].is_locked = False
                bench.drives[2].insert(Memory(rng.randrange(1, 60)))
    bench.close()
    assert path.stat().st_size == SECTOR * 300
