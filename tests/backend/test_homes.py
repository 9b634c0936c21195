"""Where a region reads slots from env, and what its ways out store back."""

from __future__ import annotations

import pytest

from backend.llvm.halves import find_pairs
from backend.llvm.homes import Homes
from tcg import ops
from tcg.ir import Function
from tcg.text import parse_function
from tests.tcg.machine import HELPERS, LAYOUT

DIAMOND = """region R
enter:
  %0 = get.i1 cr0.eq
  cbr %0, left, right
left:
  %1 = get.i32 r1
  put r2, %1
  br join
right:
  put r3, 7
  br join
join:
  %2 = get.i32 r4
  put r5, %2
  goto 0x100
"""
LOOP = """region R
enter:
  %0 = get.i1 cr0.eq
  cbr %0, loop, out
loop:
  poll 0x100, cr0.lt
  %1 = get.i32 r1
  put r2, %1
  put cr0.lt, 1
  %2 = get.i1 cr0.gt
  cbr %2, loop, after
after:
  %3 = get.i32 r3
  put r4, %3
  goto 0x104
out:
  goto 0x108
"""
OVERWRITTEN = """region R
enter:
  %0 = get.i1 cr0.eq
  cbr %0, left, right
left:
  put r1, 1
  br join
right:
  br join
join:
  put r1, 2
  goto 0x100
"""
HALVES = """region R
enter:
  %0 = get.i1 cr0.eq
  cbr %0, low, both
low:
  %1 = get.v128 v0
  put v0, %1
  br out
both:
  %2 = get.v128 v0
  %3 = bitcast.v2i64 %2
  %4 = get.v128 v1
  %5 = bitcast.v2i64 %4
  %6 = shuffle.v4i64 %3, %5, 0, 1, 2, 3
  %7 = shuffle.v2i64 %6, %6, 2, 3
  %8 = bitcast.v128 %7
  put v0, %8
  br out
out:
  goto 0x100
"""


def homes_of(text: str) -> tuple[Function, Homes]:
    function = parse_function(text, LAYOUT, HELPERS)
    insts = list(function.insts())
    slots = [inst.imm for inst in insts if inst.op in (ops.GET, ops.PUT)]
    dirty = {inst.imm for inst in insts if inst.op is ops.PUT}
    return function, Homes(function, dict.fromkeys(slots), dirty, find_pairs(function, ()))


def filled(text: str) -> dict[tuple[str | None, str], str]:
    """What is read on each edge, for those where something is."""
    from tcg.passes.graph import successors

    function, homes = homes_of(text)
    edges: list[tuple[str | None, str]] = [(None, next(iter(function.blocks)))]
    edges += [(b.label, label) for b in function for label in successors(b)]
    names = {edge: " ".join(sorted(s.name for s in homes.to_fill(*edge))) for edge in edges}
    return {edge: text for edge, text in names.items() if text}


# fmt: off
FILLED = {
    "each arm lacks what the other one writes":
        (DIAMOND,     {("left", "join"): "r3", ("right", "join"): "r2"}),
    "before a loop, all that lives in it":
        (LOOP,        {("enter", "loop"): "cr0.gt r1 r2"}),
    "nothing, if it is overwritten anyhow":
        (OVERWRITTEN, {}),
    "a pair by its lower half":
        (HALVES,      {}),
}
# fmt: on


@pytest.mark.parametrize("name", FILLED)
def test_slots_are_read_where_paths_meet(name: str) -> None:
    text, expected = FILLED[name]
    assert filled(text) == expected


def test_a_block_knows_what_may_have_been_written_before() -> None:
    _, homes = homes_of(DIAMOND)
    written = {label: {slot.name for slot in homes.written(label)} for label in ("right", "join")}
    assert written == {"right": set(), "join": {"r2", "r3"}}
    _, homes = homes_of(LOOP)
    assert {slot.name for slot in homes.written("loop")} == {"r2", "cr0.lt"}
    assert not homes.written("out")


def test_two_halves_have_one_home() -> None:
    function, homes = homes_of(HALVES)
    slots = {inst.imm.name: inst.imm for inst in function.insts() if inst.op is ops.GET}
    assert homes.home(slots["v1"]) is slots["v0"]
    assert homes.home(slots["cr0.eq"]) is slots["cr0.eq"]
    assert slots["v0"] in homes.filled("out")
    assert slots["v1"] not in homes.filled("out")
