"""A process without an engine: real registers, memory and host signals, nothing runs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from frontends.ppc.state import PpcState
from tcg.cpu import Cpu
from tcg.log import Log
from user_mode.abi.ppc.abi import PpcAbi
from user_mode.memory import GuestMemory
from user_mode.process import Thread
from user_mode.signals import SIG_DFL, SIG_IGN, SigAction

STACK_TOP = 0x8000_0000
HANDLER = 0x1000_0000


class Actions:
    """What `delivery` asks of SignalState, with a host that only takes notes."""

    def __init__(self) -> None:
        self.table: dict[int, SigAction] = {}
        self.masks: list[int] = []
        self.sent_back: list[Any] = []
        self.deaths: list[int] = []
        self.host = SimpleNamespace(
            mask=self.masks.append, send_back=self.sent_back.append, die_of=self._die_of,
            pending=lambda: 0,
        )  # fmt: skip

    def _die_of(self, signo: int) -> None:
        self.deaths.append(signo)
        raise SystemExit(128 + signo)

    def __getitem__(self, signo: int) -> SigAction:
        return self.table.get(signo, SigAction())

    def __setitem__(self, signo: int, action: SigAction) -> None:
        self.table[signo] = action

    def is_ignored(self, signo: int) -> bool:
        """SIG_IGN only: the tests use no signal that is ignored by default."""
        return self[signo].handler == SIG_IGN

    def is_fatal(self, signo: int) -> bool:
        """SIG_DFL, as the tests use no signal with a harmless default."""
        return self[signo].handler == SIG_DFL


@pytest.fixture
def thread() -> Any:
    """A thread with a stack at STACK_TOP and signal trampolines."""
    state = PpcState()
    view = memoryview(bytearray(-(-state.layout.size // 64) * 64))
    abi = PpcAbi(state)
    memory = GuestMemory()
    process: Any = SimpleNamespace(
        abi=abi,
        memory=memory,
        signals=Actions(),
        runtime=SimpleNamespace(safe_syscall=None),
        arrivals=SimpleNamespace(of=lambda _thread: process.hand),
        hand=[],
        log=Log(),
        before_end=lambda: None,
    )
    memory.mmap(STACK_TOP - 0x10000, 0x10000, 3, 0x32, -1, 0)
    process.trampolines = 0x7000_0000
    process.whole = process
    made = Thread(process, Cpu(state.layout, view, 0), 1)
    abi.start_program(made.cpu, 0x1234, STACK_TOP - 0x1000)
    yield made
    memory.close()
