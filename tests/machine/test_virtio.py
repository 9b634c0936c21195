"""Disks by virtio, as old and new drivers see them, beside QEMU's where there is one."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from machine.devices.virtqueue import cut
from tests.machine.qtest import QEMU
from tests.machine.virtio_hosts import (
    BUFFERS,
    EVENT_IDX,
    INDIRECT_DESC,
    IO_BASE,
    MEMORY_BASE,
    RINGS,
    VERSION_1,
    Driver,
    Host,
    OurHost,
    QemuHost,
)

SEED = int(os.environ.get("QEMUPY_SEED", "1"))
SECTORS = 2000
IN, OUT, FLUSH, GET_ID = 0, 1, 4, 8
WAYS = [
    pytest.param(False, 0, False, id="legacy"),
    pytest.param(False, 1 << INDIRECT_DESC, True, id="legacy-indirect"),
    pytest.param(True, 1 << VERSION_1, False, id="modern"),
    pytest.param(True, 1 << VERSION_1 | 1 << EVENT_IDX | 1 << INDIRECT_DESC, True, id="modern-all"),
]


def image(path: Path) -> Path:
    path.write_bytes(random.Random(0).randbytes(512 * SECTORS))
    return path


@pytest.fixture
def host(tmp_path: Path) -> Iterator[OurHost]:
    made = OurHost(image(tmp_path / "disk"), serial="abc")
    yield made
    made.close()


@pytest.mark.parametrize(("is_modern", "features", "indirect"), WAYS)
def test_requests(
    host: OurHost, tmp_path: Path, is_modern: bool, features: int, indirect: bool
) -> None:
    driver = Driver(host, is_modern=is_modern, features=features, indirect=indirect)
    content = (tmp_path / "disk").read_bytes()
    assert driver.request(IN, 7, 1024) == (0, 1025, content[7 * 512 : 9 * 512])
    assert host.interrupt()
    assert driver.isr() == 1
    assert not host.interrupt()
    assert driver.isr() == 0
    assert driver.request(OUT, 8, b"x" * 512)[:2] == (0, 1)
    assert driver.request(IN, 7, 1024)[2] == content[7 * 512 : 8 * 512] + b"x" * 512
    assert driver.request(FLUSH, 0, 0)[:2] == (0, 1)
    assert (tmp_path / "disk").read_bytes()[8 * 512 : 9 * 512] == b"x" * 512
    assert driver.request(GET_ID, 0, 20)[2] == b"abc".ljust(20, b"\0")
    assert driver.request(77, 0, 512)[:2] == (2, 1)
    assert driver.request(IN, SECTORS - 1, 1024)[0] == 1
    assert driver.request(IN, 0, 100)[0] == 1
    assert driver.disk_config(0, 4) == SECTORS


def test_what_it_is(host: OurHost) -> None:
    driver = Driver(host, is_modern=True, features=1 << VERSION_1, indirect=False)
    assert driver.config(0x00) == 0x1001_1AF4
    assert driver.config(0x2C) == 0x0002_1AF4
    assert driver.config(0x08) >> 8 == 0x010000
    assert sorted(driver.parts) == [1, 2, 3, 4]
    assert driver.get_status() == 15


def test_a_driver_that_wants_too_much(host: OurHost) -> None:
    driver = Driver(host, is_modern=True, features=1 << VERSION_1, indirect=False)
    driver.set_status(0)
    driver.set_status(3)
    driver._choose(1 << 55)
    driver.set_status(11)
    assert driver.get_status() == 3


def test_read_only(tmp_path: Path) -> None:
    host = OurHost(image(tmp_path / "disk"), read_only=True)
    driver = Driver(host, is_modern=True, features=1 << VERSION_1, indirect=False)
    assert driver.offered >> 5 & 1
    assert driver.request(OUT, 0, bytes(512))[0] == 1
    host.close()


def test_the_window_in_configuration_space(host: OurHost) -> None:
    """SeaBIOS and others reach BAR 4 so, where its memory is out of their reach."""
    driver = Driver(host, is_modern=True, features=1 << VERSION_1, indirect=False)
    at = driver.config(0x34, 1)
    while driver.config(at + 3, 1) != 5:
        at = driver.config(at + 1, 1)
    driver._config(at + 4, 4, 1)
    driver._config(at + 8, 0x14)
    driver._config(at + 12, 1)
    assert driver.config(at + 16, 1) == 15
    driver._config(at + 16, 0, 1)
    assert driver.get_status() == 0


def test_interrupts_that_nobody_wants(host: OurHost) -> None:
    driver = Driver(host, is_modern=False, features=0, indirect=False)
    host.write_memory(driver.ring, b"\1\0")
    driver.request(IN, 0, 512)
    assert not host.interrupt()
    driver = Driver(host, is_modern=True, features=1 << VERSION_1 | 1 << EVENT_IDX, indirect=False)
    host.write_memory(driver.ring + 4 + 2 * driver.size, b"\1\0")
    driver.request(IN, 0, 512)
    assert not host.interrupt(), "only the second one was asked for"
    driver.request(IN, 0, 512)
    assert host.interrupt()


def test_many_at_once_and_in_pieces(host: OurHost, tmp_path: Path) -> None:
    driver = Driver(host, is_modern=True, features=1 << VERSION_1, indirect=False)
    content = (tmp_path / "disk").read_bytes()
    for number in range(3):
        header = BUFFERS + 0x1000 * number
        host.write_memory(header, (number * 10).to_bytes(16, "little")[-8:].rjust(16, b"\0"))
        host.write_memory(header, bytes(8) + (number * 10).to_bytes(8, "little"))
        driver.add([
            (header, 8, False), (header + 8, 8, False), (header + 0x100, 100, True),
            (header + 0x200, 412, True), (header + 0x80, 1, True),
        ])  # fmt: skip
    assert driver.kick()
    assert [used for _, used in driver.finish()] == [513] * 3
    for number in range(3):
        header = BUFFERS + 0x1000 * number
        read = host.read_memory(header + 0x100, 100) + host.read_memory(header + 0x200, 412)
        assert read == content[number * 5120 : number * 5120 + 512]


@pytest.mark.parametrize("what", ["loop", "far head", "too many", "order", "nested"])
def test_nonsense_in_a_queue(host: OurHost, what: str) -> None:
    """The device asks for a reset, and goes on after one."""
    driver = Driver(host, is_modern=True, features=1 << VERSION_1, indirect=False)
    match what:
        case "loop":
            head = driver.add([(BUFFERS, 16, False)])
            row = b"\0\0\2\0\0\0\0\0\x10\0\0\0\1\0" + head.to_bytes(2, "little")
            host.write_memory(driver.table, row)
        case "far head":
            driver.add([(BUFFERS, 16, False)])
            host.write_memory(driver.ring + 4, b"\xff\x0f")
        case "too many":
            driver._added = 1000
        case "order":
            driver.add([(BUFFERS, 16, True), (BUFFERS, 16, False)])
        case "nested":
            driver.indirect = True
            driver.add([(BUFFERS, 16, False)])
            host.write_memory(BUFFERS - 0x1000 + 12, b"\4\0")
    driver.kick()
    assert driver.get_status() & 0x40
    assert len(host.unimplemented) == 1
    driver = Driver(host, is_modern=True, features=1 << VERSION_1, indirect=False)
    assert driver.request(IN, 0, 512)[0] == 0


@pytest.mark.parametrize("seed", range(4))
def test_random_accesses(host: OurHost, seed: int) -> None:
    """Whatever a program does: no exception, and a reset ends it."""
    rng = random.Random(seed)
    Driver(host, is_modern=bool(seed & 1), features=1 << VERSION_1 | 1 << EVENT_IDX, indirect=False)
    for _ in range(3000):
        size = rng.choice((1, 2, 4))
        value = rng.choice((0, 1, 2, 4, 15, 255, RINGS >> 12, RINGS, rng.getrandbits(32)))
        match rng.randrange(7):
            case 0:
                host.read(IO_BASE + rng.randrange(80), size)
            case 1:
                host.write(IO_BASE + rng.randrange(80), value, size)
            case 2:
                host.load(MEMORY_BASE + rng.choice((0, 0x1000, 0x2000)) + rng.randrange(64), size)
            case 3:
                host.store(MEMORY_BASE + rng.randrange(64), value, size)
            case 4:
                host.store(MEMORY_BASE + 0x3000, 0, 2)
            case 5:
                host.write_memory(RINGS + rng.randrange(0x3000), rng.randbytes(rng.randrange(64)))
            case 6:
                host.time.pass_(1000)
    driver = Driver(host, is_modern=True, features=1 << VERSION_1, indirect=False)
    assert driver.request(IN, 0, 512)[0] == 0


def test_pieces() -> None:
    spans = [(100, 10), (200, 10), (300, 10)]
    assert cut(spans, 0, 30) == spans
    assert cut(spans, 29, 5) == [(309, 1)]
    assert cut(spans, 5, 12) == [(105, 5), (200, 7)]


def scenario(host: Host, rng: random.Random, way: dict[str, Any]) -> Iterator[Any]:
    """What both hosts must say."""
    driver = Driver(host, **way)
    yield driver.config(0x00), driver.config(0x2C), driver.config(0x08) >> 8
    yield [driver.disk_config(at, size) for at, size in ((0, 4), (4, 4), (16, 4), (20, 4))]
    for _ in range(40):
        length, sector = 512 * rng.randint(1, 8), rng.randrange(SECTORS + 4)
        kind = rng.choice((IN, IN, OUT, FLUSH, GET_ID, 99))
        data: bytes | int = rng.randbytes(length) if kind == OUT else length
        if kind == GET_ID:
            data = 20
        if kind in (FLUSH, 99):
            data = 0
        status, used, read = driver.request(kind, sector, data)
        if status and kind == IN:
            used, read = 0, b""  # how much of a request that fails is written is not said
        if kind == GET_ID:
            read = read.partition(b"\0")[0]  # QEMU leaves alone what is behind it
        yield kind, sector, status, used, read, host.interrupt(), driver.isr(), host.interrupt()


@pytest.mark.skipif(QEMU is None, reason="no qemu-system-i386")
@pytest.mark.parametrize(("is_modern", "features", "indirect"), WAYS)
def test_beside_qemu(is_modern: bool, features: int, indirect: bool, tmp_path: Path) -> None:
    disks = [image(tmp_path / who) for who in ("ours", "theirs")]
    hosts: tuple[Host, Host] = OurHost(disks[0], serial="abc"), QemuHost(tmp_path, disks[1])
    way = {"is_modern": is_modern, "features": features, "indirect": indirect}
    said: list[Any] = []
    try:
        ours, theirs = (scenario(host, random.Random(SEED), way) for host in hosts)
        for our, their in zip(ours, theirs, strict=True):
            said.append(our)
            assert our == their, f"ours and QEMU's differ after {said[-3:]}"
    finally:
        for host in hosts:
            host.close()
    assert disks[0].read_bytes() == disks[1].read_bytes()
