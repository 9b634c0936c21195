"""The files under /proc that would tell a guest about its emulator instead of itself.

They are made when they are opened, as sealed files in memory; everything else under /proc is the
host's. The name of /proc/self/exe is dealt with where paths are (`user_mode.syscalls.paths`).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from user_mode import host
from user_mode.errors import Errno
from user_mode.host_numbers import Nr
from user_mode.syscalls.paths import own_entry

if TYPE_CHECKING:
    from user_mode.process import Process

_O_ACCMODE, _O_CLOEXEC = 0o3, 0o2000000
_MFD_CLOEXEC, _MFD_ALLOW_SEALING = 1, 2
_F_ADD_SEALS = 1033
_ALL_SEALS = 0xF


def _maps(process: Process) -> bytes:
    return process.memory.maps(process.abi.long_size)


def _cmdline(process: Process) -> bytes:
    return b"".join(argument + b"\0" for argument in process.argv)


def _auxv(process: Process) -> bytes:
    return process.auxv


def _refused(_: Process) -> bytes:
    """Addresses there are the host's, and writing would reach the emulator."""
    raise Errno(errno.EACCES)


OWN_FILES: dict[bytes, Callable[[Process], bytes]] = {
    b"maps": _maps,
    b"cmdline": _cmdline,
    b"auxv": _auxv,
    b"mem": _refused,
    b"pagemap": _refused,
}
"""Files of /proc/self, by name."""


def _ppc_cpuinfo(_: Process, count: int) -> str:
    """As arch/powerpc/kernel/setup-common.c writes it.  The C library reads `timebase`."""
    from frontends.ppc.state import PROCESSOR_VERSION, TIME_BASE_HZ

    high, low = divmod(PROCESSOR_VERSION, 1 << 16)
    cpus = "".join(
        f"processor\t: {i}\ncpu\t\t: 740/750\nclock\t\t: {TIME_BASE_HZ / 1e6:f}MHz\n"
        f"revision\t: {low >> 8}.{low & 0xFF} (pvr {high:04x} {low:04x})\n\n"
        for i in range(count)
    )
    return f"{cpus}timebase\t: {TIME_BASE_HZ}\nplatform\t: qemupy\n"


def _x86_cpuinfo(process: Process, count: int) -> str:
    from user_mode.abi.x86.cpuinfo import cpuinfo

    return cpuinfo(process.abi.model, count)


CPUINFO: dict[bytes, Callable[[Process, int], str]] = {
    b"ppc": _ppc_cpuinfo,
    b"x86_64": _x86_cpuinfo,
    b"i686": _x86_cpuinfo,
}
"""/proc/cpuinfo by the machine's name, from the number of CPUs."""


def content(process: Process, path: bytes) -> bytes | None:
    """What a file under /proc says to the guest; None if the host's will do."""
    if path == b"/proc/cpuinfo":
        describe = CPUINFO.get(process.abi.machine)
        return describe(process, os.cpu_count() or 1).encode() if describe else None
    make = OWN_FILES.get(own_entry(path) or b"")
    return make(process) if make else None


def open_emulated(process: Process, path: bytes, flags: int) -> int | None:
    """Open a file under /proc if it is one of ours; `flags` are the host's."""
    data = content(process, path)
    if data is None:
        return None
    if flags & _O_ACCMODE:
        raise Errno(errno.EACCES)
    close_on_exec = _MFD_CLOEXEC if flags & _O_CLOEXEC else 0
    name = os.path.basename(path)
    fd = host.call(Nr.memfd_create, name, close_on_exec | _MFD_ALLOW_SEALING)
    host.write_all(fd, data)
    host.call(Nr.lseek, fd, 0, 0)
    host.call(Nr.fcntl, fd, _F_ADD_SEALS, _ALL_SEALS)
    return fd
