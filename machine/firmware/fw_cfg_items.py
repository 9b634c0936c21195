"""What another BIOS (`-bios`) finds in fw_cfg: memory, ACPI and SMBIOS tables, a kernel.

Source: QEMU, docs/specs/fw_cfg.rst, and the names that SeaBIOS documents in
docs/Runtime_config.md. The order of drives is in CMOS (`machine.cmos`).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from machine.bus import Bus, Memory
from machine.devices import fw_cfg
from machine.devices.fw_cfg import FwCfg
from machine.firmware import smbios
from machine.firmware.acpi_tables import loader_files
from machine.firmware.bios import DO_KERNEL, FIRST_PORT
from machine.firmware.boot import Kernel
from machine.firmware.call import Call, Guest, Registers
from machine.firmware.listing import load
from machine.firmware.memory_map import HIGH, Range, Use

KERNEL_ROM = "genroms/qemupy-kernel.bin"
CONTROL = FIRST_PORT + 7
ROM_UNIT = 512
MENU_WAIT_MS = 10_000
COM1 = 0x3F8

SYSTEM_STATES = bytes((0x80, 0, 0, 0x01, 0, 0x80))
"""S0 and S5; S3 is switched off."""


@dataclass(frozen=True, slots=True)
class Items:
    """What is to be told."""

    below_4g: int
    above_4g: int = 0
    menu: bool = False
    has_hpet: bool = True
    serial_console: bool = False
    """The BIOS's text goes to the first serial port too (-nographic)."""
    has_kernel: bool = False


def fill_fw_cfg(device: FwCfg, items: Items) -> None:
    """Offer everything; once, before the machine starts."""
    device.add_number(fw_cfg.NB_CPUS, 1, 2)
    device.add_number(fw_cfg.MAX_CPUS, 1, 2)
    device.add_number(fw_cfg.RAM_SIZE, items.below_4g + items.above_4g, 8)
    device.add_number(fw_cfg.NOGRAPHIC, int(items.serial_console), 2)
    device.add_number(fw_cfg.BOOT_MENU, int(items.menu), 2)
    device.add_number(fw_cfg.IRQ0_OVERRIDE, 1, 4)
    ranges = [Range(0, items.below_4g, Use.RAM)]
    if items.above_4g:
        ranges.append(Range(HIGH, items.above_4g, Use.RAM))
    device.add_file("etc/e820", b"".join(one.packed() for one in ranges))
    device.add_file("etc/system-states", SYSTEM_STATES)
    device.add_file("etc/boot-menu-wait", struct.pack("<H", MENU_WAIT_MS))
    for name, data in loader_files(has_hpet=items.has_hpet, low_memory=items.below_4g).items():
        device.add_file(name, data)
    table, count = smbios.structures()
    device.add_file("etc/smbios/smbios-anchor", smbios.entry_point(0, table, count))
    device.add_file("etc/smbios/smbios-tables", table)
    if items.serial_console:
        device.add_file("etc/sercon-port", struct.pack("<Q", COM1))
    if items.has_kernel:
        device.add_file(KERNEL_ROM, kernel_rom())
        device.add_file("bootorder", f"/rom@{KERNEL_ROM}\nHALT\0".encode())


def kernel_rom() -> bytes:
    """The option ROM that boots -kernel, with its checksums."""
    listing = load("linuxboot")
    rom = bytearray(listing.code.ljust(ROM_UNIT, b"\0"))
    pnp, checksum = listing.labels["pnp"], listing.labels["checksum_of_pnp"]
    rom[checksum] = -sum(rom[pnp : pnp + 32]) & 0xFF
    rom[-1] = -sum(rom) & 0xFF
    return bytes(rom)


class KernelTrap:
    """The device behind that option ROM: loads the kernel, and tells where to go."""

    length = 1
    width = 1

    def __init__(self, memory: Memory, registers: Registers, kernel: Kernel) -> None:
        self._guest = Guest(memory)
        self._registers = registers
        self._kernel = kernel

    def attach(self, ports: Bus) -> None:
        ports.attach(CONTROL, self)

    def read(self, offset: int, size: int = 1) -> int:
        return 0xFF

    def write(self, offset: int, value: int, size: int = 1) -> None:
        if value == DO_KERNEL:
            jump = self._kernel.load(self._guest)
            call = Call(self._registers)
            call.ax, call.bp = jump.data, jump.stack
            call.bx, call.si = jump.segment, jump.offset
            call.dx = jump.drive
