"""GCC's c-torture execute programs: whatever passes under QEMU must pass under our engines."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.guests import emulators
from tests.programs import ctorture
from tests.programs.sources import Unavailable


def chosen(guest: str, every: int) -> list[Path]:
    try:
        return ctorture.programs(guest)[::every]
    except Unavailable as reason:
        pytest.skip(str(reason))


def check(guest: str, engine: str, every: int) -> None:
    """Compile and run each so many-th program; what fails must fail under QEMU too."""
    jobs = os.cpu_count() or 1
    binaries = ctorture.compile_all(chosen(guest, every), guest, jobs, lambda: None)
    outcomes = ctorture.run_all(binaries, emulators.ours(engine, guest=guest), jobs, lambda: None)
    bad = ctorture.failures(outcomes)
    new = {name: word for name, word in bad.items() if name not in ctorture.known_to_fail(guest)}
    assert len(outcomes) >= 1600 // every
    assert not new


@pytest.mark.parametrize("engine", ["threaded", "jit"])
@pytest.mark.parametrize("guest", ctorture.COMPILERS)
def test_some_of_the_suite(guest: str, engine: str) -> None:
    check(guest, engine, every=41)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("engine", ["threaded", "jit"])
@pytest.mark.parametrize("guest", ctorture.COMPILERS)
def test_the_whole_suite(guest: str, engine: str) -> None:
    check(guest, engine, every=1)
