"""Random programs against the host: flags across instructions, code that changes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.frontends.x86.engines import ENGINES, NativeMemory, engine_of
from tests.frontends.x86.fuzz import Fuzzer
from tests.frontends.x86.host import Host, is_usable
from tests.frontends.x86.sequences import run

pytestmark = pytest.mark.skipif(not is_usable(), reason="the host is no x86-64 Linux with AVX")


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    made = Host()
    yield made
    made.close()


@pytest.mark.parametrize("mode", [64, 32])
@pytest.mark.parametrize(
    ("name", "programs", "repeats"), [("interp", 15, 2), ("threaded", 30, 50), ("jit", 40, 50)]
)
def test_flags_in_line(name: str, programs: int, repeats: int, mode: int, host: Host) -> None:
    fuzzer = Fuzzer(engine_of(name, mode), host, 1)
    run(fuzzer, programs, repeats)
    assert not fuzzer.report.different, str(fuzzer.report)


@pytest.mark.parametrize("mode", [64, 32])
@pytest.mark.parametrize("name", ["threaded", "jit"])
def test_code_that_changes(name: str, mode: int, host: Host) -> None:
    ours = ENGINES[name](mode)
    assert isinstance(ours.memory, NativeMemory)
    ours.memory.let_code_change()
    fuzzer = Fuzzer(ours, host, 2)
    run(fuzzer, 12, 12, modifying=True)
    assert not fuzzer.report.different, str(fuzzer.report)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("mode", [64, 32])
@pytest.mark.parametrize("name", ["threaded", "jit"])
def test_many_programs(name: str, mode: int, host: Host) -> None:
    fuzzer = Fuzzer(engine_of(name, mode), host, 3)
    run(fuzzer, 2000, 300)
    assert not fuzzer.report.different, str(fuzzer.report)
