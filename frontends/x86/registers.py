"""Registers that are spread over several slots, read and written while the guest does not run."""

from __future__ import annotations

from frontends.x86.state import AF, FIXED_FLAGS, OTHER_FLAGS, PF, SINGLE_FLAGS, X86State
from tcg.cpu import Cpu


def read_eflags(state: X86State, cpu: Cpu) -> int:
    """EFLAGS, as pushf would show it with RF and VM kept."""
    slots = state.layout.slots
    flags = cpu.get(slots["eflags"]) & OTHER_FLAGS | FIXED_FLAGS
    flags |= sum(bit for name, bit in SINGLE_FLAGS if cpu.get(slots[name]))
    flags |= 0 if cpu.get(slots["pf"]).bit_count() & 1 else PF
    return flags | cpu.get(slots["af"]) & AF


def write_eflags(state: X86State, cpu: Cpu, value: int) -> None:
    """EFLAGS <- value"""
    slots = state.layout.slots
    cpu.set(slots["eflags"], value & OTHER_FLAGS)
    for name, bit in SINGLE_FLAGS:
        cpu.set(slots[name], int(bool(value & bit)))
    cpu.set(slots["pf"], 0 if value & PF else 1)
    cpu.set(slots["af"], value & AF)
