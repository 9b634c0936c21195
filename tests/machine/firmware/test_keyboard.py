"""Scan codes become keys: what INT 09h puts into the buffer, and INT 16h shows."""

from __future__ import annotations

import pytest

from machine.firmware import bda
from machine.firmware.call import Guest
from machine.firmware.keyboard import Keyboard
from tests.machine.fakes import Ram
from tests.machine.firmware.fakes import call


class Bench:
    def __init__(self) -> None:
        self.ram = Ram()
        self.guest = Guest(self.ram)
        self.restarts = 0
        self.keyboard = Keyboard(self.guest, self.restart)
        self.keyboard.set_up()

    def restart(self) -> None:
        self.restarts += 1

    def scan(self, codes: str) -> list[int]:
        return [self.keyboard.scan(code) for code in bytes.fromhex(codes)]

    def keys(self, ah: int = 0x10) -> list[str]:
        found: list[str] = []
        while True:
            made = call(ax=ah << 8)
            self.keyboard.call(made)
            if made.not_yet:
                return found
            found.append(f"{made.ax:04x}")


@pytest.fixture
def bench() -> Bench:
    return Bench()


# Scan codes; keys as AH=10h shows them; as AH=00h does, if otherwise.
# fmt: off
CASES = [
    ("1e 9e",                   "1e61",            None),          # a
    ("2a 1e 9e aa 1e",          "1e41 1e61",       None),          # A, a
    ("36 1e b6 1e",             "1e41 1e61",       None),
    ("3a ba 1e 02 2a 1e 02 aa", "1e41 0231 1e61 0221", None),      # Caps Lock: letters only
    ("1d 1e 9d 1e",             "1e01 1e61",       None),          # Ctrl-A
    ("1d 03 04",                "0300",            None),          # Ctrl-2; Ctrl-3 is none
    ("38 1e b8",                "1e00",            None),          # Alt-A
    ("38 02",                   "7800",            None),          # Alt-1
    ("3b 2a 3b aa 1d 3b 9d 38 3b", "3b00 5400 5e00 6800", None),   # F1
    ("57 2a 57",                "8500 8700",       ""),            # F11: new keys
    ("0f 2a 0f aa 1d 0f",       "0f09 0f00 9400",  "0f09 0f00"),   # Tab
    ("48 e0 48 1d e0 48 48",    "4800 48e0 8de0 8d00", "4800 4800"),    # Up; with Ctrl they are new
    ("45 c5 48 2a 48",          "4838 4800",       None),          # Num Lock
    ("1c e0 1c e0 35 35",       "1c0d e00d e02f 352f", "1c0d 1c0d 352f 352f"),
    ("e0 52 52",                "52e0 5200",       "5200 5200"),   # Ins
    ("38 4f 4d 48 b8",          "00a8",            None),          # Alt-168 on the pad
    ("39 01 0e",                "3920 011b 0e08",  None),
    ("fa 00 fe",                "",                None),          # no keys
    ("2a fa aa 1e",             "1e61",            None),
    ("e0 2a e0 48 e0 aa",       "48e0",            "4800"),        # a grey key's own shift
    ("e1 1d 45 e1 9d c5 1e",    "1e61",            None),          # Pause
    ("56 2a 56",                "565c 567c",       None),
]
# fmt: on


@pytest.mark.parametrize(("codes", "enhanced", "plain"), CASES)
def test_keys(codes: str, enhanced: str, plain: str | None) -> None:
    first, second = Bench(), Bench()
    first.scan(codes)
    assert " ".join(first.keys(0x10)) == enhanced
    second.scan(codes)
    assert " ".join(second.keys(0x00)) == (enhanced if plain is None else plain)


def test_all_letters(bench: Bench) -> None:
    bench.scan("10 11 12 13 14 15 16 17 18 19")
    assert "".join(chr(int(key, 16) & 0xFF) for key in bench.keys(0x10)) == "qwertyuiop"


def test_the_buffer_holds_fifteen(bench: Bench) -> None:
    bench.scan("1e" * 20)
    assert len(bench.keys()) == 15
    made = call(ax=0x0500, cx=0x1E61)
    for _ in range(15):
        bench.keyboard.call(made)
        assert made.al == 0
    bench.keyboard.call(made)
    assert made.al == 1


def test_shift_states(bench: Bench) -> None:
    bench.scan("2a 1d e038")
    made = call(ax=0x1200)
    bench.keyboard.call(made)
    assert (made.al, made.ah) == (0x02 | 0x04 | 0x08, 0x01 | 0x08)
    bench.scan("aa 9d e0b8 3a")
    made = call(ax=0x0200)
    bench.keyboard.call(made)
    assert made.al == 0x40


def test_the_other_ctrl_still_holds(bench: Bench) -> None:
    bench.scan("1d e01d 9d 1e e09d 1e")
    assert bench.keys() == ["1e01", "1e61"]


def test_actions_of_the_rom(bench: Bench) -> None:
    assert bench.scan("1d e0 46") == [0, 0, 1]
    assert bench.guest.byte(bda.BREAK) == 0x80 and bench.keys(0) == ["0000"]
    assert bench.scan("9d e037 e0b7") == [0, 0, 2, 0, 0]
    assert bench.scan("54 d4") == [3, 0x103]


def test_ctrl_alt_del(bench: Bench) -> None:
    bench.scan("1d 38 53")
    assert bench.restarts == 1 and bench.guest.word(bda.RESET_FLAG) == 0x1234


def test_looking_does_not_take(bench: Bench) -> None:
    made = call(ax=0x0100)
    bench.keyboard.call(made)
    assert made.zero
    bench.scan("1e")
    for _ in range(2):
        made = call(ax=0x0100)
        bench.keyboard.call(made)
        assert (made.ax, made.zero) == (0x1E61, False)


def test_every_scan_code_ends_well() -> None:
    for prefix in (b"", b"\xe0", b"\xe1"):
        for held in ("", "2a", "1d", "38", "1d38", "45"):
            bench = Bench()
            bench.scan(held)
            for code in range(256):
                bench.scan((prefix + bytes((code,))).hex())
            bench.keys()
