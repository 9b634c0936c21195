"""QEMU's machine as a witness of devices: its processor halts at once, ports are asked for.

Protocol: QEMU, docs/devel/testing/qtest.rst.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

QEMU = os.environ.get("QEMUPY_QEMU_SYSTEM") or shutil.which("qemu-system-i386")


class QtestWire:
    """QEMU with these options, asked by qtest; interrupts are watched at the I/O APIC."""

    def __init__(self, *options: str) -> None:
        assert QEMU is not None
        self.process = subprocess.Popen(
            [QEMU, "-machine", "pc", "-nodefaults", "-m", "16",
             "-qtest", "stdio", "-qtest-log", "/dev/null", "-display", "none", *options],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        self.levels = dict.fromkeys(range(24), False)
        self.ask("irq_intercept_in ioapic")

    def ask(self, command: str) -> str:
        """Send a command; interrupts may change before the answer comes."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        while True:
            line = self.process.stdout.readline()
            kind, *rest = line.split()
            if kind == "IRQ":
                self.levels[int(rest[1])] = rest[0] == "raise"
                continue
            assert kind == "OK", f"{command}: {line}"
            return rest[0] if rest else ""

    def read(self, port: int, size: int = 1) -> int:
        return int(self.ask(f"in{' bw l'[size]} {port:#x}"), 16)

    def write(self, port: int, value: int, size: int = 1) -> None:
        self.ask(f"out{' bw l'[size]} {port:#x} {value:#x}")

    def read_memory(self, address: int, length: int) -> bytes:
        return bytes.fromhex(self.ask(f"read {address:#x} {length}")[2:])

    def write_memory(self, address: int, data: bytes) -> None:
        self.ask(f"write {address:#x} {len(data)} 0x{data.hex()}")

    def wait(self) -> None:
        """Let a little time pass."""
        time.sleep(0.0005)

    def irq_level(self, number: int) -> bool:
        self.read(0x80)
        return self.levels[number]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()


class Qtest(QtestWire):
    """The same with a BIOS of nothing but HLT, which is put into `folder`."""

    def __init__(self, folder: Path, *options: str) -> None:
        bios = folder / "halts.bin"
        bios.write_bytes(b"\xf4" * 65536)
        super().__init__("-bios", str(bios), *options)
