"""Two hosts for the same accesses to floppy disks: our controller, and QEMU's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from machine.bus import Bus
from machine.devices.dma import Dma
from machine.devices.fdc import FloppyController
from machine.drive import Drive
from machine.images import open_image
from tests.machine.fakes import FakeTime, Ram, Recorder
from tests.machine.qtest import Qtest

DOR, MSR, FIFO, DIR = 0x3F2, 0x3F4, 0x3F5, 0x3F7
BUFFER = 0x10000
TO_MEMORY, FROM_MEMORY = 0x46, 0x4A


class Host(Protocol):
    """Ports and memory of a machine with floppy drives, and its interrupt 6."""

    def read(self, port: int) -> int: ...
    def write(self, port: int, value: int) -> None: ...
    def read_memory(self, address: int, length: int) -> bytes: ...
    def write_memory(self, address: int, data: bytes) -> None: ...
    def wait(self) -> None: ...
    def irq_level(self, number: int) -> bool: ...
    def close(self) -> None: ...


class OurHost:
    """The controller on a bus; time passes when somebody waits."""

    def __init__(self, disks: Mapping[int, Path | None], *, read_only: bool = False) -> None:
        self.time = FakeTime()
        self.ram = Ram(1 << 18)
        self.drives = {
            number: Drive(
                open_image(str(path), "raw") if path else None, f"fd{number}", read_only=read_only
            )
            for number, path in disks.items()
        }
        self.unimplemented: list[str] = []
        self.ports = Bus("ports")
        self.irq = Recorder()
        self.dma = Dma(self.ram)
        self.ports.attach(0x00, self.dma.low)
        self.ports.attach(0x81, self.dma.pages)
        self.ports.attach(0xC0, self.dma.high)
        self.fdc = FloppyController(
            self.time.clock, self.dma, self.irq, self.drives, self.unimplemented.append
        )
        self.fdc.attach(self.ports)

    def read(self, port: int) -> int:
        return self.ports.read(port, 1)

    def write(self, port: int, value: int) -> None:
        self.ports.write(port, value, 1)

    def read_memory(self, address: int, length: int) -> bytes:
        return self.ram.read(address, length)

    def write_memory(self, address: int, data: bytes) -> None:
        self.ram.write(address, data)

    def wait(self) -> None:
        self.time.pass_(1_000_000)

    def irq_level(self, number: int) -> bool:
        assert number == 6
        return self.irq.level

    def close(self) -> None:
        for drive in self.drives.values():
            drive.close()


def qemu_host(folder: Path, disks: Mapping[int, Path]) -> Qtest:
    """The same of QEMU's."""
    options = []
    for number, path in disks.items():
        options += ["-drive", f"if=floppy,index={number},format=raw,cache=unsafe,file={path}"]
    return Qtest(folder, *options)


def start(host: Host) -> None:
    """Reset the controller, and say how it is to work: DMA, no polling of what is not there."""
    host.write(DOR, 0)
    host.write(DOR, 0x1C)
    settle(host)
    for _ in range(4):
        command(host, 0x08)
    command(host, 0x03, 0xAF, 0x02)
    host.write(0xD4, 0)
    host.write(0xD6, 0xC0)


def settle(host: Host) -> bool:
    """Wait for an interrupt; whether one came."""
    for _ in range(200):
        if host.irq_level(6):
            return True
        host.wait()
    return False


def command(host: Host, *values: int) -> list[int]:
    """Send a command and its parameters; gives the results that are there at once."""
    for value in values:
        assert host.read(MSR) & 0xC0 == 0x80, f"{host.read(MSR):#x} before {value:#x}"
        host.write(FIFO, value)
    return results(host)


def results(host: Host) -> list[int]:
    """What the result phase has."""
    found = []
    while host.read(MSR) & 0xF0 == 0xD0:
        found.append(host.read(FIFO))
    return found


def wait_for(host: Host, *values: int) -> list[int]:
    """A command that ends with an interrupt, and its results."""
    for value in values:
        host.write(FIFO, value)
    assert settle(host), f"no interrupt after {bytes(values).hex(' ')}"
    return results(host)


def move(host: Host, unit: int, cylinder: int) -> list[int]:
    """Seek, and what SENSE INTERRUPT says of it."""
    wait_for(host, 0x0F, unit, cylinder)
    return command(host, 0x08)


def set_dma(host: Host, mode: int, count: int, address: int = BUFFER) -> None:
    """Channel 2 for so many bytes."""
    writes: Sequence[tuple[int, int]] = (
        (0x0A, 6), (0x0C, 0), (0x0B, mode), (0x04, address & 0xFF), (0x04, address >> 8 & 0xFF),
        (0x81, address >> 16), (0x05, count - 1 & 0xFF), (0x05, count - 1 >> 8), (0x0A, 2),
    )  # fmt: skip
    for port, value in writes:
        host.write(port, value)
