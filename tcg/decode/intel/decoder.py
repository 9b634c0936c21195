"""The decoder: bytes to a row and its fields.  Hot: it runs once per instruction translated.

What may stand at a place is a *slot*, a pair (kind, payload), looked up by the byte there: a
prefix, an escape to another map, a choice by prefix or VEX, or where the opcode ends,

    LEAF       a leaf, without ModRM
    MODRM      a leaf, with ModRM
    BY_REG     32 leaves by the upper five bits of ModRM: mod and reg
    BY_MODRM   256 leaves by ModRM

and a leaf is (row, operand sizes, kind of immediate, flags).  `dispatch` makes the slots.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntFlag
from struct import Struct
from struct import error as StructError  # noqa: N812
from typing import Any

from tcg.frontend import Decoded

FIELDS = (
    "length", "opsize", "addrsize", "segment", "lock", "rep", "rex", "reg", "rm", "base", "index",
    "scale", "disp", "imm", "imm2", "vvvv",
)  # fmt: skip

Slot = tuple[int, Any]
Leaf = tuple[Any, tuple[int, int, int, int], int, int]
Dispatch = tuple[tuple[Slot, ...], tuple[tuple[Slot, ...], ...]]
"""Slots of the first byte, and those of the maps 1 to 3 with VEX."""

Decode = Callable[[bytes, int, int], Decoded | None]

# fmt: off
(
    LEAF, MODRM, BY_REG, BY_MODRM,
    ESCAPE, REX, BY_PREFIX, OPSIZE, ADDRSIZE, REP, LOCK, SEGMENT, VEX, BY_VEX, BY_REXB, ILLEGAL,
) = range(16)
"""Kinds of slots.  The first four end the opcode.  BY_VEX: 16 slots by L, pp and W of VEX."""

(
    NONE, BYTE, SIGNED_BYTE, TARGET_BYTE, TARGET, OPERAND, WORD, WHOLE, WORD_BYTE, OFFSET, FAR,
    REGISTER, SUFFIX, TWO_BYTES,
) = range(14)
"""Kinds of immediates; SUFFIX is an opcode behind the operands, which selects the leaf."""
# fmt: on


class Flag(IntFlag):
    """What else a leaf says."""

    LOCKABLE = 1
    REPEATS = 2
    HAS_MEMORY = 4  # without ModRM: a segment override means something
    LOW_BITS = 8  # the register is in the opcode
    NO_VVVV = 16  # VEX.vvvv must be 1111b
    LOW_REG = 32  # eight registers only: REX.R is ignored
    LOW_RM = 64  # ... and REX.B
    VSIB = 128  # the index is a vector register, and not one of the other two


LOCKABLE, REPEATS, HAS_MEMORY, LOW_BITS, NO_VVVV, LOW_REG, LOW_RM, VSIB = map(int, Flag)

LONGEST = 15
"""Bytes: what is longer raises #GP (SDM vol. 2, 2.3.11)."""

MASKS = {2: 0xFFFF, 4: 0xFFFF_FFFF, 8: 0xFFFF_FFFF_FFFF_FFFF}

_i8 = Struct("<b").unpack_from
_u16 = Struct("<H").unpack_from
_i16 = Struct("<h").unpack_from
_i32 = Struct("<i").unpack_from
_u32 = Struct("<I").unpack_from
_i64 = Struct("<q").unpack_from

NO_MORE, DISP8, DISP32, DISP16, RIP, SIB, SIB8, SIB32 = range(8)
"""What follows a ModRM byte."""

DISPLACEMENTS = {DISP8: (_i8, 1), DISP16: (_i16, 2), DISP32: (_i32, 4), RIP: (_i32, 4)}

Form = tuple[int, int, int, int, int]
"""A ModRM byte: reg, rm or -1, base, index, what follows."""


class _Forms(dict[int, Form]):
    """ModRM bytes with REX's R, X and B above them, for 32- and 64-bit addresses."""

    def __init__(self, mode: int, none: int) -> None:
        super().__init__()
        self.none = none
        self.direct = RIP if mode == 64 else DISP32

    def __missing__(self, key: int) -> Form:
        mod, reg, rm = _split(key)
        if mod == 3:
            form = (reg, rm, self.none, self.none, NO_MORE)
        elif rm & 7 == 4:
            form = (reg, -1, self.none, self.none, SIB + mod)
        elif mod == 0 and rm & 7 == 5:
            form = (reg, -1, self.none, self.none, self.direct)
        else:
            form = (reg, -1, rm, self.none, mod)
        self[key] = form
        return form


class _Forms16(_Forms):
    """The same for 16-bit addresses (SDM vol. 2, table 2-1)."""

    BASES = ((3, 6), (3, 7), (5, 6), (5, 7), (6, None), (7, None), (5, None), (3, None))

    def __missing__(self, key: int) -> Form:
        mod, reg, rm = _split(key)
        base, index = self.BASES[rm & 7]
        if mod == 3:
            form = (reg, rm, self.none, self.none, NO_MORE)
        elif mod == 0 and rm & 7 == 6:
            form = (reg, -1, self.none, self.none, DISP16)
        else:
            follows = (NO_MORE, DISP8, DISP16)[mod]
            form = (reg, -1, base, self.none if index is None else index, follows)
        self[key] = form
        return form


class _Sibs(dict[int, tuple[int, int, int]]):
    """SIB bytes with REX's X and B above them: base, index, scale."""

    def __init__(self, none: int) -> None:
        super().__init__()
        self.none = none

    def __missing__(self, key: int) -> tuple[int, int, int]:
        index = key >> 3 & 7 | key >> 6 & 8
        form = (key & 7 | key >> 5 & 8, self.none if index == 4 else index, key >> 6 & 3)
        self[key] = form
        return form


def _split(key: int) -> tuple[int, int, int]:
    """ModRM's mod, reg and rm, with REX's R and B."""
    return key >> 6 & 3, key >> 3 & 7 | key >> 7 & 8, key & 7 | key >> 5 & 8


def make_forms(mode: int, none: int) -> tuple[dict[int, Form], dict[int, Form]]:
    """What ModRM bytes say with addresses of 32 or 64 bits, and with those of 16."""
    return _Forms(mode, none), _Forms16(mode, none)


def make_decoder(mode: int, dispatch: Dispatch, none: int = 0) -> Decode:  # noqa: C901
    """decode(code, at, pc) for 16-, 32- or 64-bit code.

    `none` stands for no register in an address, if it is not to be the number after the last one.
    """
    first, vex_maps = dispatch
    registers = 16 if mode == 64 else 8
    none = none or registers
    wide, word = _Forms(mode, none), _Forms16(mode, none)
    sibs = _Sibs(none)
    usual = (8, wide) if mode == 64 else (4, wide) if mode == 32 else (2, word)
    other = (2, word) if mode == 32 else (4, wide)
    make = tuple.__new__

    def decode(code: bytes, at: int, pc: int) -> Decoded | None:  # noqa: C901
        rex = opsize = segment = lock = rep = vvvv = 0
        reg = scale = disp = imm = imm2 = 0
        rm = -1
        base = index = none
        addrsize, forms = usual
        i = at + 1
        try:
            opcode = code[at]
            kind, payload = first[opcode]
            while kind > BY_MODRM:
                if kind == BY_PREFIX:
                    kind, payload = payload[rep or opsize]
                    continue
                if kind == BY_REXB:
                    kind, payload = payload[rex & 1]
                    continue
                if kind == ILLEGAL:
                    return None
                if kind == VEX:
                    if payload is not None and code[i] < 0xC0:  # LDS, LES
                        kind, payload = payload
                        continue
                    if rex or opsize or rep or lock:
                        return None
                    rex, vvvv, i, (kind, payload) = read_vex(code, i, vex_maps)
                    if mode != 64:
                        rex &= 8
                    continue
                opcode = code[i]
                i += 1
                if kind == ESCAPE:
                    kind, payload = payload[opcode]
                    continue
                if kind == REX:
                    rex = payload
                else:
                    rex = 0
                    if kind == OPSIZE:
                        opsize = 1
                    elif kind == REP:
                        rep = payload
                    elif kind == SEGMENT:
                        segment = payload or segment
                    elif kind == ADDRSIZE:
                        addrsize, forms = other
                    else:
                        lock = 1
                kind, payload = first[opcode]

            if kind:
                modrm = code[i]
                i += 1
                reg, rm, base, index, follows = forms[(rex & 7) << 8 | modrm]
                if kind != MODRM:
                    payload = payload[modrm >> 3 if kind == BY_REG else modrm]
                    if payload is None:
                        return None
                if follows:
                    if follows >= SIB:
                        sib = code[i]
                        i += 1
                        base, index, scale = sibs[(rex & 3) << 8 | sib]
                        follows -= SIB
                        if not follows and sib & 7 == 5:
                            base = none
                            follows = DISP32
                    if follows:
                        read, size = DISPLACEMENTS[follows]
                        disp = read(code, i)[0]
                        i += size
            else:
                follows = NO_MORE

            row, sizes, immediate, flags = payload
            opsize = sizes[opsize | rex >> 2 & 2]
            if immediate:
                if immediate <= SIGNED_BYTE:
                    imm = code[i] if immediate == BYTE else _i8(code, i)[0]
                    i += 1
                elif immediate <= TARGET:
                    imm, _, i = IMMEDIATES[immediate](code, i, opsize)
                    imm = pc + i - at + imm & MASKS[opsize]
                elif immediate == OFFSET:
                    disp, _, i = _whole(code, i, addrsize)
                elif immediate == SUFFIX:
                    row = row.get(code[i])
                    i += 1
                    if row is None:
                        return None
                else:
                    imm, imm2, i = IMMEDIATES[immediate](code, i, opsize)
                    if immediate == REGISTER:
                        imm2 &= registers - 1
        except (IndexError, StructError):
            return None

        length = i - at
        if length > LONGEST:
            return None
        if follows == RIP:
            disp = disp + pc + length & MASKS[addrsize]
        if flags or vvvv:
            if flags & LOW_BITS:
                rm = opcode & 7 | (rex & 1) << 3
            if flags & NO_VVVV and vvvv:
                return None
            vvvv &= registers - 1
            if flags & VSIB:
                index = 4 if index == none else index
                if addrsize == 2 or reg in (index, vvvv) or index == vvvv:
                    return None
            if flags & LOW_REG:
                reg &= 7
            if flags & LOW_RM and rm > 7:
                rm &= 7
        if lock and (not flags & LOCKABLE or rm >= 0):
            return None
        if rep and not flags & REPEATS:
            rep = 0
        if segment and (not kind or rm >= 0) and not flags & HAS_MEMORY:
            segment = 0
        fields = (
            length, opsize, addrsize, segment, lock, rep, rex >> 6, reg, rm, base, index,
            scale, disp, imm, imm2, vvvv,
        )  # fmt: skip
        return make(Decoded, (row, fields, length))

    return decode


def read_vex(code: bytes, i: int, maps: tuple[tuple[Slot, ...], ...]) -> tuple[int, int, int, Slot]:
    """What a VEX prefix says: REX's lower bits, vvvv, where code goes on, and the slot there.

    R, X, B and vvvv are inverted (SDM vol. 2, 2.3.5).
    """
    first, byte = code[i - 1], code[i]
    rex, number = byte >> 5 & 4 ^ 4, 1
    if first == 0xC4:
        rex, number = byte >> 5 ^ 7, byte & 31
        i += 1
        byte = code[i]
        rex |= byte >> 4 & 8
    if not 1 <= number <= len(maps):
        return 0, 0, i, (ILLEGAL, None)
    kind, payload = maps[number - 1][code[i + 1]]
    if kind == BY_VEX:
        payload = payload[(byte & 7) << 1 | rex >> 3]
        kind, payload = payload
    return rex, byte >> 3 & 15 ^ 15, i + 2, (kind, payload)


def _byte(code: bytes, i: int, _: int) -> tuple[int, int, int]:
    return _i8(code, i)[0], 0, i + 1


def _operand(code: bytes, i: int, opsize: int) -> tuple[int, int, int]:
    """Iz: as wide as the operand, but at most 32 bits."""
    if opsize == 2:
        return _i16(code, i)[0], 0, i + 2
    return _i32(code, i)[0], 0, i + 4


def _word(code: bytes, i: int, _: int) -> tuple[int, int, int]:
    return _u16(code, i)[0], 0, i + 2


def _whole(code: bytes, i: int, size: int) -> tuple[int, int, int]:
    """Iv, and the addresses of O."""
    if size == 8:
        return _i64(code, i)[0], 0, i + 8
    return _operand(code, i, size)


def _word_byte(code: bytes, i: int, _: int) -> tuple[int, int, int]:
    return _u16(code, i)[0], code[i + 2], i + 3


def _far(code: bytes, i: int, opsize: int) -> tuple[int, int, int]:
    """A far pointer: the offset, then the selector."""
    if opsize == 2:
        return _u16(code, i)[0], _u16(code, i + 2)[0], i + 4
    return _u32(code, i)[0], _u16(code, i + 4)[0], i + 6


def _register(code: bytes, i: int, _: int) -> tuple[int, int, int]:
    """is4: a register in the upper half of a byte."""
    return code[i] & 15, code[i] >> 4, i + 1


def _two_bytes(code: bytes, i: int, _: int) -> tuple[int, int, int]:
    return code[i], code[i + 1], i + 2


IMMEDIATES: dict[int, Callable[[bytes, int, int], tuple[int, int, int]]] = {
    TARGET_BYTE: _byte,
    TARGET: _operand,
    OPERAND: _operand,
    WORD: _word,
    WHOLE: _whole,
    WORD_BYTE: _word_byte,
    FAR: _far,
    REGISTER: _register,
    TWO_BYTES: _two_bytes,
}
"""Immediates that are not read in line: (code, i, size) -> imm, imm2, where code goes on."""
