"""The builder of semantic functions for a whole machine."""

from __future__ import annotations

from frontends.x86.context import X86
from frontends.x86.modes import LONG, PROTECTED, VM86, update_mode
from frontends.x86.state import X86State
from frontends.x86.system_state import SystemState
from tcg.frontend import GuestException
from tcg.ir import Function, Operand, Value
from tcg.types import I32

WITH_CODE = frozenset(
    (
        GuestException.PROTECTION,
        GuestException.ALIGNMENT,
        GuestException.STACK,
        GuestException.NOT_PRESENT,
        GuestException.INVALID_TSS,
        GuestException.DOUBLE_FAULT,
    )
)
"""The exceptions that push an error code (SDM vol. 3, table 6-1), but for #PF."""


class SystemX86(X86):
    """`bits`: the mode word that code is lifted for (frontends/x86/modes.py)."""

    state: SystemState

    def __init__(
        self, function: Function, state: X86State, bits: int, checks_floats: bool = False
    ) -> None:
        super().__init__(function, state, (16, 32, 64, 64)[bits & 3], checks_floats)
        self.bits = bits

    def update_mode(self) -> None:
        """Compute the mode anew."""
        update_mode(self)

    def jump_far(self, target: Value) -> None:
        """Go on at another place, in whatever mode the state says now."""
        self.update_mode()
        self.jump(target, hint="far")

    def fault(self, exception: GuestException, when: Value | None = None) -> None:
        """Raise an exception at this instruction; its error code, if it has one, is 0."""
        if exception in WITH_CODE:
            self.fault_with_code(exception, 0, when)
        else:
            self.raise_(exception, self.pc, when)

    def fault_with_code(
        self, exception: GuestException, code: Operand, when: Value | None = None
    ) -> None:
        """Raise an exception at this instruction with an error code."""
        if when is None:
            self.put(self.slots["error_code"], self.value(I32, code))
            self.raise_(exception, self.pc)
            return
        with self.when(when, likely=False):
            self.fault_with_code(exception, code)

    def require_cpl0(self) -> None:
        """#GP(0) unless CPL is 0, as it is in real mode and never is in virtual-8086 mode."""
        if self.bits & VM86:
            self.fault(GuestException.PROTECTION)
        elif self.bits & (PROTECTED | LONG):
            self.fault(GuestException.PROTECTION, when=self.get(self.slots["cpl"]).ne(0))
