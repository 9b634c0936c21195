"""The text form: printing and parsing are each other's inverse; errors name the line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tcg import ops
from tcg.build import Builder
from tcg.evaluate import build_helper
from tcg.fields import Decisions
from tcg.ir import Access, Function
from tcg.text import TextError, parse_function, print_function
from tcg.types import I1, I32, VOID
from tests.tcg.machine import AVERAGE, GPR, HELPERS, LAYOUT, random_function

HERE = Path(__file__).parent


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_round_trip(seed: int) -> None:
    text = print_function(random_function(Random(seed)))
    assert print_function(parse_function(text, LAYOUT, HELPERS)) == text


def test_round_trip_of_a_handler() -> None:
    """Fields, registers that fields name, expressions over fields."""
    fields = Decisions()
    rt, ra, si, pc = (fields.field(name) for name in ("rt", "ra", "si", "pc"))
    b = Builder(Function("handler", "h_addi"))
    b.put_file(GPR, rt, b.get_file(GPR, ra + 1) + si)
    b.cbr(b.get(LAYOUT.slots["cr0.lt"]), b.new_block("a"), b.new_block("b"), likely=True)
    b.raise_(9, pc)
    b.goto(pc + 4 & 0xFFFF_FFFF, hint="call")
    b.ask(0, pc + 4)
    text = print_function(b.function)
    assert "%1 = field.i32 {si}" in text
    assert "putf gpr[{rt}], %2" in text
    assert "goto {((pc + 4) & 4294967295)} call" in text
    assert print_function(parse_function(text, LAYOUT)) == text


def test_round_trip_of_a_helper() -> None:
    text = print_function(build_helper(AVERAGE))
    assert text.startswith("helper average(i32, i32) i32\n")
    assert "%0 = ult.i32 %p0, %p1" in text
    assert print_function(parse_function(text, LAYOUT)) == text


def test_round_trip_of_atomics() -> None:
    b = Builder(Function("region", "R"))
    address = b.get(GPR.slots[0])
    b.cas(Access(I32, "le", aligned=True, mmu=2), address, b.const(I32, 1), b.const(I32, 2))
    b.emit(ops.RMW, I32, (address, b.const(I32, 3)), Access(I32, rmw="xchg"))
    b.fence()
    b.emit(ops.NEXT, VOID)
    text = print_function(b.function)
    assert "%1 = cas.i32.le.aligned.mmu2 %0, 1, 2" in text
    assert "%2 = rmw.i32.be.xchg %0, 3" in text
    assert print_function(parse_function(text, LAYOUT)) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(5, "5"), (-1, "-1"), (1024, "0x400"), (-1023, "-1023"), (2**31, "0x80000000")],
)
def test_numbers(number: int, text: str) -> None:
    b = Builder(Function("region", "R"))
    b.put(GPR.slots[0], number)
    assert print_function(b.function).endswith(f"put r0, {text}")


def test_a_block_may_stand_before_one_that_dominates_it() -> None:
    text = """region R
        entry:
          br there
        later:
          put r1, %0
          next
        there:
          %0 = get.i32 r0
          br later"""
    function = parse_function(text, LAYOUT)
    assert function.blocks["later"].insts[0].args[0] is function.blocks["there"].insts[0]
    assert function.blocks["later"].insts[0].args[0].type is not I1


ERRORS = [
    "put r99, 1",
    "%0 = plus.i32 1, 2",
    "%0 = add 1, 2",
    "%0 = add.i32 1, %7",
    "%0 = call.i32 nobody, 1:i32",
    "store.i32.be 4, 1",
    "%0 = add.i32 r1, 2",
    "put",
    "%0 = = add.i32 1, 2",
    "raise NOTHING 0x100",
]


def test_errors(golden: Callable[[Path, str], None]) -> None:
    lines = []
    for text in ERRORS:
        with pytest.raises(TextError) as caught:
            parse_function(f"region R\nentry:\n  {text}\n  next", LAYOUT)
        lines += [text, *(f"    {line}" for line in str(caught.value).splitlines()), ""]
    golden(HERE / "text_errors.txt", "\n".join(lines))
