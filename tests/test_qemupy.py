"""The library's face, and the guest program that comes with it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import qemupy
from demo import run as demo
from tests.guests import emulators

ROOT = Path(__file__).resolve().parents[1]
LAST_LINE = b"2 rounds, CRC-32 11e51117, heaviest column 3584"
"""As qemu-ppc prints it."""


@pytest.mark.parametrize("accel", ["threaded", "jit"])
def test_a_guest_is_run_from_python(accel: str) -> None:
    done = qemupy.run(ROOT / "demo" / "mandelbrot", "2", accel=accel)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.splitlines()[-1] == LAST_LINE


def test_an_unknown_guest_is_refused() -> None:
    with pytest.raises(ValueError, match="no guest 'vax'; there are: ppc"):
        qemupy.command("vax")


def test_the_bundled_program_is_small_and_for_powerpc() -> None:
    program = (ROOT / "demo" / "mandelbrot").read_bytes()
    assert len(program) < 100_000
    assert program[:6] == b"\x7fELF\x01\x02"
    assert int.from_bytes(program[18:20], "big") == 20


def test_the_engine_leaves_statistics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if emulators.overridden():
        pytest.skip("another emulator")
    # Or the guest may be done before its first region is.
    monkeypatch.setenv("QEMUPY_WAIT", "1")
    path = tmp_path / "statistics.json"
    done = demo.timed("jit", qemupy.command("ppc"), 30, shown=False, statistics=path)
    assert done.instructions > 60_000_000
    counts = json.loads(path.read_text())
    assert set(demo.STATISTICS) <= set(counts)
    assert counts["accel"] == "jit"
    assert counts["regions"] > 0
