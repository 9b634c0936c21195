"""The board: parts in their places, used through ports and memory as firmware uses them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from machine.board import Board, Outside, build_board
from machine.devices.i440fx import Shadow
from machine.devices.pci import PciFunction
from tests.machine.fakes import FakeTime, Ram, is_up

SECOND = 1_000_000_000


class Bench:
    def __init__(self) -> None:
        self.time = FakeTime()
        self.ram = Ram()
        self.told: list[str] = []
        self.text = bytearray()
        self.serial = bytearray()
        self.resets: list[bool] = []
        self.exits: list[int] = []
        self.shadows: list[Shadow] = []
        self.board: Board = build_board(
            self.time.clock,
            self.ram,
            Outside(
                start=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
                reset=self.resets.append,
                shadow=self.shadows.append,
                debug_console=self.text.append,
                debug_exit=self.exits.append,
                serial=(self.serial.append, self.serial.append),
                unimplemented=self.told.append,
            ),
        )
        self.board.reset()

    def inb(self, port: int) -> int:
        return self.board.ports.read(port, 1)

    def out(self, *pairs: tuple[int, int]) -> None:
        for port, value in pairs:
            self.board.ports.write(port, value, 1)

    def start_pics(self) -> None:
        """As a BIOS does: vectors 08h and 70h, all open, through LINT0 as it is after reset."""
        self.out((0x20, 0x11), (0x21, 0x08), (0x21, 0x04), (0x21, 0x01), (0x21, 0x00))
        self.out((0xA0, 0x11), (0xA1, 0x70), (0xA1, 0x02), (0xA1, 0x01), (0xA1, 0x00))
        self.board.memory.write(0xFEE000F0, 0x1FF, 4)
        self.board.memory.write(0xFEE00350, 0x700, 4)

    def start_io_apic(self, number: int, vector: int) -> None:
        for register, value in ((0x10 + 2 * number, vector), (0x11 + 2 * number, 0)):
            self.board.memory.write(0xFEC00000, register, 4)
            self.board.memory.write(0xFEC00010, value, 4)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_tick_of_the_timer(bench: Bench) -> None:
    bench.start_pics()
    bench.out((0x43, 0x34), (0x40, 0x9C), (0x40, 0x2E))  # 100 Hz
    ticks = 0
    for _ in range(1000):
        bench.time.pass_(SECOND // 1000)
        if bench.board.intr.level:
            assert bench.board.local_apic.acknowledge() == 0x08
            bench.out((0x20, 0x20))
            ticks += 1
    assert 99 <= ticks <= 101


def test_the_time_of_day(bench: Bench) -> None:
    bench.out((0x70, 0x04))
    assert bench.inb(0x71) == 0x03


def test_a_key(bench: Bench) -> None:
    bench.start_pics()
    bench.out((0x64, 0x60), (0x60, 0x45))
    bench.board.keyboard.press("esc", down=True)
    bench.time.pass_(SECOND // 100)
    assert bench.board.local_apic.acknowledge() == 0x09
    assert bench.inb(0x60) == 0x01


def test_the_mouse_interrupts_through_the_slave(bench: Bench) -> None:
    bench.start_pics()
    bench.out((0x64, 0xD3), (0x60, 0x12))
    assert bench.board.local_apic.acknowledge() == 0x74


def test_a20_and_reset(bench: Bench) -> None:
    assert is_up(bench.board.a20)
    bench.out((0x92, 0x00))
    assert not is_up(bench.board.a20)
    bench.out((0x64, 0xD1), (0x60, 0x03))
    assert bench.inb(0x92) == 0x02
    bench.out((0x64, 0xFE), (0x92, 0x03), (0xCF9, 0x06))
    assert bench.resets == [False, False, True]


def test_text_out(bench: Bench) -> None:
    bench.out(*((0xE9, value) for value in b"hi"))
    bench.out((0x3F8, 0x41), (0x2F8, 0x42))
    bench.board.ports.write(0x501, 3, 4)
    assert (bytes(bench.text), bytes(bench.serial), bench.exits) == (b"hi", b"AB", [7])


def test_nobody_is_at_com3(bench: Bench) -> None:
    assert bench.inb(0x3FD) == 0x60
    assert bench.inb(0x3ED) == 0xFF
    assert bench.told == ["ports: read of 1 at 0x3ed, where nothing is"]


def test_firmware_configuration(bench: Bench) -> None:
    bench.board.ports.write(0x510, 0, 2)
    assert bytes(bench.inb(0x511) for _ in range(4)) == b"QEMU"


def test_a_pci_card_reaches_both_interrupt_controllers(bench: Bench) -> None:
    card = PciFunction(vendor=1, device=2, class_code=0, pin=1)
    bench.board.pci.add(3, 0, card)
    bench.board.ports.write(0xCF8, 0x80000860, 4)
    bench.out((0xCFC + 2, 11), (0x4D1, 0x0C))
    bench.start_pics()
    card.intx.set(True)
    assert bench.board.local_apic.acknowledge() == 0x73
    bench.start_io_apic(11, 0x805B)
    assert bench.board.local_apic.acknowledge() == 0x5B


def test_irq0_is_input_2_of_the_io_apic(bench: Bench) -> None:
    bench.board.memory.write(0xFEE000F0, 0x1FF, 4)
    bench.start_io_apic(2, 0x40)
    bench.out((0x43, 0x34), (0x40, 0x9C), (0x40, 0x2E))
    bench.time.pass_(SECOND // 50)
    assert bench.board.local_apic.acknowledge() == 0x40


def test_the_hpet_takes_irq0_from_the_8254(bench: Bench) -> None:
    bench.start_pics()
    bench.out((0x43, 0x34), (0x40, 0x9C), (0x40, 0x2E))
    bench.time.pass_(SECOND // 50)
    bench.board.local_apic.acknowledge()
    bench.out((0x20, 0x20))
    bench.board.memory.write(0xFED00010, 2, 4)
    bench.time.pass_(SECOND)
    assert not is_up(bench.board.intr)
    bench.board.memory.write(0xFED00100, 4, 4)
    bench.board.memory.write(0xFED00108, 1000, 8)
    bench.board.memory.write(0xFED00010, 3, 4)
    bench.time.pass_(10_000)
    assert bench.board.local_apic.acknowledge() == 0x08


def test_shadowing(bench: Bench) -> None:
    bench.board.ports.write(0xCF8, 0x80000058, 4)
    bench.out((0xCFD, 0x30))
    assert [(one.base, one.is_writable) for one in bench.shadows] == [(0xF0000, True)]


def test_who_is_where(bench: Bench) -> None:
    """QEMU's memory map, and that post codes stand in front of the page registers."""
    places = {(piece.start, type(piece.device).__name__) for piece in bench.board.memory.pieces()}
    assert places == {
        *((0xFEC00000, "IoApic"), (0xFED00000, "Hpet"), (0xFEE00000, "LocalApic")),
    }
    bench.out((0x80, 0x55), (0x81, 0x12), (0x92, 0x02))
    assert [bench.inb(port) for port in (0x80, 0x81, 0x92)] == [0x55, 0x12, 0x02]


def test_reset_quiets_the_board(bench: Bench) -> None:
    bench.start_pics()
    bench.board.isa_irq(5).set(True)
    bench.out((0x92, 0x00))
    assert is_up(bench.board.intr)
    bench.board.reset()
    assert not is_up(bench.board.intr)
    assert is_up(bench.board.a20)


def test_every_port_can_be_read_and_written(bench: Bench) -> None:
    """Nothing a guest does to a port ends in an exception."""
    for port in (*range(0x600), *range(0xCF0, 0xD00), *range(0xAFE0, 0xAFE8)):
        for size in (1, 2, 4):
            assert 0 <= bench.board.ports.read(port, size) < 1 << 8 * size
            for value in (0, (1 << 8 * size) - 1, 0xA5A5A5A5):
                bench.board.ports.write(port, value, size)
    bench.time.pass_(SECOND // 1000)
