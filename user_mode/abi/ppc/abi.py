"""Linux on 32-bit PowerPC in one object: system calls, signals, threads."""

from __future__ import annotations

from frontends.ppc.state import PpcState
from user_mode.abi.base import SyscallAbi
from user_mode.abi.ppc.constants import CONSTANTS
from user_mode.abi.ppc.convention import PpcConvention
from user_mode.abi.ppc.numbers import NUMBERS
from user_mode.abi.ppc.structs import STRUCTS
from user_mode.abi.ppc.threads import PpcThreads


class PpcAbi(PpcThreads, SyscallAbi):
    """The ABI over CPUs with this state."""

    def __init__(self, state: PpcState) -> None:
        PpcThreads.__init__(self, state)
        convention = PpcConvention(state.gpr.slots, state.layout.slots["cr0.so"])
        SyscallAbi.__init__(self, NUMBERS, STRUCTS, CONSTANTS, convention, machine=b"ppc")
