"""Control and debug registers, and what depends on them (SDM vol. 3, 2.5, 2.8 and 17.2)."""

from __future__ import annotations

from frontends.insn import insn
from frontends.x86.context import SIZES, X86
from frontends.x86.privileged.builder import SystemX86
from tcg.ir import Value


def system(c: X86) -> SystemX86:
    """The builder, which is a system's."""
    assert isinstance(c, SystemX86)
    return c


@insn
def smsw(c: X86) -> Value:
    """dst <- CR0; memory gets 16 bits"""
    size = 2 if c.rm < 0 else int(c.opsize)
    return c.get(c.slots["cr0"]).trunc(SIZES[size])
