"""Two VGAs that are told the same: ours, and QEMU's by its qtest protocol and monitor."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Protocol, Self

from machine.bus import Bus
from machine.devices.pci import ConfigPorts, PciBus
from machine.devices.vga import Vga
from machine.firmware.font import font
from machine.firmware.vga_modes import MODES, Mode, palette
from machine.physical import PhysicalMemory
from tests.machine.fakes import FakeTime

QEMU = os.environ.get("QEMUPY_QEMU_SYSTEM") or shutil.which("qemu-system-i386")

LFB = 0xE000_0000
REGISTERS = 0xE100_0000
SLOT = 2


class Picture(NamedTuple):
    width: int
    height: int
    rgb: bytes


class Card(Protocol):
    """What a guest and its user do with a display adapter."""

    def out(self, port: int, value: int, size: int = 1) -> None: ...
    def in_(self, port: int, size: int = 1) -> int: ...
    def write(self, address: int, data: bytes) -> None: ...
    def read(self, address: int, length: int) -> bytes: ...
    def picture(self) -> Picture: ...


class OurCard:
    """Ours on PCI, with memory as a processor reaches it."""

    def __init__(self, rom: bytes = b"") -> None:
        self.time = FakeTime()
        self.ports, self.bus = Bus("ports"), Bus("memory")
        self.memory = PhysicalMemory(1 << 20, self.bus)
        self.memory.map_device(0xA0000, 0x60000)
        self.vga = Vga(self.time.clock, self.memory, rom=rom)
        self.vga.attach(self.ports, self.bus)
        self.pci = PciBus(self.ports, self.bus)
        self.pci.add(SLOT, 0, self.vga)
        config = ConfigPorts(self.pci, lambda all_of_it: None)
        self.ports.attach(0xCF8, config.ports)

    def out(self, port: int, value: int, size: int = 1) -> None:
        self.ports.write(port, value, size)

    def in_(self, port: int, size: int = 1) -> int:
        return self.ports.read(port, size)

    def write(self, address: int, data: bytes) -> None:
        size = len(data) if len(data) in {2, 4} and address % len(data) == 0 else 1
        for at in range(0, len(data), size):
            self.memory.store(address + at, int.from_bytes(data[at : at + size], "little"), size)

    def read(self, address: int, length: int) -> bytes:
        return bytes(self.memory.load(address + index, 1) for index in range(length))

    def picture(self) -> Picture:
        frame = self.vga.render()
        return Picture(frame.width, frame.height, frame.rgb())


class QemuCard:
    """QEMU's standard VGA, in a machine that never runs."""

    def __init__(self, *options: str) -> None:
        assert QEMU is not None
        self._directory = tempfile.TemporaryDirectory(prefix="vga")
        self._at = Path(self._directory.name)
        self._process = subprocess.Popen(
            [
                *(QEMU, "-machine", "pc", "-S", "-m", "16", "-nodefaults", "-vga", "std"),
                *("-display", "none", "-qtest", "stdio", "-qtest-log", "/dev/null", *options),
                *("-monitor", f"unix:{self._at / 'monitor'},server,nowait"),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self._monitor = socket.socket(socket.AF_UNIX)
        deadline = time.monotonic() + 30
        while True:
            with suppress(OSError):
                self._monitor.connect(str(self._at / "monitor"))
                break
            assert time.monotonic() < deadline, "QEMU's monitor does not answer"
            time.sleep(0.01)
        self._monitor.settimeout(30)
        self._until_prompt()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._monitor.close()
        self._directory.cleanup()

    def _ask(self, request: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(request.encode() + b"\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline().decode().split()
        assert answer, f"QEMU has ended at {request[:60]}"
        assert answer[0] == "OK", f"{request[:60]}: {answer}"
        return answer[1] if len(answer) > 1 else ""

    def _until_prompt(self) -> None:
        said = b""
        while not said.endswith(b"(qemu) "):
            said += self._monitor.recv(4096)

    def out(self, port: int, value: int, size: int = 1) -> None:
        self._ask(f"out{'?bw?l'[size]} {port:#x} {value:#x}")

    def in_(self, port: int, size: int = 1) -> int:
        return int(self._ask(f"in{'?bw?l'[size]} {port:#x}"), 16)

    def write(self, address: int, data: bytes) -> None:
        for at in range(0, len(data), 0x4000):
            part = data[at : at + 0x4000]
            self._ask(f"write {address + at:#x} {len(part):#x} 0x{part.hex()}")

    def read(self, address: int, length: int) -> bytes:
        return bytes.fromhex(self._ask(f"read {address:#x} {length:#x}")[2:])

    def picture(self) -> Picture:
        path = self._at / "screen.ppm"
        self._monitor.sendall(f"screendump {path}\n".encode())
        self._until_prompt()
        magic, width, height, rest = path.read_bytes().split(maxsplit=3)
        assert magic == b"P6"
        return Picture(int(width), int(height), rest.split(b"\n", 1)[1])


def set_registers(card: Card, mode: Mode) -> None:
    """Program a mode of the VGA, as a BIOS does."""
    crtc = 0x3D4 if mode.misc & 1 else 0x3B4
    card.out(0x3C2, mode.misc)
    indexed = (
        (0x3C4, mode.sequencer),
        (crtc, bytes((0,)) * 0x11 + b"\0"),
        (crtc, mode.crtc),
        (0x3CE, mode.graphics),
    )
    for port, values in indexed:
        for index, value in enumerate(values):
            card.out(port, index | value << 8, 2)
    card.in_(crtc + 6)
    for index, value in enumerate(mode.attributes):
        card.out(0x3C0, index)
        card.out(0x3C0, value)
    card.out(0x3C0, 0x20)
    set_palette(card, palette(mode.palette))


def set_palette(card: Card, colors: Sequence[tuple[int, int, int]]) -> None:
    card.out(0x3C8, 0)
    for color in colors:
        for part in color:
            card.out(0x3C9, part)


def load_font(card: Card, height: int, at: int = 0) -> None:
    """Put the characters into plane 2, and come back to text."""
    old = []
    for port, index, value in (
        (0x3C4, 2, 4), (0x3C4, 4, 7), (0x3CE, 4, 2), (0x3CE, 5, 0), (0x3CE, 6, 4),
    ):  # fmt: skip
        card.out(port, index)
        old.append((port, index, card.in_(port + 1)))
        card.out(port, index | value << 8, 2)
    glyphs = font(height)
    padded = b"".join(
        glyphs[n : n + height].ljust(32, b"\0") for n in range(0, len(glyphs), height)
    )
    card.write(0xA0000 + at, padded)
    for port, index, value in old:
        card.out(port, index | value << 8, 2)


def set_mode(card: Card, number: int) -> Mode:
    """A mode of the BIOS, by its number; text modes with their font."""
    mode = MODES[number]
    set_registers(card, mode)
    if mode.is_text:
        load_font(card, mode.character)
    return mode


def set_dispi(card: Card, width: int, height: int, depth: int, flags: int = 0) -> None:
    """A mode of Bochs's interface."""
    card.in_(0x3DA)
    card.out(0x3C0, 0x20)
    for index, value in ((4, 0), (1, width), (2, height), (3, depth), (4, 0x41 | flags)):
        write_dispi(card, index, value)


def write_dispi(card: Card, index: int, value: int) -> None:
    card.out(0x1CE, index, 2)
    card.out(0x1CF, value, 2)


def read_dispi(card: Card, index: int) -> int:
    card.out(0x1CE, index, 2)
    return card.in_(0x1CF, 2)


def write_config(card: Card, register: int, value: int) -> None:
    card.out(0xCF8, 1 << 31 | SLOT << 11 | register, 4)
    card.out(0xCFC, value, 4)


def read_config(card: Card, register: int) -> int:
    card.out(0xCF8, 1 << 31 | SLOT << 11 | register, 4)
    return card.in_(0xCFC, 4)


def map_memory(card: Card) -> None:
    """Place frame buffer and registers."""
    write_config(card, 0x10, LFB)
    write_config(card, 0x18, REGISTERS)
    write_config(card, 0x04, 3)
