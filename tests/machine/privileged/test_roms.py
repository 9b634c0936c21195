"""Segments, gates, interrupts and tasks in all modes, beside QEMU's, instruction by instruction."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.machine.privileged import rom
from tests.machine.privileged.records import LONG, MODES16, SWEEP, Kind

pytestmark = pytest.mark.skipif(
    not (rom.NASM and rom.QEMU), reason="needs nasm and qemu-system-x86_64"
)
slow = pytest.mark.slow

PROGRAMS = {
    "sweep": (SWEEP, "qemu32"),
    "modes16": (MODES16, "qemu32"),
    "long": (LONG, "qemu64"),
}


def compare(name: str, engine: str, folder: Path, **defines: str) -> None:
    kind, cpu = PROGRAMS[name]
    image = rom.assemble(name, folder, **defines)
    theirs = rom.on_qemu(image, folder, cpu)
    assert len(theirs) > 100 * kind.size, "QEMU did not get through"
    lines = kind.differences(rom.on_ours(image, engine, cpu), theirs)
    assert not lines, "\n".join(lines[:50])


def test_16_bit_code(tmp_path: Path) -> None:
    """Real mode, virtual-8086 mode, 16-bit protected mode: 80 operations in each."""
    compare("modes16", "threaded", tmp_path)


def test_long_mode(tmp_path: Path) -> None:
    """64-bit and compatibility mode, at CPL 0 and 3."""
    compare("long", "threaded", tmp_path)


def test_every_descriptor(tmp_path: Path) -> None:
    """Whatever looks at a descriptor meets all kinds of them, at CPL 0 and 3."""
    compare("sweep", "threaded", tmp_path)


@slow
@pytest.mark.parametrize("engine", ["jit", "interp"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_on_other_engines(
    name: str, engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QEMUPY_HOT", "30")
    monkeypatch.setenv("QEMUPY_WAIT", "1")
    compare(name, engine, tmp_path, **({"RPLS": "3"} if name == "sweep" else {}))


def test_differences_are_told() -> None:
    """The comparison can fail: one bit of one record."""
    kind: Kind = MODES16
    theirs = bytes(3 * kind.size)
    ours = bytearray(theirs)
    ours[kind.size + 8] = 1
    assert kind.differences(bytes(ours), theirs) == [
        "environment=0 op=0 vector=0 error=0: eax 1 not 0"
    ]
