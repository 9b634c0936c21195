"""Split virtqueues: the rings in memory that a driver and a virtio device share.

Source: OASIS, "Virtual I/O Device (VIRTIO) Version 1.1", section 2.6; section numbers in the virtio
modules are of that document. Descriptors are read when a chain is taken, and a driver that has made
nonsense of them is told so once (`QueueError`).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from machine.bus import Memory

NEXT, WRITABLE, INDIRECT = 1, 2, 4
"""Flags of a descriptor (2.6.5)."""
NO_INTERRUPT = 1
"""Flag of the available ring (2.6.6)."""
MOST_BYTES = 1 << 28
"""More than a driver asks for at once."""

_DESCRIPTOR = struct.Struct("<QIHH")
_HEAD = struct.Struct("<HH")
_USED = struct.Struct("<II")

Span = tuple[int, int]
"""Address and length of a piece of guest memory."""


class QueueError(Exception):
    """What the driver has put into a queue makes no sense."""


@dataclass(slots=True)
class Chain:
    """A request: what the device may read of it, and what it is to write; `head` names it."""

    head: int
    readable: list[Span] = field(default_factory=list)
    writable: list[Span] = field(default_factory=list)

    @property
    def room(self) -> int:
        return sum(length for _, length in self.writable)


class VirtQueue:
    """One queue of at most `largest` entries."""

    def __init__(self, memory: Memory, largest: int) -> None:
        self._memory = memory
        self.largest = largest
        self.reset()

    def reset(self) -> None:
        self.size = self.largest
        self.descriptors = self.driver = self.device = 0
        """Addresses of the descriptor table, the available ring and the used ring."""
        self.is_enabled = False
        self.has_event_index = False
        """VIRTIO_F_EVENT_IDX was agreed on."""
        self._taken = self._used = self._told = 0

    def place_legacy(self, page: int) -> None:
        """The layout of one piece, its used ring at the next page (2.6.2)."""
        self.descriptors = page << 12
        self.driver = self.descriptors + 16 * self.size
        self.device = self.driver + 6 + 2 * self.size + 4095 & -4096
        self.is_enabled = bool(page)

    def take(self) -> Chain | None:
        """The next request, if there is one. Raises QueueError."""
        if not self.is_enabled:
            return None
        if self._waiting() == self._taken and not self._ask_for_more():
            return None
        at = self.driver + 4 + 2 * (self._taken % self.size)
        head = int.from_bytes(self._memory.read(at, 2), "little")
        self._taken = self._taken + 1 & 0xFFFF
        return self._chain(head)

    def _waiting(self) -> int:
        count = _HEAD.unpack(self._memory.read(self.driver, 4))[1]
        if (count - self._taken & 0xFFFF) > self.size:
            raise QueueError(f"{count - self._taken & 0xFFFF} requests in a queue of {self.size}")
        return int(count)

    def _ask_for_more(self) -> bool:
        """Have the driver notify of the next request; whether one has come just now (2.6.8)."""
        if not self.has_event_index:
            return False
        self._memory.write(self.device + 4 + 8 * self.size, struct.pack("<H", self._taken))
        return self._waiting() != self._taken

    def _chain(self, head: int) -> Chain:
        chain, total = Chain(head), 0
        table, count, at, seen = self.descriptors, self.size, head, 0
        while True:
            if at >= count or seen > count:
                raise QueueError(f"descriptor {at} of {count}" if at >= count else "a loop")
            address, length, flags, following = _DESCRIPTOR.unpack(
                self._memory.read(table + 16 * at, 16)
            )
            seen += 1
            if flags & INDIRECT:
                if table != self.descriptors or flags & NEXT or length % 16 or not length:
                    raise QueueError("a table of descriptors in a wrong place")
                table, count, at, seen = address, length // 16, 0, 0
                continue
            if not flags & WRITABLE and chain.writable:
                raise QueueError("what is to be read lies behind what is to be written")
            total += length
            if total > MOST_BYTES:
                raise QueueError("a request without end")
            (chain.writable if flags & WRITABLE else chain.readable).append((address, length))
            if not flags & NEXT:
                return chain
            at = following

    def give_back(self, chain: Chain, written: int) -> None:
        """The request is done, and so many bytes of its memory were written."""
        at = self.device + 4 + 8 * (self._used % self.size)
        self._memory.write(at, _USED.pack(chain.head, written))
        self._used = self._used + 1 & 0xFFFF
        self._memory.write(self.device + 2, struct.pack("<H", self._used))

    def wants_interrupt(self) -> bool:
        """Whether the driver is to hear of what was given back since the last time (2.6.7)."""
        old, self._told = self._told, self._used
        if old == self._used:
            return False
        if not self.has_event_index:
            return not _HEAD.unpack(self._memory.read(self.driver, 4))[0] & NO_INTERRUPT
        event = int.from_bytes(self._memory.read(self.driver + 4 + 2 * self.size, 2), "little")
        return (self._used - event - 1 & 0xFFFF) < (self._used - old & 0xFFFF)

    # What is in a request

    def read(self, spans: list[Span]) -> bytes:
        """All that these pieces hold."""
        return b"".join(self._memory.read(address, length) for address, length in spans)

    def write(self, spans: list[Span], data: bytes | memoryview) -> None:
        """Spread data over these pieces, as far as it goes."""
        rest = memoryview(data)
        for address, length in spans:
            if not rest:
                return
            self._memory.write(address, bytes(rest[:length]))
            rest = rest[length:]


def cut(spans: list[Span], first: int, length: int) -> list[Span]:
    """The pieces of `length` bytes from byte `first` on.

    >>> cut([(100, 10), (200, 10)], 8, 4)
    [(108, 2), (200, 2)]
    """
    found = []
    for address, size in spans:
        start, end = max(first, 0), min(first + length, size)
        if start < end:
            found.append((address + start, end - start))
        first -= size
    return found
