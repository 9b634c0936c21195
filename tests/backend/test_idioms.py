"""Loops with skips, compiled: the same memory, registers and faults as the plain loop evaluated."""

from __future__ import annotations

from random import Random

import pytest

from backend.llvm.arena import HostArena
from backend.llvm.regions import region_text
from tcg.evaluate import Evaluator, Left
from tcg.passes.idioms import idioms
from tcg.state import Reason
from tests.backend.conftest import Compile, Guest
from tests.tcg.idioms.guest_loops import FIRST, PAGE, PAGES, SHAPES, Case, Shape, function_of
from tests.tcg.machine import LAYOUT, SLOTS, new_state

ROUNDS = 12
TRIED = [shape for number, shape in enumerate(SHAPES) if number % 3 == 0 or shape.rotated]
EXACT = {shape for number, shape in enumerate(TRIED) if number % 3}
"""Those that are tried with a guest that can see its registers at faults."""


@pytest.mark.parametrize("shape", TRIED, ids=str)
def test_same_outcome(shape: Shape, guest: Guest, arena: HostArena, compile_text: Compile) -> None:
    exact = shape in EXACT
    region = function_of(shape)
    assert idioms(region)
    blob = compile_text(region_text(region, 2, [0x1000], exact, parallel=False))
    head = guest.record(guest.runtime.symbols["h_untranslated"], 0, 0x2000)
    code = arena.install(blob, lambda _: head)
    entry = guest.record(code.exports["R"], 0, 0x1000)
    plain = Evaluator().translate(function_of(shape))
    for seed in range(ROUNDS):
        case = Case(shape, Random(f"native {shape} {seed}"))
        state, memory = new_state(case.registers), case.memory()
        left = plain(state, memory)
        set_up(guest, case)
        reason = guest.run(entry)
        assert where(guest, reason, exact) == expected(left, exact), seed
        # Unless the guest can look, what is written next to each other may be written at once.
        if exact or reason != Reason.FAULT:
            assert contents(guest, case) == bytes(memory.data), seed
            for slot in SLOTS:
                end = slot.offset + slot.type.bytes
                found = int.from_bytes(guest.view[slot.offset : end], "little")
                assert found == state.get(slot), (seed, slot)
    arena.free(code)


def set_up(guest: Guest, case: Case) -> None:
    """The case's registers and memory, its missing pages out of reach."""
    for slot in SLOTS:
        value = case.registers.get(slot.name, 0)
        guest.view[slot.offset : slot.offset + slot.type.bytes] = value.to_bytes(
            slot.type.bytes, "little"
        )
    for page in range(-1, PAGES + 1):
        guest.protect(FIRST + PAGE * page, 3)
    guest.memory[FIRST : FIRST + len(case.content)] = bytes(case.content)
    for page in {*case.missing, -1, PAGES}:
        guest.protect(FIRST + PAGE * page, 0)


def contents(guest: Guest, case: Case) -> bytes:
    """The memory, missing pages too."""
    for page in range(PAGES):
        guest.protect(FIRST + PAGE * page, 3)
    return bytes(guest.memory[FIRST : FIRST + len(case.content)])


def where(guest: Guest, reason: int, exact: bool) -> tuple[int, ...]:
    """How compiled code was left."""
    if reason != Reason.FAULT:
        return (reason,)
    pc = guest.get("current_pc") if exact else 0
    return (reason, guest.get("fault_address"), guest.get("fault_write"), pc)


def expected(left: Left, exact: bool) -> tuple[int, ...]:
    """How it should be left: `goto` finds a head that is not translated yet."""
    if left.reason != Reason.FAULT:
        return (Reason.UNTRANSLATED,)
    return (left.reason, left.info, int(left.is_write), left.pc if exact else 0)


def test_the_layout_fits_the_env() -> None:
    assert LAYOUT.size <= 4096
