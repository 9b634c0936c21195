"""What several rows can get wrong together: overlaps, rows nothing reaches, names used twice."""

from __future__ import annotations

from collections.abc import Sequence

from tcg.decode.parse import Description, RowText

Cube = tuple[int, int]
"""(mask, value): the set of the words with word & mask == value."""


def check(table: Description) -> None:
    """Raise TableError if two rows do not get along."""
    seen: dict[str, RowText] = {}
    for row in table.rows:
        if (other := seen.setdefault(row.name, row)) is not row:
            fact = f"there are two rows {row.name}; the other is at line {other.line}"
            table.fail(row.line, fact, "a name is a Python function's: give each row its own")
    for index, row in enumerate(table.rows):
        _check_overlaps(row, table.rows[:index], table)
        _check_reached(row, table.rows[:index], table)


def _check_overlaps(row: RowText, above: Sequence[RowText], table: Description) -> None:
    for other in above:
        if row.group and row.group == other.group:
            continue
        if not (row.value ^ other.value) & row.mask & other.mask:
            word = row.value | other.value
            digits = (table.width + 3) // 4
            table.fail(
                row.line,
                f"{row.name} and {other.name} both match 0x{word:0{digits}x}; "
                f"{other.name} is at line {other.line}",
                "put the special case in a { } group above the general one",
            )


def _check_reached(row: RowText, above: Sequence[RowText], table: Description) -> None:
    """A row of a group must match something that the rows above it leave over."""
    rivals = [other for other in above if row.group and other.group == row.group]
    if rivals and left_over((row.mask, row.value), [(r.mask, r.value) for r in rivals]) is None:
        hiding = [
            other for other in rivals if not (row.value ^ other.value) & row.mask & other.mask
        ]
        names = " and ".join(f"{other.name} (line {other.line})" for other in hiding)
        table.fail(
            row.line,
            f"nothing reaches {row.name}: {names} above it matches all it could",
            "the first match counts: put the special case above the general one",
        )


def left_over(cube: Cube, covers: Sequence[Cube]) -> int | None:
    """A word of `cube` that is in none of `covers`, or None if there is none.

    Where a cover cuts the cube, each bit that only the cover fixes gives a half outside of it.
    """
    mask, value = cube
    for index, (cover_mask, cover_value) in enumerate(covers):
        if (value ^ cover_value) & mask & cover_mask:
            continue
        free = cover_mask & ~mask
        while free:
            bit = free & -free
            free ^= bit
            outside = (mask | bit, value | ~cover_value & bit)
            if (word := left_over(outside, covers[index + 1 :])) is not None:
                return word
            mask, value = mask | bit, value | cover_value & bit
        return None
    return value
