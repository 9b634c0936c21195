"""x87 loads, stores, constants, exchanges (SDM vol. 1, 8.3.3, 8.3.4)."""

from __future__ import annotations

from frontends.insn import insn
from frontends.x86 import fpu
from frontends.x86.context import X86, Field
from frontends.x86.x87_arithmetic import extended, load, memory_type
from tcg import ops
from tcg.ir import Value
from tcg.types import F32, F64, F80, I16, I32, I64, Type


@insn("fld", "fild")
def fld(c: X86, source: Value | Field) -> None:
    """push the source, also if it is denormal and that is not masked"""
    fpu.begin(c)
    if isinstance(source, Value):
        loaded = load(c, source)
        fpu.set_codes(c, c1=0)
        has_room = fpu.room(c)
        value = extended(c, loaded, has_room)
        with fpu.commit(c, fpu.INVALID):
            fpu.put_on_top(c, c.select(has_room, value, fpu.INDEFINITE))
    else:
        fpu.set_codes(c, c1=0)
        taken = fpu.take_with_room(c, source)
        with fpu.commit(c):
            fpu.put_on_top(c, taken.result(*taken))


def constant(c: X86, value: Value) -> None:
    """push a constant"""
    fpu.begin(c)
    fpu.push(c, value)


@insn
def fld1(c: X86) -> None:
    """push 1"""
    constant(c, c.const(F80, fpu.ONE))


@insn
def fldz(c: X86) -> None:
    """push 0"""
    constant(c, c.const(F80, 0))


CONSTANTS = {
    "fldpi": "pi",
    "fldl2t": "log2_10",
    "fldl2e": "log2_e",
    "fldlg2": "log10_2",
    "fldln2": "ln_2",
}


@insn(*CONSTANTS)
def fldpi(c: X86) -> None:
    """push a constant that is rounded as RC says"""
    constant(c, fpu.function(c, CONSTANTS[c.row.name]))


def store(c: X86, target: Value | Field, pops: int, how: ops.Op = ops.FTOINT) -> None:
    """Target <- ST(0), converted by `how` if it is an integer in memory."""
    if isinstance(target, Value):
        store_in_memory(c, target, pops, how)
    else:
        fpu.begin(c)
        (value,) = fpu.take(c, 0)
        with fpu.commit(c):
            fpu.set_codes(c, c1=0)
            fpu.write(c, target, value)
            fpu.pop(c, pops)


def store_in_memory(c: X86, target: Value, pops: int, how: ops.Op) -> None:
    """The same to memory.

    No flag may be set by what faults.  Of a conversion that is stored at once the host sees to
    that; the others, which begin with a look at flags, first touch the target.
    """
    type_ = memory_type(c)
    looks = fpu.traps(c)
    with c.when(looks | ~fpu.is_full(c, fpu.number(c, 0)), likely=False):
        c.touch(target, *PARTS[type_])
    fpu.begin(c)
    (value,) = fpu.take(c, 0)
    with c.when(looks, likely=False):
        converted(c, value, type_, how)
    with fpu.commit(c, fpu.BEFORE_STORE):
        c.store_le(target, converted(c, value, type_, how))
        fpu.set_codes(c, c1=0)
        fpu.pop(c, pops)


def converted(c: X86, value: Value, type_: Type, how: ops.Op) -> Value:
    """A register's value as a type in memory; sets flags."""
    if not type_.is_float:
        return c.emit(how, type_, (value,))
    return value if type_ is F80 else value.ftrunc(type_)


PARTS: dict[Type, tuple[Type, ...]] = {
    I16: (I16,), I32: (I32,), I64: (I64,), F32: (I32,), F64: (I64,), F80: (I64, I16),
}  # fmt: skip
"""Integers that are together as long as a type in memory."""


@insn("fst", "fist")
def fst(c: X86, target: Value | Field) -> None:
    """target <- ST(0)"""
    store(c, target, 0)


@insn("fstp", "fistp", "fstp8", "fstp9")
def fstp(c: X86, target: Value | Field) -> None:
    """target <- ST(0); pop"""
    store(c, target, 1)


@insn
def fstpnce(c: X86, target: Field) -> None:
    """ST(i) <- ST(0) unless that is empty, which is no fault here; pop"""
    fpu.begin(c)
    top = fpu.number(c, 0)
    with c.when(fpu.is_full(c, top)):
        fpu.write(c, target, c.get_file(c.state.fpr, top))
    fpu.pop(c)


@insn
def fisttp(c: X86, target: Value) -> None:
    """target <- ST(0) without its fraction; pop"""
    store(c, target, 1, ops.FTOCUT)


@insn("fxch", "fxch4", "fxch7")
def fxch(c: X86, other: Field) -> None:
    """ST(0) <-> ST(i)"""
    fpu.begin(c)
    x, y = fpu.take(c, 0, other)
    with fpu.commit(c):
        fpu.set_codes(c, c1=0)
        fpu.write(c, 0, y)
        fpu.write(c, other, x)


CONDITIONS = {"b": 2, "e": 4, "be": 6, "u": 10}
"""The number (tttn) of what fcmov asks; with an n before it the opposite."""


@insn(*(f"fcmov{n}{name}" for name in CONDITIONS for n in ("", "n")))
def fcmov(c: X86, target: Field, source: Field) -> None:
    """ST(0) <- ST(i) if the condition holds; both must be there in any case"""
    fpu.begin(c)
    taken = fpu.take(c, target, source)
    old, new = taken
    name = c.row.name.removeprefix("fcmov")
    number = CONDITIONS[name] if name in CONDITIONS else CONDITIONS[name[1:]] + 1
    with fpu.commit(c):
        fpu.set_codes(c, c1=0)
        fpu.write(c, target, taken.result(c.select(c.condition(number), new, old)))


@insn
def ffree(c: X86, which: Field) -> None:
    """Empty ST(i)"""
    fpu.begin(c)
    fpu.drain(c, fpu.number(c, which))


@insn
def ffreep(c: X86, which: Field) -> None:
    """Empty ST(i); pop"""
    fpu.begin(c)
    fpu.drain(c, fpu.number(c, which))
    fpu.pop(c)


@insn
def fincstp(c: X86) -> None:
    """TOP <- TOP + 1, tags stay"""
    fpu.begin(c)
    fpu.set_codes(c, c1=0)
    fpu.rotate(c, 1)


@insn
def fdecstp(c: X86) -> None:
    """TOP <- TOP - 1, tags stay"""
    fpu.begin(c)
    fpu.set_codes(c, c1=0)
    fpu.rotate(c, -1)
