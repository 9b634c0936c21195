"""Jumps, calls and returns within the flat code segment (SDM vol. 1, 6.4 and 7.3.8)."""

from __future__ import annotations

from frontends.insn import insn
from frontends.x86.context import X86, Field
from frontends.x86.state import SP
from tcg.ir import Value


@insn
def jmp(c: X86, target: Field | Value) -> None:
    """rIP <- target: a fixed one, or what a register or memory holds"""
    if isinstance(target, Value):
        c.jump(c.code_address(target))
    else:
        c.goto(target)


@insn
def jcc(c: X86, target: Field) -> None:
    """rIP <- target if the condition holds"""
    c.goto(target, c.condition(c.cc))


@insn
def call(c: X86, target: Field | Value) -> None:
    """push the address of the next instruction; rIP <- target"""
    c.push(c.next_pc_value(int(c.opsize)))
    if isinstance(target, Value):
        c.jump(c.code_address(target), hint="call")
    else:
        c.goto(target, hint="call")


@insn
def ret(c: X86, count: Value | None = None) -> None:
    """rIP <- pop; then `count` bytes of arguments are popped"""
    target = c.code_address(c.pop(int(c.opsize)))
    if count is not None:
        c.write_stack_pointer(c.get_file(c.state.gpr, SP) + count.zext(c.word))
    c.jump(target, hint="return")


@insn
def jcxz(c: X86, target: Field) -> None:
    """rIP <- target if the count register, as wide as addresses are, is zero"""
    c.goto(target, c.count_register().eq(0))


@insn
def loop(c: X86, target: Field) -> None:
    """Count down; rIP <- target unless zero is reached"""
    c.goto(target, _count_down(c).ne(0))


@insn
def loope(c: X86, target: Field) -> None:
    """Count down; rIP <- target unless zero is reached or ZF is clear"""
    zf = c.flags.get("zf")
    c.goto(target, _count_down(c).ne(0) & zf)


@insn
def loopne(c: X86, target: Field) -> None:
    """Count down; rIP <- target unless zero is reached or ZF is set"""
    zf = c.flags.get("zf")
    c.goto(target, _count_down(c).ne(0) & ~zf)


def _count_down(c: X86) -> Value:
    left = c.count_register() - 1
    c.write_gpr(1, left.type.bytes, left)
    return left
