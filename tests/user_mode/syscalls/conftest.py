"""A guest without an engine: registers, memory, and the system call table."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest

from frontends.ppc.state import PpcState
from tcg.cpu import Cpu
from user_mode import host
from user_mode.abi.base import SyscallAbi
from user_mode.abi.layout import Layout
from user_mode.abi.ppc.constants import CONSTANTS
from user_mode.abi.ppc.convention import PpcConvention, places
from user_mode.abi.ppc.numbers import NUMBERS
from user_mode.abi.ppc.structs import STRUCTS
from user_mode.errors import Errno
from user_mode.memory import GuestMemory
from user_mode.syscalls import (
    directories,
    fcntl,
    files,
    identity,
    ioctl,
    ipc,
    memory,
    poll,
    sockets,
    stat,
    system,
    time,
    xattr,
)
from user_mode.syscalls.descriptors import Descriptors
from user_mode.syscalls.table import SyscallTable
from user_mode.syscalls.types import ARGUMENTS

GROUPS = [
    directories, fcntl, files, identity, ioctl, ipc, memory, poll, sockets, stat, system, time,
    xattr,
]  # fmt: skip
READ_WRITE, PRIVATE_ANONYMOUS = 3, 0x22


class Guest:
    """A 32-bit PowerPC process in which only system calls happen.

    `guest.open(...)` makes the call of that name with raw register values; bytes are put into
    memory first.  Failures raise Errno, taken from the guest's registers.
    """

    def __init__(self) -> None:
        state = PpcState()
        self._gpr = state.gpr.slots
        self._so = state.layout.slots["cr0.so"]
        convention = PpcConvention(self._gpr, self._so)
        self.abi = SyscallAbi(NUMBERS, STRUCTS, CONSTANTS, convention, machine=b"ppc")
        self.memory = GuestMemory()
        self.scratch = self.memory.mmap(0, 1 << 20, READ_WRITE, PRIVATE_ANONYMOUS)
        self._used = 0
        self.unknown: list[str] = []
        self.process = SimpleNamespace(
            memory=self.memory,
            abi=self.abi,
            fds=Descriptors(),
            sysroot=b"",
            exe=b"/bin/true",
            argv=[b"true", b"a b"],
            auxv=b"\0\0\0\6\0\0\x10\0" + bytes(8),
            limits={},
            shared_segments={},
            unknown_syscall=self.unknown.append,
            share_memory=lambda: None,
        )
        cpu = Cpu(state.layout, memoryview(bytearray(state.layout.size)), 0)
        self.thread: Any = SimpleNamespace(
            process=self.process,
            cpu=cpu,
            tid=os.getpid(),
            safe_syscall=host.raw,
            interrupted=None,
            wait_with_mask=lambda mask: None,
        )
        self.table = SyscallTable(self.abi, GROUPS)
        self._numbers = {name: number for number, name in NUMBERS.items()}

    def put(self, data: bytes) -> int:
        """Put bytes somewhere; gives their address."""
        address = self.scratch + self._used
        self._used += -(-len(data) // 16) * 16 + 16
        self.memory.write(address, data)
        return address

    def room(self, size: int) -> int:
        """Space for a result."""
        return self.put(b"\xee" * size)

    def struct(self, name: str, address: int) -> dict[str, Any]:
        """The fields of a structure in memory."""
        layout = STRUCTS[name]
        return layout.values(self.memory.read(address, layout.size))

    def make(self, name: str, **values: Any) -> int:
        """A structure in memory."""
        return self.put(self.layout(name).make(**values))

    @staticmethod
    def layout(name: str) -> Layout:
        return STRUCTS[name]

    def call(self, name: str, *args: int | bytes) -> int:
        """Make a system call; its result is signed."""
        number = self._numbers[name]
        call = self.table.call_of(number)
        kinds = tuple(ARGUMENTS[type_].kind for _, type_ in call.parameters) if call else ()
        cpu = self.thread.cpu
        cpu.set(self._gpr[0], number)
        for kind, register, value in zip(kinds, places(kinds), args, strict=True):
            raw = self.put(value + b"\0") if isinstance(value, bytes) else value
            if kind in ("s64", "u64"):
                cpu.set(self._gpr[register], raw >> 32 & 0xFFFFFFFF)
                register += 1
            cpu.set(self._gpr[register], raw & 0xFFFFFFFF)
        self.table.perform(self.thread)
        result: int = cpu.get(self._gpr[3])
        if cpu.get(self._so):
            raise Errno(result)
        return result - (1 << 32) if result >> 31 else result

    def __getattr__(self, name: str) -> Any:
        if name not in self._numbers:
            raise AttributeError(name)
        return lambda *args: self.call(name, *args)


@pytest.fixture
def guest() -> Iterator[Guest]:
    made = Guest()
    before = set(os.listdir("/proc/self/fd"))
    yield made
    made.memory.close()
    for name in set(os.listdir("/proc/self/fd")) - before:
        with suppress(OSError):
            os.close(int(name))
