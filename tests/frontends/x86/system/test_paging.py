"""The page walk against another one, written down from the manual's tables, on random page tables.

The other one works on the entries it met as a list and knows nothing of IR; every answer, the error
code, and what was written to the tables must be the same.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest

from frontends.x86.pc_guest import PcGuest
from frontends.x86.system_state import (
    CR0_PG,
    CR0_WP,
    CR4_PAE,
    CR4_PGE,
    CR4_PSE,
    CR4_SMAP,
    CR4_SMEP,
    EFER_LMA,
    EFER_NXE,
)
from tcg.evaluate import State
from tcg.log import Log
from tcg.system_interp import SystemInterpreter

MEMORY = 1 << 14
TABLES = 4
PAGE = 4096
CASES = 6_000

P, RW, US, A, D, PS, G = 1, 2, 4, 0x20, 0x40, 0x80, 0x100
NX = 1 << 63
READ, WRITE, FETCH, USER, AC = 0, 1, 2, 4, 8


class Ram:
    """Physical memory: some pages of tables; what is elsewhere reads as zero."""

    def __init__(self) -> None:
        self.bytes = bytearray(MEMORY)

    def load(self, address: int, size: int) -> int:
        return int.from_bytes(self.bytes[address : address + size], "little")

    def store(self, address: int, value: int, size: int) -> None:
        if address < MEMORY:
            self.bytes[address : address + size] = value.to_bytes(size, "little")

    def read(self, address: int, length: int) -> bytes:
        return bytes(self.bytes[address : address + length])

    def watch_code(self, address: int) -> None:
        """Nobody writes."""


@dataclass
class Machine:
    """What a walk depends on."""

    cr0: int
    cr3: int
    cr4: int
    efer: int
    a20_mask: int
    ram: Ram = field(default_factory=Ram)


@dataclass
class Answer:
    """What a walk gives: a fault, or address, rights, size."""

    fault: int = 0
    physical: int = 0
    rights: int = 0
    size: int = 0


class Fault(Exception):
    """Bits P and RSVD of the error code."""


# -- the other walk --------------------------------------------------------------------------------


def levels(m: Machine) -> list[tuple[int, int, int]]:
    """Shift, bits of the index and bytes of an entry at each level."""
    if m.efer & EFER_LMA:
        return [(39, 9, 8), (30, 9, 8), (21, 9, 8), (12, 9, 8)]
    if m.cr4 & CR4_PAE:
        return [(30, 2, 8), (21, 9, 8), (12, 9, 8)]
    return [(22, 10, 4), (12, 10, 4)]


def reserved(m: Machine, depth: int, entry: int, is_leaf: bool) -> int:
    """The reserved bits that are set (SDM vol. 3, tables 4-3 to 4-19)."""
    kind = levels(m)
    shift = kind[depth][0]
    if len(kind) == 2:
        return entry & 1 << 21 if is_leaf and shift == 22 else 0
    mask = 0 if m.efer & EFER_NXE else NX
    mask |= (1 << 52) - (1 << 40)
    if len(kind) == 3:
        mask |= (1 << 63) - (1 << 52)
        if depth == 0:
            mask |= 0b1_1110_0110 | NX
    if len(kind) == 4 and depth == 0:
        mask |= PS
    if is_leaf and shift > 12:
        mask |= (1 << shift) - (1 << 13)
    return entry & mask


def other_walk(m: Machine, linear: int, access: int) -> Answer:
    """What the manual says, and the tables are changed as it says."""
    if not m.efer & EFER_LMA:
        linear &= 0xFFFF_FFFF
    if not m.cr0 & CR0_PG:
        return Answer(physical=linear & m.a20_mask, rights=1 | 2 | 4 | 16, size=12)
    if m.efer & EFER_LMA and linear >> 47 not in (0, (1 << 17) - 1):
        return Answer(fault=1 << 30)
    try:
        return walk_tables(m, linear, access)
    except Fault as fault:
        code = fault.args[0] | 1 << 31
        code |= 2 if access & 3 == WRITE else 0
        code |= 4 if access & USER else 0
        if access & 3 == FETCH and (m.cr4 & CR4_SMEP or (m.cr4 & CR4_PAE and m.efer & EFER_NXE)):
            code |= 16
        return Answer(fault=code)


def walk_tables(m: Machine, linear: int, access: int) -> Answer:
    kind = levels(m)
    table = m.cr3 & {2: 0xFFFF_F000, 3: 0xFFFF_FFE0, 4: (1 << 40) - PAGE}[len(kind)]
    path: list[int] = []
    above: int | None = None
    for depth, (shift, bits, size) in enumerate(kind):
        place = (table + (linear >> shift & (1 << bits) - 1) * size) & m.a20_mask
        entry = m.ram.load(place, size)
        if not entry & P:
            raise Fault(0)
        is_last = depth == len(kind) - 1
        may_be_large = shift in (21, 30) and not (len(kind) == 3 and depth == 0)
        if shift == 22:
            may_be_large = bool(m.cr4 & CR4_PSE)
        is_leaf = is_last or bool(may_be_large and entry & PS)
        if reserved(m, depth, entry, is_leaf):
            raise Fault(9)
        pae_top = len(kind) == 3 and depth == 0
        path.append(entry | RW | US if pae_top else entry)
        if is_leaf:
            found = use_page(m, path, place, shift, linear, access)
            if above is not None:
                m.ram.store(above, m.ram.load(above, 4) | A, 4)
            return found
        if len(kind) == 2:
            above = place  # marked only if nothing is wrong
        elif not pae_top:
            m.ram.store(place, entry | A, size)
        table = entry & ((1 << 40) - PAGE if size == 8 else 0xFFFF_F000)
    raise AssertionError


def use_page(
    m: Machine, path: list[int], place: int, shift: int, linear: int, access: int
) -> Answer:
    entry = path[-1]
    is_user_page = all(one & US for one in path)
    is_writable = all(one & RW for one in path)
    is_code = not (m.cr4 & CR4_PAE and any(one & NX for one in path))
    is_user = bool(access & USER)
    if is_user:
        reads, writes, runs = is_user_page, is_user_page and is_writable, is_user_page and is_code
    else:
        reads = not (is_user_page and m.cr4 & CR4_SMAP and not access & AC)
        writes = reads and (is_writable or not m.cr0 & CR0_WP)
        runs = is_code and not (is_user_page and m.cr4 & CR4_SMEP)
    if not (reads, writes, runs)[access & 3]:
        raise Fault(1)
    new = entry | A | (D if access & 3 == WRITE else 0)
    m.ram.store(place, new & 0xFFFF_FFFF, 4)
    low = (1 << shift) - 1
    if shift == 22:
        page = entry & 0xFFC0_0000 | (entry >> 13 & 0xFF) << 32
    else:
        page = entry & (1 << 40) - 1 & ~low
    rights = reads | (writes and bool(new & D)) << 1 | runs << 2 | is_user_page << 4
    if entry & G and m.cr4 & CR4_PGE:
        rights |= 8
    return Answer(physical=(page | linear & low) & m.a20_mask, rights=rights, size=shift)


# -- ours ------------------------------------------------------------------------------------------


class Ours:
    """The IR of the walk, evaluated."""

    def __init__(self, model: str) -> None:
        self.guest = PcGuest(model)
        self.ram = Ram()
        engine = SystemInterpreter(self.guest, self.ram, Log())
        self.cpu = engine.new_cpu()
        self.mmu = engine._mmus[self.cpu]
        self.run = engine.evaluator.translate(self.guest.walk)
        self.state = State(self.cpu.view)

    def walk(self, m: Machine, linear: int, access: int) -> Answer:
        self.ram.bytes[:] = m.ram.bytes
        for name in ("cr0", "cr3", "cr4", "efer", "a20_mask"):
            self.cpu.set(self.guest.layout.slots[name], getattr(m, name))
        header = self.cpu.set_header
        header("walk_linear", linear)
        header("walk_access", access)
        self.run(self.state, self.mmu)
        get = self.cpu.header
        if fault := get("walk_fault"):
            return Answer(fault=fault)
        return Answer(0, get("walk_physical"), get("walk_rights"), get("walk_size"))


def random_entry(rng: random.Random, size: int) -> int:
    """Mostly good: present, and a table where there is one."""
    target = rng.randrange(TABLES) * PAGE
    entry = target | rng.getrandbits(12) | rng.choice((P, P, P, P, 0))
    entry |= rng.choice((0, RW | US, RW | US))
    if rng.random() < 0.6:
        entry &= ~PS
    if rng.random() < 0.2:
        entry |= rng.getrandbits(32) & 0xFFFF_F000
    if size == 8:
        if rng.random() < 0.2:
            entry |= NX
        if rng.random() < 0.1:
            entry |= 1 << rng.randrange(13, 63)
        if rng.random() < 0.5:
            entry &= ~0x1E6 | RW | US
    return entry


def random_machine(rng: random.Random, is_wide: bool) -> Machine:
    cr4 = rng.getrandbits(32) & (CR4_PSE | CR4_PAE | CR4_PGE | CR4_SMAP | CR4_SMEP)
    efer = rng.choice((0, EFER_NXE))
    if is_wide and rng.random() < 0.5:
        efer |= EFER_LMA
        cr4 |= CR4_PAE
    size = 8 if cr4 & CR4_PAE else 4
    m = Machine(
        cr0=rng.choice((CR0_PG, CR0_PG | CR0_WP)) if rng.random() < 0.97 else 0,
        cr3=rng.randrange(TABLES) * PAGE | rng.choice((0, 0x18, 0x20)),
        cr4=cr4,
        efer=efer,
        a20_mask=(1 << 64) - 1 & ~((rng.random() < 0.1) << 20),
    )
    for at in range(0, TABLES * PAGE, size):
        m.ram.store(at, random_entry(rng, size), size)
    if cr4 & CR4_PAE and not efer & EFER_LMA and rng.random() < 0.9:
        for at in range(m.cr3 & ~31, (m.cr3 & ~31) + 32, 8):
            m.ram.store(at, rng.randrange(TABLES) * PAGE | P, 8)
    return m


@pytest.mark.parametrize(("model", "is_wide"), [("qemu32", False), ("qemu64", True)])
def test_random_tables(model: str, is_wide: bool) -> None:
    """Address, rights, size, error code, and the accessed and dirty flags."""
    rng = random.Random(f"{model} paging")
    ours = Ours(model)
    seen: dict[int, int] = {}
    for number in range(CASES // 40):
        m = random_machine(rng, is_wide)
        for _ in range(40):
            linear = rng.getrandbits(64 if is_wide and rng.random() < 0.1 else 47)
            if not is_wide:
                linear &= 0xFFFF_FFFF
            elif rng.random() < 0.3:
                linear |= 0xFFFF << 48 | 1 << 47
            access = rng.choice((READ, WRITE, FETCH)) | rng.choice((0, USER, AC))
            before = bytes(m.ram.bytes)
            mine = ours.walk(m, linear, access)
            theirs = other_walk(m, linear, access)
            about = f"case {number}: {m.cr0=:#x} {m.cr4=:#x} {m.efer=:#x} {linear=:#x} {access=}"
            assert mine == theirs, about
            assert ours.ram.bytes == m.ram.bytes, about
            seen[mine.fault or mine.size] = seen.get(mine.fault or mine.size, 0) + 1
            m.ram.bytes[:] = before if rng.random() < 0.5 else m.ram.bytes
    wanted = {12, 22, 21} | ({30, 1 << 30} if is_wide else set())
    assert wanted <= seen.keys(), "the cases do not reach all kinds of pages"
    codes = {code & 0x1F for code in seen if code >> 31}
    assert {0, 1, 2, 3, 4, 5, 6, 7, 9, 16, 17} <= codes, "nor all kinds of faults"
