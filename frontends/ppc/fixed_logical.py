"""Fixed-point logical instructions: Book I, 3.3.11."""

from __future__ import annotations

from collections.abc import Callable

from frontends.insn import Semantics, insn
from frontends.ppc.context import Field, Ppc
from tcg.ir import Value
from tcg.types import I8, I16

Meaning = Callable[[Value, Value], Value]


def register_form(name: str, meaning: Meaning) -> Semantics:
    """rA <- meaning of (rS), (rB); CR0 if Rc"""

    @insn(name)
    def logical(c: Ppc, rs: Field, ra: Field, rb: Field, rc: Field) -> None:
        c.set_result(ra, meaning(c.gpr[rs], c.gpr[rb]), rc)

    return logical


# fmt: off
and_ = register_form("and",  lambda s, b: s & b)
xor  = register_form("xor",  lambda s, b: s ^ b)
nand = register_form("nand", lambda s, b: ~(s & b))
nor  = register_form("nor",  lambda s, b: ~(s | b))
eqv  = register_form("eqv",  lambda s, b: ~(s ^ b))
andc = register_form("andc", lambda s, b: s & ~b)
orc  = register_form("orc",  lambda s, b: s | ~b)
# fmt: on


@insn
def or_(c: Ppc, rs: Field, ra: Field, rb: Field, rc: Field) -> None:
    """rA <- (rS) | (rB); with equal sources it is `mr`, by far its commonest use"""
    result = c.gpr[rs]
    if rs != rb:
        result = result | c.gpr[rb]
    c.set_result(ra, result, rc)


def immediate_form(name: str, meaning: Meaning, shift: int = 0, rc: bool = False) -> Semantics:
    """rA <- meaning of (rS), UI (or UI || 0x0000); CR0 if the mnemonic has a dot"""

    @insn(name)
    def logical(c: Ppc, rs: Field, ra: Field, ui: Field) -> None:
        c.set_result(ra, meaning(c.gpr[rs], c.value(c.word, ui << shift if shift else ui)), rc)

    return logical


# fmt: off
andi_rc  = immediate_form("andi_rc",  lambda s, u: s & u, rc=True)
andis_rc = immediate_form("andis_rc", lambda s, u: s & u, 16, rc=True)
ori      = immediate_form("ori",      lambda s, u: s | u)
oris     = immediate_form("oris",     lambda s, u: s | u, 16)
xori     = immediate_form("xori",     lambda s, u: s ^ u)
xoris    = immediate_form("xoris",    lambda s, u: s ^ u, 16)
# fmt: on


def unary_form(name: str, meaning: Callable[[Value], Value]) -> Semantics:
    """rA <- meaning of (rS); CR0 if Rc"""

    @insn(name)
    def unary(c: Ppc, rs: Field, ra: Field, rc: Field) -> None:
        c.set_result(ra, meaning(c.gpr[rs]), rc)

    return unary


extsb = unary_form("extsb", lambda s: s.trunc(I8).sext(s.type))
extsh = unary_form("extsh", lambda s: s.trunc(I16).sext(s.type))
cntlzw = unary_form("cntlzw", lambda s: s.clz())


@insn
def popcntb(c: Ppc, rs: Field, ra: Field) -> None:
    """Each byte of rA <- number of one bits in that byte of (rS)"""
    value = c.gpr[rs]
    for shift, mask in ((1, 0x55), (2, 0x33), (4, 0x0F)):
        lanes = int.from_bytes(bytes((mask,)) * (c.width // 8), "big")
        value = (value & lanes) + (value >> shift & lanes)
    c.gpr[ra] = value
