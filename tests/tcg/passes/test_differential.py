"""Random functions do the same before and after every pass, and after all of them."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tcg import ops
from tcg.ir import Function, Value
from tcg.passes import optimize
from tcg.passes.dead_slots import dead_slots
from tcg.passes.forward import forward
from tcg.passes.join_blocks import join_blocks
from tcg.passes.simplify import simplify
from tcg.state import Reason
from tcg.text import parse_function, print_function
from tcg.types import I1, VOID
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


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32), data_seed=st.integers(0, 2**32))
def test_polls_with_an_event_pending(seed: int, data_seed: int) -> None:
    """The first poll leaves; all is as without passes but for the flags it declares dead."""
    before = random_function(Random(seed), polls=True)
    after = parse_function(print_function(before), LAYOUT, HELPERS)
    optimize(after)
    dead = {slot.name for inst in after.insts() if inst.op is ops.POLL for slot in inst.imm[1]}
    expected = run(before, data_seed, {"event": 1})
    found = run(after, data_seed, {"event": 1})
    if expected[0].reason is not Reason.EVENT:
        return
    ignored = dict.fromkeys(dead, 0)
    assert found[0] == expected[0]
    assert found[1] | ignored == expected[1] | ignored, print_function(before)
    assert found[2] == expected[2]


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32), data_seed=st.integers(0, 2**32))
def test_what_a_poll_declares_dead_is_dead(seed: int, data_seed: int) -> None:
    """Garbage in those flags at each poll changes nothing behind it."""
    before = random_function(Random(seed), polls=True)
    after = parse_function(print_function(before), LAYOUT, HELPERS)
    dead_slots(after)
    for block in after:
        block.insts = [new for inst in block.insts for new in spoiled(inst)]
    verify(after, LAYOUT)
    expected, found = run(before, data_seed), run(after, data_seed)
    if expected[0].reason is not Reason.FAULT:
        assert found == expected, print_function(before)


def spoiled(inst: Value) -> list[Value]:
    """A poll, and behind it ones in the flags that it says nobody reads."""
    if inst.op is not ops.POLL:
        return [inst]
    assert inst.b is not None
    one = inst.b.const(I1, 1)
    return [inst, *(Value(inst.b, ops.PUT, VOID, (one,), slot) for slot in inst.imm[1])]
