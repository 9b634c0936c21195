"""SeaBIOS on the board: a real BIOS finds, programs and uses the devices.

The processor is unicorn's, whose interrupts are taken here as real mode takes them. Skipped where
SeaBIOS is not installed; QEMUPY_SEABIOS names another file.
"""

from __future__ import annotations

import os
import re
import struct
from datetime import UTC, datetime
from pathlib import Path

import pytest
import unicorn
from unicorn import x86_const as x86

from machine.board import HPET_BASE, IO_APIC_BASE, LOCAL_APIC_BASE, Outside, build_board
from machine.devices import fw_cfg
from machine.devices.debug_ports import DebugConsole
from tests.machine.fakes import FakeTime

IMAGE = Path(os.environ.get("QEMUPY_SEABIOS", "/usr/share/seabios/bios-256k.bin"))
RAM = 16 << 20
ACCESS_NS, HALT_NS = 1_000, 1_000_000
INTERRUPTS_ON, PROTECTED = 0x200, 1

pytestmark = pytest.mark.skipif(not IMAGE.exists(), reason=f"no {IMAGE}")


class Pc:
    """The board with unicorn's processor: ports and chips by callbacks, time by port accesses."""

    def __init__(self) -> None:
        self.uc = unicorn.Uc(unicorn.UC_ARCH_X86, unicorn.UC_MODE_16)
        bios = IMAGE.read_bytes()
        self.uc.mem_map(0, RAM)
        self.uc.mem_map(0xFFFC0000, 0x40000)
        self.uc.mem_write(0xFFFC0000, bios)
        self.uc.mem_write(0xE0000, bios[-0x20000:])
        self.time = FakeTime()
        self.text = bytearray()
        self.taken: list[int] = []
        self.board = build_board(
            self.time.clock, self, Outside(start=datetime(2026, 1, 1, tzinfo=UTC), has_smm=False)
        )
        self.board.ports.attach(0x402, DebugConsole(self.text.append))
        self.board.reset()
        self.configure()
        hook = self.uc.hook_add
        hook(unicorn.UC_HOOK_INSN, self.port_in, None, 1, 0, x86.UC_X86_INS_IN)
        hook(unicorn.UC_HOOK_INSN, self.port_out, None, 1, 0, x86.UC_X86_INS_OUT)
        hook(unicorn.UC_HOOK_INTR, lambda _, vector, __: self.interrupt(vector))
        for base in (IO_APIC_BASE, HPET_BASE, LOCAL_APIC_BASE):
            self.map_chip(base)
        self.uc.reg_write(x86.UC_X86_REG_CS, 0xF000)
        self.uc.reg_write(x86.UC_X86_REG_EIP, 0xFFF0)

    def configure(self) -> None:
        """What QEMU tells its BIOS about processors and memory."""
        self.board.fw_cfg.add_number(fw_cfg.NB_CPUS, 1, 2)
        self.board.fw_cfg.add_number(fw_cfg.MAX_CPUS, 1, 2)
        self.board.fw_cfg.add_file("etc/e820", struct.pack("<QQI", 0, RAM, 1))
        kilobytes = struct.pack("<H", (RAM >> 10) - 1024)
        for at in (0x17, 0x30):
            self.board.rtc.cmos[at : at + 2] = kilobytes

    def map_chip(self, base: int) -> None:
        memory = self.board.memory
        self.uc.mmio_map(
            base,
            0x1000,
            lambda _, at, size, __: memory.read(base + at, size),
            None,
            lambda _, at, size, value, __: memory.write(base + at, value, size),
            None,
        )

    def read(self, address: int, length: int) -> bytes:
        try:
            return bytes(self.uc.mem_read(address, length))
        except unicorn.UcError:
            return b"\xff" * length

    def write(self, address: int, data: bytes) -> None:
        self.uc.mem_write(address, data)

    def port_in(self, _: object, port: int, size: int, __: object) -> int:
        self.time.pass_(ACCESS_NS)
        return self.board.ports.read(port, size)

    def port_out(self, _: object, port: int, size: int, value: int, __: object) -> None:
        self.time.pass_(ACCESS_NS)
        self.board.ports.write(port, value, size)

    def get(self, register: int) -> int:
        return int(self.uc.reg_read(register))

    def interrupt(self, vector: int) -> None:
        """FLAGS, CS and IP are pushed, IF and TF cleared, CS:IP loaded from the vector."""
        flags = self.get(x86.UC_X86_REG_EFLAGS)
        stack = self.get(x86.UC_X86_REG_SP) - 6 & 0xFFFF
        frame = (self.get(x86.UC_X86_REG_EIP), self.get(x86.UC_X86_REG_CS), flags)
        self.uc.mem_write(
            self.get(x86.UC_X86_REG_SS) * 16 + stack,
            struct.pack("<HHH", *(value & 0xFFFF for value in frame)),
        )
        offset, segment = struct.unpack("<HH", self.uc.mem_read(4 * vector, 4))
        self.uc.reg_write(x86.UC_X86_REG_SP, stack)
        self.uc.reg_write(x86.UC_X86_REG_EFLAGS, flags & ~0x300)
        self.uc.reg_write(x86.UC_X86_REG_CS, segment)
        self.uc.reg_write(x86.UC_X86_REG_EIP, offset)
        self.taken.append(vector)

    def run(self, halts: int, until: bytes = b"") -> None:
        """Run for so many HLTs, at which interrupts come, or to a text on the debug console."""
        for _ in range(halts):
            self.uc.emu_start(self.next_pc(), 1 << 40, timeout=20_000_000)
            if until and until in self.text:
                return
            self.time.pass_(HALT_NS)
            if self.board.intr.level and self.get(x86.UC_X86_REG_EFLAGS) & INTERRUPTS_ON:
                assert not self.get(x86.UC_X86_REG_CR0) & PROTECTED
                self.interrupt(self.board.local_apic.acknowledge())

    def next_pc(self) -> int:
        """Where to go on, as unicorn wants it: the linear address."""
        if self.get(x86.UC_X86_REG_CR0) & PROTECTED:
            return self.get(x86.UC_X86_REG_EIP)
        return self.get(x86.UC_X86_REG_CS) * 16 + self.get(x86.UC_X86_REG_EIP)


@pytest.fixture(scope="module")
def booted() -> Pc:
    pc = Pc()
    pc.run(halts=3000, until=b"No bootable device")
    return pc


@pytest.mark.parametrize(
    "line",
    [
        r"Running on QEMU \(i440fx\)",
        r"QEMU fw_cfg DMA interface supported",
        r"qemu/e820: addr 0x0+ len 0x0+1000000 \[RAM\]",
        r"Found 3 PCI devices",
        r"PIIX3/PIIX4 init: elcr=00 0c",
        r"Using pmtimer, ioport 0x[b6]008",
        r"Found 1 cpu\(s\) max supported 1 cpu\(s\)",
        r"Found 1 serial ports",
        r"PS2 keyboard initialized",
        r"No bootable device",
    ],
)
def test_what_seabios_says(booted: Pc, line: str) -> None:
    assert re.search(line, booted.text.decode()), booted.text.decode()


def test_the_tick_counts_18_2_a_second(booted: Pc) -> None:
    before, start = ticks(booted), booted.time.ns
    booted.run(halts=1500)
    seconds = (booted.time.ns - start) / 1e9
    assert ticks(booted) - before == pytest.approx(seconds * 18.2065, abs=1)


def test_a_key_gets_into_the_bioss_buffer(booted: Pc) -> None:
    tail = int.from_bytes(booted.read(0x41C, 2), "little")
    for down in (True, False):
        booted.board.keyboard.press("a", down)
        booted.run(halts=10)
    assert booted.read(0x400 + tail, 2) == b"a\x1e"
    assert booted.taken.count(0x09) >= 2


def ticks(pc: Pc) -> int:
    """The BIOS's count of IRQ0."""
    return int.from_bytes(pc.read(0x46C, 4), "little")
