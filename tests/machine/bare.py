"""Bare metal for tests: a processor in real mode, RAM, and a program of a few lines.

`run` assembles the program with the host's binutils, puts it at 7C00h and runs it to its first
`hlt`.  What it reads and writes at D0000h to D0FFFh goes to a device that notes it.
"""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from machine.bus import Bus, Window
from machine.engines import build_runner
from machine.physical import PhysicalMemory
from tcg.cpu import Cpu
from tcg.engine import Exit
from tcg.log import Log

if TYPE_CHECKING:
    from tcg.system import SystemRunner

START = 0x7C00
DEVICE, DEVICE_BYTES = 0xD0000, 0x1000
ENGINES = ("interp", "threaded", "jit")
ASK_HALT = 20


def assemble(text: str, start: int = START) -> bytes:
    """16-bit code (Intel's syntax) for that address."""
    with tempfile.TemporaryDirectory() as folder:
        made, linked = Path(folder, "code.o"), Path(folder, "code.bin")
        source = f".intel_syntax noprefix\n.code16\n.globl _start\n_start:\n{text}\n"
        subprocess.run(["as", "--32", "-o", made, "-"], input=source.encode(), check=True)
        subprocess.run(
            ["ld", "-m", "elf_i386", "--oformat=binary", f"-Ttext={start:#x}", "-o", linked, made],
            check=True,
        )
        return linked.read_bytes()


@dataclass
class Bare:
    """A machine without anything but a processor, RAM and the device."""

    engine: str
    model: str = "qemu32"
    accesses: list[tuple[str, int, int, int]] = field(default_factory=list)
    """What the device saw: r or w, offset, size, value."""
    runner: SystemRunner = field(init=False)
    memory: PhysicalMemory = field(init=False)
    cpu: Cpu = field(init=False)

    def __post_init__(self) -> None:
        from frontends.x86.pc_guest import PcGuest

        bus = Bus("memory")
        bus.attach(DEVICE, Window(DEVICE_BYTES, self._read, self._write, width=4))
        self.memory = PhysicalMemory(16 << 20, bus)
        self.memory.map_device(DEVICE, DEVICE_BYTES)
        environ = {"QEMUPY_HOT": "20", "QEMUPY_WAIT": "1"}
        self.runner = build_runner(self.engine, PcGuest(self.model), self.memory, Log(), environ)
        self.cpu = self.runner.new_cpu()
        self._reset()

    def _reset(self) -> None:
        for name in ("es", "cs", "ss", "ds", "fs", "gs"):
            self.set(f"{name}_limit", 0xFFFF)
            self.set(f"{name}_rights", 0x9B00 if name == "cs" else 0x9300)
        self.set("cr0", 0x6000_0010)
        self.set("eflags", 2)
        self.set("a20_mask", (1 << 64) - 1)
        self.set("esp" if "esp" in self.cpu.layout.slots else "rsp", START)
        self.cpu.pc = START

    def get(self, name: str) -> int:
        return self.cpu.get(self.cpu.layout.slots[name])

    def set(self, name: str, value: int) -> None:
        self.cpu.set(self.cpu.layout.slots[name], value)

    def load(self, text: str) -> None:
        """Put a program where it runs."""
        self.memory.write(START, assemble(text))

    def go(self) -> Exit:
        """Run until something must be done."""
        while (left := self.runner.run(self.cpu)).kind == "event":
            pass
        return left

    def _read(self, offset: int, size: int) -> int:
        value = 0x44332211 + offset & (1 << 8 * size) - 1
        self.accesses.append(("r", offset, size, value))
        return value

    def _write(self, offset: int, value: int, size: int) -> None:
        self.accesses.append(("w", offset, size, value))


def run(engine: str, text: str) -> Bare:
    """Run a program to its `hlt`."""
    bare = Bare(engine)
    bare.load(text)
    left = bare.go()
    assert (left.kind, left.code) == ("syscall", ASK_HALT), left
    return bare
