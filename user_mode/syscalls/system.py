"""The system: its name, its resources and limits, randomness, the scheduler, prctl."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from user_mode.errors import Errno
from user_mode.host import Buffer, blocking, call
from user_mode.host_numbers import Nr
from user_mode.syscalls import guest_memory
from user_mode.syscalls.guest_memory import address_of, for_host, from_host
from user_mode.syscalls.table import syscall
from user_mode.syscalls.types import Addr, Int, Name, Pid, Resource, Size, UInt, ULong

if TYPE_CHECKING:
    from user_mode.process import Thread

DIRECT = """\
sched_get_priority_max   policy:Int
sched_get_priority_min   policy:Int
sched_getscheduler       pid:Pid
vhangup
ioprio_set               which:Int who:Int priority:Int
ioprio_get               which:Int who:Int
"""

RLIM_INFINITY = (1 << 64) - 1


# -- names -----------------------------------------------------------------------------------------


@syscall
def uname(thread: Thread, result: Addr) -> int:
    """uname(2): the host's, but for the machine and what -r says"""
    abi = thread.process.abi
    buffer = Buffer(abi.host_structs.utsname.size)
    call(Nr.uname, buffer.address)
    values = abi.host_structs.utsname.values(buffer.raw)
    values["machine"] = abi.machine
    values["release"] = abi.release or values["release"]
    thread.process.memory.write(result, abi.structs.utsname.make(**values))
    return 0


@syscall
def sethostname(thread: Thread, name: Addr, length: Size) -> int:
    """sethostname(2)"""
    return call(Nr.sethostname, thread.process.memory.read(name, length), length)


@syscall
def setdomainname(thread: Thread, name: Addr, length: Size) -> int:
    """setdomainname(2)"""
    return call(Nr.setdomainname, thread.process.memory.read(name, length), length)


@syscall
def sysinfo(thread: Thread, result: Addr) -> int:
    """sysinfo(2): where sizes do not fit, in units of a page, as the kernel does it"""
    abi = thread.process.abi
    buffer = Buffer(abi.host_structs.sysinfo.size)
    call(Nr.sysinfo, buffer.address)
    values = abi.host_structs.sysinfo.values(buffer.raw)
    sizes = [name for name in values if name.startswith(("total", "free", "shared", "buffer"))]
    limit = 1 << 8 * abi.long_size
    shift = 12 if any(values[name] * values["mem_unit"] >= limit for name in sizes) else 0
    for name in sizes:
        values[name] = values[name] * values["mem_unit"] >> shift
    values["mem_unit"] = 1 << shift
    known = {name: value for name, value in values.items() if name in abi.structs.sysinfo.fields}
    thread.process.memory.write(result, abi.structs.sysinfo.make(**known))
    return 0


@syscall
def syslog(thread: Thread, action: Int, buffer: Addr, size: Int) -> int:
    """syslog(2)"""
    where = thread.process.memory.host_range(buffer, max(size, 0), True) if buffer else 0
    return blocking(thread, Nr.syslog, action, where, size)


@syscall
def getrandom(thread: Thread, buffer: Addr, count: Size, flags: UInt) -> int:
    """getrandom(2)"""
    where = thread.process.memory.host_range(buffer, count, True)
    return blocking(thread, Nr.getrandom, where, count, flags)


# -- limits and use of resources -------------------------------------------------------------------


def _limit_to_guest(value: int, size: int) -> int:
    """A limit as a long: what does not fit is no limit."""
    infinity = (1 << 8 * size) - 1
    return min(value, infinity)


def _limit_to_host(value: int, size: int) -> int:
    return RLIM_INFINITY if value == (1 << 8 * size) - 1 else value


_RLIMIT_AS = 9
_OF_OUR_MEMORY = frozenset((2, 3, _RLIMIT_AS))
"""RLIMIT_DATA, RLIMIT_STACK and RLIMIT_AS: imposed on the emulator they would end it."""


def _limits(
    thread: Thread, pid: int, resource: int, new: tuple[int, int] | None
) -> tuple[int, int]:
    """prlimit64(2); limits of memory are remembered here, and of them RLIMIT_AS is enforced."""
    process = thread.process
    layout = process.abi.host_structs.rlimit
    is_own = pid in (0, os.getpid()) and resource in _OF_OUR_MEMORY
    request = Buffer(layout.pack(*new)) if new and not is_own else None
    old = Buffer(layout.size)
    call(Nr.prlimit64, pid, resource, address_of(request), old.address)
    soft, hard = layout.unpack(old.raw)
    if not is_own:
        return soft, hard
    soft, hard = process.limits.get(resource, (soft, hard))
    if new is not None:
        _remember_limit(thread, resource, new, hard)
    return soft, hard


def _remember_limit(thread: Thread, resource: int, new: tuple[int, int], hard: int) -> None:
    if new[0] > new[1]:
        raise Errno(errno.EINVAL)
    if new[1] > hard and os.geteuid():
        raise Errno(errno.EPERM)
    thread.process.limits[resource] = new
    if resource == _RLIMIT_AS:
        thread.process.memory.address_limit = None if new[0] == RLIM_INFINITY else new[0]


@syscall(also=("ugetrlimit",))
def getrlimit(thread: Thread, resource: Resource, result: Addr) -> int:
    """getrlimit(2)"""
    size = thread.process.abi.long_size
    soft, hard = _limits(thread, 0, resource, None)
    guest_memory.put(
        thread, result, "rlimit", _limit_to_guest(soft, size), _limit_to_guest(hard, size)
    )
    return 0


@syscall
def setrlimit(thread: Thread, resource: Resource, value: Addr) -> int:
    """setrlimit(2)"""
    size = thread.process.abi.long_size
    soft, hard = guest_memory.get(thread, value, "rlimit")
    _limits(thread, 0, resource, (_limit_to_host(soft, size), _limit_to_host(hard, size)))
    return 0


@syscall
def prlimit64(thread: Thread, pid: Pid, resource: Resource, value: Addr, old: Addr) -> int:
    """prlimit(2)"""
    new = None
    if value:
        soft, hard = guest_memory.get(thread, value, "rlimit64")
        new = (soft, hard)
    found = _limits(thread, pid, resource, new)
    if old:
        guest_memory.put(thread, old, "rlimit64", *found)
    return 0


@syscall
def getrusage(thread: Thread, who: Int, result: Addr) -> int:
    """getrusage(2)"""
    buffer = Buffer(thread.process.abi.host_structs.rusage.size)
    call(Nr.getrusage, who, buffer.address)
    from_host(thread, result, "rusage", buffer.raw)
    return 0


# -- prctl and personality -------------------------------------------------------------------------

PR_SET_PDEATHSIG, PR_GET_PDEATHSIG, PR_SET_NAME, PR_GET_NAME = 1, 2, 15, 16
PR_GET_FPEMU, PR_GET_FPEXC, PR_SET_FPEXC, PR_GET_ENDIAN = 9, 11, 12, 19
PR_GET_CHILD_SUBREAPER, PR_SET_VMA = 37, 0x53564D41
_PRCTL_PLAIN = frozenset((1, 3, 4, 7, 8, 23, 24, 28, 27, 29, 30, 36, 38, 39))
"""Options of prctl(2) with numbers only: PDEATHSIG, DUMPABLE, KEEPCAPS, CAPBSET, SECUREBITS,
TIMERSLACK, CHILD_SUBREAPER, NO_NEW_PRIVS."""
_PRCTL_RESULTS = frozenset((PR_GET_PDEATHSIG, PR_GET_CHILD_SUBREAPER))
_NAME_BYTES = 16


@syscall
def prctl(thread: Thread, option: Int, a: ULong, b: ULong, c: ULong, d: ULong) -> int:
    """prctl(2)"""
    if option in _PRCTL_PLAIN:
        return call(Nr.prctl, option, a, b, c, d)
    if option in _PRCTL_RESULTS:
        return _prctl_int(thread, option, a)
    special = _PRCTL_SPECIAL.get(option)
    if special is None:
        raise Errno(errno.EINVAL)
    return special(thread, a)


def _prctl_int(thread: Thread, option: int, address: int) -> int:
    buffer = Buffer(4)
    call(Nr.prctl, option, buffer.address)
    thread.process.memory.put_u32(address, int.from_bytes(buffer.raw, "little"))
    return 0


def _set_name(thread: Thread, address: int) -> int:
    name = thread.process.memory.cstring(address)[: _NAME_BYTES - 1]
    return call(Nr.prctl, PR_SET_NAME, name + b"\0")


def _get_name(thread: Thread, address: int) -> int:
    return call(Nr.prctl, PR_GET_NAME, thread.process.memory.host_range(address, _NAME_BYTES, True))


_PR_FP_EXC_PRECISE = 3


def _get_float_exceptions(thread: Thread, address: int) -> int:
    are_raised = thread.process.abi.raises_float_exceptions(thread.cpu)
    thread.process.memory.put_u32(address, _PR_FP_EXC_PRECISE if are_raised else 0)
    return 0


def _set_float_exceptions(thread: Thread, mode: int) -> int:
    if mode & ~_PR_FP_EXC_PRECISE:
        raise Errno(errno.EINVAL)
    thread.process.abi.raise_float_exceptions(thread.cpu, mode != 0)
    return 0


def _put_zero(thread: Thread, address: int) -> int:
    thread.process.memory.put_u32(address, 0)
    return 0


def _ignored(thread: Thread, address: int) -> int:
    return 0


_PRCTL_SPECIAL: dict[int, Callable[[Thread, int], int]] = {
    PR_SET_NAME: _set_name,
    PR_GET_NAME: _get_name,
    PR_GET_FPEXC: _get_float_exceptions,
    PR_SET_FPEXC: _set_float_exceptions,
    PR_GET_ENDIAN: _put_zero,
    PR_SET_VMA: _ignored,
}
"""PR_GET_ENDIAN answers big (0): only PowerPC has it.  Names of anonymous memory are for people."""


@syscall
def personality(thread: Thread, persona: ULong) -> int:
    """personality(2): the host's own is left alone, but for a change to what it is"""
    if persona == 0xFFFFFFFF:
        return 0
    if persona & 0xFF:
        raise Errno(errno.EINVAL)
    return 0


# -- the scheduler ---------------------------------------------------------------------------------


_MOST_CPUS = 8192


@syscall
def getcpu(thread: Thread, cpu: Addr, node: Addr) -> int:
    """getcpu(2)"""
    buffer = Buffer(8)
    call(Nr.getcpu, buffer.address, buffer.address + 4, None)
    for address, at in ((cpu, 0), (node, 4)):
        if address:
            thread.process.memory.put_u32(
                address, int.from_bytes(buffer.raw[at : at + 4], "little")
            )
    return 0


@syscall
def sched_getaffinity(thread: Thread, pid: Pid, size: UInt, mask: Addr) -> int:
    """sched_getaffinity(2)"""
    word = thread.process.abi.long_size
    if size % word:
        raise Errno(errno.EINVAL)
    buffer = Buffer(-(-min(size, _MOST_CPUS // 8) // 8) * 8)
    found = min(call(Nr.sched_getaffinity, pid, buffer.size, buffer.address), size)
    data = guest_memory.long_words(thread, buffer.first(found), to_host=False)
    thread.process.memory.write(mask, data)
    return found


@syscall
def sched_setaffinity(thread: Thread, pid: Pid, size: UInt, mask: Addr) -> int:
    """sched_setaffinity(2)"""
    word = thread.process.abi.long_size
    size = min(size, _MOST_CPUS // 8) // word * word
    data = guest_memory.long_words(thread, thread.process.memory.read(mask, size), to_host=True)
    data = data.ljust(-(-size // 8) * 8, b"\0")
    return call(Nr.sched_setaffinity, pid, len(data), data)


@syscall
def sched_setparam(thread: Thread, pid: Pid, param: Addr) -> int:
    """sched_setparam(2)"""
    return call(Nr.sched_setparam, pid, for_host(thread, param, "sched_param").address)


@syscall
def sched_getparam(thread: Thread, pid: Pid, param: Addr) -> int:
    """sched_getparam(2)"""
    buffer = Buffer(4)
    call(Nr.sched_getparam, pid, buffer.address)
    from_host(thread, param, "sched_param", buffer.raw)
    return 0


@syscall
def sched_setscheduler(thread: Thread, pid: Pid, policy: Int, param: Addr) -> int:
    """sched_setscheduler(2)"""
    return call(Nr.sched_setscheduler, pid, policy, for_host(thread, param, "sched_param").address)


def _interval(thread: Thread, pid: int, result: int, layout: str) -> int:
    buffer = Buffer(16)
    call(Nr.sched_rr_get_interval, pid, buffer.address)
    guest_memory.put_time(thread, result, layout, buffer)
    return 0


@syscall
def sched_rr_get_interval(thread: Thread, pid: Pid, result: Addr) -> int:
    """sched_rr_get_interval(2)"""
    return _interval(thread, pid, result, "timespec")


@syscall
def sched_rr_get_interval_time64(thread: Thread, pid: Pid, result: Addr) -> int:
    """sched_rr_get_interval(2) with 64-bit time"""
    return _interval(thread, pid, result, "timespec64")


@syscall
def sched_setattr(thread: Thread, pid: Pid, attributes: Addr, flags: UInt) -> int:
    """sched_setattr(2)"""
    request = for_host(thread, attributes, "sched_attr")
    return call(Nr.sched_setattr, pid, request.address, flags)


@syscall
def sched_getattr(thread: Thread, pid: Pid, attributes: Addr, size: UInt, flags: UInt) -> int:
    """sched_getattr(2)"""
    layout = thread.process.abi.host_structs.sched_attr
    if size < 48:
        raise Errno(errno.EINVAL)
    buffer = Buffer(layout.size)
    call(Nr.sched_getattr, pid, buffer.address, layout.size, flags)
    data = thread.process.abi.to_guest("sched_attr", buffer.raw)
    thread.process.memory.write(attributes, data[:size])
    return 0


@syscall
def swapoff(thread: Thread, path: Name) -> int:
    """swapoff(2)"""
    return call(Nr.swapoff, path)
