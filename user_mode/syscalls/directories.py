"""Directories and their entries: reading, making, removing, linking, the current one, mounts."""

from __future__ import annotations

import errno
import os
import struct
from typing import TYPE_CHECKING, NamedTuple

from user_mode.errors import Errno
from user_mode.host import Buffer, call
from user_mode.host_numbers import Nr
from user_mode.syscalls.table import syscall
from user_mode.syscalls.types import Addr, Fd, Lookup, Size, ULong

if TYPE_CHECKING:
    from collections.abc import Iterator

    from user_mode.process import Thread

DIRECT = """\
chdir            path:Lookup
fchdir           fd:Fd
chroot           path:Path
mkdir            path:Path mode:Mode
mkdirat          dirfd:DirFd path:Path mode:Mode
rmdir            path:Path
mknod            path:Path mode:Mode device:UInt
mknodat          dirfd:DirFd path:Path mode:Mode device:UInt
link             old:Lookup new:Path
linkat           old_dirfd:DirFd old:Lookup new_dirfd:DirFd new:Path flags:AtFlags
symlink          target:Name path:Path
symlinkat        target:Name dirfd:DirFd path:Path
unlink           path:Path
unlinkat         dirfd:DirFd path:Path flags:AtFlags
rename           old:Path new:Path
renameat         old_dirfd:DirFd old:Path new_dirfd:DirFd new:Path
renameat2        old_dirfd:DirFd old:Path new_dirfd:DirFd new:Path flags:UInt
pivot_root       new:Path old:Path
umount           path:Path                                            =umount2
umount2          path:Path flags:UInt
"""

_HOST_HEADER = struct.Struct("<QqHB")
_NAME_AT = 19
_LARGEST_32 = (1 << 31) - 1


class Entry(NamedTuple):
    """A directory entry; `offset` is that of the next one."""

    inode: int
    offset: int
    type: int
    name: bytes


def _parse(data: bytes) -> Iterator[Entry]:
    at = 0
    while at < len(data):
        inode, offset, size, type_ = _HOST_HEADER.unpack_from(data, at)
        name = data[at + _NAME_AT : at + size]
        yield Entry(inode, offset, type_, name[: name.index(0)])
        at += size


def _read_entries(thread: Thread, fd: int, size: int) -> list[Entry]:
    """The next entries of a directory that the guest may see."""
    buffer = Buffer(size)
    length = call(Nr.getdents64, fd, buffer.address, size)
    entries = list(_parse(buffer.first(length)))
    private = thread.process.fds.private
    if private and entries and _is_fd_directory(fd):
        hidden = {str(one).encode() for one in private}
        return [e for e in entries if e.name not in hidden] or _read_entries(thread, fd, size)
    return entries


def _is_fd_directory(fd: int) -> bool:
    path = os.readlink(f"/proc/self/fd/{fd}")
    return path.startswith("/proc/") and path.endswith(("/fd", "/fdinfo"))


def _guest_offset(thread: Thread, fd: int, offset: int) -> int:
    """An entry's offset as the guest gets it: see Descriptors.cookies."""
    if thread.process.abi.long_size == 8 or 0 <= offset <= _LARGEST_32:
        return offset
    cookies = thread.process.fds.cookies.setdefault(fd, [])
    if offset in cookies[-1:]:
        return len(cookies)
    cookies.append(offset)
    return len(cookies)


@syscall
def getdents64(thread: Thread, fd: Fd, buffer: Addr, size: Size) -> int:
    """getdents64(2)"""
    order = thread.process.abi.byte_order
    header = struct.Struct(f"{order}QqHB")
    parts = []
    for entry in _read_entries(thread, fd, min(size, 1 << 20)):
        length = -(-(_NAME_AT + len(entry.name) + 1) // 8) * 8
        offset = _guest_offset(thread, fd, entry.offset)
        parts.append(header.pack(entry.inode, offset, length, entry.type))
        parts.append(entry.name.ljust(length - _NAME_AT, b"\0"))
    data = b"".join(parts)
    thread.process.memory.write(buffer, data)
    return len(data)


@syscall
def getdents(thread: Thread, fd: Fd, buffer: Addr, size: Size) -> int:
    """getdents(2): entries with longs, the type in the last byte"""
    abi = thread.process.abi
    longs = "Q" if abi.long_size == 8 else "I"
    header = struct.Struct(f"{abi.byte_order}{longs}{longs}H")
    mask = (1 << 8 * abi.long_size) - 1
    parts = []
    # An entry is never longer than the host's, which has 64-bit fields.
    for entry in _read_entries(thread, fd, min(size, 1 << 20)):
        length = -(-(header.size + len(entry.name) + 2) // abi.long_size) * abi.long_size
        offset = _guest_offset(thread, fd, entry.offset)
        parts.append(header.pack(entry.inode & mask, offset & mask, length))
        parts.append(entry.name.ljust(length - header.size - 1, b"\0") + bytes((entry.type,)))
    data = b"".join(parts)
    thread.process.memory.write(buffer, data)
    return len(data)


@syscall
def getcwd(thread: Thread, buffer: Addr, size: Size) -> int:
    """getcwd(2)"""
    if size == 0:
        raise Errno(errno.ERANGE)
    return call(Nr.getcwd, thread.process.memory.host_range(buffer, size, True), size)


@syscall
def mount(
    thread: Thread, source: Addr, target: Lookup, type_: Addr, flags: ULong, data: Addr
) -> int:
    """mount(2)"""
    memory = thread.process.memory
    strings = [memory.cstring(address) if address else None for address in (source, type_, data)]
    return call(Nr.mount, strings[0], target, strings[1], flags, strings[2])
