"""8237A pair: programming as a floppy or sound driver does it."""

from __future__ import annotations

import pytest

from machine.bus import Bus
from machine.devices.dma import Dma
from tests.machine.fakes import Ram

TO_MEMORY, FROM_MEMORY, VERIFY = 0x44, 0x48, 0x40


class Bench:
    def __init__(self) -> None:
        self.ram = Ram()
        self.told: list[str] = []
        self.dma = Dma(self.ram, self.told.append)
        self.bus = Bus("ports")
        self.bus.attach(0x00, self.dma.low)
        self.bus.attach(0x81, self.dma.pages)
        self.bus.attach(0xC0, self.dma.high)
        self.out(0xD4, 0x00)  # open the cascade

    def out(self, port: int, value: int) -> None:
        self.bus.write(port, value, 1)

    def word(self, port: int) -> int:
        self.out(0x0C if port < 0xC0 else 0xD8, 0)
        return self.bus.read(port, 1) | self.bus.read(port, 1) << 8

    def set_up(self, mode: int, page: int, address: int, count: int) -> None:
        """Channel 2, as for the floppy."""
        self.out(0x0A, 0x06)
        self.out(0x0C, 0)
        self.out(0x0B, mode | 2)
        for port, value in ((4, address), (5, count)):
            self.out(port, value & 0xFF)
            self.out(port, value >> 8)
        self.out(0x81, page)
        self.out(0x0A, 0x02)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_into_memory_until_terminal_count(bench: Bench) -> None:
    bench.set_up(TO_MEMORY, 1, 0x2000, 7)
    assert bench.dma.to_memory(2, b"abcd") == (4, False)
    assert (bench.word(4), bench.word(5)) == (0x2004, 3)
    assert bench.dma.to_memory(2, b"efghij") == (4, True)
    assert bench.ram.read(0x12000, 9) == b"abcdefgh\0"
    assert bench.word(5) == 0xFFFF
    assert bench.bus.read(8, 1) == 0x04
    assert bench.bus.read(8, 1) == 0x00
    assert bench.dma.to_memory(2, b"x") == (0, False)  # masked now


def test_out_of_memory(bench: Bench) -> None:
    bench.ram.write(0x23456, b"hello")
    bench.set_up(FROM_MEMORY, 2, 0x3456, 4)
    assert bench.dma.from_memory(2, 3) == (b"hel", False)
    assert bench.dma.from_memory(2, 9) == (b"lo", True)


def test_verify_counts_and_writes_nothing(bench: Bench) -> None:
    bench.set_up(VERIFY, 0, 0x1000, 3)
    assert bench.dma.to_memory(2, b"abcd") == (4, True)
    assert bench.ram.read(0x1000, 4) == bytes(4)


def test_autoinitialization_begins_anew(bench: Bench) -> None:
    bench.set_up(TO_MEMORY | 0x10, 0, 0x1000, 1)
    assert bench.dma.to_memory(2, b"ab") == (2, True)
    assert (bench.word(4), bench.word(5)) == (0x1000, 1)
    assert bench.dma.to_memory(2, b"cd") == (2, True)
    assert bench.ram.read(0x1000, 2) == b"cd"


def test_decrementing(bench: Bench) -> None:
    bench.set_up(TO_MEMORY | 0x20, 0, 0x1003, 3)
    bench.dma.to_memory(2, b"abcd")
    assert bench.ram.read(0x1000, 5) == b"dcba\0"
    bench.set_up(FROM_MEMORY | 0x20, 0, 0x1003, 3)
    assert bench.dma.from_memory(2, 4) == (b"abcd", True)


def test_addresses_wrap_within_64_kb(bench: Bench) -> None:
    bench.set_up(TO_MEMORY, 1, 0xFFFE, 3)
    bench.dma.to_memory(2, b"abcd")
    assert bench.ram.read(0x1FFFE, 4) == b"ab\0\0"
    assert bench.ram.read(0x10000, 2) == b"cd"


def test_channel_5_moves_words(bench: Bench) -> None:
    bench.out(0xD8, 0)
    bench.out(0xD6, TO_MEMORY | 1)
    for port, value in ((0xC4, 0x1000), (0xC6, 1)):
        bench.out(port, value & 0xFF)
        bench.out(port, value >> 8)
    bench.out(0x8B, 0x03)  # bit 0 is not used
    bench.out(0xD4, 0x01)
    assert bench.dma.remaining(5) == 4
    assert bench.dma.to_memory(5, b"abcd") == (4, True)
    assert bench.ram.read(0x22000, 4) == b"abcd"


def test_masks(bench: Bench) -> None:
    bench.set_up(TO_MEMORY, 0, 0, 9)
    assert bench.dma.is_open(2)
    bench.out(0x08, 0x04)  # controller off
    assert not bench.dma.is_open(2)
    bench.out(0x08, 0x00)
    bench.out(0xD4, 0x04)  # cascade closed
    assert not bench.dma.is_open(2)
    bench.out(0xDC, 0)  # all of the second open
    bench.out(0x0F, 0x0F)
    assert bench.bus.read(0x0F, 1) == 0xFF
    assert not bench.dma.is_open(2)
    bench.out(0x0E, 0)
    assert bench.dma.is_open(2)
    bench.out(0x0D, 0)  # master clear
    assert not bench.dma.is_open(2)


def test_page_registers_and_the_bytes_between(bench: Bench) -> None:
    for port, number in ((0x87, 0), (0x83, 1), (0x81, 2), (0x82, 3), (0x8B, 5), (0x89, 6)):
        bench.out(port, port)
        assert bench.dma.channel(number).page == port
    bench.out(0x84, 0x5A)
    assert bench.bus.read(0x84, 1) == 0x5A


def test_what_is_not_modelled_is_reported(bench: Bench) -> None:
    bench.out(0x08, 0x01)
    bench.out(0x09, 0x05)
    assert bench.told == ["8237A: memory to memory", "8237A: software request of channel 1"]
