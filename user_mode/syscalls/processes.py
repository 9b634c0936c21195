"""Processes: another program in this one, and waiting for children."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from user_mode import execve
from user_mode.errors import Errno
from user_mode.host import Buffer, Nr, blocking
from user_mode.siginfo import HOST, SIZE, pack, unpack
from user_mode.syscalls import guest_memory
from user_mode.syscalls.paths import in_sysroot
from user_mode.syscalls.table import syscall
from user_mode.syscalls.types import Addr, AtFlags, DirFd, Int, Lookup, Name, Pid

if TYPE_CHECKING:
    from user_mode.process import Thread

AT_FDCWD, AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH = -100, 0x100, 0x1000
ARGUMENT_BYTES = 2 << 20
"""How much argv and the environment may take together."""


@syscall
def execve_(thread: Thread, path: Lookup, argv: Addr, env: Addr) -> None:
    """execve(2)"""
    execve.execve(thread, path, *_arguments(thread, argv, env))


@syscall
def execveat(
    thread: Thread, dirfd: DirFd, name: Name, argv: Addr, env: Addr, flags: AtFlags
) -> None:
    """execveat(2)"""
    if flags & ~(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW):
        raise Errno(errno.EINVAL)
    path = _path_at(thread, dirfd, name, flags)
    if flags & AT_SYMLINK_NOFOLLOW and os.path.islink(path):
        raise Errno(errno.ELOOP)
    execve.execve(thread, path, *_arguments(thread, argv, env))


def _path_at(thread: Thread, dirfd: int, name: bytes, flags: int) -> bytes:
    if name.startswith(b"/"):
        return in_sysroot(thread.process, name)
    if not name and not flags & AT_EMPTY_PATH:
        raise Errno(errno.ENOENT)
    if dirfd == AT_FDCWD:
        return name
    return os.path.join(b"/proc/self/fd/%d" % dirfd, name) if name else b"/proc/self/fd/%d" % dirfd


def _arguments(thread: Thread, argv: int, env: int) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    """The two vectors of execve(2); a NULL one is empty."""
    vectors = _strings(thread, argv), _strings(thread, env)
    if sum(len(text) + 1 for vector in vectors for text in vector) > ARGUMENT_BYTES:
        raise Errno(errno.E2BIG)
    return vectors


def _strings(thread: Thread, address: int) -> tuple[bytes, ...]:
    """A vector of pointers to strings, which ends with NULL."""
    memory, size = thread.process.memory, thread.process.abi.long_size
    load = memory.u32 if size == 4 else memory.u64
    found: list[bytes] = []
    while address and (text := load(address + size * len(found))):
        found.append(memory.cstring(text))
        if len(found) * size > ARGUMENT_BYTES:
            raise Errno(errno.E2BIG)
    return tuple(found)


# -- waiting for children --------------------------------------------------------------------------


def _wait(thread: Thread, pid: int, status: int, options: int, usage: int) -> int:
    found, used = Buffer(4), Buffer(thread.process.abi.host_structs.rusage.size)
    child = blocking(thread, Nr.wait4, pid, found.address, options, used.address)
    if child and status:
        thread.process.memory.put_u32(status, int.from_bytes(found.raw, "little"))
    if child and usage:
        guest_memory.from_host(thread, usage, "rusage", used.raw)
    return child


@syscall
def wait4(thread: Thread, pid: Pid, status: Addr, options: Int, usage: Addr) -> int:
    """wait4(2)"""
    return _wait(thread, pid, status, options, usage)


@syscall
def waitpid(thread: Thread, pid: Pid, status: Addr, options: Int) -> int:
    """waitpid(2)"""
    return _wait(thread, pid, status, options, 0)


@syscall
def waitid(thread: Thread, kind: Int, which: Pid, info: Addr, options: Int, usage: Addr) -> int:
    """waitid(2)"""
    abi = thread.process.abi
    found, used = Buffer(SIZE), Buffer(abi.host_structs.rusage.size)
    blocking(thread, Nr.waitid, kind, which, found.address, options, used.address)
    if info:
        thread.process.memory.write(info, pack(unpack(found.raw, HOST), abi.structs.model))
    if usage:
        guest_memory.from_host(thread, usage, "rusage", used.raw)
    return 0
