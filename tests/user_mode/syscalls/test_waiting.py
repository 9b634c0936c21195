"""Time, poll and its kin, sockets."""

from __future__ import annotations

import errno
import os
import socket
import struct
import time
from pathlib import Path
from typing import Any

import pytest

from user_mode.errors import Errno

O_NONBLOCK = 0o4000
POLLIN, POLLOUT = 1, 4


def raises(code: int) -> Any:
    return pytest.raises(Errno, match=errno.errorcode[code])


# -- time ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["", "64"])
def test_clocks(guest: Any, suffix: str) -> None:
    result = guest.room(16)
    before = time.clock_gettime_ns(1)
    guest.call(f"clock_gettime{suffix}", 1, result)
    found = guest.struct(f"timespec{suffix}", result)
    assert before <= found["tv_sec"] * 10**9 + found["tv_nsec"] <= time.clock_gettime_ns(1)
    guest.call("clock_getres_time64" if suffix else "clock_getres", 1, result)
    assert guest.struct(f"timespec{suffix}", result)["tv_nsec"] == 1
    with raises(errno.EINVAL):
        guest.call(f"clock_gettime{suffix}", 77, result)


def test_time_of_day(guest: Any) -> None:
    now, zone = guest.room(8), guest.room(8)
    assert guest.gettimeofday(now, zone) == 0
    assert abs(guest.struct("timeval", now)["tv_sec"] - time.time()) <= 1
    assert guest.struct("timezone", zone)["tz_minuteswest"] == 0
    assert abs(guest.time(now) - time.time()) <= 1
    assert guest.memory.u32(now) == pytest.approx(time.time(), abs=1)


def test_sleeping(guest: Any) -> None:
    before = time.monotonic()
    guest.nanosleep(guest.make("timespec", tv_nsec=20_000_000), 0)
    guest.clock_nanosleep_time64(1, 0, guest.make("timespec64", tv_nsec=20_000_000), 0)
    assert 0.04 <= time.monotonic() - before < 5
    with raises(errno.EINVAL):
        guest.nanosleep(guest.make("timespec", tv_nsec=2_000_000_000), 0)
    with raises(errno.EFAULT):
        guest.nanosleep(0, 0)


def test_timers(guest: Any) -> None:
    value = guest.make("itimerval", **{"it_value.tv_sec": 100})
    old = guest.room(16)
    guest.setitimer(0, value, old)
    guest.getitimer(0, old)
    assert guest.struct("itimerval", old)["it_value.tv_sec"] in (99, 100)
    guest.setitimer(0, guest.make("itimerval"), old)
    timer = guest.room(4)
    guest.timer_create(1, guest.make("sigevent", sigev_notify=1), timer)
    number = guest.memory.u32(timer)
    garbage = guest.put(struct.pack(">qqqII", 0, 0, 5, 0xDEADBEEF, 7))
    guest.timer_settime64(number, 0, garbage, 0)
    guest.timer_settime64(number, 0, guest.make("itimerspec64", **{"it_value.tv_sec": 1 << 33}), 0)
    result = guest.room(32)
    guest.timer_gettime64(number, result)
    assert guest.struct("itimerspec64", result)["it_value.tv_sec"] == pytest.approx(1 << 33, abs=2)
    assert guest.timer_getoverrun(number) == guest.timer_delete(number) == 0
    assert guest.alarm(50) == 0
    assert guest.alarm(0) in (49, 50)


def test_timerfd(guest: Any) -> None:
    fd = guest.timerfd_create(1, 0)
    guest.timerfd_settime(fd, 0, guest.make("itimerspec", **{"it_value.tv_nsec": 1_000_000}), 0)
    buffer = guest.room(8)
    assert guest.read(fd, buffer, 8) == 8
    assert guest.memory.u64(buffer) == 1


def test_process_times(guest: Any) -> None:
    result = guest.room(72)
    assert guest.times(result) != 0
    assert guest.struct("tms", result)["tms_utime"] == pytest.approx(os.times().user * 100, abs=20)
    guest.getrusage(0, result)
    assert guest.struct("rusage", result)["ru_maxrss"] > 1000


# -- poll, select, epoll ---------------------------------------------------------------------------


@pytest.fixture
def pipe() -> tuple[int, int]:
    reading, writing = os.pipe()
    os.write(writing, b"x")
    return reading, writing


def pollfds(guest: Any, *entries: tuple[int, int]) -> int:
    data = b"".join(guest.layout("pollfd").pack(fd, events, 0x7777) for fd, events in entries)
    address: int = guest.put(data)
    return address


def test_poll(guest: Any, pipe: tuple[int, int]) -> None:
    array = pollfds(guest, (pipe[0], POLLIN), (pipe[1], POLLIN | POLLOUT), (-1, POLLIN))
    assert guest.poll(array, 3, 0) == 2
    assert [guest.memory.u16(array + 8 * i + 6) for i in range(3)] == [POLLIN, POLLOUT, 0]
    timeout = guest.make("timespec64", tv_sec=5)
    assert guest.ppoll_time64(array, 1, timeout, 0, 8) == 1
    os.read(pipe[0], 1)
    assert guest.poll(array, 1, 10) == 0
    with raises(errno.EINVAL):
        guest.ppoll(array, 1, 0, guest.room(8), 4)


def bitmap(*fds: int) -> bytes:
    words = [0] * (max(fds) // 32 + 1)
    for fd in fds:
        words[fd // 32] |= 1 << fd % 32
    return struct.pack(f">{len(words)}I", *words)


def test_select(guest: Any, pipe: tuple[int, int]) -> None:
    high = os.dup2(pipe[0], 800)
    count = max(*pipe, high) + 1
    reads = guest.put(bitmap(pipe[0], high).ljust(128, b"\0"))
    writes = guest.put(bitmap(pipe[1]).ljust(128, b"\0"))
    timeout = guest.make("timeval", tv_sec=3)
    assert guest._newselect(count, reads, writes, 0, timeout) == 3
    assert guest.memory.read(reads, 128) == bitmap(pipe[0], high).ljust(128, b"\0")
    assert guest.memory.read(writes, 128) == bitmap(pipe[1]).ljust(128, b"\0")
    assert guest.struct("timeval", timeout)["tv_sec"] in (2, 3)
    os.read(pipe[0], 1)
    assert guest.pselect6_time64(count, reads, 0, 0, guest.make("timespec64"), 0) == 0
    assert guest.memory.read(reads, 16) == bytes(16)


def test_epoll(guest: Any, pipe: tuple[int, int]) -> None:
    epoll = guest.epoll_create1(0o2000000)
    assert not os.get_inheritable(epoll)
    data = 0x1122334455667788
    guest.epoll_ctl(epoll, 1, pipe[0], guest.make("epoll_event", events=POLLIN, data=data))
    result = guest.room(64)
    assert guest.epoll_pwait(epoll, result, 4, 1000, 0, 8) == 1
    assert guest.struct("epoll_event", result) == {"events": POLLIN, "data": data}
    guest.epoll_ctl(epoll, 2, pipe[0], 0)
    assert guest.epoll_wait(epoll, result, 4, 0) == 0
    with raises(errno.EINVAL):
        guest.epoll_wait(epoll, result, 0, 0)


# -- sockets ---------------------------------------------------------------------------------------

SOCK_STREAM, SOCK_DGRAM, SOCK_CLOEXEC = 1, 2, 0o2000000
SOL_SOCKET, PPC_SO_RCVTIMEO, PPC_SO_PEERCRED, SO_TYPE, SO_ERROR = 1, 18, 21, 3, 4


def inet(port: int) -> bytes:
    return struct.pack(">HH4s8x", socket.AF_INET, port, bytes((127, 0, 0, 1)))


def test_a_conversation(guest: Any) -> None:
    listener = guest.socket(socket.AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)
    assert not os.get_inheritable(listener)
    guest.bind(listener, guest.put(inet(0)), 16)
    guest.listen(listener, 5)
    name, length = guest.room(16), guest.put(struct.pack(">I", 16))
    guest.getsockname(listener, name, length)
    family, port = struct.unpack(">HH", guest.memory.read(name, 4))
    assert family == socket.AF_INET
    client = guest.socket(socket.AF_INET, SOCK_STREAM, 0)
    guest.connect(client, guest.put(inet(port)), 16)
    server = guest.accept(listener, name, length)
    assert struct.unpack(">H", guest.memory.read(name, 2))[0] == socket.AF_INET
    guest.send(client, guest.put(b"hello"), 5, 0)
    buffer = guest.room(16)
    assert guest.recv(server, buffer, 16, 0) == 5
    assert guest.memory.read(buffer, 5) == b"hello"
    guest.shutdown(client, 1)
    assert guest.recvfrom(server, buffer, 16, 0, 0, 0) == 0


def test_socketcall(guest: Any) -> None:
    fds = guest.room(8)
    arguments = guest.put(struct.pack(">IIII", socket.AF_UNIX, SOCK_STREAM, 0, fds))
    assert guest.socketcall(8, arguments) == 0
    first, second = guest.memory.u32(fds), guest.memory.u32(fds + 4)
    text = guest.put(b"abc")
    assert guest.socketcall(9, guest.put(struct.pack(">IIII", first, text, 3, 0))) == 3
    assert os.read(second, 10) == b"abc"
    with raises(errno.EINVAL):
        guest.socketcall(99, arguments)
    with raises(errno.EBADF):
        guest.socketcall(9, guest.put(struct.pack(">iIII", -1, text, 3, 0)))


def test_options(guest: Any) -> None:
    fd = guest.socket(socket.AF_UNIX, SOCK_DGRAM, 0)
    value, length = guest.room(16), guest.put(struct.pack(">I", 4))
    guest.getsockopt(fd, SOL_SOCKET, SO_TYPE, value, length)
    assert guest.memory.u32(value) == SOCK_DGRAM
    guest.setsockopt(fd, SOL_SOCKET, PPC_SO_RCVTIMEO, guest.put(struct.pack(">II", 3, 500_000)), 8)
    with socket.socket(fileno=os.dup(fd)) as host_socket:
        raw = host_socket.getsockopt(SOL_SOCKET, socket.SO_RCVTIMEO, 16)
    assert struct.unpack("<qq", raw) == (3, 500_000)
    guest.memory.put_u32(length, 8)
    guest.getsockopt(fd, SOL_SOCKET, PPC_SO_RCVTIMEO, value, length)
    assert struct.unpack(">II", guest.memory.read(value, 8)) == (3, 500_000)
    assert guest.memory.u32(length) == 8
    guest.memory.put_u32(length, 12)
    guest.getsockopt(fd, SOL_SOCKET, PPC_SO_PEERCRED, value, length)
    assert guest.memory.u32(length) == 12
    with raises(errno.ENOPROTOOPT):
        guest.setsockopt(fd, SOL_SOCKET, 9999, value, 4)


def test_messages_with_descriptors_and_credentials(guest: Any, tmp_path: Path) -> None:
    first, second = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with first, second, (tmp_path / "file").open("w+") as file:
        file.write("inside")
        file.flush()
        rights = struct.pack(">IiiI", 16, SOL_SOCKET, 1, file.fileno())
        vector = guest.put(struct.pack(">II", guest.put(b"data"), 4))
        control = guest.put(rights)
        message = guest.make(
            "msghdr", msg_iov=vector, msg_iovlen=1, msg_control=control, msg_controllen=len(rights)
        )
        assert guest.sendmsg(first.fileno(), message, 0) == 4
        buffer, found = guest.room(8), guest.room(64)
        vector = guest.put(struct.pack(">II", buffer, 8))
        message = guest.make(
            "msghdr", msg_iov=vector, msg_iovlen=1, msg_control=found, msg_controllen=64
        )
        assert guest.recvmsg(second.fileno(), message, 0) == 4
        assert guest.memory.read(buffer, 4) == b"data"
        assert guest.struct("msghdr", message)["msg_controllen"] == 16
        length, level, type_, fd = struct.unpack(">IiiI", guest.memory.read(found, 16))
        assert (length, level, type_) == (16, SOL_SOCKET, 1)
        assert os.pread(fd, 10, 0) == b"inside"


def test_addresses_that_have_numbers_in_host_order(guest: Any) -> None:
    from user_mode.syscalls.addresses import address_to_guest, address_to_host

    guest6 = struct.pack(">HH4s16sI", socket.AF_INET6, 80, b"flow", bytes(16), 7)
    host6 = struct.pack("<H", socket.AF_INET6) + guest6[2:24] + struct.pack("<I", 7)
    assert address_to_host(guest.abi, guest6) == host6
    assert address_to_guest(guest.abi, host6) == guest6
    assert address_to_host(guest.abi, b"\0\1/path") == b"\1\0/path"


def test_there_is_no_netlink(guest: Any) -> None:
    with raises(errno.EAFNOSUPPORT):
        guest.socket(socket.AF_NETLINK, 3, 0)
