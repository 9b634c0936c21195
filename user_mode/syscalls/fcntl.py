"""Descriptors themselves: duplicates, flags, locks, owners, pipes, and those that count."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING

from user_mode.errors import Errno
from user_mode.host import Buffer, blocking, call
from user_mode.host_numbers import Nr
from user_mode.syscalls import guest_memory
from user_mode.syscalls.descriptors import Conversion, counter, inotify_events, signal_infos
from user_mode.syscalls.table import syscall
from user_mode.syscalls.types import (
    Addr,
    Clock,
    EventFlags,
    Fcntl,
    Fd,
    OpenFlags,
    Size,
    UInt,
    ULong,
)

if TYPE_CHECKING:
    from user_mode.abi.flags import Flags
    from user_mode.process import Thread

DIRECT = """\
inotify_add_watch  fd:Fd path:Lookup mask:UInt
inotify_rm_watch   fd:Fd watch:Int
flock              fd:Fd operation:Int              waits
"""


# -- duplicates and pipes --------------------------------------------------------------------------


def _duplicate(thread: Thread, old: int, new: int) -> int:
    thread.process.fds.copied(old, new)
    return new


@syscall
def dup(thread: Thread, fd: Fd) -> int:
    """dup(2)"""
    return _duplicate(thread, fd, call(Nr.dup, fd))


def _check_target(thread: Thread, fd: int) -> None:
    if fd in thread.process.fds.private:
        raise Errno(errno.EBADF)


@syscall
def dup2(thread: Thread, old: Fd, new: Fd) -> int:
    """dup2(2)"""
    _check_target(thread, new)
    result = call(Nr.dup2, old, new)
    return new if old == new else _duplicate(thread, old, result)


@syscall
def dup3(thread: Thread, old: Fd, new: Fd, flags: OpenFlags) -> int:
    """dup3(2)"""
    _check_target(thread, new)
    return _duplicate(thread, old, call(Nr.dup3, old, new, flags))


def _pipe(thread: Thread, result: int, flags: int) -> int:
    pair = Buffer(8)
    call(Nr.pipe2, pair.address, flags)
    memory = thread.process.memory
    for i, at in enumerate((0, 4)):
        fd = int.from_bytes(pair.raw[at : at + 4], "little")
        thread.process.fds.closed(fd)
        memory.put_u32(result + 4 * i, fd)
    return 0


@syscall
def pipe(thread: Thread, result: Addr) -> int:
    """pipe(2)"""
    return _pipe(thread, result, 0)


@syscall
def pipe2(thread: Thread, result: Addr, flags: OpenFlags) -> int:
    """pipe2(2)"""
    return _pipe(thread, result, flags)


# -- fcntl -----------------------------------------------------------------------------------------

F_DUPFD, F_GETFL, F_SETFL = 0, 3, 4
F_GETLK, F_SETLK, F_SETLKW = 5, 6, 7
F_GETLK64, F_SETLK64, F_SETLKW64 = 12, 13, 14
F_SETOWN_EX, F_GETOWN_EX = 15, 16
F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW = 36, 37, 38
F_DUPFD_CLOEXEC = 1030
F_GET_RW_HINT, F_SET_FILE_RW_HINT = 1035, 1038

PLAIN_COMMANDS = frozenset((1, 2, 8, 9, 10, 11, 1024, 1025, 1026, 1031, 1032, 1033, 1034))
"""Commands whose argument and result are numbers that mean the same everywhere: F_GETFD, F_SETFD,
owners and signals, leases, F_NOTIFY, pipe sizes, seals."""
LOCK_COMMANDS = {
    F_GETLK: F_GETLK, F_SETLK: F_SETLK, F_SETLKW: F_SETLKW,
    F_GETLK64: F_GETLK, F_SETLK64: F_SETLK, F_SETLKW64: F_SETLKW,
    F_OFD_GETLK: F_OFD_GETLK, F_OFD_SETLK: F_OFD_SETLK, F_OFD_SETLKW: F_OFD_SETLKW,
}  # fmt: skip
"""The guest's lock commands, and the host's: on 64 bits there is one structure only."""


@syscall(also=("fcntl64",))
def fcntl(thread: Thread, fd: Fd, command: Fcntl, argument: ULong) -> int:
    """fcntl(2)"""
    if command == F_GETFL:
        flags: Flags = thread.process.abi.open_flags
        return flags.to_guest(call(Nr.fcntl, fd, F_GETFL))
    if command in PLAIN_COMMANDS:
        return call(Nr.fcntl, fd, command, argument)
    if command in LOCK_COMMANDS:
        return _lock(thread, fd, command, argument)
    special = _SPECIAL.get(command)
    if special is None:
        raise Errno(errno.EINVAL)
    return special(thread, fd, command, argument)


def _dup_above(thread: Thread, fd: int, command: int, argument: int) -> int:
    return _duplicate(thread, fd, call(Nr.fcntl, fd, command, argument))


def _set_flags(thread: Thread, fd: int, command: int, argument: int) -> int:
    return call(Nr.fcntl, fd, F_SETFL, thread.process.abi.open_flags.to_host(argument))


def _owner(thread: Thread, fd: int, command: int, argument: int) -> int:
    buffer = guest_memory.for_host(thread, argument, "f_owner_ex")
    call(Nr.fcntl, fd, command, buffer.address)
    if command == F_GETOWN_EX:
        guest_memory.from_host(thread, argument, "f_owner_ex", buffer.raw)
    return 0


def _hint(thread: Thread, fd: int, command: int, argument: int) -> int:
    buffer = Buffer(thread.process.memory.u64(argument).to_bytes(8, "little"))
    call(Nr.fcntl, fd, command, buffer.address)
    thread.process.memory.put_u64(argument, int.from_bytes(buffer.raw, "little"))
    return 0


_SPECIAL: dict[int, Callable[[Thread, int, int, int], int]] = {
    F_DUPFD: _dup_above,
    F_DUPFD_CLOEXEC: _dup_above,
    F_SETFL: _set_flags,
    F_SETOWN_EX: _owner,
    F_GETOWN_EX: _owner,
    **dict.fromkeys(range(F_GET_RW_HINT, F_SET_FILE_RW_HINT + 1), _hint),
}


def _lock(thread: Thread, fd: int, command: int, address: int) -> int:
    """A record lock, of either width."""
    wide = command >= F_GETLK64 and thread.process.abi.long_size == 4
    name = "flock64" if wide else "flock"
    buffer = guest_memory.for_host(thread, address, name, "flock")
    blocking(thread, Nr.fcntl, fd, LOCK_COMMANDS[command], buffer.address)
    if command in (F_GETLK, F_GETLK64, F_OFD_GETLK):
        guest_memory.from_host(thread, address, "flock", buffer.raw, name)
    return 0


# -- descriptors that count, tell of signals, or of files ------------------------------------------


def _converting(thread: Thread, fd: int, conversion: Conversion) -> int:
    """A new descriptor whose data needs converting, if the guest's byte order is not ours."""
    thread.process.fds.closed(fd)
    if thread.process.abi.byte_order != "<":
        thread.process.fds.conversions[fd] = conversion
    return fd


@syscall
def eventfd(thread: Thread, count: UInt) -> int:
    """eventfd(2) without flags"""
    return _converting(thread, call(Nr.eventfd2, count, 0), counter)


@syscall
def eventfd2(thread: Thread, count: UInt, flags: EventFlags) -> int:
    """eventfd(2)"""
    return _converting(thread, call(Nr.eventfd2, count, flags), counter)


@syscall
def timerfd_create(thread: Thread, clock: Clock, flags: EventFlags) -> int:
    """timerfd_create(2)"""
    return _converting(thread, call(Nr.timerfd_create, clock, flags), counter)


@syscall
def signalfd(thread: Thread, fd: Fd, mask: Addr, size: Size) -> int:
    """signalfd(2) without flags"""
    return _signalfd(thread, fd, mask, size, 0)


@syscall
def signalfd4(thread: Thread, fd: Fd, mask: Addr, size: Size, flags: EventFlags) -> int:
    """signalfd(2)"""
    return _signalfd(thread, fd, mask, size, flags)


def _signalfd(thread: Thread, fd: int, mask: int, size: int, flags: int) -> int:
    signals = guest_memory.signal_mask(thread, mask, size)
    if signals is None:
        raise Errno(errno.EFAULT)
    return _converting(thread, call(Nr.signalfd4, fd, signals.address, 8, flags), signal_infos)


@syscall
def inotify_init(thread: Thread) -> int:
    """inotify_init(2)"""
    return _converting(thread, call(Nr.inotify_init1, 0), inotify_events)


@syscall
def inotify_init1(thread: Thread, flags: EventFlags) -> int:
    """inotify_init1(2)"""
    return _converting(thread, call(Nr.inotify_init1, flags), inotify_events)
