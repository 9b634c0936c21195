"""Keys by name, and the keys that type a text on a keyboard with American layout.

Names are those of QEMU's `sendkey` and of `Keyboard.press`.
"""

from __future__ import annotations

from machine.devices.ps2 import SET_2
from machine.errors import MachineError, shown

KEYS = frozenset((*SET_2, "pause", "print"))

# fmt: off
OTHER_NAMES = {
    "return": "ret", "enter": "ret", "escape": "esc", "space": "spc", "del": "delete",
    "ins": "insert", "page_up": "pgup", "page_down": "pgdn", "control": "ctrl", "shift_l": "shift",
    "ctrl_l": "ctrl", "alt_l": "alt", "altgr": "alt_r", "bs": "backspace", "capslock": "caps_lock",
    "asterisk": "kp_multiply", "prtsc": "print", "break": "pause", "kp_period": "kp_decimal",
}
"""Names that hands know besides."""

TYPED = {
    " ": "spc", "\n": "ret", "\r": "ret", "\t": "tab", "\b": "backspace", "\x7f": "backspace",
    "\x1b": "esc", "-": "minus", "=": "equal", "[": "bracket_left", "]": "bracket_right",
    ";": "semicolon", "'": "apostrophe", "`": "grave_accent", "\\": "backslash", ",": "comma",
    ".": "dot", "/": "slash",
    **{letter: letter for letter in "abcdefghijklmnopqrstuvwxyz0123456789"},
}
"""The key of each character that needs one key only."""

SHIFTED = dict(zip('~!@#$%^&*()_+{}|:"<>?', "`1234567890-=[]\\;',./", strict=True))
# fmt: on

Chord = tuple[str, ...]
"""Keys that are down together, pressed in this order."""


def read_keys(text: str) -> list[str]:
    """The names in what `sendkey` is told; a scan code of set 1 may be given as a number.

    >>> read_keys("ctrl-alt-delete")
    ['ctrl', 'alt', 'delete']
    """
    return [_key(name) for name in text.split("-")]


def _key(name: str) -> str:
    key = name.lower()
    key = OTHER_NAMES.get(key, key)
    if key in KEYS:
        return key
    if key in SHIFTED or key in TYPED:
        return TYPED[SHIFTED.get(key, key)]
    if key.startswith("0x"):
        return _by_scan_code(key)
    raise MachineError(f"there is no key '{shown(name)}'; keys are ret, spc, a, f1, ctrl, up, ...")


def _by_scan_code(text: str) -> str:
    """The key with a code of set 1; those behind E0h have 80h added, as in QEMU."""
    from machine.devices.ps2 import TO_SET_1

    try:
        wanted = int(text, 16)
    except ValueError:
        wanted = -1
    for name, code in SET_2.items():
        low = TO_SET_1[code & 0xFF] if code & 0xFF < len(TO_SET_1) else -1
        if (low | (0x80 if code > 0xFF else 0)) == wanted:
            return name
    raise MachineError(f"no key has the scan code {shown(text)}")


def chord_of(character: str) -> Chord | None:
    r"""What types a character, None if no key does.

    >>> chord_of("A")
    ('shift', 'a')
    >>> chord_of("\x03")
    ('ctrl', 'c')
    """
    if character in TYPED:
        return (TYPED[character],)
    if character in SHIFTED:
        return ("shift", TYPED[SHIFTED[character]])
    if "A" <= character <= "Z":
        return ("shift", character.lower())
    if len(character) == 1 and ord(character) < 0x20:
        return _control(chr(ord(character) + 0x40).lower())
    return None


def _control(character: str) -> Chord | None:
    chord = chord_of(character)
    return ("ctrl", *chord) if chord else None


def chords_of(text: str) -> list[Chord]:
    r"""What types a text; characters that no key makes are left out.

    >>> chords_of("Dir\n")
    [('shift', 'd'), ('i',), ('r',), ('ret',)]
    """
    return [chord for character in text if (chord := chord_of(character))]
