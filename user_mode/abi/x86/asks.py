"""Instructions that compiled code leaves to Python: CPUID, and random numbers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from frontends.x86.state import AX, BX, CX, DX, X86State

if TYPE_CHECKING:
    from frontends.x86.cpuid import CpuModel
    from tcg.cpu import Cpu

RESULTS = (AX, BX, CX, DX)
_HALF = (1 << 32) - 1


def answer_cpuid(state: X86State, model: CpuModel, cpu: Cpu) -> None:
    """CPUID: EAX says which leaf, ECX which part of it."""
    gpr = state.gpr.slots
    values = model.leaf(cpu.get(gpr[AX]) & _HALF, cpu.get(gpr[CX]) & _HALF)
    for number, value in zip(RESULTS, values, strict=True):
        cpu.set(gpr[number], value)


def answer_random(state: X86State, cpu: Cpu, detail: int) -> None:
    """RDRAND and RDSEED: random bytes for a register; `detail` is its number and how many."""
    slot = state.gpr.slots[detail & 0xFF]
    size = detail >> 8
    value = int.from_bytes(os.urandom(size), "little")
    kept = 0 if size >= 4 else cpu.get(slot) & -(1 << 8 * size)
    cpu.set(slot, kept | value)
