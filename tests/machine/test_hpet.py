"""HPET: the counter and its comparators."""

from __future__ import annotations

import pytest

from machine.bus import Bus
from machine.devices.hpet import Hpet
from machine.line import Line
from tests.machine.fakes import FakeTime, Recorder

CONFIGURATION, STATUS, COUNTER = 0x10, 0x20, 0xF0


class Bench:
    def __init__(self) -> None:
        self.time = FakeTime()
        self.irqs = [Recorder() for _ in range(24)]
        self.legacy: list[bool] = []
        lines: list[Line | None] = list(self.irqs)
        self.hpet = Hpet(self.time.clock, lines, self.legacy.append)
        self.bus = Bus("memory")
        self.bus.attach(0, self.hpet)

    def get(self, offset: int) -> int:
        return self.bus.read(offset, 8)

    def put(self, offset: int, value: int, size: int = 8) -> None:
        self.bus.write(offset, value, size)

    def ticks(self, count: int) -> None:
        self.time.pass_(10 * count)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_capabilities(bench: Bench) -> None:
    assert bench.get(0) == 0x00989680_8086A201
    assert bench.bus.read(4, 4) == 10_000_000  # femtoseconds
    assert bench.get(0x100) == 0x00FF0004_00000030


def test_the_counter_counts_while_it_is_enabled(bench: Bench) -> None:
    bench.ticks(5)
    assert bench.get(COUNTER) == 0
    bench.put(COUNTER, 0x1_0000_0000)
    bench.put(CONFIGURATION, 1)
    bench.ticks(7)
    assert bench.get(COUNTER) == 0x1_0000_0007
    assert bench.bus.read(COUNTER + 4, 4) == 1
    bench.put(CONFIGURATION, 0)
    bench.ticks(7)
    assert bench.get(COUNTER) == 0x1_0000_0007


def test_one_shot(bench: Bench) -> None:
    bench.put(0x120, 4 | 20 << 9)
    bench.put(0x128, 100)
    bench.put(CONFIGURATION, 1)
    bench.ticks(99)
    assert bench.irqs[20].up == 0
    bench.ticks(1)
    assert (bench.irqs[20].up, bench.irqs[20].level) == (1, False)
    bench.ticks(1000)
    assert bench.irqs[20].up == 1


def test_periodic(bench: Bench) -> None:
    bench.put(0x100, 4 | 8 | 64 | 16 << 9)
    bench.put(0x108, 50)  # the comparator
    bench.put(0x108, 10)  # the period
    bench.put(CONFIGURATION, 1)
    bench.ticks(49)
    assert bench.irqs[16].up == 0
    bench.ticks(101)
    assert bench.irqs[16].up == 11
    assert bench.get(0x108) == 160


def test_level(bench: Bench) -> None:
    bench.put(0x100, 2 | 4 | 17 << 9)
    bench.put(0x108, 10)
    bench.put(CONFIGURATION, 1)
    bench.ticks(10)
    assert (bench.irqs[17].level, bench.get(STATUS)) == (True, 1)
    bench.put(STATUS, 1)
    assert (bench.irqs[17].level, bench.get(STATUS)) == (False, 0)


def test_32_bits(bench: Bench) -> None:
    bench.put(COUNTER, 0xFFFF_FFF0)
    bench.put(0x100, 4 | 1 << 8 | 16 << 9)
    bench.put(0x108, 0x0000_0010)
    bench.put(CONFIGURATION, 1)
    bench.ticks(0x20)
    assert bench.irqs[16].up == 1


def test_legacy_routing(bench: Bench) -> None:
    bench.put(0x100, 4 | 16 << 9)
    bench.put(0x108, 10)
    bench.put(0x120, 4)
    bench.put(0x128, 20)
    bench.put(CONFIGURATION, 3)
    bench.ticks(20)
    assert [n for n, line in enumerate(bench.irqs) if line.up] == [2, 8]
    bench.put(CONFIGURATION, 1)
    assert bench.legacy == [True, False]


def test_no_interrupt_without_its_bit(bench: Bench) -> None:
    bench.put(0x100, 16 << 9)
    bench.put(0x108, 10)
    bench.put(CONFIGURATION, 1)
    bench.ticks(100)
    assert bench.irqs[16].up == 0


def test_a_missed_period_is_not_made_up_for(bench: Bench) -> None:
    bench.put(0x100, 4 | 8 | 64 | 16 << 9)
    bench.put(0x108, 10)
    bench.put(CONFIGURATION, 1)
    bench.time.ns += 1005
    bench.time.clock.run_due()
    assert (bench.irqs[16].up, bench.get(0x108)) == (1, 110)


def test_reset(bench: Bench) -> None:
    bench.put(0x100, 2 | 4 | 17 << 9)
    bench.put(0x108, 10)
    bench.put(CONFIGURATION, 3)
    bench.hpet.reset()
    bench.ticks(100)
    assert bench.get(COUNTER) == 0
    assert not any(line.up for line in bench.irqs)
    assert bench.legacy == [True, False]
