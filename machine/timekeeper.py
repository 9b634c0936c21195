"""The thread that calls a clock's timers when they are due, while the processor does other things.

Only for clocks that follow the host's: with `-icount` the processor's loop does it.
"""

from __future__ import annotations

import threading

from machine.clock import SECOND, Clock

LONGEST_SLEEP = 60.0


class Timekeeper:
    """Holds the machine's lock while timers are called back."""

    def __init__(self, clock: Clock, lock: threading.RLock) -> None:
        self._clock = clock
        self._changed = threading.Condition(lock)
        self._is_stopping = False
        self._thread = threading.Thread(target=self._run, name="timers", daemon=True)

    def start(self) -> None:
        """From now on timers come by themselves."""
        self._clock.sooner = self._look_again
        self._thread.start()

    def _look_again(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def stop(self) -> None:
        """No more; returns when the thread has ended."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        with self._changed:
            while not self._is_stopping:
                deadline = self._clock.run_due()
                if deadline is None:
                    self._changed.wait(LONGEST_SLEEP)
                else:
                    left = deadline - self._clock.now()
                    self._changed.wait(min(max(left / SECOND, 0), LONGEST_SLEEP))
