"""The processor's registers by name, for the monitor and the firmware's services.

`ax`, `sp`, `r8`, `ip`   whole, as wide as the processor's registers are
`eax`, `eip`             their lower 32 bits; written, they clear the rest
`es`, `ldtr`, `tr`       selectors; one that is written in real or virtual-8086 mode moves the base
`eflags`, and every slot of the state by its name: `es_base`, `cs_limit`, `cr0`, `efer`, `xmm0`
"""

from __future__ import annotations

from frontends.x86.registers import read_eflags, write_eflags
from frontends.x86.state import AC, CS, SEGMENTS, TF, VM
from frontends.x86.system_state import CR0_PE
from machine.cpu.core import Core

NAMES = ("ax", "cx", "dx", "bx", "sp", "bp", "si", "di")
FLAGS = ("eflags", "flags", "rflags")
POINTERS = ("ip", "eip", "rip", "pc")


class Registers:
    """A view of a processor that stands."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._numbers = self._general()

    def _general(self) -> dict[str, tuple[int, int]]:
        """Number and bytes of what is called so."""
        whole = self._core.width // 8
        table = {}
        for number, name in enumerate(NAMES):
            table[name] = number, whole
            table[f"e{name}"] = number, 4
            if whole == 8:
                table[f"r{name}"] = number, 8
        if whole == 8:
            table |= {f"r{number}": (number, 8) for number in range(8, 16)}
        return table

    def __getitem__(self, name: str) -> int:
        core = self._core
        if name in self._numbers:
            number, size = self._numbers[name]
            return core.gpr(number) & (1 << 8 * size) - 1
        if name in FLAGS:
            return read_eflags(core.state, core.cpu)
        if name in POINTERS:
            return core.cpu.pc
        return core.get(name)

    def __setitem__(self, name: str, value: int) -> None:
        core = self._core
        if name in self._numbers:
            number, size = self._numbers[name]
            core.set_gpr(number, value, size)
        elif name in FLAGS:
            self._set_flags(value)
        elif name in POINTERS:
            core.cpu.pc = value
        elif name in SEGMENTS:
            self._set_segment(SEGMENTS.index(name), value & 0xFFFF)
        else:
            core.set(name, value)
            core.changed_mode()

    def __contains__(self, name: str) -> bool:
        return name in (*self._numbers, *FLAGS, *POINTERS) or name in self._core.slots

    def _set_segment(self, number: int, selector: int) -> None:
        core = self._core
        core.cpu.set(core.state.selectors.slots[number], selector)
        if not core.get("cr0") & CR0_PE or core.get("eflags") & VM:
            core.cpu.set(core.state.seg_base.slots[number], selector << 4)
            if number == CS:
                core.changed_mode()

    def _set_flags(self, value: int) -> None:
        core = self._core
        before = core.get("eflags")
        write_eflags(core.state, core.cpu, value)
        if (before ^ value) & (TF | AC | VM):
            core.changed_mode()
