"""Loads and stores of byte strings: Book I, 3.3.6.

Registers are filled from the left, the last one with zeros behind, and r0 follows r31.  `lswi` and
`stswi` are unrolled by words; `lswx` and `stswx`, whose length is in XER, are loops over bytes.
"""

from __future__ import annotations

from frontends.insn import insn
from frontends.ppc.context import BYTE, HALF, WORD, Field, Ppc
from tcg.ir import Access, Value
from tcg.types import I8, I32

PIECES: dict[int, tuple[tuple[int, Access], ...]] = {
    1: ((0, BYTE),),
    2: ((0, HALF),),
    3: ((0, HALF), (2, BYTE)),
    4: ((0, WORD),),
}
"""How so many bytes of a register are accessed: offset and kind of each access."""


def string_pieces(length: int) -> list[tuple[int, tuple[tuple[int, Access], ...]]]:
    """For each register of a string: its offset in memory and its accesses."""
    return [(at, PIECES[min(4, length - at)]) for at in range(0, length, 4)]


@insn
def lswi(c: Ppc, rt: Field, ra: Field, nb: Field) -> None:
    """rT and those after it <- NB bytes (32 if 0) from (rA|0)"""
    ea = c.gpr_or_zero(ra)
    for at, pieces in string_pieces(int(nb) or 32):
        word = c.const(I32, 0)
        for offset, access in pieces:
            piece = c.load(access, ea + (at + offset)).zext(I32)
            word = word | piece << 32 - 8 * offset - access.type.bits
        c.gpr[(rt + at // 4) % 32] = word.zext(c.word)


@insn
def stswi(c: Ppc, rs: Field, ra: Field, nb: Field) -> None:
    """NB bytes (32 if 0) at (rA|0) <- rS and those after it"""
    ea = c.gpr_or_zero(ra)
    for at, pieces in string_pieces(int(nb) or 32):
        word = c.gpr[(rs + at // 4) % 32].trunc(I32)
        for offset, access in pieces:
            piece = word >> 32 - 8 * offset - access.type.bits
            c.store(access, ea + (at + offset), piece.trunc(access.type))


def byte_place(c: Ppc, first: Field, at: Value) -> tuple[Value, Value]:
    """The register that byte number `at` of a string is in, and how far from its right end."""
    register = (c.value(I32, first) + (at >> 2)) & 31
    return register, (~at & 3) << 3


@insn
def lswx(c: Ppc, rt: Field, ra: Field, rb: Field) -> None:
    """rT and those after it <- XER25:31 bytes from (rA|0) + (rB)"""
    ea = c.address(ra, c.gpr[rb])
    length = c.string_count.zext(I32)
    at = c.local(I32)
    c.put(at, 0)
    with c.loop() as loop:
        done = c.get(at)
        loop.leave_if(done.eq(length))
        byte = c.load(BYTE, ea + done.zext(c.word)).zext(c.word)
        register, shift = byte_place(c, rt, done)
        before = c.select((done & 3).eq(0), 0, c.gpr[register])
        c.gpr[register] = before | byte << shift.zext(c.word)
        c.put(at, done + 1)


@insn
def stswx(c: Ppc, rs: Field, ra: Field, rb: Field) -> None:
    """XER25:31 bytes at (rA|0) + (rB) <- rS and those after it"""
    ea = c.address(ra, c.gpr[rb])
    length = c.string_count.zext(I32)
    at = c.local(I32)
    c.put(at, 0)
    with c.loop() as loop:
        done = c.get(at)
        loop.leave_if(done.eq(length))
        register, shift = byte_place(c, rs, done)
        byte = (c.gpr[register] >> shift.zext(c.word)).trunc(I8)
        c.store(BYTE, ea + done.zext(c.word), byte)
        c.put(at, done + 1)
