"""What capstone knows of x86 and the table has not, and the other way round."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

import pytest

from frontends.x86.table import x86_table
from tests.decode.test_intel_capstone import PC, disassembler

TABLE = x86_table()
TAIL = bytes.fromhex("112233441122334411223344")
PREFIXES = (b"", b"\x66", b"\xf2", b"\xf3")
ESCAPES = (b"", b"\x0f", b"\x0f\x38", b"\x0f\x3a")
IN_MEMORY = tuple(reg << 3 for reg in range(8))
A_REGISTER = tuple(0xC1 | reg << 3 for reg in range(8))

# fmt: off
LEFT_OUT = (
    ("AVX-512",               r"k(add|andn?|mov|not|or|ortest|shift[lr]|test|unpck|xnor|xor)\w+"),
    ("virtual machines",      r"vm(call|clear|func|launch|mcall|ptrld|ptrst|read|resume|write)"),
    ("virtual machines",      r"vm(xoff|xon|run|load|save)|inv(ept|vpid|pcid|lpga)|skinit"),
    ("virtual machines",      r"clgi|stgi"),
    ("system mode, enclaves", r"getsec|rsm|enclu|encl[sv]|pconfig|monitorx?|mwaitx?|clac|stac"),
    ("transactional memory",  r"x(begin|abort|end|test)"),
    ("protection keys",       r"(rd|wr)pkru"),
    ("shadow stacks",         r"incssp[dq]|rstorssp|saveprevssp|setssbsy|clrssbsy|wru?ss[dq]"),
    ("XSAVE's variants",      r"xsave(c|opt|s)(64)?|xrstors(64)?"),
    ("SSE4a",                 r"extrq|insertq|movnts[sd]"),
    ("FMA4 and XOP",          r"vfn?m(add|sub|addsub|subadd)[ps][sd]|vpermil2p[sd]"),
    ("VIA's PadLock",         r"xcrypt\w+|montmul|xsha\d+|xstore"),
    ("Galois fields",         r"v?gf2p8\w+"),
    ("SHA",                   r"sha(1|256)\w+"),
    ("others of later years", r"movdir(i|64b)|tpause|umonitor|umwait|ptwrite|clzero"),
)
# fmt: on
"""What no model of ours says it has, and the mnemonics."""

ONLY_64 = {"swapgs", "syscall", "sysret", "vpextrq", "vpinsrq"}
"""What capstone knows in 32-bit mode, too; AMD's processors do have SYSCALL there."""


def legacy_codes() -> Iterator[bytes]:
    """Every opcode of the four maps with every prefix and kind of ModRM."""
    for escape in ESCAPES:
        for prefix in PREFIXES:
            for opcode in range(256):
                modrms = range(0xC0, 0x100) if _has_fixed_modrm(escape, opcode) else A_REGISTER
                for modrm in (*IN_MEMORY, *modrms):
                    yield prefix + escape + bytes([opcode, modrm]) + TAIL
    for suffix in range(256):
        yield bytes([0x0F, 0x0F, 0xC1, suffix]) + TAIL


def _has_fixed_modrm(escape: bytes, opcode: int) -> bool:
    """Opcodes of which ModRM.rm is a part, too."""
    if escape == b"":
        return 0xD8 <= opcode <= 0xDF or opcode in (0xC6, 0xC7)
    return escape == b"\x0f" and opcode in (0x01, 0x1E, 0xAE, 0xA6, 0xA7)


def vex_codes() -> Iterator[bytes]:
    """Every opcode of the three maps with all of VEX, vvvv used and not."""
    for number in (1, 2, 3):
        for low in (*range(8), *range(128, 136)):
            for vvvv in (0x78, 0x68):
                for opcode in range(256):
                    for modrm in (0x01, 0xC1, 0xC9, 0xD1, 0xD9, 0xE1, 0xF1):
                        yield bytes([0xC4, 0xE0 | number, low | vvvv, opcode, modrm]) + TAIL


def name(mnemonic: str, operands: str) -> str:
    """A mnemonic; of instructions of SSE and MMX, the latter's with ` mm`."""
    return f"{mnemonic} mm" if re.search(r"\bmm\d", operands) else mnemonic


@cache
def compared(mode: int) -> tuple[frozenset[str], frozenset[str]]:
    """The names that only capstone knows, and the keys of rows that capstone knows not at all."""
    decode, capstone = TABLE.decoder(mode), disassembler(mode)
    known, theirs = set[str](), set[str]()
    rows, unknown = set[str](), set[str]()
    for code in (*legacy_codes(), *vex_codes()):
        found = decode(code, 0, PC[mode])
        seen = next(capstone.disasm_lite(code, PC[mode], 1), None)
        if seen is not None:
            (known if found is not None else theirs).add(name(seen[2], seen[3]))
        if found is not None:
            (unknown if seen is None else rows).add(TABLE.rows[found.row].key)
    return frozenset(theirs - known), frozenset(unknown - rows)


def left_out(text: str) -> str | None:
    """Why an instruction is not in the table."""
    for why, pattern in LEFT_OUT:
        if re.fullmatch(pattern, text):
            return why
    return None


@pytest.mark.parametrize("mode", [32, 64])
def test_what_capstone_knows(mode: int) -> None:
    """Nothing is missing but what is left out for a reason."""
    missing = {name for name in compared(mode)[0] if not left_out(name)}
    assert missing == (ONLY_64 if mode == 32 else set())


def test_every_reason_is_one() -> None:
    reasons = {left_out(name) for name in compared(64)[0]}
    assert [why for why, _ in LEFT_OUT if why not in reasons] == []


@pytest.mark.parametrize("mode", [32, 64])
def test_what_capstone_does_not_know(mode: int) -> None:
    """Encodings that no manual has, but all processors."""
    assert all(
        re.fullmatch(r"f(com2|comp[35]|xch[47]|stp[89])_STi", key) for key in compared(mode)[1]
    )
