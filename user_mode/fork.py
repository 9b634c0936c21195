"""fork(2) and vfork(2).

A guest's fork is the host's.  A vfork child shares its parent's memory until it calls execve or
exits; here it is a fork too, and pays its parent back: before it goes, it sends the pages it has
written, which are those that copy-on-write has made its own.  The parent waits for them, as vfork
demands anyway.  Thus posix_spawn(3), which does this with a stack of its own (CLONE_VM |
CLONE_VFORK), sees the error of its child, and so does busybox, which keeps it in a variable.

Where the parent has more threads, these go on writing, which makes pages the child's own as well.
Then the child keeps a copy of what lies near the stack that vfork was called on, and sends the
words that it has changed there.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from tcg.descriptors import move_high
from user_mode.areas import PROT_READ, PROT_WRITE
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
NEAR_STACK = 1 << 16
"""How much of the caller's stack a vfork child of a process with threads looks at."""
WORD = 4
_RECORD = struct.Struct("<QI")
"""Before each piece of memory that is sent: its guest address and length."""


def fork(thread: Thread, request: Clone) -> int:
    """Make a child process; gives its id in the parent and 0 in the child."""
    process = thread.process
    thread.check_event()
    pipe = _pipe(process) if request.flags & CLONE_VFORK else None
    near = process.abi.stack_pointer(thread.cpu) & -PAGE if len(process.threads) > 1 else None
    process.signals.host.mask(ALL)
    try:
        with process.engine.quiet(), process.memory.lock, process.lock:
            pid = os.fork()
        if pid == 0:
            _become_child(thread, request)
    finally:
        process.signals.host.mask(thread.blocked)
    if pid == 0:
        process.vfork = _debt(process, pipe, near)
        return 0
    if request.flags & CLONE_PARENT_SETTID:
        with suppress(Errno):
            process.memory.put_u32(request.parent_tid, pid)
    if pipe is not None:
        _collect(process, *pipe)
    return pid


def _debt(process: Process, pipe: tuple[int, int] | None, near: int | None) -> VforkDebt | None:
    """What a new child owes, if it comes from vfork.  What its parent owes is not its business.

    `near` is the stack that vfork was called on if the parent has threads, else None.
    """
    if process.vfork is not None:
        process.vfork.close()
    if pipe is None:
        return None
    _close(process, pipe[0])
    if near is None:
        return VforkDebt(process, pipe[1], partial(_own_pages, process.memory))
    before = dict(_pages(process.memory, near, near + NEAR_STACK))
    return VforkDebt(process, pipe[1], partial(_changed_words, process.memory, before))


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
    ends = [move_high(fd) for fd in os.pipe()]
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
    at = 0
    while len(data) >= at + _RECORD.size:
        address, size = _RECORD.unpack_from(data, at)
        at += _RECORD.size
        with suppress(Errno):
            process.memory.write(address, data[at : at + size])
        at += size


class VforkDebt:
    """What a vfork child owes to its parent, which waits: `written` finds what it has written."""

    def __init__(
        self, process: Process, writer: int, written: Callable[[], Iterator[tuple[int, bytes]]]
    ) -> None:
        self._process = process
        self._writer = writer
        self._written = written

    def send(self) -> None:
        """Send what was written since the fork.  The parent goes on when the pipe is closed."""
        with suppress(OSError):  # The parent has been killed, or /proc is not there.
            for address, data in self._written():
                _write_all(self._writer, _RECORD.pack(address, len(data)) + data)

    def settle(self) -> None:
        """Send it, and let the parent go on."""
        self.send()
        self.close()

    def close(self) -> None:
        """Have nothing more to do with the parent."""
        _close(self._process, self._writer)
        self._process.vfork = None


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def _own_pages(memory: GuestMemory) -> Iterator[tuple[int, bytes]]:
    """The private writable pages of guest memory that no other process shares."""
    with open("/proc/self/pagemap", "rb", buffering=0) as pagemap:
        for area in memory.areas:
            if area.is_shared or not area.prot & PROT_WRITE:
                continue
            at = (memory.base + area.start) // PAGE * 8
            entries = os.pread(pagemap.fileno(), (area.end - area.start) // PAGE * 8, at)
            for i, (entry,) in enumerate(struct.iter_unpack("<Q", entries)):
                if entry & PRESENT and entry & EXCLUSIVE:
                    address = area.start + i * PAGE
                    yield address, memory.read(address, PAGE)


def _pages(memory: GuestMemory, start: int, end: int) -> Iterator[tuple[int, bytes]]:
    """The pages of a range that can be read and written."""
    for address in range(start, min(end, memory.size), PAGE):
        if memory.allows(address, PROT_READ | PROT_WRITE):
            yield address, memory.read(address, PAGE)


def _changed_words(memory: GuestMemory, before: Mapping[int, bytes]) -> Iterator[tuple[int, bytes]]:
    """The words that are no longer what they were, in the pages of `before`."""
    for page, old in before.items():
        with suppress(Errno):
            new = memory.read(page, PAGE)
            for at in range(0, PAGE if new != old else 0, WORD):
                if new[at : at + WORD] != old[at : at + WORD]:
                    yield page + at, new[at : at + WORD]
