"""The physical address space: RAM, ROM and windows that show other memory; the rest is the bus's.

The native MMU reads `map`: for each page of 4 KiB the host address of what is there, with flags in
its lowest bits, or 0 where the bus answers.
"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable, Iterator

from machine.bus import Bus

PAGE = 4096
MAP_NORESERVE = 0x4000
"""Of mmap(2); Python's module does not know it before 3.13."""
ADDRESS_BITS = 36
"""The processor has so many address lines; above, nothing is."""
LIMIT = 1 << ADDRESS_BITS

READABLE, WRITABLE, HAS_CODE, DROPS_WRITES = 1, 2, 4, 8
"""Flags of a page in `map`.  HAS_CODE is the engine's: code was translated from the page."""

LOW_RAM_END = 0xE000_0000
"""RAM beyond this goes on at 4 GiB: below that devices are."""
HIGH_RAM = 1 << 32


def nothing(_start: int, _end: int) -> None:
    """Nobody wants to know."""


class Buffer:
    """Page-aligned host memory that part of the address space may show, all zero."""

    def __init__(self, length: int) -> None:
        self.length = -(-length // PAGE) * PAGE
        # A page more than is used: whoever decodes the last instruction may look behind it.
        whole = self.length + PAGE
        self._memory = mmap.mmap(-1, whole, mmap.MAP_PRIVATE | MAP_NORESERVE)
        self._anchor = ctypes.c_char.from_buffer(self._memory)
        self.address = ctypes.addressof(self._anchor)
        """On the host."""
        self.view = memoryview(self._memory)[: self.length]


class PhysicalMemory:
    """Guest memory as the processor and the devices reach it.

    Addresses are those after the A20 gate.  Accesses may have any size and alignment; what is not
    RAM or ROM goes to the bus in pieces of at most four bytes that do not cross their own size.
    """

    def __init__(self, size: int, bus: Bus) -> None:
        """`size`: bytes of RAM, a whole number of pages."""
        if size <= 0 or size % PAGE:
            raise ValueError(f"RAM must be a multiple of {PAGE} bytes, not {size}")
        self.size = size
        self.bus = bus
        self.ram = Buffer(size)
        self._map = Buffer(8 * (LIMIT // PAGE))
        self._pages = self._map.view.cast("Q")
        self._code = Buffer(8 * (LIMIT // PAGE))
        self.code_chunks = self._code.view.cast("Q")
        """For each page, which of its 64 chunks of 64 bytes code was translated from."""
        self._code_bytes = Buffer(8 * (LIMIT // PAGE))
        self.code_bytes = self._code_bytes.view.cast("Q")
        """For each page with data close to its code, where on the host a bit for each byte is."""
        self.on_written: Callable[[int, int], None] = nothing
        """Is told [start, end) of what a device wrote to a page with code."""
        self.on_map_changed: Callable[[int, int], None] = nothing
        self._buffers: dict[int, Buffer] = {}
        """By megabyte of the host's addresses; several may share one."""
        self._all_buffers: list[Buffer] = []
        self._note(self.ram)
        self.map_ram(0, min(size, LOW_RAM_END), self.ram)
        if size > LOW_RAM_END:
            self.map_ram(HIGH_RAM, size - LOW_RAM_END, self.ram, LOW_RAM_END)

    @property
    def map_address(self) -> int:
        """Where the map lies on the host: eight bytes for each page."""
        return self._map.address

    @property
    def code_address(self) -> int:
        """Where `code_chunks` lie on the host."""
        return self._code.address

    @property
    def code_bytes_address(self) -> int:
        """Where `code_bytes` lie on the host."""
        return self._code_bytes.address

    @property
    def below_4g(self) -> int:
        """Bytes of RAM from address 0 on."""
        return min(self.size, LOW_RAM_END)

    @property
    def above_4g(self) -> int:
        """Bytes of RAM from 4 GiB on."""
        return self.size - self.below_4g

    # -- the map ---------------------------------------------------------------------------

    def new_buffer(self, length: int) -> Buffer:
        """Memory that is not part of RAM: a display's, a ROM's."""
        made = Buffer(length)
        self._note(made)
        return made

    def _note(self, buffer: Buffer) -> None:
        self._all_buffers.append(buffer)
        for address in range(buffer.address, buffer.address + buffer.length, 1 << 20):
            self._buffers[address >> 20] = buffer
        self._buffers[(buffer.address + buffer.length - 1) >> 20] = buffer

    def map_ram(
        self, start: int, length: int, buffer: Buffer, offset: int = 0, writable: bool = True
    ) -> None:
        """Show `length` bytes of a buffer from physical address `start` on, whole pages.

        What the guest writes where it is not `writable` is lost.
        """
        flags = READABLE | (WRITABLE if writable else DROPS_WRITES)
        first = buffer.address + offset | flags
        self._set(start, length, range(first, first + length, PAGE))

    def map_device(self, start: int, length: int) -> None:
        """Have the bus answer in these pages."""
        self._set(start, length, (0 for _ in range(length // PAGE)))

    def _set(self, start: int, length: int, entries: range | Iterator[int]) -> None:
        if start % PAGE or length % PAGE:
            raise ValueError(f"{start:#x}, {length:#x}: not whole pages")
        from array import array

        first = start // PAGE
        self._pages[first : first + length // PAGE] = memoryview(array("Q", entries))
        self.on_map_changed(start, start + length)

    def add_rom(self, start: int, data: bytes) -> Buffer:
        """Put a ROM at a physical address, filled up with ones to whole pages."""
        rom = self.new_buffer(len(data))
        rom.view[:] = data.ljust(rom.length, b"\xff")
        self.map_ram(start, rom.length, rom, writable=False)
        return rom

    def pieces(self) -> Iterator[tuple[int, int, bool]]:
        """What is mapped, by address: start, end, and whether it is writable; for `info mtree`."""
        start = before = 0
        for page in range(min(LIMIT, HIGH_RAM + self.above_4g) // PAGE):
            entry = self._pages[page] & ~HAS_CODE
            is_next = entry == before + PAGE and before
            if not is_next:
                if before:
                    yield start, page * PAGE, bool(before & WRITABLE)
                start = page * PAGE
            before = entry
        if before:
            yield start, (page + 1) * PAGE, bool(before & WRITABLE)

    # -- as devices reach it -----------------------------------------------------------------

    def _host(self, address: int) -> tuple[int, memoryview | None, int]:
        """A page's entry, and the memory that its bytes are in and where."""
        entry = self._pages[address // PAGE] if address < LIMIT else 0
        if not entry:
            return 0, None, 0
        host = (entry & -PAGE) + address % PAGE
        buffer = self._buffers[host >> 20]
        if not buffer.address <= host < buffer.address + buffer.length:
            buffer = next(
                one for one in self._all_buffers if one.address <= host < one.address + one.length
            )
        return entry, buffer.view, host - buffer.address

    @staticmethod
    def _split(address: int, length: int) -> Iterator[tuple[int, int]]:
        """An access page by page."""
        while length > 0:
            here = min(length, PAGE - address % PAGE)
            yield address, here
            address += here
            length -= here

    def read(self, address: int, length: int) -> bytes:
        """What a device reads: ones where no RAM or ROM is."""
        if address + length <= self.below_4g and address >= 1 << 20:
            return bytes(self.ram.view[address : address + length])
        found = bytearray()
        for start, size in self._split(address, length):
            entry, view, at = self._host(start)
            if entry and view is not None:
                found += view[at : at + size]
            else:
                found += b"\xff" * size
        return bytes(found)

    def write(self, address: int, data: bytes) -> None:
        """What a device writes: lost where no RAM is."""
        done = 0
        for start, size in self._split(address, len(data)):
            entry, view, at = self._host(start)
            if entry & WRITABLE and view is not None:
                view[at : at + size] = data[done : done + size]
                if entry & HAS_CODE:
                    self.on_written(start, start + size)
            done += size

    # -- as the processor does -----------------------------------------------------------------

    def load(self, address: int, size: int) -> int:
        """What the processor reads, little endian; within a page."""
        entry, view, at = self._host(address)
        if entry and view is not None:
            return int.from_bytes(view[at : at + size], "little")
        found = 0
        for offset, part in self._bus_parts(address, size):
            found |= self.bus.read(address + offset, part) << 8 * offset
        return found

    def watch_code(self, address: int) -> None:
        """Have `on_written` told of writes to the page of an address."""
        entry = self._pages[address // PAGE] if address < LIMIT else 0
        if entry:
            self._pages[address // PAGE] = entry | HAS_CODE

    def unwatch_code(self, address: int) -> None:
        """Nothing was translated from the page of an address any more."""
        self._pages[address // PAGE] &= ~HAS_CODE

    def host_address(self, address: int) -> int:
        """Where RAM or ROM is on the host; 0 for a device."""
        entry = self._pages[address // PAGE] if address < LIMIT else 0
        return (entry & -PAGE) + address % PAGE if entry else 0

    def store(self, address: int, value: int, size: int) -> None:
        """What the processor writes, little endian; within a page."""
        entry, view, at = self._host(address)
        if entry & WRITABLE and view is not None:
            view[at : at + size] = value.to_bytes(size, "little")
            if entry & HAS_CODE:
                self.on_written(address, address + size)
        elif not entry & DROPS_WRITES:
            for offset, part in self._bus_parts(address, size):
                mask = (1 << 8 * part) - 1
                self.bus.write(address + offset, value >> 8 * offset & mask, part)

    @staticmethod
    def _bus_parts(address: int, size: int) -> Iterator[tuple[int, int]]:
        """An access in naturally aligned pieces of at most four bytes."""
        done = 0
        while done < size:
            part = 4
            while part > size - done or (address + done) % part:
                part //= 2
            yield done, part
            done += part
