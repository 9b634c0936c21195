"""Who the process is: ids, users, groups, capabilities, sessions.

Ids have 32 bits; ABIs that had shorter ones first call these `getuid32` and so on.
"""

from __future__ import annotations

import errno
import os
import struct
from typing import TYPE_CHECKING

from user_mode.errors import Errno
from user_mode.host import Buffer, call
from user_mode.host_numbers import Nr
from user_mode.syscalls import guest_memory
from user_mode.syscalls.table import syscall
from user_mode.syscalls.types import Addr, Int, Pid

if TYPE_CHECKING:
    from user_mode.process import Thread

DIRECT = """\
getpgid          pid:Pid
getpgrp
getsid           pid:Pid
setpgid          pid:Pid group:Pid
setsid
getuid
getgid
geteuid
getegid
setuid           uid:Uid
setgid           gid:Gid
setreuid         real:Uid effective:Uid
setregid         real:Gid effective:Gid
setresuid        real:Uid effective:Uid saved:Uid
setresgid        real:Gid effective:Gid saved:Gid
setfsuid         uid:Uid
setfsgid         gid:Gid
getuid32                                                   =getuid
getgid32                                                   =getgid
geteuid32                                                  =geteuid
getegid32                                                  =getegid
setuid32         uid:Uid                                   =setuid
setgid32         gid:Gid                                   =setgid
setreuid32       real:Uid effective:Uid                    =setreuid
setregid32       real:Gid effective:Gid                    =setregid
setresuid32      real:Uid effective:Uid saved:Uid          =setresuid
setresgid32      real:Gid effective:Gid saved:Gid          =setresgid
setfsuid32       uid:Uid                                   =setfsuid
setfsgid32       gid:Gid                                   =setfsgid
pidfd_open       pid:Pid flags:UInt
pidfd_getfd      pidfd:Fd fd:Fd flags:UInt
kcmp             first:Pid second:Pid type:Int index1:ULong index2:ULong
"""

_MAX_GROUPS = 65536


@syscall
def getpid(thread: Thread) -> int:
    """getpid(2)"""
    return os.getpid()


@syscall
def getppid(thread: Thread) -> int:
    """getppid(2)"""
    return os.getppid()


# -- triples ---------------------------------------------------------------------------------------


def _triple(thread: Thread, number: int, addresses: tuple[int, int, int]) -> int:
    ids = Buffer(12)
    call(number, ids.address, ids.address + 4, ids.address + 8)
    for address, value in zip(addresses, struct.unpack("<III", ids.raw), strict=True):
        thread.process.memory.put_u32(address, value)
    return 0


@syscall(also=("getresuid32",))
def getresuid(thread: Thread, real: Addr, effective: Addr, saved: Addr) -> int:
    """getresuid(2)"""
    return _triple(thread, Nr.getresuid, (real, effective, saved))


@syscall(also=("getresgid32",))
def getresgid(thread: Thread, real: Addr, effective: Addr, saved: Addr) -> int:
    """getresgid(2)"""
    return _triple(thread, Nr.getresgid, (real, effective, saved))


# -- supplementary groups --------------------------------------------------------------------------


@syscall(also=("getgroups32",))
def getgroups(thread: Thread, count: Int, groups: Addr) -> int:
    """getgroups(2)"""
    if not 0 <= count <= _MAX_GROUPS:
        raise Errno(errno.EINVAL)
    buffer = Buffer(4 * count)
    found = call(Nr.getgroups, count, buffer.address)
    if count:
        data = struct.unpack(f"<{found}I", buffer.first(4 * found))
        order = thread.process.abi.byte_order
        thread.process.memory.write(groups, struct.pack(f"{order}{found}I", *data))
    return found


@syscall(also=("setgroups32",))
def setgroups(thread: Thread, count: Int, groups: Addr) -> int:
    """setgroups(2)"""
    if not 0 <= count <= _MAX_GROUPS:
        raise Errno(errno.EINVAL)
    data = thread.process.memory.read(groups, 4 * count) if count else b""
    order = thread.process.abi.byte_order
    return call(
        Nr.setgroups, count, struct.pack(f"<{count}I", *struct.unpack(f"{order}{count}I", data))
    )


# -- capabilities ----------------------------------------------------------------------------------

_CAPABILITY_V1 = 0x19980330


def _capability_sets(version: int) -> int:
    """How many struct cap_data a version of the interface has."""
    return 1 if version == _CAPABILITY_V1 else 2


@syscall
def capget(thread: Thread, header: Addr, data: Addr) -> int:
    """capget(2)"""
    request = guest_memory.for_host(thread, header, "cap_header")
    size = thread.process.abi.structs.cap_data.size
    buffer = Buffer(2 * size)
    try:
        call(Nr.capget, request.address, buffer.address if data else 0)
    except Errno:
        guest_memory.from_host(thread, header, "cap_header", request.raw)
        raise
    version = int.from_bytes(request.raw[:4], "little")
    guest_memory.from_host(thread, header, "cap_header", request.raw)
    if data:
        for i in range(_capability_sets(version)):
            part = buffer.raw[i * size : (i + 1) * size]
            guest_memory.from_host(thread, data + i * size, "cap_data", part)
    return 0


@syscall
def capset(thread: Thread, header: Addr, data: Addr) -> int:
    """capset(2)"""
    request = guest_memory.for_host(thread, header, "cap_header")
    size = thread.process.abi.structs.cap_data.size
    version = int.from_bytes(request.raw[:4], "little")
    sets = [
        guest_memory.for_host(thread, data + i * size, "cap_data").raw
        for i in range(_capability_sets(version))
    ]
    return call(Nr.capset, request.address, b"".join(sets))


@syscall
def setpriority(thread: Thread, which: Int, who: Pid, value: Int) -> int:
    """setpriority(2)"""
    return call(Nr.setpriority, which, who, value)


@syscall
def getpriority(thread: Thread, which: Int, who: Pid) -> int:
    """getpriority(2): like the kernel's, 20 less the nice value"""
    return call(Nr.getpriority, which, who)


@syscall
def nice(thread: Thread, increment: Int) -> int:
    """nice(2)"""
    os.nice(max(-40, min(increment, 40)))
    return 0
