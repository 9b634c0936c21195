"""What is measured must be right: the programs of bench/ at small sizes, on all three engines."""

from __future__ import annotations

import pytest

from bench import workloads
from bench.workloads import BY_NAME
from tests.guests import build, emulators

SIZES = {"kernels": 20, "recursion": 4, "copy": 60, "nbody": 1500, "sieve": 3, "mix": 20}


@pytest.mark.parametrize("engine", ["threaded", "jit"])
@pytest.mark.parametrize("name", BY_NAME)
def test_a_workload_prints_what_it_prints_natively(name: str, engine: str) -> None:
    check(name, engine, SIZES[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", BY_NAME)
def test_a_workload_is_interpreted(name: str) -> None:
    check(name, "interp", BY_NAME[name].interp)


def check(name: str, engine: str, units: int) -> None:
    toolchain = workloads.guest_toolchain()
    if toolchain is None:
        pytest.skip("no compiler for the guest")
    binary = workloads.program(name, toolchain)
    wanted = emulators.NATIVE.run(workloads.program(name, "native"), str(units))
    got = emulators.ours(engine).run(binary, str(units))
    assert (got.status, got.stdout) == (0, wanted.stdout), got.stderr.decode()


def test_system_calls_are_counted() -> None:
    toolchain = workloads.guest_toolchain()
    if toolchain is None:
        pytest.skip("no compiler for the guest")
    binary = build.build(workloads.FOLDER / "getppid.c", toolchain, "-O2", ())
    assert emulators.ours("jit").run(binary, "1000").stdout == b"getppid 1000: 1000\n"
