"""CPU time of whole process trees for every workload on every engine, in one run."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench import measuring, workloads
from bench.conftest import Programs
from bench.workloads import BY_NAME, WORKLOADS, Workload


@pytest.mark.parametrize(("name", "engine"), [(w.name, e) for w in WORKLOADS for e in w.engines])
@pytest.mark.benchmark(timer=measuring.children_cpu)
def test_workload(
    name: str,
    engine: str,
    benchmark: BenchmarkFixture,
    rounds: int,
    guest: Programs,
    outputs: dict[tuple[str, int], bytes],
) -> None:
    workload = BY_NAME[name]
    emulator = workloads.emulator(engine, workload.guest)
    if emulator is None:
        pytest.skip(f"{engine} is not installed")
    binary = native(workload) if engine == "native" else guest(workload)
    units = workload.units(engine)
    line = [*emulator.command, str(binary), str(units)]
    with ExitStack() as stack:

        def prepare() -> tuple[tuple[object, ...], dict[str, object]]:
            if engine == "jit, first run":
                return (line, stack.enter_context(measuring.empty_cache())), {}
            return (line, workloads.cache_environment()), {}

        warm = 0 if engine in ("jit, first run", "interp") else 1
        repeat = 1 if engine == "interp" else rounds
        output = benchmark.pedantic(measuring.run, setup=prepare, rounds=repeat, warmup_rounds=warm)
    if engine != "native":
        assert outputs.setdefault((name, units), output) == output
    benchmark.extra_info.update(
        kind="workload", workload=name, engine=engine, units=units, full=workload.full,
        start=start_cost([*line[:-1], "0"]) if engine == "interp" else 0.0,
    )  # fmt: skip


def native(workload: Workload) -> Path:
    """The host's own build; what the host can run as it is, is compared with itself."""
    if workload.guest == "x86_64":
        toolchain = workloads.guest_toolchain("x86_64") or "native"
    else:
        toolchain = "native"
    return workloads.program(workload.program, toolchain, workload.flags)


def start_cost(line: list[str]) -> float:
    """CPU seconds of a run with no work in it: a small size must not pay for the start."""
    before = measuring.children_cpu()
    measuring.run(line, workloads.cache_environment())
    return measuring.children_cpu() - before
