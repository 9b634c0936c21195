"""Random guests: whatever is written where, and whenever, no device ends in an exception."""

from __future__ import annotations

import os
import random
from datetime import UTC, datetime

import pytest

from machine.board import Outside, build_board
from machine.clock import Clock
from machine.devices.pci import PciFunction
from tests.machine.fakes import Ram

SEED = int(os.environ.get("QEMUPY_SEED", "1"))

PORTS = (
    *(0x00, 0x10, 0x20, 0x22, 0x40, 0x44, 0x60, 0x65, 0x70, 0x72, 0x80, 0x93, 0xA0, 0xA2),
    *(0xB2, 0xB4, 0xC0, 0xE0, 0x2F8, 0x300, 0x3F8, 0x400, 0x4D0, 0x4D2, 0x510, 0x51C),
    *(0x600, 0x640, 0xCF8, 0xD00, 0xAFE0, 0xAFE4, 0xC000, 0xC020),
)
"""First and last + 1 of what is attached, in pairs."""


class Jumps:
    """Time that goes on by hand, and is late for most timers."""

    ns = 0

    def now(self) -> int:
        return self.ns


@pytest.mark.parametrize(
    "seed", [SEED, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(100, 140))]
)
def test_any_access_at_any_time(seed: int) -> None:
    rng = random.Random(seed)
    time, ram = Jumps(), Ram()
    board = build_board(
        Clock(time), ram, Outside(start=datetime(2026, 1, 1, tzinfo=UTC), serial=(ord_only,) * 2)
    )
    board.pci.add(3, 0, card())
    ranges = list(zip(PORTS[::2], PORTS[1::2], strict=True))
    for step in range(30_000):
        size = rng.choice((1, 1, 1, 2, 4))
        value = rng.choice((rng.getrandbits(8 * size), 0, (1 << 8 * size) - 1, rng.getrandbits(4)))
        if rng.random() < 0.75:
            bus, address = board.ports, rng.randrange(*rng.choice(ranges))
        else:
            piece = rng.choice(board.memory.pieces())
            bus, address = (
                board.memory,
                rng.randrange(piece.start, piece.end) & ~rng.choice((0, 15)),
            )
            size = rng.choice((4, size, 8))
        if address == 0xCF8 and rng.random() < 0.9:
            size, value = 4, 1 << 31 | rng.choice((0, 8, 11, 24)) << 8 | rng.getrandbits(8)
        if rng.random() < 0.4:
            assert 0 <= bus.read(address, size) < 1 << 8 * size
        else:
            bus.write(address, value, size)
        if rng.random() < 0.1:
            time.ns += rng.choice((100, 10_000, 1_000_000, 300_000_000))
            due = board.clock.run_due()
            assert due is None or due > time.ns
        if board.intr.level and rng.random() < 0.5:
            assert 0 <= board.local_apic.acknowledge() < 256
        if step % 100 == 0:
            board.keyboard.press(rng.choice(("a", "up", "pause", "print")), rng.random() < 0.5)
            board.mouse.move(rng.randrange(-999, 999), rng.randrange(-9, 9), rng.randrange(-9, 9))
            board.mouse.press(rng.getrandbits(5))
            board.uarts[0].receive(rng.getrandbits(8))
        if step % 5000 == 4999:
            board.reset()


def ord_only(value: int) -> None:
    """A serial line's other end: it gets bytes."""
    assert 0 <= value <= 255


def card() -> PciFunction:
    function = PciFunction(vendor=0x1234, device=1, class_code=0xFF0000, pin=1)
    function.add_bar(0, Registers(), 32, is_io=True)
    function.add_bar(1, Registers(), 32)
    return function


class Registers:
    """Registers that must be asked for within what they are."""

    length = 32
    width = 4

    def read(self, offset: int, size: int = 1) -> int:
        assert 0 <= offset <= offset + size <= 32
        return offset

    def write(self, offset: int, value: int, size: int = 1) -> None:
        assert 0 <= offset <= offset + size <= 32
        assert 0 <= value < 1 << 8 * size
