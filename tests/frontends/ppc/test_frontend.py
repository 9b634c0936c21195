"""The frontend as a whole: symbolic lifting, square roots, registers made of several slots."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from random import Random

import pytest

from frontends.ppc.frontend import PpcFrontend
from tcg.fields import NeedDecision
from tcg.forms import Form, lift_form
from tests.frontends.ppc.machines import CODE, SC, make_machine

FRONTEND = PpcFrontend()
WIDE_CHOICES = frozenset(
    ("lmw", "stmw", "lswi", "stswi", "mtcrf", "mtocrf", "tw", "twi", "mfspr", "mtspr", "mftb")
)
"""Rows that decide on a whole field: as many forms as programs use values of it, mostly few."""


def forms_of(row: int, answers: dict[str, int]) -> Iterator[Form]:
    """All forms of a row; of a whole field two values stand for all."""
    made = lift_form(FRONTEND, row, answers)
    if isinstance(made, Form):
        yield made
        return
    assert isinstance(made, NeedDecision)
    for answer in (0, 1) if made.kind == "bool" else (4, 8):
        yield from forms_of(row, {**answers, made.expr.text: answer})


@pytest.mark.parametrize("row", range(len(FRONTEND.table.rows)), ids=FRONTEND.row_name)
def test_rows_have_few_forms(row: int) -> None:
    name = FRONTEND.row_name(row)
    forms = list(forms_of(row, {}))
    assert len(forms) <= 18
    questions = {question for form in forms for question, _ in form.path}
    if name not in WIDE_CHOICES:
        assert all(question.startswith("bool(") for question in questions), questions
    assert all(form.size <= 64 for form in forms)


@pytest.mark.parametrize("engine", ["interp", "threaded"])
def test_square_roots(engine: str) -> None:
    """unicorn's 750 has no fsqrt: Python's is the witness."""
    machine = make_machine(engine)
    machine.write(CODE, bytes.fromhex("fc20102c ec60102c") + SC.to_bytes(4, "big"))
    random = Random(5)
    for _ in range(200):
        value = math.ldexp(random.random(), random.randrange(-250, 250))
        pattern = int.from_bytes(struct.pack(">d", value), "big")
        after, _ = machine.run({"f2": pattern}, 8)
        root = math.sqrt(value)
        assert after["f1"].to_bytes(8, "big") == struct.pack(">d", root)
        if 2.0**-126 < root < 2.0**127:
            narrow = struct.unpack(">f", struct.pack(">f", root))[0]
            assert after["f3"].to_bytes(8, "big") == struct.pack(">d", narrow)


def test_registers_of_several_slots_read_as_written() -> None:
    machine = make_machine("interp")
    random = Random(6)
    for _ in range(50):
        state = {
            "cr": random.getrandbits(32),
            "xer": random.getrandbits(3) << 29 | random.getrandbits(7),
            "fpscr": random.getrandbits(32) & 0x9F81_F0FB,
        }
        machine.set(state)
        got = machine.get()
        assert (got["cr"], got["xer"]) == (state["cr"], state["xer"])
        assert got["fpscr"] & 0x9F81_F0FB == state["fpscr"]
