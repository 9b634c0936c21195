"""A picture in a terminal's cells: each has two pixels, one above the other: an upper half block.

Colours are those of xterm's palette of 256: a cube of 6 by 6 by 6, and greys.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from machine.devices.vga_picture import Frame

UPPER_HALF = "▀"
CUBE, GREYS = 16, 232
LEVELS = (0, 95, 135, 175, 215, 255)

NEAREST_LEVEL = bytes(
    min(range(6), key=lambda level: abs(LEVELS[level] - value)) for value in range(256)
)


def nearest(red: int, green: int, blue: int) -> int:
    """The colour of the palette that comes close.

    >>> nearest(255, 0, 0), nearest(128, 128, 128)
    (196, 244)
    """
    if max(red, green, blue) - min(red, green, blue) < 8:
        step = round((red - 8) / 10)
        if step < 0:
            return CUBE
        return GREYS + step if step < 24 else CUBE + 215
    levels = NEAREST_LEVEL
    return CUBE + 36 * levels[red] + 6 * levels[green] + levels[blue]


def fit(width: int, height: int, columns: int, rows: int) -> tuple[int, int]:
    """The largest picture of these proportions in a terminal, in half cells; at least one cell.

    >>> fit(640, 480, 80, 24)
    (64, 48)
    """
    lines = 2 * rows
    if width * lines <= columns * height:
        columns = width * lines // height
    else:
        lines = columns * height // width
    return max(1, columns), max(2, lines & ~1)


def blocks(frame: Frame, columns: int, lines: int) -> list[list[tuple[int, int]]]:
    """Rows of cells, each the colours above and below: four dots of the frame are averaged."""
    rgb, stride = frame.rgb(), 3 * frame.width
    halves = [
        (
            3 * ((4 * x + 1) * frame.width // (4 * columns)),
            3 * ((4 * x + 3) * frame.width // (4 * columns)),
        )
        for x in range(columns)
    ]
    colors: list[list[int]] = []
    for y in range(lines):
        first, second = ((4 * y + at) * frame.height // (4 * lines) * stride for at in (1, 3))
        colors.append(_line(rgb[first : first + stride], rgb[second : second + stride], halves))
    return [
        list(zip(above, below, strict=True))
        for above, below in zip(colors[0::2], colors[1::2], strict=True)
    ]


def _line(first: bytes, second: bytes, halves: Sequence[tuple[int, int]]) -> list[int]:
    found = []
    known: dict[tuple[int, int, int], int] = {}
    for left, right in halves:
        color = (
            first[left] + first[right] + second[left] + second[right] >> 2,
            first[left + 1] + first[right + 1] + second[left + 1] + second[right + 1] >> 2,
            first[left + 2] + first[right + 2] + second[left + 2] + second[right + 2] >> 2,
        )
        index = known.get(color)
        if index is None:
            index = known[color] = nearest(*color)
        found.append(index)
    return found
