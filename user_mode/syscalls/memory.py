"""The guest's address space: thin calls of GuestMemory, which knows the rules."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from user_mode.areas import MAP_SHARED, PROT_WRITE
from user_mode.errors import Errno
from user_mode.host import call
from user_mode.host_numbers import Nr
from user_mode.syscalls.table import syscall
from user_mode.syscalls.types import (
    Addr,
    Advice,
    Fd,
    Int,
    MapFlags,
    Off,
    Pid,
    Prot,
    Size,
    UInt,
    ULong,
)

if TYPE_CHECKING:
    from user_mode.process import Thread

MMAP2_UNIT = 4096
PAGE = 4096
MAP_ANONYMOUS = 0x20

DIRECT = """\
mlockall         flags:MlockAll
munlockall
"""


@syscall
def brk(thread: Thread, address: Addr) -> int:
    """brk(2)"""
    return thread.process.memory.brk(address)


@syscall
def mmap(
    thread: Thread, address: Addr, length: Size, prot: Prot, flags: MapFlags, fd: Fd, offset: Off
) -> int:
    """mmap(2), the offset in bytes"""
    return _map(thread, address, length, prot, flags, fd, offset)


@syscall
def mmap2(
    thread: Thread, address: Addr, length: Size, prot: Prot, flags: MapFlags, fd: Fd, pages: ULong
) -> int:
    """mmap(2), the offset in units of 4096 bytes"""
    return _map(thread, address, length, prot, flags, fd, pages * MMAP2_UNIT)


def _map(
    thread: Thread, address: int, length: int, prot: int, flags: int, fd: int, offset: int
) -> int:
    if offset % PAGE:
        raise Errno(errno.EINVAL)
    fd = -1 if flags & MAP_ANONYMOUS else fd
    if flags & MAP_SHARED and prot & PROT_WRITE:
        thread.process.share_memory()
    return thread.process.memory.mmap(address, length, prot, flags, fd, offset)


@syscall
def munmap(thread: Thread, address: Addr, length: Size) -> int:
    """munmap(2)"""
    thread.process.memory.munmap(address, length)
    return 0


@syscall
def mprotect(thread: Thread, address: Addr, length: Size, prot: Prot) -> int:
    """mprotect(2)"""
    thread.process.memory.mprotect(address, length, prot)
    return 0


@syscall
def mremap(thread: Thread, address: Addr, old: Size, new: Size, flags: UInt, target: Addr) -> int:
    """mremap(2)"""
    return thread.process.memory.mremap(address, old, new, flags, target)


@syscall
def madvise(thread: Thread, address: Addr, length: Size, advice: Advice) -> int:
    """madvise(2)"""
    thread.process.memory.madvise(address, length, advice)
    return 0


@syscall
def msync(thread: Thread, address: Addr, length: Size, flags: Int) -> int:
    """msync(2)"""
    thread.process.memory.msync(address, length, flags)
    return 0


@syscall
def mincore(thread: Thread, address: Addr, length: Size, result: Addr) -> int:
    """mincore(2)"""
    memory = thread.process.memory
    memory.write(result, memory.mincore(address, length))
    return 0


def _lock(thread: Thread, number: int, address: int, length: int, *flags: int) -> int:
    start = address & -PAGE
    end = -(-(address + length) // PAGE) * PAGE
    if not thread.process.memory.is_mapped(start, end - start):
        raise Errno(errno.ENOMEM)
    where = thread.process.memory.host_range(start, end - start, False)
    return call(number, where, end - start, *flags)


@syscall
def mlock(thread: Thread, address: Addr, length: Size) -> int:
    """mlock(2)"""
    return _lock(thread, Nr.mlock, address, length)


@syscall
def mlock2(thread: Thread, address: Addr, length: Size, flags: UInt) -> int:
    """mlock2(2)"""
    return _lock(thread, Nr.mlock2, address, length, flags)


@syscall
def munlock(thread: Thread, address: Addr, length: Size) -> int:
    """munlock(2)"""
    return _lock(thread, Nr.munlock, address, length)


# -- another process's memory ----------------------------------------------------------------------


def _vector(thread: Thread, address: int, count: int) -> list[tuple[int, int]]:
    memory = thread.process.memory
    layout = thread.process.abi.structs.iovec
    if not 0 <= count <= 1024:
        raise Errno(errno.EINVAL)
    data = memory.read(address, layout.size * count) if count else b""
    starts = range(0, len(data), layout.size)
    return [(v[0], v[1]) for v in (layout.unpack(data[i : i + layout.size]) for i in starts)]


def _move(thread: Thread, source: list[tuple[int, int]], target: list[tuple[int, int]]) -> int:
    memory = thread.process.memory
    data = b"".join(memory.read(address, length) for address, length in source if length)
    done = 0
    for address, length in target:
        part = data[done : done + length]
        if part:
            memory.write(address, part)
        done += len(part)
    return done


@syscall
def process_vm_readv(
    thread: Thread,
    pid: Pid,
    local: Addr,
    count: ULong,
    remote: Addr,
    remote_count: ULong,
    flags: ULong,
) -> int:
    """process_vm_readv(2), of this process only: where others have theirs is not known here"""
    if pid != os.getpid():
        raise Errno(errno.EPERM)
    parts = _vector(thread, remote, remote_count)
    return _move(thread, parts, _vector(thread, local, count))


@syscall
def process_vm_writev(
    thread: Thread,
    pid: Pid,
    local: Addr,
    count: ULong,
    remote: Addr,
    remote_count: ULong,
    flags: ULong,
) -> int:
    """process_vm_writev(2), to this process only"""
    if pid != os.getpid():
        raise Errno(errno.EPERM)
    parts = _vector(thread, local, count)
    return _move(thread, parts, _vector(thread, remote, remote_count))
