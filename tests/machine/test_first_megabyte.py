"""PAM and SMRAM as the processor sees them."""

from __future__ import annotations

import pytest

from machine.bus import Bus
from machine.devices.i440fx import AREAS, HostBridge
from machine.first_megabyte import FirstMegabyte
from machine.physical import PhysicalMemory

PAM, SMRAM = 0x59, 0x72


class Bench:
    """Two megabytes with a ROM of twos from E0000h on."""

    def __init__(self) -> None:
        self.memory = PhysicalMemory(2 << 20, Bus("memory"))
        self.areas = FirstMegabyte(self.memory)
        rom = self.memory.new_buffer(0x40000)
        rom.view[:] = b"\2" * 0x40000
        self.areas.add_rom(0xE0000, rom, 0x20000)
        self.bridge = HostBridge(self.areas.shadow, self.areas.smram)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_at_first_there_are_roms_and_nothing(bench: Bench) -> None:
    load = bench.memory.load
    assert [load(at, 1) for at in (0x9FFFF, 0xA0000, 0xC0000, 0xDFFFF, 0xE0000, 0xFFFFF)] == [
        *(0, 0xFF, 0xFF, 0xFF, 2, 2)
    ]
    bench.memory.store(0xF0000, 7, 1)
    assert load(0xF0000, 1) == 2


@pytest.mark.parametrize(("index", "base"), [(i, base) for i, (base, _) in enumerate(AREAS)])
def test_every_area_becomes_ram(bench: Bench, index: int, base: int) -> None:
    register, shift = PAM + (index + 1) // 2, 0 if index % 2 else 4
    bench.bridge.write_config(register, 3 << shift, 1)
    bench.memory.store(base, 0x55, 1)
    assert bench.memory.load(base, 1) == 0x55
    bench.bridge.write_config(register, 1 << shift, 1)
    bench.memory.store(base, 0x66, 1)
    assert bench.memory.load(base, 1) == 0x55
    bench.bridge.write_config(register, 0, 1)
    assert bench.memory.load(base, 1) == (2 if base >= 0xE0000 else 0xFF)


def test_smram(bench: Bench) -> None:
    shown = []
    bench.areas.show_display = lambda: shown.append(True)
    bench.bridge.write_config(SMRAM, 0x48, 1)
    bench.memory.store(0xA8000, 0x77, 1)
    assert (bench.memory.load(0xA8000, 1), shown) == (0x77, [])
    bench.bridge.write_config(SMRAM, 0x08, 1)
    assert (bench.memory.load(0xA8000, 1), shown) == (0xFF, [True])
