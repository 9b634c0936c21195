"""x87 arithmetic (SDM vol. 1, 8.3.5): the host's unit rounds, to as many bits as FCW says."""

from __future__ import annotations

from collections.abc import Callable

from frontends.insn import insn
from frontends.x86 import fpu
from frontends.x86.context import X86, Field
from tcg.ir import Value
from tcg.types import F32, F64, F80, I16, I32, I64, Type

FLOATS: dict[str, Type] = {"d": F32, "q": F64, "t": F80}
INTEGERS: dict[str, Type] = {"w": I16, "d": I32, "q": I64}
"""The type of a memory operand by the size that its row gives."""


def memory_type(c: X86) -> Type:
    """What the row's memory operand holds: fi... are for integers."""
    size = c.row.operands[0].size
    return INTEGERS[size] if c.row.name.startswith("fi") else FLOATS[size]


def load(c: X86, address: Value) -> Value:
    """A memory operand as it is there."""
    return c.load_le(memory_type(c), address)


def extended(c: X86, value: Value, matters: Value) -> Value:
    """A memory operand as an extended float; 0, of which nothing comes, if it does not matter."""
    if value.type is F80:
        return value
    value = c.select(matters, value, 0)
    return value.fext(F80) if value.type.is_float else value.sitof(F80)


Binary = Callable[[Value, Value], Value]


def combine(c: X86, operands: tuple[Value | Field, ...], compute: Binary, pops: int = 0) -> None:
    """Target <- compute(target, source); with memory the target is ST(0)."""
    fpu.begin(c)
    target: Field = 0
    if isinstance(operands[0], Value):
        loaded = load(c, operands[0])
        taken = fpu.take(c, 0)
        (old,) = taken
        source = extended(c, loaded, taken.full)
    else:
        target, number = (operand for operand in operands if not isinstance(operand, Value))
        taken = fpu.take(c, target, number)
        old, source = taken
    result = taken.result(compute(old, source))
    with fpu.commit(c):
        fpu.set_codes(c, c1=0)
        fpu.write(c, target, result)
        fpu.pop(c, pops)


@insn("fadd", "fiadd")
def fadd(c: X86, *operands: Value | Field) -> None:
    """target <- target + source"""
    combine(c, operands, lambda x, y: x.fadd(y))


@insn("fmul", "fimul")
def fmul(c: X86, *operands: Value | Field) -> None:
    """target <- target * source"""
    combine(c, operands, lambda x, y: x.fmul(y))


@insn("fsub", "fisub")
def fsub(c: X86, *operands: Value | Field) -> None:
    """target <- target - source"""
    combine(c, operands, lambda x, y: x.fsub(y))


@insn("fsubr", "fisubr")
def fsubr(c: X86, *operands: Value | Field) -> None:
    """target <- source - target"""
    combine(c, operands, lambda x, y: y.fsub(x))


@insn("fdiv", "fidiv")
def fdiv(c: X86, *operands: Value | Field) -> None:
    """target <- target / source"""
    combine(c, operands, lambda x, y: x.fdiv(y))


@insn("fdivr", "fidivr")
def fdivr(c: X86, *operands: Value | Field) -> None:
    """target <- source / target"""
    combine(c, operands, lambda x, y: y.fdiv(x))


@insn
def faddp(c: X86, *operands: Value | Field) -> None:
    """target <- target + source; pop"""
    combine(c, operands, lambda x, y: x.fadd(y), pops=1)


@insn
def fmulp(c: X86, *operands: Value | Field) -> None:
    """target <- target * source; pop"""
    combine(c, operands, lambda x, y: x.fmul(y), pops=1)


@insn
def fsubp(c: X86, *operands: Value | Field) -> None:
    """target <- target - source; pop"""
    combine(c, operands, lambda x, y: x.fsub(y), pops=1)


@insn
def fsubrp(c: X86, *operands: Value | Field) -> None:
    """target <- source - target; pop"""
    combine(c, operands, lambda x, y: y.fsub(x), pops=1)


@insn
def fdivp(c: X86, *operands: Value | Field) -> None:
    """target <- target / source; pop"""
    combine(c, operands, lambda x, y: x.fdiv(y), pops=1)


@insn
def fdivrp(c: X86, *operands: Value | Field) -> None:
    """target <- source / target; pop"""
    combine(c, operands, lambda x, y: y.fdiv(x), pops=1)


def change(c: X86, compute: Callable[[Value], Value]) -> None:
    """ST(0) <- compute(ST(0))"""
    fpu.begin(c)
    taken = fpu.take(c, 0)
    result = taken.result(compute(*taken))
    with fpu.commit(c):
        fpu.set_codes(c, c1=0)
        fpu.write(c, 0, result)


@insn
def fsqrt(c: X86) -> None:
    """ST(0) <- its square root"""
    change(c, lambda x: x.fsqrt())


@insn
def frndint(c: X86) -> None:
    """ST(0) <- ST(0) without a fraction, as RC says"""
    change(c, lambda x: x.frint())


@insn
def fabs(c: X86) -> None:
    """ST(0) <- ST(0) without its sign"""
    change(c, lambda x: x.fabs())


@insn
def fchs(c: X86) -> None:
    """ST(0) <- -ST(0)"""
    change(c, lambda x: x.fneg())
