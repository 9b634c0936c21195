"""The VGA beside QEMU's: both are programmed alike, and show the same picture.

QEMU's qtest protocol writes ports and memory of a machine that never starts, its monitor saves the
screen. Skipped where there is no `qemu-system-i386`; QEMUPY_QEMU_SYSTEM names another one.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest

from machine.firmware.vga_modes import MODES, palette
from tests.machine.vga_cards import (
    LFB,
    QEMU,
    REGISTERS,
    Card,
    OurCard,
    Picture,
    QemuCard,
    map_memory,
    read_config,
    read_dispi,
    set_dispi,
    set_mode,
    set_palette,
    write_dispi,
)

pytestmark = pytest.mark.skipif(QEMU is None, reason="no qemu-system-i386")


@pytest.fixture(scope="module")
def qemu_() -> Iterator[QemuCard]:
    with QemuCard() as card:
        yield card


@pytest.fixture
def qemu(qemu_: QemuCard) -> QemuCard:
    """QEMU's card as good as new."""
    write_dispi(qemu_, 4, 0)
    map_memory(qemu_)
    qemu_.write(LFB, bytes(0x80000))
    return qemu_


COARSE = {bits: bytes(value & -1 << 8 - bits & 0xFF for value in range(256)) for bits in (5, 6, 8)}
"""QEMU makes eight bits of six, or five, in its own way."""


def show(card: Card, program: Callable[[Card], object]) -> Picture:
    map_memory(card)
    program(card)
    return card.picture()


def compare(qemu: Card, program: Callable[[Card], object], *, bits: int = 6) -> Picture:
    """Both run it, and the pictures must be equal; the first pixel that is not is named."""
    ours, theirs = show(OurCard(), program), show(qemu, program)
    assert (ours.width, ours.height) == (theirs.width, theirs.height)
    a, b = (picture.rgb.translate(COARSE[bits]) for picture in (ours, theirs))
    if a != b:
        at = next(n for n in range(len(a)) if a[n] != b[n]) // 3
        count = sum(a[n : n + 3] != b[n : n + 3] for n in range(0, len(a), 3))
        y, x = divmod(at, ours.width)
        pytest.fail(
            f"{count} pixels differ; the first is ({x}, {y}):"
            f" {a[3 * at : 3 * at + 3].hex()}, QEMU: {b[3 * at : 3 * at + 3].hex()}"
        )
    assert len(set(zip(a[0::3], a[1::3], a[2::3], strict=True))) > 1, "nothing is shown"
    return ours


def noise(seed: int, length: int) -> bytes:
    return random.Random(seed).randbytes(length)


# -- text -----------------------------------------------------------------------------------


def text_screen(card: Card, number: int) -> None:
    """Each character in each colour; no B0h to BFh, whose ninth dot QEMU repeats too.

    Narrow characters have eight dots: QEMU knows no others.
    """
    mode = set_mode(card, number)
    if number == 1:
        card.out(0x3C4, 0x0901, 2)
    codes = [n for n in range(256) if not 0xB0 <= n <= 0xBF]
    cells = bytearray()
    for n in range(mode.columns * mode.rows):
        cells += bytes((codes[n % len(codes)], n * 7 & 0x7F))
    card.write(mode.base, bytes(cells))
    card.out(0x3D4 if mode.misc & 1 else 0x3B4, 0x200A, 2)


@pytest.mark.parametrize("number", [0x01, 0x03])
def test_text(qemu: QemuCard, number: int) -> None:
    compare(qemu, lambda card: text_screen(card, number))


def test_text_from_elsewhere(qemu: QemuCard) -> None:
    """Another start, a wider line, another font for bright characters, other colours."""

    def program(card: Card) -> None:
        text_screen(card, 3)
        cells = bytes(n % 89 + 33 if n % 2 == 0 else n % 128 for n in range(8192))
        card.write(0xB8000 + 0x1000, cells)
        for index, value in ((0x0C, 0x08), (0x0D, 0x05), (0x13, 50)):
            card.out(0x3D4, index | value << 8, 2)
        card.out(0x3C4, 0x0403, 2)
        set_palette(card, palette("vga"))
        card.in_(0x3DA)
        for index, value in ((0x02, 0x15), (0x14, 0x04), (0x20, 0)):
            card.out(0x3C0, index)
            if index < 0x20:
                card.out(0x3C0, value)

    compare(qemu, program)


# -- graphics modes of the BIOS ---------------------------------------------------------------


@pytest.mark.parametrize("number", [0x0D, 0x0E, 0x10, 0x12])
def test_planes(qemu: QemuCard, number: int) -> None:
    """Every plane is written by itself."""

    def program(card: Card) -> None:
        mode = set_mode(card, number)
        for plane in range(4):
            card.out(0x3C4, 0x02 | 0x100 << plane, 2)
            card.write(0xA0000, noise(plane, mode.width * mode.height // 8))

    compare(qemu, program)


@pytest.mark.parametrize("number", [0x04, 0x05, 0x06])
def test_cga(qemu: QemuCard, number: int) -> None:
    def program(card: Card) -> None:
        set_mode(card, number)
        card.write(0xB8000, noise(number, 0x4000))

    compare(qemu, program)


def test_256_colors(qemu: QemuCard) -> None:
    def program(card: Card) -> None:
        set_mode(card, 0x13)
        card.write(0xA0000, noise(3, 320 * 200))

    compare(qemu, program)


def mode_x(card: Card) -> None:
    """Unchained 256 colours, 320x240."""
    set_mode(card, 0x13)
    card.out(0x3C4, 0x0604, 2)
    card.out(0x3C2, 0xE3)
    for value in (
        0x2C11, 0x0D06, 0x3E07, 0x4109, 0xEA10, 0xAC11, 0xDF12, 0x0014, 0xE715, 0x0616, 0xE317,
    ):  # fmt: skip
        card.out(0x3D4, value, 2)


def test_mode_x(qemu: QemuCard) -> None:
    """Four planes one by one; the second page is shown."""

    def program(card: Card) -> None:
        mode_x(card)
        for plane in range(4):
            card.out(0x3C4, 0x02 | 0x100 << plane, 2)
            card.write(0xA0000 + 80 * 240, noise(plane, 80 * 240))
        card.out(0x3D4, 0x0C | (80 * 240 & 0xFF00), 2)
        card.out(0x3D4, 0x0D | (80 * 240 & 0xFF) << 8, 2)

    compare(qemu, program)


def test_a_wide_screen_of_mode_x(qemu: QemuCard) -> None:
    def program(card: Card) -> None:
        mode_x(card)
        for plane in range(4):
            card.out(0x3C4, 0x02 | 0x100 << plane, 2)
            card.write(0xA0000, noise(plane, 0x10000))
        card.out(0x3D4, 0x3C13, 2)
        card.out(0x3D4, 0x0A0D, 2)

    compare(qemu, program)


# -- the processor's ways into planes ---------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_random_accesses_to_planes(qemu: QemuCard, seed: int) -> None:
    """All write and read modes, functions, masks and latches, in turn and in any mixture."""

    def program(card: Card) -> list[bytes]:
        rng = random.Random(seed)
        set_mode(card, 0x12)
        card.write(0xA0000, noise(seed, 0x800))
        seen = []
        for _ in range(400):
            index, bits = rng.choice(
                ((0, 15), (1, 15), (2, 15), (3, 0x1F), (4, 3), (5, 0x0B), (7, 15), (8, 255))
            )
            card.out(0x3CE, index | (rng.getrandbits(8) & bits) << 8, 2)
            if rng.random() < 0.3:
                card.out(0x3C4, 2 | rng.getrandbits(4) << 8, 2)
            address = 0xA0000 + rng.randrange(0x800)
            seen.append(card.read(address, 1))
            card.write(address + rng.choice((0, 0, 1)), rng.randbytes(rng.choice((1, 1, 2, 4))))
        return seen

    ours = OurCard()
    mine, theirs = program(ours), program(qemu)
    pairs = list(zip(mine, theirs, strict=True))
    wrong = [(n, a.hex(), b.hex()) for n, (a, b) in enumerate(pairs) if a != b]
    assert not wrong, wrong[:5]
    compare(qemu, program)


@pytest.mark.parametrize("seed", range(3))
def test_chained_memory_with_masked_planes(qemu: QemuCard, seed: int) -> None:
    def program(card: Card) -> None:
        rng = random.Random(seed)
        set_mode(card, 0x13)
        for _ in range(30):
            card.out(0x3C4, 2 | rng.choice((15, rng.getrandbits(4))) << 8, 2)
            card.write(0xA0000 + rng.randrange(63000), rng.randbytes(900))

    compare(qemu, program)


# -- Bochs's modes ------------------------------------------------------------------------------


LEVELS = {4: 6, 8: 6, 15: 5}
"""Bits of a colour's parts, by depth, where QEMU's are others."""


@pytest.mark.parametrize(
    ("width", "height", "depth"),
    [
        (640, 480, 8), (800, 600, 15), (640, 400, 16), (1024, 768, 24), (640, 480, 32),
        (800, 600, 4), (1152, 864, 8), (1280, 1024, 32),
    ],
)  # fmt: skip
def test_linear_modes(qemu: QemuCard, width: int, height: int, depth: int) -> None:
    def program(card: Card) -> None:
        set_mode(card, 0x13)
        set_dispi(card, width, height, depth)
        if depth <= 8:
            set_palette(card, palette("vga"))
        card.write(LFB + 1000, noise(depth, 60_000))
        card.write(LFB + width * height * depth // 8 - 20_000, noise(width, 20_000))

    compare(qemu, program, bits=LEVELS.get(depth, 8))


def test_a_part_of_a_larger_screen(qemu: QemuCard) -> None:
    """Virtual size and offsets, and 8-bit colours."""

    def program(card: Card) -> None:
        set_mode(card, 0x13)
        set_dispi(card, 640, 480, 8, 0x20)
        set_palette(card, [(n, 255 - n, n * 3 & 255) for n in range(256)])
        write_dispi(card, 6, 1000)
        write_dispi(card, 8, 96)
        write_dispi(card, 9, 77)
        card.write(LFB, noise(1, 100_000))
        card.write(LFB + 1000 * 500, noise(2, 60_000))

    compare(qemu, program, bits=8)


def test_banks(qemu: QemuCard) -> None:
    def program(card: Card) -> list[bytes]:
        set_mode(card, 0x13)
        set_dispi(card, 800, 600, 16)
        seen = []
        for bank in (0, 3, 7, 14):
            write_dispi(card, 5, bank)
            card.write(0xA0000 + 100 * bank, noise(bank, 5000))
            seen.append(card.read(0xA0000, 3000))
        seen.append(card.read(LFB + 0x30000, 3000))
        return seen

    ours = OurCard()
    map_memory(ours)
    assert program(ours) == program(qemu)
    compare(qemu, program, bits=8)


def test_memory_is_cleared_or_kept(qemu: QemuCard) -> None:
    def program(card: Card) -> None:
        set_mode(card, 0x13)
        set_dispi(card, 640, 480, 32)
        card.write(LFB, noise(1, 30_000))
        set_dispi(card, 640, 480, 16, 0x80)
        card.write(LFB + 60_000, noise(2, 5_000))

    compare(qemu, program, bits=8)


def test_registers_of_bochs() -> None:
    """What is read back after anything was written.

    More lines than 16 bits count are in QEMU's virtual height without their 17th bit.
    """

    def program(card: Card) -> list[int]:
        rng = random.Random(1)
        map_memory(card)
        seen = [read_dispi(card, index) for index in (0, 10)]
        for step in range(400):
            index = rng.choice((1, 2, 3, 4, 5, 6, 8, 9))
            value = rng.choice((rng.getrandbits(16), rng.getrandbits(11), rng.getrandbits(8)))
            if index == 3:
                value = rng.choice((4, 8, 15, 16, 24, 32, 7))
            if index == 4:
                value = rng.choice((0, 0xC1, 0xC1, 0xE1, 0xC3))
            if step % 2:
                write_dispi(card, index, value)
            else:
                card.write(REGISTERS + 0x500 + 2 * index, value.to_bytes(2, "little"))
            seen += [read_dispi(card, n) for n in range(11)]
        return seen

    with QemuCard() as fresh:
        mine, theirs = program(OurCard()), program(fresh)
    pairs = enumerate(zip(mine, theirs, strict=True))
    wrong = [(n, a, b) for n, (a, b) in pairs if a != b and a != 0xFFFF]
    assert not wrong, [((n - 2) // 11, (n - 2) % 11, a, b) for n, a, b in wrong[:5]]


# -- registers ----------------------------------------------------------------------------------


def test_registers_are_read_back(qemu: QemuCard) -> None:
    def program(card: Card) -> list[int]:
        rng = random.Random(2)
        seen = []
        card.out(0x3C2, 0x67)
        set_palette(card, [(n & 63, n * 3 & 63, n * 5 & 63) for n in range(256)])
        for number in (3, 0x12, 0x13):
            set_mode(card, number)
            for _ in range(100):
                port, count = rng.choice(((0x3C4, 5), (0x3CE, 9), (0x3D4, 0x19)))
                index = rng.randrange(count)
                if (port, index) in {(0x3C4, 0), (0x3C4, 4)}:
                    continue
                card.out(port, index | rng.getrandbits(8) << 8, 2)
                seen.append(card.in_(port + 1))
            for index in range(0x15):
                card.in_(0x3DA)
                card.out(0x3C0, index)
                card.out(0x3C0, rng.getrandbits(8))
                card.in_(0x3DA)
                card.out(0x3C0, index | 0x20)
                card.in_(0x3DA)
                seen += [card.in_(0x3C0), card.in_(0x3C1)]
            card.out(0x3C7, rng.randrange(256))
            seen += [card.in_(0x3C9) for _ in range(30)]
            seen += [card.in_(port) for port in (0x3C7, 0x3CC, 0x3B5, 0x3C8)]
        return seen

    mine, theirs = program(OurCard()), program(qemu)
    wrong = [(n, a, b) for n, (a, b) in enumerate(zip(mine, theirs, strict=True)) if a != b]
    assert not wrong, wrong[:8]


def test_the_pci_function(qemu: QemuCard) -> None:
    """Identity and sizes of what it has."""

    def program(card: Card) -> list[int]:
        seen = [read_config(card, at) for at in (0x00, 0x08, 0x0C, 0x2C, 0x3C)]
        card.out(0xCF8, 0x8000_1004, 4)
        card.out(0xCFC, 0, 2)
        for at in (0x10, 0x14, 0x18, 0x1C, 0x20, 0x24, 0x30):
            card.out(0xCF8, 0x8000_1000 | at, 4)
            card.out(0xCFC, 0xFFFF_FFFF, 4)
            seen.append(card.in_(0xCFC, 4))
        return seen

    assert program(OurCard(rom=b"\x55\xaa")) == program(qemu)
    map_memory(qemu)


def test_registers_in_memory(qemu: QemuCard) -> None:
    def program(card: Card) -> list[bytes]:
        map_memory(card)
        set_mode(card, 0x13)
        card.write(REGISTERS + 0x40E, b"\x05")
        card.write(REGISTERS + 0x40F, b"\x42")
        seen = [card.read(REGISTERS + at, 1) for at in (0x404, 0x40C, 0x40E, 0x40F)]
        return seen + [card.read(REGISTERS + at, 4) for at in (0x600, 0x604)]

    assert program(OurCard()) == program(qemu)
    assert MODES
