"""MC146818: time, alarms, interrupts."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from machine.devices.rtc import Rtc
from tests.machine.fakes import FakeTime, Recorder, is_up

MS = 1_000_000
SECOND = 1000 * MS


LEAP_DAY = datetime(2024, 2, 29, 23, 59, 58, tzinfo=UTC)


class Bench:
    def __init__(self, start: datetime = LEAP_DAY) -> None:
        self.time = FakeTime()
        self.irq = Recorder()
        self.rtc = Rtc(self.time.clock, start, self.irq)

    def get(self, index: int) -> int:
        self.rtc.write(0, index)
        return self.rtc.read(1)

    def put(self, index: int, value: int) -> None:
        self.rtc.write(0, index)
        self.rtc.write(1, value)

    def shown(self) -> str:
        """Century, year, month, day, weekday, hours, minutes, seconds in hex."""
        return " ".join(f"{self.get(i):02x}" for i in (0x32, 9, 8, 7, 6, 4, 2, 0))


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_time_is_bcd_and_counts_over_a_leap_day(bench: Bench) -> None:
    assert bench.shown() == "20 24 02 29 05 23 59 58"
    bench.time.pass_(2 * SECOND)
    assert bench.shown() == "20 24 03 01 06 00 00 00"


def test_the_century_turns() -> None:
    bench = Bench(datetime(1999, 12, 31, 23, 59, 59, tzinfo=UTC))
    bench.time.pass_(SECOND)
    assert bench.shown() == "20 00 01 01 07 00 00 00"


def test_the_first_second_is_as_long_as_the_hosts() -> None:
    bench = Bench(datetime(2000, 1, 1, 0, 0, 0, 900_000, tzinfo=UTC))
    bench.time.pass_(100 * MS - 1)
    assert bench.get(0) == 0
    bench.time.pass_(1)
    assert bench.get(0) == 1


def test_binary_and_twelve_hours(bench: Bench) -> None:
    bench.put(11, 0x84)
    for index, value in ((0, 59), (2, 59), (4, 0x80 | 11), (7, 9)):
        bench.put(index, value)
    bench.put(11, 0x04)
    bench.time.pass_(SECOND)
    assert [bench.get(i) for i in (4, 2, 0)] == [12, 0, 0]  # midnight is 12 AM
    assert bench.get(7) == 10


def test_noon_is_12_pm(bench: Bench) -> None:
    bench.put(11, 0x80)
    for index, value in ((0, 0x59), (2, 0x59), (4, 0x11)):
        bench.put(index, value)
    bench.put(11, 0x00)
    bench.time.pass_(SECOND)
    assert bench.get(4) == 0x92


def test_set_stops_updates(bench: Bench) -> None:
    bench.put(11, 0x82)
    bench.time.pass_(5 * SECOND)
    assert bench.get(0) == 0x58
    assert bench.get(10) & 0x80 == 0
    bench.put(11, 0x02)
    bench.time.pass_(SECOND)
    assert bench.get(0) == 0x59


def test_set_clears_uie(bench: Bench) -> None:
    bench.put(11, 0x92)
    assert bench.get(11) == 0x82


def test_update_in_progress_comes_before_the_update(bench: Bench) -> None:
    assert bench.get(10) == 0x26
    bench.time.pass_(SECOND - 244_000)
    assert bench.get(10) == 0xA6
    assert bench.get(0) == 0x58
    bench.time.pass_(244_000)
    assert (bench.get(10), bench.get(0)) == (0x26, 0x59)


def test_the_divider_reset_aligns_seconds(bench: Bench) -> None:
    bench.put(10, 0x76)
    bench.time.pass_(10 * SECOND)
    assert bench.get(0) == 0x58
    bench.put(10, 0x26)
    bench.time.pass_(SECOND // 2)
    assert bench.get(0) == 0x59


def test_update_ended_interrupt(bench: Bench) -> None:
    bench.put(11, 0x12)
    bench.time.pass_(SECOND)
    assert is_up(bench.irq)
    assert bench.get(12) & 0x90 == 0x90
    assert not is_up(bench.irq)
    assert bench.get(12) & 0x90 == 0
    bench.time.pass_(SECOND)
    assert bench.irq.up == 2


def test_flags_are_set_without_interrupts(bench: Bench) -> None:
    bench.time.pass_(SECOND)
    assert bench.irq.up == 0
    assert bench.get(12) == 0x50
    bench.time.pass_(SECOND)
    bench.put(11, 0x12)  # UF is set already
    assert is_up(bench.irq)


def test_alarm_at_a_time_and_with_dont_cares(bench: Bench) -> None:
    for index, value in ((1, 0x00), (3, 0x00), (5, 0x00)):
        bench.put(index, value)
    bench.put(11, 0x22)
    bench.time.pass_(SECOND)
    assert not is_up(bench.irq)
    bench.time.pass_(SECOND)
    assert is_up(bench.irq)
    assert bench.get(12) & 0xA0 == 0xA0
    bench.put(3, 0xC0)
    bench.put(5, 0xFF)
    bench.time.pass_(59 * SECOND)
    assert not is_up(bench.irq)
    bench.time.pass_(SECOND)
    assert is_up(bench.irq)


@pytest.mark.parametrize(("rate", "hertz"), [(6, 1024), (3, 8192), (15, 2), (1, 256), (2, 128)])
def test_periodic_interrupt(bench: Bench, rate: int, hertz: int) -> None:
    bench.put(10, 0x20 | rate)
    bench.put(11, 0x42)
    count = 0
    bench.time.pass_(SECOND // 2)
    assert is_up(bench.irq)
    assert bench.get(12) & 0xC0 == 0xC0
    start = bench.time.ns
    while bench.time.ns < start + SECOND:
        bench.time.pass_(SECOND // 16384)
        count += bool(bench.get(12) & 0x40)
    assert abs(count - hertz) <= 1


def test_no_rate_is_no_periodic_interrupt(bench: Bench) -> None:
    bench.put(10, 0x20)
    bench.put(11, 0x42)
    bench.time.pass_(2 * SECOND)
    assert bench.irq.up == 0


def test_memory_keeps_what_is_written_and_status_registers_do_not(bench: Bench) -> None:
    bench.put(0x7F, 0xA5)
    bench.put(13, 0)
    bench.put(12, 0xFF)
    assert [bench.get(0x7F), bench.get(13), bench.get(12)] == [0xA5, 0x80, 0]
    assert bench.rtc.cmos[0x7F] == 0xA5


def test_nmi_mask_is_bit_7_of_the_index(bench: Bench) -> None:
    bench.rtc.write(0, 0x8D)
    assert (bench.rtc.nmi_masked, bench.rtc.read(1), bench.rtc.read(0)) == (True, 0x80, 0xFF)
    bench.rtc.write(0, 0x0D)
    assert not bench.rtc.nmi_masked


def test_reset_keeps_time_and_memory(bench: Bench) -> None:
    bench.put(11, 0x72)
    bench.time.pass_(SECOND)
    bench.rtc.reset()
    assert not is_up(bench.irq)
    assert [bench.get(11), bench.get(12), bench.get(0)] == [0x02, 0, 0x59]


def test_a_day_that_is_none_does_no_harm(bench: Bench) -> None:
    bench.put(8, 0x77)
    bench.put(7, 0xFF)
    bench.time.pass_(SECOND)
    assert bench.get(7) == 0x01
