"""The 8254 interval timer, and port 61h with its gate and the speaker.

Sources: Intel, "8254 Programmable Interval Timer", order 231164, cited by its headings.

A counter is not counted down: what it holds, and its OUT, follow from the time at which it began.
Ticks are numbered from the machine's start; what is written is loaded by the next one. Not
modelled: counts between the writing of a counter's first and second byte (mode 0 stands, as it
should, others go on), and what BCD counters make of digits above nine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from machine.clock import SECOND, Clock, Timer
from machine.line import Line

FREQUENCY = 1_193_182
"""Ticks a second: a twelfth of 14.31818 MHz."""


@dataclass(frozen=True, slots=True)
class Mode:
    """What a counter of initial count n does e ticks after it was loaded.

    `count` is the counting element, `out` the output, `next_change` the least later e at which the
    output changes. A `periodic` one takes a new count when its (half) period ends, a `triggered`
    one begins by a rising GATE; in other modes GATE low stops counting.
    """

    count: Callable[[int, int], int]
    out: Callable[[int, int], bool]
    next_change: Callable[[int, int], int | None]
    is_periodic: bool = False
    is_triggered: bool = False


def strobe_change(e: int, n: int) -> int | None:
    return n if e < n else n + 1 if e == n else None


def rate_change(e: int, n: int) -> int:
    phase = e % n
    return e - phase + (n - 1 if phase < n - 1 else n)


def high_half(n: int) -> int:
    """How long OUT is high in mode 3: for odd counts one tick longer than it is low."""
    return (n + 1) // 2


def square_count(e: int, n: int) -> int:
    """Counts by two, an odd count beginning with the even one below it."""
    phase = e % n
    into_half = phase - high_half(n) if phase >= high_half(n) else phase
    return (n & ~1) - 2 * into_half


def square_change(e: int, n: int) -> int:
    phase = e % n
    return e - phase + (high_half(n) if phase < high_half(n) else n)


# fmt: off
TERMINAL_COUNT = Mode(count=lambda e, n: n - e,     out=lambda e, n: e >= n,
                      next_change=lambda e, n: n if e < n else None)
ONE_SHOT       = Mode(count=lambda e, n: n - e,     out=lambda e, n: e >= n,
                      next_change=lambda e, n: n if e < n else None,        is_triggered=True)
RATE           = Mode(count=lambda e, n: n - e % n, out=lambda e, n: e % n != n - 1,
                      next_change=rate_change,                              is_periodic=True)
SQUARE         = Mode(count=square_count,           out=lambda e, n: e % n < high_half(n),
                      next_change=square_change,                            is_periodic=True)
SOFT_STROBE    = Mode(count=lambda e, n: n - e,     out=lambda e, n: e != n,
                      next_change=strobe_change)
HARD_STROBE    = Mode(count=lambda e, n: n - e,     out=lambda e, n: e != n,
                      next_change=strobe_change,                            is_triggered=True)

MODES = (TERMINAL_COUNT, ONE_SHOT, RATE, SQUARE, SOFT_STROBE, HARD_STROBE, RATE, SQUARE)
# fmt: on


def from_bcd(value: int) -> int:
    return sum((value >> 4 * i & 0xF) * 10**i for i in range(4))


def to_bcd(value: int) -> int:
    return sum(value // 10**i % 10 << 4 * i for i in range(4))


class Counter:
    """One of an 8254's three counters, with its GATE and OUT."""

    def __init__(self, clock: Clock, out: Line | None = None, *, gate: bool = True) -> None:
        self._clock = clock
        self.out = out
        """Who is to see OUT change; `level` is there without."""
        self._timer: Timer = clock.timer(self._on_change)
        self._gate = gate
        self.reset()

    def reset(self) -> None:
        """Undefined in the datasheet; mode 0 that counts nothing here."""
        self._control = 0x30
        self._mode = MODES[0]
        self._n = 0x10000
        self._pending: int | None = None
        """What was written and is not loaded yet, and the tick that loads it."""
        self._take_at: int | None = None
        self._takes_low_half = False
        self._counted = 0
        """Ticks counted before `_since`."""
        self._since: int | None = None
        """The tick from which it counts; None while it stands."""
        self._is_loaded = False
        self._low_byte: int | None = None
        self._read_high = False
        self._latched: int | None = None
        self._status: int | None = None
        self._timer.cancel()
        self._drive()

    @property
    def is_bcd(self) -> bool:
        return bool(self._control & 1)

    def control(self, value: int) -> None:
        """Take a control word: the counter stands until its count is written."""
        self._control = value & 0x3F
        self._mode = MODES[value >> 1 & 7]
        self._pending = self._take_at = self._since = None
        self._low_byte = self._latched = self._status = None
        self._is_loaded = False
        self._counted = 0
        self._read_high = False
        self._drive()

    def write(self, value: int) -> None:
        """Take a byte of the initial count, as RW says."""
        match self._control >> 4 & 3:
            case 1:
                self._write_count(value)
            case 2:
                self._write_count(value << 8)
            case _ if self._low_byte is None:
                self._low_byte = value
                if self._mode is TERMINAL_COUNT:
                    self._is_loaded, self._since, self._counted = False, None, 0
                    self._drive()
            case _:
                self._write_count(value << 8 | self._low_byte)
                self._low_byte = None

    def read(self) -> int:
        """Status if latched, else the count's next byte, latched or living."""
        if self._status is not None:
            status, self._status = self._status, None
            return status
        count = self.count() if self._latched is None else self._latched
        access = self._control >> 4 & 3
        is_high = access == 2 or (access == 3 and self._read_high)
        self._read_high = access == 3 and not is_high
        if not self._read_high:
            self._latched = None
        return count >> 8 if is_high else count & 0xFF

    def latch_count(self) -> None:
        """The first of several latches counts."""
        if self._latched is None:
            self._latched = self.count()

    def latch_status(self) -> None:
        """OUT, NULL COUNT and the control word ("Status Byte")."""
        if self._status is None:
            is_null = self._pending is not None or not self._is_loaded or self._elapsed() < 0
            self._status = self.level() << 7 | is_null << 6 | self._control

    def set_gate(self, level: bool) -> None:
        """What GATE does in each mode: "Figure 21. Gate Pin Operations Summary"."""
        if level == self._gate:
            return
        self._sync()
        self._gate = level
        mode = self._mode
        if mode.is_triggered or mode.is_periodic:
            if level:
                self._trigger()
            elif mode.is_periodic:
                self._stand()
        elif not level:
            self._stand()
        elif self._is_loaded:
            self._since = self._tick()
        self._drive()

    @property
    def gate(self) -> bool:
        return self._gate

    def count(self) -> int:
        """The counting element, in binary or BCD as it is read."""
        self._sync()
        modulus = 10000 if self.is_bcd else 0x10000
        value = self._mode.count(max(0, self._elapsed()), self._n) % modulus
        return to_bcd(value) if self.is_bcd else value

    def level(self) -> bool:
        """OUT now."""
        self._sync()
        if not self._is_loaded:
            return self._mode is not TERMINAL_COUNT
        if self._mode.is_periodic and not self._gate:
            return True
        elapsed = self._elapsed()
        if elapsed < 0:
            return self._mode is not TERMINAL_COUNT
        return self._mode.out(elapsed, self._n)

    @property
    def tone(self) -> float:
        """The frequency at OUT in hertz, if it is a periodic one that is running, else 0."""
        is_running = self._mode.is_periodic and self._gate and self._is_loaded
        return FREQUENCY / self._n if is_running else 0.0

    def _write_count(self, value: int) -> None:
        n = from_bcd(value) or 10000 if self.is_bcd else value or 0x10000
        if self._mode.is_periodic:
            n = max(n, 2)  # a count of 1 is illegal
        self._sync()
        self._pending = n
        if self._mode.is_triggered:
            return
        if self._mode.is_periodic and self._is_loaded:
            self._take_later()
            return
        self._trigger()
        if not self._gate:
            self._stand()
        self._drive()

    def _trigger(self) -> None:
        """Load the count with the next tick."""
        if self._pending is not None:
            self._n, self._pending, self._take_at = self._pending, None, None
        elif not self._is_loaded:
            return
        self._is_loaded = True
        self._counted = 0
        self._since = self._tick() + 1

    def _stand(self) -> None:
        self._counted = max(0, self._elapsed())
        self._since = None

    def _tick(self) -> int:
        return self._clock.now() * FREQUENCY // SECOND

    def _elapsed(self) -> int:
        if self._since is None:
            return self._counted
        return self._counted + self._tick() - self._since

    def _sync(self) -> None:
        """Take a new count if the (half) period ended at which it was to be taken."""
        if self._pending is None or self._take_at is None or self._tick() < self._take_at:
            return
        self._n, self._pending = self._pending, None
        self._counted = high_half(self._n) if self._takes_low_half else 0
        self._since, self._take_at = self._take_at, None

    def _take_later(self) -> None:
        """A count written meanwhile is loaded when the period ends, in mode 3 its half."""
        if self._since is None:
            return  # GATE will load it
        elapsed = max(0, self._elapsed())
        if self._mode is SQUARE:
            end = square_change(elapsed, self._n)
        else:
            end = elapsed - elapsed % self._n + self._n
        self._take_at = self._since + end - self._counted
        self._takes_low_half = end % self._n != 0

    def _on_change(self, _: int) -> None:
        """OUT changes; if that was so long ago that it changed back, both are seen."""
        if self.out is not None and self.out.level == self.level():
            self.out.set(not self.out.level)
        self._drive()

    def _drive(self) -> None:
        """Set OUT, and the timer for its next change."""
        if self.out is None:
            return
        self.out.set(self.level())
        elapsed = self._elapsed()
        if elapsed < 0 and self._mode.out(0, self._n) != self.out.level:
            change: int | None = 0
        else:
            change = self._mode.next_change(max(0, elapsed), self._n)
        if self._since is None or change is None:
            self._timer.cancel()
        else:
            tick = self._since + change - self._counted
            self._timer.at(-(-tick * SECOND // FREQUENCY))


class Pit:
    """The 8254 at port 40h: OUT0 is IRQ0, GATE2 and OUT2 belong to port 61h."""

    length = 4
    width = 1

    def __init__(self, clock: Clock, irq: Line) -> None:
        self.counters = (Counter(clock, irq), Counter(clock), Counter(clock, gate=False))

    def reset(self) -> None:
        for counter in self.counters:
            counter.reset()

    def read(self, offset: int, size: int = 1) -> int:
        return self.counters[offset].read() if offset < 3 else 0xFF

    def write(self, offset: int, value: int, size: int = 1) -> None:
        if offset < 3:
            self.counters[offset].write(value)
        elif value >> 6 == 3:
            self._read_back(value)
        elif value & 0x30:
            self.counters[value >> 6].control(value)
        else:
            self.counters[value >> 6].latch_count()

    def _read_back(self, value: int) -> None:
        """The Read-Back Command: COUNT# and STATUS# for the counters selected."""
        for number, counter in enumerate(self.counters):
            if value >> number + 1 & 1:
                if not value & 0x20:
                    counter.latch_count()
                if not value & 0x10:
                    counter.latch_status()


class SystemControlB:
    """Port 61h: GATE2, the speaker's gate, the refresh bit, and why there was an NMI.

    Source: 82371AB, section 4.2.5.1 ("NMISC"). Not modelled: SERR# and IOCHK# themselves, which
    nothing here raises.
    """

    length = 1
    width = 1
    REFRESH_NS = 15_085

    def __init__(self, clock: Clock, counter: Counter) -> None:
        self._clock = clock
        self._counter = counter
        self._enables = 0

    def reset(self) -> None:
        self.write(0, 0)

    def read(self, offset: int = 0, size: int = 1) -> int:
        refresh = self._clock.now() // self.REFRESH_NS & 1
        return self._enables | refresh << 4 | self._counter.level() << 5

    def write(self, offset: int, value: int, size: int = 1) -> None:
        self._enables = value & 0x0F
        self._counter.set_gate(bool(value & 0x01))

    @property
    def tone(self) -> float:
        """What is to be heard, in hertz; 0 is silence."""
        return self._counter.tone if self._enables & 0x02 else 0.0
