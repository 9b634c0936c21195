"""fork(2) and vfork(2).

A guest's fork is the host's.  A vfork child shares its parent's memory until it calls execve or
exits; here it is a fork too, and pays its parent back: before it goes, it sends the pages it has
written, which are those that copy-on-write has made its own.  The parent waits for them, as vfork
demands anyway.  Thus posix_spawn(3), which does this with a stack of its own (CLONE_VM |
CLONE_VFORK), sees the error of its child, and so does busybox, which keeps it in a variable.

Where the parent has more threads, these go on writing, which makes pages the child's own as well:
then it only sends those of the stack that vfork was called on.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from user_mode.areas import PROT_WRITE
from user_mode.errors import Errno
from user_mode.signals import ALL
from user_mode.threads import (
    CLONE_CHILD_CLEARTID,
    CLONE_CHILD_SETTID,
    CLONE_PARENT_SETTID,
    CLONE_VFORK,
    Clone,
    tls_of,
)

if TYPE_CHECKING:
    from user_mode.memory import GuestMemory
    from user_mode.process import Process, Thread

PAGE = 4096
PRESENT, EXCLUSIVE = 1 << 63, 1 << 56
"""In /proc/self/pagemap: the page is in memory; no other process has it."""
FIRST_PRIVATE_FD = 1000
NEAR_STACK = 1 << 16
"""How much of the caller's stack a vfork child of a process with threads sends back."""
_RECORD = struct.Struct("<Q")
"""Before each page that is sent: its guest address."""


def fork(thread: Thread, request: Clone) -> int:
    """Make a child process; gives its id in the parent and 0 in the child."""
    process = thread.process
    thread.check_event()
    pipe = _pipe(process) if request.flags & CLONE_VFORK else None
    shared = _shared_range(thread)
    process.signals.host.mask(ALL)
    try:
        with process.memory.lock, process.lock:
            pid = os.fork()
        if pid == 0:
            _become_child(thread, request)
    finally:
        process.signals.host.mask(thread.blocked)
    if pid == 0:
        process.vfork = VforkDebt.of(process, pipe, shared)
        return 0
    if request.flags & CLONE_PARENT_SETTID:
        with suppress(Errno):
            process.memory.put_u32(request.parent_tid, pid)
    if pipe is not None:
        _collect(process, *pipe)
    return pid


def _shared_range(thread: Thread) -> tuple[int, int]:
    """The guest addresses whose pages a vfork child of this thread gives back."""
    process = thread.process
    if len(process.threads) == 1:
        return 0, process.memory.size
    start = process.abi.stack_pointer(thread.cpu) & -PAGE
    return start, start + NEAR_STACK


def _become_child(thread: Thread, request: Clone) -> None:
    """Put right what the copied process believes of itself."""
    process = thread.process
    process.after_fork_in_child(thread)
    if request.flags & CLONE_CHILD_SETTID:
        with suppress(Errno):
            process.memory.put_u32(request.child_tid, thread.tid)
    thread.clear_child_tid = request.child_tid if request.flags & CLONE_CHILD_CLEARTID else 0
    process.abi.start_thread(thread.cpu, thread.cpu, request.stack, tls_of(request))


def _pipe(process: Process) -> tuple[int, int]:
    """A pipe out of the guest's sight: its reading and writing end."""
    ends = []
    for fd in os.pipe():
        high = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, FIRST_PRIVATE_FD)
        os.close(fd)
        ends.append(high)
    process.fds.private.update(ends)
    return ends[0], ends[1]


def _close(process: Process, fd: int) -> None:
    os.close(fd)
    process.fds.private.discard(fd)


def _collect(process: Process, reader: int, writer: int) -> None:
    """Wait until the child calls execve or ends, and take over what it wrote."""
    _close(process, writer)
    with os.fdopen(reader, "rb", closefd=False) as stream:
        data = stream.read()
    _close(process, reader)
    size = _RECORD.size + PAGE
    for at in range(0, len(data) // size * size, size):
        (address,) = _RECORD.unpack_from(data, at)
        with suppress(Errno):
            process.memory.write(address, data[at + _RECORD.size : at + size])


class VforkDebt:
    """What a vfork child owes to its parent, which waits."""

    def __init__(self, process: Process, writer: int, shared: tuple[int, int]) -> None:
        self._process = process
        self._writer = writer
        self._shared = shared

    @classmethod
    def of(
        cls, process: Process, pipe: tuple[int, int] | None, shared: tuple[int, int]
    ) -> VforkDebt | None:
        """The debt of a new child, whose own parent's debt is none of its business."""
        if process.vfork is not None:
            _close(process, process.vfork._writer)
        if pipe is None:
            return None
        _close(process, pipe[0])
        return cls(process, pipe[1], shared)

    def send(self) -> None:
        """Send the pages written since the fork.  The parent goes on when the pipe is closed."""
        with suppress(OSError):  # The parent has been killed, or /proc is not there.
            for address, page in _own_pages(self._process.memory, *self._shared):
                _write_all(self._writer, _RECORD.pack(address) + page)

    def settle(self) -> None:
        """Send the pages, and let the parent go on."""
        self.send()
        _close(self._process, self._writer)
        self._process.vfork = None


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def _own_pages(memory: GuestMemory, low: int, high: int) -> Iterator[tuple[int, bytes]]:
    """The private writable pages of guest memory in a range that no other process shares."""
    with open("/proc/self/pagemap", "rb", buffering=0) as pagemap:
        for area in memory.areas:
            start, end = max(area.start, low), min(area.end, high)
            if start >= end or area.is_shared or not area.prot & PROT_WRITE:
                continue
            at = (memory.base + start) // PAGE * 8
            entries = os.pread(pagemap.fileno(), (end - start) // PAGE * 8, at)
            for i, (entry,) in enumerate(struct.iter_unpack("<Q", entries)):
                if entry & PRESENT and entry & EXCLUSIVE:
                    address = start + i * PAGE
                    yield address, memory.read(address, PAGE)
