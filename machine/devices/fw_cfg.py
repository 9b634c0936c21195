"""QEMU's firmware configuration device: named blobs for a BIOS, at ports 510h to 51Bh.

Source: QEMU, docs/specs/fw_cfg. Items are selected by a number; named ones ("files") have numbers
from 20h on and are listed in item 19h. Not modelled: writing through the data register, which
newer QEMUs ignore as well.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from machine.bus import Memory, Window

# fmt: off
SIGNATURE, ID, UUID, RAM_SIZE, NOGRAPHIC, NB_CPUS = 0x00, 0x01, 0x02, 0x03, 0x04, 0x05
KERNEL_ADDR, KERNEL_SIZE, INITRD_ADDR, INITRD_SIZE = 0x07, 0x08, 0x0A, 0x0B
BOOT_DEVICE, NUMA, BOOT_MENU, MAX_CPUS            = 0x0C, 0x0D, 0x0E, 0x0F
KERNEL_ENTRY, KERNEL_DATA, INITRD_DATA            = 0x10, 0x11, 0x12
CMDLINE_ADDR, CMDLINE_SIZE, CMDLINE_DATA          = 0x13, 0x14, 0x15
SETUP_ADDR, SETUP_SIZE, SETUP_DATA                = 0x16, 0x17, 0x18
FILE_DIR, FIRST_FILE                              = 0x19, 0x20
ACPI_TABLES, SMBIOS_ENTRIES, IRQ0_OVERRIDE, E820  = 0x8000, 0x8001, 0x8002, 0x8003
# fmt: on

HAS_PORTS, HAS_DMA = 1, 2
"""Bits of the item `ID`."""

DMA_ERROR, DMA_READ, DMA_SKIP, DMA_SELECT, DMA_WRITE = 1, 2, 4, 8, 16
DMA_SIGNATURE = b"QEMU CFG"

NAME_SIZE = 56


class FwCfg:
    """The selector and data ports, and the DMA interface behind 514h."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._items: dict[int, bytearray] = {}
        self._writable: dict[int, Callable[[bytes], None]] = {}
        self._files: list[tuple[str, int]] = []
        self.ports = Window(2, self._read, self._write, width=2)
        self.dma = Window(8, self._read_dma, self._write_dma, width=4)
        self.add(SIGNATURE, b"QEMU")
        self.add(ID, struct.pack("<I", HAS_PORTS | HAS_DMA))
        self._list_files()
        self.reset()

    def reset(self) -> None:
        self._selected = SIGNATURE
        self._position = 0
        self._dma_high = 0

    def add(self, key: int, data: bytes) -> None:
        """Offer an item under a number of the specification."""
        self._items[key] = bytearray(data)

    def add_number(self, key: int, value: int, size: int) -> None:
        """Offer a little-endian number of 2, 4 or 8 bytes."""
        self.add(key, value.to_bytes(size, "little"))

    def add_file(
        self, name: str, data: bytes, written: Callable[[bytes], None] | None = None
    ) -> None:
        """Offer a blob by name; with `written` the guest may change it, by DMA only."""
        if len(name) >= NAME_SIZE:
            raise ValueError(f"fw_cfg: the name {name} is longer than {NAME_SIZE - 1} bytes")
        if any(name == known for known, _ in self._files):
            raise ValueError(f"fw_cfg: there is a {name} already")
        key = FIRST_FILE + len(self._files)
        self._files.append((name, key))
        self.add(key, data)
        if written is not None:
            self._writable[key] = written
        self._list_files()

    def _list_files(self) -> None:
        """A count, then size, number and name of each, big endian and sorted by name."""
        rows = [
            struct.pack(f">IHH{NAME_SIZE}s", len(self._items[key]), key, 0, name.encode())
            for name, key in sorted(self._files)
        ]
        self.add(FILE_DIR, struct.pack(">I", len(rows)) + b"".join(rows))

    def _select(self, key: int) -> None:
        self._selected = key & 0xBFFF  # bit 14 once said: for writing
        self._position = 0

    def _take(self, length: int) -> bytes:
        """The next bytes of the item, and zeros after its end."""
        data = self._items.get(self._selected, b"")
        taken = bytes(data[self._position : self._position + length])
        self._position += length
        return taken

    def _read(self, offset: int, size: int) -> int:
        if size == 2 or offset == 0:
            return 0  # the selector cannot be read, and data is a port of one byte
        return int.from_bytes(self._take(1), "big")

    def _write(self, offset: int, value: int, size: int) -> None:
        if offset == 0 and size == 2:
            self._select(value)

    # DMA

    def _read_dma(self, offset: int, size: int) -> int:
        """The signature, so that a guest sees there is DMA."""
        return int.from_bytes(DMA_SIGNATURE[offset : offset + size], "little")

    def _write_dma(self, offset: int, value: int, size: int) -> None:
        """The command's address, big endian; its lower half starts the transfer."""
        if size != 4:
            return
        half = int.from_bytes(value.to_bytes(4, "little"), "big")
        if offset == 0:
            self._dma_high = half
        elif offset == 4:
            address = self._dma_high << 32 | half
            self._dma_high = 0
            self._run(address)

    def _run(self, address: int) -> None:
        """Carry out FWCfgDmaAccess: control, length, address, all big endian."""
        control, length, target = struct.unpack(">IIQ", self._memory.read(address, 16))
        if control & DMA_SELECT:
            self._select(control >> 16)
        is_done = True
        if control & DMA_READ:
            self._read_by_dma(target, length)
        elif control & DMA_WRITE:
            is_done = self._write_by_dma(target, length)
        elif control & DMA_SKIP:
            self._position += length
        self._memory.write(address, struct.pack(">I", 0 if is_done else DMA_ERROR))

    def _read_by_dma(self, target: int, length: int) -> None:
        """Zeros follow an item's end, in parts: a guest may ask for four gigabytes of them."""
        part = 1 << 20
        for start in range(0, length, part):
            size = min(part, length - start)
            self._memory.write(target + start, self._take(size).ljust(size, b"\0"))

    def _write_by_dma(self, target: int, length: int) -> bool:
        written = self._writable.get(self._selected)
        data = self._items.get(self._selected, bytearray())
        if written is None or self._position + length > len(data):
            return False
        data[self._position : self._position + length] = self._memory.read(target, length)
        self._position += length
        written(bytes(data))
        return True
