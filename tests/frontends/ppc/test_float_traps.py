"""Enabled floating-point exceptions (Book I, 4.4), in the mode that looks for them."""

from __future__ import annotations

import pytest

from frontends.ppc import fpscr_bits as bits
from frontends.ppc.state import ASK_FLOAT_CHECKS, CHECKS_FLOATS
from tcg.frontend import GuestException
from tests.frontends.ppc.machines import CODE, SC, OurMachine, interp

ONE, TWO, ZERO, HUGE, TENTH = 0x3FF0 << 48, 0x4000 << 48, 0, 0x7FE0 << 48, 0x3FB999999999999A
MINUS_ONE, SIGNALLING, QUIET, INFINITE = 0xBFF0 << 48, 0x7FF0 << 48 | 1, 0x7FF8 << 48, 0x7FF0 << 48
OLD = 0x4045000000000000

FADD, FDIV, FMUL = "fc22182a", "fc221824", "fc2200f2"
FSUB, FCMPU, FCMPO, FCTIWZ, FCTIW = "fc221828", "fc021800", "fc021840", "fc20181e", "fc20181c"
MTFSF, MTFSB1_VE, MTFSFI_FX = "fdfe158e", "ff00004c", "fc00810c"


def machine(mode: int = CHECKS_FLOATS) -> OurMachine:
    made = interp()
    made.frontend.set_mode(mode)
    return made


def run(made: OurMachine, code: str, enables: int, traps: int = 1, **registers: int) -> str:
    """Run one instruction; how it ended: `float`, `ask`, or nothing."""
    made.write(CODE, bytes.fromhex(code) + SC.to_bytes(4, "big"))
    made.set({"f1": OLD, "fpscr": enables, **registers})
    made.cpu.set(made.slots["msr.fe"], traps)
    made.cpu.pc = CODE
    left = made.engine.run(made.cpu)
    if left.kind == "exception":
        assert (left.code, left.pc) == (GuestException.FLOAT, CODE)
        return "float"
    if left.code == ASK_FLOAT_CHECKS:
        assert left.pc == CODE + 4
        return "ask"
    assert left.pc == CODE + 8
    return ""


@pytest.mark.parametrize(
    ("code", "a", "b", "enable", "flag", "writes"),
    [
        (FDIV, ONE, ZERO, bits.ZE, bits.ZX, False),
        (FDIV, ZERO, ZERO, bits.VE, bits.VXZDZ, False),
        (FADD, SIGNALLING, ONE, bits.VE, bits.VXSNAN, False),
        (FSUB, INFINITE, INFINITE, bits.VE, bits.VXISI, False),
        (FADD, HUGE, HUGE, bits.OE, bits.OX, True),
        (FDIV, ONE, TENTH, bits.XE, bits.XX, True),
        (FCTIWZ, ZERO, QUIET, bits.VE, bits.VXCVI, False),
        (FCTIW, ZERO, HUGE, bits.VE, bits.VXCVI, False),
        (FCTIW, ZERO, TENTH, bits.XE, bits.XX, True),
    ],
)
def test_raised_when_enabled(
    code: str, a: int, b: int, enable: int, flag: int, writes: bool
) -> None:
    made = machine()
    assert run(made, code, enable, f2=a, f3=b) == "float"
    after = made.get()
    assert after["fpscr"] & (flag | bits.FEX | bits.FX) == flag | bits.FEX | bits.FX
    assert (after["f1"] != OLD) == writes


def test_not_raised_otherwise() -> None:
    made = machine()
    assert run(made, FDIV, bits.VE | bits.OE | bits.UE | bits.XE, f2=ONE, f3=ZERO) == ""
    assert run(made, FDIV, bits.ZE, f2=ONE, f3=TWO) == ""
    assert run(made, FDIV, bits.ZE, traps=0, f2=ONE, f3=ZERO) == ""
    assert made.get()["fpscr"] & bits.FEX


def test_compares_finish_before_they_trap() -> None:
    made = machine()
    assert run(made, FCMPU, bits.VE, f2=QUIET, f3=ONE) == ""
    assert run(made, FCMPO, bits.VE, f2=QUIET, f3=ONE) == "float"
    assert made.get()["cr"] == 0x10000000
    assert run(made, FCMPU, bits.VE, f2=SIGNALLING, f3=ONE) == "float"


def test_an_old_exception_is_not_raised_again() -> None:
    made = machine()
    assert run(made, FADD, bits.ZE | bits.ZX, f2=ONE, f3=ONE) == ""


def test_enabling_asks_for_the_mode() -> None:
    made = machine(mode=0)
    assert run(made, MTFSB1_VE, 0) == "ask"
    assert made.get()["fpscr"] & bits.VE
    assert run(made, MTFSB1_VE, 0, traps=0) == ""
    assert run(machine(), MTFSB1_VE, 0) == ""


def test_writing_fpscr_raises_what_is_there() -> None:
    assert run(machine(), MTFSF, 0, f2=bits.ZX | bits.ZE) == "float"
    assert run(machine(), MTFSB1_VE, bits.VXSNAN) == "float"


def test_forms_of_the_mode_are_others() -> None:
    from tcg.forms import Form, lift_form

    frontend = machine().frontend
    for name in ("fadd", "fmadds", "fcmpu", "fctiwz", "fctiw", "frsp"):
        row = next(i for i, row in enumerate(frontend.table.rows) if row.name == name)
        checked = lift_form(frontend, row, {"bool(rc)": 0})
        frontend.set_mode(0)
        plain = lift_form(frontend, row, {"bool(rc)": 0})
        frontend.set_mode(CHECKS_FLOATS)
        assert isinstance(checked, Form)
        assert isinstance(plain, Form)
        assert checked.symbol != plain.symbol
