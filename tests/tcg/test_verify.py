"""The verifier: what it says about each way to break a rule, and that it is content otherwise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tcg import ops
from tcg.build import Builder
from tcg.ir import Access, Block, Function, Value
from tcg.state import Slot
from tcg.text import parse_function
from tcg.types import F64, I1, I8, I32, I64, VOID
from tcg.verify import VerifyError, problems, verify
from tests.tcg.machine import GPR, LAYOUT, random_function

HERE = Path(__file__).parent


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_random_functions_are_well_formed(seed: int) -> None:
    verify(random_function(Random(seed)), LAYOUT)


TEXTS = {
    "operand types": "%0 = get.i1 cr0.lt\n%1 = add.i32 %0, 1\nnext",
    "slot type": "%0 = get.i64 r1\nnext",
    "put type": "%0 = get.f64 f0\nput r1, %0\nnext",
    "address type": "%0 = get.f64 f0\n%1 = select.i32 %0, 1, 2\nnext",
    "widening": "%0 = get.i64 d\n%1 = zext.i32 %0\nnext",
    "narrowing": "%0 = get.i8 b\n%1 = trunc.i32 %0\nnext",
    "bitcast": "%0 = get.i32 r0\n%1 = bitcast.f64 %0\nnext",
    "float from integer": "%0 = get.i32 r0\n%1 = fext.f64 %0\nnext",
    "integer from float": "%0 = get.f64 f0\n%1 = trunc.i32 %0\nnext",
    "use before": "%1 = add.i32 %0, 1\n%0 = get.i32 r0\nnext",
    "end in the middle": "goto 0x104\nnext",
    "no end": "put r1, 1",
    "no label": "br nowhere",
    "ret outside a helper": "ret 5:i32",
    "field outside a handler": "%0 = field.i32 {si}\nnext",
    "operand count": "%0 = get.i32 r0\n%1 = add.i32 %0\nnext",
    "not on every way": (
        "%0 = get.i1 cr0.lt\ncbr %0, a, b\na:\n%1 = get.i32 r0\nbr b\nb:\nput r1, %1\nnext"
    ),
}


def test_messages(golden: Callable[[Path, str], None]) -> None:
    lines = []
    for name, text in TEXTS.items():
        function = parse_function(f"region R\nentry:\n{text}", LAYOUT)
        found = list(problems(function, LAYOUT))
        assert found, name
        lines += [f"{name}:", *(f"    {line}" for line in found), ""]
    golden(HERE / "verify_errors.txt", "\n".join(lines))


def broken(change: Callable[[Builder], None]) -> list[str]:
    b = Builder(Function("region", "R"))
    change(b)
    b.emit(ops.NEXT, VOID)
    return list(problems(b.function, LAYOUT))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: b.get(Slot("r1", I32, 8)), "slot r1 is not in the state's layout"),
        (lambda b: b.emit(ops.GET, I32), "needs a slot"),
        (lambda b: b.emit(ops.LOAD, I32, (b.const(I32, 0),)), "does not say how memory"),
        (lambda b: b.block.insts.append(b.const(I8, 1)), "a constant is in no block"),
        (lambda b: b.emit(ops.FEQ, I64, (b.const(F64, 0),) * 2), "gives i1, not i64"),
        (lambda b: b.load(Access(I64), b.get(GPR.slots[0])), None),
    ],
)
def test_what_text_cannot_say(change: Callable[[Builder], None], message: str | None) -> None:
    found = broken(change)
    assert (message is None and found == []) or (message is not None and message in found[0])


def test_one_value_in_two_blocks() -> None:
    b = Builder(Function("region", "R"))
    value = b.get(GPR.slots[0])
    other = Block("other", [value, Value(b, ops.NEXT, VOID, (), None)])
    b.function.blocks["other"] = other
    b.br(other)
    with pytest.raises(VerifyError, match="is in entry too"):
        verify(b.function, LAYOUT)


def test_a_block_under_another_name() -> None:
    function = Function("region", "R", {"a": Block("b", [Value(None, ops.NEXT, VOID, (), None)])})
    with pytest.raises(VerifyError, match="R, a: the block calls itself b"):
        verify(function)
    with pytest.raises(VerifyError, match="there is no block"):
        verify(Function("region", "R"))


def test_types_of_constants() -> None:
    """A constant must fit its type: passes compare constants by number."""
    b = Builder(Function("region", "R"))
    b.put(LAYOUT.slots["cr0.lt"], Value(b, ops.CONST, I1, (), 3))
    b.emit(ops.NEXT, VOID)
    assert "constant 0x3 does not fit i1" in next(problems(b.function))
