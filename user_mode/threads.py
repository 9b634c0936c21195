"""The threads of a guest: their start by clone(2) and their end by exit(2)."""

from __future__ import annotations

import _thread
import errno
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from user_mode import futex, host
from user_mode.errors import Errno
from user_mode.signals import ALL

if TYPE_CHECKING:
    from user_mode.process import Process, Thread

CLONE_VM = 0x0000_0100
CLONE_VFORK = 0x0000_4000
CLONE_THREAD = 0x0001_0000
CLONE_SETTLS = 0x0008_0000
CLONE_PARENT_SETTID = 0x0010_0000
CLONE_CHILD_CLEARTID = 0x0020_0000
CLONE_CHILD_SETTID = 0x0100_0000
THREAD_FLAGS = 0x0001_0F00
"""VM FS FILES SIGHAND THREAD: what a thread shares with the others; there is no half of it here."""

STACK_BYTES = 1 << 20
"""Of a host thread: Python's frames, and the native code's few."""


@dataclass(frozen=True, slots=True)
class Clone:
    """The arguments of clone(2); addresses in guest memory."""

    flags: int
    stack: int = 0
    parent_tid: int = 0
    tls: int = 0
    child_tid: int = 0


def start_thread(parent: Thread, request: Clone) -> int:
    """Start a thread in the parent's process; gives its id.

    The new host thread begins with all signals blocked, so that none finds it without its CPU.
    """
    process = parent.process
    process.share_memory()
    cpu = process.engine.new_cpu()
    process.abi.start_thread(cpu, parent.cpu, request.stack, tls_of(request))
    child = process.new_thread(cpu, parent.blocked)
    child.clear_child_tid = request.child_tid if request.flags & CLONE_CHILD_CLEARTID else 0
    started = _thread.allocate_lock()
    started.acquire()
    process.signals.host.mask(ALL)
    try:
        _thread.stack_size(STACK_BYTES)
        _thread.start_new_thread(_live, (child, request, started))
        started.acquire()
    except RuntimeError:
        process.engine.drop_cpu(cpu)
        raise Errno(errno.EAGAIN) from None
    finally:
        process.signals.host.mask(parent.blocked)
    return child.tid


def tls_of(request: Clone) -> int | None:
    """The thread pointer that clone(2) sets, if it does."""
    return request.tls if request.flags & CLONE_SETTLS else None


def _live(thread: Thread, request: Clone, started: _thread.LockType) -> None:
    """The life of a host thread that is not the main one."""
    process = thread.process
    thread.tid = host.call(host.Nr.gettid)
    process.threads[thread.tid] = thread
    # Both words are written before the parent goes on: they may be one, which the end clears again.
    if request.flags & CLONE_PARENT_SETTID:
        with suppress(Errno):
            process.memory.put_u32(request.parent_tid, thread.tid)
    if request.flags & CLONE_CHILD_SETTID:
        with suppress(Errno):
            process.memory.put_u32(request.child_tid, thread.tid)
    started.release()
    try:
        process.serve(thread)
    except Exception as error:
        # `_thread` would only print it; whoever watches threads ends the process.
        threading.excepthook(threading.ExceptHookArgs((type(error), error, None, None)))


def end_thread(thread: Thread, status: int) -> None:
    """exit(2): the thread is gone, and with the last one the process."""
    process = thread.process
    process.signals.host.mask(ALL)
    futex.abandon_locks(thread)
    clear_tid(process, thread)
    if thread.tid == process.leader:
        process.leader_status = status
    thread.is_alive = False
    if process.drop_thread(thread) == 0:
        process.end(process.leader_status)


def clear_tid(process: Process, thread: Thread) -> None:
    """What pthread_join(3) waits for (CLONE_CHILD_CLEARTID)."""
    address, thread.clear_child_tid = thread.clear_child_tid, 0
    if not address:
        return
    with suppress(Errno):
        process.memory.put_u32(address, 0)
        futex.wake(process, address, futex.WAKE, 1)
