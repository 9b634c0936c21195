"""The types that the parameters of system calls are annotated with.

The annotation decides how the raw register becomes the argument (ARGUMENTS below) and how -strace
shows it.  To the type checker they are what the function gets.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from user_mode.abi.base import SyscallAbi
    from user_mode.process import Thread

Int: TypeAlias = int
UInt: TypeAlias = int
Long: TypeAlias = int
ULong: TypeAlias = int
Size: TypeAlias = int
Addr: TypeAlias = int
"""An address in the guest's memory."""
Off: TypeAlias = int
"""off_t, as wide as a long."""
Off64: TypeAlias = int
"""loff_t: 64 bits, in two registers on a 32-bit ABI."""
U64: TypeAlias = int
Fd: TypeAlias = int
DirFd: TypeAlias = int
Path: TypeAlias = bytes
"""A path by which something is made, removed or renamed."""
Lookup: TypeAlias = bytes
"""A path by which something is looked up: under the -L prefix first, and our /proc/self."""
Name: TypeAlias = bytes
"""A string that is no path."""
Mode: TypeAlias = int
OpenFlags: TypeAlias = int
"""O_*, in the host's values."""
AtFlags: TypeAlias = int
AccessMode: TypeAlias = int
Whence: TypeAlias = int
Fcntl: TypeAlias = int
Prot: TypeAlias = int
MapFlags: TypeAlias = int
"""MAP_*, in the host's values."""
MlockAll: TypeAlias = int
Advice: TypeAlias = int
Pid: TypeAlias = int
Uid: TypeAlias = int
Gid: TypeAlias = int
Signal: TypeAlias = int
Clock: TypeAlias = int
Domain: TypeAlias = int
SockType: TypeAlias = int
"""SOCK_*, flags in the host's values."""
SockLevel: TypeAlias = int
MsgFlags: TypeAlias = int
Resource: TypeAlias = int
Ioctl: TypeAlias = int
Text: TypeAlias = int
"""The address of bytes that go into the call; the next argument says how many."""
EventFlags: TypeAlias = int
"""EFD_*, TFD_*, SFD_*, IN_*, EPOLL_*: nonblock and close-on-exec, in the host's values."""


class ArgumentType(NamedTuple):
    """What a register holds (see Convention.reader), and what is made of it."""

    kind: str
    convert: Callable[[Thread, int], Any] | None = None


def _string(thread: Thread, address: int) -> bytes:
    return thread.process.memory.cstring(address)


def _path(thread: Thread, address: int) -> bytes:
    from user_mode.syscalls.paths import host_path

    return host_path(thread.process, thread.process.memory.cstring(address))


def _lookup(thread: Thread, address: int) -> bytes:
    from user_mode.syscalls.paths import lookup

    return lookup(thread.process, thread.process.memory.cstring(address))


def _open_flags(thread: Thread, word: int) -> int:
    abi: SyscallAbi = thread.process.abi
    return abi.open_flags.to_host(word)


def _map_flags(thread: Thread, word: int) -> int:
    abi: SyscallAbi = thread.process.abi
    return abi.map_flags.to_host(word)


def _mlockall_flags(thread: Thread, word: int) -> int:
    abi: SyscallAbi = thread.process.abi
    return abi.mlockall_flags.to_host(word)


def _socket_flags(thread: Thread, word: int) -> int:
    abi: SyscallAbi = thread.process.abi
    return abi.socket_flags.to_host(word)


# fmt: off
ARGUMENTS: dict[str, ArgumentType] = {
    "Int":        ArgumentType("s32"),
    "UInt":       ArgumentType("u32"),
    "Long":       ArgumentType("long"),
    "ULong":      ArgumentType("ulong"),
    "Size":       ArgumentType("ulong"),
    "Addr":       ArgumentType("ulong"),
    "Off":        ArgumentType("long"),
    "Off64":      ArgumentType("s64"),
    "U64":        ArgumentType("u64"),
    "Fd":         ArgumentType("s32"),
    "DirFd":      ArgumentType("s32"),
    "Path":       ArgumentType("ulong", _path),
    "Lookup":     ArgumentType("ulong", _lookup),
    "Name":       ArgumentType("ulong", _string),
    "Mode":       ArgumentType("u32"),
    "OpenFlags":  ArgumentType("u32", _open_flags),
    "AtFlags":    ArgumentType("u32"),
    "AccessMode": ArgumentType("s32"),
    "Whence":     ArgumentType("s32"),
    "Fcntl":      ArgumentType("s32"),
    "Prot":       ArgumentType("u32"),
    "MapFlags":   ArgumentType("u32", _map_flags),
    "MlockAll":   ArgumentType("u32", _mlockall_flags),
    "Advice":     ArgumentType("s32"),
    "Pid":        ArgumentType("s32"),
    "Uid":        ArgumentType("u32"),
    "Gid":        ArgumentType("u32"),
    "Signal":     ArgumentType("s32"),
    "Clock":      ArgumentType("s32"),
    "Domain":     ArgumentType("s32"),
    "SockType":   ArgumentType("u32", _socket_flags),
    "SockLevel":  ArgumentType("s32"),
    "MsgFlags":   ArgumentType("u32"),
    "Resource":   ArgumentType("s32"),
    "Ioctl":      ArgumentType("u32"),
    "Text":       ArgumentType("ulong"),
    "EventFlags": ArgumentType("u32", _open_flags),
}
# fmt: on
