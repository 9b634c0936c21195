"""Threads and what they wait on: clone, exit, futex, robust lists, thread ids."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from user_mode import fork, futex
from user_mode.errors import Errno
from user_mode.syscalls import guest_memory
from user_mode.syscalls.table import syscall
from user_mode.syscalls.types import Addr, Int, Pid, Size, UInt, ULong
from user_mode.threads import (
    CLONE_THREAD,
    CLONE_VFORK,
    CLONE_VM,
    THREAD_FLAGS,
    Clone,
    end_thread,
    start_thread,
)

if TYPE_CHECKING:
    from user_mode.process import Thread

DIRECT = """\
gettid
sched_yield
membarrier       command:Int flags:UInt cpu:Int
"""

NAMESPACES = 0x7E02_0080
"""CLONE_NEW…: not for guests, whose emulator would have to follow them."""


@syscall
def clone(
    thread: Thread, flags: ULong, stack: Addr, parent_tid: Addr, fourth: Addr, fifth: Addr
) -> int:
    """clone(2); which of the last two is the thread pointer is the ABI's choice"""
    tls, child_tid = (fourth, fifth) if thread.process.abi.tls_before_child_tid else (fifth, fourth)
    return _clone(thread, Clone(flags, stack, parent_tid, tls, child_tid))


def _clone(thread: Thread, request: Clone) -> int:
    flags = request.flags
    if flags & NAMESPACES:
        raise Errno(errno.EPERM)
    if flags & CLONE_THREAD:
        if flags & THREAD_FLAGS != THREAD_FLAGS:
            raise Errno(errno.EINVAL)
        return start_thread(thread, request)
    if flags & CLONE_VM and not flags & CLONE_VFORK:
        raise Errno(errno.EINVAL)  # Two processes in one memory: nothing known does it.
    return fork.fork(thread, request)


@syscall
def fork_(thread: Thread) -> int:
    """fork(2)"""
    return fork.fork(thread, Clone(0))


@syscall
def vfork(thread: Thread) -> int:
    """vfork(2)"""
    return fork.fork(thread, Clone(CLONE_VM | CLONE_VFORK))


@syscall
def exit_(thread: Thread, status: Int) -> None:
    """_exit(2) of one thread"""
    end_thread(thread, status)


@syscall
def exit_group(thread: Thread, status: Int) -> None:
    """exit_group(2)"""
    thread.process.end(status)


@syscall
def set_tid_address(thread: Thread, address: Addr) -> int:
    """set_tid_address(2)"""
    thread.clear_child_tid = address
    return thread.tid


@syscall
def set_robust_list(thread: Thread, head: Addr, size: Size) -> int:
    """set_robust_list(2)"""
    if size != 3 * thread.process.abi.long_size:
        raise Errno(errno.EINVAL)
    thread.robust_list = head
    return 0


@syscall
def get_robust_list(thread: Thread, tid: Pid, head: Addr, size: Addr) -> int:
    """get_robust_list(2), for threads of this process"""
    process = thread.process
    one = process.threads.get(tid or thread.tid)
    if one is None:
        raise Errno(errno.ESRCH)
    _put_long(thread, size, 3 * process.abi.long_size)
    _put_long(thread, head, one.robust_list)
    return 0


def _put_long(thread: Thread, address: int, value: int) -> None:
    memory = thread.process.memory
    (memory.put_u32 if thread.process.abi.long_size == 4 else memory.put_u64)(address, value)


# -- futex -----------------------------------------------------------------------------------------


@syscall
def futex_(
    thread: Thread,
    word: Addr,
    operation: Int,
    value: UInt,
    timeout: Addr,
    second: Addr,
    third: UInt,
) -> int:
    """futex(2)"""
    return _futex(thread, word, operation, value, timeout, second, third, "timespec")


@syscall
def futex_time64(
    thread: Thread,
    word: Addr,
    operation: Int,
    value: UInt,
    timeout: Addr,
    second: Addr,
    third: UInt,
) -> int:
    """futex(2) with a 64-bit time"""
    return _futex(thread, word, operation, value, timeout, second, third, "timespec64")


def _futex(
    thread: Thread,
    word: int,
    operation: int,
    value: int,
    timeout: int,
    second: int,
    third: int,
    name: str,
) -> int:
    process = thread.process
    match operation & futex.COMMANDS:
        case futex.WAIT | futex.WAIT_BITSET:
            until = guest_memory.time_buffer(thread, timeout, name)
            where = guest_memory.address_of(until)
            return futex.wait(thread, word, operation, value, where, third)
        case futex.WAKE | futex.WAKE_BITSET:
            return futex.wake(process, word, operation, value, third)
        case futex.REQUEUE | futex.CMP_REQUEUE:
            return futex.requeue(process, word, operation, (value, timeout), second, third)
        case futex.WAKE_OP:
            return futex.wake_op(process, word, operation, (value, timeout), second, third)
    raise Errno(errno.ENOSYS)
