"""Moving data: mov and its extending forms, lea, cmov, set, xchg."""

from __future__ import annotations

from frontends.insn import insn
from frontends.x86.context import SIZES, X86
from frontends.x86.operands import ignores_operands, locks_itself
from tcg.ir import Value


@insn
def mov(c: X86, src: Value) -> Value:
    """dst <- src"""
    return src


@insn
def movzx(c: X86, src: Value) -> Value:
    """dst <- src, widened with zeros"""
    return src.zext(SIZES[int(c.opsize)])


@insn("movsx", "movsxd")
def movsx(c: X86, src: Value) -> Value:
    """dst <- src, widened with its sign"""
    size = SIZES[int(c.opsize)]
    return src.trunc(size) if size.bits < src.type.bits else src.sext(size)


@insn
@ignores_operands
def lea(c: X86, *_operands: Value) -> Value:
    """dst <- the effective address, without its segment's base"""
    return c.effective_address().trunc(SIZES[int(c.opsize)])


@insn
def cmovcc(c: X86, dst: Value, src: Value) -> Value:
    """dst <- src if the condition holds; 32 bits clear the upper half all the same"""
    return c.select(c.condition(c.cc), src, dst)


@insn
def setcc(c: X86) -> Value:
    """dst <- 1 if the condition holds, else 0"""
    return c.condition(c.cc).zext(SIZES[1])


@insn
@locks_itself
def xchg(c: X86, dst: Value, src: Value) -> Value | None:
    """dst <-> src; with memory it is locked always (SDM vol. 3, 8.1.2.1)"""
    second = c.row.operands[1]
    if c.rm >= 0:
        c.later(lambda: c.operands.store(second, dst))
        return src
    c.operands.store(second, c.rmw("xchg", c.operands.address, src))
    return None
