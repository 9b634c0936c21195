"""What is measured must be right: the programs of bench/ at small sizes, on all three engines."""

from __future__ import annotations

import pytest

from bench import workloads
from bench.workloads import BY_NAME, Workload
from tests.guests import build, emulators

SIZES = {
    "kernels": 20, "recursion": 4, "copy": 60, "nbody": 1500, "sieve": 3, "mix": 20,
    "packed": 50, "library": 20,
}  # fmt: skip
INTERPRETED = [workload.name for workload in BY_NAME.values() if workload.interp]


@pytest.mark.parametrize("engine", ["threaded", "jit"])
@pytest.mark.parametrize("name", BY_NAME)
def test_a_workload_prints_what_it_prints_natively(name: str, engine: str) -> None:
    check(BY_NAME[name], engine, SIZES[BY_NAME[name].program])


@pytest.mark.slow
@pytest.mark.parametrize("name", INTERPRETED)
def test_a_workload_is_interpreted(name: str) -> None:
    check(BY_NAME[name], "interp", BY_NAME[name].interp)


def check(workload: Workload, engine: str, units: int) -> None:
    toolchain = workloads.guest_toolchain(workload.guest)
    if toolchain is None:
        pytest.skip("no compiler for the guest")
    binary = workloads.program(workload.program, toolchain, workload.flags)
    got = emulators.ours(engine, guest=workload.guest).run(binary, str(units))
    assert (got.status, got.stdout) == (0, expected(workload, units)), got.stderr.decode()


def expected(workload: Workload, units: int) -> bytes:
    """What the program prints natively; the x87's longer registers want a 32-bit processor."""
    if workload.guest != "i386":
        native = workloads.program(workload.program, "native", workload.flags)
        return emulators.NATIVE.run(native, str(units)).stdout
    processor = emulators.processor("i386", is_static=True)
    if processor is None:
        pytest.skip("nothing here runs i386 programs")
    binary = workloads.program(workload.program, "i386-static", workload.flags)
    return processor.run(binary, str(units)).stdout


def test_system_calls_are_counted() -> None:
    toolchain = workloads.guest_toolchain()
    if toolchain is None:
        pytest.skip("no compiler for the guest")
    binary = build.build(workloads.FOLDER / "getppid.c", toolchain, "-O2", ())
    assert emulators.ours("jit").run(binary, "1000").stdout == b"getppid 1000: 1000\n"
