"""An x86 CPU's registers as signal frames have them, put together from the translator's slots."""

from __future__ import annotations

from dataclasses import dataclass, field

from frontends.x86.registers import read_eflags, write_eflags
from frontends.x86.state import AC as ALIGNMENT_CHECK
from frontends.x86.state import AF as AUXILIARY
from frontends.x86.state import CF, DF, IF, OF, PF, RF, SF, TF, ZF, X86State
from tcg.cpu import Cpu

USER_FLAGS = (
    ALIGNMENT_CHECK | OF | DF | TF | SF | ZF | AUXILIARY | PF | CF | RF
)  # fmt: skip
"""FIX_EFLAGS: what sigreturn takes from a frame; the rest is the kernel's."""
FIRST_FLAGS = IF | 2
"""EFLAGS of a program at its start."""
CLEARED_FOR_HANDLERS = DF | TF | RF

ES, CS, SS, DS, FS, GS = range(6)
USER_DS = 0x2B
USER_CS_64, USER_CS_32 = 0x33, 0x23


@dataclass(slots=True)
class Registers:
    """The general registers in the order of their numbers, and what goes with them."""

    gpr: list[int]
    pc: int = 0
    flags: int = FIRST_FLAGS
    segments: list[int] = field(default_factory=lambda: [0] * 6)
    """Selectors: es, cs, ss, ds, fs, gs."""


class X86Registers:
    """Reads and writes the registers of CPUs with this state."""

    def __init__(self, state: X86State) -> None:
        self._state = state
        self._gpr = state.gpr.slots[: state.no_register]
        self._segments = state.selectors.slots

    def read(self, cpu: Cpu) -> Registers:
        """All registers of the integer unit."""
        return Registers(
            [cpu.get(slot) for slot in self._gpr],
            cpu.pc,
            read_eflags(self._state, cpu),
            [cpu.get(slot) for slot in self._segments],
        )

    def write(self, cpu: Cpu, values: Registers) -> None:
        """Set all of them; the bases of segments stay as they are."""
        for slot, value in zip(self._gpr, values.gpr, strict=True):
            cpu.set(slot, value)
        cpu.pc = values.pc
        write_eflags(self._state, cpu, values.flags)
        for slot, value in zip(self._segments, values.segments, strict=True):
            cpu.set(slot, value)

    def clear(self, cpu: Cpu) -> None:
        """Everything zero, as before a program's first instruction."""
        first = self._gpr[0].offset
        cpu.view[first:] = bytes(len(cpu.view) - first)

    def copy(self, cpu: Cpu, parent: Cpu) -> None:
        """Take over all of another CPU's registers."""
        cpu.copy_from(parent, self._gpr[0].offset)
        for name in ("mxcsr", "x87_control", "x87_status"):
            cpu.set_header(name, parent.header(name))
        cpu.pc = parent.pc
