"""One guest CPU's state, as Python sees it: slots by name over a block of host memory."""

from __future__ import annotations

from tcg.state import HEADER, Slot, StateLayout

_EXIT_PC = HEADER["exit_pc"]
_EVENT = HEADER["event"]


class Cpu:
    """A guest CPU (in user mode: a guest thread).

    `address` is env in host memory and `view` the same bytes.  `pc` is where the guest goes on:
    it is right whenever the guest does not run.
    """

    __slots__ = ("_by_size", "address", "inside", "layout", "view")

    def __init__(self, layout: StateLayout, view: memoryview, address: int) -> None:
        self.layout = layout
        self.view = view
        self.address = address
        self.inside = False
        self._by_size = {1: view, 2: view.cast("H"), 4: view.cast("I"), 8: view.cast("Q")}

    def get(self, slot: Slot) -> int:
        """The bit pattern in a slot."""
        size = slot.type.bytes
        if size > 8:
            return int.from_bytes(self.view[slot.offset : slot.offset + size], "little")
        return int(self._by_size[size][slot.offset // size])

    def set(self, slot: Slot, value: int) -> None:
        """Write a slot; `value` must fit it."""
        size = slot.type.bytes
        if size > 8:
            self.view[slot.offset : slot.offset + size] = value.to_bytes(size, "little")
        else:
            self._by_size[size][slot.offset // size] = value

    def header(self, name: str) -> int:
        """A header field."""
        return self.get(HEADER[name])

    def set_header(self, name: str, value: int) -> None:
        """Write a header field."""
        self.set(HEADER[name], value)

    @property
    def pc(self) -> int:
        """Where the guest goes on."""
        return int(self._by_size[8][_EXIT_PC.offset // 8])

    @pc.setter
    def pc(self, value: int) -> None:
        self._by_size[8][_EXIT_PC.offset // 8] = value

    def kick(self) -> None:
        """Have the guest leave soon, with an event."""
        self._by_size[4][_EVENT.offset // 4] = 1

    @property
    def has_event(self) -> bool:
        """Whether somebody wants the guest to leave."""
        return bool(self._by_size[4][_EVENT.offset // 4])

    def clear_event(self) -> None:
        """Forget the event: whoever calls this looks at everything that can cause one."""
        self._by_size[4][_EVENT.offset // 4] = 0

    def copy_from(self, other: Cpu, header_size: int) -> None:
        """Take over another CPU's guest registers (for clone)."""
        self.view[header_size:] = other.view[header_size:]
