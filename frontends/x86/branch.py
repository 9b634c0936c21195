"""Jumps, calls and returns within the flat code segment (SDM vol. 1, 6.4 and 7.3.8)."""

from __future__ import annotations

from frontends.insn import insn
from frontends.x86.context import SIZES, X86, Field
from frontends.x86.state import CX
from tcg.ir import Value


@insn
def jmp(c: X86, target: Field | Value) -> None:
    """rIP <- target: a fixed one, or what a register or memory holds"""
    c.check_near(target)
    if isinstance(target, Value):
        c.jump(c.code_address(target))
    else:
        c.goto(target)


@insn
def jcc(c: X86, target: Field) -> None:
    """rIP <- target if the condition holds"""
    _branch(c, target, c.condition(c.cc))


@insn
def call(c: X86, target: Field | Value) -> None:
    """push the address of the next instruction; rIP <- target"""
    c.check_near(target)
    c.push(c.next_pc_value(int(c.opsize)))
    if isinstance(target, Value):
        c.jump(c.code_address(target), hint="call")
    else:
        c.goto(target, hint="call")


@insn
def ret(c: X86, count: Value | None = None) -> None:
    """rIP <- pop; then `count` bytes of arguments are popped"""
    size = int(c.opsize)
    top = c.stack_pointer()
    target = c.code_address(c.load_le(SIZES[size], c.on_stack(top)))
    c.check_near(target)
    top = top + size
    c.write_stack_pointer(top if count is None else top + count.zext(c.word))
    c.jump(target, hint="return")


@insn
def jcxz(c: X86, target: Field) -> None:
    """rIP <- target if the count register, as wide as addresses are, is zero"""
    _branch(c, target, c.count_register().eq(0))


@insn
def loop(c: X86, target: Field) -> None:
    """Count down; rIP <- target unless zero is reached"""
    _count_down(c, target)


@insn
def loope(c: X86, target: Field) -> None:
    """Count down; rIP <- target unless zero is reached or ZF is clear"""
    _count_down(c, target, c.flags.get("zf"))


@insn
def loopne(c: X86, target: Field) -> None:
    """Count down; rIP <- target unless zero is reached or ZF is set"""
    _count_down(c, target, ~c.flags.get("zf"))


def _branch(c: X86, target: Field, condition: Value) -> None:
    c.check_near(target, condition)
    c.goto(target, condition)


def _count_down(c: X86, target: Field, also: Value | None = None) -> None:
    """Branch unless zero is reached, and only if `also` holds."""
    left = c.count_register() - 1
    goes = left.ne(0) if also is None else left.ne(0) & also
    c.check_near(target, goes)
    c.write_gpr(CX, left.type.bytes, left)
    c.goto(target, goes)
