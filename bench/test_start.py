"""Start-up: the first run ever, later runs, 100,000 system calls, and peak memory."""

from __future__ import annotations

import os
import shutil
import statistics

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench import measuring, workloads
from tests.guests import build, emulators

ROUNDS = 5


def hello() -> str:
    toolchain = workloads.guest_toolchain()
    if toolchain is None:
        pytest.skip("no compiler for the guest")
    return str(build.build(build.SOURCES / "hello.c", toolchain))


def record(benchmark: BenchmarkFixture, what: str, seconds: list[float], bound: float) -> None:
    """Keep medians under a name; the fixture insists on having timed something itself."""
    benchmark.pedantic(lambda: None, rounds=1)
    benchmark.extra_info.update(
        kind="start", what=what, value=statistics.median(seconds), values=seconds, bound=bound
    )


def test_hello_first_ever(benchmark: BenchmarkFixture) -> None:
    line = [*emulators.ours("jit").command, hello()]
    seconds = []
    for _ in range(ROUNDS):
        with measuring.empty_cache() as environment:
            seconds.append(measuring.wall_and_largest(line, environment)[0])
    record(benchmark, "hello, first run ever: wall seconds", seconds, 3.0)


def test_hello_second_run(benchmark: BenchmarkFixture) -> None:
    line = [*emulators.ours("jit").command, hello()]
    seconds = []
    for _ in range(ROUNDS):
        with measuring.empty_cache() as environment:
            measuring.run(line, environment)
            seconds.append(measuring.wall_and_largest(line, environment)[0])
    record(benchmark, "hello, second run: wall seconds", seconds, 0.30)


def test_system_calls(benchmark: BenchmarkFixture) -> None:
    toolchain = workloads.guest_toolchain()
    if toolchain is None:
        pytest.skip("no compiler for the guest")
    binary = str(workloads.program("getppid", toolchain))
    line = [*emulators.ours("jit").command, binary, "100000"]
    environment = workloads.cache_environment()
    measuring.run(line, environment)
    seconds = [measuring.wall_and_largest(line, environment)[0] for _ in range(ROUNDS)]
    record(benchmark, "100,000 getppid calls: wall seconds", seconds, 1.0)


@pytest.mark.parametrize("run", ["first", "second"])
def test_memory(run: str, benchmark: BenchmarkFixture) -> None:
    line = [*emulators.ours("jit").command, hello()]
    largest, together = [], []
    for _ in range(ROUNDS):
        with measuring.empty_cache() as environment:
            if run == "second":
                measuring.run(line, environment)
                largest.append(measuring.wall_and_largest(line, environment)[1] / 1e6)
            together.append(measuring.peak_memory(line, environment) / 1e6)
    record(benchmark, f"hello, {run} run: peak MB, worker included", together, 200.0)
    benchmark.extra_info["largest process MB"] = largest


def test_true(benchmark: BenchmarkFixture) -> None:
    seconds = []
    line = [*emulators.ours("jit", guest="x86_64").command, host_program("true")]
    for _ in range(ROUNDS):
        with measuring.empty_cache() as environment:
            measuring.run(line, environment)
            seconds.append(measuring.wall_and_largest(line, environment)[0])
    record(benchmark, "x86_64 /bin/true, second run: wall seconds", seconds, 0.35)


def test_python(benchmark: BenchmarkFixture) -> None:
    rival = emulators.qemu("x86_64")
    if rival is None:
        pytest.skip("qemu-x86_64 is not installed")
    own = [host_program("python3"), "-c", "pass"]
    line = [*emulators.ours("jit", guest="x86_64").command, *own]
    environment = workloads.cache_environment()
    for _ in range(2):
        measuring.run(line, environment)
    ratios = []
    for _ in range(ROUNDS):
        theirs = measuring.wall_and_largest([*rival.command, *own], {})[0]
        ratios.append(measuring.wall_and_largest(line, environment)[0] / theirs)
    record(benchmark, "x86_64 python3 -c pass: times qemu-x86_64's wall seconds", ratios, 3.0)


def host_program(name: str) -> str:
    """One of the host's own programs, which x86-64 guests are."""
    path = shutil.which(name, path="/usr/bin:/bin")
    if path is None or os.uname().machine != "x86_64":
        pytest.skip(f"no {name} for x86-64")
    return path
