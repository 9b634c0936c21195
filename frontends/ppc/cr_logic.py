"""Condition register logic, and moves between CR, XER and the general registers.

Book I, 2.5 and 3.3.13.
"""

from __future__ import annotations

from collections.abc import Callable

from frontends.insn import Semantics, insn
from frontends.ppc.context import Field, Ppc
from tcg.fields import field_function
from tcg.ir import Value


def cr_operation(name: str, meaning: Callable[[Value, Value], Value]) -> Semantics:
    """CR[BT] <- meaning of CR[BA], CR[BB]"""

    @insn(name)
    def operation(c: Ppc, bt: Field, ba: Field, bb: Field) -> None:
        c.crb[bt] = meaning(c.crb[ba], c.crb[bb])

    return operation


# fmt: off
crand  = cr_operation("crand",  lambda a, b: a & b)
cror   = cr_operation("cror",   lambda a, b: a | b)
crxor  = cr_operation("crxor",  lambda a, b: a ^ b)
crnand = cr_operation("crnand", lambda a, b: ~(a & b))
crnor  = cr_operation("crnor",  lambda a, b: ~(a | b))
creqv  = cr_operation("creqv",  lambda a, b: ~(a ^ b))
crandc = cr_operation("crandc", lambda a, b: a & ~b)
crorc  = cr_operation("crorc",  lambda a, b: a | ~b)
# fmt: on


@insn
def mcrf(c: Ppc, crfd: Field, crfs: Field) -> None:
    """CR[BF] <- CR[BFA]"""
    lt, gt, eq, so = c.cr_field(crfs)
    c.set_cr(crfd, lt, gt, eq, so)


@insn
def mcrxr(c: Ppc, crfd: Field) -> None:
    """CR[BF] <- XER.SO, OV, CA, 0; they become 0"""
    c.set_cr(crfd, c.so, c.ov, c.ca, 0)
    c.so = c.ov = c.ca = 0


@insn
def mfcr(c: Ppc, rt: Field) -> None:
    """rT <- CR"""
    c.gpr[rt] = c.flags_word([(c.crb[i], 31 - i) for i in range(32)]).zext(c.word)


@field_function
def chosen_field(crm: int) -> int:
    """The CR field whose bit is set in a mask (the first one, where the manual allows only one)."""
    return 8 - crm.bit_length() if crm else 0


@field_function
def chosen_shift(crm: int) -> int:
    """How far that field is from the right end of CR."""
    return 4 * (crm.bit_length() - 1) if crm else 0


@insn
def mfocrf(c: Ppc, rt: Field, crm: Field) -> None:
    """rT <- the one field of CR that FXM names, in its place; the other bits are undefined"""
    lt, gt, eq, so = c.cr_field(chosen_field(crm))
    nibble = c.flags_word([(lt, 3), (gt, 2), (eq, 1), (so, 0)])
    c.gpr[rt] = nibble.zext(c.word) << chosen_shift(crm)


def set_cr_fields(c: Ppc, rs: Field, fields: range | list[int]) -> None:
    """These fields of CR <- (rS)32:63"""
    value = c.gpr[rs]
    for i in (4 * field + bit for field in fields for bit in range(4)):
        c.crb[i] = c.flag(value, 31 - i)


@insn("mtcrf", "mtocrf")
def mtcrf(c: Ppc, rs: Field, crm: Field) -> None:
    """The fields of CR that FXM names <- theirs in (rS)"""
    mask = int(crm)
    set_cr_fields(c, rs, [field for field in range(8) if mask & 0x80 >> field])
