"""First forms of calls, which only the oldest ABIs have beside the later ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from user_mode.host import Buffer, call
from user_mode.host_numbers import Nr
from user_mode.syscalls import guest_memory
from user_mode.syscalls.memory import mmap
from user_mode.syscalls.poll import select
from user_mode.syscalls.system import getrlimit
from user_mode.syscalls.table import syscall
from user_mode.syscalls.types import Addr, Resource, ULong

if TYPE_CHECKING:
    from user_mode.process import Thread

_UTSNAME_FIELDS = ("sysname", "nodename", "release", "version", "machine")
_OLD_NAME, _OLDEST_NAME = 65, 9
_LARGEST_32 = (1 << 31) - 1


# -- arguments in memory ---------------------------------------------------------------------------


@syscall
def old_mmap(thread: Thread, arguments: Addr) -> int | None:
    """mmap(2), its six arguments in a structure"""
    values = guest_memory.get(thread, arguments, "mmap_arguments")
    address, length, prot, flags, fd, offset = values
    flags = thread.process.abi.map_flags.to_host(flags)
    return mmap(thread, address, length, prot, flags, fd, offset)


@syscall(restarts=False)
def old_select(thread: Thread, arguments: Addr) -> int | None:
    """select(2), its five arguments in a structure"""
    count, *rest = guest_memory.get(thread, arguments, "select_arguments")
    return select(thread, (count ^ 1 << 31) - (1 << 31), *rest)


# -- names -----------------------------------------------------------------------------------------


def _names(thread: Thread, size: int) -> bytes:
    """uname(2) without the domain, each name cut to its field."""
    abi = thread.process.abi
    buffer = Buffer(abi.host_structs.utsname.size)
    call(Nr.uname, buffer.address)
    values = abi.host_structs.utsname.values(buffer.raw)
    values["machine"] = abi.machine
    values["release"] = abi.release or values["release"]
    names = (values[field].rstrip(b"\0")[: size - 1] for field in _UTSNAME_FIELDS)
    return b"".join(name.ljust(size, b"\0") for name in names)


@syscall
def olduname(thread: Thread, result: Addr) -> int:
    """uname(2) before there was a domain name"""
    thread.process.memory.write(result, _names(thread, _OLD_NAME))
    return 0


@syscall
def oldolduname(thread: Thread, result: Addr) -> int:
    """uname(2) with names of 8 characters"""
    thread.process.memory.write(result, _names(thread, _OLDEST_NAME))
    return 0


# -- limits and masks ------------------------------------------------------------------------------


@syscall
def old_getrlimit(thread: Thread, resource: Resource, result: Addr) -> int:
    """getrlimit(2), where a limit is a signed number"""
    getrlimit(thread, resource, result)
    limits = guest_memory.get(thread, result, "rlimit")
    guest_memory.put(thread, result, "rlimit", *(min(limit, _LARGEST_32) for limit in limits))
    return 0


@syscall
def sgetmask(thread: Thread) -> int:
    """The signal mask's first word"""
    return thread.blocked & 0xFFFF_FFFF


@syscall
def ssetmask(thread: Thread, mask: ULong) -> int:
    """Set the signal mask's first word, and clear the rest; gives the old one"""
    before = sgetmask(thread) or 0
    thread.set_blocked(mask & 0xFFFF_FFFF)
    return before
