"""Linux on 32-bit PowerPC in one object: system calls, signals, threads."""

from __future__ import annotations

from collections.abc import Callable

from frontends.ppc.state import PpcState
from tcg.cpu import Cpu
from user_mode.abi.base import SyscallAbi
from user_mode.abi.ppc.constants import CONSTANTS
from user_mode.abi.ppc.convention import PpcConvention
from user_mode.abi.ppc.numbers import NUMBERS
from user_mode.abi.ppc.structs import STRUCTS
from user_mode.abi.ppc.threads import PpcThreads


def _nothing() -> None:
    """For engines whose code always looks for exceptions, and for tests."""


class PpcAbi(PpcThreads, SyscallAbi):
    """The ABI over CPUs with this state."""

    def __init__(self, state: PpcState, check_floats: Callable[[], None] = _nothing) -> None:
        """`check_floats` has code translated anew, so that it notices floating-point exceptions."""
        PpcThreads.__init__(self, state)
        self._check_floats = check_floats
        self._raises_floats = state.layout.slots["msr.fe"]
        convention = PpcConvention(state.gpr.slots, state.layout.slots["cr0.so"])
        SyscallAbi.__init__(self, NUMBERS, STRUCTS, CONSTANTS, convention, machine=b"ppc")

    def raises_float_exceptions(self, cpu: Cpu, /) -> bool:
        """Whether MSR's FE0 or FE1 is set: exceptions that FPSCR enables are raised."""
        return bool(cpu.get(self._raises_floats))

    def raise_float_exceptions(self, cpu: Cpu, are_raised: bool, /) -> None:
        """Set FE0 and FE1.  Code that looks for exceptions is slow, and not made before."""
        if are_raised and not self.raises_float_exceptions(cpu):
            self._check_floats()
        cpu.set(self._raises_floats, int(are_raised))
