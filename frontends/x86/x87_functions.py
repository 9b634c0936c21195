"""x87's functions: remainders, scaling, sines, logarithms (SDM vol. 1, 8.3.6 to 8.3.9)."""

from __future__ import annotations

from frontends.insn import insn
from frontends.x86 import fpu
from frontends.x86.context import X86
from tcg.ir import Value


def unary(c: X86, name: str) -> None:
    """ST(0) <- function of ST(0)"""
    fpu.begin(c)
    taken = fpu.take(c, 0)
    result = taken.result(fpu.function(c, name, *taken))
    with fpu.commit(c):
        fpu.set_codes(c, c1=0)
        fpu.write(c, 0, result)


@insn
def f2xm1(c: X86) -> None:
    """ST(0) <- 2**ST(0) - 1"""
    unary(c, "exp2m1")


def binary(c: X86, name: str) -> None:
    """ST(1) <- function of ST(1) and ST(0); pop"""
    fpu.begin(c)
    taken = fpu.take(c, 1, 0)
    result = taken.result(fpu.function(c, name, *taken))
    with fpu.commit(c):
        fpu.set_codes(c, c1=0)
        fpu.write(c, 1, result)
        fpu.pop(c)


@insn
def fyl2x(c: X86) -> None:
    """ST(1) <- ST(1) * log2(ST(0)); pop"""
    binary(c, "ylog2x")


@insn
def fyl2xp1(c: X86) -> None:
    """ST(1) <- ST(1) * log2(ST(0) + 1); pop"""
    binary(c, "ylog2xp1")


@insn
def fpatan(c: X86) -> None:
    """ST(1) <- arctan(ST(1) / ST(0)); pop"""
    binary(c, "arctan")


@insn
def fscale(c: X86) -> None:
    """ST(0) <- ST(0) * 2**(ST(1) without its fraction)"""
    fpu.begin(c)
    taken = fpu.take(c, 0, 1)
    result = taken.result(fpu.function(c, "scale", *taken))
    with fpu.commit(c):
        fpu.set_codes(c, c1=0)
        fpu.write(c, 0, result)


def remainder(c: X86, name: str) -> None:
    """ST(0) <- remainder of ST(0) / ST(1); C2 if it is not finished, else the quotient's bits

    What is no number leaves C0 and C3 alone.
    """
    fpu.begin(c)
    taken = fpu.take(c, 0, 1)
    result = fpu.function(c, name, *taken)
    codes = fpu.codes_of(c, result)
    is_number = ~result.funo(result)
    for code in ("c1", "c2"):
        codes[code] = codes[code] & is_number
    for code in ("c0", "c3"):
        codes[code] = c.select(is_number, codes[code], c.get(c.slots[f"fpu_{code}"]))
    with fpu.commit(c):
        fpu.set_codes(c, **codes)
        fpu.write(c, 0, taken.result(result))


@insn
def fprem(c: X86) -> None:
    """The remainder of a quotient that is cut"""
    remainder(c, "rem")


@insn
def fprem1(c: X86) -> None:
    """The remainder of a quotient that is rounded, as IEEE 754 has it"""
    remainder(c, "ieeerem")


def angle(c: X86, name: str, pushes: bool = False) -> tuple[Value, Value, fpu.Taken]:
    """A function of ST(0), and whether that is out of range: then C2 is set and nothing happens."""
    fpu.begin(c)
    fpu.set_codes(c, c1=0)
    taken = fpu.take_with_room(c, 0) if pushes else fpu.take(c, 0)
    result = fpu.function(c, name, *taken)
    outside = fpu.codes_of(c, result)["c2"]
    fpu.set_codes(c, c2=outside)
    return taken.result(result), outside, taken


@insn
def fsin(c: X86) -> None:
    """ST(0) <- sin ST(0)"""
    result, _, _ = angle(c, "sin")
    with fpu.commit(c):
        fpu.write(c, 0, result)


@insn
def fcos(c: X86) -> None:
    """ST(0) <- cos ST(0)"""
    result, _, _ = angle(c, "cos")
    with fpu.commit(c):
        fpu.write(c, 0, result)


def leave_outside(c: X86, outside: Value) -> None:
    """The stack is as it was for an operand that is too large, so nothing follows in step."""
    c.goto(c.next_pc, outside, hint="leave", likely=False)


@insn
def fptan(c: X86) -> None:
    """ST(0) <- tan ST(0); push 1, or once more what is no number"""
    result, outside, _ = angle(c, "tan", pushes=True)
    leave_outside(c, outside)
    with fpu.commit(c):
        fpu.write(c, 0, result)
        fpu.put_on_top(c, c.select(result.funo(result), result, fpu.ONE))


@insn
def fsincos(c: X86) -> None:
    """ST(0) <- sin ST(0); push the cosine"""
    result, outside, taken = angle(c, "sin", pushes=True)
    leave_outside(c, outside)
    with fpu.commit(c):
        fpu.write(c, 0, result)
        fpu.put_on_top(c, taken.result(fpu.function(c, "cos", *taken)))


@insn
def fxtract(c: X86) -> None:
    """ST(0) <- the exponent of ST(0); push the significand"""
    fpu.begin(c)
    fpu.set_codes(c, c1=0)
    taken = fpu.take_with_room(c, 0)
    significand = fpu.function(c, "significand", *taken)
    exponent = fpu.function(c, "exponent", *taken)
    with fpu.commit(c):
        fpu.write(c, 0, taken.result(exponent))
        fpu.put_on_top(c, taken.result(significand))
