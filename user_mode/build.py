"""Building a guest process: every part is made and put together here, once per guest machine."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from tcg.log import STDERR, Log, open_log
from user_mode.loader import DEFAULT_STACK_SIZE, Loader
from user_mode.memory import GuestMemory
from user_mode.options import Settings

if TYPE_CHECKING:
    from types import ModuleType

    from tcg.engine import Runner
    from tcg.frontend import Frontend
    from user_mode.process import Process, Runtime

PPC_TASK_SIZE = 0xC0000000
"""TASK_SIZE of a 32-bit PowerPC kernel: where the stack ends."""
_LARGEST_STACK = 1 << 30


def ppc_loader(settings: Settings) -> Loader:
    """A loader of 32-bit PowerPC programs."""
    from frontends.ppc.state import CACHE_LINE
    from user_mode.abi.ppc.program import program_abi

    sysroot = settings.sysroot.encode(errors="surrogateescape")
    return Loader(program_abi(CACHE_LINE), sysroot, stack_size(settings))


def build_ppc(settings: Settings, loader: Loader, log: Log, environ: Mapping[str, str]) -> Process:
    """A process for 32-bit PowerPC, big-endian, with nothing loaded yet."""
    from frontends.ppc.frontend import PpcFrontend
    from frontends.ppc.state import CHECKS_FLOATS
    from user_mode.abi.ppc.abi import PpcAbi
    from user_mode.process import Process
    from user_mode.strace import Strace
    from user_mode.syscalls.table import SyscallTable

    task_size = min(PPC_TASK_SIZE, settings.address_space or PPC_TASK_SIZE)
    memory = GuestMemory(1 << 32, ">", task_size)
    frontend = PpcFrontend()
    where = "frontends.ppc.frontend:PpcFrontend"
    runtime, engine, descriptors = _translator(frontend, where, memory, settings, log, environ)
    memory.code_changed = engine.invalidate

    def check_floats() -> None:
        frontend.set_mode(CHECKS_FLOATS)
        process.translate_anew()

    abi = PpcAbi(frontend.state, check_floats)
    abi.release = settings.uname_release.encode(errors="surrogateescape")
    table = SyscallTable(abi, _syscalls(), Strace(abi, log) if log.wants("strace") else None)
    process = Process(abi, memory, engine, runtime, table, loader, log, "qemupy-ppc")
    process.sysroot = loader.sysroot
    process.fds.private = descriptors
    process.statistics_file = environ.get("QEMUPY_STATS", "")
    process.accelerator = settings.accelerator
    return process


def _translator(
    frontend: Frontend,
    where: str,
    memory: GuestMemory,
    settings: Settings,
    log: Log,
    environ: Mapping[str, str],
) -> tuple[Runtime, Runner, set[int]]:
    """The native runtime, the engine of -accel, and the descriptors that are not the guest's.

    `where` tells the worker the frontend.
    """
    from backend.llvm.cache import open_cache
    from backend.llvm.host import LlvmBackend
    from tcg.engine import Engine, EngineOptions

    cache = open_cache(environ, lambda line: log.write("jit", line + "\n"))
    backend = LlvmBackend(where, frontend.pc_shift, cache, log)
    backend.runtime.catch_faults()
    descriptors = backend.client.descriptors
    if log.fd > STDERR:
        descriptors.add(log.fd)
    if settings.perf_map:
        backend.arena.perf_map = os.fdopen(open_log("/tmp/perf-%d.map"), "w")
        descriptors.add(backend.arena.perf_map.fileno())
    if settings.accelerator == "interp":
        from tcg.interp import Interpreter
        from user_mode.interpreted import InterpretedMemory

        one = settings.one_instruction
        interpreter = Interpreter(frontend, InterpretedMemory(memory), log, one)
        return backend.runtime, interpreter, descriptors
    backend.waits = environ.get("QEMUPY_WAIT", "") == "1"
    options = EngineOptions(
        settings.accelerator == "jit", settings.one_instruction, _hot_entries(environ)
    )
    return backend.runtime, Engine(frontend, memory, backend, options, log), descriptors


def _hot_entries(environ: Mapping[str, str]) -> int:
    """QEMUPY_HOT: how many entries make a block hot; small numbers compile nearly everything."""
    from tcg.engine import HOT_ENTRIES

    wanted = environ.get("QEMUPY_HOT", "")
    return int(wanted) if wanted.isdecimal() and 0 < int(wanted) < 1 << 30 else HOT_ENTRIES


def _syscalls() -> list[ModuleType]:
    """The groups of system calls."""
    from user_mode.syscalls import (
        directories,
        fcntl,
        files,
        identity,
        ioctl,
        ipc,
        memory,
        poll,
        processes,
        signals,
        sockets,
        stat,
        system,
        threads,
        time,
        xattr,
    )

    return [
        directories, fcntl, files, identity, ioctl, ipc, memory, poll,
        processes, signals, sockets, stat, system, threads, time, xattr,
    ]  # fmt: skip


def stack_size(settings: Settings) -> int:
    """The size of the stack: what -s says, else RLIMIT_STACK as the kernel would take it."""
    from resource import RLIMIT_STACK, getrlimit

    if settings.stack_size is not None:
        return settings.stack_size
    limit = getrlimit(RLIMIT_STACK)[0]
    return limit if 65536 <= limit <= _LARGEST_STACK else DEFAULT_STACK_SIZE


class Guest(NamedTuple):
    """A machine whose programs a command runs."""

    command: str
    machine: str
    root: str
    """An -L that fits, for the help."""
    cpus: Mapping[str, str]
    """Names for -cpu, the usual one first, and what they are."""
    loader: Callable[[Settings], Loader]
    build: Callable[[Settings, Loader, Log, Mapping[str, str]], Process]


PPC = Guest(
    "qemupy-ppc",
    "32-bit PowerPC",
    "/usr/powerpc-linux-gnu",
    {"750": "PowerPC 750 (G3), without AltiVec"},
    ppc_loader,
    build_ppc,
)
