"""Lines: wires with a level, and somebody who looks when it changes."""

from __future__ import annotations

from collections.abc import Callable


def unconnected(_: bool) -> None:
    """Nobody looks."""


class Line:
    """A wire from one source: an interrupt request, a gate, A20."""

    __slots__ = ("changed", "level")

    def __init__(self, changed: Callable[[bool], None] = unconnected, level: bool = False) -> None:
        self.changed = changed
        self.level = level

    def set(self, level: bool) -> None:
        """Drive the wire; the other end hears of changes only."""
        if level != self.level:
            self.level = level
            self.changed(level)

    def pulse(self) -> None:
        """Go up (once more, if it is up) and down again."""
        self.set(False)
        self.set(True)
        self.set(False)


class SharedLine:
    """A wire that is up while any of its sources is: PCI's INTA#, the SCI."""

    __slots__ = ("_out", "_up")

    def __init__(self, out: Line) -> None:
        self._out = out
        self._up = 0

    @property
    def level(self) -> bool:
        return self._out.level

    def source(self) -> Line:
        """Another source, whose level is low at first."""
        return Line(self._changed)

    def _changed(self, level: bool) -> None:
        self._up += 1 if level else -1
        self._out.set(self._up > 0)
