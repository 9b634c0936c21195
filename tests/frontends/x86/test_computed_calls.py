"""Computed calls and jumps that go to several places, taken into regions."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator

import pytest

from backend.llvm.cache import open_cache
from backend.llvm.host import LlvmBackend
from frontends.x86.frontend import X8664Frontend
from tcg.blocks import Translation
from tcg.engine import Engine, EngineOptions
from tcg.log import Log
from tcg.state import Notes
from tests.frontends.x86.engines import NativeMemory, close_wide_memory
from tests.frontends.x86.host import PLACES

PLACE = PLACES[64]
LOOP = PLACE.code + 0x10
TARGETS = PLACE.code + 0x100
APART = 0x20
TABLE = PLACE.data
STACK = PLACE.data + PLACE.data_size - 64
HOT = 100
TURNS = 1000

START = bytes.fromhex("b9e8030000 31c0")  # mov ecx, 1000; xor eax, eax
CALL = bytes.fromhex("31d2 89c8 f7f6 31c0 ff14d3")  # xor edx, edx; mov eax, ecx; div esi; xor; call
TAIL = bytes.fromhex("01c7 41b9")  # add edi, eax; mov r9d, ...
DOWN = bytes.fromhex("ffc9")  # dec ecx
STOP = bytes.fromhex("0f05")  # syscall


def make() -> Engine:
    """An engine that compiles at once, of early hot code, and uses what others have compiled."""
    frontend, memory, log = X8664Frontend(), NativeMemory(64), Log()
    backend = LlvmBackend(frontend.place, frontend.pc_shift, open_cache(os.environ), log)
    backend.waits = True
    engine = Engine(frontend, memory.guest, backend, EngineOptions(hot_entries=HOT), log)
    memory.guest.code_changed = engine.invalidate
    return engine


@pytest.fixture
def engine() -> Iterator[Engine]:
    yield make()
    close_wide_memory()


def write(engine: Engine, targets: int, mark: int) -> None:
    """A loop that calls `targets` functions in turn, each of which adds its own number to edi.

    Regions of loops with another mark are not found in the cache.
    """
    loop = CALL + TAIL + struct.pack("<I", mark) + DOWN
    code = START.ljust(LOOP - PLACE.code, b"\x90") + loop + b"\x75" + bytes([256 - len(loop) - 2])
    image = bytearray((code + STOP).ljust(TARGETS - PLACE.code, b"\xcc"))
    for number in range(targets):
        image += (b"\xb8" + struct.pack("<I", 1 << number) + b"\xc3").ljust(APART, b"\xcc")
    guest = engine.memory
    guest.mprotect(PLACE.code, PLACE.code_size, 3)  # type: ignore[attr-defined]
    guest.write(PLACE.code, bytes(image))  # type: ignore[attr-defined]
    guest.mprotect(PLACE.code, PLACE.code_size, 5)  # type: ignore[attr-defined]
    table = struct.pack(f"<{targets}Q", *(TARGETS + APART * n for n in range(targets)))
    guest.write(TABLE, table)  # type: ignore[attr-defined]


def run(engine: Engine, targets: int) -> int:
    """Run the loop; what the functions added up to."""
    cpu = engine.new_cpu()
    for name, value in (("rsp", STACK), ("rbx", TABLE), ("rsi", targets), ("rdi", 0)):
        cpu.set(engine.frontend.layout.slots[name], value)
    cpu.pc = PLACE.code
    left = engine.run(cpu)
    assert left.kind == "syscall"
    return cpu.get(engine.frontend.layout.slots["rdi"]) & 0xFFFF_FFFF


def total(targets: int) -> int:
    """The same, computed."""
    return sum(1 << n % targets for n in range(1, TURNS + 1)) & 0xFFFF_FFFF


def loop_of(engine: Engine) -> Translation:
    """The translation of the loop's block."""
    found = engine.code.translated(LOOP).translation
    assert found is not None
    return found


def called_inside(engine: Engine) -> set[int]:
    """The numbers of the functions that are in the loop's own region."""
    regions = engine.code.translated(LOOP).member_of
    members = {block.pc for region in regions for block in region.members}
    return {(pc - TARGETS) // APART for pc in members if pc >= TARGETS}


@pytest.mark.parametrize("targets", [1, 2, 3, Notes.COUNT - 1])
def test_a_region_takes_in_all_that_a_call_went_to(engine: Engine, targets: int) -> None:
    write(engine, targets, mark=targets)
    assert run(engine, targets) == total(targets)
    assert called_inside(engine) == set(range(targets))


@pytest.mark.parametrize("targets", [Notes.COUNT, 3 * Notes.COUNT])
def test_of_too_many_it_takes_none(engine: Engine, targets: int) -> None:
    write(engine, targets, mark=targets)
    assert run(engine, targets) == total(targets)
    assert not called_inside(engine)


def test_a_region_of_an_earlier_run_is_not_used_where_a_call_goes_to_more_places() -> None:
    for targets in (1, 3):
        engine = make()
        write(engine, 3, mark=300)
        assert run(engine, targets) == total(targets)
        assert called_inside(engine) >= set(range(targets))
    close_wide_memory()


def test_a_call_that_goes_elsewhere_later_leaves_the_region(engine: Engine) -> None:
    write(engine, 2, mark=100)
    assert run(engine, 2) == total(2)
    others = struct.pack("<2Q", *(TARGETS + APART * n for n in (1, 0)))
    engine.memory.write(TABLE, others)  # type: ignore[attr-defined]
    assert run(engine, 1) == 2 * TURNS


def test_the_newest_places_are_noted_once_each(engine: Engine) -> None:
    count = 2 * Notes.COUNT
    write(engine, count, mark=200)
    engine.hot.hot_entries = 0
    run(engine, count)
    newest = [TARGETS + APART * (n % count) for n in range(1, Notes.COUNT + 1)]
    here = loop_of(engine).notes
    assert here is not None
    distances = struct.unpack(f"<{Notes.COUNT}i", engine.backend.read_records(here, Notes.SIZE))
    heads = {engine.backend.find_head(pc): pc for pc in newest}
    assert [heads.get(here + far) for far in distances] == newest
