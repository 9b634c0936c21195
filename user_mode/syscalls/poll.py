"""Waiting for descriptors: poll, select and epoll."""

from __future__ import annotations

import errno
import struct
from typing import TYPE_CHECKING

from user_mode.errors import Errno
from user_mode.host import Buffer, blocking, call
from user_mode.host_numbers import Nr
from user_mode.syscalls import guest_memory
from user_mode.syscalls.guest_memory import address_of, long_words
from user_mode.syscalls.table import syscall
from user_mode.syscalls.types import Addr, EventFlags, Fd, Int, Size, UInt

if TYPE_CHECKING:
    from user_mode.process import Thread

_HOST_TIMESPEC = struct.Struct("<qq")
_MOST_DESCRIPTORS = 1 << 20
EPOLL_CTL_DEL = 2


def _milliseconds(timeout: int) -> Buffer | None:
    if timeout < 0:
        return None
    seconds, rest = divmod(timeout, 1000)
    return Buffer(_HOST_TIMESPEC.pack(seconds, rest * 1_000_000))


# -- poll ------------------------------------------------------------------------------------------


def _poll(
    thread: Thread, array: int, count: int, timeout: Buffer | None, mask: Buffer | None
) -> int:
    """ppoll(2) on the guest's array of struct pollfd."""
    if count > _MOST_DESCRIPTORS:
        raise Errno(errno.EINVAL)
    memory = thread.process.memory
    order = thread.process.abi.byte_order
    data = memory.read(array, 8 * count) if count else b""
    shape = "ihh" * count
    buffer = Buffer(struct.pack("<" + shape, *struct.unpack(order + shape, data)))
    arguments = (buffer.address, count, address_of(timeout), address_of(mask), 8)
    ready = blocking(thread, Nr.ppoll, *arguments)
    layout = struct.Struct("<ihH")
    for i, (_, _, events) in enumerate(layout.iter_unpack(buffer.raw)):
        memory.put_u16(array + 8 * i + 6, events)
    return ready


@syscall(restarts=False)
def poll(thread: Thread, array: Addr, count: UInt, milliseconds: Int) -> int:
    """poll(2)"""
    return _poll(thread, array, count, _milliseconds(milliseconds), None)


def _ppoll(
    thread: Thread, array: int, count: int, timeout: int, mask: int, size: int, layout: str
) -> int:
    limit = guest_memory.time_buffer(thread, timeout, layout)
    signals = guest_memory.waiting_mask(thread, mask, size)
    try:
        return _poll(thread, array, count, limit, signals)
    finally:
        if limit is not None:
            guest_memory.put_time(thread, timeout, layout, limit)


@syscall(restarts=False)
def ppoll(thread: Thread, array: Addr, count: UInt, timeout: Addr, mask: Addr, size: Size) -> int:
    """ppoll(2)"""
    return _ppoll(thread, array, count, timeout, mask, size, "timespec")


@syscall(restarts=False)
def ppoll_time64(
    thread: Thread, array: Addr, count: UInt, timeout: Addr, mask: Addr, size: Size
) -> int:
    """ppoll(2) with 64-bit time"""
    return _ppoll(thread, array, count, timeout, mask, size, "timespec64")


# -- select ----------------------------------------------------------------------------------------


class _Set:
    """One fd_set of the guest, and its copy for the host."""

    def __init__(self, thread: Thread, address: int, count: int) -> None:
        bits = 8 * thread.process.abi.long_size
        self._thread = thread
        self._address = address
        self._size = -(-count // bits) * thread.process.abi.long_size
        self.buffer: Buffer | None = None
        if address:
            data = thread.process.memory.read(address, self._size) if self._size else b""
            words = long_words(thread, data, to_host=True)
            self.buffer = Buffer(words.ljust(-(-self._size // 8) * 8, b"\0"))

    def put_back(self) -> None:
        """Store what is ready."""
        if self.buffer is not None and self._size:
            data = long_words(self._thread, self.buffer.first(self._size), to_host=False)
            self._thread.process.memory.write(self._address, data)


def _select(
    thread: Thread, count: int, sets: tuple[int, int, int], timeout: int, layout: str, mask: int
) -> int:
    """pselect6(2); `mask` is the address of the guest's pair of mask address and size."""
    if not 0 <= count <= _MOST_DESCRIPTORS:
        raise Errno(errno.EINVAL)
    copies = [_Set(thread, address, count) for address in sets]
    limit = guest_memory.time_buffer(thread, timeout, layout)
    signals = Buffer(16)
    inner = None
    if mask:
        inner = guest_memory.waiting_mask(
            thread, *guest_memory.get(thread, mask, "sigset_argument")
        )
        signals = Buffer(struct.pack("<QQ", address_of(inner), 8))
    addresses = [address_of(one.buffer) for one in copies]
    try:
        ready = blocking(
            thread,
            Nr.pselect6,
            count,
            *addresses,
            address_of(limit),
            signals.address if inner else 0,
        )
    finally:
        if limit is not None:
            guest_memory.put_time(thread, timeout, layout, limit)
    for one in copies:
        one.put_back()
    return ready


@syscall(restarts=False, also=("_newselect",))
def select(
    thread: Thread, count: Int, read: Addr, write: Addr, special: Addr, timeout: Addr
) -> int:
    """select(2)"""
    return _select(thread, count, (read, write, special), timeout, "timeval", 0)


@syscall(restarts=False)
def pselect6(
    thread: Thread, count: Int, read: Addr, write: Addr, special: Addr, timeout: Addr, mask: Addr
) -> int:
    """pselect(2)"""
    return _select(thread, count, (read, write, special), timeout, "timespec", mask)


@syscall(restarts=False)
def pselect6_time64(
    thread: Thread, count: Int, read: Addr, write: Addr, special: Addr, timeout: Addr, mask: Addr
) -> int:
    """pselect(2) with 64-bit time"""
    return _select(thread, count, (read, write, special), timeout, "timespec64", mask)


# -- epoll -----------------------------------------------------------------------------------------


@syscall
def epoll_create(thread: Thread, size: Int) -> int:
    """epoll_create(2)"""
    if size <= 0:
        raise Errno(errno.EINVAL)
    return epoll_create1.function(thread, 0) or 0


@syscall
def epoll_create1(thread: Thread, flags: EventFlags) -> int:
    """epoll_create1(2)"""
    fd = call(Nr.epoll_create1, flags)
    thread.process.fds.closed(fd)
    return fd


@syscall
def epoll_ctl(thread: Thread, epoll: Fd, operation: Int, fd: Fd, event: Addr) -> int:
    """epoll_ctl(2)"""
    request = None
    if operation != EPOLL_CTL_DEL:
        request = guest_memory.for_host(thread, event, "epoll_event")
    return call(Nr.epoll_ctl, epoll, operation, fd, address_of(request))


def _epoll_wait(
    thread: Thread, epoll: int, events: int, most: int, timeout: Buffer | None, mask: Buffer | None
) -> int:
    """epoll_pwait2(2), one struct after the other converted."""
    abi = thread.process.abi
    host_size = abi.host_structs.epoll_event.size
    if not 0 < most <= _MOST_DESCRIPTORS:
        raise Errno(errno.EINVAL)
    buffer = Buffer(host_size * most)
    arguments = (buffer.address, most, address_of(timeout), address_of(mask), 8)
    found = blocking(thread, Nr.epoll_pwait2, epoll, *arguments)
    data = buffer.first(host_size * found)
    parts = (data[i : i + host_size] for i in range(0, len(data), host_size))
    thread.process.memory.write(events, b"".join(abi.to_guest("epoll_event", p) for p in parts))
    return found


@syscall(restarts=False)
def epoll_wait(thread: Thread, epoll: Fd, events: Addr, most: Int, timeout: Int) -> int:
    """epoll_wait(2)"""
    return _epoll_wait(thread, epoll, events, most, _milliseconds(timeout), None)


@syscall(restarts=False)
def epoll_pwait(
    thread: Thread, epoll: Fd, events: Addr, most: Int, timeout: Int, mask: Addr, size: Size
) -> int:
    """epoll_pwait(2)"""
    signals = guest_memory.waiting_mask(thread, mask, size)
    return _epoll_wait(thread, epoll, events, most, _milliseconds(timeout), signals)


@syscall(restarts=False)
def epoll_pwait2(
    thread: Thread, epoll: Fd, events: Addr, most: Int, timeout: Addr, mask: Addr, size: Size
) -> int:
    """epoll_pwait2(2): its time has 64 bits on every ABI"""
    limit = guest_memory.time_buffer(thread, timeout, "timespec64")
    signals = guest_memory.waiting_mask(thread, mask, size)
    return _epoll_wait(thread, epoll, events, most, limit, signals)
