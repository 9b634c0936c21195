"""Buses: which device answers at which port or physical address.

A bus knows nothing of processors: whoever runs one calls `read` and `write` with addresses. RAM is
not a device; the machine asks a bus only for what is not RAM.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol, cast


class Device(Protocol):
    """What a bus asks of a device: registers at offsets from where it is attached.

    `length` is the number of bytes it answers for, `width` the widest access it takes: the bus
    makes several narrow accesses out of a wider one, as the ISA bus does.
    """

    @property
    def length(self) -> int: ...
    @property
    def width(self) -> int: ...
    def read(self, offset: int, size: int = 1) -> int: ...
    def write(self, offset: int, value: int, size: int = 1) -> None: ...


class BlockDevice(Protocol):
    """A device with a register that is read or written many times over: a disk's data."""

    def read_block(self, offset: int, count: int, size: int) -> bytes: ...
    def write_block(self, offset: int, data: bytes, size: int) -> None: ...


class Memory(Protocol):
    """The guest's physical memory, as devices reach it, at any address.

    A read always gives `length` bytes: where no RAM is they are ones, and writes there are lost.
    """

    def read(self, address: int, length: int) -> bytes: ...
    def write(self, address: int, data: bytes) -> None: ...


@dataclass(frozen=True, slots=True)
class Window:
    """Some registers of a device that has others elsewhere."""

    length: int
    on_read: Callable[[int, int], int]
    on_write: Callable[[int, int, int], None]
    width: int = 1

    def read(self, offset: int, size: int = 1) -> int:
        return self.on_read(offset, size)

    def write(self, offset: int, value: int, size: int = 1) -> None:
        self.on_write(offset, value, size)


@dataclass(frozen=True, slots=True, eq=False)
class Attachment:
    """A device at a place; what `Bus.detach` takes back."""

    base: int
    device: Device

    @property
    def end(self) -> int:
        return self.base + self.device.length


@dataclass(frozen=True, slots=True)
class Piece:
    """Where exactly one device answers: the addresses from `start` to before `end`."""

    start: int
    end: int
    base: int
    width: int
    device: Device


Unimplemented = Callable[[str], None]
"""Is told, in words, what a guest wanted and nothing here models (`-d unimp`)."""


def ignore(_: str) -> None:
    """Drop the message."""


class Bus:
    """An address space of devices: reads of nothing are all ones, writes to nothing are lost.

    Not modelled: wait states, and bus errors for what nobody answers.
    """

    def __init__(self, name: str, unimplemented: Unimplemented = ignore) -> None:
        self.name = name
        self.unimplemented = unimplemented
        self._attached: list[Attachment] = []
        self._starts: list[int] = []
        self._pieces: list[Piece] = []

    def attach(self, base: int, device: Device, *, behind: bool = False) -> Attachment:
        """Let a device answer from `base` on.

        Two devices at one address are a mistake (ValueError), unless the new one may stand `behind`
        what is there: so base address registers are attached, which a guest can point anywhere.
        """
        new = Attachment(base, device)
        for old in self._attached:
            if not behind and old.base < new.end and base < old.end:
                raise ValueError(
                    f"{self.name}: {base:#x}..{new.end - 1:#x} overlaps"
                    f" {old.base:#x}..{old.end - 1:#x}"
                )
        self._attached.append(new)
        self._lay_out()
        return new

    def detach(self, attachment: Attachment) -> None:
        """Take a device away again; what stood behind it answers."""
        self._attached.remove(attachment)
        self._lay_out()

    def pieces(self) -> list[Piece]:
        """Who answers where, by address; for `info mtree`."""
        return list(self._pieces)

    def read(self, address: int, size: int) -> int:
        """What the guest reads: `size` bytes, little endian."""
        index = bisect_right(self._starts, address) - 1
        if index >= 0:
            piece = self._pieces[index]
            if size <= piece.width and address + size <= piece.end:
                return piece.device.read(address - piece.base, size)
        if not self._is_there(address, size):
            self.unimplemented(f"{self.name}: read of {size} at {address:#x}, where nothing is")
            return (1 << 8 * size) - 1
        if size == 1:
            return 0xFF
        half = size // 2
        return self._part(address, half) | self._part(address + half, half) << 8 * half

    def write(self, address: int, value: int, size: int) -> None:
        """Take `size` bytes, little endian, from the guest."""
        index = bisect_right(self._starts, address) - 1
        if index >= 0:
            piece = self._pieces[index]
            if size <= piece.width and address + size <= piece.end:
                piece.device.write(address - piece.base, value & (1 << 8 * size) - 1, size)
                return
        if not self._is_there(address, size):
            self.unimplemented(
                f"{self.name}: write of {value:#x} ({size}) at {address:#x}, where nothing is"
            )
        elif size > 1:
            half = size // 2
            for part in (0, half):
                if self._is_there(address + part, half):
                    self.write(address + part, value >> 8 * part, half)

    def read_block(self, address: int, count: int, size: int) -> bytes:
        """What `count` reads of one address give, as REP INS makes them; all at once if it can."""
        device = self._block_device(address, size)
        if device is not None:
            piece, blocks = device
            return blocks.read_block(address - piece.base, count, size)
        return b"".join(self.read(address, size).to_bytes(size, "little") for _ in range(count))

    def write_block(self, address: int, data: bytes, size: int) -> None:
        """Write to one address again and again, as REP OUTS does; all at once if it can be."""
        device = self._block_device(address, size)
        if device is not None:
            piece, blocks = device
            blocks.write_block(address - piece.base, data, size)
            return
        for at in range(0, len(data), size):
            self.write(address, int.from_bytes(data[at : at + size], "little"), size)

    def _block_device(self, address: int, size: int) -> tuple[Piece, BlockDevice] | None:
        index = bisect_right(self._starts, address) - 1
        if index >= 0:
            piece = self._pieces[index]
            if size <= piece.width and address + size <= piece.end:
                device = piece.device
                if hasattr(device, "read_block"):
                    return piece, cast("BlockDevice", device)
        return None

    def _part(self, address: int, size: int) -> int:
        if self._is_there(address, size):
            return self.read(address, size)
        return (1 << 8 * size) - 1

    def _is_there(self, address: int, size: int) -> bool:
        """Whether any byte of these belongs to a device."""
        index = bisect_right(self._starts, address + size - 1) - 1
        return index >= 0 and self._pieces[index].end > address

    def _lay_out(self) -> None:
        """Cut the attachments into pieces; the earlier one is in front."""
        edges = sorted({edge for one in self._attached for edge in (one.base, one.end)})
        pieces: list[Piece] = []
        for start, end in pairwise(edges):
            front = next((one for one in self._attached if one.base <= start < one.end), None)
            if front is None:
                continue
            last = pieces[-1] if pieces else None
            if last and (last.end, last.base, last.device) == (start, front.base, front.device):
                start = pieces.pop().start
            pieces.append(Piece(start, end, front.base, front.device.width, front.device))
        self._pieces = pieces
        self._starts = [piece.start for piece in pieces]
