"""`int 0x80` in 64-bit code: a system call of i386, with its numbers, registers and structures.

The result fills the whole of rax.  A mapping lies where 32 bits reach it.  Source:
arch/x86/entry/entry_64_compat.S, do_int80_syscall_32(); in_compat_syscall() in the kernel's other
parts.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, cast

from user_mode.abi.base import SyscallAbi
from user_mode.abi.i386.convention import ARGUMENTS, places
from user_mode.abi.i386.numbers import NUMBERS
from user_mode.abi.i386.structs import STRUCTS
from user_mode.abi.x86_64.constants import CONSTANTS
from user_mode.abi.x86_64.convention import X8664Convention
from user_mode.abi.x86_64.threads import X8664Threads
from user_mode.memory import MAP_32BIT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from frontends.x86.cpuid import CpuModel
    from frontends.x86.frontend import X86Frontend
    from tcg.cpu import Cpu
    from tcg.state import Slot
    from user_mode.process import Process, Thread
    from user_mode.syscalls.table import SyscallTable

NOT_HERE = ("sigreturn", "rt_sigreturn", "vm86", "vm86old")
"""Calls that only make sense to 32-bit code."""


class Int80Convention(X8664Convention):
    """The lower halves of the registers that i386 has."""

    def __init__(self, gpr: Sequence[Slot]) -> None:
        super().__init__(gpr)
        self._places = [gpr[number].offset for number in ARGUMENTS]

    def reader(self, kinds: tuple[str, ...]) -> Callable[[Cpu], Sequence[int]]:
        """A function that fetches arguments of these kinds; 64 bits take two registers."""
        starts = places(kinds)
        word, signed, wide = struct.Struct("=I"), struct.Struct("=i"), ("s64", "u64")

        def read(cpu: Cpu) -> Sequence[int]:
            values = []
            for at, kind in zip(starts, kinds, strict=True):
                form = signed if kind in ("s32", "long") else word
                value = form.unpack_from(cpu.view, self._places[at])[0]
                if kind in wide:
                    form = signed if kind == "s64" else word
                    value |= form.unpack_from(cpu.view, self._places[at + 1])[0] << 32
                values.append(value)
            return values

        return read


class Int80Abi(X8664Threads, SyscallAbi):
    """i386's system calls over a 64-bit CPU."""

    def __init__(self, frontend: X86Frontend, model: CpuModel) -> None:
        X8664Threads.__init__(self, frontend, model)
        numbers = {number: name for number, name in NUMBERS.items() if name not in NOT_HERE}
        convention = Int80Convention(frontend.state.gpr.slots)
        SyscallAbi.__init__(self, numbers, STRUCTS, CONSTANTS, convention, machine=b"x86_64")

    def clocks_were_read(self, process: Process) -> None:
        """There is one vDSO, and the process's own ABI keeps it."""
        process.whole.abi.clocks_were_read(process.whole)


class _View:
    """Another object, of which some attributes are replaced."""

    def __init__(self, whole: object, **own: object) -> None:
        self.__dict__["_whole"] = whole
        self.__dict__.update(own)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_whole"], name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self.__dict__["_whole"], name, value)


class Int80:
    """The gate of one process."""

    def __init__(self, process: Process, table: SyscallTable) -> None:
        """`table` has the calls, with an Int80Abi."""
        self._table = table
        memory = process.memory

        def mmap(address: int, length: int, prot: int, flags: int, *rest: Any, **more: Any) -> int:
            return memory.mmap(address, length, prot, flags | MAP_32BIT, *rest, **more)

        seen = _View(process, abi=table.abi, memory=_View(memory, mmap=mmap))
        self._seen = cast("Process", seen)

    def perform(self, thread: Thread) -> None:
        """Make the call that the thread's registers describe."""
        process = thread.process
        thread.process = self._seen
        try:
            self._table.perform(thread)
        finally:
            thread.process = process
