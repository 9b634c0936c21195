"""Two hosts for the same accesses to IDE: our controller, and QEMU's by its qtest protocol."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Protocol

from machine.bus import Bus
from machine.devices.ide import Ide
from machine.devices.pci import COMMAND, PciBus
from machine.drive import Drive
from machine.images import open_image
from tests.machine.fakes import FakeTime, Ram, Recorder
from tests.machine.qtest import QtestWire

BSY, DRQ = 0x80, 0x08
MASTER = 0xC000
"""Where the bus master is put."""


class Host(Protocol):
    """Ports and memory of a machine with IDE, and how often its interrupts came."""

    def read(self, port: int, size: int = 1) -> int: ...
    def write(self, port: int, value: int, size: int = 1) -> None: ...
    def read_block(self, port: int, count: int) -> bytes: ...
    def write_block(self, port: int, data: bytes) -> None: ...
    def read_memory(self, address: int, length: int) -> bytes: ...
    def write_memory(self, address: int, data: bytes) -> None: ...
    def settle(self, base: int) -> None: ...
    def wait(self) -> None: ...
    def irq_level(self, number: int) -> bool: ...
    def close(self) -> None: ...


class OurHost:
    """The controller on a bus; time passes when somebody waits."""

    def __init__(self, disks: dict[int, Path], cd: Path | None = None) -> None:
        self.time = FakeTime()
        self.ram = Ram(1 << 20)
        self.drives = {
            number: Drive(open_image(str(path), "raw"), f"ide{number // 2}-hd{number % 2}")
            for number, path in disks.items()
        }
        if cd is not None:
            image = open_image(str(cd), "raw", writable=False)
            self.drives[2] = Drive(image, "ide1-cd0", is_cd=True)
        self.plug(self.drives)

    def plug(self, drives: dict[int, Drive]) -> None:
        """Make the controller anew, with these drives."""
        self.drives = drives
        self.unimplemented: list[str] = []
        self.ports = Bus("ports")
        self.irqs = (Recorder(), Recorder())
        self.ide = Ide(self.time.clock, self.ram, self.irqs, drives, self.unimplemented.append)
        self.ide.attach(self.ports)
        pci = PciBus(self.ports, Bus("memory"))
        pci.add(1, 1, self.ide)
        self.ide.write_config(0x20, MASTER, 4)
        self.ide.write_config(COMMAND, 5, 2)

    def read(self, port: int, size: int = 1) -> int:
        return self.ports.read(port, size)

    def write(self, port: int, value: int, size: int = 1) -> None:
        self.ports.write(port, value, size)

    def read_block(self, port: int, count: int) -> bytes:
        return self.ports.read_block(port, count, 2)

    def write_block(self, port: int, data: bytes) -> None:
        self.ports.write_block(port, data, 2)

    def read_memory(self, address: int, length: int) -> bytes:
        return self.ram.read(address, length)

    def write_memory(self, address: int, data: bytes) -> None:
        self.ram.write(address, data)

    def wait(self) -> None:
        """Let a little time pass."""
        self.time.pass_(100_000)

    def settle(self, base: int) -> None:
        """Wait until the drive is not busy; a flush takes the host's time."""
        self.time.pass_(100_000)
        for _ in range(2000):
            if not self.read(base + 0x206) & BSY or self.read(base + 0x206) & DRQ:
                return
            self.time.pass_(1_000_000)
            time.sleep(0.001)

    def irq_level(self, number: int) -> bool:
        return self.irqs[number - 14].level

    def close(self) -> None:
        for drive in self.drives.values():
            drive.close()


class QemuHost(QtestWire):
    """QEMU's machine, whose processor never starts."""

    def __init__(self, disks: dict[int, Path], cd: Path | None = None) -> None:
        drives = []
        for number, path in disks.items():
            drives += ["-drive", f"file={path},format=raw,if=ide,index={number},cache=unsafe"]
        if cd is not None:
            drives += ["-drive", f"file={cd},format=raw,if=ide,index=2,media=cdrom"]
        super().__init__("-S", *drives)
        for register, value, size in ((0x20, MASTER, 4), (0x04, 5, 2)):
            self.write(0xCF8, 1 << 31 | 1 << 11 | 1 << 8 | register, 4)
            self.write(0xCFC, value, size)

    def read_block(self, port: int, count: int) -> bytes:
        return b"".join(self.read(port, 2).to_bytes(2, "little") for _ in range(count))

    def write_block(self, port: int, data: bytes) -> None:
        for at in range(0, len(data), 2):
            self.write(port, int.from_bytes(data[at : at + 2], "little"), 2)

    def settle(self, base: int) -> None:
        """Wait until the drive is not busy: QEMU's disks take real time."""
        for _ in range(2000):
            status = self.read(base + 0x206)
            if not status & BSY or status & DRQ:
                return
            time.sleep(0.0005)
