"""8254: the facts of its datasheet, tick by tick."""

from __future__ import annotations

import pytest

from machine.devices.pit import FREQUENCY, Pit, SystemControlB
from tests.machine.fakes import FakeTime, Recorder, is_up


class Bench:
    """A timer whose clock is stepped by ticks; GATE2 is port 61h's."""

    def __init__(self) -> None:
        self.time = FakeTime()
        self.irq = Recorder()
        self.pit = Pit(self.time.clock, self.irq)
        self.control_b = SystemControlB(self.time.clock, self.pit.counters[2])
        self.ticks = 0

    def tick(self, count: int = 1) -> None:
        self.ticks += count
        at = -(-self.ticks * 1_000_000_000 // FREQUENCY)
        self.time.pass_(at - self.time.ns)

    def start(self, counter: int, mode: int, n: int, bcd: int = 0) -> None:
        self.pit.write(3, counter << 6 | 0x30 | mode << 1 | bcd)
        self.pit.write(counter, n & 0xFF)
        self.pit.write(counter, n >> 8)

    def gate(self, level: int) -> None:
        self.control_b.write(0, level)

    def count(self, counter: int = 0) -> int:
        return self.pit.read(counter) | self.pit.read(counter) << 8

    def wave(self, ticks: int, counter: int = 0) -> str:
        """OUT after each of so many ticks."""
        shown = ""
        for _ in range(ticks):
            self.tick()
            shown += "_^"[self.pit.counters[counter].level()]
        return shown


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_mode_0_ends_n_plus_1_ticks_after_the_count(bench: Bench) -> None:
    bench.start(0, 0, 4)
    assert bench.wave(8) == "____^^^^"
    assert bench.irq.up == 1
    bench.start(0, 0, 4)
    assert not is_up(bench.irq)


def test_mode_0_counts_on_after_its_end(bench: Bench) -> None:
    bench.start(0, 0, 3)
    bench.tick(1)
    assert bench.count() == 3
    bench.tick(5)
    assert bench.count() == 0xFFFE


def test_mode_0_is_held_by_gate(bench: Bench) -> None:
    bench.gate(1)
    bench.start(2, 0, 4)
    bench.tick(3)
    bench.gate(0)
    assert bench.wave(10, 2) == "_" * 10
    assert bench.count(2) == 2
    bench.gate(1)
    assert bench.wave(3, 2) == "_^^"


def test_mode_0_first_byte_stops_the_counter(bench: Bench) -> None:
    bench.start(0, 0, 2)
    bench.tick(9)
    bench.pit.write(0, 2)
    assert not is_up(bench.irq)
    bench.tick(50)
    bench.pit.write(0, 0)
    assert bench.wave(4) == "__^^"


def test_mode_1_is_triggered_and_retriggered_by_gate(bench: Bench) -> None:
    bench.start(2, 1, 3)
    assert bench.wave(3, 2) == "^^^"
    bench.gate(1)
    assert bench.wave(6, 2) == "___^^^"
    bench.gate(0)
    bench.gate(1)
    assert bench.wave(2, 2) == "__"
    bench.gate(0)
    bench.gate(1)
    assert bench.wave(5, 2) == "___^^"


def test_mode_2_is_low_for_one_tick(bench: Bench) -> None:
    bench.start(0, 2, 4)
    assert bench.wave(12) == "^^^_^^^_^^^_"
    assert (bench.irq.up, bench.irq.down) == (3, 3)


def test_mode_2_takes_a_new_count_at_the_periods_end(bench: Bench) -> None:
    bench.start(0, 2, 4)
    assert bench.wave(2) == "^^"
    bench.pit.write(0, 3)
    bench.pit.write(0, 0)
    assert bench.wave(8) == "^_^^_^^_"


def test_mode_2_begins_anew_by_gate(bench: Bench) -> None:
    bench.gate(1)
    bench.start(2, 2, 3)
    assert bench.wave(3, 2) == "^^_"
    bench.gate(0)
    assert bench.wave(5, 2) == "^^^^^"
    bench.gate(1)
    assert bench.wave(6, 2) == "^^_^^_"


def test_mode_3_is_a_square_wave(bench: Bench) -> None:
    bench.start(0, 3, 4)
    assert bench.wave(8) == "^^__^^__"
    bench.start(0, 3, 5)
    assert bench.wave(10) == "^^^__^^^__"


def test_mode_3_counts_by_two(bench: Bench) -> None:
    bench.start(0, 3, 6)
    got = []
    for _ in range(6):
        bench.tick()
        got.append(bench.count())
    assert got == [6, 4, 2, 6, 4, 2]


def test_mode_3_takes_a_new_count_at_the_half_periods_end(bench: Bench) -> None:
    bench.start(0, 3, 4)
    assert bench.wave(1) == "^"
    bench.pit.write(0, 6)
    bench.pit.write(0, 0)
    assert bench.wave(10) == "^___^^^___"


def test_mode_4_strobes_once(bench: Bench) -> None:
    bench.start(0, 4, 3)
    assert bench.wave(8) == "^^^_^^^^"
    assert bench.irq.up == 2  # high from the control word on, and after the strobe


def test_mode_5_strobes_after_gate(bench: Bench) -> None:
    bench.start(2, 5, 3)
    assert bench.wave(5, 2) == "^^^^^"
    bench.gate(1)
    assert bench.wave(6, 2) == "^^^_^^"


def test_zero_is_the_largest_count(bench: Bench) -> None:
    bench.start(0, 0, 0)
    bench.tick(65536)
    assert not is_up(bench.irq)
    bench.tick()
    assert is_up(bench.irq)
    bench.start(0, 0, 0, bcd=1)
    bench.tick(10000)
    assert not is_up(bench.irq)
    bench.tick()
    assert is_up(bench.irq)


def test_bcd(bench: Bench) -> None:
    bench.start(0, 2, 0x1000, bcd=1)
    bench.tick(2)
    assert bench.count() == 0x0999


def test_a_latched_count_stays_until_it_is_read(bench: Bench) -> None:
    bench.start(0, 2, 0x1234)
    bench.tick(1)
    bench.pit.write(3, 0x00)
    bench.tick(5)
    bench.pit.write(3, 0x00)  # "ignored"
    assert bench.count() == 0x1234
    assert bench.count() == 0x1234 - 5


def test_one_byte_access(bench: Bench) -> None:
    bench.pit.write(3, 0x14)  # LSB only
    bench.pit.write(0, 0x50)
    bench.tick()
    assert [bench.pit.read(0), bench.pit.read(0)] == [0x50, 0x50]
    bench.pit.write(3, 0x24)  # MSB only
    bench.pit.write(0, 0x12)
    bench.tick()
    assert [bench.pit.read(0), bench.pit.read(0)] == [0x12, 0x12]


def test_read_back_latches_status_before_count(bench: Bench) -> None:
    bench.start(0, 3, 0x0102)
    bench.tick()
    bench.pit.write(3, 0xC2)
    bench.tick(2)
    assert [bench.pit.read(0) for _ in range(3)] == [0x80 | 0x36, 0x02, 0x01]


def test_null_count_until_the_count_is_loaded(bench: Bench) -> None:
    def status() -> int:
        bench.pit.write(3, 0xE2)
        return bench.pit.read(0)

    bench.pit.write(3, 0x34)
    assert status() == 0xF4
    bench.pit.write(0, 4)
    bench.pit.write(0, 0)
    assert status() == 0xF4
    bench.tick()
    assert status() == 0xB4
    bench.pit.write(0, 9)
    bench.pit.write(0, 0)
    assert status() == 0xF4
    bench.tick(4)
    assert status() == 0xB4


def test_the_bioss_tick_is_18_2_hertz(bench: Bench) -> None:
    bench.start(0, 3, 0)
    bench.time.pass_(1_000_000_000)
    assert bench.irq.up == 19  # once when OUT went high with the control word


def test_an_edge_that_nobody_had_time_for_is_still_seen(bench: Bench) -> None:
    bench.start(0, 2, 100)
    up = bench.irq.up
    bench.time.ns += 150 * 1_000_000_000 // FREQUENCY
    bench.time.clock.run_due()
    assert (bench.irq.up, bench.irq.level) == (up + 1, True)


def test_the_gate_of_counter_2_and_its_output_are_in_port_61h(bench: Bench) -> None:
    bench.gate(0)
    bench.start(2, 3, 1193)
    assert bench.control_b.tone == 0
    bench.gate(3)
    assert round(bench.control_b.tone) == 1000
    bench.tick(1)
    assert bench.control_b.read() & 0x2F == 0x23
    bench.tick(600)
    assert bench.control_b.read() & 0x2F == 0x03


def test_the_refresh_bit_toggles(bench: Bench) -> None:
    before = bench.control_b.read() & 0x10
    bench.time.pass_(15_085)
    assert bench.control_b.read() & 0x10 != before


def test_control_words_cannot_be_read(bench: Bench) -> None:
    assert bench.pit.read(3) == 0xFF
