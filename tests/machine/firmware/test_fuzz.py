"""Random registers to every service: nothing may end in a Python exception."""

from __future__ import annotations

import random

import pytest

from tests.machine.firmware.fakes import FakeRegisters
from tests.machine.firmware.harness import Pc

GENERAL = ("eax", "ebx", "ecx", "edx", "esi", "edi", "ebp")
CONTROL, CONTROLS = 7, (1, 2, 3, 5, 9, 200)


@pytest.mark.parametrize("seed", range(4))
def test_random_calls_end_well(seed: int) -> None:
    chosen = random.Random(seed)
    pc = Pc()
    pc.run_until("No bootable device", 200)
    for _ in range(500):
        registers = FakeRegisters()
        for name in GENERAL:
            registers[name] = chosen.getrandbits(chosen.choice((8, 16, 32)))
        registers["eax"] = registers["eax"] & ~0xFF00 | chosen.randrange(256) << 8
        registers["es"], registers["ds"] = chosen.choices((0x1000, 0x2000, 0x9000), k=2)
        registers["esp"] = chosen.randrange(0x10000)
        service = chosen.randrange(10)
        if service == CONTROL:
            registers["eax"] = registers["eax"] & ~0xFF | chosen.choice(CONTROLS)
        pc.bios._registers = registers
        pc.bios.write(service, 0)
