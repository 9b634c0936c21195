"""Linux on x86-64 in one object: system calls, signals, threads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from user_mode.abi.base import SyscallAbi
from user_mode.abi.x86_64.constants import CONSTANTS
from user_mode.abi.x86_64.convention import X8664Convention
from user_mode.abi.x86_64.numbers import NUMBERS
from user_mode.abi.x86_64.structs import STRUCTS
from user_mode.abi.x86_64.threads import X8664Threads

if TYPE_CHECKING:
    from frontends.x86.cpuid import CpuModel
    from frontends.x86.frontend import X86Frontend


class X8664Abi(X8664Threads, SyscallAbi):
    """The ABI over CPUs with this state."""

    def __init__(self, frontend: X86Frontend, model: CpuModel) -> None:
        """`model`: the processor that CPUID describes."""
        X8664Threads.__init__(self, frontend, model)
        convention = X8664Convention(frontend.state.gpr.slots)
        SyscallAbi.__init__(self, NUMBERS, STRUCTS, CONSTANTS, convention, machine=b"x86_64")
