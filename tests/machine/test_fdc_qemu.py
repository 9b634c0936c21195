"""Floppy disks beside QEMU's: the same random commands by DMA, and the same bytes on the disks."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from machine.devices.floppy_drive import FORMATS, Format
from tests.machine.floppy_hosts import (
    BUFFER,
    DIR,
    DOR,
    FROM_MEMORY,
    MSR,
    TO_MEMORY,
    Host,
    OurHost,
    command,
    move,
    qemu_host,
    set_dma,
    start,
    wait_for,
)
from tests.machine.qtest import QEMU

pytestmark = pytest.mark.skipif(QEMU is None, reason="no qemu-system-i386")

SEED = int(os.environ.get("QEMUPY_SEED", "1"))
STEPS = 60
MEDIA = (720, 1440, 2400, 2880, 5760)


def transfer(host: Host, rng: random.Random, medium: Format, cylinder: int) -> Any:
    """READ DATA or WRITE DATA of some sectors, over both heads or not."""
    is_write = rng.random() < 0.4
    head, first = rng.randrange(2), rng.randint(1, medium.sectors)
    both = rng.choice((0x80, 0))
    room = medium.sectors - first + 1 + (medium.sectors if both and not head else 0)
    length = 512 * rng.randint(1, min(room, 20))
    code = (0x45 if is_write else 0x46) | both
    host.write_memory(BUFFER, rng.randbytes(length))
    set_dma(host, FROM_MEMORY if is_write else TO_MEMORY, length)
    values = (code, head << 2, cylinder, head, first, 2, medium.sectors, 0x1B, 0xFF)
    answer = wait_for(host, *values)
    answer[0] &= ~0x24  # QEMU's seeks always, and its head is where it would go on
    return code, answer, host.read_memory(BUFFER, length)


def scenario(host: Host, rng: random.Random, medium: Format) -> Iterator[Any]:
    """What both hosts must say."""
    start(host)
    host.write(DIR, min(medium.rates, key=lambda rate: (medium.cmos_type == 3) == (rate == 1)))
    yield command(host, 0x10)
    wait_for(host, 0x07, 0)
    yield command(host, 0x08)
    cylinder = 0
    for _ in range(STEPS):
        match rng.randrange(8):
            case 0 | 1:
                cylinder = rng.randrange(medium.cylinders)
                yield "seek", move(host, 0, cylinder), host.read(DIR) & 0x80 if cylinder else 0
            case 2:
                yield "sense", command(host, 0x04, rng.choice((0, 4)))
            case 3:
                yield "status", host.read(MSR), host.read(DOR), command(host, 0x08)
            case _:
                yield transfer(host, rng, medium, cylinder)


@pytest.mark.parametrize("total", MEDIA)
def test_commands(total: int, tmp_path: Path) -> None:
    content = random.Random(0).randbytes(512 * total)
    paths = [tmp_path / "ours", tmp_path / "theirs"]
    for path in paths:
        path.write_bytes(content)
    hosts: tuple[Host, Host] = OurHost({0: paths[0]}), qemu_host(tmp_path, {0: paths[1]})
    said: list[Any] = []
    try:
        medium = FORMATS[total]
        ours, theirs = (scenario(host, random.Random(SEED), medium) for host in hosts)
        for our, their in zip(ours, theirs, strict=True):
            said.append(our)
            assert our == their, f"ours and QEMU's differ after {said[-4:]}"
    finally:
        for host in hosts:
            host.close()
    assert paths[0].read_bytes() == paths[1].read_bytes()
