"""A PowerPC CPU's registers as the manual has them, put together from the translator's slots.

Signal frames, core files and debuggers want CR, XER and FPSCR whole; compiled code keeps them in
parts (frontends/ppc/registers.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from frontends.ppc import registers
from frontends.ppc.state import NO_RESERVATION, PpcState
from tcg.cpu import Cpu


@dataclass(slots=True)
class Registers:
    """The registers of a user program."""

    gpr: list[int] = field(default_factory=lambda: [0] * 32)
    fpr: list[int] = field(default_factory=lambda: [0] * 32)
    """The bits of each double."""
    pc: int = 0
    lr: int = 0
    ctr: int = 0
    xer: int = 0
    cr: int = 0
    fpscr: int = 0


class PpcRegisters:
    """Reads and writes the registers of CPUs with this state."""

    def __init__(self, state: PpcState) -> None:
        self._state = state
        self._slots = state.layout.slots

    def read(self, cpu: Cpu) -> Registers:
        """All registers."""
        state, slots = self._state, self._slots
        return Registers(
            gpr=[cpu.get(slot) for slot in state.gpr.slots],
            fpr=[cpu.get(slot) for slot in state.fpr.slots],
            pc=cpu.pc,
            lr=cpu.get(slots["lr"]),
            ctr=cpu.get(slots["ctr"]),
            xer=registers.read_xer(state, cpu),
            cr=registers.read_cr(state, cpu),
            fpscr=self.fpscr(cpu),
        )

    def write(self, cpu: Cpu, values: Registers) -> None:
        """Set all registers; a reservation is lost, as with every interrupt."""
        cpu.set_header("reservation_address", NO_RESERVATION)
        state, slots = self._state, self._slots
        for slot, value in zip(state.gpr.slots, values.gpr, strict=True):
            cpu.set(slot, value)
        for slot, value in zip(state.fpr.slots, values.fpr, strict=True):
            cpu.set(slot, value)
        registers.write_cr(state, cpu, values.cr)
        cpu.pc = values.pc
        cpu.set(slots["lr"], values.lr)
        cpu.set(slots["ctr"], values.ctr)
        registers.write_xer(state, cpu, values.xer)
        self.set_fpscr(cpu, values.fpscr)

    def fpscr(self, cpu: Cpu) -> int:
        """FPSCR as mffs would show it."""
        return registers.read_fpscr(self._state, cpu)

    def set_fpscr(self, cpu: Cpu, value: int) -> None:
        """Set FPSCR, and the host's FP environment by it."""
        registers.write_fpscr(self._state, cpu, value)
