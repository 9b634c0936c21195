"""Random encodings of a row of the table.

What is made is only a guess, which the decoder then judges: prefixes, ModRM and displacement are
written as the row's encoding says, random bytes stand for immediates, and the decoder says how many
of them belong to the instruction, and whether it is one of this row at all.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from tcg.decode.intel import Row
from tcg.decode.intel.operands import BY_MODRM, MAY_BE_MEMORY, VARYING
from tcg.frontend import Decoded

Decode = Callable[[bytes, int, int], Decoded | None]

PREFIXES = ("66", "f2", "f3")
SEGMENT_PREFIXES = (0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65)
DATA_SEGMENTS = (0x26, 0x36, 0x3E, 0x64, 0x65)
VEX_MAPS = {"0F": 1, "0F38": 2, "0F3A": 3}
VEX_PREFIXES = {"66": 1, "F3": 2, "F2": 3}
BYTES = (0, 1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 0x7F, 0x80, 0x81, 0xFF, 0xFE, 0x55)


@dataclass(frozen=True, slots=True)
class Shape:
    """A row's encoding taken apart.

    `mandatory`: the prefix in front of REX; `opcode`; `low`: how many values the low bits of the
    last opcode byte may have (+r, +i: 8); `modrm`: reg's value, -1 for any, None if there is
    none; `suffix`: an opcode behind the operands; `vex`: the parts of a VEX prefix.
    """

    mandatory: bytes
    opcode: bytes
    low: int
    modrm: int | None
    suffix: bytes
    vex: tuple[str, ...]


def shape_of(row: Row) -> Shape:
    """The row's encoding."""
    tokens = row.encoding.split()
    vex: tuple[str, ...] = ()
    mandatory, opcode, suffix = b"", b"", b""
    low, modrm = 1, None
    if tokens[0].startswith("VEX"):
        vex = tuple(tokens.pop(0).split(".")[1:])
    elif tokens[0].startswith("N"):
        tokens.pop(0)
    elif (
        tokens[0] in PREFIXES
        and len(tokens) > 1
        and re.match("[0-9a-f]{2}", tokens[1], re.IGNORECASE)
    ):
        mandatory = bytes.fromhex(tokens.pop(0))
    for token in tokens:
        if token == "cb" and any(o.letter == "J" for o in row.operands):
            continue
        if re.fullmatch(r"[0-9a-fA-F]{2}", token):
            if modrm is None:
                opcode += bytes.fromhex(token)
            else:
                suffix += bytes.fromhex(token)
        elif found := re.fullmatch(r"([0-9a-fA-F]{2})\+(r|i|cc)", token):
            number = int(found[1], 16)
            opcode += bytes([number + (row.cc or 0) if found[2] == "cc" else number])
            low = 1 if found[2] == "cc" else 8
        elif token[0] == "/" and token[1] in "r01234567":
            modrm = -1 if token[1] == "r" else int(token[1])
    return Shape(mandatory, opcode, low, modrm, suffix, vex)


class Encoder:
    """Makes instructions for one mode; `absolute`: where addresses without a base lead to."""

    def __init__(self, mode: int, random: Random, decode: Decode, absolute: int) -> None:
        self.mode = mode
        self.random = random
        self.decode = decode
        self.absolute = absolute
        self._shapes: dict[str, Shape] = {}

    def instruction(self, index: int, row: Row, pc: int, tries: int = 60) -> bytes | None:
        """An instruction of this row at `pc`, or None if none was found."""
        shape = self._shapes.get(row.key)
        if shape is None:
            shape = self._shapes[row.key] = shape_of(row)
        for _ in range(tries):
            code = self._attempt(shape, row, pc)
            decoded = self.decode(code, 0, pc)
            if decoded is not None and decoded.row == index:
                return code[: decoded.size]
        return None

    def _chance(self, one_in: int) -> bool:
        return self.random.randrange(one_in) == 0

    def _attempt(self, shape: Shape, row: Row, pc: int) -> bytes:
        prefixes = self._legacy(shape, row)
        body = self._vex(shape) if shape.vex else self._rex()
        if shape.vex:
            code = prefixes + body
        else:
            code = prefixes + shape.mandatory + body + self._opcode(shape)
        if shape.modrm is not None:
            code += self._modrm(shape.modrm, row, prefixes, pc + len(code))
        return code + shape.suffix + self._immediate(row)

    def _opcode(self, shape: Shape) -> bytes:
        if shape.low == 1:
            return shape.opcode
        return shape.opcode[:-1] + bytes([shape.opcode[-1] + self.random.randrange(shape.low)])

    def _legacy(self, shape: Shape, row: Row) -> bytes:
        random, found = self.random, []
        varies = any(o.size in VARYING for o in row.operands) or len(set(row.mnemonics)) > 1
        if self.mode == 64 and "f64" in row.properties:
            varies = False  # there processors differ on what 66 means
        elif not shape.vex and not shape.mandatory and self._chance(3 if varies else 12):
            found.append(0x66)
        has_memory = any(o.letter in MAY_BE_MEMORY for o in row.operands) or not row.operands
        if has_memory and self._chance(6):
            found.append(0x67)
            if self.mode == 32:
                found.append(0x65)
        elif has_memory and self._chance(8):
            # Outside of 64-bit mode nothing can be written by CS.
            found.append(random.choice(SEGMENT_PREFIXES if self.mode == 64 else DATA_SEGMENTS))
        if "lock" in row.properties and self._chance(4):
            found.append(0xF0)
        elif "rep" in row.properties and self._chance(2):
            found.append(random.choice((0xF2, 0xF3)))
        random.shuffle(found)
        return bytes(found)

    def _rex(self) -> bytes:
        if self.mode != 64 or self._chance(3):
            return b""
        random = self.random
        low = random.choice((0, 0, random.getrandbits(3)))
        return bytes([0x40 | random.getrandbits(1) << 3 | low])

    def _vex(self, shape: Shape) -> bytes:
        random = self.random
        parts = set(shape.vex)
        number = next(VEX_MAPS[part] for part in shape.vex if part in VEX_MAPS)
        pp = next((VEX_PREFIXES[part] for part in shape.vex if part in VEX_PREFIXES), 0)
        length = random.getrandbits(1) if parts & {"LIG"} else int("256" in parts or "L1" in parts)
        w = 1 if "W1" in parts else 0 if "W0" in parts else random.getrandbits(1)
        high = 1 if self.mode != 64 else random.getrandbits(1)
        r, x, b = (high if self.mode == 64 else 1 for _ in range(3))
        if self.mode == 64:
            r, x, b = (random.getrandbits(1) for _ in range(3))
        vvvv = random.choice((15, 15, random.randrange(16)))
        if self.mode != 64:
            vvvv |= 8
        if number == 1 and x and b and not w and random.getrandbits(1):
            prefix = bytes([0xC5, r << 7 | vvvv << 3 | length << 2 | pp])
        else:
            first = r << 7 | x << 6 | b << 5 | number
            prefix = bytes([0xC4, first, w << 7 | vvvv << 3 | length << 2 | pp])
        return prefix + self._opcode(shape)

    def _modrm(self, reg: int, row: Row, prefixes: bytes, at: int) -> bytes:
        random = self.random
        reg = random.randrange(8) if reg < 0 else reg
        letters = {o.letter for o in row.operands}
        wants_memory = "M" in letters or "mem" in row.properties
        wants_register = letters & set("RUN") or "reg" in row.properties
        mod = 3 if wants_register or (not wants_memory and self._chance(2)) else random.randrange(3)
        rm = random.randrange(8)
        if row.feature == "avx2" and "vsib" in row.properties:
            rm = 4
        modrm = bytes([mod << 6 | reg << 3 | rm])
        if mod == 3:
            return modrm
        narrow = (self.mode == 16) != (0x67 in prefixes and self.mode != 64)
        if narrow:
            if mod == 0 and rm == 6:
                return modrm + (self._spot() & 0xFFFF).to_bytes(2, "little")
            return modrm + self._displacement(mod, 2)
        sib, no_base = b"", mod == 0 and rm == 5
        if rm == 4:
            sib = bytes([random.getrandbits(8)])
            no_base = mod == 0 and sib[0] & 7 == 5
        if not no_base:
            return modrm + sib + self._displacement(mod, 4)
        spot = self._spot()
        if rm == 5 and self.mode == 64:
            spot -= at + 5
        return modrm + sib + (spot & 0xFFFF_FFFF).to_bytes(4, "little")

    def _spot(self) -> int:
        return self.absolute + self.random.choice((0, 16, 32, self.random.randrange(48)))

    def _displacement(self, mod: int, size: int) -> bytes:
        random = self.random
        if mod == 0:
            return b""
        if mod == 1:
            return bytes([random.getrandbits(8)])
        wide = random.choice((random.getrandbits(8 * size), random.randrange(1 << 12)))
        return wide.to_bytes(size, "little")

    def _immediate(self, row: Row) -> bytes:
        random = self.random
        letters = {o.letter for o in row.operands}
        if "O" in letters:
            return self._spot().to_bytes(8, "little")
        if "J" in letters:
            return bytes(8)
        return bytes(
            random.choice((random.choice(BYTES), random.getrandbits(8))) for _ in range(10)
        )


def has_memory(row: Row, fields: dict[str, Any]) -> bool:
    """The instruction has a memory operand by ModRM."""
    return fields["rm"] < 0 and any(
        o.letter in BY_MODRM and o.letter in MAY_BE_MEMORY for o in row.operands
    )
