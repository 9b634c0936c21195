"""Timers in order, and the two sources of time."""

from __future__ import annotations

from machine.clock import Clock, InstructionTime, RealTime
from machine.line import Line, SharedLine
from tests.machine.fakes import FakeTime, Recorder


def test_timers_are_called_in_the_order_of_their_deadlines() -> None:
    time, order = FakeTime(), list[str]()
    for name, due in (("late", 30), ("early", 10), ("early too", 10)):
        time.clock.timer(lambda _, name=name: order.append(name)).at(due)  # type: ignore[misc]
    time.ns = 20
    assert time.clock.run_due() == 30
    assert order == ["early", "early too"]


def test_a_timer_can_be_cancelled_and_set_anew() -> None:
    time, calls = FakeTime(), list[int]()
    timer = time.clock.timer(calls.append)
    timer.at(10)
    timer.at(20)
    time.pass_(15)
    assert not calls
    timer.cancel()
    time.pass_(15)
    assert not calls
    assert time.clock.next_deadline() is None
    timer.after(5)
    time.pass_(5)
    assert calls == [35]


def test_a_timer_set_in_its_callback_waits_for_the_next_round() -> None:
    time, calls = FakeTime(), list[int]()

    def again(deadline: int) -> None:
        calls.append(deadline)
        timer.at(deadline + 1 if len(calls) < 3 else 1000)

    timer = time.clock.timer(again)
    timer.at(5)
    time.ns = 6
    assert time.clock.run_due() == 7
    assert calls == [5, 6]


def test_timers_that_are_set_again_and_again_take_no_room() -> None:
    time, calls = FakeTime(), list[int]()
    timers = [time.clock.timer(calls.append) for _ in range(3)]
    for round_ in range(1000):
        for timer in timers:
            timer.at(10_000 + round_)
            timer.cancel()
            timer.at(20_000)
    assert len(time.clock._queue) <= 2 * Clock.SWEPT_AT
    time.pass_(30_000)
    assert calls == [20_000] * 3


def test_who_sleeps_is_told_of_an_earlier_deadline() -> None:
    time, told = FakeTime(), list[int]()
    clock = Clock(time, lambda: told.append(1))
    clock.timer(lambda _: None).at(100)
    clock.timer(lambda _: None).at(200)
    assert len(told) == 1
    clock.timer(lambda _: None).at(50)
    assert len(told) == 2


def test_real_time_stands_while_the_machine_is_stopped() -> None:
    host = [1000]
    source = RealTime(lambda: host[0])
    host[0] = 1100
    source.stop()
    host[0] = 5000
    assert source.now() == 100
    source.resume()
    host[0] = 5001
    assert source.now() == 101


def test_instruction_time_counts_and_skips() -> None:
    executed = [0]
    source = InstructionTime(lambda: executed[0], shift=3)
    executed[0] = 10
    assert source.now() == 80
    source.skip_to(1000)
    assert source.now() == 1000
    source.skip_to(500)
    executed[0] = 11
    assert source.now() == 1008


def test_a_line_tells_of_changes_only() -> None:
    line = Recorder()
    for level in (True, True, False, False, True):
        line.set(level)
    assert (line.up, line.down) == (2, 1)
    line.pulse()
    assert (line.up, line.level) == (3, False)


def test_a_shared_line_is_up_while_any_source_is() -> None:
    out = Line()
    shared = SharedLine(out)
    first, second = shared.source(), shared.source()
    first.set(True)
    second.set(True)
    first.set(False)
    assert out.level
    second.set(False)
    assert not out.level
