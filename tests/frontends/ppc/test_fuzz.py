"""Random code on every engine, against unicorn's processor: no difference that is not explained."""

from __future__ import annotations

import pytest

from tests.frontends.ppc.fuzz import Fuzzer, Report
from tests.frontends.ppc.machines import UnicornMachine, make_machine


def fuzzer(engine: str, seed: int) -> Fuzzer:
    return Fuzzer(make_machine(engine), UnicornMachine(), seed)


def check(report: Report) -> None:
    assert not report.unexplained, str(report)


@pytest.mark.parametrize("engine", ["interp", "threaded"])
def test_each_row(engine: str) -> None:
    check(fuzzer(engine, 1).each_row(4))


@pytest.mark.parametrize(
    ("engine", "instructions", "repeats"),
    [("interp", 1_000, 1), ("threaded", 20_000, 8), ("jit", 6_000, 16)],
)
def test_sequences(engine: str, instructions: int, repeats: int) -> None:
    check(fuzzer(engine, 2).run(instructions, repeats=repeats))


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("engine", "instructions", "repeats"),
    [("interp", 50_000, 1), ("threaded", 1_000_000, 8), ("jit", 1_000_000, 64)],
)
@pytest.mark.parametrize("seed", [3])
def test_a_million(engine: str, instructions: int, repeats: int, seed: int) -> None:
    check(fuzzer(engine, seed).run(instructions, repeats=repeats))


def test_a_wrong_result_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = make_machine("interp")
    right = machine.get

    def wrong() -> dict[str, int]:
        state = right()
        return {**state, "r5": state["r5"] ^ 1}

    monkeypatch.setattr(machine, "get", wrong)
    assert Fuzzer(machine, UnicornMachine(), 1).run(40).unexplained
