"""Power-on: devices as an operating system expects to find them, and the data areas.

Everything goes through the ports, as another BIOS would do it.
"""

from __future__ import annotations

import struct

from machine.board import COM_PORTS, LOCAL_APIC_BASE, Board
from machine.devices.i440fx import PAM
from machine.firmware import bda
from machine.firmware.call import Guest
from machine.firmware.disk import DiskServices, disk_geometry
from machine.firmware.pci_bios import give_addresses, route_interrupts
from machine.firmware.rom import vectors

PM_BASE = 0x600
"""Where the ACPI registers are; the FADT says so."""

FPU, MOUSE = 0x0002, 0x0004
IDE_CLASS = 0x0101
OPTION_ROMS, OPTION_ROMS_END = 0xC0000, 0xF0000
IDE_TIMING, IDE_DECODES = 0x40, 0x8000

# fmt: off
# Port and value, in this order.
PORT_WRITES = (
    (0x92, 0x02),                                               # A20
    (0x20, 0x11), (0x21, 0x08), (0x21, 0x04), (0x21, 0x01),     # IRQ0 to 7 at INT 08h,
    (0xA0, 0x11), (0xA1, 0x70), (0xA1, 0x02), (0xA1, 0x01),     # IRQ8 to 15 at INT 70h
    (0x21, 0xB8), (0xA1, 0x0F),                                 # open: 0, 1, 2, 6, 12 to 15
    (0x43, 0x36), (0x40, 0x00), (0x40, 0x00),                   # 18.2 ticks a second
    (0x43, 0x54), (0x41, 0x12),                                 # refresh
    (0x0D, 0x00), (0xDA, 0x00), (0xD6, 0xC0), (0xD4, 0x00),     # DMA 4 is the cascade
    (0x70, 0x0A), (0x71, 0x26), (0x70, 0x0B), (0x71, 0x02),     # clock: 24 hours, BCD
)
# Local APIC: on, the 8259s by LINT0, NMI by LINT1.
APIC_WRITES = ((0xF0, 0x1FF), (0x350, 0x8700), (0x360, 0x8400))
# fmt: on

KEYBOARD_AND_MOUSE = 0x47
"""The 8042's command byte: both interrupts, system flag, translation to set 1."""


def set_up_devices(board: Board) -> None:
    """Interrupts, time, DMA, keyboard, PCI."""
    for port, value in PORT_WRITES:
        board.ports.write(port, value, 1)
    for offset, value in APIC_WRITES:
        board.memory.write(LOCAL_APIC_BASE + offset, value, 4)
    _set_up_keyboard(board)
    route_interrupts(board.isa_bridge, lambda port, value: board.ports.write(port, value, 1))
    give_addresses(board.pci)
    board.power.write_config(0x40, PM_BASE | 1, 4)
    board.power.write_config(0x80, 1, 1)
    board.power.write_config(0x3C, 9, 1)
    for function in board.pci.functions.values():
        if function.read_config(0x0A, 2) == IDE_CLASS:
            for channel in (0, 2):
                function.write_config(IDE_TIMING + channel, IDE_DECODES, 2)
            function.write_config(0x04, function.command | 5, 2)


def shadow_option_roms(guest: Guest, board: Board) -> None:
    """C0000h to EFFFFh become RAM with what was there: programs search it, DOS makes use of it."""
    roms = guest.memory.read(OPTION_ROMS, OPTION_ROMS_END - OPTION_ROMS)
    for register in range(PAM + 1, PAM + 7):
        board.host_bridge.write_config(register, 0x33, 1)
    guest.memory.write(OPTION_ROMS, roms)


def _set_up_keyboard(board: Board) -> None:
    ports = board.ports
    ports.write(0x64, 0xAA, 1)
    for _ in range(16):  # the self test's answer, and what else is there
        if not ports.read(0x64, 1) & 1:
            break
        ports.read(0x60, 1)
    ports.write(0x64, 0xAE, 1)
    ports.write(0x64, 0xA8, 1)
    ports.write(0x64, 0x60, 1)
    ports.write(0x60, KEYBOARD_AND_MOUSE, 1)


def set_up_memory(guest: Guest, board: Board, disks: DiskServices) -> None:
    """Interrupt vectors, the BIOS data area, and the extended one."""
    guest.write(0, vectors())
    guest.write(0x400, bytes(0x100))
    guest.write(bda.EBDA, bytes(0x400))
    guest.put_byte(bda.EBDA, bda.EBDA_KB)
    guest.put_word(bda.EBDA_SEGMENT, bda.EBDA >> 4)
    guest.put_word(bda.MEMORY_KB, bda.CONVENTIONAL_KB)
    ports = [base for base, _ in COM_PORTS[: len(board.uarts)]]
    for index, port in enumerate(ports):
        guest.put_word(bda.COM_PORTS + 2 * index, port)
        guest.put_byte(bda.COM_TIMEOUTS + index, 0x0A)
    floppies = disks.floppy_count
    equipment = FPU | MOUSE | 0x20 | len(ports) << 9
    if floppies:
        equipment |= 1 | floppies - 1 << 6
    guest.put_word(bda.EQUIPMENT, equipment)
    guest.put_byte(bda.DISK_COUNT, disks.disk_count)
    guest.put_byte(bda.FLOPPY_CONTROL, 0x77)
    for index in range(2):
        guest.put_byte(bda.FLOPPY_STATE + index, 0x07)
    _tell_disk_geometry(guest, disks)


def _tell_disk_geometry(guest: Guest, disks: DiskServices) -> None:
    """INT 41h and 46h: cylinders, heads, ..., sectors of the first two hard disks."""
    for index, vector in enumerate((0x41, 0x46)):
        unit = disks.unit(0x80 + index)
        if unit is None:
            continue
        shape = disk_geometry(unit.drive)
        row = struct.pack(
            "<HBHHBBBBBHBB", shape.cylinders, shape.heads, 0, 0xFFFF, 0,
            0xC0 | (8 if shape.heads > 8 else 0), 0, 0, 0, shape.cylinders, shape.sectors, 0,
        )  # fmt: skip
        at = bda.DISK_TABLES + 16 * index
        guest.write(at, row)
        guest.put_dword(4 * vector, (bda.EBDA >> 4) << 16 | at - bda.EBDA)
