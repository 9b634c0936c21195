"""Keyboard controller, keyboard, mouse and port 92h, as a BIOS and a driver meet them."""

from __future__ import annotations

import pytest

from machine.devices.i8042 import I8042, Port92
from machine.devices.ps2 import SET_2, Keyboard, Mouse
from machine.line import Line
from tests.machine.fakes import FakeTime, Recorder, is_up

MS = 1_000_000


class Bench:
    def __init__(self) -> None:
        self.time = FakeTime()
        self.keyboard, self.mouse = Keyboard(self.time.clock), Mouse()
        self.irq1, self.irq12, self.a20 = Recorder(), Recorder(), Line()
        self.resets = 0
        self.told: list[str] = []
        self.i8042 = I8042(
            self.time.clock,
            self.keyboard,
            self.mouse,
            keyboard_irq=self.irq1,
            mouse_irq=self.irq12,
            a20=self.a20,
            reset=self.reset,
            unimplemented=self.told.append,
        )
        self.command(0x60, 0x47)

    def reset(self) -> None:
        self.resets += 1

    @property
    def status(self) -> int:
        return self.i8042.status.read(0)

    def command(self, *values: int) -> None:
        self.i8042.status.write(0, values[0])
        for value in values[1:]:
            self.i8042.data.write(0, value)

    def take(self) -> bytes:
        """All that comes by port 60h."""
        got = bytearray()
        while True:
            self.time.pass_(2 * MS)
            if not self.status & 1:
                return bytes(got)
            got.append(self.i8042.data.read(0))

    def to_keyboard(self, *values: int) -> str:
        self.i8042.data.write(0, values[0])
        got = self.take()
        for value in values[1:]:
            self.i8042.data.write(0, value)
            got += self.take()
        return got.hex(" ")

    def to_mouse(self, *values: int) -> str:
        got = b""
        for value in values:
            self.command(0xD4, value)
            got += self.take()
        return got.hex(" ")

    def packet(self) -> tuple[int, ...]:
        return tuple(self.take())


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_self_test(bench: Bench) -> None:
    bench.command(0x60, 0x00)
    assert bench.status & 0x04 == 0
    bench.command(0xAA)
    assert bench.status == 0x1D
    assert bench.i8042.data.read(0) == 0x55
    assert bench.status == 0x1C
    for test in (0xA9, 0xAB):
        bench.command(test)
        assert bench.i8042.data.read(0) == 0x00


def test_the_command_byte_and_the_ram(bench: Bench) -> None:
    bench.command(0x60, 0x65)
    bench.command(0x20)
    assert bench.i8042.data.read(0) == 0x65
    bench.command(0x6A, 0x12)
    bench.command(0x2A)
    assert bench.i8042.data.read(0) == 0x12


def test_bit_3_tells_a_command_from_data(bench: Bench) -> None:
    bench.command(0xD1)
    assert bench.status & 8
    bench.i8042.data.write(0, 0x03)
    assert bench.status & 8 == 0


def test_a_key_interrupts_and_is_translated(bench: Bench) -> None:
    bench.keyboard.press("a", down=True)
    assert bench.status & 1 == 0  # the cable needs its time
    bench.time.pass_(MS)
    assert (bench.irq1.level, bench.status & 0x21) == (True, 0x01)
    assert bench.i8042.data.read(0) == 0x1E
    assert not is_up(bench.irq1)
    assert bench.i8042.data.read(0) == 0x1E  # whoever reads twice gets it twice
    bench.keyboard.press("a", down=False)
    assert bench.take() == b"\x9e"


@pytest.mark.parametrize(
    ("name", "set_1"),
    [
        ("esc", "01 81"),
        ("f7", "41 c1"),
        ("f12", "58 d8"),
        ("ret", "1c 9c"),
        ("spc", "39 b9"),
        ("up", "e0 48 e0 c8"),
        ("delete", "e0 53 e0 d3"),
        ("kp_enter", "e0 1c e0 9c"),
        ("ctrl_r", "e0 1d e0 9d"),
        ("meta_l", "e0 5b e0 db"),
        ("print", "e0 2a e0 37 e0 b7 e0 aa"),
        ("pause", "e1 1d 45 e1 9d c5"),
        ("sysrq", "54 d4"),
        ("less", "56 d6"),
    ],
)
def test_keys_in_set_1(bench: Bench, name: str, set_1: str) -> None:
    """Microsoft's scan code specification, its column for set 1."""
    got = b""
    for down in (True, False):
        bench.keyboard.press(name, down)
        got += bench.take()
    assert got.hex(" ") == set_1


def test_the_main_block_is_in_order_in_set_1(bench: Bench) -> None:
    """Set 1 numbers the keys of the XT's main block row by row."""
    names = (
        "esc 1 2 3 4 5 6 7 8 9 0 minus equal backspace tab q w e r t y u i o p bracket_left"
        " bracket_right ret ctrl a s d f g h j k l semicolon apostrophe grave_accent shift"
        " backslash z x c v b n m comma dot slash shift_r kp_multiply alt spc caps_lock"
        " f1 f2 f3 f4 f5 f6 f7 f8 f9 f10 num_lock scroll_lock"
        " kp_7 kp_8 kp_9 kp_subtract kp_4 kp_5 kp_6"
        " kp_add kp_1 kp_2 kp_3 kp_0 kp_decimal"
    ).split()
    got = b""
    for name in names:
        bench.keyboard.press(name, down=True)
        got += bench.take()
        bench.keyboard.press(name, down=False)
        bench.take()
    assert got == bytes(range(1, 0x54))


def test_no_two_keys_are_the_same() -> None:
    assert len(set(SET_2.values())) == len(SET_2)


def test_an_unknown_key_is_none(bench: Bench) -> None:
    assert not bench.keyboard.press("any", down=True)
    assert bench.take() == b""


def test_without_translation_set_2_comes_through(bench: Bench) -> None:
    bench.command(0x60, 0x05)
    bench.keyboard.press("up", down=False)
    assert bench.take().hex(" ") == "e0 f0 75"


def test_keyboard_commands(bench: Bench) -> None:
    bench.command(0x60, 0x05)
    assert bench.to_keyboard(0xFF) == "fa aa"
    assert bench.to_keyboard(0xF2) == "fa ab 83"
    assert bench.to_keyboard(0xEE) == "ee"
    assert bench.to_keyboard(0xED, 0x07) == "fa fa"
    assert bench.keyboard.leds == 7
    assert bench.to_keyboard(0xF0, 0x00) == "fa fa 02"
    assert bench.to_keyboard(0xF0, 0x09) == "fa fe"
    assert bench.to_keyboard(0xF3, 0x00) == "fa fa"
    assert bench.to_keyboard(0x12) == "fe"
    assert bench.to_keyboard(0xEE, 0xFE) == "ee ee"


def test_a_command_in_place_of_a_parameter(bench: Bench) -> None:
    assert bench.to_keyboard(0xED, 0xF4) == "fa fa"
    assert bench.keyboard.leds == 0


def test_f5_stops_scanning_and_f4_starts_it(bench: Bench) -> None:
    bench.to_keyboard(0xF5)
    bench.keyboard.press("a", down=True)
    assert bench.take() == b""
    bench.to_keyboard(0xF4)
    bench.keyboard.press("a", down=True)
    assert bench.take() == b"\x1e"


def test_typematic(bench: Bench) -> None:
    bench.to_keyboard(0xF3, 0x00)  # 250 ms, then 30 a second
    bench.keyboard.press("a", down=True)
    assert bench.take() == b"\x1e"
    bench.time.pass_(240 * MS)
    assert bench.status & 1 == 0
    count = 0
    for _ in range(1000):
        bench.time.pass_(MS)
        if bench.status & 1:
            assert bench.i8042.data.read(0) == 0x1E
            count += 1
    assert 29 <= count <= 31
    bench.keyboard.press("a", down=False)
    assert bench.take() == b"\x9e"
    bench.time.pass_(1000 * MS)
    assert bench.take() == b""


def test_too_many_keys_are_an_overrun(bench: Bench) -> None:
    bench.command(0x60, 0x05)
    for _ in range(20):
        bench.keyboard.press("a", down=True)
        bench.keyboard.press("a", down=False)
    got = bench.take()
    assert len(got) == 17
    assert got[-1] == 0x00


def test_ad_stops_the_keyboard(bench: Bench) -> None:
    bench.command(0xAD)
    bench.keyboard.press("a", down=True)
    assert bench.take() == b""
    bench.command(0xAE)
    assert bench.take() == b"\x1e"


def test_the_output_port(bench: Bench) -> None:
    bench.command(0xD1, 0x03)
    assert is_up(bench.a20)
    bench.command(0xD0)
    assert bench.i8042.data.read(0) & 3 == 3
    bench.command(0xDD)
    assert not is_up(bench.a20)
    bench.command(0xDF)
    assert is_up(bench.a20)
    assert bench.resets == 0
    bench.command(0xFE)
    assert bench.resets == 1
    bench.command(0xF1)
    assert bench.resets == 1
    bench.command(0xD1, 0x02)
    assert bench.resets == 2


def test_bytes_as_if_from_the_devices(bench: Bench) -> None:
    bench.command(0xD2, 0x77)
    assert (bench.irq1.level, bench.status & 0x21) == (True, 0x01)
    assert bench.i8042.data.read(0) == 0x77
    bench.command(0xD3, 0x88)
    assert (bench.irq12.level, bench.status & 0x21) == (True, 0x21)
    assert bench.i8042.data.read(0) == 0x88


def test_unknown_commands_are_reported(bench: Bench) -> None:
    bench.command(0xB5)
    assert bench.told == ["8042: command 0xb5"]


def test_mouse_commands(bench: Bench) -> None:
    assert bench.to_mouse(0xFF) == "fa aa 00"
    assert bench.irq12.up == 3
    assert bench.to_mouse(0xF2) == "fa 00"
    assert bench.to_mouse(0xE8, 3, 0xF3, 40, 0xE7) == "fa fa fa fa fa"
    assert bench.to_mouse(0xE9) == "fa 10 03 28"
    assert bench.to_mouse(0xF6, 0xE9) == "fa fa 00 02 64"
    assert bench.to_mouse(0x77) == "fe"


def test_mouse_packets(bench: Bench) -> None:
    bench.mouse.move(5, -3)
    assert bench.packet() == ()
    bench.to_mouse(0xF6, 0xF4)
    bench.mouse.move(5, -3)
    assert bench.packet() == (0x28, 5, 0xFD)
    bench.mouse.press(0b101)
    assert bench.packet() == (0x0D, 0, 0)
    bench.mouse.press(0b101)
    assert bench.packet() == ()


def test_large_movements_take_several_packets(bench: Bench) -> None:
    bench.to_mouse(0xF4)
    bench.mouse.move(-300, 0)
    assert bench.packet() == (0x18, 0x01, 0, 0x18, 0xD3, 0)


def test_movements_add_up_while_a_packet_waits(bench: Bench) -> None:
    bench.to_mouse(0xF4)
    for _ in range(4):
        bench.mouse.move(1, 1)
    assert bench.packet() == (8, 1, 1, 8, 3, 3)


def test_intellimouse(bench: Bench) -> None:
    bench.to_mouse(0xF3, 200, 0xF3, 100, 0xF3, 80)
    assert bench.to_mouse(0xF2) == "fa 03"
    bench.to_mouse(0xF4)
    bench.mouse.move(0, 0, -1)
    assert bench.packet() == (8, 0, 0, 0xFF)
    bench.to_mouse(0xF3, 200, 0xF3, 200, 0xF3, 80)
    assert bench.to_mouse(0xF2) == "fa 04"
    bench.mouse.press(0b10000)
    bench.mouse.move(0, 0, 1)
    assert bench.packet() == (8, 0, 0, 0x20, 8, 0, 0, 0x21)


def test_remote_mode_reports_when_asked(bench: Bench) -> None:
    bench.to_mouse(0xF4, 0xF0)
    bench.mouse.move(2, 0)
    assert bench.packet() == ()
    assert bench.to_mouse(0xEB) == "fa 08 02 00"


def test_wrap_mode_echoes(bench: Bench) -> None:
    assert bench.to_mouse(0xEE, 0xF2, 0x55, 0xEC, 0xF2) == "fa f2 55 fa fa 00"


def test_port_92h() -> None:
    a20, resets = Line(), list[int]()
    port = Port92(a20, lambda: resets.append(1))
    port.write(0, 2)
    assert (a20.level, port.read(), resets) == (True, 2, [])
    port.write(0, 3)
    port.write(0, 3)
    assert resets == [1]
    a20.set(False)
    assert port.read() == 1
