"""16550A: sections of its datasheet."""

from __future__ import annotations

import pytest

from machine.devices.uart import Uart
from tests.machine.fakes import FakeTime, Recorder, is_up

RBR, IER, IIR, LCR, MCR, LSR, MSR, SCR = range(8)
MS = 1_000_000


class Bench:
    def __init__(self) -> None:
        self.time = FakeTime()
        self.irq = Recorder()
        self.sent = bytearray()
        self.rooms = 0
        self.uart = Uart(self.time.clock, self.irq, self.sent.append, self.note_room)
        self.read, self.write = self.uart.read, self.uart.write
        self.write(MCR, 0x0B)

    def note_room(self) -> None:
        self.rooms += 1

    def receive(self, data: bytes) -> None:
        for value in data:
            self.uart.receive(value)

    def take(self, count: int) -> bytes:
        return bytes(self.read(RBR) for _ in range(count))


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_after_reset(bench: Bench) -> None:
    bench.uart.reset()
    assert [bench.read(at) for at in (IER, IIR, LCR, MCR, LSR)] == [0, 1, 0, 0, 0x60]


def test_sending(bench: Bench) -> None:
    for value in b"hi":
        bench.write(RBR, value)
    assert bench.sent == b"hi"


def test_the_divisor_latch(bench: Bench) -> None:
    bench.write(LCR, 0x83)
    bench.write(RBR, 0x80)
    bench.write(IER, 0x01)
    assert [bench.read(RBR), bench.read(IER)] == [0x80, 0x01]
    bench.write(LCR, 0x03)
    assert [bench.read(RBR), bench.read(IER)] == [0, 0]
    assert bench.sent == b""


def test_receiving_without_fifo(bench: Bench) -> None:
    bench.write(IER, 0x01)
    bench.receive(b"a")
    assert (bench.irq.level, bench.read(IIR), bench.read(LSR)) == (True, 0x04, 0x61)
    assert bench.uart.room == 0
    assert bench.take(1) == b"a"
    assert (bench.irq.level, bench.read(IIR), bench.read(LSR), bench.rooms) == (False, 1, 0x60, 1)


def test_overrun_without_fifo_keeps_the_last(bench: Bench) -> None:
    bench.write(IER, 0x05)
    bench.receive(b"ab")
    assert bench.read(IIR) == 0x06
    assert bench.read(LSR) == 0x63
    assert bench.read(IIR) == 0x04
    assert bench.take(1) == b"b"


def test_overrun_with_fifo_keeps_the_first(bench: Bench) -> None:
    bench.write(IIR, 0x01)
    bench.receive(bytes(range(17)))
    assert bench.read(LSR) == 0x63
    assert bench.take(16) == bytes(range(16))
    assert bench.read(LSR) == 0x60


@pytest.mark.parametrize(("fcr", "trigger"), [(0x01, 1), (0x41, 4), (0x81, 8), (0xC1, 14)])
def test_trigger_levels(bench: Bench, fcr: int, trigger: int) -> None:
    bench.write(IIR, fcr)
    bench.write(IER, 0x01)
    bench.receive(b"x" * (trigger - 1))
    assert not is_up(bench.irq)
    bench.receive(b"x")
    assert (bench.irq.level, bench.read(IIR)) == (True, 0xC4)
    bench.take(1)
    assert not is_up(bench.irq)


def test_character_timeout(bench: Bench) -> None:
    bench.write(IIR, 0xC1)
    bench.write(IER, 0x01)
    bench.receive(b"ab")
    bench.time.pass_(4 * MS)  # four characters of 9600 baud are 4.6 ms
    assert not is_up(bench.irq)
    bench.time.pass_(MS)
    assert (bench.irq.level, bench.read(IIR)) == (True, 0xCC)
    bench.take(1)
    assert not is_up(bench.irq)
    bench.time.pass_(5 * MS)
    assert is_up(bench.irq)
    bench.take(1)
    bench.time.pass_(5 * MS)
    assert not is_up(bench.irq)


def test_transmitter_empty_interrupt(bench: Bench) -> None:
    bench.write(IER, 0x02)
    assert bench.read(IIR) == 0x02
    assert (bench.irq.level, bench.read(IIR)) == (False, 0x01)
    bench.write(RBR, 0x41)
    assert is_up(bench.irq)
    bench.write(RBR, 0x42)
    assert bench.irq.up == 3


def test_priorities(bench: Bench) -> None:
    bench.write(IER, 0x0F)
    bench.uart.set_modem(0)
    bench.receive(b"ab")
    seen = [bench.read(IIR)]
    bench.read(LSR)
    seen.append(bench.read(IIR))
    bench.read(RBR)
    seen += [bench.read(IIR), bench.read(IIR)]
    bench.read(MSR)
    seen.append(bench.read(IIR))
    assert seen == [0x06, 0x04, 0x02, 0x00, 0x01]


def test_out2_gates_the_interrupt(bench: Bench) -> None:
    bench.write(MCR, 0x03)
    bench.write(IER, 0x01)
    bench.receive(b"a")
    assert not is_up(bench.irq)
    bench.write(MCR, 0x0B)
    assert is_up(bench.irq)


def test_fifo_identification_and_reset(bench: Bench) -> None:
    bench.write(IIR, 0xC7)
    assert bench.read(IIR) & 0xC0 == 0xC0
    bench.receive(b"abc")
    bench.write(IIR, 0x03)
    assert bench.read(LSR) == 0x60
    bench.receive(b"abc")
    bench.write(IIR, 0x00)
    assert (bench.read(IIR), bench.read(LSR)) == (0x01, 0x60)


def test_fcr_bits_do_not_count_without_bit_0(bench: Bench) -> None:
    bench.write(IIR, 0xC0)
    assert bench.read(IIR) == 0x01
    bench.write(IER, 1)
    bench.receive(b"a")
    assert is_up(bench.irq)


def test_loopback(bench: Bench) -> None:
    bench.write(MCR, 0x10)
    bench.write(RBR, 0x5A)
    assert (bytes(bench.sent), bench.read(LSR), bench.read(RBR)) == (b"", 0x61, 0x5A)
    bench.receive(b"x")
    assert bench.read(LSR) == 0x60
    for mcr, msr in ((0x01, 0x20), (0x02, 0x10), (0x04, 0x40), (0x08, 0x80)):
        bench.write(MCR, 0x10 | mcr)
        assert bench.read(MSR) & 0xF0 == msr
    bench.write(MCR, 0x10)
    bench.read(MSR)
    bench.write(MCR, 0x1A)  # the test by which drivers know a UART
    assert bench.read(MSR) & 0xF0 == 0x90


def test_modem_status(bench: Bench) -> None:
    assert bench.read(MSR) & 0xF0 == 0xB0
    bench.read(MSR)
    bench.write(IER, 0x08)
    bench.uart.set_modem(0xA0)
    assert (bench.irq.level, bench.read(IIR), bench.read(MSR)) == (True, 0x00, 0xA1)
    assert (bench.irq.level, bench.read(MSR)) == (False, 0xA0)
    bench.uart.set_modem(0xE0)
    assert bench.read(MSR) == 0xE0  # a ring begins: nothing
    bench.uart.set_modem(0xA0)
    assert bench.read(MSR) == 0xA4  # TERI: it has ended


def test_a_break_is_a_zero_with_bi(bench: Bench) -> None:
    bench.write(IER, 0x04)
    bench.uart.receive_break()
    assert is_up(bench.irq)
    assert (bench.read(LSR), bench.read(RBR)) == (0x71, 0)


def test_scratch(bench: Bench) -> None:
    bench.write(SCR, 0xA5)
    assert bench.read(SCR) == 0xA5


def test_only_ier_has_four_bits(bench: Bench) -> None:
    bench.write(IER, 0xFF)
    bench.write(MCR, 0xFF)
    assert [bench.read(IER), bench.read(MCR)] == [0x0F, 0x1F]
