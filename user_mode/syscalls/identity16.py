"""The calls about users and groups of ABIs that began with ids of 16 bits.

-1 means "as it is" in either width.  An id that does not fit shows as 65534, the kernel's
`overflowuid`.  Source: kernel/uid16.c, include/linux/highuid.h.
"""

from __future__ import annotations

import errno
import struct
from typing import TYPE_CHECKING

from user_mode.errors import Errno
from user_mode.host import Buffer, call
from user_mode.host_numbers import Nr
from user_mode.syscalls.table import syscall
from user_mode.syscalls.types import Addr, Fd, Gid, Int, Lookup, Uid

if TYPE_CHECKING:
    from user_mode.process import Thread

_NONE, _OVERFLOW = 0xFFFF, 0xFFFE
_MAX_GROUPS = 65536


def widened(id_: int) -> int:
    """low2highuid()

    >>> widened(0xFFFF) == (1 << 32) - 1
    True
    """
    id_ &= 0xFFFF
    return (1 << 32) - 1 if id_ == _NONE else id_


def narrowed(id_: int) -> int:
    """high2lowuid()

    >>> narrowed(100000)
    65534
    """
    return id_ if id_ <= _NONE else _OVERFLOW


# -- owners of files -------------------------------------------------------------------------------


@syscall
def chown16(thread: Thread, path: Lookup, uid: Uid, gid: Gid) -> int:
    """chown(2)"""
    return call(Nr.chown, path, widened(uid), widened(gid))


@syscall
def lchown16(thread: Thread, path: Lookup, uid: Uid, gid: Gid) -> int:
    """lchown(2)"""
    return call(Nr.lchown, path, widened(uid), widened(gid))


@syscall
def fchown16(thread: Thread, fd: Fd, uid: Uid, gid: Gid) -> int:
    """fchown(2)"""
    return call(Nr.fchown, fd, widened(uid), widened(gid))


# -- ids of the process ----------------------------------------------------------------------------


@syscall
def getuid16(thread: Thread) -> int:
    """getuid(2)"""
    return narrowed(call(Nr.getuid))


@syscall
def geteuid16(thread: Thread) -> int:
    """geteuid(2)"""
    return narrowed(call(Nr.geteuid))


@syscall
def getgid16(thread: Thread) -> int:
    """getgid(2)"""
    return narrowed(call(Nr.getgid))


@syscall
def getegid16(thread: Thread) -> int:
    """getegid(2)"""
    return narrowed(call(Nr.getegid))


@syscall
def setuid16(thread: Thread, uid: Uid) -> int:
    """setuid(2)"""
    return call(Nr.setuid, widened(uid))


@syscall
def setgid16(thread: Thread, gid: Gid) -> int:
    """setgid(2)"""
    return call(Nr.setgid, widened(gid))


@syscall
def setreuid16(thread: Thread, real: Uid, effective: Uid) -> int:
    """setreuid(2)"""
    return call(Nr.setreuid, widened(real), widened(effective))


@syscall
def setregid16(thread: Thread, real: Gid, effective: Gid) -> int:
    """setregid(2)"""
    return call(Nr.setregid, widened(real), widened(effective))


@syscall
def setresuid16(thread: Thread, real: Uid, effective: Uid, saved: Uid) -> int:
    """setresuid(2)"""
    return call(Nr.setresuid, widened(real), widened(effective), widened(saved))


@syscall
def setresgid16(thread: Thread, real: Gid, effective: Gid, saved: Gid) -> int:
    """setresgid(2)"""
    return call(Nr.setresgid, widened(real), widened(effective), widened(saved))


@syscall
def setfsuid16(thread: Thread, uid: Uid) -> int:
    """setfsuid(2)"""
    return narrowed(call(Nr.setfsuid, widened(uid)))


@syscall
def setfsgid16(thread: Thread, gid: Gid) -> int:
    """setfsgid(2)"""
    return narrowed(call(Nr.setfsgid, widened(gid)))


def _triple(thread: Thread, number: int, addresses: tuple[int, int, int]) -> int:
    ids = Buffer(12)
    call(number, ids.address, ids.address + 4, ids.address + 8)
    for address, value in zip(addresses, struct.unpack("<III", ids.raw), strict=True):
        thread.process.memory.put_u16(address, narrowed(value))
    return 0


@syscall
def getresuid16(thread: Thread, real: Addr, effective: Addr, saved: Addr) -> int:
    """getresuid(2)"""
    return _triple(thread, Nr.getresuid, (real, effective, saved))


@syscall
def getresgid16(thread: Thread, real: Addr, effective: Addr, saved: Addr) -> int:
    """getresgid(2)"""
    return _triple(thread, Nr.getresgid, (real, effective, saved))


@syscall
def getgroups16(thread: Thread, count: Int, groups: Addr) -> int:
    """getgroups(2)"""
    if not 0 <= count <= _MAX_GROUPS:
        raise Errno(errno.EINVAL)
    buffer = Buffer(4 * count)
    found = call(Nr.getgroups, count, buffer.address)
    if count:
        ids = map(narrowed, struct.unpack(f"<{found}I", buffer.first(4 * found)))
        order = thread.process.abi.byte_order
        thread.process.memory.write(groups, struct.pack(f"{order}{found}H", *ids))
    return found


@syscall
def setgroups16(thread: Thread, count: Int, groups: Addr) -> int:
    """setgroups(2)"""
    if not 0 <= count <= _MAX_GROUPS:
        raise Errno(errno.EINVAL)
    data = thread.process.memory.read(groups, 2 * count) if count else b""
    order = thread.process.abi.byte_order
    ids = map(widened, struct.unpack(f"{order}{count}H", data))
    return call(Nr.setgroups, count, struct.pack(f"<{count}I", *ids))
