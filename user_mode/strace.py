"""-strace: every system call of the guest as a line, names instead of numbers where there are any.

    4711 openat(AT_FDCWD, "/etc/passwd", O_RDONLY|O_CLOEXEC) = 3
    4711 read(3, 0x40800310, 512) = -1 EINTR (Interrupted system call)

A line begins when the call does.  If another thread's call comes in between, it is broken off with
`<unfinished ...>` and taken up again with `<... read resumed>`, as strace(1) does.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from typing import TYPE_CHECKING, TypeAlias

from user_mode.errors import Errno

if TYPE_CHECKING:
    from tcg.log import Log
    from user_mode.abi.base import SyscallAbi
    from user_mode.process import Thread

LONGEST_STRING = 64
ENDLESS = frozenset(("exit", "exit_group"))
"""Calls that do not return."""
ADDRESSES = frozenset(("brk", "mmap", "mmap2", "mremap", "shmat"))
"""Calls whose result is an address."""

# fmt: off
AT_FLAGS = {"AT_SYMLINK_NOFOLLOW": 0x100, "AT_REMOVEDIR": 0x200, "AT_SYMLINK_FOLLOW": 0x400,
            "AT_NO_AUTOMOUNT": 0x800, "AT_EMPTY_PATH": 0x1000}
ACCESS_MODES = {"R_OK": 4, "W_OK": 2, "X_OK": 1}
PROTECTIONS = {"PROT_READ": 1, "PROT_WRITE": 2, "PROT_EXEC": 4, "PROT_GROWSDOWN": 0x1000000}
MSG_FLAGS = {"MSG_OOB": 1, "MSG_PEEK": 2, "MSG_DONTROUTE": 4, "MSG_CTRUNC": 8, "MSG_TRUNC": 0x20,
             "MSG_DONTWAIT": 0x40, "MSG_EOR": 0x80, "MSG_WAITALL": 0x100, "MSG_NOSIGNAL": 0x4000,
             "MSG_MORE": 0x8000, "MSG_WAITFORONE": 0x10000, "MSG_CMSG_CLOEXEC": 0x40000000}
WHENCES = ("SEEK_SET", "SEEK_CUR", "SEEK_END", "SEEK_DATA", "SEEK_HOLE")
CLOCKS = (
    "CLOCK_REALTIME", "CLOCK_MONOTONIC", "CLOCK_PROCESS_CPUTIME_ID", "CLOCK_THREAD_CPUTIME_ID",
    "CLOCK_MONOTONIC_RAW", "CLOCK_REALTIME_COARSE", "CLOCK_MONOTONIC_COARSE", "CLOCK_BOOTTIME",
)
ADVICES = ("NORMAL", "RANDOM", "SEQUENTIAL", "WILLNEED", "DONTNEED")
RESOURCES = (
    "RLIMIT_CPU", "RLIMIT_FSIZE", "RLIMIT_DATA", "RLIMIT_STACK", "RLIMIT_CORE", "RLIMIT_RSS",
    "RLIMIT_NPROC", "RLIMIT_NOFILE", "RLIMIT_MEMLOCK", "RLIMIT_AS", "RLIMIT_LOCKS",
    "RLIMIT_SIGPENDING", "RLIMIT_MSGQUEUE", "RLIMIT_NICE", "RLIMIT_RTPRIO", "RLIMIT_RTTIME",
)
DOMAINS = {
    0: "AF_UNSPEC", 1: "AF_UNIX", 2: "AF_INET", 10: "AF_INET6", 16: "AF_NETLINK", 17: "AF_PACKET",
}
SOCKET_TYPES = {
    1: "SOCK_STREAM", 2: "SOCK_DGRAM", 3: "SOCK_RAW", 4: "SOCK_RDM", 5: "SOCK_SEQPACKET",
}
LEVELS = {0: "SOL_IP", 1: "SOL_SOCKET", 6: "SOL_TCP", 17: "SOL_UDP", 41: "SOL_IPV6"}
FCNTLS = {
    0: "F_DUPFD", 1: "F_GETFD", 2: "F_SETFD", 3: "F_GETFL", 4: "F_SETFL", 5: "F_GETLK",
    6: "F_SETLK", 7: "F_SETLKW", 8: "F_SETOWN", 9: "F_GETOWN", 10: "F_SETSIG", 11: "F_GETSIG",
    12: "F_GETLK64", 13: "F_SETLK64", 14: "F_SETLKW64", 15: "F_SETOWN_EX", 16: "F_GETOWN_EX",
    36: "F_OFD_GETLK", 37: "F_OFD_SETLK", 38: "F_OFD_SETLKW", 1024: "F_SETLEASE",
    1025: "F_GETLEASE", 1030: "F_DUPFD_CLOEXEC", 1031: "F_SETPIPE_SZ", 1032: "F_GETPIPE_SZ",
    1033: "F_ADD_SEALS", 1034: "F_GET_SEALS",
}
# fmt: on

Formatter: TypeAlias = "Callable[[Thread, int], str]"


def flag_names(value: int, names: Mapping[str, int], none: str = "0") -> str:
    """A word of flags by name, what is left of it in hex."""
    found = []
    for name, bits in names.items():
        if bits and value & bits == bits:
            found.append(name)
            value &= ~bits
    if value:
        found.append(hex(value))
    return "|".join(found) or none


def quoted(data: bytes) -> str:
    """A string as in C, shortened if it is long."""
    named = {0x22: '\\"', 0x5C: "\\\\", 0x0A: "\\n", 0x09: "\\t", 0x0D: "\\r"}
    text = "".join(
        named.get(byte) or (chr(byte) if 0x20 <= byte < 0x7F else f"\\{byte:o}")
        for byte in data[:LONGEST_STRING]
    )
    return f'"{text}"' + ("..." if len(data) > LONGEST_STRING else "")


def _string(thread: Thread, address: int) -> str:
    if not address:
        return "NULL"
    try:
        return quoted(thread.process.memory.cstring(address))
    except Errno:
        return hex(address)


def _number(_: Thread, value: int) -> str:
    return str(value)


def _address(_: Thread, value: int) -> str:
    return hex(value) if value else "NULL"


def _octal(_: Thread, value: int) -> str:
    return f"0{value:o}"


def _dirfd(_: Thread, value: int) -> str:
    return "AT_FDCWD" if value == -100 else str(value)


def _signal(_: Thread, value: int) -> str:
    try:
        return signal.Signals(value).name
    except ValueError:
        return str(value)


def _open_flags(thread: Thread, value: int) -> str:
    access = ("O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE")[value & 3]
    names = {k: v for k, v in thread.process.abi.constants.open_flags.items() if v > 3}
    return "|".join(filter(None, (access, flag_names(value & ~3, names, ""))))


def _event_flags(thread: Thread, value: int) -> str:
    return flag_names(value, thread.process.abi.constants.open_flags)


def _map_flags(thread: Thread, value: int) -> str:
    return flag_names(value, thread.process.abi.constants.map_flags)


def _mlockall(thread: Thread, value: int) -> str:
    return flag_names(value, thread.process.abi.constants.mlockall_flags)


def _socket_type(thread: Thread, value: int) -> str:
    flags = thread.process.abi.constants.socket_flags
    rest = flag_names(value & ~0xF, flags, "")
    return "|".join(filter(None, (SOCKET_TYPES.get(value & 0xF, hex(value & 0xF)), rest)))


def _ioctl(thread: Thread, value: int) -> str:
    return thread.process.abi.ioctl_names.get(value) or hex(value)


def _listed(names: Sequence[str] | Mapping[int, str]) -> Formatter:
    table = names if isinstance(names, Mapping) else dict(enumerate(names))
    return lambda _, value: table.get(value, str(value))


def _flags(names: Mapping[str, int], none: str = "0") -> Formatter:
    return lambda _, value: flag_names(value, names, none)


FORMATTERS: dict[str, Formatter] = {
    "Addr": _address,
    "ULong": lambda _, value: str(value) if value < 1 << 16 else hex(value),
    "Path": _string,
    "Lookup": _string,
    "Name": _string,
    "Mode": _octal,
    "DirFd": _dirfd,
    "OpenFlags": _open_flags,
    "EventFlags": _event_flags,
    "MapFlags": _map_flags,
    "MlockAll": _mlockall,
    "SockType": _socket_type,
    "Signal": _signal,
    "Ioctl": _ioctl,
    "AtFlags": _flags(AT_FLAGS),
    "AccessMode": _flags(ACCESS_MODES, "F_OK"),
    "Prot": _flags(PROTECTIONS, "PROT_NONE"),
    "MsgFlags": _flags(MSG_FLAGS),
    "Whence": _listed(WHENCES),
    "Clock": _listed(CLOCKS),
    "Advice": _listed(ADVICES),
    "Resource": _listed(RESOURCES),
    "Domain": _listed(DOMAINS),
    "SockLevel": _listed(LEVELS),
    "Fcntl": _listed(FCNTLS),
}
"""How a value of a parameter's type is shown; numbers where nothing is said."""


class Strace:
    """Writes the lines; one for all threads of a process."""

    def __init__(self, abi: SyscallAbi, log: Log) -> None:
        self._abi = abi
        self._log = log
        self._lock = Lock()
        self._open: tuple[int, int] | None = None
        """Process and thread of the line that is not finished."""

    def enter(
        self,
        thread: Thread,
        name: str,
        parameters: Sequence[tuple[str, str]],
        values: Sequence[int],
    ) -> None:
        """A call begins; `values` are the raw registers by the parameters' kinds."""
        types = [type_ for _, type_ in parameters]
        text = ", ".join(self._argument(thread, types, values, i) for i in range(len(types)))
        end = " = ?\n" if name in ENDLESS else ""
        with self._lock:
            self._break_off()
            self._write(f"{thread.tid} {name}({text}){end}")
            self._open = None if end else (os.getpid(), thread.tid)

    def _argument(self, thread: Thread, types: list[str], values: Sequence[int], i: int) -> str:
        if types[i] == "Text" and i + 1 < len(values):
            return self._text(thread, values[i], values[i + 1])
        return FORMATTERS.get(types[i], _number)(thread, values[i])

    def _text(self, thread: Thread, address: int, length: int) -> str:
        try:
            data = thread.process.memory.read(address, min(length, LONGEST_STRING + 1))
        except Errno:
            return hex(address)
        return quoted(data) if length else '""'

    def leave(self, thread: Thread, name: str, result: int | None) -> None:
        """The call has succeeded."""
        value = result or 0
        shown = hex(value) if name in ADDRESSES else str(self._signed(value))
        self._finish(thread, name, shown)

    def fail(self, thread: Thread, name: str, code: int) -> None:
        """The call has failed with this errno of the host's."""
        symbol = errno.errorcode.get(code, str(code)).replace("EDEADLOCK", "EDEADLK")
        self._finish(thread, name, f"-1 {symbol} ({os.strerror(code)})")

    def _signed(self, value: int) -> int:
        bits = 8 * self._abi.long_size
        return value - (1 << bits) if value >> (bits - 1) else value

    def _finish(self, thread: Thread, name: str, result: str) -> None:
        with self._lock:
            if self._open == (os.getpid(), thread.tid):
                self._write(f" = {result}\n")
            else:
                self._break_off()
                self._write(f"{thread.tid} <... {name} resumed> = {result}\n")
            self._open = None

    def _break_off(self) -> None:
        if self._open is not None and self._open[0] == os.getpid():
            self._write(" <unfinished ...>\n")
        self._open = None

    def _write(self, text: str) -> None:
        self._log.write("strace", text)
