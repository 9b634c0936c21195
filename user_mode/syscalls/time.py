"""Clocks, sleeping, timers.

Where an ABI has calls with times of the width of a long and others with 64-bit times, both are
here, one under the other.
"""

from __future__ import annotations

import errno
import struct
import time as host_time
from typing import TYPE_CHECKING

from user_mode.errors import Errno
from user_mode.host import Buffer, blocking, call
from user_mode.host_numbers import Nr
from user_mode.syscalls import guest_memory
from user_mode.syscalls.guest_memory import address_of, for_host, from_host, put
from user_mode.syscalls.table import syscall
from user_mode.syscalls.types import Addr, Clock, Fd, Int, UInt

if TYPE_CHECKING:
    from user_mode.process import Thread

DIRECT = """\
timer_getoverrun   timer:Int
timer_delete       timer:Int
"""

CLOCK_REALTIME, CLOCK_MONOTONIC = 0, 1
TIMER_ABSTIME = 1
NANO = 1_000_000_000
_HOST_TIMESPEC = struct.Struct("<qq")


# -- the time of day -------------------------------------------------------------------------------


@syscall
def time(thread: Thread, result: Addr) -> int:
    """time(2)"""
    _clocks_were_read(thread)
    now = int(host_time.time())
    if result:
        memory = thread.process.memory
        memory.put_u64(result, now) if thread.process.abi.long_size == 8 else memory.put_u32(
            result, now
        )
    return now


@syscall
def stime(thread: Thread, now: Addr) -> int:
    """stime(2)"""
    seconds = thread.process.memory.u32(now)
    return call(Nr.clock_settime, CLOCK_REALTIME, _HOST_TIMESPEC.pack(seconds, 0))


@syscall
def gettimeofday(thread: Thread, now: Addr, zone: Addr) -> int:
    """gettimeofday(2)"""
    _clocks_were_read(thread)
    seconds, nanoseconds = divmod(host_time.time_ns(), NANO)
    if now:
        put(thread, now, "timeval", seconds, nanoseconds // 1000)
    if zone:
        put(thread, zone, "timezone", 0, 0)
    return 0


@syscall
def settimeofday(thread: Thread, now: Addr, zone: Addr) -> int:
    """settimeofday(2)"""
    if not now:
        return 0
    seconds, microseconds = guest_memory.get(thread, now, "timeval")
    return call(Nr.settimeofday, _HOST_TIMESPEC.pack(seconds, microseconds), None)


# -- clocks ----------------------------------------------------------------------------------------


def _clocks_were_read(thread: Thread) -> None:
    process = thread.process
    process.abi.clocks_were_read(process)


def _read_clock(thread: Thread, clock: int, result: int, layout: str) -> int:
    _clocks_were_read(thread)
    try:
        seconds, nanoseconds = divmod(host_time.clock_gettime_ns(clock), NANO)
    except OSError as error:
        raise Errno(error.errno or errno.EINVAL) from None
    put(thread, result, layout, seconds, nanoseconds)
    return 0


@syscall
def clock_gettime(thread: Thread, clock: Clock, result: Addr) -> int:
    """clock_gettime(2)"""
    return _read_clock(thread, clock, result, "timespec")


@syscall
def clock_gettime64(thread: Thread, clock: Clock, result: Addr) -> int:
    """clock_gettime(2) with 64-bit time"""
    return _read_clock(thread, clock, result, "timespec64")


def _resolution(thread: Thread, clock: int, result: int, layout: str) -> int:
    buffer = Buffer(16)
    call(Nr.clock_getres, clock, buffer.address)
    if result:
        guest_memory.put_time(thread, result, layout, buffer)
    return 0


@syscall
def clock_getres(thread: Thread, clock: Clock, result: Addr) -> int:
    """clock_getres(2)"""
    return _resolution(thread, clock, result, "timespec")


@syscall
def clock_getres_time64(thread: Thread, clock: Clock, result: Addr) -> int:
    """clock_getres(2) with 64-bit time"""
    return _resolution(thread, clock, result, "timespec64")


def _time_argument(thread: Thread, address: int, layout: str) -> Buffer:
    """A time that must not be NULL."""
    buffer = guest_memory.time_buffer(thread, address, layout)
    if buffer is None:
        raise Errno(errno.EFAULT)
    return buffer


@syscall
def clock_settime(thread: Thread, clock: Clock, value: Addr) -> int:
    """clock_settime(2)"""
    return call(Nr.clock_settime, clock, _time_argument(thread, value, "timespec").address)


@syscall
def clock_settime64(thread: Thread, clock: Clock, value: Addr) -> int:
    """clock_settime(2) with 64-bit time"""
    return call(Nr.clock_settime, clock, _time_argument(thread, value, "timespec64").address)


def _adjust(thread: Thread, clock: int, address: int, layout: str) -> int:
    """Fields of struct timex go by name between the layouts, so 32 and 64 bits are alike."""
    buffer = for_host(thread, address, layout, "timex")
    state = call(Nr.clock_adjtime, clock, buffer.address)
    from_host(thread, address, "timex", buffer.raw, layout)
    return state


@syscall
def adjtimex(thread: Thread, buffer: Addr) -> int:
    """adjtimex(2)"""
    return _adjust(thread, CLOCK_REALTIME, buffer, "timex")


@syscall
def clock_adjtime(thread: Thread, clock: Clock, buffer: Addr) -> int:
    """clock_adjtime(2)"""
    return _adjust(thread, clock, buffer, "timex")


@syscall
def clock_adjtime64(thread: Thread, clock: Clock, buffer: Addr) -> int:
    """clock_adjtime(2) with 64-bit times"""
    return _adjust(thread, clock, buffer, "timex64")


# -- sleeping --------------------------------------------------------------------------------------


def _sleep(thread: Thread, clock: int, flags: int, request: int, rest: int, layout: str) -> int:
    """clock_nanosleep(2); what is left of a relative sleep is stored when a signal ends it."""
    duration = _time_argument(thread, request, layout)
    left = Buffer(16)
    try:
        return blocking(thread, Nr.clock_nanosleep, clock, flags, duration.address, left.address)
    except Errno as error:
        if error.code == errno.EINTR and rest and not flags & TIMER_ABSTIME:
            guest_memory.put_time(thread, rest, layout, left)
        raise


@syscall(restarts=False)
def nanosleep(thread: Thread, request: Addr, rest: Addr) -> int:
    """nanosleep(2)"""
    return _sleep(thread, CLOCK_MONOTONIC, 0, request, rest, "timespec")


@syscall(restarts=False)
def clock_nanosleep(thread: Thread, clock: Clock, flags: Int, request: Addr, rest: Addr) -> int:
    """clock_nanosleep(2)"""
    return _sleep(thread, clock, flags, request, rest, "timespec")


@syscall(restarts=False)
def clock_nanosleep_time64(
    thread: Thread, clock: Clock, flags: Int, request: Addr, rest: Addr
) -> int:
    """clock_nanosleep(2) with 64-bit times"""
    return _sleep(thread, clock, flags, request, rest, "timespec64")


@syscall
def times(thread: Thread, result: Addr) -> int:
    """times(2), in the 100 ticks a second of AT_CLKTCK"""
    buffer = Buffer(thread.process.abi.host_structs.tms.size)
    ticks = call(Nr.times, buffer.address)
    mask = (1 << 8 * int(thread.process.abi.long_size)) - 1
    if result:
        from_host(thread, result, "tms", buffer.raw)
    return ticks & mask


# -- timers of the process -------------------------------------------------------------------------


@syscall
def alarm(thread: Thread, seconds: UInt) -> int:
    """alarm(2)"""
    return call(Nr.alarm, seconds)


@syscall
def getitimer(thread: Thread, which: Int, result: Addr) -> int:
    """getitimer(2)"""
    buffer = Buffer(thread.process.abi.host_structs.itimerval.size)
    call(Nr.getitimer, which, buffer.address)
    from_host(thread, result, "itimerval", buffer.raw)
    return 0


@syscall
def setitimer(thread: Thread, which: Int, value: Addr, old: Addr) -> int:
    """setitimer(2)"""
    new = for_host(thread, value, "itimerval") if value else None
    buffer = Buffer(thread.process.abi.host_structs.itimerval.size)
    call(Nr.setitimer, which, address_of(new), buffer.address)
    if old:
        from_host(thread, old, "itimerval", buffer.raw)
    return 0


SIGEV_THREAD_ID = 4


@syscall
def timer_create(thread: Thread, clock: Clock, event: Addr, result: Addr) -> int:
    """timer_create(2); the kernel's timer ids are small numbers, so the guest gets the host's."""
    request = for_host(thread, event, "sigevent") if event else None
    timer = Buffer(4)
    call(Nr.timer_create, clock, address_of(request), timer.address)
    thread.process.memory.put_u32(result, int.from_bytes(timer.raw, "little"))
    return 0


def _timer_settime(
    thread: Thread, number: int, timer: int, flags: int, value: int, old: int, layout: str
) -> int:
    if not value:
        raise Errno(errno.EINVAL)
    new = for_host(thread, value, layout, "itimerspec")
    buffer = Buffer(thread.process.abi.host_structs.itimerspec.size)
    call(number, timer, flags, new.address, buffer.address)
    if old:
        from_host(thread, old, "itimerspec", buffer.raw, layout)
    return 0


def _timer_gettime(thread: Thread, number: int, timer: int, result: int, layout: str) -> int:
    buffer = Buffer(thread.process.abi.host_structs.itimerspec.size)
    call(number, timer, buffer.address)
    from_host(thread, result, "itimerspec", buffer.raw, layout)
    return 0


@syscall
def timer_settime(thread: Thread, timer: Int, flags: Int, value: Addr, old: Addr) -> int:
    """timer_settime(2)"""
    return _timer_settime(thread, Nr.timer_settime, timer, flags, value, old, "itimerspec")


@syscall
def timer_settime64(thread: Thread, timer: Int, flags: Int, value: Addr, old: Addr) -> int:
    """timer_settime(2) with 64-bit times"""
    return _timer_settime(thread, Nr.timer_settime, timer, flags, value, old, "itimerspec64")


@syscall
def timer_gettime(thread: Thread, timer: Int, result: Addr) -> int:
    """timer_gettime(2)"""
    return _timer_gettime(thread, Nr.timer_gettime, timer, result, "itimerspec")


@syscall
def timer_gettime64(thread: Thread, timer: Int, result: Addr) -> int:
    """timer_gettime(2) with 64-bit times"""
    return _timer_gettime(thread, Nr.timer_gettime, timer, result, "itimerspec64")


@syscall
def timerfd_settime(thread: Thread, fd: Fd, flags: Int, value: Addr, old: Addr) -> int:
    """timerfd_settime(2)"""
    return _timer_settime(thread, Nr.timerfd_settime, fd, flags, value, old, "itimerspec")


@syscall
def timerfd_settime64(thread: Thread, fd: Fd, flags: Int, value: Addr, old: Addr) -> int:
    """timerfd_settime(2) with 64-bit times"""
    return _timer_settime(thread, Nr.timerfd_settime, fd, flags, value, old, "itimerspec64")


@syscall
def timerfd_gettime(thread: Thread, fd: Fd, result: Addr) -> int:
    """timerfd_gettime(2)"""
    return _timer_gettime(thread, Nr.timerfd_gettime, fd, result, "itimerspec")


@syscall
def timerfd_gettime64(thread: Thread, fd: Fd, result: Addr) -> int:
    """timerfd_gettime(2) with 64-bit times"""
    return _timer_gettime(thread, Nr.timerfd_gettime, fd, result, "itimerspec64")
