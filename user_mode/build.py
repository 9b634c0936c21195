"""Building a guest process: every part is made and put together here, once per guest machine."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from tcg.log import STDERR, Log, open_log
from user_mode.loader import DEFAULT_STACK_SIZE, Loader, ProgramAbi
from user_mode.memory import GuestMemory
from user_mode.options import Settings

if TYPE_CHECKING:
    from types import ModuleType

    from frontends.x86.cpuid import CpuModel
    from tcg.engine import Runner
    from tcg.frontend import Frontend
    from user_mode.abi.base import SyscallAbi
    from user_mode.process import Process, Runtime
    from user_mode.syscalls.table import SyscallTable

PPC_TASK_SIZE = 0xC0000000
"""TASK_SIZE of a 32-bit PowerPC kernel: where the stack ends."""
_LARGEST_STACK = 1 << 30


def ppc_loader(settings: Settings) -> Loader:
    """A loader of 32-bit PowerPC programs."""
    from frontends.ppc.state import CACHE_LINE
    from user_mode.abi.ppc.program import program_abi

    return _loader(program_abi(CACHE_LINE), settings)


def _loader(abi: ProgramAbi, settings: Settings) -> Loader:
    sysroot = settings.sysroot.encode(errors="surrogateescape")
    return Loader(abi, sysroot, stack_size(settings))


def build_ppc(settings: Settings, loader: Loader, log: Log, environ: Mapping[str, str]) -> Process:
    """A process for 32-bit PowerPC, big-endian, with nothing loaded yet."""
    from frontends.ppc.frontend import PpcFrontend
    from frontends.ppc.state import CHECKS_FLOATS
    from user_mode.abi.ppc.abi import PpcAbi

    task_size = min(PPC_TASK_SIZE, settings.address_space or PPC_TASK_SIZE)
    memory = GuestMemory(1 << 32, ">", task_size)
    frontend = PpcFrontend()
    where = "frontends.ppc.frontend:PpcFrontend"
    translator = _translator(frontend, where, memory, settings, log, environ)

    def check_floats() -> None:
        frontend.set_mode(CHECKS_FLOATS)
        process.translate_anew()

    abi = PpcAbi(frontend.state, check_floats)
    process = _process("qemupy-ppc", abi, memory, translator, loader, settings, log, environ)
    return process


def x86_64_loader(settings: Settings) -> Loader:
    """A loader of x86-64 programs."""
    from user_mode.abi.x86_64.program import program_abi

    return _loader(program_abi(cpu_model(settings.cpu)), settings)


def build_x86_64(
    settings: Settings, loader: Loader, log: Log, environ: Mapping[str, str]
) -> Process:
    """A process for x86-64, with nothing loaded yet."""
    from frontends.x86.models import model_frontend
    from user_mode.abi.x86_64.abi import X8664Abi
    from user_mode.abi.x86_64.program import ADDRESSES, TASK_SIZE

    memory = GuestMemory(ADDRESSES, "<", min(TASK_SIZE, settings.address_space or TASK_SIZE))
    model = cpu_model(settings.cpu)
    frontend = model_frontend("x86_64", model.name)
    translator = _translator(frontend, frontend.place, memory, settings, log, environ)
    abi = X8664Abi(frontend, model)

    def int80_table() -> SyscallTable:
        from user_mode.abi.x86_64.int80 import Int80Abi

        return _syscall_table(Int80Abi(frontend, model), b"i386", log)

    abi.int80_table = int80_table
    return _process("qemupy-x86_64", abi, memory, translator, loader, settings, log, environ)


def i386_loader(settings: Settings) -> Loader:
    """A loader of i386 programs."""
    from user_mode.abi.i386.program import program_abi

    return _loader(program_abi(cpu_model(settings.cpu)), settings)


def build_i386(settings: Settings, loader: Loader, log: Log, environ: Mapping[str, str]) -> Process:
    """A process for i386, with nothing loaded yet."""
    from frontends.x86.models import model_frontend
    from user_mode.abi.i386.abi import I386Abi
    from user_mode.abi.i386.program import TASK_SIZE

    memory = GuestMemory(1 << 32, "<", min(TASK_SIZE, settings.address_space or TASK_SIZE))
    model = cpu_model(settings.cpu)
    frontend = model_frontend("i386", model.name)
    translator = _translator(frontend, frontend.place, memory, settings, log, environ)
    abi = I386Abi(frontend.state, model, memory)
    abi.frontend = frontend
    return _process("qemupy-i386", abi, memory, translator, loader, settings, log, environ)


def cpu_model(name: str) -> CpuModel:
    """The x86 processor of that name, or the usual one."""
    from frontends.x86.cpuid import MODELS

    return MODELS[name] if name else next(iter(MODELS.values()))


def _process(
    command: str,
    abi: SyscallAbi,
    memory: GuestMemory,
    translator: tuple[Runtime, Runner, set[int]],
    loader: Loader,
    settings: Settings,
    log: Log,
    environ: Mapping[str, str],
) -> Process:
    """The process around the parts that depend on the guest's machine."""
    from user_mode.process import Process

    runtime, engine, descriptors = translator
    memory.code_changed = engine.invalidate
    abi.release = settings.uname_release.encode(errors="surrogateescape")
    table = _syscall_table(abi, abi.machine, log)
    process = Process(abi, memory, engine, runtime, table, loader, log, command)
    process.sysroot = loader.sysroot
    process.fds.private = descriptors
    process.statistics_file = environ.get("QEMUPY_STATS", "")
    process.accelerator = settings.accelerator
    return process


def _syscall_table(abi: SyscallAbi, machine: bytes, log: Log) -> SyscallTable:
    """The system calls of an ABI; `machine` says which groups it has."""
    from user_mode.strace import Strace
    from user_mode.syscalls.table import SyscallTable

    strace = Strace(abi, log) if log.wants("strace") else None
    return SyscallTable(abi, [*_syscalls(), *_own_syscalls(machine)], strace)


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


def _own_syscalls(machine: bytes) -> list[ModuleType]:
    """The groups that only some machines have, by what uname(2) calls them."""
    if machine == b"ppc":
        return []
    from user_mode.syscalls import x86

    if machine == b"x86_64":
        return [x86]
    from user_mode.syscalls import identity16, old

    return [identity16, old, x86]


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
    cpus: Callable[[], Mapping[str, str]]
    """Names for -cpu, the usual one first, and what they are."""
    loader: Callable[[Settings], Loader]
    build: Callable[[Settings, Loader, Log, Mapping[str, str]], Process]


def x86_64_cpus() -> Mapping[str, str]:
    """The processors of x86-64 guests: those that have 64-bit code."""
    from frontends.x86.cpuid import MODELS

    found = {name: model for name, model in MODELS.items() if "lm" in model.features}
    return {name: model.description for name, model in found.items()}


def x86_cpus() -> Mapping[str, str]:
    """The processors of x86 guests."""
    from frontends.x86.cpuid import MODELS

    return {name: model.description for name, model in MODELS.items()}


PPC = Guest(
    "qemupy-ppc",
    "32-bit PowerPC",
    "/usr/powerpc-linux-gnu",
    lambda: {"750": "PowerPC 750 (G3), without AltiVec"},
    ppc_loader,
    build_ppc,
)

X86_64 = Guest(
    "qemupy-x86_64",
    "x86-64",
    "/usr/x86_64-linux-gnu",
    x86_64_cpus,
    x86_64_loader,
    build_x86_64,
)

I386 = Guest(
    "qemupy-i386",
    "i386",
    "/usr/i686-linux-gnu",
    x86_cpus,
    i386_loader,
    build_i386,
)
