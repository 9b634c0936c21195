"""The engine of -accel for a whole machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from machine.physical import PhysicalMemory
    from tcg.log import Log
    from tcg.system import Guest, SystemRunner

ACCELERATORS = ("jit", "threaded", "interp")
"""What -accel takes, the usual one first."""
PLACE = "system:x86"
"""Under which name handlers are kept, whatever modes they are for."""


def build_runner(
    accelerator: str,
    guest: Guest,
    memory: PhysicalMemory,
    log: Log,
    environ: Mapping[str, str] = os.environ,
    one_instruction: bool = False,
    perf_map: bool = False,
) -> SystemRunner:
    """The engine that runs a machine's processor, which hears of changes to memory.

    QEMUPY_HOT says how many entries make a block hot, QEMUPY_WAIT=1 that the guest stands still
    while code is compiled.
    """
    if accelerator == "interp":
        from tcg.system_interp import SystemInterpreter

        return _connected(memory, SystemInterpreter(guest, memory, log, one_instruction))
    from backend.llvm.cache import open_cache
    from backend.llvm.host import LlvmBackend
    from tcg.engine import HOT_ENTRIES, EngineOptions
    from tcg.log import open_log
    from tcg.system_engine import SystemEngine

    cache = open_cache(environ, lambda line: log.write("jit", line + "\n"))
    backend = LlvmBackend(PLACE, 0, cache, log, system=True)
    backend.waits = environ.get("QEMUPY_WAIT", "") == "1"
    if perf_map:
        backend.arena.perf_map = os.fdopen(open_log("/tmp/perf-%d.map"), "w")
    wanted = environ.get("QEMUPY_HOT", "")
    hot_entries = int(wanted) if wanted.isdecimal() and int(wanted) else HOT_ENTRIES
    options = EngineOptions(accelerator == "jit", one_instruction, hot_entries)
    return _connected(memory, SystemEngine(guest, memory, backend, options, log))


def _connected(memory: PhysicalMemory, runner: SystemRunner) -> SystemRunner:
    """Have the engine hear of what devices write, and of windows that show other memory."""

    def remap(start: int, end: int) -> None:
        runner.memory_changed(start, end)
        runner.remapped()

    memory.on_written = runner.memory_changed
    memory.on_map_changed = remap
    return runner
