"""Operands to try the rows of a table with."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import frontends.ppc
from tcg.decode import BitField, Row, Table

PPC32 = Path(frontends.ppc.__file__).with_name("ppc32.decode")
Values = tuple[int, ...]
Named = dict[str, int]


def _updates(operands: Named) -> bool:
    """A load or store with update: the base is a register, and not the one that is loaded."""
    return operands["ra"] not in (0, operands.get("rt"))


def _is_branch(operands: Named) -> bool:
    """BO without its reserved bits: hints only where there is one."""
    return operands["bo"] in (0, 2, 4, 6, 7, 8, 10, 12, 14, 15, 16, 18, 20, 24, 25, 26, 27)


def _fits_branch(operands: Named) -> bool:
    """BI is zero where it is not used: both witnesses have their own idea of it otherwise."""
    always = operands["bo"] >> 4
    return _is_branch(operands) and not (always and operands["bi"])


def _never_decrements(operands: Named) -> bool:
    return _fits_branch(operands) and bool(operands["bo"] & 4)


def _above(operands: Named) -> bool:
    return operands["ra"] < operands["rt"]


def _string(operands: Named) -> bool:
    """The base is not among the registers loaded."""
    last = operands["rt"] + (operands["nb"] + 3) // 4
    return 0 < operands["ra"] < operands["rt"] and operands["nb"] > 0 and last < 32


VALID: dict[str, Callable[[Named], bool]] = {
    "bc": _fits_branch,
    "bclr": _fits_branch,
    "bcctr": _never_decrements,
    "lmw": _above,
    "lswi": _string,
    "lswx": lambda o: 0 < o["ra"] < o["rt"] and o["rb"] < o["rt"],
    "stswi": lambda o: o["nb"] > 0 and o["ra"] > 0,
    "mfspr": lambda o: o["spr"] in (1, 8, 9, 256, 268, 269, 287, 900),
    "mtspr": lambda o: o["spr"] in (1, 8, 9, 256, 900),
    "mftb": lambda o: o["tbr"] in (268, 269),
    "mfocrf": lambda o: o["crm"].bit_count() == 1,
    "mtocrf": lambda o: o["crm"].bit_count() == 1,
    # These two are priority hints and the like for later processors.
    "or": lambda o: o["rs"] != o["ra"],
    "ori": lambda o: o["rs"] != o["ra"] or o["rs"] == 0,
}
"""Forms that the manual calls valid; witnesses refuse or rename others."""


def is_valid(row: Row, values: Values) -> bool:
    """Whether the manual allows these operands."""
    operands = {field.name: value for field, value in zip(row.fields, values, strict=True)}
    is_update = row.name.endswith(("u", "ux")) and {"ra", "d"} & operands.keys() and row.value
    if is_update and row.name.startswith(("l", "st")) and not _updates(operands):
        return False
    return row.name not in VALID or VALID[row.name](operands)


def samples(row: Row, count: int) -> Iterator[Values]:
    """Valid operands for a row, always the same; edges and equal registers are common."""
    chance = random.Random(row.name)
    found = 0
    while found < count:
        values = _sample(row.fields, chance)
        if is_valid(row, values):
            found += 1
            yield values


def _sample(fields: Sequence[BitField], chance: random.Random) -> Values:
    values = [_value(field, chance) for field in fields]
    five = [index for index, field in enumerate(fields) if field.width == 5]
    if len(five) > 1 and chance.random() < 0.3:
        for index in chance.sample(five, chance.randint(2, len(five))):
            values[index] = values[five[0]]
    return tuple(values)


def _value(field: BitField, chance: random.Random) -> int:
    low = -(1 << field.width - 1) if field.signed else 0
    anything = chance.randrange(1 << field.width) + low
    if field.name in SPECIAL and chance.random() < 0.8:
        return chance.choice(SPECIAL[field.name])
    return chance.choice([0, low, low + (1 << field.width) - 1, anything, anything, anything])


SPECIAL: dict[str, tuple[int, ...]] = {
    "spr": (1, 8, 9, 256, 268, 269, 287, 900),
    "tbr": (268, 269),
    "bo": (0, 2, 4, 8, 10, 12, 14, 15, 16, 18, 20, 20, 20, 20),
    "bi": (0, 0, 1, 2, 3, 5),
    "to": (4, 31),
    "mb": (0, 0, 24),
    "me": (31, 31, 28),
    "sh": (0, 3, 8),
    "crm": (1, 8, 128, 255),
    "bc": (0, 1, 2, 3, 9),
}
"""Values that have a text of their own."""


def without_cases(table: Path, copy: Path) -> Path:
    """Write the table without its `when` lines to `copy`: what is left has one text a row."""
    lines = table.read_text().splitlines(keepends=True)
    kept: list[str] = []
    skip = False
    for line in lines:
        is_case = line.lstrip().startswith("when ")
        if not is_case and not (skip and line.lstrip().startswith('"')):
            kept.append(line)
        skip = is_case
    copy.write_text("".join(kept))
    return copy


def by_trying(table: Table, word: int) -> tuple[int, Values] | None:
    """What the decoder should say, from the rows' masks and fields alone, one row after another."""
    for index, row in enumerate(table.rows):
        if word & row.mask == row.value:
            return index, tuple(_extracted(word, field) for field in row.fields)
    return None


def _extracted(word: int, field: BitField) -> int:
    value = 0
    for at, width, shift in field.pieces:
        value += (word >> at) % (1 << width) << shift
    negative = field.signed and value >= 1 << field.width - 1
    return value - (1 << field.width) if negative else value


def word_samples(table: Table, count: int) -> Iterator[tuple[Row, Values, int]]:
    """Samples of every row, with their words."""
    for row in table.rows:
        for values in samples(row, count if row.fields else 1):
            yield row, values, row.encode(values)
