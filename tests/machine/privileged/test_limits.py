"""Limits and types of segments, held against every access (SDM vol. 3, 5.3 and 5.5).

QEMU and unicorn do not check them, so the manual's rules are the witness, written down once more.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.machine.privileged import rom

pytestmark = pytest.mark.skipif(not rom.NASM, reason="needs nasm")

STACK_FAULT, PROTECTION, FINISHED = 12, 13, 0x80
FIRST = 0x30


@dataclass(frozen=True, slots=True)
class Segment:
    """A descriptor: its limit, its type with S, DPL and P, and its flags G and B."""

    limit: int
    type: int
    flags: int

    def allows(self, first: int, size: int, *, writes: bool) -> bool:
        is_code, bit_1, bit_2 = self.type & 8, self.type & 2, self.type & 4
        if writes and (is_code or not bit_1):
            return False
        if is_code and not bit_1:
            return False
        limit = self.limit << 12 | 0xFFF if self.flags & 0x80 else self.limit
        last = first + size - 1
        if bit_2 and not is_code:
            return first > limit and last <= (0xFFFF_FFFF if self.flags & 0x40 else 0xFFFF)
        return last <= limit

    @property
    def is_stack(self) -> bool:
        return not self.type & 8 and bool(self.type & 2)


SEGMENTS = (
    Segment(0x1234, 0xF3, 0x40), Segment(0x1234, 0xF1, 0x40), Segment(0x1234, 0xFB, 0x40),
    Segment(0x1234, 0xF9, 0x40), Segment(0, 0xF3, 0xC0), Segment(0xFFFFF, 0xF3, 0xC0),
    Segment(0xFFF, 0xF7, 0x40), Segment(0xFFF, 0xF7, 0), Segment(0xFFF, 0xF5, 0x40),
    Segment(0xFFFF, 0xF3, 0),
)  # fmt: skip
OPERATIONS = (
    (1, "r"), (2, "r"), (4, "r"), (10, "r"), (1, "w"), (4, "w"), (10, "w"), (4, "w"), (4, "w"),
    (1, "w"), (4, "r stack"), (4, "w push"), (2, "r pop"),
)  # fmt: skip
"""How many bytes are accessed, and how."""


def offsets() -> list[int]:
    """Those that the program has."""
    text = (rom.HERE / "limits.asm").read_text()
    listed = text[text.index("offsets:") : text.index("OFFSETS equ")]
    return [int(number, 0) for number in re.findall(r"\b(0x[0-9a-f]+|[01])\b", listed)]


def expected(segment: Segment, number: int, size: int, how: str, offset: int) -> tuple[int, int]:
    """Vector and the lower byte of the error code."""
    selector = FIRST + 8 * number
    if "stack" in how or "p" in how:
        if not segment.is_stack:
            return PROTECTION, selector & 0xFC
        if "p" in how and not segment.flags & 0x40:
            offset = (offset + 4 & 0xFFFF) - 4 & 0xFFFF if "push" in how else offset & 0xFFFF
        right = segment.allows(offset, size, writes="w" in how)
        return (FINISHED, 0) if right else (STACK_FAULT, 0)
    if segment.type & 8 and not segment.type & 2:
        return PROTECTION, selector & 0xFC
    right = segment.allows(offset, size, writes="w" in how)
    return (FINISHED, 0) if right else (PROTECTION, 0)


def records() -> bytes:
    """What the program should send."""
    sent = bytearray()
    for op, (size, how) in enumerate(OPERATIONS):
        for number, segment in enumerate(SEGMENTS):
            for offset in offsets():
                sent += bytes((op, number, *expected(segment, number, size, how, offset)))
    return bytes(sent)


def test_limits(tmp_path: Path) -> None:
    wanted = records()
    sent = rom.on_ours(rom.assemble("limits", tmp_path), "threaded", "qemu32")
    assert len(sent) == len(wanted)
    places = offsets()
    wrong = [
        f"operation {sent[at]}, segment {sent[at + 1]}, offset {places[at // 4 % len(places)]:#x}: "
        f"vector {sent[at + 2]} code {sent[at + 3]:#x}, not {wanted[at + 2]} {wanted[at + 3]:#x}"
        for at in range(0, len(sent), 4)
        if sent[at : at + 4] != wanted[at : at + 4]
    ]
    assert not wrong, "\n".join(wrong[:40])
