"""A process without an engine: real registers, memory and system calls, and nothing runs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from types import ModuleType, SimpleNamespace
from typing import Any

from tcg.cpu import Cpu
from tcg.log import Log
from tcg.state import Slot, StateLayout
from user_mode import host
from user_mode.errors import Errno
from user_mode.memory import GuestMemory
from user_mode.signals import AltStack
from user_mode.syscalls.descriptors import Descriptors
from user_mode.syscalls.table import SyscallTable

READ_WRITE, PRIVATE_ANONYMOUS = 3, 0x22


class FakeGuest:
    """A process of one thread, with the system call table; `guest.getpid()` makes a call.

    Arguments are raw register values; bytes are put into memory first.  Failures raise Errno, taken
    from the guest's registers.
    """

    word = 32
    """Bits of a general register."""

    def __init__(
        self, abi: Any, layout: StateLayout, memory: GuestMemory, gpr: Sequence[Slot]
    ) -> None:
        self.abi = abi
        self.memory = memory
        self.scratch = memory.mmap(0, 1 << 20, READ_WRITE, PRIVATE_ANONYMOUS)
        self._layout = layout
        self._gpr = gpr
        self._used = 0
        self.cpu = self.new_cpu()
        self.unknown: list[str] = []
        self.process: Any = SimpleNamespace(
            memory=memory, abi=abi, fds=Descriptors(), sysroot=b"", exe=b"/bin/true",
            argv=[b"true"], limits={}, shared_segments={}, trampolines=0, log=Log(),
            unknown_syscall=self.unknown.append, share_memory=lambda: None,
        )  # fmt: skip
        self.thread: Any = SimpleNamespace(
            process=self.process, cpu=self.cpu, tid=os.getpid(), safe_syscall=host.raw,
            interrupted=None, trap=(14, 6, 0x1234), blocked=0, altstack=AltStack(),
            wait_with_mask=lambda mask: None,
        )  # fmt: skip
        self._numbers = {name: number for number, name in abi.numbers.items()}

    def have_calls(self, groups: Sequence[ModuleType]) -> None:
        """Make the system calls of these groups known."""
        self.table = self.process.table = SyscallTable(self.abi, groups)

    def new_cpu(self) -> Cpu:
        """A CPU with nothing in it."""
        size = -(-self._layout.size // 64) * 64
        return Cpu(self._layout, memoryview(bytearray(size)), 0)

    def put(self, data: bytes) -> int:
        """Put bytes somewhere; gives their address."""
        address = self.scratch + self._used
        self._used += -(-len(data) // 16) * 16 + 16
        self.memory.write(address, data)
        return address

    def room(self, size: int) -> int:
        """Space for a result."""
        return self.put(b"\xee" * size)

    def register(self, number: int) -> int:
        """A general register."""
        return self.cpu.get(self._gpr[number])

    def set_register(self, number: int, value: int) -> None:
        """Write a general register."""
        self.cpu.set(self._gpr[number], value & (1 << self.word) - 1)

    def call(self, name: str, *args: int | bytes) -> int:
        """Make a system call; its result is signed."""
        raw = [self.put(arg + b"\0") if isinstance(arg, bytes) else arg for arg in args]
        self.pass_arguments(self._numbers[name], raw)
        self.table.perform(self.thread)
        result = self.result()
        return result - (1 << self.word) if result >> self.word - 1 else result

    def pass_arguments(self, number: int, args: Sequence[int]) -> None:
        """Put a call's number and its arguments where the machine has them."""
        raise NotImplementedError

    def result(self) -> int:
        """The result, unsigned; raises Errno."""
        raise NotImplementedError

    def negative_result(self, register: int) -> int:
        """The result of machines where errors are negative numbers; raises Errno."""
        result = self.register(register)
        if result > (1 << self.word) - 4096:
            raise Errno((1 << self.word) - result)
        return result

    def __getattr__(self, name: str) -> Any:
        if name == "_numbers" or name not in self._numbers:
            raise AttributeError(name)
        return lambda *args: self.call(name, *args)


def lent(guest: FakeGuest) -> Iterator[Any]:
    """The guest for a test; what it leaves open is closed."""
    before = set(os.listdir("/proc/self/fd"))
    yield guest
    guest.memory.close()
    for name in set(os.listdir("/proc/self/fd")) - before:
        with suppress(OSError):
            os.close(int(name))
