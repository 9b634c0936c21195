"""A driver of virtio disks, old or new, for our device and for QEMU's."""

from __future__ import annotations

import struct
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from machine.bus import Bus
from machine.devices.pci import ConfigPorts, PciBus
from machine.devices.virtio_blk import VirtioBlk
from machine.drive import Drive
from machine.images import open_image
from tests.machine.fakes import FakeTime, Ram
from tests.machine.qtest import Qtest

SLOT = 4
IO_BASE, MEMORY_BASE = 0xC100, 0xFE00_0000
PIRQ_ROUTES, IRQ = 0x60, 11
"""Where the PIIX3 has the interrupts of PCI, and the one that is given to all."""
RINGS, BUFFERS = 0x10000, 0x20000
NEXT, WRITABLE, INDIRECT = 1, 2, 4
INDIRECT_DESC, EVENT_IDX, VERSION_1 = 28, 29, 32

Piece = tuple[int, int, bool]
"""Address, length, and whether the device writes it."""


class Host(Protocol):
    """Ports and memory, of devices too, of a machine with a disk by virtio."""

    def read(self, port: int, size: int = 1) -> int: ...
    def write(self, port: int, value: int, size: int = 1) -> None: ...
    def read_memory(self, address: int, length: int) -> bytes: ...
    def write_memory(self, address: int, data: bytes) -> None: ...
    def load(self, address: int, size: int) -> int: ...
    def store(self, address: int, value: int, size: int) -> None: ...
    def wait(self) -> None: ...
    def interrupt(self) -> bool: ...
    def close(self) -> None: ...


class OurHost:
    """The disk on a PCI bus."""

    def __init__(self, disk: Path, *, read_only: bool = False, serial: str = "") -> None:
        self.time = FakeTime()
        self.ram = Ram(1 << 20)
        self.drive = Drive(open_image(str(disk), "raw"), "virtio0", read_only=read_only)
        self.unimplemented: list[str] = []
        self.ports, self.memory = Bus("ports"), Bus("memory")
        self.disk = VirtioBlk(
            self.ram, self.drive, self.time.clock,
            serial=serial, unimplemented=self.unimplemented.append,
        )  # fmt: skip
        pci = PciBus(self.ports, self.memory)
        pci.add(SLOT, 0, self.disk)
        self.ports.attach(0xCF8, ConfigPorts(pci, lambda _: None).ports)

    def read(self, port: int, size: int = 1) -> int:
        return self.ports.read(port, size)

    def write(self, port: int, value: int, size: int = 1) -> None:
        self.ports.write(port, value, size)

    def read_memory(self, address: int, length: int) -> bytes:
        return self.ram.read(address, length)

    def write_memory(self, address: int, data: bytes) -> None:
        self.ram.write(address, data)

    def load(self, address: int, size: int) -> int:
        return self.memory.read(address, size)

    def store(self, address: int, value: int, size: int) -> None:
        self.memory.write(address, value, size)

    def wait(self) -> None:
        self.time.pass_(1_000_000)
        time.sleep(0.0005)  # a flush takes the host's time

    def interrupt(self) -> bool:
        return self.disk.intx.level

    def close(self) -> None:
        self.drive.close()


class QemuHost(Qtest):
    """The same of QEMU's."""

    def __init__(self, folder: Path, disk: Path, *, read_only: bool = False) -> None:
        super().__init__(
            folder,
            "-drive",
            f"if=none,id=d,format=raw,cache=unsafe,file={disk}{',readonly=on' * read_only}",
            "-device",
            f"virtio-blk-pci,drive=d,addr={SLOT},serial=abc",
        )
        self.write(0xCF8, 1 << 31 | 1 << 11 | PIRQ_ROUTES, 4)
        self.write(0xCFC, IRQ * 0x01010101, 4)

    def load(self, address: int, size: int) -> int:
        return int(self.ask(f"read{' bw l'[size]} {address:#x}"), 16)

    def store(self, address: int, value: int, size: int) -> None:
        self.ask(f"write{' bw l'[size]} {address:#x} {value:#x}")

    def interrupt(self) -> bool:
        return self.irq_level(IRQ)


class Driver:
    """Finds the disk, agrees on features, and makes requests one by one or several at once."""

    def __init__(self, host: Host, *, is_modern: bool, features: int, indirect: bool) -> None:
        self.host = host
        self.is_modern = is_modern
        self.indirect = indirect
        self.parts: dict[int, int] = {}
        self._config(0x10, IO_BASE)
        self._config(0x20, MEMORY_BASE)
        self._config(0x04, 7, 2)
        self._find_parts()
        self.status = 0
        self.set_status(0)
        self.set_status(1)
        self.set_status(3)
        self.offered = self._offered()
        self.features = features & self.offered
        self._choose(self.features)
        if is_modern:
            self.set_status(11)
        self.has_event_index = bool(self.features >> EVENT_IDX & 1)
        self.size = 0
        self._set_queue()
        self.set_status(self.status | 4)
        self._added = self._seen = 0
        self._next = 0

    # -- configuration space ---------------------------------------------------------------------

    def _at(self, register: int) -> None:
        self.host.write(0xCF8, 1 << 31 | SLOT << 11 | register & 0xFC, 4)

    def config(self, register: int, size: int = 4) -> int:
        self._at(register)
        return self.host.read(0xCFC + (register & 3), size)

    def _config(self, register: int, value: int, size: int = 4) -> None:
        self._at(register)
        self.host.write(0xCFC + (register & 3), value, size)

    def _find_parts(self) -> None:
        at = self.config(0x34, 1)
        while at:
            if self.config(at, 1) == 9:
                kind, bar = self.config(at + 3, 1), self.config(at + 4, 1)
                if bar == 4 and kind < 5:
                    self.parts[kind] = MEMORY_BASE + self.config(at + 8)
                if kind == 2:
                    self.multiplier = self.config(at + 16)
            at = self.config(at + 1, 1)

    # -- registers -------------------------------------------------------------------------------

    def set_status(self, value: int) -> None:
        self.status = value
        if self.is_modern:
            self.host.store(self.parts[1] + 0x14, value, 1)
        else:
            self.host.write(IO_BASE + 18, value, 1)

    def get_status(self) -> int:
        if self.is_modern:
            return self.host.load(self.parts[1] + 0x14, 1)
        return self.host.read(IO_BASE + 18, 1)

    def isr(self) -> int:
        return self.host.load(self.parts[3], 1) if self.is_modern else self.host.read(IO_BASE + 19)

    def disk_config(self, at: int, size: int) -> int:
        if self.is_modern:
            return self.host.load(self.parts[4] + at, size)
        return self.host.read(IO_BASE + 20 + at, size)

    def _offered(self) -> int:
        if not self.is_modern:
            return self.host.read(IO_BASE, 4)
        found = 0
        for half in range(2):
            self.host.store(self.parts[1], half, 4)
            found |= self.host.load(self.parts[1] + 4, 4) << 32 * half
        return found

    def _choose(self, features: int) -> None:
        if not self.is_modern:
            self.host.write(IO_BASE + 4, features, 4)
            return
        for half in range(2):
            self.host.store(self.parts[1] + 8, half, 4)
            self.host.store(self.parts[1] + 12, features >> 32 * half & 0xFFFF_FFFF, 4)

    def _set_queue(self) -> None:
        host = self.host
        if not self.is_modern:
            host.write(IO_BASE + 14, 0, 2)
            self.size = host.read(IO_BASE + 12, 2)
            self.table, self.ring = RINGS, RINGS + 16 * self.size
            self.used = self.ring + 6 + 2 * self.size + 4095 & -4096
            host.write_memory(RINGS, bytes(self.used + 8 * self.size + 8 - RINGS))
            host.write(IO_BASE + 8, RINGS >> 12, 4)
            return
        common = self.parts[1]
        host.store(common + 0x16, 0, 2)
        self.size = 16
        host.store(common + 0x18, self.size, 2)
        self.table, self.ring, self.used = RINGS, RINGS + 0x1000, RINGS + 0x2000
        host.write_memory(RINGS, bytes(0x3000))
        for at, address in ((0x20, self.table), (0x28, self.ring), (0x30, self.used)):
            host.store(common + at, address, 4)
            host.store(common + at + 4, 0, 4)
        host.store(common + 0x1C, 1, 2)
        self.notify_at = self.parts[2] + self.multiplier * host.load(common + 0x1E, 2)

    # -- requests --------------------------------------------------------------------------------

    def add(self, pieces: Sequence[Piece]) -> int:
        """Put a request into the queue; gives the number of its first descriptor."""
        if self.indirect:
            table = self.table_of(pieces, 0)
            at = BUFFERS - 0x1000 + 0x100 * (self._added % 16)
            self.host.write_memory(at, table)
            pieces, flags = [(at, len(table), False)], INDIRECT
        else:
            flags = 0
        if self._next + len(pieces) > self.size:
            self._next = 0
        head = self._next
        data = bytearray(self.table_of(pieces, head))
        if flags:
            data[12] |= flags
        self.host.write_memory(self.table + 16 * head, bytes(data))
        self._next += len(pieces)
        place = self.ring + 4 + 2 * (self._added % self.size)
        self.host.write_memory(place, head.to_bytes(2, "little"))
        self._added = self._added + 1 & 0xFFFF
        return head

    @staticmethod
    def table_of(pieces: Sequence[Piece], first: int) -> bytes:
        rows = []
        for number, (address, length, is_written) in enumerate(pieces, 1):
            flags = WRITABLE * is_written | NEXT * (number < len(pieces))
            rows.append(struct.pack("<QIHH", address, length, flags, first + number))
        return b"".join(rows)

    def kick(self) -> bool:
        """Tell the device, if it wants to be told; whether it did."""
        host = self.host
        before = self._seen
        host.write_memory(self.ring + 2, self._added.to_bytes(2, "little"))
        if self.has_event_index:
            event = int.from_bytes(host.read_memory(self.used + 4 + 8 * self.size, 2), "little")
            if not (self._added - event - 1 & 0xFFFF) < (self._added - before & 0xFFFF):
                return False
        if self.is_modern:
            host.store(self.notify_at, 0, 2)
        else:
            host.write(IO_BASE + 16, 0, 2)
        return True

    def finish(self) -> list[tuple[int, int]]:
        """Wait until all requests are back: head and length of each, in the order of heads."""
        host = self.host
        for _ in range(2000):
            (index,) = struct.unpack("<H", host.read_memory(self.used + 2, 2))
            if index == self._added:
                break
            host.wait()
        else:
            raise AssertionError(f"{self._added - index & 0xFFFF} requests did not come back")
        found = []
        while self._seen != self._added:
            at = self.used + 4 + 8 * (self._seen % self.size)
            found.append(struct.unpack("<II", host.read_memory(at, 8)))
            self._seen = self._seen + 1 & 0xFFFF
        if self.has_event_index:
            event = self._seen.to_bytes(2, "little")
            host.write_memory(self.ring + 4 + 2 * self.size, event)
        return sorted(found)

    def request(self, kind: int, sector: int, data: bytes | int) -> tuple[int, int, bytes]:
        """One request with its data in one piece: its status, the length used, and the data."""
        length = data if isinstance(data, int) else len(data)
        header, place, status = BUFFERS, BUFFERS + 0x100, BUFFERS + 0x80
        self.host.write_memory(header, struct.pack("<IIQ", kind, 0, sector))
        self.host.write_memory(status, b"\xee")
        if isinstance(data, bytes):
            self.host.write_memory(place, data)
        pieces: list[Piece] = [(header, 16, False)]
        if length:
            pieces.append((place, length, isinstance(data, int)))
        self.add([*pieces, (status, 1, True)])
        self.kick()
        ((_, used),) = self.finish()
        found = self.host.read_memory(place, length) if length else b""
        return self.host.read_memory(status, 1)[0], used, found
