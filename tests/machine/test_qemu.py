"""The board beside QEMU's: the same port accesses, while time stands in both.

QEMU's monitor reads and writes ports (`i`, `o`) of a machine that was never started. Skipped where
there is no `qemu-system-i386`; QEMUPY_QEMU_SYSTEM names another one.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from machine.board import Outside, build_board
from tests.machine.fakes import FakeTime, Ram

QEMU = os.environ.get("QEMUPY_QEMU_SYSTEM") or shutil.which("qemu-system-i386")
OPTIONS = (
    *("-machine", "pc", "-m", "16", "-nodefaults", "-display", "none", "-vga", "none"),
    *("-serial", "null", "-S", "-monitor", "stdio", "-rtc", "base=2024-02-29T23:59:58"),
)
LETTERS = {1: "b", 2: "h", 4: "w"}
ANSWER = re.compile(r"^port[bwl]\[0x[0-9a-f]+\] = (?:0x)?([0-9a-f]+)", re.MULTILINE)

pytestmark = pytest.mark.skipif(QEMU is None, reason="no qemu-system-i386")


@dataclass(frozen=True, slots=True)
class Access:
    """A port is read (`value` is None; only the bits of `mask` are compared) or written."""

    port: int
    value: int | None = None
    size: int = 1
    mask: int = 0xFFFFFFFF

    def __str__(self) -> str:
        verb = "read" if self.value is None else f"write {self.value:#x}"
        return f"{verb} {self.size} at {self.port:#x}"


def qemu_reads(accesses: Iterable[Access]) -> list[int]:
    """What QEMU's machine answers."""
    lines = []
    for one in accesses:
        letter = LETTERS[one.size]
        if one.value is None:
            lines.append(f"i /{letter} {one.port:#x}")
        else:
            lines.append(f"o /{letter} {one.port:#x} {one.value:#x}")
    assert QEMU is not None
    done = subprocess.run(
        [QEMU, *OPTIONS], input="\n".join([*lines, "quit", ""]), capture_output=True, text=True,
        timeout=60, check=True,
    )  # fmt: skip
    return [int(value, 16) for value in ANSWER.findall(done.stdout)]


def our_reads(accesses: Iterable[Access]) -> list[int]:
    start = datetime(2024, 2, 29, 23, 59, 58, tzinfo=UTC)
    board = build_board(FakeTime().clock, Ram(), Outside(start=start))
    board.reset()
    got = []
    for one in accesses:
        if one.value is None:
            got.append(board.ports.read(one.port, one.size))
        else:
            board.ports.write(one.port, one.value, one.size)
    return got


def compare(accesses: Sequence[Access]) -> None:
    """All reads must agree; the first that does not is shown with what came before it."""
    ours, theirs = our_reads(accesses), qemu_reads(accesses)
    assert len(ours) == len(theirs)
    reads = [index for index, one in enumerate(accesses) if one.value is None]
    for index, our, their in zip(reads, ours, theirs, strict=True):
        mask = accesses[index].mask
        before = "\n".join(map(str, accesses[max(0, index - 25) : index + 1]))
        assert our & mask == their & mask, f"{our:#x} is {their:#x} in QEMU after\n{before}"


def out(*pairs: tuple[int, int]) -> list[Access]:
    return [Access(port, value) for port, value in pairs]


def read(*ports: int) -> list[Access]:
    return [Access(port) for port in ports]


def random_bytes(
    rng: random.Random, ports: Sequence[int], count: int, *, reads: float = 0.5
) -> list[Access]:
    """Random reads and writes of these ports."""
    return [
        Access(port, None if rng.random() < reads else rng.getrandbits(8))
        for port in rng.choices(ports, k=count)
    ]


def test_interrupt_controllers() -> None:
    """Random commands and masks after initialization; the unmasked IRQ0 line never moves."""
    rng = random.Random(1)
    accesses: list[Access] = []
    for base in (0x20, 0xA0):
        accesses += out((base, 0x11), (base + 1, 0x20), (base + 1, 4), (base + 1, 1))
        for _ in range(100):
            accesses += out((base, rng.getrandbits(8) & 0xEF), (base + 1, rng.getrandbits(8)))
            accesses += read(base, base + 1)
    accesses += out((0x4D0, 0xFF), (0x4D1, 0xFF)) + read(0x4D0, 0x4D1)
    compare(accesses)


def test_dma_controllers() -> None:
    """Whole words: QEMU shows an address in the channel only when its high byte was written.

    Its mask cannot be read back.
    """
    rng = random.Random(2)
    accesses: list[Access] = []
    for _ in range(60):
        base, step, clear = rng.choice(((0x00, 1, 0x0C), (0xC0, 2, 0xD8)))
        port = base + step * rng.randrange(8)
        accesses += out((clear, 0), (port, rng.getrandbits(8)), (port, rng.getrandbits(8)))
        accesses += read(port, port)
        accesses += out((base + step * 15, rng.getrandbits(4))) + read(base + step * 8)
    compare(accesses)


def test_page_registers() -> None:
    rng = random.Random(3)
    compare(random_bytes(rng, [*range(0x81, 0x84), 0x87, *range(0x89, 0x8C)], 60))


def test_cmos() -> None:
    """Time, alarm, and memory, as they are and as they are written."""
    rng = random.Random(4)
    accesses: list[Access] = []
    for index in (*range(11), 13, 0x32):
        accesses += [*out((0x70, index)), Access(0x71)]
    for _ in range(100):
        index = rng.choice((1, 3, 5, *range(0x40, 0x70)))
        accesses += out((0x70, index), (0x71, rng.getrandbits(8))) + read(0x71)
    compare(accesses)


def test_timer() -> None:
    """Time stands, so that a count is what was written; status, latches and byte order."""
    rng = random.Random(5)
    accesses: list[Access] = []
    for _ in range(60):
        counter, mode = rng.randrange(3), rng.choice((0, 2, 3, 4))
        accesses += out((0x43, counter << 6 | 0x30 | mode << 1))
        accesses += out(
            (0x40 + counter, rng.getrandbits(7) << 1), (0x40 + counter, 1 + rng.getrandbits(6))
        )
        accesses += out((0x43, 0xE0 | 2 << counter))
        accesses.append(Access(0x40 + counter, mask=0x3F))
        accesses += out((0x43, rng.choice((counter << 6, 0xD0 | 2 << counter))))
        accesses += read(*(0x40 + counter,) * 2)
    compare(accesses)


def test_serial_port() -> None:
    """Line control, loopback, scratch, divisor; no FIFO, and nothing is sent.

    MSR is read before IIR, and without its deltas: looping back changes inputs, for which QEMU has
    no interrupts.
    """
    rng = random.Random(6)
    accesses = out((0x3FC, 0x10))
    for _ in range(150):
        port, value = rng.choice(((0x3F9, 0x0C), (0x3FB, 0xBF), (0x3FC, 0x0F), (0x3FF, 0xFF)))
        fixed = 0x10 if port == 0x3FC else 0
        accesses += out((port, rng.getrandbits(8) & value | fixed))
        accesses.append(Access(0x3FE, mask=0xF0))
        accesses += read(0x3F9, 0x3FA, 0x3FB, 0x3FC, 0x3FF)
    compare(accesses)


def test_keyboard_controller() -> None:
    """The system flag is no part of QEMU's command byte, and stays when that is written.

    Nor does its status tell a command from data.
    """
    status = Access(0x64, mask=0xF7)
    accesses: list[Access] = []
    for command in (0xAA, 0xA9, 0xAB, 0xD0):
        accesses += [*out((0x64, command)), status, *read(0x60), status]
    for value in (0x04, 0x65, 0x47):
        accesses += [*out((0x64, 0x60), (0x60, value), (0x64, 0x20)), status, *read(0x60)]
    for command in (0xA7, 0xAD, 0xA8, 0xAE):
        accesses += out((0x64, command), (0x64, 0x20)) + read(0x60)
    accesses += [*out((0x64, 0xD2), (0x60, 0x5A)), status, *read(0x60), status]
    accesses += [*out((0x64, 0xD3), (0x60, 0xA5)), status, *read(0x60), status]
    accesses += [*out((0x64, 0xDD), (0x64, 0xD0)), *read(0x60)]
    accesses += [*out((0x64, 0xDF), (0x64, 0xD0)), *read(0x60)]
    accesses += [*out((0x92, 0x02)), *read(0x92), *out((0x92, 0x00)), *read(0x92)]
    compare(accesses)


def config(slot: int, function: int, register: int) -> Access:
    return Access(0xCF8, 1 << 31 | slot << 11 | function << 8 | register & 0xFC, 4)


def test_pci_identity() -> None:
    accesses: list[Access] = []
    for slot, function in ((0, 0), (1, 0), (1, 3), (1, 5), (9, 0)):
        for register in (0x00, 0x08, 0x0C, 0x2C, 0x3C, 0x40):
            accesses += [config(slot, function, register), Access(0xCFC, size=4)]
    compare(accesses)


FIXED_IN_OURS = {(0, 0x72): 0x78, **{(1, at): 0x8F for at in range(0x60, 0x64)}}
"""Bits that can be written, of registers all of whose bits QEMU keeps."""


def test_pci_registers_of_the_chipset() -> None:
    rng = random.Random(7)
    accesses: list[Access] = []
    for slot, function, register in (
        *((0, 0, at) for at in range(0x59, 0x60)),
        *((1, 0, at) for at in range(0x60, 0x64)),
        *((1, 0, 0x3C), (0, 0, 0x72), (0, 0, 0x3C), (1, 3, 0x3C), (1, 3, 0x41)),
    ):
        for _ in range(4):
            value = rng.getrandbits(8) & (0x0F if register == 0x72 else 0xFF)
            data = 0xCFC + (register & 3)
            mask = FIXED_IN_OURS.get((slot, register), 0xFF)
            accesses += [config(slot, function, register), Access(data, value)]
            accesses.append(Access(data, mask=mask))
    compare(accesses)


def test_power_management() -> None:
    """QEMU's timer has carried when it begins, ours not."""
    accesses = [
        *(config(1, 3, 0x40), Access(0xCFC, 0x600, 4), config(1, 3, 0x80), Access(0xCFC, 1)),
        *(Access(0x600, size=2, mask=0xFFFE), Access(0x602, size=2), Access(0x604, size=2)),
        *(Access(0xB2, 0xF1), Access(0x604, size=2), Access(0xB2)),
        *(Access(0xB2, 0xF0), Access(0x604, size=2), Access(0xB3, 0x77), Access(0xB3)),
        *(Access(0x602, 0x0121, 2), Access(0x602, size=2), Access(0x608, size=4)),
    ]
    compare(accesses)


def test_firmware_configuration() -> None:
    accesses: list[Access] = []
    for key in (0x00, 0x01):
        accesses += [Access(0x510, key, 2), *(Access(0x511) for _ in range(6))]
    accesses += [Access(0x514, size=4), Access(0x518, size=4)]
    compare(accesses)
