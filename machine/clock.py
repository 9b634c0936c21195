"""Time in the machine: virtual nanoseconds since it was switched on, and timers on them.

Devices know a `Clock` only. Where its time comes from is said when it is made: `RealTime` follows a
host clock and stands while the machine is stopped; `InstructionTime` follows the number of executed
instructions (`-icount`), so that a run repeats exactly.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Protocol

SECOND = 1_000_000_000


class TimeSource(Protocol):
    """Virtual nanoseconds, never going back."""

    def now(self) -> int: ...


class RealTime:
    """A host's clock (such as `time.monotonic_ns`), less what it ran while the machine stood."""

    def __init__(self, host_ns: Callable[[], int]) -> None:
        self._host_ns = host_ns
        self._origin = host_ns()
        self._stopped_at: int | None = None

    def now(self) -> int:
        host = self._host_ns() if self._stopped_at is None else self._stopped_at
        return host - self._origin

    def stop(self) -> None:
        """Let time stand (`stop` of the monitor, `-S`)."""
        if self._stopped_at is None:
            self._stopped_at = self._host_ns()

    def resume(self) -> None:
        """Let time go on from where it stood."""
        if self._stopped_at is not None:
            self._origin += self._host_ns() - self._stopped_at
            self._stopped_at = None


class InstructionTime:
    """Every instruction takes 2**shift nanoseconds; a halted processor's wait is skipped over."""

    def __init__(self, instructions: Callable[[], int], shift: int = 0) -> None:
        self.instructions = instructions
        self._shift = shift
        self._skipped = 0

    def now(self) -> int:
        return (self.instructions() << self._shift) + self._skipped

    def instructions_until(self, deadline: int) -> int:
        """How many instructions are left until then."""
        return -(min(0, self.now() - deadline) >> self._shift)

    def skip_to(self, deadline: int) -> None:
        """All processors wait: it is `deadline` now, if it was not later already."""
        self._skipped += max(0, deadline - self.now())


class Timer:
    """Calls back once, with its deadline, when that has come; made by `Clock.timer`."""

    __slots__ = ("_clock", "callback", "deadline")

    def __init__(self, clock: Clock, callback: Callable[[int], None]) -> None:
        self._clock = clock
        self.callback = callback
        self.deadline: int | None = None
        """When it is due; None if it is not set."""

    def at(self, deadline: int) -> None:
        """Set it, or set it anew, to virtual nanoseconds that may have gone by already."""
        self.deadline = deadline
        self._clock.schedule(deadline, self)

    def after(self, delay: int) -> None:
        """Set it to so many nanoseconds from now."""
        self.at(self._clock.now() + delay)

    def cancel(self) -> None:
        self.deadline = None


class Clock:
    """What the devices of one machine go by.

    Not safe to be used by several threads at once: the machine's lock, which is held while a device
    is called, covers the clock too. `sooner` is called when a timer was set that is due before all
    others, so that whoever sleeps until `next_deadline` can look again.
    """

    SWEPT_AT = 64
    """How long the queue may be before it is looked through for what was cancelled."""

    def __init__(self, source: TimeSource, sooner: Callable[[], None] = lambda: None) -> None:
        self.now = source.now
        self.sooner = sooner
        self._queue: list[tuple[int, int, Timer]] = []
        self._sequence = 0
        self._limit = self.SWEPT_AT

    def timer(self, callback: Callable[[int], None]) -> Timer:
        return Timer(self, callback)

    def schedule(self, deadline: int, timer: Timer) -> None:
        """Put a timer into the queue; of two at one time the one that was set first comes first."""
        self._sequence += 1
        heapq.heappush(self._queue, (deadline, self._sequence, timer))
        if len(self._queue) > self._limit:
            self._sweep()
        if self._queue[0][2] is timer:
            self.sooner()

    def _sweep(self) -> None:
        """Drop what was cancelled or set to another time, and what is there twice."""
        live = {
            id(entry[2]): entry for entry in reversed(self._queue) if entry[2].deadline == entry[0]
        }
        self._queue = list(live.values())
        heapq.heapify(self._queue)
        self._limit = max(self.SWEPT_AT, 2 * len(self._queue))

    def next_deadline(self) -> int | None:
        """When the next timer is due, if any is set."""
        queue = self._queue
        while queue and queue[0][2].deadline != queue[0][0]:
            heapq.heappop(queue)  # was cancelled, or set to another time
        return queue[0][0] if queue else None

    def run_due(self) -> int | None:
        """Call back all timers that are due now, in order, and return `next_deadline`.

        What becomes due meanwhile waits for the next call, so that no device can hold the guest up.
        """
        now = self.now()
        while (deadline := self.next_deadline()) is not None and deadline <= now:
            timer = heapq.heappop(self._queue)[2]
            timer.deadline = None
            timer.callback(deadline)
        return self.next_deadline()
