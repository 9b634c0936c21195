"""Local APIC and I/O APIC: priorities, messages, levels, the timer."""

from __future__ import annotations

import pytest

from machine.devices.apic import ApicBus, IoApic, LocalApic
from machine.line import Line
from tests.machine.fakes import FakeTime, is_up

NMI, INIT, STARTUP = 4, 5, 6


class Processor:
    """A local APIC, switched on by software, and what reaches the processor."""

    def __init__(self, time: FakeTime, bus: ApicBus, number: int, told: list[str]) -> None:
        self.intr = Line()
        self.special: list[tuple[int, int]] = []
        self.apic = LocalApic(
            time.clock,
            bus,
            number,
            self.intr,
            lambda: 0x08,
            lambda mode, vector: self.special.append((mode, vector)),
            told.append,
        )
        self.write(0xF0, 0x1FF)

    def read(self, offset: int) -> int:
        return self.apic.read(offset)

    def write(self, offset: int, value: int) -> None:
        self.apic.write(offset, value)

    def take(self) -> list[int]:
        """Vectors that are delivered one inside the other."""
        got = []
        while self.intr.level:
            got.append(self.apic.acknowledge())
        return got

    def send(self, low: int, destination: int = 0) -> None:
        self.write(0x310, destination << 24)
        self.write(0x300, low)


class Bench:
    def __init__(self) -> None:
        self.time = FakeTime()
        self.told: list[str] = []
        self.bus = ApicBus()
        self.cpus = [Processor(self.time, self.bus, n, self.told) for n in range(2)]
        self.cpu = self.cpus[0]
        self.io = IoApic(self.bus)

    def route(self, number: int, low: int, destination: int = 0) -> None:
        for half, value in ((1, destination << 24), (0, low)):
            self.io.write(0, 0x10 + 2 * number + half)
            self.io.write(0x10, value)

    def entry(self, number: int) -> int:
        self.io.write(0, 0x10 + 2 * number)
        return self.io.read(0x10)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_identity_and_version(bench: Bench) -> None:
    assert [cpu.read(0x20) >> 24 for cpu in bench.cpus] == [0, 1]
    assert bench.cpu.read(0x30) == 0x00050014
    bench.io.write(0, 1)
    assert bench.io.read(0x10) == 0x00170011


def test_higher_classes_interrupt_lower_ones(bench: Bench) -> None:
    for vector in (0x31, 0x35, 0x42):
        bench.cpu.send(0x4000 | vector)
    assert bench.cpu.take() == [0x42]
    assert bench.cpu.read(0xA0) == 0x40
    bench.cpu.write(0xB0, 0)
    assert bench.cpu.take() == [0x35]  # 0x31 is of the same class
    bench.cpu.send(0x4051)
    assert bench.cpu.take() == [0x51]
    for _ in range(2):
        bench.cpu.write(0xB0, 0)
    assert bench.cpu.take() == [0x31]


def test_request_and_service_registers(bench: Bench) -> None:
    bench.cpu.send(0x4042)
    assert (bench.cpu.read(0x220), bench.cpu.read(0x120)) == (1 << 2, 0)
    bench.cpu.take()
    assert (bench.cpu.read(0x220), bench.cpu.read(0x120)) == (0, 1 << 2)


def test_task_priority(bench: Bench) -> None:
    bench.cpu.write(0x80, 0x40)
    bench.cpu.send(0x4042)
    assert not is_up(bench.cpu.intr)
    assert bench.cpu.apic.task_priority == 4
    bench.cpu.apic.task_priority = 3
    assert bench.cpu.read(0x80) == 0x30
    assert bench.cpu.take() == [0x42]


def test_a_request_that_went_away_is_spurious(bench: Bench) -> None:
    bench.cpu.send(0x4042)
    bench.cpu.write(0x80, 0x40)
    assert bench.cpu.apic.acknowledge() == 0xFF
    assert bench.cpu.read(0x120) == 0


@pytest.mark.parametrize(
    ("low", "destination", "reached"),
    [
        (0x04050, 1, [False, True]),
        (0x04050, 0xFF, [True, True]),
        (0x44050, 0, [True, False]),
        (0x84050, 0, [True, True]),
        (0xC4050, 0, [False, True]),
        (0x04850, 0x02, [False, True]),
        (0x04850, 0x03, [True, True]),
        (0x04950, 0x03, [False, True]),  # lowest priority: the other has a task
    ],
)
def test_destinations(bench: Bench, low: int, destination: int, reached: list[bool]) -> None:
    for number, cpu in enumerate(bench.cpus):
        cpu.write(0xD0, 1 << 24 + number)
    bench.cpu.write(0x80, 0x10)
    bench.cpu.send(low, destination)
    assert [is_up(cpu.intr) for cpu in bench.cpus] == reached


def test_cluster_model(bench: Bench) -> None:
    for cpu, address in zip(bench.cpus, (0x11, 0x21), strict=True):
        cpu.write(0xE0, 0x0FFFFFFF)
        cpu.write(0xD0, address << 24)
    bench.cpu.send(0x4850, 0x21)
    assert [is_up(cpu.intr) for cpu in bench.cpus] == [False, True]
    bench.cpu.send(0x4851, 0xF1)
    assert [is_up(cpu.intr) for cpu in bench.cpus] == [True, True]


def test_init_and_startup(bench: Bench) -> None:
    bench.cpu.send(0xC4500)
    bench.cpu.send(0xC8500)  # de-assert
    bench.cpu.send(0xC4609)
    bench.cpu.send(0xC4400)
    assert bench.cpus[1].special == [(INIT, 0), (STARTUP, 9), (NMI, 0)]


def test_the_8259s_come_through_lint0(bench: Bench) -> None:
    bench.cpu.apic.lint0.set(True)
    assert not is_up(bench.cpu.intr)  # masked after power-on
    bench.cpu.write(0x350, 0x700)
    assert is_up(bench.cpu.intr)
    assert bench.cpu.apic.acknowledge() == 0x08
    bench.cpu.apic.lint0.set(False)
    assert not is_up(bench.cpu.intr)


def test_without_apic_lint0_is_intr_and_lint1_nmi(bench: Bench) -> None:
    bench.cpu.apic.set_enabled(False)
    bench.cpu.apic.lint0.set(True)
    bench.cpu.apic.lint1.set(True)
    assert is_up(bench.cpu.intr)
    assert bench.cpu.special == [(NMI, 0)]
    bench.cpus[1].send(0x4050, 0)
    assert bench.cpu.apic.acknowledge() == 0x08


def test_lint1_as_nmi(bench: Bench) -> None:
    bench.cpu.write(0x360, 0x400)
    bench.cpu.apic.lint1.pulse()
    assert bench.cpu.special == [(NMI, 0)]


def test_switched_off_by_software_all_is_masked(bench: Bench) -> None:
    bench.cpu.write(0x320, 0x40)
    bench.cpu.write(0xF0, 0xFF)
    assert bench.cpu.read(0x320) == 0x10040
    bench.cpu.write(0x320, 0x40)
    assert bench.cpu.read(0x320) == 0x10040
    bench.cpus[1].send(0x4050, 0)
    assert not is_up(bench.cpu.intr)


def test_errors(bench: Bench) -> None:
    bench.cpu.write(0x370, 0xFE)
    bench.cpu.send(0x4005)
    assert bench.cpu.read(0x280) == 0
    bench.cpu.write(0x280, 0)
    assert bench.cpu.read(0x280) == 0x20
    assert bench.cpu.take() == [0xFE]
    bench.cpu.read(0x400)
    bench.cpu.write(0x280, 0)
    assert bench.cpu.read(0x280) == 0x80


def test_one_shot_timer(bench: Bench) -> None:
    bench.cpu.write(0x3E0, 0b1011)  # by 1
    bench.cpu.write(0x320, 0x40)
    bench.cpu.write(0x380, 1000)
    bench.time.pass_(400)
    assert bench.cpu.read(0x390) == 600
    bench.time.pass_(599)
    assert not is_up(bench.cpu.intr)
    bench.time.pass_(1)
    assert (bench.cpu.take(), bench.cpu.read(0x390)) == ([0x40], 0)
    bench.cpu.write(0xB0, 0)
    bench.time.pass_(100_000)
    assert not is_up(bench.cpu.intr)


class Hurrying(FakeTime):
    """Time that goes on while a device looks at it, as the host's does."""

    step = 0

    def now(self) -> int:
        self.ns += self.step
        return self.ns


def test_a_count_shorter_than_a_look_at_the_clock_is_not_lost() -> None:
    time = Hurrying()
    cpu = Processor(time, ApicBus(), 0, [])
    time.step = 100_000
    for register, value in ((0x3E0, 0b1011), (0x320, 0x40), (0x380, 109), (0x320, 0x40)):
        cpu.write(register, value)
    time.pass_(1)
    time.clock.run_due()
    assert cpu.take() == [0x40]
    cpu.write(0xB0, 0)
    time.pass_(1_000_000)
    assert cpu.take() == []


@pytest.mark.parametrize(
    ("code", "divisor"),
    [(0, 2), (1, 4), (2, 8), (3, 16), (8, 32), (9, 64), (0xA, 128), (0xB, 1)],
)
def test_divide_configuration(bench: Bench, code: int, divisor: int) -> None:
    bench.cpu.write(0x3E0, code)
    bench.cpu.write(0x380, 1_000_000)
    bench.time.pass_(12800)
    assert bench.cpu.read(0x390) == 1_000_000 - 12800 // divisor


def test_periodic_timer(bench: Bench) -> None:
    bench.cpu.write(0x3E0, 0b1011)
    bench.cpu.write(0x320, 0x20040)
    bench.cpu.write(0x380, 1000)
    count = 0
    for _ in range(100):
        bench.time.pass_(100)
        count += len(bench.cpu.take())
        bench.cpu.write(0xB0, 0)
    assert count == 10
    bench.cpu.write(0x380, 0)
    bench.time.pass_(10_000)
    assert not is_up(bench.cpu.intr)


def test_io_apic_edge(bench: Bench) -> None:
    bench.route(4, 0x0034)
    bench.io.line(4).set(True)
    assert bench.cpu.take() == [0x34]
    bench.cpu.write(0xB0, 0)
    assert not is_up(bench.cpu.intr)
    assert bench.cpu.read(0x190) == 0


def test_io_apic_level_asks_until_it_is_low(bench: Bench) -> None:
    bench.route(11, 0x803B, destination=1)
    cpu = bench.cpus[1]
    bench.io.line(11).set(True)
    assert cpu.take() == [0x3B]
    assert bench.entry(11) == 0xC03B  # remote IRR
    assert cpu.read(0x190) == 1 << 0x3B - 0x20
    cpu.write(0xB0, 0)
    assert cpu.take() == [0x3B]
    bench.io.line(11).set(False)
    cpu.write(0xB0, 0)
    assert (is_up(cpu.intr), bench.entry(11)) == (False, 0x803B)


def test_a_masked_level_asks_when_it_is_unmasked_and_an_edge_does_not(bench: Bench) -> None:
    for number, low in ((10, 0x803A), (9, 0x0039)):
        bench.route(number, 0x10000 | low)
        bench.io.line(number).set(True)
        bench.route(number, low)
    assert bench.cpu.take() == [0x3A]


def test_io_apic_identity(bench: Bench) -> None:
    bench.io.write(0, 0)
    bench.io.write(0x10, 0xFF000000)
    assert bench.io.read(0x10) == 0x0F000000
    assert bench.io.read(0) == 0
    bench.io.write(0, 0x77)
    assert bench.io.read(0x10) == 0xFFFFFFFF


def test_message_signalled_interrupts(bench: Bench) -> None:
    bench.bus.write_msi(0xFEE01000, 0x0061)
    assert (bench.cpu.take(), bench.cpus[1].take()) == ([], [0x61])


def test_registers_by_bytes(bench: Bench) -> None:
    assert bench.cpus[1].apic.read(0x23, 1) == 1
    bench.cpu.apic.write(0x81, 5, 1)
    assert bench.told == ["local APIC: write of 1 at 0x81"]
