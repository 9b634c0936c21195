"""The host's kernel, typed: system calls made as they are, without Python's own handling.

Python's os functions try again after EINTR, make descriptors close-on-exec and raise OSError; a
guest must see none of that.  So calls go through libc's syscall(2) by ctypes:

    call(Nr.fstat, fd, out.address)            cannot block: made with the GIL held
    blocking(thread, Nr.read, fd, where, n)    may block: a signal makes it fail with EINTR

Both raise Errno.  Arguments are ints (addresses too), None or bytes.  `Buffer` is memory for
results.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import TYPE_CHECKING

from user_mode.errors import Errno
from user_mode.host_numbers import Nr

if TYPE_CHECKING:
    from user_mode.process import Thread

__all__ = ["Buffer", "Nr", "blocking", "call", "raw", "write_all"]

Argument = int | bytes | None

_ARGUMENTS = 6


def _syscall_of(library: ctypes.CDLL) -> list[Callable[..., int]]:
    """syscall(2) by the number of arguments, as each costs its conversion."""
    functions: list[Callable[..., int]] = []
    for count in range(_ARGUMENTS + 1):
        function = library["syscall"]
        function.restype = ctypes.c_long
        # c_void_p takes ints of any sign, bytes and None, and is the quickest to convert.
        function.argtypes = [ctypes.c_void_p] * (1 + count)
        functions.append(function)
    return functions


_quick = _syscall_of(ctypes.PyDLL(None, use_errno=True))
_slow = _syscall_of(ctypes.CDLL(None, use_errno=True))
_get_errno = ctypes.get_errno


class Buffer:
    """Host memory that lives as long as this object: `address` for the kernel, `raw` for us."""

    __slots__ = ("_array", "address", "size")

    def __init__(self, content: bytes | int) -> None:
        """Zeroes of a size, or a copy of bytes."""
        if isinstance(content, int):
            self.size = content
            self._array = ctypes.create_string_buffer(content or 1)
        else:
            self.size = len(content)
            self._array = ctypes.create_string_buffer(content, len(content) or 1)
        self.address = ctypes.addressof(self._array)

    @property
    def raw(self) -> bytes:
        """All of its bytes."""
        return self._array.raw[: self.size]

    def first(self, count: int) -> bytes:
        """Its first `count` bytes."""
        return self._array.raw[:count]


def call(number: int, *args: Argument) -> int:
    """Make a system call that cannot block."""
    result = _quick[len(args)](number, *args)
    if result == -1:
        raise Errno(_get_errno())
    return result


def raw(number: int, *args: Argument) -> int:
    """Make a system call with the GIL released; the result is the kernel's: errors are -errno."""
    result = _slow[len(args)](number, *args)
    return -_get_errno() if result == -1 else result


def blocking(thread: Thread, number: int, *args: int) -> int:
    """Make a system call that may block; a signal for this thread makes it fail with EINTR."""
    result = thread.safe_syscall(number, *args)
    if result < 0:
        raise Errno(-result)
    return result


def write_all(fd: int, data: bytes) -> None:
    """Write all of `data` to a descriptor of our own."""
    while data:
        data = data[call(Nr.write, fd, data, len(data)) :]
