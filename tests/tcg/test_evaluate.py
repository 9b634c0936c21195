"""The evaluator: every op that is more than a meaning, as text in and results out."""

from __future__ import annotations

from pathlib import Path

import pytest

from tcg import ops
from tcg.evaluate import Evaluator, Left, State
from tcg.ops import OPS, Op
from tcg.state import HEADER, Reason
from tcg.text import parse_function
from tests.tcg.machine import HELPERS, LAYOUT, Bytes, new_state

NONE = Left(Reason.NONE)


def run(
    text: str, state: State | None = None, memory: Bytes | None = None, kind: str = "region"
) -> Left:
    """Run lines of IR (one block, unless they bring their own labels)."""
    body = text if "entry:" in text else f"entry:\n{text}"
    if not body.rstrip().splitlines()[-1].split()[0].startswith(ENDS):
        body += "\nnext"
    function = parse_function(f"{kind} R\n{body}", LAYOUT, HELPERS)
    return Evaluator().run(function, state or new_state(), memory or Bytes())


ENDS = ("next", "br", "cbr", "goto", "jump", "raise", "ask", "ret")

CASES = [
    case.splitlines()
    for case in (Path(__file__).parent / "evaluate.txt").read_text().split("\n\n")[1:]
]
OWN_TESTS = (
    ops.CLOCK, ops.POLL, ops.INSN, ops.GOTO, ops.JUMP, ops.RAISE, ops.ASK, ops.RET, ops.CONST,
    ops.FIELD, ops.GETF, ops.PUTF,
)  # fmt: skip
ROWS = {*OWN_TESTS, *(OPS[case[0].rstrip(":")] for case in CASES)}
"""The op rows that are tried here; test_ops.py looks whether any is missing."""


def settings(text: str) -> dict[str, str]:
    return dict(item.split("=", 1) for item in text.split())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0].rstrip(":"))
def test_op(case: list[str]) -> None:
    text = "\n".join(case[1:-1])
    before, _, after = case[-1].partition("=>")
    state, memory = new_state(), Bytes()
    for place, value in settings(before).items():
        if place in LAYOUT.slots:
            state.set(LAYOUT.slots[place], int(value, 0))
        else:
            memory.write(int(place[1:]), bytes.fromhex(value))
    assert run(text, state, memory) == NONE
    for place, value in settings(after).items():
        if place in LAYOUT.slots:
            slot = LAYOUT.slots[place]
            assert state.get(slot) == slot.type.wrap(int(value, 0)), place
        else:
            data = bytes.fromhex(value)
            assert memory.read(int(place[1:]), len(data)) == data, place


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("goto 0x104", Left(Reason.LOOKUP, 0x104)),
        ("goto 0x104 call", Left(Reason.LOOKUP, 0x104)),
        ("%0 = get.i32 r1\njump %0 return", Left(Reason.LOOKUP, 0x77)),
        ("raise TRAP 0x100", Left(Reason.EXCEPTION, 0x100, 3)),
        ("ask 0 0x104", Left(Reason.ASK, 0x104, 0)),
        ("; 00000100  lwz\n%0 = load.i32.be 254:i32", Left(Reason.FAULT, 0x100, 254)),
        ("; 00000104  stw\nstore.i32.be 0x300:i32, 1", Left(Reason.FAULT, 0x104, 0x300, True)),
        ("poll 0x100", NONE),
        ("next", NONE),
    ],
)
def test_ways_out(text: str, left: Left) -> None:
    assert run(text, new_state({"r1": 0x77})) == left


def test_poll_leaves_when_an_event_is_pending() -> None:
    state = new_state({"event": 1})
    assert run("poll 0x100\nput r1, 5", state) == Left(Reason.EVENT, 0x100)
    assert state.get(LAYOUT.slots["r1"]) == 0


def test_the_state_is_exact_at_a_fault() -> None:
    state = new_state()
    run("put r1, 1\n%0 = load.i32.be 0x400:i32\nput r1, 2", state)
    assert state.get(LAYOUT.slots["r1"]) == 1


def test_a_loop_and_its_local() -> None:
    """Blocks that lead backwards; values of a block seen in those it dominates."""
    text = """entry:
        %0 = get.i32 r1
        put.i32 $sum, 0
        br head
      head:
        %1 = get.i32 $sum
        %2 = get.i32 r1
        %3 = eq.i32 %2, 0
        cbr %3, done, body
      done:
        put r2, %1
        put r3, %0
        next
      body:
        %4 = add.i32 %1, %2
        put.i32 $sum, %4
        %5 = sub.i32 %2, 1
        put r1, %5
        br head"""
    state = new_state({"r1": 10})
    assert run(text, state) == NONE
    assert [state.get(LAYOUT.slots[r]) for r in ("r1", "r2", "r3")] == [0, 55, 10]


def test_the_fp_environment_is_the_header_s() -> None:
    """Rounding mode in, sticky flags out; other bits of MXCSR stay."""
    state = new_state({"mxcsr": 0x1F80 | 2 << 13 | 2})
    run("%0 = ftrunc.f32 0x3ff0000000000001:f64\nput s, %0", state)
    assert state.get(LAYOUT.slots["s"]) == 0x3F80_0001
    assert state.get(HEADER["mxcsr"]) == 0x1F80 | 2 << 13 | 2 | 32


def test_flags_survive_a_fault() -> None:
    """Those of instructions before the one that faults, which has not happened."""
    state = new_state()
    run(
        """; 100  division
        %0 = fdiv.f64 0x3ff0000000000000, 0
        ; 104  load
        %1 = fdiv.f64 0, 0
        %2 = load.i32.be 0x400:i32
        put f0, %0""",
        state,
    )
    assert state.get(HEADER["mxcsr"]) == 0x1F80 | 4


def test_clock_goes_on() -> None:
    state = new_state()
    run("%0 = clock\nput d, %0", state)
    first = state.get(LAYOUT.slots["d"])
    run("%0 = clock\nput d, %0", state)
    assert 0 < first < state.get(LAYOUT.slots["d"])


def test_helpers_are_built_once() -> None:
    evaluator = Evaluator()
    assert evaluator.helper(HELPERS[0]) is evaluator.helper(HELPERS[0])


@pytest.mark.parametrize("op", [ops.FIELD, ops.GETF, ops.PUTF], ids=repr)
def test_fields_cannot_be_evaluated(op: Op) -> None:
    text = {
        ops.FIELD: "%0 = field.i32 {si}\nput r1, %0",
        ops.GETF: "%0 = getf.i32 gpr[{ra}]\nput r1, %0",
        ops.PUTF: "putf gpr[{rt}], 5",
    }[op]
    with pytest.raises(ValueError, match=f"{op} has no value before the fields have"):
        run(text, kind="handler")


def test_blocks_may_stand_in_any_order() -> None:
    """A block before one that dominates it."""
    state = new_state({"r0": 7})
    text = "entry:\nbr there\nlater:\nput r1, %0\nnext\nthere:\n%0 = get.i32 r0\nbr later"
    assert run(text, state) == NONE
    assert state.get(LAYOUT.slots["r1"]) == 7
