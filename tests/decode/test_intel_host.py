"""The x86 decoder against the host's own processor: what is an instruction, and how long it is."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from frontends.x86.table import x86_table
from tcg.decode.intel.dispatch import is_legal
from tcg.decode.intel.table import Row
from tests.decode.host_step import BASE, LONGEST, Stepper
from tests.decode.intel_samples import ROWS, samples
from tests.decode.test_intel_capstone import disassembler, random_codes
from tests.decode.test_intel_complete import left_out

RANDOM = 1500
MODES = pytest.mark.parametrize("mode", [32, 64])
TABLE = x86_table()

# fmt: off
NOT_STEPPED = re.compile(
    r"syscall|sysenter|int(_Ib|1|3|o)|iret|hlt|ud[012].*|rsm|monitor|mwait|clac|stac"  # system's
    r"|mov_Sw_Ew|pop_SS|lss_.*"                 # no trap before the next instruction
    r"|s[gil]dt_.*|str_.*|smsw_.*"              # the kernel may do these itself
)
EXPLAINED = (
    (r"(j|call|jmp|xbegin).*_Jz", "64-bit AMD processors obey 66"),
    (r"mov_(Cy|Dy|Ry)_.*",        "some control and debug registers do not exist"),
    (r"prefetchw_Mb",             "older processors"),
)
ONLY_HERE = re.compile(
    r"mov|syscall|sysretd?|swapgs|fxsave|fxrstor|ldmxcsr|stmxcsr|vaes\w+|vpclmulqdq|\?"
)
# fmt: on
"""What a processor may know beside what is left out: control registers, AMD's 32-bit syscall, what
capstone does not know either.
"""


@pytest.fixture(scope="module")
def host() -> Iterator[Stepper]:
    if os.uname().machine != "x86_64":
        pytest.skip("the host is another processor")
    try:
        stepper = Stepper()
    except OSError as error:
        pytest.skip(f"processes cannot be traced: {error}")
    with stepper:
        yield stepper


def features() -> frozenset[str]:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("flags"):
            return frozenset(line.partition(":")[2].split())
    return frozenset()


class Case(NamedTuple):
    """Bytes, the row that they are for us, and how long."""

    code: bytes
    row: Row | None
    length: int


def cases(mode: int) -> Iterator[Case]:
    """Random bytes, and samples of every row that the host has."""
    decode, here = TABLE.decoder(mode), features()
    codes = list(random_codes(RANDOM, mode))
    for text in ROWS:
        if is_legal(text.row.properties, mode) and text.row.feature in (None, *here):
            codes += samples(text, mode, 2, "host")
    for code in codes:
        found = decode(code, 0, BASE)
        if found is None:
            yield Case(code, None, 0)
            continue
        row = TABLE.rows[found.row]
        if row.feature in (None, *here) and not NOT_STEPPED.fullmatch(row.key):
            yield Case(code, row, found.size)


@MODES
def test_the_host_agrees(mode: int, host: Stepper) -> None:
    """An instruction is one for both, and as long; what only the host knows has been left out."""
    wrong = []
    for case in cases(mode):
        problem = _problem(case, mode, host)
        explained = case.row and any(re.fullmatch(key, case.row.key) for key, _ in EXPLAINED)
        if problem and not explained:
            wrong.append(f"{case.code[:LONGEST].hex()}: {case.row and case.row.key} {problem}")
    assert not wrong, "\n".join(wrong)


def _problem(case: Case, mode: int, host: Stepper) -> str:
    """What the host says otherwise; an empty text if nothing."""
    is_one = host.is_legal(case.code[: LONGEST + 1], mode)
    if case.row is None:
        name = _capstones_name(case.code, mode)
        known = not is_one or left_out(name) or ONLY_HERE.fullmatch(name)
        return "" if known else f"is {name} for the host"
    if not is_one:
        return "is illegal for the host"
    if host.is_longer(case.code[: case.length], mode):
        return f"is longer than {case.length} for the host"
    if case.length > 1 and not host.is_longer(case.code[: case.length - 1], mode):
        return f"is shorter than {case.length} for the host"
    return ""


def _capstones_name(code: bytes, mode: int) -> str:
    return next((text for _, _, text, _ in disassembler(mode).disasm_lite(code, BASE, 1)), "?")
