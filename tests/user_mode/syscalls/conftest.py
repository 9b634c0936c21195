"""A PowerPC process without an engine, for what system calls do on any machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from frontends.ppc.state import PpcState
from tests.user_mode.fake_guest import FakeGuest, lent
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
from user_mode.syscalls.types import ARGUMENTS

GROUPS = [
    directories, fcntl, files, identity, ioctl, ipc, memory, poll, sockets, stat, system, time,
    xattr,
]  # fmt: skip


class Guest(FakeGuest):
    """A 32-bit PowerPC process in which only system calls happen."""

    def __init__(self) -> None:
        state = PpcState()
        self._so = state.layout.slots["cr0.so"]
        convention = PpcConvention(state.gpr.slots, self._so)
        abi = SyscallAbi(NUMBERS, STRUCTS, CONSTANTS, convention, machine=b"ppc")
        super().__init__(abi, state.layout, GuestMemory(), state.gpr.slots)
        self.process.argv.append(b"a b")
        self.process.auxv = b"\0\0\0\6\0\0\x10\0" + bytes(8)
        self.have_calls(GROUPS)

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

    def pass_arguments(self, number: int, args: Sequence[int]) -> None:
        """r0, and a register or an aligned pair for each argument, its upper half first."""
        call = self.table.call_of(number)
        kinds = tuple(ARGUMENTS[type_].kind for _, type_ in call.parameters) if call else ()
        self.set_register(0, number)
        for kind, register, raw in zip(kinds, places(kinds), args, strict=True):
            if kind in ("s64", "u64"):
                self.set_register(register, raw >> 32)
                register += 1
            self.set_register(register, raw)

    def result(self) -> int:
        """r3; a failure is told by CR0's SO."""
        result = self.register(3)
        if self.cpu.get(self._so):
            raise Errno(result)
        return result


@pytest.fixture
def guest() -> Iterator[Guest]:
    yield from lent(Guest())
