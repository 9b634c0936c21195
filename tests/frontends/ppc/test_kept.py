"""Records kept from run to run: loaded if the code is the same, right whatever becomes of them.

PowerPC code stands for any: nothing in what is tested knows the guest.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tcg import kept
from tests.frontends.ppc.machines import CODE, CODE_SIZE, DATA, OurMachine, State, native

# li r3, 5; b 1f; nop; 1: addi r3, r3, 2; bl 2f; sc; 2: lwz r4, 0(r5); blr
PROGRAM = bytes.fromhex("38600005 48000008 60000000 38630002 48000009 44000002 80850000 4e800020")
SC_AT, LOAD_AT = 0x14, 0x18
BLOCKS = 4
OTHER = PROGRAM.replace(bytes.fromhex("38630002"), bytes.fromhex("38630004"))

Start = Callable[..., OurMachine]


@pytest.fixture(params=["threaded", "jit"])
def start(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Starts a machine, which stands for a process, with code that it may not change."""
    monkeypatch.setenv("QEMUPY_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(kept, "WORTH_KEEPING", 1)

    def started(code: bytes = PROGRAM) -> OurMachine:
        machine = native(jit=request.param == "jit")
        machine.write(CODE, code)
        protect(machine, 5)
        machine.engine.begin("program")  # type: ignore[attr-defined]
        return machine

    return started


def protect(machine: OurMachine, prot: int) -> None:
    machine.memory.guest.mprotect(CODE, CODE_SIZE, prot)  # type: ignore[union-attr]


def outcome(machine: OurMachine, data: int = DATA) -> tuple[int, int, int, str]:
    """r3, r4, the pc, and how it ended."""
    machine.memory.write(DATA, b"\0\0\0\x63")
    before: State = {"r5": data}
    after, ended = OurMachine.run(machine, before, SC_AT)
    return after["r3"], after["r4"], after["pc"], ended


def counts(machine: OurMachine) -> tuple[int, int]:
    """Blocks translated, pages loaded."""
    found = machine.engine.statistics()  # type: ignore[attr-defined]
    return found["blocks"], found["pages_loaded"]


def end(machine: OurMachine) -> None:
    machine.engine.end()  # type: ignore[attr-defined]


def keep(start: Start) -> OurMachine:
    first = start()
    assert outcome(first) == (7, 0x63, CODE + SC_AT, "")
    assert counts(first) == (BLOCKS, 0)
    end(first)
    return first


def test_what_was_kept_is_loaded(start: Start) -> None:
    keep(start)
    second = start()
    assert outcome(second) == (7, 0x63, CODE + SC_AT, "")
    assert outcome(second) == (7, 0x63, CODE + SC_AT, "")
    assert counts(second) == (0, 1)


def test_a_fault_in_a_loaded_record_has_its_pc(start: Start) -> None:
    keep(start)
    assert outcome(start(), data=0x7000_0000) == (7, 0, CODE + LOAD_AT, "fault")


def test_a_fault_has_its_pc_beside_blocks_that_python_knows(start: Start) -> None:
    keep(start)
    second = start()
    assert outcome(second) == (7, 0x63, CODE + SC_AT, "")
    assert second.engine.code.known(CODE) is not None  # type: ignore[attr-defined]
    assert outcome(second, data=0x7000_0000) == (7, 0, CODE + LOAD_AT, "fault")


def test_other_code_is_translated(start: Start) -> None:
    keep(start)
    second = start(OTHER)
    assert outcome(second) == (9, 0x63, CODE + SC_AT, "")
    assert counts(second) == (BLOCKS, 0)
    end(second)
    third = start(OTHER)
    assert outcome(third) == (9, 0x63, CODE + SC_AT, "")
    assert counts(third) == (0, 1)


def test_code_that_changes_after_it_was_loaded_is_translated(start: Start) -> None:
    keep(start)
    second = start()
    assert outcome(second) == (7, 0x63, CODE + SC_AT, "")
    protect(second, 7)
    second.write(CODE, OTHER)
    assert outcome(second) == (9, 0x63, CODE + SC_AT, "")


def test_another_mode_has_its_own(start: Start) -> None:
    keep(start)
    second = start()
    second.engine.begin("another program")  # type: ignore[attr-defined]
    assert outcome(second) == (7, 0x63, CODE + SC_AT, "")
    assert counts(second) == (BLOCKS, 0)


@pytest.mark.parametrize("place", [0, 20, 200, -1])
def test_a_damaged_file_is_none(start: Start, tmp_path: Path, place: int) -> None:
    keep(start)
    for file in tmp_path.rglob("*"):
        if file.is_file() and file.suffix != ".pack" and file.stat().st_size > 300:
            data = bytearray(file.read_bytes())
            data[place] ^= 0x40
            file.write_bytes(data)
    second = start()
    assert outcome(second) == (7, 0x63, CODE + SC_AT, "")
    assert counts(second) == (BLOCKS, 0)


def test_handlers_that_are_gone_make_the_image_useless(start: Start, tmp_path: Path) -> None:
    keep(start)
    for pack in tmp_path.glob("*.pack"):
        pack.unlink()
    second = start()
    assert outcome(second) == (7, 0x63, CODE + SC_AT, "")
    assert counts(second) == (BLOCKS, 0)


def test_code_that_the_guest_may_write_is_not_kept(start: Start) -> None:
    first = start()
    protect(first, 7)
    assert outcome(first) == (7, 0x63, CODE + SC_AT, "")
    end(first)
    second = start()
    assert outcome(second) == (7, 0x63, CODE + SC_AT, "")
    assert counts(second) == (BLOCKS, 0)
