"""An x86-64 process without an engine: real registers, memory and system calls, nothing runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from frontends.x86.frontend import X8664Frontend
from frontends.x86.state import AX
from tcg.cpu import Cpu
from tcg.log import Log
from user_mode import host
from user_mode.abi.x86_64.abi import X8664Abi
from user_mode.abi.x86_64.convention import ARGUMENTS
from user_mode.abi.x86_64.numbers import NUMBERS
from user_mode.abi.x86_64.program import ADDRESSES, TASK_SIZE
from user_mode.errors import Errno
from user_mode.memory import GuestMemory
from user_mode.signals import AltStack
from user_mode.syscalls import (
    fcntl,
    files,
    identity,
    ipc,
    memory,
    poll,
    signals,
    stat,
    system,
    time,
    x86,
)
from user_mode.syscalls.descriptors import Descriptors
from user_mode.syscalls.table import SyscallTable

GROUPS = [fcntl, files, identity, ipc, memory, poll, signals, stat, system, time, x86]
_READ_WRITE, _PRIVATE_ANONYMOUS = 3, 0x22
_MASK = (1 << 64) - 1


class Guest:
    """A process of one thread, with the system call table; `guest.getpid()` makes a call."""

    def __init__(self, features: frozenset[str] = frozenset()) -> None:
        self.frontend = X8664Frontend()
        self.state = self.frontend.state
        self.memory = GuestMemory(ADDRESSES, "<", TASK_SIZE)
        model: Any = SimpleNamespace(features=features)
        self.abi = X8664Abi(self.frontend, model)
        self.scratch = self.memory.mmap(0, 1 << 20, _READ_WRITE, _PRIVATE_ANONYMOUS)
        self.stack = self.memory.mmap(0, 1 << 20, _READ_WRITE, _PRIVATE_ANONYMOUS) + (1 << 19)
        self._used = 0
        self.cpu = self.new_cpu()
        self.process: Any = SimpleNamespace(
            memory=self.memory, abi=self.abi, fds=Descriptors(), sysroot=b"", exe=b"/bin/true",
            argv=[b"true"], limits={}, shared_segments={}, trampolines=0, log=Log(),
            unknown_syscall=lambda name: None, share_memory=lambda: None,
        )  # fmt: skip
        self.thread: Any = SimpleNamespace(
            process=self.process, cpu=self.cpu, tid=os.getpid(), safe_syscall=host.raw,
            interrupted=None, trap=(14, 6, 0x1234), blocked=0, altstack=AltStack(),
        )  # fmt: skip
        self.table = self.process.table = SyscallTable(self.abi, GROUPS)
        self._numbers = {name: number for number, name in NUMBERS.items()}
        self.abi.start_program(self.cpu, 0x40_1000, self.stack)

    def new_cpu(self) -> Cpu:
        """A CPU with nothing in it."""
        size = -(-self.state.layout.size // 64) * 64
        return Cpu(self.state.layout, memoryview(bytearray(size)), 0)

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
        return self.cpu.get(self.state.gpr.slots[number])

    def set_register(self, number: int, value: int) -> None:
        """Write a general register."""
        self.cpu.set(self.state.gpr.slots[number], value & _MASK)

    def call(self, name: str, *args: int | bytes) -> int:
        """Make a system call; its result is signed.  Failures raise Errno."""
        self.set_register(AX, self._numbers[name])
        for register, value in zip(ARGUMENTS, args, strict=False):
            raw = self.put(value + b"\0") if isinstance(value, bytes) else value
            self.set_register(register, raw)
        self.table.perform(self.thread)
        result = self.register(AX)
        if result > _MASK - 4095:
            raise Errno(_MASK + 1 - result)
        return result - (1 << 64) if result >> 63 else result

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self._numbers:
            raise AttributeError(name)
        return lambda *args: self.call(name, *args)


@pytest.fixture
def guest() -> Iterator[Guest]:
    made = Guest()
    yield made
    made.memory.close()


@pytest.fixture
def guest_with_avx() -> Iterator[Guest]:
    made = Guest(frozenset(("xsave", "avx")))
    yield made
    made.memory.close()
