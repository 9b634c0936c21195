"""Time must grow in proportion to the work: two workloads, four sizes each."""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench import measuring, workloads
from bench.conftest import Programs
from bench.workloads import BY_NAME

SIZES = (1, 2, 4, 8)
GROWING = [name for name, workload in BY_NAME.items() if workload.growth]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("engine", ["qemu", "jit"])
@pytest.mark.parametrize("name", GROWING)
@pytest.mark.benchmark(timer=measuring.children_cpu)
def test_growth(
    name: str, engine: str, size: int, benchmark: BenchmarkFixture, guest: Programs
) -> None:
    emulator = workloads.emulator(engine)
    if emulator is None:
        pytest.skip(f"{engine} is not installed")
    units = BY_NAME[name].growth // 2 * size
    line = [*emulator.command, str(guest(BY_NAME[name])), str(units)]
    repeat = 1 if engine == "qemu" else 3
    benchmark.pedantic(
        measuring.run, (line, workloads.cache_environment()), rounds=repeat, warmup_rounds=0
    )
    benchmark.extra_info.update(kind="growth", workload=name, engine=engine, units=units)
