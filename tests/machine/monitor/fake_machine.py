"""A machine without a processor, for the monitor: a board, some memory, registers in a dict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from machine.board import Board, Outside, build_board
from machine.monitor.commands import Session, execute
from machine.monitor.machine import Described, MonitorError
from tests.machine.fakes import FakeTime, Ram

GENERAL = ("ax", "bx", "cx", "dx", "si", "di", "bp", "sp")
PARTS = ("es", "cs", "ss", "ds", "fs", "gs", "ldtr", "tr")


def reset_registers() -> dict[str, int]:
    """What the processor's registers hold after reset (SDM vol. 3, table 9-1)."""
    registers = dict.fromkeys(GENERAL, 0)
    for name in PARTS:
        registers |= {name: 0, f"{name}_base": 0, f"{name}_limit": 0xFFFF, f"{name}_rights": 0x9300}
    registers |= {"cs": 0xF000, "cs_base": 0xFFFF0000, "cs_rights": 0x9B00, "dx": 0x663}
    registers |= {"ldtr_rights": 0x8200, "tr_rights": 0x8B00, "ip": 0xFFF0, "eflags": 2, "cpl": 0}
    for name in ("gdt", "idt"):
        registers |= {f"{name}_base": 0, f"{name}_limit": 0xFFFF}
    registers |= {f"cr{n}": 0 for n in (0, 2, 3, 4, 8)} | {f"dr{n}": 0 for n in range(4)}
    registers |= {"cr0": 0x60000010, "dr6": 0xFFFF0FF0, "dr7": 0x400, "efer": 0}
    return registers | {f"xmm{n}": 0 for n in range(8)}


class FakeMachine:
    """What `machine.monitor.machine.Machine` asks for; calls are noted in `called`."""

    name = "tea"
    width = 32
    thread_id = 4711
    is_halted = False
    characters: Sequence[Described] = ()

    def __init__(self) -> None:
        self.time = FakeTime()
        self.ram = Ram()
        start = datetime(2024, 2, 29, tzinfo=UTC)
        self.board: Board = build_board(self.time.clock, self.ram, Outside(start=start))
        self.board.reset()
        self.registers = reset_registers()
        self.drives: Mapping[str, Any] = {}
        self.called: list[object] = []
        self.status = "running"

    def read_linear(self, address: int, length: int) -> bytes:
        if address + length > len(self.ram.data):
            raise MonitorError("Cannot access memory")
        return self.ram.read(address, length)

    def pause(self) -> None:
        self.status = "paused"

    def resume(self) -> None:
        self.status = "running"

    def reset(self) -> None:
        self.called.append("reset")

    def power_button(self) -> None:
        self.called.append("power button")

    def quit(self) -> None:
        self.called.append("quit")

    def screendump(self, path: str, kind: str) -> None:
        self.called.append((path, kind))

    def change(self, drive: str, path: str, kind: str | None, read_only: bool | None) -> None:
        self.called.append((drive, path, kind, read_only))

    def statistics(self) -> Mapping[str, object]:
        return {"blocks": 12, "worker_seconds": 0.5}

    def set_log(self, items: str) -> None:
        self.called.append(("log", items))

    def set_log_file(self, path: str) -> None:
        self.called.append(("logfile", path))

    def memory_pieces(self) -> Sequence[tuple[int, int, str]]:
        return [(0, 0x40000, "ram")]


def ask(line: str, machine: FakeMachine | None = None) -> str:
    """What a monitor answers to a line."""
    return execute(Session(machine or FakeMachine()), line)
