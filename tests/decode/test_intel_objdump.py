"""The x86 table against objdump: a listing that it made, each line as we show it."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from frontends.x86.table import x86_table
from tcg.decode.intel import FIELDS
from tcg.decode.intel.dispatch import is_legal
from tcg.decode.intel.parse import RowText
from tests.conftest import Golden
from tests.decode.intel_samples import ROWS, samples
from tests.decode.intel_text import normalised, same

LISTING = Path(__file__).with_name("intel.objdump")
MACHINES = {16: "i8086", 32: "i386", 64: "i386:x86-64"}
PC = 0x1000
SLOT = 32
TABLE = x86_table()


# -- the listing ----------------------------------------------------------------------------------


def chosen(text: RowText) -> Iterator[tuple[int, bytes]]:
    """A sample of each row in 64-bit mode, where there is none in 32-bit mode; some in both."""
    is_64 = is_legal(text.row.properties, 64)
    if is_64:
        yield 64, samples(text, 64, 1, "objdump")[0]
    if not is_64 or (text.row.line % 8 == 0 and is_legal(text.row.properties, 32)):
        yield 32, samples(text, 32, 1, "objdump")[0]
        yield 16, samples(text, 16, 1, "objdump")[0]


def listing() -> str:
    """What objdump says of the chosen instructions, cut to the length that we see."""
    codes: dict[int, list[bytes]] = {mode: [] for mode in MACHINES}
    for text in ROWS:
        for mode, code in chosen(text):
            found = TABLE.decoder(mode)(code, 0, PC)
            if found is not None:
                codes[mode].append(code[: found.size])
    lines = []
    for mode, instructions in codes.items():
        for code, shown in zip(instructions, objdump(instructions, mode), strict=True):
            lines.append(f"{mode} {code.hex():30} {shown}\n")
    return "".join(lines)


def objdump(codes: list[bytes], mode: int) -> list[str]:
    """The first instruction that objdump sees in each slot."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"".join(code.ljust(SLOT, b"\x90") for code in codes))
        file.flush()
        command = ["objdump", "-D", "-z", "-w", "-M", "intel", "-b", "binary"]
        command += ["--insn-width=16", "-m", MACHINES[mode], file.name]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = re.findall(r"^ *([0-9a-f]+):\t([0-9a-f ]+)\t(.*)$", done.stdout, re.MULTILINE)
    return [
        f"{len(data.split()):2} {' '.join(text.split())}"
        for at, data, text in rows
        if int(at, 16) % SLOT == 0
    ]


# -- one way of writing ---------------------------------------------------------------------------

STRINGS = "movs|cmps|stos|lods|scas|ins|outs"

# fmt: off
SPELLINGS = (
    (r" +#.*| +<.*>",                             "",       "what the target is"),
    (r"\((287|8087) only\)",                      "",       "what it was for"),
    (rf"\b({STRINGS}) (.*?)\b([bdqw])(yte|word|ord) ptr", r"\1\3 \2", "the size is in ours"),
    (r"\bds:(?=\[rsi|\[esi|\[si)",               "",       "the usual segment"),
    (r"\bds:(0x[0-9a-f]+)",                       r"[\1]",  "an address and the usual segment"),
    (r"\b([efgs]s):(0x[0-9a-f]+)",                r"\1:[\2]", "an address and a segment"),
    (r"\bst\b(?!\()",                             "st(0)",  "the top of the stack"),
    (r"\brep(n?)z\b",                            r"rep\1e", "our name"),
    (r",(?=\S)",                                  ", ",     "a space behind a comma"),
)
# fmt: on
"""What objdump writes otherwise everywhere, how we do, and why."""

WORDS = re.compile(r"^(data16|data32|addr16|addr32|rex(\.\w+)?|[c-g]s|ss|bnd) (?=\S)")
"""Prefixes that change nothing."""


def as_ours(text: str) -> str:
    """Objdump's text without prefixes that change nothing, as capstone and we write."""
    words = text.lower()
    repeats = re.match(r"^(\S+ )*?(rep(n?z)?) ", words)
    while (less := WORDS.sub("", re.sub(r"^rep(n?z)? ", "", words))) != words:
        words = less
    if repeats and re.match(STRINGS, words):
        words = f"{repeats[2]} {words}"
    for pattern, replacement, _ in SPELLINGS:
        words = re.sub(pattern, replacement, words)
    return words


# -- the comparison -------------------------------------------------------------------------------


class Difference(NamedTuple):
    """A line of the listing that we write otherwise."""

    key: str
    line: str
    mine: str
    theirs: str


# fmt: off
EXPLAINED = (
    (r"salc|f\w+_STi|[lms]fence", r"\(bad\)",   "objdump does not know it"),
    (r"nop_Ev.*|prefetchw_Mb",    r"",          "objdump has names for some hints"),
    (r"(call|jmp)f_.*",           r"^(call|jmp) ", "far, as the operand says"),
    (r"(push|pop)(_.*|[af])",     r"^(push|pop)[fa]?[dw]? ?", "sizes written in other cases"),
    (r"iret|sysret|sysexit",      r"^(iret|sysretd|sysexitd)$", "sizes written in other cases"),
    (r"(j|call).*_Jz",            r"",          "AMD's 66 in 64-bit mode"),
    (r"mov_Sw_Ew|ud[01]_.*|v?p?movmsk.*", r"",   "another width of a register"),
    (r"xlatb",                    r"^xlat ",    "with an operand"),
    (r"f(n?save|rstor|n?stenv|ldenv)_M", r"^\w+w ", "the operand size is written"),
    (r"v?pcmpestr[im]_.*",        r"^v?pcmpestr[im]q ", "the operand size is written"),
    (r"p[fs]\w+_Pq_Qq",           r" xmm",       "3DNow! has no form with 66"),
    (r"vmovs[sd]_U.*",            r"^vmovs[sd] ymm", "another name with VEX.L, which is ignored"),
)
# fmt: on


def differences() -> Iterator[Difference]:
    at = dict.fromkeys(MACHINES, 0)
    for line in LISTING.read_text().splitlines():
        head, code, length, theirs = line.split(maxsplit=3)
        mode = int(head)
        pc = at[mode]
        at[mode] += SLOT
        found = TABLE.decoder(mode)(bytes.fromhex(code).ljust(SLOT, b"\x90"), 0, pc)
        if found is None:
            yield Difference("", line, "unknown", theirs)
            continue
        bits = 8 * found.fields[FIELDS.index("addrsize")]
        shown = (TABLE.disassemble(found, pc, mode), as_ours(theirs))
        one, other = (normalised(text, mode, pc + found.size, bits) for text in shown)
        if found.size != int(length) or not same(one, other):
            yield Difference(TABLE.rows[found.row].key, line, one, other)


def explanation(case: Difference) -> tuple[str, str, str] | None:
    for explained in EXPLAINED:
        if re.fullmatch(explained[0], case.key) and re.search(explained[1], case.theirs):
            return explained
    return None


def test_the_listing(golden: Golden, bless: bool) -> None:
    """Every line of intel.objdump (--bless makes it again) as we show it."""
    if bless and shutil.which("objdump"):
        golden(LISTING, listing())
    unexplained = [case for case in differences() if not explanation(case)]
    assert not unexplained, "\n".join(" | ".join(case) for case in unexplained)


def test_every_explanation_explains_something() -> None:
    used = {explanation(case) for case in differences()}
    assert [explained for explained in EXPLAINED if explained not in used] == []


def test_every_mnemonic_is_in_the_listing() -> None:
    seen = set()
    for line in LISTING.read_text().splitlines():
        mode, code, *_ = line.split()
        found = TABLE.decoder(int(mode))(bytes.fromhex(code), 0, PC)
        if found is not None:
            seen.add(TABLE.rows[found.row].name)
    assert {row.name for row in TABLE.rows} - seen == set()
