"""What the inode says: stat(2) and its family, permissions, owners, times, links, file systems."""

from __future__ import annotations

import errno
import os
import struct
from typing import TYPE_CHECKING

from user_mode.errors import Errno
from user_mode.host import Buffer, call
from user_mode.host_numbers import Nr
from user_mode.syscalls import guest_memory
from user_mode.syscalls.paths import own_entry
from user_mode.syscalls.table import syscall
from user_mode.syscalls.types import Addr, AtFlags, DirFd, Fd, Int, Lookup, Size, UInt

if TYPE_CHECKING:
    from user_mode.process import Thread

AT_FDCWD = -100
AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH = 0x100, 0x1000
_LARGEST_32 = (1 << 31) - 1

DIRECT = """\
access           path:Lookup mode:AccessMode
faccessat        dirfd:DirFd path:Lookup mode:AccessMode
faccessat2       dirfd:DirFd path:Lookup mode:AccessMode flags:AtFlags
chmod            path:Lookup mode:Mode
fchmod           fd:Fd mode:Mode
fchmodat         dirfd:DirFd path:Lookup mode:Mode
fchmodat2        dirfd:DirFd path:Lookup mode:Mode flags:AtFlags
chown            path:Lookup uid:Uid gid:Gid
lchown           path:Lookup uid:Uid gid:Gid
fchown           fd:Fd uid:Uid gid:Gid
chown32          path:Lookup uid:Uid gid:Gid                       =chown
lchown32         path:Lookup uid:Uid gid:Gid                       =lchown
fchown32         fd:Fd uid:Uid gid:Gid                             =fchown
fchownat         dirfd:DirFd path:Lookup uid:Uid gid:Gid flags:AtFlags
umask            mask:Mode
"""


# -- stat ------------------------------------------------------------------------------------------


def _host_stat(thread: Thread, dirfd: int, path: bytes, flags: int) -> bytes:
    """The host's struct stat of a path or, with an empty one, of a descriptor."""
    buffer = Buffer(thread.process.abi.host_structs.stat.size)
    call(Nr.newfstatat, dirfd, path, buffer.address, flags)
    return buffer.raw


def _put_stat(thread: Thread, address: int, found: bytes, layout: str) -> int:
    if layout == "stat" and thread.process.abi.long_size == 4:
        values = thread.process.abi.host_structs.stat.values(found)
        if values["st_size"] > _LARGEST_32:
            raise Errno(errno.EOVERFLOW)
    guest_memory.from_host(thread, address, "stat", found, layout)
    return 0


@syscall
def stat(thread: Thread, path: Lookup, result: Addr) -> int:
    """stat(2)"""
    return _put_stat(thread, result, _host_stat(thread, AT_FDCWD, path, 0), "stat")


@syscall
def lstat(thread: Thread, path: Lookup, result: Addr) -> int:
    """lstat(2)"""
    found = _host_stat(thread, AT_FDCWD, path, AT_SYMLINK_NOFOLLOW)
    return _put_stat(thread, result, found, "stat")


@syscall
def fstat(thread: Thread, fd: Fd, result: Addr) -> int:
    """fstat(2)"""
    return _put_stat(thread, result, _host_stat(thread, fd, b"", AT_EMPTY_PATH), "stat")


@syscall
def stat64(thread: Thread, path: Lookup, result: Addr) -> int:
    """stat(2) with 64-bit sizes"""
    return _put_stat(thread, result, _host_stat(thread, AT_FDCWD, path, 0), "stat64")


@syscall
def lstat64(thread: Thread, path: Lookup, result: Addr) -> int:
    """lstat(2) with 64-bit sizes"""
    found = _host_stat(thread, AT_FDCWD, path, AT_SYMLINK_NOFOLLOW)
    return _put_stat(thread, result, found, "stat64")


@syscall
def fstat64(thread: Thread, fd: Fd, result: Addr) -> int:
    """fstat(2) with 64-bit sizes"""
    return _put_stat(thread, result, _host_stat(thread, fd, b"", AT_EMPTY_PATH), "stat64")


@syscall
def fstatat64(thread: Thread, dirfd: DirFd, path: Lookup, result: Addr, flags: AtFlags) -> int:
    """fstatat(2) with 64-bit sizes"""
    return _put_stat(thread, result, _host_stat(thread, dirfd, path, flags), "stat64")


@syscall
def newfstatat(thread: Thread, dirfd: DirFd, path: Lookup, result: Addr, flags: AtFlags) -> int:
    """fstatat(2)"""
    return _put_stat(thread, result, _host_stat(thread, dirfd, path, flags), "stat")


@syscall
def oldstat(thread: Thread, path: Lookup, result: Addr) -> int:
    """stat(2) of Linux 1.0"""
    return _put_stat(thread, result, _host_stat(thread, AT_FDCWD, path, 0), "oldstat")


@syscall
def oldlstat(thread: Thread, path: Lookup, result: Addr) -> int:
    """lstat(2) of Linux 1.0"""
    found = _host_stat(thread, AT_FDCWD, path, AT_SYMLINK_NOFOLLOW)
    return _put_stat(thread, result, found, "oldstat")


@syscall
def oldfstat(thread: Thread, fd: Fd, result: Addr) -> int:
    """fstat(2) of Linux 1.0"""
    return _put_stat(thread, result, _host_stat(thread, fd, b"", AT_EMPTY_PATH), "oldstat")


@syscall
def statx(
    thread: Thread, dirfd: DirFd, path: Lookup, flags: AtFlags, mask: UInt, result: Addr
) -> int:
    """statx(2)"""
    buffer = Buffer(thread.process.abi.host_structs.statx.size)
    call(Nr.statx, dirfd, path, flags, mask, buffer.address)
    guest_memory.from_host(thread, result, "statx", buffer.raw)
    return 0


# -- links -----------------------------------------------------------------------------------------


@syscall
def readlink(thread: Thread, path: Addr, buffer: Addr, size: Int) -> int:
    """readlink(2)"""
    return _readlink(thread, AT_FDCWD, path, buffer, size)


@syscall
def readlinkat(thread: Thread, dirfd: DirFd, path: Addr, buffer: Addr, size: Int) -> int:
    """readlinkat(2)"""
    return _readlink(thread, dirfd, path, buffer, size)


def _readlink(thread: Thread, dirfd: int, path_address: int, buffer: int, size: int) -> int:
    """Takes the path as the guest wrote it: /proc/self/exe itself is asked for, not its target."""
    if size <= 0:
        raise Errno(errno.EINVAL)
    process = thread.process
    path = process.memory.cstring(path_address)
    if own_entry(path) == b"exe":
        target = os.fsencode(process.exe)[:size]
        process.memory.write(buffer, target)
        return len(target)
    from user_mode.syscalls.paths import in_sysroot

    path = in_sysroot(process, path) if path.startswith(b"/") else path
    return call(Nr.readlinkat, dirfd, path, process.memory.host_range(buffer, size, True), size)


# -- times -----------------------------------------------------------------------------------------

_UTIME_NOW, _UTIME_OMIT = (1 << 30) - 1, (1 << 30) - 2
_HOST_TIMES = struct.Struct("<qqqq")


def _set_times(
    thread: Thread, dirfd: int, path: bytes | None, times: int, layout: str, flags: int
) -> int:
    """utimensat(2) on the host, from two of the guest's `layout`; NULL means now."""
    if not times:
        return call(Nr.utimensat, dirfd, path, None, flags)
    size = thread.process.abi.structs[layout].size
    values = []
    for address in (times, times + size):
        seconds, fraction = guest_memory.get(thread, address, layout)
        if layout.startswith("timeval"):
            if not 0 <= fraction < 1_000_000:
                raise Errno(errno.EINVAL)
            fraction *= 1000
        values += [seconds, fraction]
    return call(Nr.utimensat, dirfd, path, _HOST_TIMES.pack(*values), flags)


def _optional_path(thread: Thread, address: int) -> bytes | None:
    """The path of utimensat(2), where NULL means the descriptor itself."""
    from user_mode.syscalls.paths import lookup

    return lookup(thread.process, thread.process.memory.cstring(address)) if address else None


@syscall
def utimensat(thread: Thread, dirfd: DirFd, path: Addr, times: Addr, flags: AtFlags) -> int:
    """utimensat(2)"""
    return _set_times(thread, dirfd, _optional_path(thread, path), times, "timespec", flags)


@syscall
def utimensat_time64(thread: Thread, dirfd: DirFd, path: Addr, times: Addr, flags: AtFlags) -> int:
    """utimensat(2) with 64-bit times"""
    return _set_times(thread, dirfd, _optional_path(thread, path), times, "timespec64", flags)


@syscall
def utimes(thread: Thread, path: Lookup, times: Addr) -> int:
    """utimes(2)"""
    return _set_times(thread, AT_FDCWD, path, times, "timeval", 0)


@syscall
def futimesat(thread: Thread, dirfd: DirFd, path: Addr, times: Addr) -> int:
    """futimesat(2)"""
    return _set_times(thread, dirfd, _optional_path(thread, path), times, "timeval", 0)


@syscall
def utime(thread: Thread, path: Lookup, times: Addr) -> int:
    """utime(2)"""
    if not times:
        return call(Nr.utimensat, AT_FDCWD, path, None, 0)
    accessed, modified = guest_memory.get(thread, times, "utimbuf")
    return call(Nr.utimensat, AT_FDCWD, path, _HOST_TIMES.pack(accessed, 0, modified, 0), 0)


# -- file systems ----------------------------------------------------------------------------------


def _statfs(thread: Thread, number: int, what: bytes | int, result: int, layout: str) -> int:
    buffer = Buffer(thread.process.abi.host_structs.statfs.size)
    call(number, what, buffer.address)
    guest_memory.from_host(thread, result, "statfs", buffer.raw, layout)
    return 0


@syscall
def statfs(thread: Thread, path: Lookup, result: Addr) -> int:
    """statfs(2)"""
    return _statfs(thread, Nr.statfs, path, result, "statfs")


@syscall
def fstatfs(thread: Thread, fd: Fd, result: Addr) -> int:
    """fstatfs(2)"""
    return _statfs(thread, Nr.fstatfs, fd, result, "statfs")


def _check_statfs64(thread: Thread, size: int) -> None:
    if size != thread.process.abi.structs.statfs64.size:
        raise Errno(errno.EINVAL)


@syscall
def statfs64(thread: Thread, path: Lookup, size: Size, result: Addr) -> int:
    """statfs(2) with 64-bit counts"""
    _check_statfs64(thread, size)
    return _statfs(thread, Nr.statfs, path, result, "statfs64")


@syscall
def fstatfs64(thread: Thread, fd: Fd, size: Size, result: Addr) -> int:
    """fstatfs(2) with 64-bit counts"""
    _check_statfs64(thread, size)
    return _statfs(thread, Nr.fstatfs, fd, result, "statfs64")
