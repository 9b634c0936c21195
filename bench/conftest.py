"""What the measurements share: guest programs, and how often each is repeated."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from bench import measuring, workloads
from bench.workloads import Workload

Programs = Callable[[Workload], Path]


@pytest.fixture(scope="session", autouse=True)
def whole_trees() -> None:
    """Count processes that outlive their parents."""
    measuring.adopt_orphans()


@pytest.fixture(scope="session")
def rounds() -> int:
    """How often a workload is measured; the median counts."""
    return int(os.environ.get("QEMUPY_BENCH_ROUNDS", "3"))


@pytest.fixture(scope="session")
def guest() -> Programs:
    """The guest binary of a workload."""

    def compiled(workload: Workload) -> Path:
        toolchain = workloads.guest_toolchain(workload.guest)
        if toolchain is None:
            pytest.skip(f"no compiler for {workload.guest}")
        return workloads.program(workload.program, toolchain, workload.flags)

    return compiled


@pytest.fixture(scope="session")
def outputs() -> dict[tuple[str, int], bytes]:
    """What guests printed, so that a fast wrong answer does not count."""
    return {}
