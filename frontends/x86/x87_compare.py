"""x87 comparisons (SDM vol. 1, 8.3.6): to C3, C2, C0, or to ZF, PF, CF.

FCOM finds any NaN invalid, FUCOM only signalling ones; the host's own comparison, which is a quiet
one, sees to the latter.
"""

from __future__ import annotations

from frontends.insn import insn
from frontends.x86 import fpu
from frontends.x86.context import X86, Field
from frontends.x86.x87_arithmetic import extended, load
from tcg.ir import Value
from tcg.types import F80


def compare(c: X86, x: Value, y: Value, full: Value, is_quiet: bool) -> tuple[Value, Value, Value]:
    """Equal, unordered, less: the first and the last are set too if it is unordered."""
    unordered = x.funo(y) | ~full
    if not is_quiet:
        with c.when(unordered, likely=False):
            fpu.raise_flags(c, fpu.INVALID)
    return x.feq(y) | unordered, unordered, x.flt(y) | unordered


def to_codes(c: X86, operand: Value | Field, is_quiet: bool, pops: int) -> None:
    """C3, C2, C0 <- ST(0) against memory or ST(i)"""
    fpu.begin(c)
    if isinstance(operand, Value):
        loaded = load(c, operand)
        taken = fpu.take(c, 0)
        (value,) = taken
        source = extended(c, loaded, taken.full)
    else:
        taken = fpu.take(c, 0, operand)
        value, source = taken
    equal, unordered, less = compare(c, value, source, taken.full, is_quiet)
    fpu.set_codes(c, c3=equal, c2=unordered, c0=less, c1=0)
    with fpu.commit(c):
        fpu.pop(c, pops)


@insn("fcom", "ficom", "fcom2")
def fcom(c: X86, source: Value | Field) -> None:
    """C3, C2, C0 <- ST(0) against the source"""
    to_codes(c, source, False, 0)


@insn("fcomp", "ficomp", "fcomp3", "fcomp5")
def fcomp(c: X86, source: Value | Field) -> None:
    """The same; pop"""
    to_codes(c, source, False, 1)


@insn
def fcompp(c: X86) -> None:
    """ST(0) against ST(1); pop both"""
    to_codes(c, 1, False, 2)


@insn
def fucom(c: X86, source: Field) -> None:
    """C3, C2, C0 <- ST(0) against the source; quiet NaNs are just unordered"""
    to_codes(c, source, True, 0)


@insn
def fucomp(c: X86, source: Field) -> None:
    """The same; pop"""
    to_codes(c, source, True, 1)


@insn
def fucompp(c: X86) -> None:
    """ST(0) against ST(1); pop both"""
    to_codes(c, 1, True, 2)


@insn
def ftst(c: X86) -> None:
    """ST(0) against 0"""
    fpu.begin(c)
    taken = fpu.take(c, 0)
    (value,) = taken
    equal, unordered, less = compare(c, value, c.const(F80, 0), taken.full, False)
    fpu.set_codes(c, c3=equal, c2=unordered, c0=less, c1=0)


def to_flags(c: X86, target: Field, source: Field, is_quiet: bool, pops: int) -> None:
    """ZF, PF, CF <- ST(0) against ST(i); OF, SF, AF <- 0"""
    fpu.begin(c)
    taken = fpu.take(c, target, source)
    x, y = taken
    equal, unordered, less = compare(c, x, y, taken.full, is_quiet)
    fpu.set_codes(c, c1=0)
    c.flags.set(zf=equal, cf=less, of=0, sf=0, af=0)
    c.flags.set_parity(unordered)
    with fpu.commit(c):
        fpu.pop(c, pops)


@insn
def fcomi(c: X86, target: Field, source: Field) -> None:
    """ZF, PF, CF <- ST(0) against ST(i)"""
    to_flags(c, target, source, False, 0)


@insn
def fcomip(c: X86, target: Field, source: Field) -> None:
    """The same; pop"""
    to_flags(c, target, source, False, 1)


@insn
def fucomi(c: X86, target: Field, source: Field) -> None:
    """ZF, PF, CF <- ST(0) against ST(i); quiet NaNs are just unordered"""
    to_flags(c, target, source, True, 0)


@insn
def fucomip(c: X86, target: Field, source: Field) -> None:
    """The same; pop"""
    to_flags(c, target, source, True, 1)


@insn
def fxam(c: X86) -> None:
    """C3, C2, C0 <- the class of ST(0), C1 <- its sign; an empty register has a class too"""
    fpu.begin(c)
    register = fpu.number(c, 0)
    codes = fpu.codes_of(c, fpu.function(c, "class", c.get_file(c.state.fpr, register)))
    empty = ~fpu.is_full(c, register)
    fpu.set_codes(
        c, c0=codes["c0"] | empty, c1=codes["c1"], c2=codes["c2"] & ~empty, c3=codes["c3"] | empty
    )
