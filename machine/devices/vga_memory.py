"""A VGA's memory: four planes, latches between them and the processor, and the window at A0000h.

Source: IBM, "PS/2 Hardware Interface Technical Reference", Video Subsystem, May 1992, "VGA
Memory", "Sequencer" and "Graphics Controller".

A byte of each plane lies in one word of four bytes. Two arrangements then are plain memory for the
processor, and a guest is left alone with it: chain-4 and linear modes, byte by byte; and odd/even,
where characters and attributes of text are. For these two planes there is a second copy, the
*cells*, which holds the truth as long as the window shows it; the planes get it back when that
ends. So a font that is loaded costs two copies, and printing text nothing.

Not modelled: what a processor sees of the characters in the linear frame buffer meanwhile; chain-4
and odd/even addresses drop their low bits and not their high ones, so that memory that is written
in one way and read in another is in another order than IBM's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from machine.physical import PhysicalMemory

WINDOW, WINDOW_LENGTH = 0xA0000, 0x20000
PLANE_SIZE = 0x10000
CELLS_LENGTH = 0x10000
EVERYWHERE = 0x0101_0101
"""A byte times this is that byte in all planes."""

FULL = 0xFFFF_FFFF
SPREAD = tuple(
    sum(0xFF << 8 * plane for plane in range(4) if mask >> plane & 1) for mask in range(16)
)
"""For each mask of planes, all bits of these planes."""

AREAS = ((0, 0x20000), (0, 0x10000), (0x10000, 0x8000), (0x18000, 0x8000))
"""Where in the window memory is, by the memory map select of Miscellaneous."""


class Shown(NamedTuple):
    """What the window shows as memory: a piece of a buffer at an address."""

    start: int
    length: int
    is_cells: bool
    offset: int


@dataclass(slots=True)
class Access:
    """How the processor reaches memory, as registers have it; names are those of the manual."""

    is_on: bool = False
    """RAM is enabled, in Miscellaneous Output."""
    memory_map: int = 0
    chain_4: bool = False
    odd_even: bool = False
    map_mask: int = 0
    set_reset: int = 0
    enable_set_reset: int = 0
    color_compare: int = 0
    rotate: int = 0
    function: int = 0
    read_map: int = 0
    write_mode: int = 0
    read_mode: int = 0
    color_dont_care: int = 0
    bit_mask: int = 0xFF
    linear: bool = False
    """A Bochs mode with whole pixels in bytes: the window shows 64 KiB of the frame buffer."""
    bank: int = 0

    def is_plain_text(self) -> bool:
        """Whether odd/even accesses do nothing but store and load bytes in planes 0 and 1."""
        return (
            self.odd_even
            and self.map_mask == 3
            and not self.enable_set_reset & 3
            and not (self.rotate or self.function or self.write_mode or self.read_mode)
            and not self.read_map & 2
            and self.bit_mask == 0xFF
        )


class VgaMemory:
    """The frame buffer, and the 128 KiB at A0000h through which a VGA shows parts of it."""

    length = WINDOW_LENGTH
    width = 4

    def __init__(self, space: PhysicalMemory, size: int) -> None:
        """`size`: bytes of the frame buffer, a power of two."""
        self.size = size
        self.buffer = space.new_buffer(size)
        self.bytes = self.buffer.view.cast("B")
        self.words = self.bytes[:size].cast("I")
        self._space = space
        self._cells_buffer = space.new_buffer(CELLS_LENGTH)
        self.cells = self._cells_buffer.view.cast("B")
        self.has_cells = False
        """Planes 0 and 1 are in `cells` now."""
        self._shown: Shown | None = None
        self.access = Access()
        self._latch = 0
        self._configure()

    def reset(self) -> None:
        """Black, and nothing in the window."""
        self.set_access(Access())
        self.bytes[:] = bytes(len(self.bytes))
        self._latch = 0

    def set_access(self, access: Access) -> None:
        """Registers have changed."""
        if access == self.access:
            return
        self.access = access
        self._configure()
        shown = self._find_shown()
        if shown != self._shown:
            self._show(shown)

    # -- what is plain memory --------------------------------------------------------------

    def _find_shown(self) -> Shown | None:
        access = self.access
        if access.linear:
            return Shown(WINDOW, 0x10000, False, access.bank << 16 & self.size - 1)
        if not access.is_on:
            return None
        start, length = AREAS[access.memory_map]
        if access.chain_4:
            return Shown(WINDOW + start, length, False, 0) if access.map_mask == 15 else None
        if access.is_plain_text() and access.memory_map:
            return Shown(WINDOW + start, length, True, 0)
        return None

    def _show(self, shown: Shown | None) -> None:
        wants_cells = shown is not None and shown.is_cells
        if wants_cells and not self.has_cells:
            self.cells[0::2] = self.bytes[0 : 2 * CELLS_LENGTH : 4]
            self.cells[1::2] = self.bytes[1 : 2 * CELLS_LENGTH : 4]
        elif not wants_cells:
            self.settle()
        self.has_cells = wants_cells
        before, self._shown = self._shown, shown
        if before and (shown is None or before[:2] != shown[:2]):
            self._space.map_device(before.start, before.length)
        self.remap()

    def settle(self) -> None:
        """Let planes 0 and 1 have what is in the cells."""
        if self.has_cells:
            self.bytes[0 : 2 * CELLS_LENGTH : 4] = self.cells[0::2]
            self.bytes[1 : 2 * CELLS_LENGTH : 4] = self.cells[1::2]

    def remap(self) -> None:
        """Have the window show what it should; something else may have been there."""
        shown = self._shown
        if shown is not None:
            buffer = self._cells_buffer if shown.is_cells else self.buffer
            self._space.map_ram(shown.start, shown.length, buffer, shown.offset)

    def text(self, word: int, count: int) -> bytes:
        """Planes 0 and 1 of some words: characters and attributes in turn."""
        if self.has_cells and 2 * (word + count) <= CELLS_LENGTH:
            return bytes(self.cells[2 * word : 2 * (word + count)])
        found = bytearray(2 * count)
        found[0::2] = self.bytes[4 * word : 4 * (word + count) : 4]
        found[1::2] = self.bytes[4 * word + 1 : 4 * (word + count) : 4]
        return bytes(found)

    # -- the window, as a device ---------------------------------------------------------------

    def read(self, offset: int, size: int = 1) -> int:
        value = 0
        for index in range(size):
            value |= self._load(offset + index) << 8 * index
        return value

    def write(self, offset: int, value: int, size: int = 1) -> None:
        for index in range(size):
            self._store(offset + index, value >> 8 * index & 0xFF)

    def _configure(self) -> None:
        """Choose how bytes are loaded and stored, and prepare masks of whole words."""
        access = self.access
        self._load: Callable[[int], int]
        self._store: Callable[[int, int], None]
        if access.linear:
            self._load, self._store = self._load_linear, self._store_linear
        elif not access.is_on:
            self._load, self._store = self._load_nothing, self._store_nothing
        elif access.chain_4:
            self._load, self._store = self._load_chained, self._store_chained
        else:
            self._load, self._store = self._load_planes, self._store_planes
        self._start, self._length = AREAS[access.memory_map]
        self._mask = SPREAD[access.map_mask]
        self._set = SPREAD[access.set_reset & access.enable_set_reset]
        self._from_processor = FULL ^ SPREAD[access.enable_set_reset]
        self._bits = access.bit_mask * EVERYWHERE
        self._compare = SPREAD[access.color_compare]
        self._care = SPREAD[access.color_dont_care]

    def _load_nothing(self, offset: int) -> int:
        return 0xFF

    def _store_nothing(self, offset: int, value: int) -> None:
        """Lost."""

    def _load_linear(self, offset: int) -> int:
        at = offset + (self.access.bank << 16) & self.size - 1
        return self.bytes[at] if offset < 0x10000 else 0xFF

    def _store_linear(self, offset: int, value: int) -> None:
        if offset < 0x10000:
            self.bytes[offset + (self.access.bank << 16) & self.size - 1] = value

    def _load_chained(self, offset: int) -> int:
        offset -= self._start
        return self.bytes[offset] if 0 <= offset < self._length else 0xFF

    def _store_chained(self, offset: int, value: int) -> None:
        offset -= self._start
        if 0 <= offset < self._length and self.access.map_mask >> (offset & 3) & 1:
            self.bytes[offset] = value

    def _load_planes(self, offset: int) -> int:
        offset -= self._start
        if not 0 <= offset < self._length:
            return 0xFF
        access, plane = self.access, self.access.read_map
        if access.odd_even:
            plane = plane & 2 | offset & 1
            offset >>= 1
        if self.has_cells:
            return self.cells[2 * offset + plane & CELLS_LENGTH - 1]
        word = offset + (access.bank << 16) & self._last_word()
        latch = self._latch = self.words[word]
        if access.read_mode == 0:
            return latch >> 8 * plane & 0xFF
        differs = (latch ^ self._compare) & self._care
        return ~(differs | differs >> 8 | differs >> 16 | differs >> 24) & 0xFF

    def _store_planes(self, offset: int, value: int) -> None:
        """Write modes 0 to 3: rotation, set/reset, function, bit mask, map mask."""
        offset -= self._start
        if not 0 <= offset < self._length:
            return
        access, planes = self.access, self._mask
        if access.odd_even:
            planes &= 0xFF00_FF00 if offset & 1 else 0x00FF_00FF
            if self.has_cells:
                self.cells[offset & CELLS_LENGTH - 1] = value
                return
            offset >>= 1
        latch, bits = self._latch, self._bits
        mode = access.write_mode
        if mode == 1:
            word = latch
        else:
            if mode == 2:
                word = SPREAD[value & 15]
            else:
                value = (value >> access.rotate | value << 8 - access.rotate) & 0xFF
                if mode == 0:
                    word = value * EVERYWHERE & self._from_processor | self._set
                else:
                    bits &= value * EVERYWHERE
                    word = SPREAD[access.set_reset]
            if access.function == 1:
                word &= latch
            elif access.function == 2:
                word |= latch
            elif access.function == 3:
                word ^= latch
            word = word & bits | latch & ~bits
        at = offset + (access.bank << 16) & self._last_word()
        if planes == FULL:
            self.words[at] = word
        else:
            self.words[at] = self.words[at] & ~planes | word & planes

    def _last_word(self) -> int:
        """A VGA has 64 Ki words; a planar Bochs mode has all there are."""
        return self.size // 4 - 1 if self.access.bank else PLANE_SIZE - 1
