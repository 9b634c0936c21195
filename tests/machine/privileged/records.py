"""What the ROMs send, record by record, and where we know better than QEMU 7.2.

QEMU leaves out: RF in the flags that a fault pushes; the bit EXT of error codes of what a faulty
gate does to an exception; the accessed bit of code segments; most checks of limits and types of
segments when memory is accessed; the checks that LTR is not null, that code is not of 64 and of 32
bits, that a 64-bit address to go to is canonical before the old state is left.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

RF = 1 << 16
Record = dict[str, int]


@dataclass(frozen=True, slots=True)
class Kind:
    """The records of a program: their size, fields, and what is not compared."""

    size: int
    fields: tuple[tuple[str, str, int], ...]
    """Name, struct's letter, offset."""
    is_explained: Callable[[Record, Record], bool]
    """Whether a difference (ours, QEMU's) is as it should be; may change both."""

    def read(self, data: bytes) -> Record:
        """A record's fields by name."""
        return {
            name: struct.unpack_from("<" + letter, data, at)[0] for name, letter, at in self.fields
        }

    def differences(self, ours: bytes, theirs: bytes) -> list[str]:
        """The records that differ without an explanation, a line each."""
        assert len(ours) == len(theirs), f"{len(ours)} bytes, QEMU sends {len(theirs)}"
        lines = []
        for at in range(0, len(ours), self.size):
            mine, other = (self.read(data[at : at + self.size]) for data in (ours, theirs))
            for one in (mine, other):
                one["flags"] &= ~RF
            if mine == other or self.is_explained(mine, other):
                continue
            named = " ".join(f"{name}={value:x}" for name, value in list(mine.items())[:4])
            unlike = (f"{k} {v:x} not {other[k]:x}" for k, v in mine.items() if v != other[k])
            lines.append(f"{named}: {', '.join(unlike)}")
        return lines


def row(names: str, letter: str, start: int) -> tuple[tuple[str, str, int], ...]:
    """Fields of one type that follow each other."""
    size = struct.calcsize(letter)
    return tuple((name, letter, start + i * size) for i, name in enumerate(names.split()))


# -- sweep.asm ------------------------------------------------------------------------------------

LTR, CALL = 9, 11
BY_UD, AFTER_UD = 21, 24
READ, WRITE = 24, 25
MOVES = 10
"""Operations from this number on go somewhere, by their numbers in sweep.asm."""
ACCESSED = 1 << 8
PF = 4
GENERAL_PROTECTION, FINISHED = 13, 0x80


def sweep_is_explained(ours: Record, theirs: Record) -> bool:
    """The differences that the module's docstring tells of."""
    op = ours["op"]
    if op in (READ, WRITE):
        return (ours["vector"], theirs["vector"]) == (GENERAL_PROTECTION, FINISHED)
    if op == LTR and ours["selector"] < 4:
        return ours["vector"] == GENERAL_PROTECTION
    for one in (ours, theirs):
        if op >= MOVES:
            one["descriptor"] |= ACCESSED
        if BY_UD <= op < AFTER_UD:
            one["edx"] &= ~RF
            one["error"] &= ~1 if one["error"] != 0xDEAD else -1
        if op == CALL and one["tr"] != 0x28:
            one["flags"] &= ~PF  # QEMU takes it along to the new task
    return ours == theirs


SWEEP = Kind(
    68,
    (
        *row("op level", "B", 0), ("selector", "H", 2), ("vector", "B", 4), ("error", "H", 6),
        *row("eax ecx edx esi edi ebp eip cs flags esp", "I", 8),
        *row("es ds fs gs tr ldt", "H", 48), *row("descriptor links", "I", 60),
    ),
    sweep_is_explained,
)  # fmt: skip

# -- modes16.asm ----------------------------------------------------------------------------------

MODES16 = Kind(
    68,
    (
        *row("environment op vector", "B", 0), ("error", "H", 4),
        *row("eax ecx edx ebx ebp esi edi eip cs flags esp inner ss", "I", 8),
        *row("es ds fs gs", "H", 60),
    ),
    lambda _ours, _theirs: False,
)  # fmt: skip

# -- long.asm -------------------------------------------------------------------------------------

ILLEGAL, DEBUG = 6, 1
ONLY_OURS = frozenset((10, 97, *range(53, 58), 101))
"""Operations that only we refuse: places that are not canonical, code of both sizes, a null SS."""
OF_INTEL = frozenset((16, 20, 21, 22))
"""SYSENTER, SYSEXIT, and SYSRET's check: QEMU's qemu64 is AMD's, on which they are not there."""
SYSRET_32 = 19


def long_is_explained(ours: Record, theirs: Record) -> bool:
    """As above; and an error code's index of a gate is the vector, not its 16 bytes' place.

    SS stays when only the interrupt stack table changes the stack (SDM vol. 2, INT n).
    """
    op, is_64 = ours["op"], ours["environment"] < 2
    if is_64 and op in ONLY_OURS:
        return ours["vector"] == GENERAL_PROTECTION
    if is_64 and op in OF_INTEL:
        return theirs["vector"] in (ILLEGAL, GENERAL_PROTECTION)
    if is_64 and op == SYSRET_32:
        return theirs["vector"] == DEBUG
    if theirs["error"] != ours["error"] and theirs["error"] & 7 == 2:
        theirs["error"] = (theirs["error"] & ~7) // 2 + 2
    theirs["inner_ss"] = ours["inner_ss"] if not theirs["inner_ss"] else theirs["inner_ss"]
    if not is_64 and ours["vector"] == GENERAL_PROTECTION:
        return op == NULL_FS
    return ours == theirs


NULL_FS = 35

LONG = Kind(
    144,
    (
        *row("environment op vector", "B", 0), ("error", "H", 4), *row("ds es fs gs", "H", 8),
        *row("rax rcx rdx rbx rsi rdi rbp rip cs flags rsp ss gs_base frame", "Q", 16),
        *row("inner_ss tr ldt", "H", 128), ("r11", "Q", 136),
    ),
    long_is_explained,
)  # fmt: skip
