"""The three fonts of a VGA: 8x16, 8x14 and 8x8 characters of code page 437.

Letters come from `font.tbl`, which is in the public domain. Lines and blocks (B0h to DFh) reach the
edges of their cell, whatever its height, and are computed.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

FIRST_COMPUTED, FIRST_LINE, FIRST_BLOCK = 0xB0, 0xB3, 0xDB

# fmt: off
# Of each character from B3h to DAh how many lines go to the left, right, up and down.
ARMS = (
    "0011 1011 2011 1022 1002 2001 2022 0022 2002 2020 1020 2010 1001"       # B3h
    " 0110 1110 1101 0111 1100 1111 0211 0122 0220 0202 2220 2202 0222 2200 2222 2210"      # C0h
    " 1120 2201 1102 0120 0210 0201 0102 1122 2211 1010 0101"                               # D0h
).split()
# fmt: on

MIDDLE, LEFT, RIGHT = 3, 2, 5
"""Columns of a single vertical line (two dots wide) and of the two of a double one."""


@cache
def font(height: int) -> bytes:
    """256 characters of `height` bytes each: 8, 14 or 16."""
    letters = _letters()
    drawn = (
        _computed(code, height) if code in range(FIRST_COMPUTED, 0xE0) else
        _fitted(*letters[code], height)
        for code in range(256)
    )  # fmt: skip
    return b"".join(drawn)


def _letters() -> dict[int, tuple[bytes, bytes]]:
    rows = (files(__package__) / "font.tbl").read_text(encoding="utf-8").splitlines()
    columns = (row.split() for row in rows if not row.startswith("#"))
    return {int(c[0], 16): (bytes.fromhex(c[-2]), bytes.fromhex(c[-1])) for c in columns}


def _fitted(tall: bytes, low: bytes, height: int) -> bytes:
    if height == 8:
        return low
    above = (height - len(tall)) // 2
    return bytes(above) + tall + bytes(height - len(tall) - above)


def _computed(code: int, height: int) -> bytes:
    if code < FIRST_LINE:
        patterns = ((0x22, 0x88), (0x55, 0xAA), (0xDD, 0x77))[code - FIRST_COMPUTED]
        return bytes(patterns[row & 1] for row in range(height))
    if code >= FIRST_BLOCK:
        upper, lower = ((255, 255), (0, 255), (0xF0, 0xF0), (0x0F, 0x0F), (255, 0))[
            code - FIRST_BLOCK
        ]
        return bytes((upper,)) * (height // 2) + bytes((lower,)) * (height - height // 2)
    left, right, up, down = map(int, ARMS[code - FIRST_LINE])
    rows = [0] * height
    middle = height // 2 - 1
    for y, x0, x1 in _horizontal(left, right, up, down, middle):
        rows[y] |= sum(0x80 >> x for x in range(x0, x1))
    for x, y0, y1 in _vertical(left, right, up, down, middle, height):
        for y in range(y0, y1):
            rows[y] |= 0x80 >> x
    return bytes(rows)


def _horizontal(
    left: int, right: int, up: int, down: int, middle: int
) -> list[tuple[int, int, int]]:
    """Strokes of the two horizontal arms: row, first column, column after the last."""
    is_double = 2 in {up, down}
    strokes = []
    for row, beside in ((middle - 1, up), (middle, up and down), (middle + 1, down)):
        wanted = 1 if row == middle else 2
        inner, outer = (LEFT, RIGHT) if is_double else (MIDDLE + 1, MIDDLE)
        if left == wanted:
            strokes.append((row, 0, (inner if beside and is_double else outer) + 1))
        if right == wanted:
            strokes.append((row, outer if beside and is_double else inner, 8))
    return strokes


def _vertical(
    left: int, right: int, up: int, down: int, middle: int, height: int
) -> list[tuple[int, int, int]]:
    """Strokes of the two vertical arms: column, first row, row after the last."""
    is_double = 2 in {left, right}
    first, last = (middle - 1, middle + 1) if is_double else (middle, middle)
    strokes = []
    for column, kind, beside in (
        (MIDDLE, 1, left and right),
        (MIDDLE + 1, 1, left and right),
        (LEFT, 2, left),
        (RIGHT, 2, right),
    ):
        if up == kind:
            strokes.append((column, 0, (first if beside else last) + 1))
        if down == kind:
            strokes.append((column, last if beside else first, height))
    return strokes
