"""A board with a processor for tests: a program of a few lines runs from 7C00h until it says stop.

It stops by writing to port 501h, or by a triple fault.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from frontends.x86.pc_guest import PcGuest
from machine.board import Board, Outside, build_board
from machine.bus import Bus
from machine.clock import Clock, InstructionTime, RealTime
from machine.engines import build_runner
from machine.physical import PhysicalMemory
from machine.processor import LockedBus, Processor
from tcg.log import Log
from tests.machine.bare import START, assemble

STOP = "mov dx, 0x501; out dx, al;"
SECONDS = 60.0


@dataclass
class Computer:
    """Runs one program."""

    engine: str = "interp"
    model: str = "qemu32"
    reports: list[str] = field(default_factory=list)
    icount: int | None = None
    triple_faults: int = 0
    board: Board = field(init=False)
    memory: PhysicalMemory = field(init=False)
    processor: Processor = field(init=False)

    def __post_init__(self) -> None:
        lock = threading.RLock()
        counted = None if self.icount is None else InstructionTime(lambda: 0, self.icount)
        clock = Clock(counted or RealTime(time.monotonic_ns))
        self.memory = PhysicalMemory(1 << 22, Bus("memory"))
        guest = PcGuest(self.model)
        runner = build_runner(self.engine, guest, self.memory, Log())
        self.memory.on_written = runner.memory_changed
        outside = Outside(
            start=datetime(2026, 1, 1, tzinfo=UTC), has_smm=False, debug_exit=self._stop
        )
        self.board = build_board(clock, self.memory, outside)
        self.memory.bus = LockedBus(self.board.memory, lock)
        self.processor = Processor(
            runner,
            guest,
            self.board,
            lock,
            report=self.reports.append,
            on_triple_fault=self._triple_fault,
        )
        if counted is not None:
            self.processor.count_time(counted)
        with lock:
            self.board.reset()
        self.processor.reset()
        self["cs"] = 0
        self["ip"] = START
        self["sp"] = START

    def __getitem__(self, name: str) -> int:
        return self.processor.registers[name]

    def __setitem__(self, name: str, value: int) -> None:
        self.processor.registers[name] = value

    def _stop(self, _: int) -> None:
        self.processor.request_stop()

    def _triple_fault(self) -> None:
        self.triple_faults += 1
        self.processor.request_stop()

    def run(self, text: str, meanwhile: Callable[[Computer], None] | None = None) -> Computer:
        """Run a program; `meanwhile` is called on another thread."""
        self.memory.write(START, assemble(text))
        late = threading.Timer(SECONDS, self.processor.request_stop)
        late.start()
        if meanwhile is not None:
            threading.Thread(target=meanwhile, args=(self,), daemon=True).start()
        self.processor.run()
        assert late.is_alive(), f"not done after {SECONDS} s, at {self['cs']:x}:{self['ip']:x}"
        late.cancel()
        return self


def run(text: str, engine: str = "interp", model: str = "qemu32") -> Computer:
    """Run a program on a new machine."""
    return Computer(engine, model).run(text)
