"""Fixed-point loads and stores, also byte-reversed and multiple: Book I, 3.3.2 to 3.3.5.

An access comes before every write to a register, so that an instruction whose access faults has
not happened.
"""

from __future__ import annotations

from collections.abc import Callable

from frontends.insn import Semantics, insn
from frontends.ppc.context import BYTE, HALF, HALF_REVERSED, WORD, WORD_REVERSED, Field, Ppc
from tcg.ir import Access, Value

Widen = Callable[[Ppc, Value], Value]


def with_zeros(c: Ppc, value: Value) -> Value:
    return value.zext(c.word)


def with_sign(c: Ppc, value: Value) -> Value:
    return value.sext(c.word)


def loads(name: str, access: Access, widen: Widen = with_zeros) -> tuple[Semantics, ...]:
    """The four forms of a load: displacement, with update, indexed, indexed with update."""

    @insn(name)
    def displaced(c: Ppc, rt: Field, ra: Field, d: Field) -> None:
        """rT <- MEM((rA|0) + D)"""
        c.gpr[rt] = widen(c, c.load(access, c.address(ra, d)))

    @insn(name + "u")
    def updating(c: Ppc, rt: Field, ra: Field, d: Field) -> None:
        """EA <- (rA) + D; rT <- MEM(EA); rA <- EA"""
        ea = c.gpr[ra] + d
        c.gpr[rt] = widen(c, c.load(access, ea))
        c.gpr[ra] = ea

    return displaced, updating, *indexed_loads(name, access, widen)


def indexed_loads(
    name: str, access: Access, widen: Widen = with_zeros
) -> tuple[Semantics, Semantics]:
    """The two indexed forms of a load."""

    @insn(name + "x")
    def indexed(c: Ppc, rt: Field, ra: Field, rb: Field) -> None:
        """rT <- MEM((rA|0) + (rB))"""
        c.gpr[rt] = widen(c, c.load(access, c.address(ra, c.gpr[rb])))

    @insn(name + "ux")
    def updating(c: Ppc, rt: Field, ra: Field, rb: Field) -> None:
        """EA <- (rA) + (rB); rT <- MEM(EA); rA <- EA"""
        ea = c.gpr[ra] + c.gpr[rb]
        c.gpr[rt] = widen(c, c.load(access, ea))
        c.gpr[ra] = ea

    return indexed, updating


def stores(name: str, access: Access) -> tuple[Semantics, ...]:
    """The four forms of a store: displacement, with update, indexed, indexed with update."""

    @insn(name)
    def displaced(c: Ppc, rs: Field, ra: Field, d: Field) -> None:
        """MEM((rA|0) + D) <- (rS)"""
        c.store(access, c.address(ra, d), c.gpr[rs].trunc(access.type))

    @insn(name + "u")
    def updating(c: Ppc, rs: Field, ra: Field, d: Field) -> None:
        """EA <- (rA) + D; MEM(EA) <- (rS); rA <- EA"""
        ea = c.gpr[ra] + d
        c.store(access, ea, c.gpr[rs].trunc(access.type))
        c.gpr[ra] = ea

    return displaced, updating, *indexed_stores(name, access)


def indexed_stores(name: str, access: Access) -> tuple[Semantics, Semantics]:
    """The two indexed forms of a store."""

    @insn(name + "x")
    def indexed(c: Ppc, rs: Field, ra: Field, rb: Field) -> None:
        """MEM((rA|0) + (rB)) <- (rS)"""
        c.store(access, c.address(ra, c.gpr[rb]), c.gpr[rs].trunc(access.type))

    @insn(name + "ux")
    def updating(c: Ppc, rs: Field, ra: Field, rb: Field) -> None:
        """EA <- (rA) + (rB); MEM(EA) <- (rS); rA <- EA"""
        ea = c.gpr[ra] + c.gpr[rb]
        c.store(access, ea, c.gpr[rs].trunc(access.type))
        c.gpr[ra] = ea

    return indexed, updating


lbz, lbzu, lbzx, lbzux = loads("lbz", BYTE)
lhz, lhzu, lhzx, lhzux = loads("lhz", HALF)
lha, lhau, lhax, lhaux = loads("lha", HALF, with_sign)
lwz, lwzu, lwzx, lwzux = loads("lwz", WORD)

stb, stbu, stbx, stbux = stores("stb", BYTE)
sth, sthu, sthx, sthux = stores("sth", HALF)
stw, stwu, stwx, stwux = stores("stw", WORD)

lhbrx, _ = indexed_loads("lhbr", HALF_REVERSED)
lwbrx, _ = indexed_loads("lwbr", WORD_REVERSED)
sthbrx, _ = indexed_stores("sthbr", HALF_REVERSED)
stwbrx, _ = indexed_stores("stwbr", WORD_REVERSED)
del _  # byte-reversed accesses have no forms with update


@insn
def lmw(c: Ppc, rt: Field, ra: Field, d: Field) -> None:
    """rT to r31 <- consecutive words from EA = (rA|0) + D"""
    ea = c.address(ra, d)
    for i, r in enumerate(range(int(rt), 32)):
        c.gpr[r] = c.load(WORD, ea + 4 * i if i else ea).zext(c.word)


@insn
def stmw(c: Ppc, rs: Field, ra: Field, d: Field) -> None:
    """Consecutive words from EA = (rA|0) + D <- rS to r31"""
    ea = c.address(ra, d)
    for i, r in enumerate(range(int(rs), 32)):
        c.store(WORD, ea + 4 * i if i else ea, c.gpr[r].trunc(WORD.type))
