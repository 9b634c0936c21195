"""An x86-64 process without an engine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from frontends.x86.frontend import X8664Frontend
from frontends.x86.state import AX
from tests.user_mode.fake_guest import PRIVATE_ANONYMOUS, READ_WRITE, FakeGuest, lent
from user_mode.abi.x86_64.abi import X8664Abi
from user_mode.abi.x86_64.convention import ARGUMENTS
from user_mode.abi.x86_64.program import ADDRESSES, TASK_SIZE
from user_mode.memory import GuestMemory
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

GROUPS = [fcntl, files, identity, ipc, memory, poll, signals, stat, system, time, x86]


class Guest(FakeGuest):
    """A 64-bit process."""

    word = 64

    def __init__(self, features: frozenset[str] = frozenset()) -> None:
        self.frontend = X8664Frontend()
        self.state = self.frontend.state
        memory = GuestMemory(ADDRESSES, "<", TASK_SIZE)
        model: Any = SimpleNamespace(features=features)
        abi = X8664Abi(self.frontend, model)
        super().__init__(abi, self.state.layout, memory, self.state.gpr.slots)
        self.stack = memory.mmap(0, 1 << 20, READ_WRITE, PRIVATE_ANONYMOUS) + (1 << 19)
        self.have_calls(GROUPS)
        abi.start_program(self.cpu, 0x40_1000, self.stack)

    def pass_arguments(self, number: int, args: Sequence[int]) -> None:
        """rax, and a register for each argument."""
        self.set_register(AX, number)
        for register, raw in zip(ARGUMENTS, args, strict=False):
            self.set_register(register, raw)

    def result(self) -> int:
        """rax"""
        return self.negative_result(AX)


@pytest.fixture
def guest() -> Iterator[Guest]:
    yield from lent(Guest())


@pytest.fixture
def guest_with_avx() -> Iterator[Guest]:
    yield from lent(Guest(frozenset(("xsave", "avx"))))
