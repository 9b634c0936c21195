"""Structures, vectors and times in the guest's memory, for the kernel and back."""

from __future__ import annotations

import errno
import struct
from typing import TYPE_CHECKING, Any

from user_mode import host
from user_mode.errors import Errno

if TYPE_CHECKING:
    from user_mode.abi.layout import Layout
    from user_mode.process import Thread

_HOST_IOVEC = struct.Struct("<QQ")
_HOST_TIMESPEC = struct.Struct("<qq")
IOV_MAX = 1024
OWN_SIGNALS = 1 << 10 | 1 << 6
"""SIGSEGV and SIGBUS as bits: never blocked on the host, guest code faults by them."""


def get(thread: Thread, address: int, name: str) -> tuple[Any, ...]:
    """The fields of the guest's structure `name` at an address."""
    layout: Layout = thread.process.abi.structs[name]
    return layout.unpack(thread.process.memory.read(address, layout.size))


def put(thread: Thread, address: int, name: str, *values: Any) -> None:
    """Store the guest's structure `name`; values that do not fit are cut."""
    process = thread.process
    layout = process.abi.structs[name]
    try:
        data = layout.pack(*values)
    except struct.error:
        data = layout.wrap(list(values))
    process.memory.write(address, data)


def for_host(thread: Thread, address: int, name: str, host_name: str = "") -> host.Buffer:
    """The guest's structure at an address, converted for the host's kernel."""
    abi = thread.process.abi
    data = thread.process.memory.read(address, abi.structs[name].size)
    return host.Buffer(abi.to_host(name, data, host_name or name))


def from_host(thread: Thread, address: int, name: str, data: bytes, guest_name: str = "") -> None:
    """Store what the host's kernel gave as its structure `name`, converted for the guest."""
    thread.process.memory.write(
        address, thread.process.abi.to_guest(name, data, guest_name or name)
    )


def vector(thread: Thread, address: int, count: int, write: bool) -> tuple[host.Buffer, int]:
    """The guest's array of struct iovec as the host's, and the bytes it describes."""
    if not 0 <= count <= IOV_MAX:
        raise Errno(errno.EINVAL)
    memory = thread.process.memory
    layout = thread.process.abi.structs.iovec
    data = memory.read(address, layout.size * count) if count else b""
    parts = []
    total = 0
    for at in range(0, len(data), layout.size):
        base, length = layout.unpack(data[at : at + layout.size])
        parts.append(
            _HOST_IOVEC.pack(memory.host_range(base, length, write) if length else 0, length)
        )
        total += length
    if total >= 1 << (8 * thread.process.abi.long_size - 1):
        raise Errno(errno.EINVAL)
    return host.Buffer(b"".join(parts)), total


def time_buffer(thread: Thread, address: int, name: str) -> host.Buffer | None:
    """The host's struct timespec for the guest's `name` (timespec, timeval, ...); None for NULL."""
    if not address:
        return None
    seconds, fraction = get(thread, address, name)
    if name.startswith("timeval"):
        if not 0 <= fraction < 1_000_000:
            raise Errno(errno.EINVAL)
        fraction *= 1000
    return host.Buffer(_HOST_TIMESPEC.pack(seconds, fraction))


def put_time(thread: Thread, address: int, name: str, buffer: host.Buffer) -> None:
    """Store the host's struct timespec as the guest's `name`."""
    seconds, nanoseconds = _HOST_TIMESPEC.unpack(buffer.raw)
    put(thread, address, name, seconds, nanoseconds // 1000 if "timeval" in name else nanoseconds)


def address_of(buffer: host.Buffer | None) -> int:
    """Its address; 0 for None."""
    return 0 if buffer is None else buffer.address


def long_words(thread: Thread, data: bytes, to_host: bool) -> bytes:
    """A bitmap as an array of longs, from guest to host or back.

    The host's longs may be longer: little-endian, so an array of shorter ones has the same bytes.
    """
    abi = thread.process.abi
    letter = "I" if abi.long_size == 4 else "Q"
    count = len(data) // abi.long_size
    orders = (abi.byte_order, "<") if to_host else ("<", abi.byte_order)
    return struct.pack(
        f"{orders[1]}{count}{letter}", *struct.unpack(f"{orders[0]}{count}{letter}", data)
    )


def signal_mask(thread: Thread, address: int, size: int) -> host.Buffer | None:
    """The guest's sigset_t at an address for the host; None for NULL."""
    if not address:
        return None
    if size != 8:
        raise Errno(errno.EINVAL)
    words = long_words(thread, thread.process.memory.read(address, 8), to_host=True)
    mask = int.from_bytes(words, "little") & ~OWN_SIGNALS
    return host.Buffer(mask.to_bytes(8, "little"))


def waiting_mask(thread: Thread, address: int, size: int) -> host.Buffer | None:
    """The mask with which ppoll(2) waits: the thread's own until its signals are taken."""
    buffer = signal_mask(thread, address, size)
    if buffer is not None:
        words = long_words(thread, thread.process.memory.read(address, 8), to_host=True)
        thread.wait_with_mask(int.from_bytes(words, "little"))
    return buffer
