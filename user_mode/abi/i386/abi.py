"""Linux on i386 in one object: system calls, signals, threads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from frontends.x86.state import X86State
from user_mode.abi.base import SyscallAbi
from user_mode.abi.i386.constants import CONSTANTS
from user_mode.abi.i386.convention import I386Convention
from user_mode.abi.i386.numbers import NUMBERS
from user_mode.abi.i386.structs import STRUCTS
from user_mode.abi.i386.threads import I386Threads

if TYPE_CHECKING:
    from frontends.x86.cpuid import CpuModel
    from user_mode.memory import GuestMemory


class I386Abi(I386Threads, SyscallAbi):
    """The ABI over CPUs with this state; `model` is the processor, `memory` the guest's."""

    def __init__(self, state: X86State, model: CpuModel, memory: GuestMemory) -> None:
        I386Threads.__init__(self, state, model, memory)
        convention = I386Convention(state.gpr.slots)
        SyscallAbi.__init__(self, NUMBERS, STRUCTS, CONSTANTS, convention, machine=b"i686")
