"""MXCSR: SDM vol. 1, 10.2.3.

The guest's rounding mode, DAZ, FTZ and sticky flags are in the host's MXCSR while the guest runs,
so that they cost nothing.  Exceptions stay masked there; which ones the guest has unmasked is kept
in the slot `mxcsr_enabled`.  Code looks for them (#XM) only in a mode of its own, into which the
client brings the CPU when one is let through.
"""

from __future__ import annotations

from frontends.insn import insn
from frontends.x86.context import X86
from frontends.x86.state import ASK_CHECK_FLOATS
from tcg import ops
from tcg.frontend import GuestException
from tcg.ir import Value
from tcg.types import I32, VOID

MASKS_SHIFT = 7
MASKS = 0x3F
RESERVED = 0xFFFF_0000


def read_mxcsr(c: X86) -> Value:
    """MXCSR as the guest has it."""
    masks = ~c.get(c.slots["mxcsr_enabled"]) & MASKS
    return c.emit(ops.FPGET, I32) | masks << MASKS_SHIFT


def write_mxcsr(c: X86, value: Value) -> None:
    """MXCSR <- value, of which reserved bits are not set."""
    c.emit(ops.FPPUT, VOID, (value,))
    c.put(c.slots["mxcsr_enabled"], ~(value >> MASKS_SHIFT) & MASKS)
    if not c.checks_floats:
        c.later(lambda: _look_for_exceptions(c))


def _look_for_exceptions(c: X86) -> None:
    with c.when(c.get(c.slots["mxcsr_enabled"]).ne(0), likely=False):
        c.ask(ASK_CHECK_FLOATS, c.next_pc)


@insn("ldmxcsr", "vldmxcsr")
def ldmxcsr(c: X86, address: Value) -> None:
    """MXCSR <- src; #GP if reserved bits are set"""
    value = c.load_le(I32, address)
    c.fault(GuestException.PROTECTION, when=(value & RESERVED).ne(0))
    write_mxcsr(c, value)


@insn("stmxcsr", "vstmxcsr")
def stmxcsr(c: X86) -> Value:
    """dst <- MXCSR"""
    return read_mxcsr(c)
