"""Keys by name, and typed."""

from __future__ import annotations

import pytest

from machine.clock import SECOND
from machine.devices.ps2 import Keyboard
from machine.errors import MachineError
from machine.keys import KEYS, chord_of, chords_of, read_keys
from tests.machine.fakes import FakeTime


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("ctrl-alt-delete", ["ctrl", "alt", "delete"]),
        ("ret", ["ret"]),
        ("Ctrl-ESC", ["ctrl", "esc"]),
        ("shift-a", ["shift", "a"]),
        ("alt-sysrq-b", ["alt", "sysrq", "b"]),
        ("0x1e", ["a"]),
        ("0xd3", ["delete"]),
        ("0x2a-0x3b", ["shift", "f1"]),
        ("del-page_up-return", ["delete", "pgup", "ret"]),
        ("/", ["slash"]),
    ],
)
def test_names(text: str, keys: list[str]) -> None:
    assert read_keys(text) == keys


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ctrl-altt", "there is no key 'altt'; keys are ret, spc, a, f1, ctrl, up, ..."),
        ("", "there is no key ''; keys are ret, spc, a, f1, ctrl, up, ..."),
        ("a\x1b", r"there is no key 'a\x1b'; keys are ret, spc, a, f1, ctrl, up, ..."),
        ("0x7777", "no key has the scan code 0x7777"),
        ("0xzz", "no key has the scan code 0xzz"),
    ],
)
def test_wrong_names(text: str, message: str) -> None:
    with pytest.raises(MachineError) as error:
        read_keys(text)
    assert error.value.message == message


def test_every_key_exists() -> None:
    keyboard = Keyboard(FakeTime().clock)
    assert all(keyboard.press(name, True) for name in KEYS)


def test_keys_of_a_terminal_do_not_repeat() -> None:
    time = FakeTime()
    keyboard = Keyboard(time.clock)
    keyboard.press_once("a", True)
    time.pass_(5 * SECOND)
    assert bytes(keyboard.waiting) == b"\x1c"
    keyboard.press("a", True)
    time.pass_(5 * SECOND)
    assert len(keyboard.waiting) > 10


def test_typing() -> None:
    assert chords_of('echo "Hi" > C:\\A_1\n') == [
        *(("e",), ("c",), ("h",), ("o",), ("spc",), ("shift", "apostrophe"), ("shift", "h")),
        *(("i",), ("shift", "apostrophe"), ("spc",), ("shift", "dot"), ("spc",), ("shift", "c")),
        *(("shift", "semicolon"), ("backslash",), ("shift", "a"), ("shift", "minus"), ("1",)),
        ("ret",),
    ]
    assert [chord_of(chr(code)) for code in (0, 1, 8, 9, 13, 26, 27, 28, 31)] == [
        *(("ctrl", "shift", "2"), ("ctrl", "a"), ("backspace",), ("tab",), ("ret",), ("ctrl", "z")),
        *(("esc",), ("ctrl", "backslash"), ("ctrl", "shift", "minus")),
    ]
    assert all(chord_of(chr(code)) for code in range(128))
    assert chords_of("ä€") == []
