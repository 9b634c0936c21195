"""Random functions do the same before and after every pass, and after all of them."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tcg.ir import Function
from tcg.passes import optimize
from tcg.passes.dead_slots import dead_slots
from tcg.passes.forward import forward
from tcg.passes.join_blocks import join_blocks
from tcg.passes.simplify import simplify
from tcg.state import Reason
from tcg.text import parse_function, print_function
from tcg.verify import verify
from tests.tcg.machine import HELPERS, LAYOUT, random_function, run


def exactly(function: Function) -> None:
    """All passes, with the registers seen at every access."""
    optimize(function, exact=True)


PASSES = (join_blocks, forward, simplify, dead_slots, optimize, exactly)


@pytest.mark.parametrize("change", PASSES, ids=lambda f: f.__name__)
@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32), data_seed=st.integers(0, 2**32))
def test_same_outcome(change: Callable[[Function], None], seed: int, data_seed: int) -> None:
    before = random_function(Random(seed))
    after = parse_function(print_function(before), LAYOUT, HELPERS)
    change(after)
    verify(after, LAYOUT)
    for turn in range(2):
        expected = run(before, data_seed + turn)
        found = run(after, data_seed + turn)
        if expected[0].reason is Reason.FAULT and change is not exactly:
            assert (found[0], found[2]) == (expected[0], expected[2]), print_function(before)
            continue
        assert found == expected, print_function(before)


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_a_second_time_changes_little(seed: int) -> None:
    """Passes settle: the second round does not make a function longer."""
    function = random_function(Random(seed))
    optimize(function)
    first = sum(1 for _ in function.insts())
    optimize(function)
    assert sum(1 for _ in function.insts()) <= first
