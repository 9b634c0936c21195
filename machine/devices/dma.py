"""The PC's two 8237A DMA controllers with the page registers.

Sources: Intel, "8237A High Performance Programmable DMA Controller", order 231466; 82371AB,
sections 4.2.1 (registers) and 8.4 (16-bit channels count words and leave out A0).

A device that has or wants data calls `to_memory` or `from_memory`, which move it at once. Not
modelled: memory to memory, autonomous timing, cascade of a bus master, rotating priority (a
transfer is never cut by another), and the software requests' transfers.
"""

from __future__ import annotations

from dataclasses import dataclass

from machine.bus import Memory, Unimplemented, Window, ignore

# Command register
MEMORY_TO_MEMORY, DISABLED = 0x01, 0x04

# Mode register
VERIFY, TO_MEMORY, FROM_MEMORY = 0, 1, 2
AUTO_INIT, DOWN = 0x10, 0x20

PAGE_OF = {0x87: 0, 0x83: 1, 0x81: 2, 0x82: 3, 0x8B: 5, 0x89: 6, 0x8A: 7}
"""Which channel's page register is at which port; the others are memory for whoever likes it."""


@dataclass(slots=True)
class Channel:
    base_address: int = 0
    base_count: int = 0
    address: int = 0
    count: int = 0
    mode: int = 0
    page: int = 0

    @property
    def direction(self) -> int:
        return self.mode >> 2 & 3

    def take_count(self, units: int) -> bool:
        """Go on by so many units; True at terminal count, which may begin anew."""
        step = -units if self.mode & DOWN else units
        self.address = self.address + step & 0xFFFF
        is_last = units > self.count
        self.count = self.count - units & 0xFFFF
        if is_last and self.mode & AUTO_INIT:
            self.address, self.count = self.base_address, self.base_count
        return is_last


class Controller:
    """One 8237A: four channels."""

    def __init__(self, unimplemented: Unimplemented) -> None:
        self.channels = [Channel() for _ in range(4)]
        self._unimplemented = unimplemented
        self.reset()

    def reset(self) -> None:
        """Master clear: command, status, request and the flip-flop are zero, all are masked."""
        self.command = 0
        self.terminal_counts = 0
        self.requests = 0
        self.mask = 0x0F
        self._high = False

    def is_open(self, number: int) -> bool:
        return not self.command & DISABLED and not self.mask >> number & 1

    def read(self, register: int) -> int:
        if register < 8:
            return self._read_channel(self.channels[register >> 1], bool(register & 1))
        if register == 8:  # status: terminal counts are cleared by the read
            status = self.requests << 4 | self.terminal_counts
            self.terminal_counts = 0
            return status
        return self.mask | 0xF0 if register == 15 else 0

    def write(self, register: int, value: int) -> None:
        number = value & 3
        match register:
            case 8:
                self.command = value
                if value & MEMORY_TO_MEMORY:
                    self._unimplemented("8237A: memory to memory")
            case 9:
                self.requests = self.requests & ~(1 << number) | (value >> 2 & 1) << number
                if value & 4:
                    self._unimplemented(f"8237A: software request of channel {number}")
            case 10:
                self.mask = self.mask & ~(1 << number) | (value >> 2 & 1) << number
            case 11:
                self.channels[number].mode = value
            case 12:
                self._high = False
            case 13:
                self.reset()
            case 14:
                self.mask = 0
            case 15:
                self.mask = value & 0x0F
            case _:
                self._write_channel(self.channels[register >> 1], bool(register & 1), value)

    def end(self, number: int) -> None:
        """Terminal count: the status says so, and without autoinitialization it is masked."""
        self.terminal_counts |= 1 << number
        self.requests &= ~(1 << number)
        if not self.channels[number].mode & AUTO_INIT:
            self.mask |= 1 << number

    def _read_channel(self, channel: Channel, is_count: bool) -> int:
        value = channel.count if is_count else channel.address
        return value >> 8 & 0xFF if self._flip() else value & 0xFF

    def _write_channel(self, channel: Channel, is_count: bool, value: int) -> None:
        old = channel.base_count if is_count else channel.base_address
        new = old & 0xFF | value << 8 if self._flip() else old & 0xFF00 | value
        if is_count:
            channel.base_count = channel.count = new
        else:
            channel.base_address = channel.address = new

    def _flip(self) -> bool:
        """Whether this is the high byte; the flip-flop turns."""
        self._high = not self._high
        return not self._high


class Dma:
    """Channels 0 to 3 move bytes, 5 to 7 move words; 4 is the cascade.

    Ports: `low` at 00h, `high` at C0h (registers at even ports), `pages` at 80h, except port 80h.
    """

    def __init__(self, memory: Memory, unimplemented: Unimplemented = ignore) -> None:
        self._memory = memory
        self._controllers = (Controller(unimplemented), Controller(unimplemented))
        self._scratch = bytearray(16)
        low, high = self._controllers
        self.low = Window(16, lambda at, _: low.read(at), lambda at, value, _: low.write(at, value))
        self.high = Window(
            32, lambda at, _: high.read(at >> 1), lambda at, value, _: high.write(at >> 1, value)
        )
        self.pages = Window(15, self._read_page, self._write_page)
        """At 81h."""

    def reset(self) -> None:
        for controller in self._controllers:
            controller.reset()

    def channel(self, number: int) -> Channel:
        return self._controllers[number >> 2].channels[number & 3]

    def is_open(self, number: int) -> bool:
        """Whether a request of this channel would be served; 5 to 7 need the cascade too."""
        wanted = self._controllers[number >> 2].is_open(number & 3)
        return wanted and (number > 3 or self._controllers[1].is_open(0))

    def remaining(self, number: int) -> int:
        """Bytes up to terminal count."""
        return self.channel(number).count + 1 << (number > 3)

    def from_memory(self, number: int, length: int) -> tuple[bytes, bool]:
        """What a device that asks for `length` bytes gets, and whether terminal count came."""
        taken = min(length, self.remaining(number)) if self.is_open(number) else 0
        pieces = bytearray()
        for address, size in self._spans(number, taken):
            pieces += self._memory.read(address, size)
        if self.channel(number).mode & DOWN:
            pieces.reverse()
        return bytes(pieces), self._advance(number, taken)

    def to_memory(self, number: int, data: bytes) -> tuple[int, bool]:
        """Take a device's bytes: how many there was room for, and whether terminal count came.

        A channel in verify mode counts and writes nothing.
        """
        taken = min(len(data), self.remaining(number)) if self.is_open(number) else 0
        channel = self.channel(number)
        source = data[:taken][::-1] if channel.mode & DOWN else data[:taken]
        if channel.direction == TO_MEMORY:
            at = 0
            for address, size in self._spans(number, taken):
                self._memory.write(address, source[at : at + size])
                at += size
        return taken, self._advance(number, taken)

    def _advance(self, number: int, taken: int) -> bool:
        if not taken:
            return False
        wide = number > 3
        is_last = self.channel(number).take_count(taken >> wide)
        if is_last:
            self._controllers[wide].end(number & 3)
        return is_last

    def _spans(self, number: int, length: int) -> list[tuple[int, int]]:
        """Physical addresses and sizes, rising: the address wraps within its page."""
        channel, wide = self.channel(number), number > 3
        page = (channel.page & 0xFE if wide else channel.page) << 16
        size = 0x10000 << wide
        start = channel.address << wide
        if channel.mode & DOWN:
            start = start + (1 << wide) - length
        start %= size
        first = min(length, size - start)
        spans = [(page + start, first), (page, length - first)]
        return [span for span in spans if span[1]]

    def _read_page(self, offset: int, _: int) -> int:
        number = PAGE_OF.get(0x81 + offset)
        return self._scratch[offset] if number is None else self.channel(number).page

    def _write_page(self, offset: int, value: int, _: int) -> None:
        number = PAGE_OF.get(0x81 + offset)
        if number is None:
            self._scratch[offset] = value
        else:
            self.channel(number).page = value
