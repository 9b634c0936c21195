"""The x86 table against capstone: every row in every mode, its length and its text."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import NamedTuple

import capstone
import pytest

from frontends.x86.table import x86_table
from tcg.decode.intel import FIELDS
from tcg.decode.intel.dispatch import is_legal
from tcg.decode.intel.table import MODES, Row
from tcg.frontend import Decoded
from tests.decode.intel_samples import ROWS, samples
from tests.decode.intel_text import normalised, same

PER_ROW = 6
PC = {16: 0x4000, 32: 0x10004000, 64: 0x10004000}
CAPSTONE_MODES = {16: capstone.CS_MODE_16, 32: capstone.CS_MODE_32, 64: capstone.CS_MODE_64}
TABLE = x86_table()


class Shown(NamedTuple):
    """An instruction as somebody shows it."""

    length: int
    text: str


@cache
def disassembler(mode: int) -> capstone.Cs:
    return capstone.Cs(capstone.CS_ARCH_X86, CAPSTONE_MODES[mode])


def capstones(code: bytes, mode: int) -> Shown | None:
    for found in disassembler(mode).disasm(code, PC[mode], 1):
        return Shown(found.size, f"{found.mnemonic} {found.op_str}".strip())
    return None


def ours(code: bytes, mode: int) -> tuple[Decoded, Row, Shown] | None:
    found = TABLE.decoder(mode)(code, 0, PC[mode])
    if found is None:
        return None
    text = TABLE.disassemble(found, PC[mode], mode)
    return found, TABLE.rows[found.row], Shown(found.size, text)


# -- what capstone does not know or does wrong -----------------------------------------------------

PREFIXES = bytes([0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65, 0x66, 0x67, 0xF0, 0xF2, 0xF3])


class Case(NamedTuple):
    """An instruction on which we disagree; `theirs` is None if capstone does not know it."""

    code: bytes
    mode: int
    row: Row
    mine: Shown
    theirs: Shown | None

    def has(self, prefix: int) -> bool:
        """Whether it has this prefix."""
        rest = self.code.lstrip(PREFIXES)
        return prefix in self.code[: len(self.code) - len(rest)]

    @property
    def rex(self) -> int:
        byte = self.code.lstrip(PREFIXES)[0]
        return byte if self.mode == 64 and 0x40 <= byte < 0x50 else 0

    @property
    def is_unknown(self) -> bool:
        return self.theirs is None

    def __str__(self) -> str:
        head = f"{self.mode}-bit {self.row.key} ({self.row.place}) {self.code[:15].hex()}"
        theirs = f"{self.theirs.length} {self.theirs.text}" if self.theirs else "unknown"
        return f"{head}: {self.mine.length} {self.mine.text} | capstone: {theirs}"


def _is_short_branch(case: Case) -> bool:
    """A target of 16 bits: capstone shows more of it, or extends it wrongly."""
    return (case.mode != 64 and case.has(0x66)) or case.mode == 16


def _is_66_in_16_bit_code(case: Case) -> bool:
    return case.mode == 16 and case.row.encoding.startswith("66 ")


def _has_vex_w(case: Case) -> bool:
    """A VEX prefix of three bytes with W."""
    code = case.code.lstrip(PREFIXES)
    return code[0] == 0xC4 and code[2] >= 0x80


Explained = tuple[str, Callable[[Case], bool], str]


def _always(_: Case) -> bool:
    return True


def _is_wide_with_66(case: Case) -> bool:
    return bool(case.rex & 8) and case.has(0x66)


# fmt: off
EXPLAINED: tuple[Explained, ...] = (
    (r"(j|loop|call|xbegin).*_J[bz]", _is_short_branch, "the target has 16 bits"),
    (r"(j|call).*_J[bz]", lambda c: c.mode == 32 and c.has(0x67), "67 makes no target shorter"),
    (r"(j|call).*_Jz",    lambda c: c.mode == 64 and c.has(0x66), "66 is ignored, but by AMD"),
    (r"nop_Ev.*",         _always, "capstone knows names for some hints, and not all others"),
    (r"prefetchw_Mb",     _always, "capstone knows other names for some of them"),
    (r"pause",            lambda c: bool(c.rex) or c.is_unknown, "prefixes that change nothing"),
    (r"(push|pop)f",      _is_wide_with_66, "REX.W goes before 66"),
    (r"(in|out|ins|outs)_.*", _is_wide_with_66, "REX.W goes before 66"),
    (r"(call|jmp)f_.*",   _always, "lcall, ljmp, or call and jmp with a size"),
    (r"ud[01]_.*",        _always, "with ModRM, as in the manual"),
    (r"rcl_E._1",         _always, "capstone leaves out the 1, here only"),
    (r"(lar|lsl)_.*",     _always, "the selector has 16 bits"),
    (r"mov_Sw_Ew",        _always, "the selector has 16 bits"),
    (r"[lms]fence",       _always, "any register in ModRM.rm does"),
    (r"sysexit|sysret",   lambda c: bool(c.rex & 8), "sysexitq"),
    (r"movs_.*",          lambda c: c.has(0xF2), "F2 repeats, too"),
    (r"cbw|cwd",          lambda c: c.mode == 16, "names for 32 bits in 16-bit mode"),
    (r"ad[co]x_.*",       lambda c: c.mode == 16, "unknown in 16-bit mode"),
    (r"fneni|fndisi|fnsetpm", _always, "other names for what does nothing any more"),
    (r"(fcom2|fcomp[35]|fxch[47]|fstp[89])_STi", _always, "undocumented, unknown to capstone"),
    (r"vp?gather.*",    lambda c: c.mine.length == 0, "of three registers two are the same"),
    (r"vp?blendv.*",      lambda c: c.mode != 64, "bit 7 of is4 is ignored, as the host does"),
    (r".*",               _is_66_in_16_bit_code, "capstone takes 66 for an operand size"),
    (r"v(phsubd|packusdw|pinsr[bw]|pextr[bw]|pcmp[ei]str[im])_.*", _has_vex_w, "VEX.W is ignored"),
    (r".*",               lambda c: c.mode == 16 and c.has(0x67), "cuts addresses to 16 bits"),
)
# fmt: on


def explanation(case: Case) -> Explained | None:
    for explained in EXPLAINED:
        if re.fullmatch(explained[0], case.row.key) and explained[1](case):
            return explained
    return None


def differences(mode: int, per_row: int, seed: str = "") -> Iterator[Case]:
    """Where capstone says something else, or we do not decode what the row says."""
    for text in ROWS:
        if not is_legal(text.row.properties, mode):
            continue
        for code in samples(text, mode, per_row, seed):
            found, theirs = ours(code, mode), capstones(code, mode)
            if found is None:
                if theirs is not None:
                    yield Case(code, mode, text.row, Shown(0, "unknown"), theirs)
                continue
            decoded, row, mine = found
            case = Case(code, mode, row, mine, theirs)
            if theirs is None or theirs.length != case.mine.length:
                yield case
                continue
            after, bits = PC[mode] + theirs.length, 8 * decoded.fields[FIELDS.index("addrsize")]
            one, other = (normalised(each.text, mode, after, bits) for each in (mine, theirs))
            if not same(one, other):
                yield case


@cache
def all_differences(mode: int) -> list[Case]:
    return list(differences(mode, PER_ROW))


@pytest.mark.parametrize("mode", MODES)
def test_capstone_agrees(mode: int) -> None:
    """Each row, with prefixes and operands of all kinds: the same length and the same text."""
    unexplained: dict[str, Case] = {}
    for case in all_differences(mode):
        if not explanation(case):
            unexplained.setdefault(case.row.key, case)
    assert not unexplained, "\n".join(map(str, unexplained.values()))


def test_every_explanation_explains_something() -> None:
    cases = [case for mode in MODES for case in all_differences(mode)]
    used = {explanation(case) for case in cases}
    assert [pattern for pattern, *rest in EXPLAINED if (pattern, *rest) not in used] == []


# -- any bytes ------------------------------------------------------------------------------------

# fmt: off
OTHER_LENGTHS: tuple[Explained, ...] = (
    (r"ud[01]_.*",        _always, "with ModRM, as in the manual"),
    (r"(j|call|xbegin).*_Jz", lambda c: c.mode == 64 and c.has(0x66), "66 is ignored, but by AMD"),
    (r"ret_Iw",           _is_wide_with_66, "capstone takes four bytes more"),
)
# fmt: on

HEADS = ("", "", "", "0f", "0f38", "0f3a", "66", "f20f", "f30f", "660f38", "c5", "c4", "db", "48")


def random_codes(count: int, seed: int) -> Iterator[bytes]:
    """Bytes of all kinds, with escapes and prefixes more often than chance has them."""
    chance = random.Random(seed)
    for _ in range(count):
        yield bytes.fromhex(chance.choice(HEADS)) + chance.randbytes(15)


@pytest.mark.parametrize("mode", MODES)
def test_lengths_of_any_bytes(mode: int) -> None:
    """What both know is as long for both, whatever it is."""
    wrong = []
    for code in random_codes(3000, mode):
        found, theirs = ours(code, mode), capstones(code, mode)
        if found is None or theirs is None or found[2].length == theirs.length:
            continue
        case = Case(code, mode, found[1], found[2], theirs)
        if not any(
            re.fullmatch(key, case.row.key) and holds(case) for key, holds, _ in OTHER_LENGTHS
        ):
            wrong.append(str(case))
    assert not wrong, "\n".join(wrong)
