"""The guest's page tables, walked for `info tlb` and `info mem` (SDM vol. 3, chapter 4)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from machine.monitor.machine import Machine

PG, PSE, PAE, LMA = 1 << 31, 1 << 4, 1 << 5, 1 << 10
PRESENT, WRITABLE, USER, SIZE, NX = 1, 2, 4, 0x80, 1 << 63
FLAGS = ((63, "X"), (8, "G"), (7, "P"), (6, "D"), (5, "A"), (4, "C"), (3, "T"), (2, "U"), (1, "W"))
MOST = 100_000
"""Pages that one command lists."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A page: where it is for the processor and in memory, its entry, what all levels allow."""

    linear: int
    physical: int
    size: int
    entry: int
    rights: int


@dataclass(frozen=True, slots=True)
class Level:
    """One level of tables: the lowest bit of its index, how many bits, whether it can end here."""

    shift: int
    bits: int
    ends: bool


# fmt: off
FOUR_LEVEL = (Level(39, 9, False), Level(30, 9, True), Level(21, 9, True), Level(12, 9, True))
PAE_LEVELS = (Level(30, 2, False), Level(21, 9, True), Level(12, 9, True))
TWO_LEVEL = (Level(22, 10, True), Level(12, 10, True))
# fmt: on


def leaves(machine: Machine) -> Iterator[Leaf]:
    """Every page that is present, by address."""
    get = machine.registers.__getitem__
    cr3, cr4 = get("cr3"), get("cr4")
    if get("efer") & LMA:
        yield from _walk(machine, cr3 & ~0xFFF, FOUR_LEVEL, 8, 0, 7, pse=True)
    elif cr4 & PAE:
        yield from _walk(machine, cr3 & ~0x1F, PAE_LEVELS, 8, 0, 7, pse=True)
    else:
        yield from _walk(machine, cr3 & ~0xFFF, TWO_LEVEL, 4, 0, 7, pse=bool(cr4 & PSE))


def _walk(
    machine: Machine, table: int, levels: tuple[Level, ...], width: int, base: int, rights: int,
    *, pse: bool,
) -> Iterator[Leaf]:  # fmt: skip
    level, below = levels[0], levels[1:]
    data = machine.ram.read(table, width << level.bits)
    for index in range(1 << level.bits):
        entry = int.from_bytes(data[width * index : width * (index + 1)], "little")
        if not entry & PRESENT:
            continue
        linear = base | index << level.shift
        if level.shift == 39 and index >> 8:
            linear |= 0xFFFF << 48
        is_pdpte = width == 8 and level.bits == 2  # has no rights of its own
        allowed = rights if is_pdpte else rights & entry
        frame = entry & 0x000F_FFFF_FFFF_F000 if width == 8 else entry & 0xFFFF_F000
        if not below or (level.ends and pse and entry & SIZE):
            size = 1 << level.shift
            yield Leaf(linear, frame & -size, size, entry, allowed)
        else:
            yield from _walk(machine, frame, below, width, linear, allowed, pse=pse)


def show_tlb(machine: Machine) -> str:
    """`info tlb`: every page with its flags."""
    if not machine.registers["cr0"] & PG:
        return "PG disabled\n"
    rows = []
    for leaf in leaves(machine):
        flags = "".join(letter if leaf.entry >> bit & 1 else "-" for bit, letter in FLAGS)
        rows.append(f"{leaf.linear:016x}: {leaf.physical:016x} {flags}")
        if len(rows) == MOST:
            rows.append(f"... only the first {MOST} pages are shown")
            break
    return "\n".join(rows) + "\n" if rows else ""


def show_mem(machine: Machine) -> str:
    """`info mem`: ranges of pages with the same rights."""
    if not machine.registers["cr0"] & PG:
        return "PG disabled\n"
    rows: list[str] = []
    start = end = rights = 0
    for leaf in leaves(machine):
        if leaf.linear != end or leaf.rights != rights:
            rows += _range(start, end, rights)
            start, rights = leaf.linear, leaf.rights
        end = leaf.linear + leaf.size
    rows += _range(start, end, rights)
    return "".join(rows)


def _range(start: int, end: int, rights: int) -> list[str]:
    if start == end:
        return []
    user, writable = "u" if rights & USER else "-", "w" if rights & WRITABLE else "-"
    return [f"{start:016x}-{end:016x} {end - start:016x} {user}r{writable}\n"]
