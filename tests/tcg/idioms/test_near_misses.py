"""Loops that are almost an idiom get no skip; the one that they are made from does."""

from __future__ import annotations

import pytest

from tcg.passes.idioms import idioms
from tcg.text import parse_function, print_function
from tests.tcg.idioms.guest_loops import Shape, text_of
from tests.tcg.machine import HELPERS, LAYOUT

PLAIN = text_of(Shape("copy"))
POLL = "  poll 0x1000\n"

# fmt: off
CHANGES = {
    "another store":             (POLL, f"  store.i8.be 64:i32, 1\n{POLL}"),
    "a fence":                   (POLL, f"  fence\n{POLL}"),
    "the target steps by two":   ("put r2, %9", "%14 = add.i32 %9, 1\n  put r2, %14"),
    "the source does not step":  ("put r1, %7", "put r1, %6"),
    "a register adds up":
        ("put r5, %3", "%14 = get.i32 r5\n  %15 = add.i32 %14, %3\n  put r5, %15"),
    "a register is read before": ("put r5, %3", "%14 = get.i32 r5\n  put r7, %14\n  put r5, %3"),
    "another value is stored":   ("%5, %2", "%5, 7"),
    "the poll sees stale values": ("head:\n", f"head:\n{POLL}"),
}
# fmt: on


def test_the_plain_loop_is_one() -> None:
    assert idioms(parse_function(PLAIN, LAYOUT, HELPERS)) == [
        "loop at 0x1000: copy 8-bit elements upwards, 1 an iteration"
    ]


@pytest.mark.parametrize("change", CHANGES)
def test_near_miss(change: str) -> None:
    old, new = CHANGES[change]
    assert old in PLAIN
    text = PLAIN.replace(old, new, 1)
    function = parse_function(text, LAYOUT, HELPERS)
    before = print_function(function)
    assert idioms(function) == []
    assert print_function(function) == before
