"""Floating-point loads and stores: Book I, 4.6.2 and 4.6.3.

Doubles go as they are.  Singles are widened and narrowed without arithmetic: signalling NaNs stay
signalling, nothing is rounded, no exception is noticed.
"""

from __future__ import annotations

from collections.abc import Callable

from frontends.insn import Semantics, insn
from frontends.ppc.context import FLOAT, WORD, Field, Ppc
from frontends.ppc.float_nan import INFINITY, MAGNITUDE
from tcg.build import Builder
from tcg.ir import Helper, Operand, Value
from tcg.types import F32, F64, I32, I64

Access = Callable[[Ppc, Field, Value], None]


def load_double(c: Ppc, frt: Field, ea: Value) -> None:
    """frT <- MEM(EA, 8)"""
    c.fpr[frt] = c.load(FLOAT, ea)


def load_single(c: Ppc, frt: Field, ea: Value) -> None:
    """frT <- DOUBLE(MEM(EA, 4)).  The host's conversion does not keep signalling NaNs."""
    word = c.load(WORD, ea)
    value = word.bitcast(F32).fext(F64)
    c.fpr[frt] = value
    with c.when(value.funo(value), likely=False):
        wide = word.zext(I64)
        sign, payload = (wide & 0x8000_0000) << 32, (wide & 0x7FFF_FFFF) << 29
        c.fpr[frt] = (sign | payload | INFINITY).bitcast(F64)


def store_double(c: Ppc, frs: Field, ea: Value) -> None:
    """MEM(EA, 8) <- (frS)"""
    c.store(FLOAT, ea, c.fpr[frs])


def _denormal_single(b: Builder, params: tuple[Value, ...]) -> Value:
    number = params[0]
    exponent = number >> 52 & 0x7FF
    fraction = number & (1 << 52) - 1 | 1 << 52
    shifted = b.select(exponent.ult(874), 0, fraction >> 926 - exponent)
    return (number >> 32 & 0x8000_0000 | shifted).trunc(I32)


DENORMAL_SINGLE = Helper("ppc_denormal_single", (I64,), I32, _denormal_single)
"""SINGLE(x) for doubles below the normal singles; what is below all singles becomes zero."""


def store_single(c: Ppc, frs: Field, ea: Value) -> None:
    """MEM(EA, 4) <- SINGLE((frS)): sign and exponent without three of its bits, then fraction"""
    number = c.fpr[frs].bitcast(I64)
    word = c.local(I32)
    c.put(word, (number >> 32 & 0xC000_0000 | number >> 29 & 0x3FFF_FFFF).trunc(I32))
    is_tiny = ((number & MAGNITUDE) - 1).ult((897 << 52) - 1)
    with c.when(is_tiny, likely=False):
        c.put(word, c.call(DENORMAL_SINGLE, number))
    c.store(WORD, ea, c.get(word))


def loads(name: str, read: Access) -> tuple[Semantics, ...]:
    """The four forms of a load: displacement, with update, indexed, indexed with update."""

    @insn(name)
    def displaced(c: Ppc, frt: Field, ra: Field, d: Field) -> None:
        read(c, frt, c.address(ra, d))

    @insn(name + "u")
    def updating(c: Ppc, frt: Field, ra: Field, d: Field) -> None:
        update(c, ra, d, frt, read)

    @insn(name + "x")
    def indexed(c: Ppc, frt: Field, ra: Field, rb: Field) -> None:
        read(c, frt, c.address(ra, c.gpr[rb]))

    @insn(name + "ux")
    def indexed_updating(c: Ppc, frt: Field, ra: Field, rb: Field) -> None:
        update(c, ra, c.gpr[rb], frt, read)

    return displaced, updating, indexed, indexed_updating


def stores(name: str, write: Access) -> tuple[Semantics, ...]:
    """The four forms of a store: displacement, with update, indexed, indexed with update."""

    @insn(name)
    def displaced(c: Ppc, frs: Field, ra: Field, d: Field) -> None:
        write(c, frs, c.address(ra, d))

    @insn(name + "u")
    def updating(c: Ppc, frs: Field, ra: Field, d: Field) -> None:
        update(c, ra, d, frs, write)

    @insn(name + "x")
    def indexed(c: Ppc, frs: Field, ra: Field, rb: Field) -> None:
        write(c, frs, c.address(ra, c.gpr[rb]))

    @insn(name + "ux")
    def indexed_updating(c: Ppc, frs: Field, ra: Field, rb: Field) -> None:
        update(c, ra, c.gpr[rb], frs, write)

    return displaced, updating, indexed, indexed_updating


def update(c: Ppc, ra: Field, offset: Operand, fr: Field, access: Access) -> None:
    """EA <- (rA) + offset; the access; rA <- EA"""
    ea = c.gpr[ra] + offset
    access(c, fr, ea)
    c.gpr[ra] = ea


lfs, lfsu, lfsx, lfsux = loads("lfs", load_single)
lfd, lfdu, lfdx, lfdux = loads("lfd", load_double)
stfs, stfsu, stfsx, stfsux = stores("stfs", store_single)
stfd, stfdu, stfdx, stfdux = stores("stfd", store_double)


@insn
def stfiwx(c: Ppc, frs: Field, ra: Field, rb: Field) -> None:
    """MEM((rA|0) + (rB), 4) <- (frS)32:63"""
    number = c.fpr[frs].bitcast(I64).trunc(I32)
    c.store(WORD, c.address(ra, c.gpr[rb]), number)
