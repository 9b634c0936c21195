"""SeaBIOS takes what fw_cfg offers: ACPI and SMBIOS tables, and a kernel by an option ROM."""

from __future__ import annotations

import re
import struct

import pytest

from machine.firmware.boot import Jump
from machine.firmware.call import Guest
from machine.firmware.fw_cfg_items import Items, KernelTrap, fill_fw_cfg
from tests.machine import test_seabios
from tests.machine.firmware.harness import Registers

pytestmark = test_seabios.pytestmark

KERNEL_AT = 0x10200


class Kernel:
    """Writes a word where a test finds it, and halts."""

    title = "kernel"

    def load(self, guest: Guest) -> Jump:
        code = bytes.fromhex("c7060003 efbe fa f4 ebfd".replace(" ", ""))
        guest.memory.write(KERNEL_AT, code)
        return Jump(0x1020, 0, data=0x1000, stack=0xE000)


class Pc(test_seabios.Pc):
    def configure(self) -> None:
        fill_fw_cfg(self.board.fw_cfg, Items(below_4g=test_seabios.RAM, has_kernel=True))
        KernelTrap(self, Registers(self.uc), Kernel()).attach(self.board.ports)
        kilobytes = struct.pack("<H", (test_seabios.RAM >> 10) - 1024)
        for at in (0x17, 0x30):
            self.board.rtc.cmos[at : at + 2] = kilobytes


@pytest.fixture(scope="module")
def booted() -> Pc:
    pc = Pc()
    pc.run(halts=3000, until=b"Booting from ROM")
    for _ in range(50):
        if pc.read(0x10300, 2) == b"\xef\xbe":
            break
        pc.run(halts=20)
    return pc


def test_the_kernel_runs(booted: Pc) -> None:
    assert booted.read(0x10300, 2) == b"\xef\xbe", booted.text.decode()


@pytest.mark.parametrize(
    ("pattern", "least"), [(rb"RSD PTR ", 1), (rb"_SM_", 1), (rb"\x5fMP\x5f", 0)]
)
def test_tables_are_in_the_rom_area(booted: Pc, pattern: bytes, least: int) -> None:
    assert len(re.findall(pattern, booted.read(0xF0000, 0x10000))) >= least


def test_acpi_tables_are_whole(booted: Pc) -> None:
    area = booted.read(0xF0000, 0x10000)
    at = next(n for n in range(0, 0x10000, 16) if area[n : n + 8] == b"RSD PTR ")
    assert sum(area[at : at + 20]) & 0xFF == 0
    (root,) = struct.unpack_from("<I", area, at + 16)
    signatures = []
    (length,) = struct.unpack("<I", booted.read(root + 4, 4))
    table = booted.read(root, length)
    assert table[:4] == b"RSDT" and sum(table) & 0xFF == 0
    for (pointer,) in struct.iter_unpack("<I", table[36:]):
        (length,) = struct.unpack("<I", booted.read(pointer + 4, 4))
        one = booted.read(pointer, length)
        assert sum(one) & 0xFF == 0, one[:4]
        signatures.append(one[:4].decode())
        if one[:4] == b"FACP":
            facs, dsdt = struct.unpack_from("<II", one, 36)
            assert booted.read(facs, 4) == b"FACS" and booted.read(dsdt, 4) == b"DSDT"
    assert signatures == ["FACP", "APIC", "HPET"]
