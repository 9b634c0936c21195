"""ROMs of assembly that tell what the processor does, on our engines and on QEMU.

A program is `<name>.asm` here; it sends records to the debug console and ends by the debug exit.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, monotonic_ns, sleep

from frontends.x86.pc_guest import PcGuest
from frontends.x86.state import IF
from machine.board import Outside, build_board
from machine.bus import Bus
from machine.clock import Clock, RealTime
from machine.engines import build_runner
from machine.first_megabyte import FirstMegabyte
from machine.physical import PhysicalMemory
from machine.processor import LockedBus, Processor
from tcg.log import Log

HERE = Path(__file__).parent
QEMU = os.environ.get("QEMUPY_QEMU_SYSTEM_X86_64") or shutil.which("qemu-system-x86_64")
NASM = shutil.which("nasm")
ROM_BYTES = 0x10000
RAM_BYTES = 16 << 20
PATIENCE = 240.0
"""Seconds that a program may take."""


def assemble(name: str, folder: Path, **defines: str) -> bytes:
    """The ROM of a program."""
    made = folder / f"{name}.rom"
    options = [f"-D{key}={value}" for key, value in defines.items()]
    assert NASM
    source = HERE / f"{name}.asm"
    subprocess.run([NASM, *options, "-fbin", f"-I{HERE}/", "-o", made, source], check=True)
    rom = made.read_bytes()
    assert len(rom) == ROM_BYTES
    return rom


def on_qemu(rom: bytes, folder: Path, cpu: str) -> bytes:
    """What a program sends on QEMU."""
    image, out = folder / "qemu.rom", folder / "qemu.out"
    image.write_bytes(rom)
    assert QEMU
    options = (
        *("-accel", "tcg", "-M", "pc", "-m", "16", "-cpu", cpu, "-nodefaults", "-display", "none"),
        *("-bios", str(image), "-no-reboot", "-chardev", f"file,id=out,path={out}"),
        *("-device", "isa-debugcon,chardev=out,iobase=0xe9", "-device", "isa-debug-exit"),
    )
    subprocess.run([QEMU, *options], check=False, timeout=60)
    return out.read_bytes()


class Machine:
    """A board and a processor that starts in a ROM."""

    def __init__(self, rom: bytes, engine: str, cpu: str) -> None:
        self.sent = bytearray()
        self.failed = self.has_ended = False
        lock = threading.RLock()
        clock = Clock(RealTime(monotonic_ns))
        memory = PhysicalMemory(RAM_BYTES, Bus("memory"))
        first = FirstMegabyte(memory)
        guest = PcGuest(cpu)
        runner = build_runner(engine, guest, memory, Log(()), {**os.environ})
        memory.on_written = runner.memory_changed
        memory.on_map_changed = lambda _start, _end: runner.remapped()
        outside = Outside(
            start=datetime(2026, 1, 1, tzinfo=UTC),
            has_smm=False,
            shadow=first.shadow,
            smram=first.smram,
            debug_console=self.sent.append,
            debug_exit=lambda _status: self._end(),
        )
        self.board = board = build_board(clock, memory, outside)
        memory.bus = LockedBus(board.memory, lock)
        self.processor = Processor(runner, guest, board, lock, on_triple_fault=self._fail)
        with lock:
            board.reset()
        self._place(memory, rom)
        self.processor.reset()

    @staticmethod
    def _place(memory: PhysicalMemory, rom: bytes) -> None:
        """Below 1 MiB, and where the processor starts."""
        for address in (0xF0000, (1 << 32) - ROM_BYTES):
            memory.add_rom(address, rom)

    def _end(self) -> None:
        self.has_ended = True
        self.processor.request_stop()

    def _fail(self) -> None:
        self.failed = True
        self._end()

    def run(self) -> bytes:
        """What the program sends until it ends, takes too long, or halts for good."""
        watch = threading.Thread(target=self._watch, daemon=True)
        watch.start()
        self.processor.run()
        return bytes(self.sent)

    def _watch(self) -> None:
        """End a program that takes too long, or halts with interrupts off."""
        end = monotonic() + PATIENCE
        while not self.has_ended:
            sleep(0.2)
            halted = self.processor.is_halted and not self.processor.registers["eflags"] & IF
            if halted or monotonic() > end:
                self._fail()


def on_ours(rom: bytes, engine: str, cpu: str) -> bytes:
    """What a program sends on one of our engines."""
    machine = Machine(rom, engine, cpu)
    sent = machine.run()
    assert not machine.failed, f"the program did not end; it has sent {len(sent)} bytes"
    return sent
