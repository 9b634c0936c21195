"""The floppy disk controller by its datasheet, without a machine."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from machine.devices.fdc import BY_CODE
from machine.devices.floppy_drive import FORMATS, format_of
from machine.images import open_image
from tests.machine.floppy_hosts import (
    BUFFER,
    DIR,
    DOR,
    FIFO,
    FROM_MEMORY,
    MSR,
    TO_MEMORY,
    OurHost,
    command,
    move,
    results,
    set_dma,
    settle,
    start,
    wait_for,
)


def sector(number: int) -> bytes:
    """What is in a sector of the tests' images."""
    return (number.to_bytes(2, "little") * 256)[:512]


def image(path: Path, sectors: int) -> Path:
    path.write_bytes(b"".join(map(sector, range(sectors))))
    return path


@pytest.fixture
def host(tmp_path: Path) -> Iterator[OurHost]:
    made = OurHost({0: image(tmp_path / "a", 2880), 1: None})
    start(made)
    yield made
    made.close()


def reading(
    cylinder: int, head: int, first: int, last: int = 18, code: int = 0xE6
) -> tuple[int, ...]:
    return code, head << 2, cylinder, head, first, 2, last, 0x1B, 0xFF


def test_four_drives_are_polled_after_a_reset(tmp_path: Path) -> None:
    host = OurHost({0: image(tmp_path / "a", 720)})
    host.write(DOR, 0x08)
    assert host.read(MSR) == 0
    host.write(DOR, 0x0C)
    assert settle(host)
    assert [command(host, 0x08) for _ in range(5)] == [
        [0xC0, 0], [0xC1, 0], [0xC2, 0], [0xC3, 0], [0x80],
    ]  # fmt: skip
    assert not host.irq_level(6)


def test_the_interrupt_passes_the_gate_of_dor(host: OurHost) -> None:
    host.write(DOR, 0x14)
    host.write(FIFO, 0x07)
    host.write(FIFO, 0)
    host.wait()
    assert not host.irq_level(6)
    host.write(DOR, 0x1C)
    assert host.irq_level(6)


def test_a_seek_shows_its_drive_until_its_interrupt_is_sensed(host: OurHost) -> None:
    for value in (0x0F, 0, 40):
        host.write(FIFO, value)
    assert host.read(MSR) == 0x81
    assert settle(host)
    assert host.read(MSR) == 0x81
    assert command(host, 0x08) == [0x20, 40]
    assert host.read(MSR) == 0x80
    assert not host.irq_level(6)


def test_recalibrate_finds_track_0_where_there_is_a_drive(host: OurHost) -> None:
    move(host, 0, 79)
    assert command(host, 0x04, 0) == [0x28]
    wait_for(host, 0x07, 0)
    assert command(host, 0x08) == [0x20, 0]
    assert command(host, 0x04, 0) == [0x38]
    wait_for(host, 0x07, 2)
    assert command(host, 0x08) == [0x72, 0]


def test_relative_seeks(host: OurHost) -> None:
    wait_for(host, 0xCF, 0, 10)
    assert command(host, 0x08) == [0x20, 10]
    wait_for(host, 0x8F, 0, 3)
    assert command(host, 0x08) == [0x20, 7]
    assert host.fdc.drives[0].cylinder == 7


def test_the_change_line_goes_with_a_step(host: OurHost, tmp_path: Path) -> None:
    assert host.read(DIR) == 0x80
    wait_for(host, 0x07, 0)
    command(host, 0x08)
    assert host.read(DIR) == 0
    host.drives[0].insert(open_image(str(image(tmp_path / "b", 1440)), "raw"))
    assert host.read(DIR) == 0x80
    move(host, 0, 1)
    assert host.read(DIR) == 0
    host.write(DOR, 0x1D)
    move(host, 1, 1)
    assert host.read(DIR) == 0x80, "there is no disk in B"


def test_read_up_to_terminal_count(host: OurHost) -> None:
    move(host, 0, 5)
    set_dma(host, TO_MEMORY, 1024)
    assert wait_for(host, *reading(5, 0, 3)) == [0, 0, 0, 5, 0, 5, 2]
    assert host.read_memory(BUFFER, 1024) == sector(182) + sector(183)
    assert not host.irq_level(6)


def test_the_address_after_the_last_sector(host: OurHost) -> None:
    """Table 5-1: how it differs with MT, and at the end of a cylinder."""
    cases = {
        (0xE6, 0, 18): [0, 0, 0, 0, 1, 1, 2],
        (0xE6, 1, 18): [4, 0, 0, 1, 0, 1, 2],
        (0x66, 0, 18): [0, 0, 0, 1, 0, 1, 2],
        (0x66, 1, 17): [4, 0, 0, 0, 1, 18, 2],
    }
    wait_for(host, 0x07, 0)
    command(host, 0x08)
    for (code, head, first), expected in cases.items():
        set_dma(host, TO_MEMORY, 512)
        assert wait_for(host, *reading(0, head, first, code=code)) == expected


def test_both_tracks_with_mt(host: OurHost) -> None:
    wait_for(host, 0x07, 0)
    command(host, 0x08)
    set_dma(host, TO_MEMORY, 36 * 512)
    assert wait_for(host, *reading(0, 0, 1)) == [4, 0, 0, 1, 0, 1, 2]
    assert host.read_memory(BUFFER, 36 * 512) == b"".join(map(sector, range(36)))


def test_the_end_of_the_cylinder_without_terminal_count(host: OurHost) -> None:
    wait_for(host, 0x07, 0)
    command(host, 0x08)
    set_dma(host, TO_MEMORY, 4096)
    assert wait_for(host, *reading(0, 1, 17)) == [0x44, 0x80, 0, 1, 0, 1, 2]
    assert host.read_memory(BUFFER, 1024) == sector(34) + sector(35)


def test_write_then_read(host: OurHost, tmp_path: Path) -> None:
    move(host, 0, 79)
    host.write_memory(BUFFER, b"new" * 200)
    set_dma(host, FROM_MEMORY, 600)
    assert wait_for(host, *reading(79, 1, 17, code=0xC5)) == [4, 0, 0, 80, 0, 1, 2]
    host.drives[0].flush()
    written = (tmp_path / "a").read_bytes()
    assert written[2878 * 512 : 2878 * 512 + 1024] == (b"new" * 200).ljust(1024, b"\0")


def test_what_is_not_there(host: OurHost) -> None:
    set_dma(host, TO_MEMORY, 512)
    assert wait_for(host, *reading(0, 0, 19)) == [0x40, 0x04, 0, 0, 0, 19, 2]
    assert wait_for(host, *reading(3, 0, 1)) == [0x40, 0x04, 0x10, 3, 0, 1, 2]
    assert wait_for(host, *reading(0xFF, 0, 1)) == [0x40, 0x04, 0x02, 0xFF, 0, 1, 2]
    assert wait_for(host, 0xE6, 1, 0, 0, 1, 2, 18, 0x1B, 0xFF) == [0x41, 1, 0, 0, 0, 1, 2]
    host.write(DIR, 2)  # 250 kbit/s are not for high density
    assert wait_for(host, *reading(0, 0, 1)) == [0x40, 1, 0, 0, 0, 1, 2]


def test_implied_seek(host: OurHost) -> None:
    command(host, 0x13, 0, 0x57, 0)
    set_dma(host, TO_MEMORY, 512)
    assert wait_for(host, *reading(30, 0, 1)) == [0, 0, 0, 30, 0, 2, 2]
    assert host.read_memory(BUFFER, 512) == sector(30 * 36)
    assert command(host, 0x0E)[0] == 30


def test_write_protected(tmp_path: Path) -> None:
    host = OurHost({0: image(tmp_path / "a", 2880)}, read_only=True)
    start(host)
    set_dma(host, FROM_MEMORY, 512)
    assert wait_for(host, *reading(0, 0, 1, code=0xC5)) == [0x40, 2, 0, 0, 0, 1, 2]
    assert wait_for(host, 0x4D, 0, 2, 18, 0x54, 0xF6) == [0x40, 2, 0, 0, 0, 0, 0]
    assert command(host, 0x04, 0) == [0x78]


def test_format_track(host: OurHost, tmp_path: Path) -> None:
    move(host, 0, 2)
    addresses = b"".join(bytes([2, 1, number, 2]) for number in range(1, 19))
    host.write_memory(BUFFER, addresses)
    set_dma(host, FROM_MEMORY, len(addresses))
    assert wait_for(host, 0x4D, 4, 2, 18, 0x54, 0xF6)[:3] == [4, 0, 0]
    host.drives[0].flush()
    written = (tmp_path / "a").read_bytes()
    first = (2 * 2 + 1) * 18 * 512
    assert written[first : first + 18 * 512] == b"\xf6" * 18 * 512
    assert written[first - 512 : first] == sector(first // 512 - 1)
    assert written[first + 18 * 512 :][:512] == sector(first // 512 + 18)


def test_read_id_comes_by_all_sectors(host: OurHost) -> None:
    move(host, 0, 7)
    found = []
    for _ in range(40):
        answer = wait_for(host, 0x4A, 4)
        assert answer[:5] == [4, 0, 0, 7, 1]
        assert answer[6] == 2
        found.append(answer[5])
        host.time.pass_(10_000_000)
    assert set(found) == set(range(1, 19))
    assert wait_for(host, 0x4A, 1) == [0x41, 1, 0, 0, 0, 0, 0]


def test_verify_moves_nothing(host: OurHost) -> None:
    wait_for(host, 0x07, 0)
    command(host, 0x08)
    assert wait_for(host, *reading(0, 0, 1, code=0x56)) == [0, 0, 0, 1, 0, 1, 2]
    assert wait_for(host, *reading(0, 0, 1, 19, code=0x56))[:2] == [0x40, 4]


def test_a_masked_channel_is_waited_for(host: OurHost) -> None:
    wait_for(host, 0x07, 0)
    command(host, 0x08)
    set_dma(host, TO_MEMORY, 512)
    host.write(0x0A, 6)
    for value in reading(0, 0, 2):
        host.write(FIFO, value)
    assert not settle(host)
    assert host.read(MSR) == 0x10
    host.write(0x0A, 2)
    assert settle(host)
    assert results(host) == [0, 0, 0, 0, 0, 3, 2]


def test_without_dma(host: OurHost, tmp_path: Path) -> None:
    command(host, 0x03, 0xAF, 0x03)
    wait_for(host, 0x07, 0)
    command(host, 0x08)
    for value in reading(0, 0, 17, 18, code=0x46):
        host.write(FIFO, value)
    data = bytearray()
    for _ in range(2):
        assert settle(host)
        for _ in range(512):
            assert host.read(MSR) & 0xF0 == 0xF0
            data.append(host.read(FIFO))
    assert data == sector(16) + sector(17)
    assert settle(host)
    assert results(host) == [0x40, 0x80, 0, 1, 0, 1, 2]
    for value in reading(0, 1, 18, 18, code=0x45):
        host.write(FIFO, value)
    assert settle(host)
    for byte in bytes(range(256)) * 2:
        assert host.read(MSR) & 0xF0 == 0xB0
        host.write(FIFO, byte)
    assert settle(host)
    assert results(host)[:2] == [0x44, 0x80]
    host.drives[0].flush()
    assert (tmp_path / "a").read_bytes()[35 * 512 : 36 * 512] == bytes(range(256)) * 2


def test_settings(host: OurHost) -> None:
    assert command(host, 0x10) == [0x90]
    command(host, 0x13, 0, 0x58, 0x21)
    command(host, 0x12, 0x8D)
    assert command(host, 0x94) == [0x10]
    assert command(host, 0x0E) == [0, 0, 0, 0, 0xAF, 2, 0, 0x8D, 0x58, 0x21]
    host.write(MSR, 0x80)
    settle(host)
    for _ in range(4):
        command(host, 0x08)
    assert command(host, 0x0E) == [0, 0, 0, 0, 0xAF, 2, 0, 0x8C, 0x58, 0x21]
    assert command(host, 0x14) == [0]
    host.write(MSR, 0x80)
    settle(host)
    for _ in range(4):
        command(host, 0x08)
    assert command(host, 0x0E)[8:] == [0x70, 0]


def test_unknown_commands(host: OurHost) -> None:
    assert command(host, 0x1F) == [0x80]
    assert command(host, 0x08) == [0x80]
    assert host.unimplemented == ["floppy controller: command 0x1f"]


@pytest.mark.parametrize("total", FORMATS)
def test_the_last_sector_of_every_format(total: int, tmp_path: Path) -> None:
    host = OurHost({0: image(tmp_path / "a", total)})
    start(host)
    found = FORMATS[total]
    host.write(DIR, min(found.rates))
    move(host, 0, found.cylinders - 1)
    set_dma(host, TO_MEMORY, 512)
    head = found.heads - 1
    last = reading(found.cylinders - 1, head, found.sectors, found.sectors, 0x46)
    assert wait_for(host, *last)[:3] == [head << 2, 0, 0]
    assert host.read_memory(BUFFER, 512) == sector(total - 1)
    assert host.fdc.cmos_types() == (found.cmos_type,)


def test_sizes_that_are_no_format() -> None:
    assert format_of(2879) == FORMATS[2880]
    assert format_of(1) == FORMATS[320]
    assert format_of(10000) == FORMATS[5760]


@pytest.mark.parametrize("seed", range(4))
def test_random_accesses(seed: int, tmp_path: Path) -> None:
    """Whatever a program does: no exception, and a reset ends it."""
    rng = random.Random(seed)
    host = OurHost({0: image(tmp_path / "a", 2880), 1: image(tmp_path / "b", 720)})
    codes = [*BY_CODE, 0x00, 0x1F, 0xFF]
    for _ in range(3000):
        match rng.randrange(6):
            case 0:
                host.read(rng.randrange(0x3F1, 0x3F8))
            case 1:
                host.write(rng.choice((DOR, DOR, MSR, DIR, 0x0A, 0x0B, 0x05)), rng.randrange(256))
            case 2:
                host.time.pass_(rng.choice((0, 1000, 1_000_000)))
            case _:
                host.write(FIFO, rng.choice((*codes, rng.randrange(4), rng.randrange(256))))
    start(host)
    move(host, 0, 1)
    set_dma(host, TO_MEMORY, 512)
    host.write(DIR, 0)
    assert wait_for(host, *reading(1, 0, 1))[:2] == [0, 0]
