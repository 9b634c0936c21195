"""What several rows can get wrong together: overlaps, and rows that nothing reaches."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations
from os.path import basename

from tcg.decode.errors import TableError
from tcg.decode.intel.dispatch import Builder, Candidate, is_legal, places
from tcg.decode.intel.encoding import NFX, Encoding
from tcg.decode.intel.parse import RowText
from tcg.decode.intel.table import MODES

VexBits = tuple[tuple[int, ...], tuple[int, ...]]
Slots = dict[tuple[bool, int, int], list[RowText]]
"""The rows of a slot: whether it has VEX, its map, its opcode."""


def check(rows: Sequence[RowText]) -> None:
    """Raise TableError if two rows do not get along."""
    slots: Slots = defaultdict(list)
    for text in rows:
        for place in places(text.encoding):
            slots[place].append(text)
    for place, sharing in slots.items():
        for above, below in combinations(sharing, 2):
            _check_pair(above, below, place[2])
    _check_reached(rows, slots)


def _check_pair(above: RowText, below: RowText, opcode: int) -> None:
    one, other = above.encoding, below.encoding
    if not _share_a_mode(above, below):
        return
    if one.has_modrm != other.has_modrm and one.prefix == other.prefix and one.vex == other.vex:
        this, that = ("no ModRM", "one") if one.has_modrm else ("a ModRM byte", "none")
        _fail(
            below,
            f"{below.row.name} has {this}, {above.row.name} at {_place(above, below)} has {that}",
            "all rows of an opcode have a ModRM byte, or none has",
        )
    both = _both(one, other)
    if both is None or (above.group and above.group == below.group):
        return
    prefix = other.prefix if one.prefix == NFX else one.prefix
    example = one._replace(opcode=opcode, prefix=prefix).example(both)
    _fail(
        below,
        f"{below.row.name} and {above.row.name} both match {example}; "
        f"{above.row.name} is at {_place(above, below)}",
        "put the special case in a { } group above the general one",
    )


def _share_a_mode(one: RowText, other: RowText) -> bool:
    return any(
        is_legal(one.row.properties, mode) and is_legal(other.row.properties, mode)
        for mode in MODES
    )


def _both(one: Encoding, other: Encoding) -> int | None:
    """A ModRM byte that both rows take; None if nothing is an instruction of both.

    A row that names a prefix goes before one that does not: these two get along.
    """
    if one.suffix != other.suffix or (one.prefix is None) != (other.prefix is None):
        return None
    if one.prefix is not None and not any(
        one.takes_prefix(prefix) and other.takes_prefix(prefix) for prefix in range(4)
    ):
        return None
    if one.vex and other.vex and not _same_vex(one.vex, other.vex):
        return None
    if not one.has_modrm:
        return 0
    return next((byte for byte in range(256) if one.fits(byte) and other.fits(byte)), None)


def _same_vex(one: VexBits, other: VexBits) -> bool:
    return all(set(ours) & set(theirs) for ours, theirs in zip(one, other, strict=True))


def _check_reached(rows: Sequence[RowText], slots: Slots) -> None:
    """A row must match something in some mode that the rows before it leave over."""
    reached: set[int] = set()
    all_rows = [
        Candidate(
            index,
            text.encoding,
            text.row.properties,
            text.row.feature,
            tuple(operand.text for operand in text.row.operands),
        )
        for index, text in enumerate(rows)
    ]
    for mode in MODES:
        builder = Builder(all_rows, mode)
        builder.build()
        reached |= builder.reached
    for index, text in enumerate(rows):
        if index in reached:
            continue
        hiding = [
            other
            for other in slots[next(places(text.encoding))]
            if other is not text and _both(text.encoding, other.encoding) is not None
        ]
        names = " and ".join(f"{other.row.name} ({_place(other, text)})" for other in hiding)
        _fail(
            text,
            f"nothing reaches {text.row.name}: {names or 'a prefix'} is there before it",
            "the first match counts: put the special case above the general one",
        )


def _place(text: RowText, seen_from: RowText) -> str:
    """Where a row is, for somebody who looks at another."""
    if text.row.file == seen_from.row.file:
        return f"line {text.row.line}"
    return f"{basename(text.row.file)}:{text.row.line}"


def _fail(text: RowText, fact: str, hint: str) -> None:
    raise TableError(text.row.file, text.row.line, fact, hint)
