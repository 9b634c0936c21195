"""MMX registers: the significands of x87's, by their own numbers (SDM vol. 1, 9.2 and 9.5)."""

from __future__ import annotations

from collections.abc import Callable

from frontends.x86.state import X86State
from tcg.build import Builder
from tcg.ir import Operand, Value
from tcg.state import Slot


class MmxRegisters(Builder):
    """What the builder knows of MMX registers."""

    state: X86State
    slots: dict[str, Slot]
    _later: list[Callable[[], None]]

    def _use_mmx(self) -> None:
        """Have the instruction make TOP zero and all registers full when it has done its work."""
        if self._enter_mmx not in self._later:
            self._later.append(self._enter_mmx)

    def _enter_mmx(self) -> None:
        self.put(self.slots["fpu_top"], 0)
        self.put(self.slots["fpu_full"], 0xFF)

    def read_mmx(self, number: Operand) -> Value:
        """An MMX register."""
        self._use_mmx()
        return self.get_file(self.state.mmx, number)

    def write_mmx(self, number: Operand, value: Operand) -> None:
        """Write an MMX register; the rest of the x87 register gets all ones."""
        self._use_mmx()
        self.put_file(self.state.mmx, number, value)
        self.put_file(self.state.mmx_ends, number, 0xFFFF)
