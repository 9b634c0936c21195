"""Loops are recognised or not, as text; with the skips they do exactly what they did without."""

from __future__ import annotations

from random import Random

import pytest

from tcg.evaluate import Evaluator, Left, Runner
from tcg.passes.idioms import idioms
from tcg.verify import verify
from tests.tcg.idioms.guest_loops import SHAPES, Case, Shape, function_of
from tests.tcg.machine import LAYOUT, SLOTS, new_state

ROUNDS = 12


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_same_outcome(shape: Shape) -> None:
    plain, skipping = function_of(shape), function_of(shape)
    assert idioms(skipping)
    verify(skipping, LAYOUT)
    before, after = Evaluator().translate(plain), Evaluator().translate(skipping)
    for seed in range(ROUNDS):
        case = Case(shape, Random(f"{shape} {seed}"))
        expected, found = outcome(before, case), outcome(after, case)
        assert found == expected, seed


def outcome(run: Runner, case: Case) -> tuple[Left, dict[str, int], bytes]:
    """How the loop is left, all registers, and memory."""
    state, memory = new_state(case.registers), case.memory()
    left = run(state, memory)
    return left, {slot.name: state.get(slot) for slot in SLOTS}, bytes(memory.data)
