"""Disassemblers write alike: texts of x86 instructions in one way of writing."""

from __future__ import annotations

import re

# fmt: off
SPELLINGS = (
    (r"\b[re]iz\*\d|\b[re]iz\b",   "0",         "a SIB byte without index"),
    (r"\[rip\b",                   "[@",        "relative to what comes next"),
    (r"\[eip\b",                   "[@",        "relative to what comes next"),
    (r"\bmovabs\b",                "mov",       "AT&T's name"),
    (r"\bsal\b",                   "shl",       "D0 /6 and the like shift as /4 does"),
    (r"\b(push|pop)al\b",          r"\1ad",     "not the manual's name"),
    (r"\b(push|pop)aw\b",          r"\1a",      "not the manual's name"),
    (r"\blcall (\S+), ",           r"lcall \1:", "a far pointer, as in ljmp"),
    (r"\b(\w*(byte|word) )?ptr ",  "",          "memory's size is the row's own"),
    (r" st\(0\), (?=s)|, st\(0\)$", " ", "the other operand of the x87 stack"),
    (r"\bf(u?)compi\b",           r"f\1comip",  "not the manual's name"),
    (r"^wait$",                    "fwait",     "its other name"),
    (r"\bnotrack ",                "",          "3E before an indirect branch"),
)
# fmt: on
"""What capstone writes otherwise everywhere, how we do, and why."""


PREDICATES = (
    "eq lt le unord neq nlt nle ord eq_uq nge ngt false neq_oq ge gt true eq_os lt_oq le_oq unord_s"
    " neq_us nlt_uq nle_uq ord_s eq_us nge_uq ngt_uq false_os neq_os ge_oq gt_oq true_us"
).split()
COMPARISON = re.compile(rf"^(v?cmp)({'|'.join(PREDICATES)})([ps][sd]) (.*)$")


def _predicate(text: str) -> str:
    """CMPLTPS is CMPPS with 1: the names of comparisons are the assembler's."""
    found = COMPARISON.match(text)
    if found is None:
        return text
    return f"{found[1]}{found[3]} {found[4]}, {PREDICATES.index(found[2])}"


def normalised(text: str, mode: int, after: int, bits: int) -> str:
    """A text without differences that say nothing.

    `after` is where the next instruction is, an address has so many `bits`.
    """
    text = _predicate(text)
    for pattern, replacement, _ in SPELLINGS:
        text = re.sub(pattern, replacement, text)
    text = re.sub(r"\[(.*?)\]", lambda m: _memory(m[1].replace("@", str(after)), bits), text)
    if mode == 64:
        text = re.sub(r"\b[cdes]s:\[", "[", text)
    text = re.sub(r"-?\b(0x[0-9a-f]+|\d+)\b", lambda m: str(int(m[0], 0)), text)
    return " ".join(text.split())


def _memory(inner: str, bits: int) -> str:
    """Registers, then one number."""
    parts = re.findall(r"[+-]?[^+-]+", inner.replace(" ", "").replace("*1", ""))
    numbers = [part for part in parts if re.fullmatch(r"[+-]?(0x)?[0-9a-f]+", part)]
    registers = [part.lstrip("+") for part in parts if part not in numbers]
    total = sum(int(part, 0) for part in numbers)
    if not registers:
        return f"[ {total & (1 << bits) - 1}]"
    return "[" + "+".join([*registers, *([str(total)] if total else [])]) + "]"


def same(one: str, other: str) -> bool:
    """Equal but for the signs of numbers: -1 is 255, 65535, ..."""
    pattern = re.compile(r"(?<![\w\[+])-?\d+\b")
    if pattern.sub("#", one) != pattern.sub("#", other):
        return False
    pairs = zip(pattern.findall(one), pattern.findall(other), strict=True)
    return all(_congruent(int(mine), int(yours)) for mine, yours in pairs)


def _congruent(one: int, other: int) -> bool:
    return abs(one - other) in (0, 1 << 8, 1 << 16, 1 << 32, 1 << 64)
