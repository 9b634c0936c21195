"""Ports for whoever writes a guest: text out, the end, how far a BIOS has come.

They are QEMU's `isa-debugcon` and `isa-debug-exit`, and port 80h of every PC.
"""

from __future__ import annotations

from collections.abc import Callable


class DebugConsole:
    """Port E9h: what is written is text; reading it says E9h, so that a guest knows it is there."""

    length = 1
    width = 1

    def __init__(self, sink: Callable[[int], None]) -> None:
        self._sink = sink

    def read(self, offset: int = 0, size: int = 1) -> int:
        return 0xE9

    def write(self, offset: int, value: int, size: int = 1) -> None:
        self._sink(value)


class DebugExit:
    """Port 501h (or F4h): the guest ends the emulator, with status `value * 2 + 1`."""

    length = 4
    width = 4

    def __init__(self, leave: Callable[[int], None]) -> None:
        self._leave = leave

    def read(self, offset: int = 0, size: int = 4) -> int:
        return 0

    def write(self, offset: int, value: int, size: int = 4) -> None:
        self._leave((value << 1 | 1) & 0xFF)


class PostCode:
    """Port 80h: `codes` holds the last few; a write is also what waits for slow ISA devices."""

    length = 1
    width = 1
    KEPT = 16

    def __init__(self, seen: Callable[[int], None] = lambda _: None) -> None:
        self._seen = seen
        self.codes: list[int] = []

    def read(self, offset: int = 0, size: int = 1) -> int:
        return self.codes[-1] if self.codes else 0xFF

    def write(self, offset: int, value: int, size: int = 1) -> None:
        self.codes = [*self.codes[1 - self.KEPT :], value]
        self._seen(value)
