"""Bytes to try the rows of the x86 table with."""

from __future__ import annotations

import random
from collections.abc import Iterator

from frontends.x86.table import paths
from tcg.decode.intel.encoding import NFX, Encoding
from tcg.decode.intel.parse import RowText, numbered, parse

ROWS = numbered([row for path in paths() for row in parse(path)])
"""All rows of the table, in its order."""

SEGMENTS = (0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65)
ESCAPES = (b"", b"\x0f", b"\x0f\x38", b"\x0f\x3a")
MANDATORY = (b"", b"\x66", b"\xf2", b"\xf3")
LONGEST_TAIL = 13


def samples(text: RowText, mode: int, count: int, seed: str = "") -> list[bytes]:
    """The beginnings of instructions of a row, with more bytes behind than any can need."""
    chance = random.Random(f"{text.row.key} {mode} {seed}")
    return [_sample(text, mode, chance) for _ in range(count)]


def _sample(text: RowText, mode: int, chance: random.Random) -> bytes:
    encoding = text.encoding
    head = b"".join(_legacy_prefixes(text, chance)) if chance.random() < 0.5 else b""
    tail = _tail(text, chance)
    if encoding.vex is not None:
        segment = bytes([chance.choice((0x64, 0x65))]) if chance.random() < 0.1 else b""
        if mode == 16 and text.row.properties & {"vsibx", "vsiby"}:
            segment += b"\x67"  # an address of 16 bits has no SIB
        return segment + _vex(text, mode, chance) + tail
    if encoding.prefix not in (None, NFX):
        head += MANDATORY[encoding.prefix or 0]
    rex = b""
    if mode == 64 and chance.random() < 0.6:
        rex = bytes([0x40 | chance.randrange(16)])
        if "norexb" in text.row.properties:
            rex = bytes([rex[0] & ~1])
    opcode = encoding.opcode + chance.randrange(encoding.span)
    return head + rex + ESCAPES[encoding.map] + bytes([opcode]) + tail


def _legacy_prefixes(text: RowText, chance: random.Random) -> Iterator[bytes]:
    encoding, properties = text.encoding, text.row.properties
    if encoding.prefix in (None, NFX) and chance.random() < 0.4:
        yield b"\x66"
    if chance.random() < 0.15:
        yield b"\x67"
    if chance.random() < 0.2:
        yield bytes([chance.choice(SEGMENTS)])
    if "rep" in properties:
        yield chance.choice((b"", b"\xf2", b"\xf3"))
    if "lock" in properties and chance.random() < 0.2:
        yield b"\xf0"


def _vex(text: RowText, mode: int, chance: random.Random) -> bytes:
    """A VEX prefix and the opcode; two bytes long where that can be."""
    encoding = text.encoding
    assert encoding.vex is not None
    assert encoding.prefix is not None
    lengths, ws = encoding.vex
    length, w = chance.choice(lengths), chance.choice(ws)
    pp = (0, 1, 3, 2)[encoding.prefix]
    uses_vvvv = any(operand.letter in "BH" and operand.letter for operand in text.row.operands)
    vvvv = chance.randrange(16 if mode == 64 else 8) if uses_vvvv else 0
    low = (vvvv ^ 15) << 3 | length << 2 | pp
    r, x, b = (chance.randrange(2) for _ in range(3)) if mode == 64 else (0, 0, 0)
    opcode = bytes([encoding.opcode])
    if encoding.map == 1 and not w and chance.random() < 0.5:
        return bytes([0xC5, (r ^ 1) << 7 | low]) + opcode
    first = (r ^ 1) << 7 | (x ^ 1) << 6 | (b ^ 1) << 5 | encoding.map
    return bytes([0xC4, first, w << 7 | low]) + opcode


def _tail(text: RowText, chance: random.Random) -> bytes:
    """ModRM, and what may stand behind it: small displacements are common."""
    encoding = text.encoding
    if not encoding.has_modrm:
        return chance.randbytes(LONGEST_TAIL)
    modrm = modrm_of(encoding, chance)
    rest = chance.randbytes(LONGEST_TAIL)
    if encoding.suffix is not None:
        rest = bytes([encoding.suffix]) * LONGEST_TAIL
    return bytes([modrm]) + rest


def modrm_of(encoding: Encoding, chance: random.Random) -> int:
    """A ModRM byte of a row."""
    while True:
        modrm = chance.randrange(256)
        if encoding.fits(modrm):
            return modrm
