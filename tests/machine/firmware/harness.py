"""The embedded BIOS on the board, with unicorn for a processor: boots floppies, calls services."""

from __future__ import annotations

import struct
from contextlib import suppress
from datetime import UTC, datetime

import unicorn
from unicorn import x86_const as x86

from machine.board import HPET_BASE, IO_APIC_BASE, LOCAL_APIC_BASE, Outside, build_board
from machine.devices.debug_ports import DebugExit
from machine.devices.vga import Vga
from machine.firmware.bios import Bios, BiosOptions, Parts
from machine.firmware.disk import Drives
from machine.physical import Buffer
from tests.machine.fakes import FakeTime

RAM = 16 << 20
INTERRUPTS_ON, PROTECTED = 0x200, 1
BYTE_NS = 1_000_000
WINDOW, WINDOW_END = 0xA0000, 0xC0000
SLICE, SLICE_NS, ACCESS_NS = 20_000, 200_000, 1_000

NAMES = [
    *("eax", "ebx", "ecx", "edx", "esi", "edi", "ebp", "esp", "eip", "eflags"),
    *("cs", "ds", "es", "ss", "fs", "gs", "cr0"),
]
NUMBERS = {name: getattr(x86, f"UC_X86_REG_{name.upper()}") for name in NAMES}


class Registers:
    """Unicorn's registers by name; bases are those of real mode."""

    def __init__(self, uc: unicorn.Uc) -> None:
        self._uc = uc

    def __getitem__(self, name: str) -> int:
        if name.endswith("_base"):
            return 16 * int(self._uc.reg_read(NUMBERS[name[:2]]))
        return int(self._uc.reg_read(NUMBERS[name]))

    def __setitem__(self, name: str, value: int) -> None:
        self._uc.reg_write(NUMBERS[name], value)


class Pc:
    """The board, the BIOS and a processor. Time goes by instructions and port accesses."""

    below_4g = RAM
    above_4g = 0

    def __init__(self, drives: Drives | None = None, options: BiosOptions | None = None) -> None:
        self.uc = unicorn.Uc(unicorn.UC_ARCH_X86, unicorn.UC_MODE_16)
        self.uc.mem_map(0, WINDOW)
        self.uc.mem_map(WINDOW_END, RAM - WINDOW_END)
        self.uc.mem_map(0xFFFF0000, 0x10000)
        self.time = FakeTime()
        self.shown: set[int] = set()
        self.text = bytearray()
        self.serial = bytearray()
        """What went to port E9h."""
        self.exit_status: int | None = None
        self.taken: list[int] = []
        self.registers = Registers(self.uc)
        self.board = build_board(
            self.time.clock,
            self,
            Outside(
                start=datetime(2026, 1, 1, tzinfo=UTC),
                has_smm=False,
                debug_console=self.text.append,
                serial=(self.serial.append,),
            ),
        )
        self.board.ports.attach(0xF4, DebugExit(self.leave))
        self.board.reset()
        self.map_device(WINDOW, WINDOW_END - WINDOW)
        vga = Vga(self.time.clock, self)  # type: ignore[arg-type]
        vga.attach(self.board.ports, self.board.memory)
        self.board.pci.add(2, 0, vga)
        self.bios = Bios(
            Parts(
                self.board,
                self,
                self.registers,
                drives or Drives(),
                display=vga,
                options=options or BiosOptions(),
            )
        )
        self.uc.mem_write(0xF0000, self.bios.rom)
        self.uc.mem_write(0xFFFF0000, self.bios.rom)
        hook = self.uc.hook_add
        hook(unicorn.UC_HOOK_INSN, self.port_in, None, 1, 0, x86.UC_X86_INS_IN)
        hook(unicorn.UC_HOOK_INSN, self.port_out, None, 1, 0, x86.UC_X86_INS_OUT)
        hook(unicorn.UC_HOOK_INTR, lambda _, vector, __: self.interrupt(vector))
        for base in (IO_APIC_BASE, HPET_BASE, LOCAL_APIC_BASE):
            self.map_chip(base)
        self.registers["cs"], self.registers["eip"] = 0xF000, 0xFFF0

    def leave(self, status: int) -> None:
        self.exit_status = status
        self.uc.emu_stop()

    def new_buffer(self, length: int) -> Buffer:
        return Buffer(length)

    def map_ram(
        self, start: int, length: int, buffer: Buffer, offset: int = 0, writable: bool = True
    ) -> None:
        if start < RAM:
            self.uc.mem_unmap(start, length)
            self.uc.mem_map_ptr(start, length, unicorn.UC_PROT_ALL, buffer.address + offset)
            self.shown.add(start)

    def map_device(self, start: int, length: int) -> None:
        if start < RAM:
            if start in self.shown:
                self.uc.mem_unmap(start, length)
            self.map_chip(start, length)

    def map_chip(self, base: int, length: int = 0x1000) -> None:
        memory = self.board.memory
        self.uc.mmio_map(
            base,
            length,
            lambda _, at, size, __: memory.read(base + at, size),
            None,
            lambda _, at, size, value, __: memory.write(base + at, value, size),
            None,
        )

    # Memory, as the board and the BIOS reach it

    def read(self, address: int, length: int) -> bytes:
        try:
            return bytes(self.uc.mem_read(address, length))
        except unicorn.UcError:
            return b"\xff" * length

    def write(self, address: int, data: bytes) -> None:
        with suppress(unicorn.UcError):  # lost where no memory is
            self.uc.mem_write(address, data)
        if 0x600 <= address < address + len(data) <= RAM:  # which unicorn would not do by itself
            self.uc.ctl_remove_cache(address, address + len(data))

    def store(self, address: int, value: int, size: int) -> None:
        if address in range(WINDOW, WINDOW_END):
            self.board.memory.write(address, value, size)
        else:
            self.uc.mem_write(address, value.to_bytes(size, "little"))

    # The processor

    def port_in(self, _: object, port: int, size: int, __: object) -> int:
        self.time.pass_(ACCESS_NS)
        return self.board.ports.read(port, size)

    def port_out(self, _: object, port: int, size: int, value: int, __: object) -> None:
        self.time.pass_(ACCESS_NS)
        self.board.ports.write(port, value, size)

    def interrupt(self, vector: int) -> None:
        registers = self.registers
        flags = registers["eflags"]
        stack = registers["esp"] - 6 & 0xFFFF
        frame = (registers["eip"], registers["cs"], flags)
        self.write(16 * registers["ss"] + stack, struct.pack("<HHH", *(v & 0xFFFF for v in frame)))
        offset, segment = struct.unpack("<HH", self.read(4 * vector, 4))
        registers["esp"] = registers["esp"] & ~0xFFFF | stack
        registers["eflags"] = flags & ~0x300
        registers["cs"], registers["eip"] = segment, offset
        self.taken.append(vector)

    def run(self, slices: int) -> None:
        """Run so many slices; a HLT ends one early."""
        for _ in range(slices):
            is_real = not self.registers["cr0"] & PROTECTED
            pc = self.registers["eip"] + (16 * self.registers["cs"] if is_real else 0)
            self.uc.emu_start(pc, 1 << 40, count=SLICE)
            self.time.pass_(SLICE_NS)
            if self.board.intr.level and self.registers["eflags"] & INTERRUPTS_ON:
                assert not self.registers["cr0"] & PROTECTED
                self.interrupt(self.board.local_apic.acknowledge())

    def screen(self) -> list[str]:
        """The text on the screen."""
        cells = self.read(0xB8000, 4000)[::2]
        return [cells[row : row + 80].decode("cp437").rstrip() for row in range(0, 2000, 80)]

    def run_until(self, text: str, slices: int = 4000) -> str:
        """Run until the screen has a text; returns the screen."""
        for _ in range(slices // 20):
            self.run(20)
            shown = "\n".join(self.screen())
            if text in shown:
                return shown
        raise AssertionError(f"{text!r} did not come:\n{shown}")

    def type(self, *names: str) -> None:
        """Press keys one after the other; those joined by - together."""
        for name in names:
            keys = name.split("-")
            for down in (True, False):
                for key in keys if down else reversed(keys):
                    assert self.board.keyboard.press(key, down), key
                    for _ in range(3):  # bytes of a key come one by one
                        self.time.pass_(BYTE_NS)
                        self.run(1)
