"""What has to be remembered of a guest's descriptors; they are the host's own, by number.

* The emulator's own descriptors, which the guest can neither see nor close.
* Descriptors whose data is numbers in host byte order (eventfd, timerfd, signalfd, inotify), and
how to
  convert it.
* Where a 32-bit guest has got to in a directory whose offsets take 64 bits (ext4 has hashes there).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from user_mode import host
from user_mode.errors import Errno
from user_mode.host_numbers import Nr

if TYPE_CHECKING:
    from user_mode.abi.base import SyscallAbi

_F_GETFD = 1

Conversion: TypeAlias = "Callable[[SyscallAbi, bytes], bytes]"


class Descriptors:
    """The facts about one process's descriptors."""

    def __init__(self) -> None:
        self.private: set[int] = set()
        """Ours, not the guest's."""
        self.conversions: dict[int, Conversion] = {}
        """How what is read from (or, for a counter, written to) a descriptor is converted."""
        self.cookies: dict[int, list[int]] = {}
        """Directory offsets handed out to the guest: its offset is an index here, plus one."""

    def copied(self, old: int, new: int) -> None:
        """`new` is now a duplicate of `old`."""
        self.closed(new)
        if old in self.conversions:
            self.conversions[new] = self.conversions[old]
        if old in self.cookies:
            self.cookies[new] = self.cookies[old]

    def closed(self, fd: int) -> None:
        """`fd` is something else from now on, or nothing."""
        self.conversions.pop(fd, None)
        self.cookies.pop(fd, None)

    def after_exec(self) -> None:
        """Forget those that execve(2) has closed."""
        for fd in {*self.conversions, *self.cookies}:
            try:
                host.call(Nr.fcntl, fd, _F_GETFD)
            except Errno:
                self.closed(fd)


def counter(abi: SyscallAbi, data: bytes) -> bytes:
    """The u64 of an eventfd or a timerfd."""
    return data if abi.byte_order == "<" else data[::-1]


def signal_infos(abi: SyscallAbi, data: bytes) -> bytes:
    """What a signalfd gives: one or more struct signalfd_siginfo."""
    size = abi.host_structs.signalfd_siginfo.size
    parts = (data[i : i + size] for i in range(0, len(data), size))
    return b"".join(abi.to_guest("signalfd_siginfo", part) for part in parts)


def inotify_events(abi: SyscallAbi, data: bytes) -> bytes:
    """What inotify gives: struct inotify_event, each followed by its name."""
    size = abi.host_structs.inotify_event.size
    parts = []
    at = 0
    while at < len(data):
        header = data[at : at + size]
        length = abi.host_structs.inotify_event.unpack(header)[3]
        parts.append(abi.to_guest("inotify_event", header) + data[at + size : at + size + length])
        at += size + length
    return b"".join(parts)
