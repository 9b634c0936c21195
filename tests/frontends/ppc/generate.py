"""Random PowerPC instructions and register values, made to meet the corners.

Registers from r27 up are kept: r31 and r30 point into the data, r29 is a small offset, r28 a
pointer that update forms move, r27 one that is aligned.  All others are free.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from random import Random

from tcg.decode import Row, Table
from tests.frontends.ppc.machines import DATA, DATA_SIZE, State

BASES = (30, 31)
OFFSET = 29
MOVING = 28
ALIGNED = 27
FREE = 27
BASE_ADDRESS = DATA + DATA_SIZE // 2

NOP = bytes.fromhex("60000000")
CLEAR_FR_FI = bytes.fromhex("fda0008c fdc0008c")
"""mtfsb0 13, mtfsb0 14: we do not follow these two bits."""

INTEGERS = (
    0, 1, 2, 3, 31, 32, 33, 63, 64, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF,
    0x80000000, 0x80000001, 0xAAAAAAAA, 0xFFFF0000, 0xFFFF8000, 0xFFFFFFFE, 0xFFFFFFFF,
)  # fmt: skip
DOUBLES = (
    0x0000000000000000, 0x3FF0000000000000, 0x3FF0000000000001, 0x4000000000000000,
    0x7FEFFFFFFFFFFFFF, 0x0010000000000000, 0x000FFFFFFFFFFFFF, 0x0000000000000001,
    0x7FF0000000000000, 0x7FF8000000000000, 0x7FF0000000000001, 0x7FF4000000000000,
    0x7FFC123456789ABC, 0x7FF123456789ABCD, 0x47EFFFFFE0000000, 0x47EFFFFFF0000000,
    0x3810000000000000, 0x380FFFFFE0000000, 0x36A0000000000000, 0x3690000000000000,
    0x41DFFFFFFFC00000, 0x41DFFFFFFFE00000, 0x41E0000000000000, 0x41DFFFFFFFF00000,
    0x41E0000000100000, 0x41E0000000200000, 0x3FE0000000000000, 0x3FF8000000000000,
)  # fmt: skip

LEFT_OUT = {
    **dict.fromkeys(("sc", "tw", "twi", "b", "bclr", "bcctr"), "leaves the code"),
    "mftb": "tells the time",
    "lmw": "loads the registers that are kept",
    **dict.fromkeys(("isel", "popcntb", "fsqrt", "fsqrts"), "the 750 has it not"),
}
"""Rows that random code does not contain, and why; each has lines of its own in the text tests."""


def integer(random: Random) -> int:
    """A 32-bit number."""
    match random.randrange(4):
        case 0:
            return random.choice(INTEGERS)
        case 1:
            return random.getrandbits(random.randrange(1, 33))
        case 2:
            return (1 << random.randrange(32)) - random.randrange(2)
        case _:
            return random.getrandbits(32)


def single(random: Random) -> int:
    """A double that is a single; its bits."""
    exponent = random.choice((random.randrange(897, 1151), random.randrange(1010, 1040)))
    fraction = random.choice((random.getrandbits(23), random.choice((0, 1, 0x400000, 0x7FFFFF))))
    return random.getrandbits(1) << 63 | exponent << 52 | fraction << 29


def double(random: Random) -> int:
    """The bits of a double."""
    match random.randrange(5):
        case 0:
            return random.choice(DOUBLES) | random.getrandbits(1) << 63
        case 1:
            return random.getrandbits(64)
        case 2:
            near = random.randrange(1005, 1060) << 52
            return random.getrandbits(1) << 63 | near | random.getrandbits(52)
        case _:
            return single(random)


def state(random: Random) -> State:
    """All registers."""
    found = {f"r{i}": integer(random) for i in range(FREE)}
    found |= {f"f{i}": double(random) for i in range(32)}
    for base in BASES:
        found[f"r{base}"] = BASE_ADDRESS + random.randrange(-64, 64)
    found[f"r{OFFSET}"] = random.randrange(-256, 256) & 0xFFFFFFFF
    found[f"r{MOVING}"] = BASE_ADDRESS + random.randrange(-64, 64)
    found[f"r{ALIGNED}"] = BASE_ADDRESS + random.randrange(0, 64, 4)
    found["lr"], found["ctr"] = integer(random), integer(random)
    found["cr"] = random.getrandbits(32)
    found["xer"] = random.getrandbits(3) << 29 | random.randrange(20)
    found["fpscr"] = random.choice((0, 0, 0, random.randrange(4)))
    return found


def data(random: Random) -> bytes:
    """The contents of the data: numbers of all kinds."""
    words = []
    for _ in range(DATA_SIZE // 8):
        chosen = double(random) if random.randrange(2) else integer(random) << 32 | integer(random)
        words.append(chosen.to_bytes(8, "big"))
    return b"".join(words)


class Generator:
    """Makes instructions of a table.  `random` decides all."""

    def __init__(self, table: Table, random: Random) -> None:
        self.random = random
        self.rows = [row for row in table.rows if row.name not in LEFT_OUT]

    def sequence(self, length: int, rows: list[Row] | None = None) -> bytes:
        """So many instructions in a row; the last one does not branch."""
        chosen = self.random.choices(rows or self.rows, k=length)
        return b"".join(map(self._code, chosen)) + NOP

    def _code(self, row: Row) -> bytes:
        """An instruction of this row.  What shows FR and FI is preceded by clearing them."""
        word = self.instruction(row).to_bytes(4, "big")
        return CLEAR_FR_FI + word if row.name in ("mffs", "mcrfs") else word

    def instruction(self, row: Row) -> int:
        """One instruction of this row; its word."""
        fields = {field.name: field for field in row.fields}
        values = {
            name: self._value(name, field.width, field.signed) for name, field in fields.items()
        }
        special = _SPECIAL.get(row.name)
        if special is not None:
            special(self.random, values)
        elif _is_access(row, fields):
            self._address(row.name, values)
        return row.encode([values[name] for name in fields])

    def _value(self, name: str, width: int, signed: bool) -> int:
        if name == "rt":
            return self.random.randrange(FREE)
        if name == "ra" and width == 5:
            return self.random.randrange(FREE)
        if signed:
            bits = integer(self.random) & (1 << width) - 1
            return bits - (bits >> width - 1 << width)
        return self.random.getrandbits(width)

    def _address(self, name: str, values: State) -> None:
        """Make the operands of an access lead into the data."""
        random = self.random
        updates = name.endswith(("u", "ux"))
        values["ra"] = MOVING if updates else random.choice(BASES)
        if "d" in values:
            values["d"] = random.randrange(-64, 64) if updates else random.randrange(-512, 512)
        if "rb" in values:
            values["rb"] = OFFSET


def _is_access(row: Row, fields: Collection[str]) -> bool:
    """Loads, stores and cache instructions: those with a displacement, or shown with (rA|0)."""
    return "d" in fields or "{ra|0}" in row.template or row.name.endswith("ux")


def _string(random: Random, values: State) -> None:
    """lswi, stswi, lswx, stswx: no register that is kept is loaded or holds the address."""
    values["ra"] = random.choice(BASES)
    first = "rt" if "rt" in values else "rs"
    values[first] = random.randrange(16)
    if "rb" in values:
        values["rb"] = OFFSET


def _special_register(random: Random, values: State) -> None:
    values["spr"] = random.choice((8, 9)) if "rs" in values else random.choice((1, 8, 9))


def _one_field(random: Random, values: State) -> None:
    values["crm"] = 1 << random.randrange(8)


def _reservation(random: Random, values: State) -> None:
    """Aligned addresses; few enough that a store sometimes finds the reservation it needs."""
    values["ra"], values["rb"] = 0, ALIGNED


def _skip(random: Random, values: State) -> None:
    """bc: to the next instruction but one, or the next, whatever the condition."""
    values["bd"], values["aa"] = random.randrange(1, 3), 0


_SPECIAL: dict[str, Callable[[Random, State], None]] = {
    **dict.fromkeys(("lswi", "stswi", "lswx", "stswx"), _string),
    **dict.fromkeys(("mfspr", "mtspr"), _special_register),
    **dict.fromkeys(("mfocrf", "mtocrf"), _one_field),
    **dict.fromkeys(("lwarx", "stwcx_rc"), _reservation),
    "bc": _skip,
}
