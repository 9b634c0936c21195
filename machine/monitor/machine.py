"""What the monitor asks of a machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from machine.board import Board
from machine.bus import Memory


class MonitorError(Exception):
    """A command cannot be carried out; a line that says why."""


class Registers(Protocol):
    """The processor's registers by name: `ax`, `es_base`, `cr0`, `eflags`; as wide as they are."""

    def __getitem__(self, name: str) -> int: ...
    def __setitem__(self, name: str, value: int) -> None: ...


class DriveLike(Protocol):
    """A drive, as `info block`, `eject` and `change` see it."""

    name: str
    read_only: bool
    is_cd: bool

    def eject(self) -> None: ...


class Described(Protocol):
    """A character device."""

    label: str

    @property
    def description(self) -> str: ...


class Machine(Protocol):
    """A machine; commands may call it from any thread that holds its lock."""

    name: str
    width: int
    """Of the processor's registers: 32 or 64."""
    thread_id: int

    @property
    def board(self) -> Board: ...
    @property
    def status(self) -> str:
        """`running`, `paused`, `shutdown`, ..."""

    @property
    def ram(self) -> Memory: ...
    @property
    def registers(self) -> Registers: ...
    @property
    def is_halted(self) -> bool: ...
    @property
    def drives(self) -> Mapping[str, Any]: ...
    @property
    def characters(self) -> Sequence[Described]: ...
    def read_linear(self, address: int, length: int) -> bytes:
        """Memory as the processor sees it now; MonitorError where there is none."""

    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def reset(self) -> None: ...
    def power_button(self) -> None: ...
    def quit(self) -> None: ...
    def screendump(self, path: str, kind: str) -> None: ...
    def change(self, drive: str, path: str, kind: str | None, read_only: bool | None) -> None: ...
    def statistics(self) -> Mapping[str, object]: ...
    def set_log(self, items: str) -> None: ...
    def set_log_file(self, path: str) -> None: ...
    def memory_pieces(self) -> Sequence[tuple[int, int, str]]: ...
