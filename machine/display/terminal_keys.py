"""What a terminal sends, as keys of a PC keyboard.

A terminal tells of characters and of some keys, never of their release. Alt with a key comes as
Escape before it; Ctrl with a letter as a control character; both, and Shift, with arrows and
function keys as numbered variants of terminfo's (`kUP5`, see user_caps(5), and kf13 and on).
"""

from __future__ import annotations

import curses
import re
from functools import cache

from machine.keys import Chord, chord_of

# fmt: off
PLAIN = {
    curses.KEY_UP: "up", curses.KEY_DOWN: "down", curses.KEY_LEFT: "left",
    curses.KEY_RIGHT: "right", curses.KEY_HOME: "home", curses.KEY_END: "end",
    curses.KEY_PPAGE: "pgup", curses.KEY_NPAGE: "pgdn", curses.KEY_IC: "insert",
    curses.KEY_DC: "delete", curses.KEY_BACKSPACE: "backspace", curses.KEY_ENTER: "ret",
    curses.KEY_B2: "kp_5", curses.KEY_A1: "kp_7", curses.KEY_A3: "kp_9", curses.KEY_C1: "kp_1",
    curses.KEY_C3: "kp_3", curses.KEY_PRINT: "print",
}
SHIFTED = {
    curses.KEY_BTAB: "tab", curses.KEY_SLEFT: "left", curses.KEY_SRIGHT: "right",
    curses.KEY_SHOME: "home", curses.KEY_SEND: "end", curses.KEY_SIC: "insert",
    curses.KEY_SDC: "delete", curses.KEY_SR: "up", curses.KEY_SF: "down",
    curses.KEY_SPREVIOUS: "pgup", curses.KEY_SNEXT: "pgdn",
}
VARIANTS = {
    "kUP": "up", "kDN": "down", "kLFT": "left", "kRIT": "right", "kHOM": "home", "kEND": "end",
    "kPRV": "pgup", "kNXT": "pgdn", "kIC": "insert", "kDC": "delete",
}
FINAL = {
    "A": "up", "B": "down", "C": "right", "D": "left", "F": "end", "H": "home", "E": "kp_5",
    "P": "f1", "Q": "f2", "R": "f3", "S": "f4",
}
NUMBERED = {
    1: "home", 2: "insert", 3: "delete", 4: "end", 5: "pgup", 6: "pgdn", 7: "home", 8: "end",
    11: "f1", 12: "f2", 13: "f3", 14: "f4", 15: "f5", 17: "f6", 18: "f7", 19: "f8", 20: "f9",
    21: "f10", 23: "f11", 24: "f12",
}
# fmt: on

SEQUENCE = re.compile(r"(?:O|\[)(?:(\d{1,2})(?:;([2-8]))?)?([A-Z~])")

FUNCTION_KEYS = 12
GROUPS: tuple[Chord, ...] = ((), ("shift",), ("ctrl",), ("ctrl", "shift"), ("alt",))
"""What is held down with kf1 to kf12, kf13 to kf24, and so on, as xterm has it."""


def chord_of_key(key: str | int, *, with_alt: bool = False) -> Chord | None:
    """The keys behind what `get_wch` answered."""
    chord = chord_of(key) if isinstance(key, str) else _special(key)
    if chord and with_alt and "alt" not in chord:
        return ("alt", *chord)
    return chord


@cache
def _special(key: int) -> Chord | None:
    if key in PLAIN:
        return (PLAIN[key],)
    if key in SHIFTED:
        return ("shift", SHIFTED[key])
    group, number = divmod(key - curses.KEY_F1, FUNCTION_KEYS)
    if 0 <= group < len(GROUPS):
        return (*GROUPS[group], f"f{number + 1}")
    try:
        return _variant(curses.keyname(key).decode())
    except (ValueError, curses.error):
        return None


def _variant(name: str) -> Chord | None:
    """`kUP5` is Ctrl with up: the number less one has bits for Shift, Alt and Ctrl.

    >>> _variant("kLFT7")
    ('ctrl', 'alt', 'left')
    """
    if name[:-1] not in VARIANTS or not "1" <= name[-1] <= "8":
        return None
    return (*_held(int(name[-1])), VARIANTS[name[:-1]])


def _held(number: int) -> Chord:
    bits = number - 1
    return tuple(key for key, bit in (("ctrl", 4), ("alt", 2), ("shift", 1)) if bits & bit)


def chord_of_sequence(text: str) -> Chord | None:
    """What came behind Escape, if curses did not know it: xterm's control sequences.

    >>> chord_of_sequence("[1;5D")
    ('ctrl', 'left')
    """
    found = SEQUENCE.fullmatch(text)
    if found is None:
        return None
    number, held, final = found.groups()
    name = NUMBERED.get(int(number or 0)) if final == "~" else FINAL.get(final)
    return (*_held(int(held or 1)), name) if name else None


def is_complete(sequence: str) -> bool:
    """Whether it has its final character, or is too long to be one."""
    return len(sequence) > 8 or (len(sequence) > 1 and sequence[-1] not in "0123456789;")
