"""The process in which cases run natively: maps what it is told, then runs on every byte it reads.

    python host_child.py FD ADDRESS OFFSET SIZE ...      run, signal: two more numbers at the end

It imports nothing of the project, so that it starts quickly; what it runs lies in the memory that
its parent has filled.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys

PROT, SHARED, FIXED_NOREPLACE = 7, 1, 0x10_0000
SIGNALS = (4, 5, 7, 8, 11)
SA_SIGINFO, SA_ONSTACK = 4, 0x0800_0000
SYS_MODIFY_LDT = 154
STACK_BYTES = 1 << 16


class _Action(ctypes.Structure):
    """struct sigaction of the C library."""

    _fields_ = (
        ("handler", ctypes.c_void_p),
        ("mask", ctypes.c_ulong * 16),
        ("flags", ctypes.c_int),
        ("restorer", ctypes.c_void_p),
    )


def map_shared(libc: ctypes.CDLL, fd: int, areas: list[int]) -> None:
    """Map the parent's file where it says."""
    libc.mmap.restype = ctypes.c_void_p
    for address, offset, size in zip(*[iter(areas)] * 3, strict=True):
        got = libc.mmap(
            ctypes.c_void_p(address), ctypes.c_size_t(size), PROT, SHARED | FIXED_NOREPLACE,
            fd, ctypes.c_long(offset),
        )  # fmt: skip
        if got != address:
            raise SystemExit(f"{address:#x} is not to be had: {os.strerror(ctypes.get_errno())}")


def catch_signals(libc: ctypes.CDLL, handler: int) -> object:
    """Have the signals of faults handled, on a stack of their own."""
    stack = ctypes.create_string_buffer(STACK_BYTES)
    described = struct.pack("<QiiQ", ctypes.addressof(stack), 0, 0, STACK_BYTES)
    libc.sigaltstack(described, None)
    action = _Action(handler=handler, flags=SA_SIGINFO | SA_ONSTACK)
    for number in SIGNALS:
        libc.sigaction(number, ctypes.byref(action), None)
    return stack


def make_segment(libc: ctypes.CDLL, entry: int, base: int, limit: int, flags: int) -> bool:
    """A segment in the local descriptor table; `flags` as in struct user_desc."""
    described = struct.pack("<IIII", entry, base, limit, flags)
    return bool(libc.syscall(SYS_MODIFY_LDT, 1, described, len(described)) == 0)


def main() -> None:
    """Serve until the parent is gone."""
    libc = ctypes.CDLL(None, use_errno=True)
    numbers = [int(text) for text in sys.argv[1:]]
    fd, run, handler, count = numbers[:4]
    areas, segments = numbers[4 : 4 + count], numbers[4 + count :]
    map_shared(libc, fd, areas)
    made = all(make_segment(libc, *segment) for segment in zip(*[iter(segments)] * 4, strict=True))
    stack = catch_signals(libc, handler)
    function = ctypes.CFUNCTYPE(None)(run)
    os.write(1, b"y" if made else b"n")
    while os.read(0, 1):
        function()
        os.write(1, b".")
    del stack


if __name__ == "__main__":
    main()
