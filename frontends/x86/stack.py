"""Push and pop (SDM vol. 1, 6.2)."""

from __future__ import annotations

from frontends.insn import insn
from frontends.x86.context import SIZES, X86
from tcg.ir import Value


@insn
def push(c: X86, src: Value) -> None:
    """rSP <- rSP - size; [rSP] <- src; a selector is widened with zeros"""
    c.push(src.zext(SIZES[int(c.opsize)]))


@insn
def pop(c: X86) -> Value | None:
    """dst <- [rSP]; rSP <- rSP + size

    A memory operand that is addressed by rSP uses the new one, which is kept only if the store does
    not fault (SDM vol. 2, POP).
    """
    size = int(c.opsize)
    if c.row.operands[0].letter != "E" or c.rm >= 0:
        return c.pop(size)
    old = c.stack_pointer()
    value = c.load_le(SIZES[size], c.on_stack(old))
    c.write_stack_pointer(old + size)
    address = c.linear()
    c.write_stack_pointer(old)
    c.store_le(address, value)
    c.write_stack_pointer(old + size)
    return None
