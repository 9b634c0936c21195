"""Time that stands until a test moves it, a line's history, a little memory."""

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


def is_up(line: Line) -> bool:
    """A line's level, which mypy does not take for one that stays."""
    return line.level


class Ram:
    """A little memory; what lies beyond it reads as ones."""

    def __init__(self, size: int = 0x40000) -> None:
        self.data = bytearray(size)

    def read(self, address: int, length: int) -> bytes:
        return bytes(self.data[address : address + length]).ljust(length, b"\xff")

    def write(self, address: int, data: bytes) -> None:
        end = min(address + len(data), len(self.data))
        if address < end:
            self.data[address:end] = data[: end - address]
