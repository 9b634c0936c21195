"""Random instructions on every engine, against the host: no difference that is not explained."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.frontends.x86 import case
from tests.frontends.x86.engines import ENGINES, engine_of
from tests.frontends.x86.fuzz import Fuzzer, Report
from tests.frontends.x86.host import Host, HostLost, is_usable

pytestmark = pytest.mark.skipif(not is_usable(), reason="the host is no x86-64 Linux with AVX")


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    made = Host()
    yield made
    made.close()


def check(report: Report) -> None:
    assert sum(report.cases.values())
    assert not report.different, str(report)


@pytest.mark.parametrize("mode", [64, 32, 16])
def test_each_row_threaded(mode: int, host: Host) -> None:
    fuzzer = Fuzzer(engine_of("threaded", mode), host, 1)
    check(fuzzer.run("" if mode == 64 else "^(base|integer)$", 1600 if mode == 64 else 500, 60))


@pytest.mark.parametrize("mode", [64, 32])
def test_some_rows_jit(mode: int, host: Host) -> None:
    check(Fuzzer(engine_of("jit", mode), host, 2).run("[a-z]", 400, 60))


@pytest.mark.parametrize("mode", [64, 32, 16])
def test_some_rows_interp(mode: int, host: Host) -> None:
    check(Fuzzer(engine_of("interp", mode), host, 3).run("[aeou]", 500, 3))


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("mode", [64, 32, 16])
@pytest.mark.parametrize(
    ("name", "instructions", "repeats"),
    [("threaded", 10_000, 500), ("jit", 10_000, 500), ("interp", 5_000, 10)],
)
def test_millions(name: str, mode: int, instructions: int, repeats: int, host: Host) -> None:
    check(Fuzzer(ENGINES[name](mode), host, 4).run("", instructions, repeats))


def test_a_wrong_result_is_found(host: Host) -> None:
    fuzzer = Fuzzer(ENGINES["interp"](64), host, 5)
    right = fuzzer.ours.run

    def wrong(*arguments: object) -> None:
        right(*arguments)  # type: ignore[arg-type]
        fuzzer.ours.after[case.GPR + 8 * 5] ^= 1

    fuzzer.ours.run = wrong  # type: ignore[method-assign, assignment]
    assert fuzzer.run("^add_Ev_Gv$", 3, 10).different


def test_the_host_survives_anything(host: Host) -> None:
    """Code that kills its process costs a case, not the witness."""
    fuzzer = Fuzzer(engine_of("interp", 64), host, 6)
    host.write(64, fuzzer.place.code, bytes.fromhex("b83c000000 0f05"))  # exit
    host.before[: case.WINDOW + 256] = case.new_case(256)
    host.prepare(64, fuzzer.place.code, fuzzer.place.data, [0])
    with pytest.raises(HostLost):
        host.run(1, 256, vectors=False)
    check(fuzzer.run("^add_Ev_Gv$", 1, 10))
