"""IDE beside QEMU's: the same random commands, by programmed I/O, DMA and packets.

Both have copies of the same images. Skipped where there is no `qemu-system-i386`.
"""

from __future__ import annotations

import os
import random
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.machine.ide_hosts import DRQ, MASTER, Host, OurHost, QemuHost
from tests.machine.qtest import QEMU

pytestmark = pytest.mark.skipif(QEMU is None, reason="no qemu-system-i386")

SEED = int(os.environ.get("QEMUPY_SEED", "1"))
SIZES = (2016, 1008)
"""Sectors of the two disks."""
DSC, ERR, IDNF, ABRT = 0x10, 0x01, 0x10, 0x04

READS, WRITES = (0x20, 0x21, 0x24, 0x29, 0xC4), (0x30, 0x34, 0x39, 0xC5)
MULTIPLE, EXT = (0x29, 0x39, 0xC4, 0xC5), (0x24, 0x29, 0x34, 0x39, 0x42, 0x27)

Scenario = Callable[[Host, random.Random], Iterator[Any]]


@contextmanager
def both(tmp_path: Path, cd: bytes | None = None) -> Iterator[tuple[Host, Host]]:
    content = random.Random(0).randbytes(512 * max(SIZES))
    paths: list[dict[int, Path]] = []
    for who in ("our", "qemu"):
        (tmp_path / who).mkdir()
        paths.append({})
        for number, sectors in enumerate(SIZES):
            paths[-1][number] = tmp_path / who / f"disk{number}"
            paths[-1][number].write_bytes(content[: 512 * sectors])
    iso = None
    if cd is not None:
        iso = tmp_path / "cd.iso"
        iso.write_bytes(cd)
    ours, theirs = OurHost(paths[0], iso), QemuHost(paths[1], iso)
    try:
        yield ours, theirs
    finally:
        ours.close()
        theirs.close()
    for number in range(len(SIZES)):
        assert paths[0][number].read_bytes() == paths[1][number].read_bytes()


def compare(hosts: tuple[Host, Host], scenario: Scenario) -> None:
    """What is yielded must be the same; the differing one is shown with what came before."""
    ours, theirs = (scenario(host, random.Random(SEED)) for host in hosts)
    said: list[Any] = []
    for our, their in zip(ours, theirs, strict=True):
        said.append(our)
        assert our == their, f"ours and QEMU's differ after {said[-4:]}"


def registers(host: Host, base: int, status: int) -> list[int]:
    """Error to device, without what is free: QEMU aborts where others find no address."""
    values = [host.read(base + at) for at in range(1, 7)]
    if status & ERR and values[0] & (IDNF | ABRT):
        values[0] = ABRT
    return values


def issue(host: Host, base: int, code: int, *pairs: tuple[int, int]) -> None:
    for register, value in pairs:
        host.write(base + register, value)
    host.write(base + 7, code)
    host.settle(base)


def pio(host: Host, code: int, block: int, fill: int, *pairs: tuple[int, int]) -> Iterator[Any]:
    """A command with all its data; every status with the interrupt's level before it is read."""
    issue(host, 0x1F0, code, *pairs)
    status = 0
    for number in range(600):
        irq = host.irq_level(14)
        status = host.read(0x1F7) & ~DSC
        yield code, status, irq, host.irq_level(14)
        if not status & DRQ:
            break
        if code in WRITES:
            host.write_block(0x1F0, bytes((fill + number * 7 + at) & 0xFF for at in range(block)))
        else:
            data = host.read_block(0x1F0, block // 2)
            yield data if code != 0xEC else data[120:124], len(data)
        host.settle(0x1F0)
    if status & ERR:
        yield registers(host, 0x1F0, status)
    elif code not in (*READS, *WRITES):
        yield host.read(0x1F1), host.read(0x1F2) if code == 0xE5 else 0


def place(rng: random.Random, code: int, count: int, heads: int = 16) -> list[tuple[int, int]]:
    """Registers that name sectors: by LBA or CHS; a few LBAs are beyond the end."""
    unit = rng.randrange(2)
    device = 0xA0 | unit << 4
    is_ext, sectors = code in EXT, SIZES[unit]
    far = rng.random() < 0.1 and code in READS
    if is_ext or rng.random() < 0.5:
        at = sectors + rng.randrange(9) if far else rng.randrange(sectors - count)
        high = [(2, 0), (3, 0), (4, 0), (5, 0)] if is_ext else []
        low = [(2, count), (3, at & 0xFF), (4, at >> 8), (5, 0), (6, device | 0x40)]
        return high + low
    track, sector = divmod(rng.randrange(sectors - count), 63)
    cylinder, head = divmod(track, heads)
    return [(2, count), (3, sector + 1), (4, cylinder), (5, 0), (6, device | head)]


def random_commands(host: Host, rng: random.Random) -> Iterator[Any]:
    block = 16
    for _ in range(100):
        code = rng.choice((*READS, *WRITES, 0x40, 0x42, 0x70, 0xEC, 0xEF, 0xC6, 0xE5, 0xE7, 0xB0))
        count = rng.randrange(1, 6) * (block if code in MULTIPLE else 1)
        pairs = place(rng, code, count)
        if code == 0xEF:
            mode = rng.choice((0, 8, 12, 0x22, 0x42, 0x45, 0x50))
            pairs += [(1, rng.choice((2, 0x82, 3, 3, 3, 0xAA, 0x99))), (2, mode)]
        elif code == 0xC6:  # for both drives
            block = rng.choice((1, 2, 4, 8, 16))
            yield from pio(host, code, 0, 0, (2, block), (6, 0xA0))
            pairs = [(2, block), (6, 0xB0)]
        elif code == 0xB0:
            pairs += [(1, rng.choice((0xD8, 0xDA))), (4, 0x4F), (5, 0xC2)]
        length = 512 * (block if code in MULTIPLE else 1)
        yield pairs
        yield from pio(host, code, length, rng.getrandbits(8), *pairs)


def test_programmed_io(tmp_path: Path) -> None:
    with both(tmp_path) as hosts:
        compare(hosts, random_commands)


def resets(host: Host, rng: random.Random) -> Iterator[Any]:
    """Software reset and diagnostic with either drive selected; commands that do not exist."""
    for step in range(12):
        # QEMU's diagnostic is the selected drive's alone
        host.write(0x1F6, 0xA0 | (rng.randrange(2) << 4 if step % 2 else 0))
        yield host.read(0x1F7), registers(host, 0x1F0, 0)[1:]
        if step % 2:
            host.write(0x3F6, 4)
            host.write(0x3F6, 0)
            host.settle(0x1F0)
        else:
            issue(host, 0x1F0, 0x90)
            yield host.irq_level(14)
        host.write(0x1F6, 0xA0)  # QEMU leaves the other one selected
        yield host.read(0x1F7) & ~DSC, registers(host, 0x1F0, 0)
        yield from pio(host, rng.choice((0x00, 0x08, 0xF1, 0xA1)), 0, 0)
        host.write(0x3F6, 2)  # no interrupts
        yield from pio(host, 0xE5, 0, 0)
        host.write(0x3F6, 0)


def test_resets(tmp_path: Path) -> None:
    with both(tmp_path) as hosts:
        compare(hosts, resets)


def empty_cable(host: Host, rng: random.Random) -> Iterator[Any]:
    for device in (0xA0, 0xB0):
        host.write(0x176, device)
        yield [host.read(0x170 + at) for at in range(1, 8)], host.read(0x376)


def test_a_cable_without_drives(tmp_path: Path) -> None:
    with both(tmp_path) as hosts:
        compare(hosts, empty_cable)


def dma(host: Host, rng: random.Random) -> Iterator[Any]:
    """Reads and writes through tables of regions of all sizes, of which some end too late."""
    for step in range(25):
        code = rng.choice((0xC8, 0xCA, 0x25, 0x35))
        count = rng.randrange(1, 9)
        pairs = place(rng, code, count)
        if code in (0x25, 0x35):
            low = [(2, count), (3, rng.randrange(256)), (4, 0), (5, 0)]
            pairs = [(2, 0), (3, 0), (4, 0), (5, 0), *low, (6, 0xE0)]
        left, table = 512 * count, b""
        more = rng.choice((0, 0, 512))
        while left:
            length = min(left, rng.choice((2, 16, 512, 600, 2048)))
            left -= length
            length += 0 if left else more
            last = 0 if left else 1 << 31
            table += struct.pack("<II", rng.randrange(0x8000, 0xF000, 2), length | last)
        host.write_memory(0x4000, table)
        if code in (0xCA, 0x35):
            host.write_memory(0x8000, random.Random(step).randbytes(0x8000))
        host.write(MASTER + 4, 0x4000, 4)
        host.write(MASTER + 2, 0x66)
        direction = 8 if code in (0xC8, 0x25) else 0
        host.write(MASTER, direction)
        issue_and_start(host, code, pairs, direction)
        yield code, pairs, host.irq_level(14), host.read(MASTER + 2), host.read(MASTER)
        yield host.read(0x1F7) & ~DSC, host.irq_level(14)
        host.write(MASTER, 0)
        yield host.read(MASTER + 2)
        yield host.read_memory(0x8000, 0x8000)


def issue_and_start(host: Host, code: int, pairs: list[tuple[int, int]], direction: int) -> None:
    for register, value in pairs:
        host.write(0x1F0 + register, value)
    host.write(0x1F7, code)
    host.write(MASTER, direction | 1)
    for _ in range(1000):
        host.wait()
        if host.read(MASTER + 2) & 4:
            return


def test_dma(tmp_path: Path) -> None:
    with both(tmp_path) as hosts:
        compare(hosts, dma)


def packet(host: Host, data: bytes, limit: int = 2048) -> Iterator[Any]:
    """A packet command with all its parts."""
    for register, value in ((6, 0xA0), (1, 0), (4, limit & 0xFF), (5, limit >> 8)):
        host.write(0x170 + register, value)
    host.write(0x177, 0xA0)
    host.settle(0x170)
    yield host.read(0x177) & ~DSC, host.read(0x172) & 7
    host.write_block(0x170, data.ljust(12, b"\0"))
    for _ in range(100):
        host.settle(0x170)
        irq, status = host.irq_level(15), host.read(0x177) & ~DSC
        yield irq, status, host.read(0x172) & 7, host.read(0x171) & 0xF0
        if not status & DRQ:
            break
        length = host.read(0x174) | host.read(0x175) << 8
        yield length, mask_identity(data, host.read_block(0x170, -(-length // 2))[:length])


def mask_identity(command: bytes, data: bytes) -> bytes:
    """Leave out names, kinds of media and lead-outs, and whether a sense's information is valid."""
    if command[0] == 0x12:
        return data[:8]
    if command[0] == 0x5A:
        return data[:2] + data[3:]
    if command[0] == 0x43:
        return data.replace(b"\x16\xaa", b"\x14\xaa")
    return data[1:] if command[0] == 0x03 else data


def packets(host: Host, rng: random.Random) -> Iterator[Any]:
    fixed = (
        *("00", "12 00 00 00 24", "03 00 00 00 12", "25", "43 00 00 00 00 00 00 00 40"),
        *("43 02 00 00 00 00 01 00 40", "4a 01 00 00 10 00 00 00 08"),
        *("4a 00 00 00 10 00 00 00 08", "1e 00 00 00 01", "1e", "bd 00 00 00 00 00 00 00 00 08"),
        *("77", "03 00 00 00 12", "28 00 00 00 0f 00 00 00 01", "03 00 00 00 12"),
        *("be 00 00 00 00 01 00 00 01 10", "be 00 00 00 00 02 00 00 02 f8"),
        *("43 00 00 00 00 00 05 00 40", "2b 00 00 00 00 05", "2b 00 00 ff 00 05", "03 00 00 00 12"),
        "a8 00 00 00 00 03 00 00 00 02",
        *("28 00 00 00 00 00 00 00 00", "5a 00 01 00 00 00 00 00 40"),
    )  # fmt: skip
    for text in fixed:
        yield text
        yield from packet(host, bytes.fromhex(text))
    for _ in range(40):
        first, count = rng.randrange(99), rng.randrange(1, 6)
        limit = rng.choice((2048, 4096, 512, 100, 0xFFFE, 0xFFFF))
        yield first, count, limit
        yield from packet(host, struct.pack(">BBIBHB", 0x28, 0, first, 0, count, 0), limit)


def test_packets(tmp_path: Path) -> None:
    with both(tmp_path, random.Random(5).randbytes(2048 * 105)) as hosts:
        compare(hosts, packets)
