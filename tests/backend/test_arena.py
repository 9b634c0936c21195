"""Space handed out and taken back, and what perf is told."""

from __future__ import annotations

import io
import random

import pytest

from backend.llvm.arena import MIB, REACH, ArenaFull, HostArena, Space
from backend.llvm.blob import Blob
from tests.backend.conftest import no_symbol


def test_code_and_data_are_within_reach() -> None:
    arena = HostArena()
    assert arena.data.end - arena.code.start < REACH
    with pytest.raises(ValueError, match="within 2 GiB"):
        HostArena(1024 * MIB, 1024 * MIB)


def test_freed_neighbours_become_one() -> None:
    space = Space(0x1000, 64 * 4)
    a, b, c = (space.allocate(64) for _ in range(3))
    last = space.allocate(64)
    space.free(a, 64)
    space.free(c, 64)
    with pytest.raises(ArenaFull, match="192 bytes wanted, 128 of 256 free"):
        space.allocate(192)
    space.free(b, 64)
    assert space.allocate(192) == a
    assert last == 0x1000 + 192


def test_what_is_handed_out_never_overlaps() -> None:
    seed = random.randrange(1 << 32)
    dice = random.Random(seed)
    space = Space(0x10000, 1 << 16)
    held: dict[int, int] = {}
    for _ in range(3000):
        if held and dice.random() < 0.5:
            at = dice.choice(list(held))
            space.free(at, held.pop(at))
            continue
        size = dice.randrange(1, 3000)
        try:
            at = space.allocate(size)
        except ArenaFull:
            continue
        assert at % 64 == 0, seed
        assert space.start <= at, seed
        assert at + size <= space.end, seed
        for other, other_size in held.items():
            assert at + size <= other or other + other_size <= at, seed
        held[at] = size
    for at, size in held.items():
        space.free(at, size)
    assert space.used == 0
    assert space.allocate(1 << 16) == space.start, seed


def test_a_symbol_nobody_knows_installs_nothing() -> None:
    arena = HostArena(MIB, MIB)
    blob = Blob(bytes(16), {"f": 0}, ((0, 1, "unknown", 0),))
    with pytest.raises(KeyError):
        arena.install(blob, no_symbol)
    assert arena.code.used == 0


def test_a_full_arena_says_so_and_has_room_again_after_free() -> None:
    arena = HostArena(MIB, MIB)
    blob = Blob(bytes(MIB // 2), {})
    first, _second = (arena.install(blob, no_symbol) for _ in range(2))
    with pytest.raises(ArenaFull):
        arena.install(blob, no_symbol)
    arena.free(first)
    assert arena.install(blob, no_symbol).address == first.address


def test_perf_is_told_every_symbol() -> None:
    arena = HostArena(MIB, MIB)
    arena.perf_map = io.StringIO()
    code = arena.install(Blob(bytes(100), {"late": 48, "early": 0}), no_symbol)
    assert arena.perf_map.getvalue() == (
        f"{code.address:x} 30 early\n{code.address + 48:x} 34 late\n"
    )
    assert code.address + 99 in code
    assert code.address + 100 not in code
