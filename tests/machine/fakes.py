"""Time that stands until a test moves it, and a line's history."""

from __future__ import annotations

from machine.clock import Clock
from machine.line import Line


class FakeTime:
    """A source whose time is set by hand; `pass_` calls timers at their very deadlines."""

    def __init__(self) -> None:
        self.ns = 0
        self.clock = Clock(self)

    def now(self) -> int:
        return self.ns

    def pass_(self, ns: int) -> None:
        end = self.ns + ns
        while (due := self.clock.next_deadline()) is not None and due <= end:
            self.ns = max(due, self.ns)
            self.clock.run_due()
        self.ns = end


class Recorder(Line):
    """A line that remembers its changes: `up` counts the rising edges."""

    def __init__(self) -> None:
        super().__init__(self._note)
        self.up = 0
        self.down = 0

    def _note(self, level: bool) -> None:
        self.up += level
        self.down += not level
