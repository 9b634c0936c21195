"""Bochs's display interface: modes of any size by ten registers of 16 bits.

Source: QEMU, docs/specs/standard-vga.rst, and Bochs, "VBE display API", which call it DISPI. Not
modelled: identities before B0C0h, and reading a font of 15-bit modes' spare bit.
"""

from __future__ import annotations

from collections.abc import Callable

ID, XRES, YRES, BPP, ENABLE, BANK, VIRT_WIDTH, VIRT_HEIGHT, X_OFFSET, Y_OFFSET, MEMORY = range(11)

ENABLED, GETCAPS, EIGHT_BIT_DAC, LFB_ENABLED, NOCLEARMEM = 0x01, 0x02, 0x20, 0x40, 0x80

NEWEST_ID, OLDEST_ID = 0xB0C5, 0xB0C0
MOST = {XRES: 16000, YRES: 12000, BPP: 32}
"""What GETCAPS has the first registers show."""
DEPTHS = (4, 8, 15, 16, 24, 32)


class Dispi:
    """Its registers, kept such that what they ask for fits into the memory.

    `changed` is called after a write, with True if the memory is to be cleared.
    """

    def __init__(self, memory_size: int, changed: Callable[[bool], None]) -> None:
        self.memory_size = memory_size
        self._changed = changed
        self.reset()

    def reset(self) -> None:
        """Off."""
        self.index = 0
        self._values = [0] * 10
        self._values[ID] = NEWEST_ID
        self.bank = 0
        """Of 64 KiB, the one in the window: switching on or off leads back to the first."""

    @property
    def is_on(self) -> bool:
        return bool(self._values[ENABLE] & ENABLED)

    @property
    def has_8_bit_dac(self) -> bool:
        return bool(self._values[ENABLE] & EIGHT_BIT_DAC)

    @property
    def width(self) -> int:
        return self._values[XRES]

    @property
    def height(self) -> int:
        return self._values[YRES]

    @property
    def depth(self) -> int:
        return self._values[BPP]

    @property
    def pitch(self) -> int:
        """Bytes of memory, all planes together, from one line to the next."""
        return self._bytes(self._values[VIRT_WIDTH])

    @property
    def start(self) -> int:
        """Where in memory the first pixel is, but for the remainder of 8 in planar modes."""
        return self._values[Y_OFFSET] * self.pitch + self._bytes(self._values[X_OFFSET])

    def _bytes(self, pixels: int) -> int:
        if self.depth == 4:
            return pixels // 8 * 4  # a byte of each of four planes
        return pixels * ((self.depth + 7) // 8)

    def read(self, index: int) -> int:
        """A register's value; those that do not exist are 0."""
        if index == MEMORY:
            return self.memory_size >> 16
        if index > MEMORY:
            return 0
        if self._values[ENABLE] & GETCAPS and index in MOST:
            return MOST[index]
        return self._values[index]

    def write(self, index: int, value: int) -> None:
        """Set a register."""
        values = self._values
        clear = False
        match index:
            case 0 if OLDEST_ID <= value <= NEWEST_ID:
                values[ID] = value
            case 1 | 2 | 3 | 6 | 8 | 9:
                values[index] = value
                self._fit()
            case 5:
                self.bank = values[BANK] = value & (self.memory_size >> 16) - 1
            case 4:
                clear = self._enable(value)
            case _:
                return
        self._changed(clear)

    def _enable(self, value: int) -> bool:
        """Switch on or off; answers whether the memory is to be cleared."""
        values = self._values
        begins = value & ENABLED and not values[ENABLE] & ENABLED
        if begins:
            values[VIRT_WIDTH] = values[X_OFFSET] = values[Y_OFFSET] = 0
            values[ENABLE] |= ENABLED
            self._fit()
        self.bank = 0
        values[ENABLE] = value
        return bool(begins and not value & NOCLEARMEM)

    def _fit(self) -> None:
        """Have resolution, virtual resolution and offsets agree with each other and the memory.

        Only while it is on: before, a guest writes them one by one.
        """
        values = self._values
        if not values[ENABLE] & ENABLED:
            return
        if values[BPP] not in DEPTHS:
            values[BPP] = 8
        values[XRES] = max(8, min(values[XRES] & ~7, MOST[XRES]))
        values[YRES] = max(1, min(values[YRES], MOST[YRES]))
        values[VIRT_WIDTH] = max(values[XRES], min(values[VIRT_WIDTH], MOST[XRES]) & ~7)
        lines = self.memory_size // self.pitch
        values[VIRT_HEIGHT] = min(lines, 0xFFFF)
        values[YRES] = min(values[YRES], lines)
        values[X_OFFSET] = min(values[X_OFFSET], MOST[XRES])
        values[Y_OFFSET] = min(values[Y_OFFSET], MOST[YRES])
        end = self.memory_size - self.pitch * values[YRES]
        if self.start > end:
            values[Y_OFFSET] = 0
        if self.start > end:
            values[X_OFFSET] = 0
