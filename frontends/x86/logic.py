"""Bitwise logic (SDM vol. 1, 7.3.5): CF and OF are cleared, AF is undefined and cleared too."""

from __future__ import annotations

from frontends.insn import insn
from frontends.x86.context import X86
from tcg.ir import Value


@insn
def and_(c: X86, dst: Value, src: Value) -> Value:
    """dst <- dst & src"""
    result = dst & src
    c.flags.set_logic(result)
    return result


@insn
def or_(c: X86, dst: Value, src: Value) -> Value:
    """dst <- dst | src"""
    result = dst | src
    c.flags.set_logic(result)
    return result


@insn
def xor(c: X86, dst: Value, src: Value) -> Value:
    """dst <- dst ^ src"""
    result = dst ^ src
    c.flags.set_logic(result)
    return result


@insn
def test(c: X86, dst: Value, src: Value) -> None:
    """dst & src, for the flags only"""
    c.flags.set_logic(dst & src)


@insn
def not_(c: X86, dst: Value) -> Value:
    """dst <- ~dst; no flags"""
    return ~dst
