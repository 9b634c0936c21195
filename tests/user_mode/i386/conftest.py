"""An i386 process without an engine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from frontends.x86.state import AX, X86State
from tests.user_mode.fake_guest import PRIVATE_ANONYMOUS, READ_WRITE, FakeGuest, lent
from user_mode.abi.i386.abi import I386Abi
from user_mode.abi.i386.convention import ARGUMENTS, places
from user_mode.abi.i386.program import TASK_SIZE
from user_mode.memory import GuestMemory
from user_mode.syscalls import (
    fcntl,
    files,
    identity,
    identity16,
    ipc,
    memory,
    old,
    poll,
    signals,
    stat,
    system,
    time,
    x86,
)
from user_mode.syscalls.types import ARGUMENTS as TYPES

GROUPS = [
    fcntl, files, identity, identity16, ipc, memory, old, poll, signals, stat, system, time, x86,
]  # fmt: skip
VDSO = 0x7000_0000
PLAIN: Any = SimpleNamespace(features=frozenset())
"""A processor without XSAVE."""


class Guest(FakeGuest):
    """A 32-bit process."""

    def __init__(self) -> None:
        self.state = X86State(32)
        memory = GuestMemory(1 << 32, "<", TASK_SIZE)
        abi = I386Abi(self.state, PLAIN, memory)
        super().__init__(abi, self.state.layout, memory, self.state.gpr.slots)
        self.stack = memory.mmap(0, 1 << 20, READ_WRITE, PRIVATE_ANONYMOUS) + (1 << 19)
        self.process.trampolines = VDSO
        self.have_calls(GROUPS)
        abi.start_program(self.cpu, 0x0804_8000, self.stack)

    def pass_arguments(self, number: int, args: Sequence[int]) -> None:
        """EAX, and a register or two for each argument."""
        call = self.table.call_of(number)
        assert call is not None, number
        kinds = tuple(TYPES[type_].kind for _, type_ in call.parameters)
        self.set_register(AX, number)
        for kind, place, raw in zip(kinds, places(kinds), args, strict=True):
            self.set_register(ARGUMENTS[place], raw)
            if kind in ("s64", "u64"):
                self.set_register(ARGUMENTS[place + 1], raw >> 32)

    def result(self) -> int:
        """EAX"""
        return self.negative_result(AX)


@pytest.fixture
def guest() -> Iterator[Guest]:
    yield from lent(Guest())
