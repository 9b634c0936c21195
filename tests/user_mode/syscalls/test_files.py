"""Files and descriptors, against the host's own view of the same files."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from user_mode.errors import Errno

AT_FDCWD = -100
O_RDONLY, O_WRONLY, O_RDWR, O_CREAT, O_APPEND = 0, 1, 2, 0o100, 0o2000
PPC_O_DIRECTORY, PPC_O_NOFOLLOW = 0o40000, 0o100000
O_CLOEXEC, O_NONBLOCK = 0o2000000, 0o4000


def raises(code: int) -> Any:
    return pytest.raises(Errno, match=errno.errorcode[code])


@pytest.fixture
def path(tmp_path: Path) -> bytes:
    return os.fsencode(tmp_path / "file")


def test_write_and_read(guest: Any, path: bytes) -> None:
    fd = guest.openat(AT_FDCWD, path, O_RDWR | O_CREAT, 0o640)
    assert guest.write(fd, guest.put(b"hello world"), 11) == 11
    assert guest.lseek(fd, 6, os.SEEK_SET) == 6
    buffer = guest.room(32)
    assert guest.read(fd, buffer, 32) == 5
    assert guest.memory.read(buffer, 5) == b"world"
    assert guest.close(fd) == 0
    with raises(errno.EBADF):
        guest.close(fd)
    assert Path(os.fsdecode(path)).read_bytes() == b"hello world"
    assert Path(os.fsdecode(path)).stat().st_mode & 0o777 == 0o640


def test_open_flags_are_translated(guest: Any, path: bytes, tmp_path: Path) -> None:
    Path(os.fsdecode(path)).touch()
    with raises(errno.ENOTDIR):
        guest.open(path, PPC_O_DIRECTORY, 0)
    link = tmp_path / "link"
    link.symlink_to("file")
    with raises(errno.ELOOP):
        guest.open(os.fsencode(link), PPC_O_NOFOLLOW, 0)
    fd = guest.open(path, O_RDWR | O_APPEND | O_CLOEXEC, 0)
    assert guest.fcntl(fd, fcntl.F_GETFD, 0) == 1
    assert guest.fcntl64(fd, fcntl.F_GETFL, 0) & ~0o200000 == O_RDWR | O_APPEND
    assert guest.fcntl(fd, fcntl.F_SETFL, O_NONBLOCK) == 0
    assert fcntl.fcntl(fd, fcntl.F_GETFL) & (os.O_NONBLOCK | os.O_APPEND) == os.O_NONBLOCK


def test_descriptors_are_inherited_unless_asked(guest: Any, path: bytes) -> None:
    assert os.get_inheritable(guest.open(path, O_RDWR | O_CREAT, 0o600))
    assert not os.get_inheritable(guest.open(path, O_RDWR | O_CLOEXEC, 0))


def test_bad_addresses_are_efault(guest: Any, path: bytes) -> None:
    fd = guest.open(path, O_RDWR | O_CREAT, 0o600)
    with raises(errno.EFAULT):
        guest.write(fd, 0, 4)
    with raises(errno.EFAULT):
        guest.open(4, O_RDONLY, 0)
    guest.write(fd, guest.put(b"x"), 1)
    guest.lseek(fd, 0, 0)
    with raises(errno.EFAULT):
        guest.read(fd, 0xFFFFFFF0, 64)
    with raises(errno.EFAULT):
        guest.fstat64(fd, 0xFFFFFFFF)


def test_positioned_and_vectored(guest: Any, path: bytes) -> None:
    fd = guest.open(path, O_RDWR | O_CREAT, 0o600)
    parts = [guest.put(b"abc"), guest.put(b"defgh")]
    vector = guest.put(struct.pack(">IIII", parts[0], 3, parts[1], 5))
    assert guest.writev(fd, vector, 2) == 8
    assert guest.pwrite64(fd, guest.put(b"XY"), 2, (1 << 32) + 5) == 2
    assert os.fstat(fd).st_size == (1 << 32) + 7
    buffer = guest.room(4)
    assert guest.pread64(fd, buffer, 2, (1 << 32) + 5) == 2
    assert guest.memory.read(buffer, 2) == b"XY"
    assert guest.pwritev(fd, vector, 2, 1, 1) == 8
    assert os.pread(fd, 8, (1 << 32) + 1) == b"abcdefgh"
    first, second = guest.room(2), guest.room(9)
    vector = guest.put(struct.pack(">IIII", first, 2, second, 9))
    assert guest.preadv(fd, vector, 2, 1, 1) == 8
    assert guest.memory.read(first, 2) + guest.memory.read(second, 6) == b"abcdefgh"
    with raises(errno.EINVAL):
        guest.readv(fd, vector, -1)


def test_seeking_with_64_bits(guest: Any, path: bytes) -> None:
    fd = guest.open(path, O_RDWR | O_CREAT, 0o600)
    result = guest.room(8)
    assert guest._llseek(fd, 1, 2, result, os.SEEK_SET) == 0
    assert guest.memory.u64(result) == (1 << 32) + 2
    with raises(errno.EOVERFLOW):
        guest.lseek(fd, 0, os.SEEK_CUR)
    assert guest._llseek(fd, 0xFFFFFFFF, 0xFFFFFFFF, result, os.SEEK_CUR) == 0
    assert guest.memory.u64(result) == (1 << 32) + 1


def test_lengths_and_advice(guest: Any, path: bytes) -> None:
    fd = guest.open(path, O_RDWR | O_CREAT, 0o600)
    guest.ftruncate64(fd, 5_000_000_000)
    assert os.fstat(fd).st_size == 5_000_000_000
    guest.truncate64(path, 6_000_000_000)
    assert os.fstat(fd).st_size == 6_000_000_000
    guest.ftruncate(fd, 10)
    guest.fallocate(fd, 0, 0, 20)
    assert os.fstat(fd).st_size == 20
    assert guest.fadvise64_64(fd, 1, 0, 1 << 33) == 0
    assert guest.fadvise64(fd, 0, 100, 3) == 0
    assert guest.readahead(fd, 0, 10) == 0
    assert guest.fsync(fd) == guest.fdatasync(fd) == 0
    guest.sync_file_range2(fd, 2, 0, 20)


def test_copies_in_the_kernel(guest: Any, path: bytes) -> None:
    source = guest.open(path, O_RDWR | O_CREAT, 0o600)
    os.write(source, b"0123456789")
    target = guest.open(path + b"2", O_RDWR | O_CREAT, 0o600)
    offset = guest.put(struct.pack(">Q", 3))
    assert guest.sendfile64(target, source, offset, 4) == 4
    assert guest.memory.u64(offset) == 7
    guest.memory.put_u32(offset, 1)
    assert guest.sendfile(target, source, offset, 2) == 2
    assert guest.memory.u32(offset) == 3
    guest.memory.put_u64(offset, 8)
    assert guest.copy_file_range(source, offset, target, 0, 9, 0) == 2
    assert os.pread(target, 100, 0) == b"34561289"


def test_duplicates(guest: Any, path: bytes) -> None:
    """By high numbers, as this process may have many files open."""
    fd = guest.open(path, O_RDWR | O_CREAT, 0o600)
    for new in (guest.dup(fd), guest.dup2(fd, 777), guest.dup3(fd, 778, O_CLOEXEC)):
        assert os.path.sameopenfile(fd, new)
    assert guest.fcntl(fd, fcntl.F_DUPFD, 790) == 790
    assert guest.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 790) == 791
    inherited = [os.get_inheritable(one) for one in (777, 778, 790, 791)]
    assert inherited == [True, False, True, False]
    assert guest.dup2(fd, fd) == fd
    with raises(errno.EINVAL):
        guest.dup3(fd, fd, 0)


def test_our_own_descriptors_are_out_of_reach(guest: Any) -> None:
    own = fcntl.fcntl(0, fcntl.F_DUPFD, 5000)
    others = [os.dup2(0, own + 1), os.dup2(0, own + 2)]
    guest.process.fds.private.add(others[0])
    with raises(errno.EBADF):
        guest.close(others[0])
    with raises(errno.EBADF):
        guest.dup2(0, others[0])
    assert guest.close_range(own, 0xFFFFFFFF, 0) == 0
    os.fstat(others[0])
    for closed in (own, others[1]):
        with pytest.raises(OSError, match="Bad file"):
            os.fstat(closed)
    fd = guest.open(b"/proc/self/fd", PPC_O_DIRECTORY, 0)
    buffer = guest.room(8192)
    data = guest.memory.read(buffer, guest.getdents64(fd, buffer, 8192))
    assert str(others[0]).encode() + b"\0" not in data
    assert b"0\0" in data


LOCKER = """
import fcntl, sys
with open(sys.argv[1], "r+") as file:
    fcntl.lockf(file, fcntl.LOCK_EX, 10, 5)
    print("ready", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize(("command", "layout"), [(5, "flock"), (12, "flock64")])
def test_locks_of_others_are_seen(guest: Any, path: bytes, command: int, layout: str) -> None:
    fd = guest.open(path, O_RDWR | O_CREAT, 0o600)
    command_line = [sys.executable, "-c", LOCKER, os.fsdecode(path)]
    pipe = subprocess.PIPE
    other = subprocess.Popen(command_line, stdin=pipe, stdout=pipe, text=True)
    assert other.stdout is not None
    assert other.stdout.readline() == "ready\n"
    call = guest.fcntl if layout == "flock" else guest.fcntl64
    lock = guest.make(layout, l_type=fcntl.F_WRLCK, l_start=0, l_len=0)
    assert call(fd, command, lock) == 0
    found = guest.struct(layout, lock)
    assert (found["l_type"], found["l_start"], found["l_len"]) == (fcntl.F_WRLCK, 5, 10)
    assert found["l_pid"] == other.pid
    lock = guest.make(layout, l_type=fcntl.F_WRLCK, l_start=7, l_len=1)
    with raises(errno.EAGAIN):
        call(fd, command + 1, lock)
    other.communicate()
    assert call(fd, command + 1, lock) == 0


def test_pipes(guest: Any) -> None:
    fds = guest.room(8)
    assert guest.pipe2(fds, O_CLOEXEC | O_NONBLOCK) == 0
    reading, writing = guest.memory.u32(fds), guest.memory.u32(fds + 4)
    assert not os.get_inheritable(reading)
    with raises(errno.EAGAIN):
        guest.read(reading, fds, 1)
    os.write(writing, b"abc")
    count = guest.room(4)
    guest.ioctl(reading, 0x4004667F, count)
    assert guest.memory.u32(count) == 3


def test_eventfd_counts_in_the_guests_byte_order(guest: Any) -> None:
    fd = guest.eventfd2(5, O_NONBLOCK)
    assert guest.write(fd, guest.put(struct.pack(">Q", 2)), 8) == 8
    buffer = guest.room(8)
    copy = guest.dup(fd)
    assert guest.read(copy, buffer, 8) == 8
    assert guest.memory.u64(buffer) == 7
    guest.close(fd)
    guest.close(copy)
    assert not guest.process.fds.conversions


def test_inotify_events(guest: Any, tmp_path: Path) -> None:
    fd = guest.inotify_init1(O_NONBLOCK)
    watch = guest.inotify_add_watch(fd, os.fsencode(tmp_path), 0x100)
    (tmp_path / "new").touch()
    buffer = guest.room(256)
    length = guest.read(fd, buffer, 256)
    event = guest.struct("inotify_event", buffer)
    assert (event["wd"], event["mask"], event["len"]) == (watch, 0x100, length - 16)
    assert guest.memory.cstring(buffer + 16) == b"new"


def test_signalfd(guest: Any) -> None:
    """The signal is pending in this thread only while it is blocked."""
    import signal
    import threading

    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    try:
        mask = guest.put(struct.pack(">II", 1 << (signal.SIGUSR1 - 1), 0))
        fd = guest.signalfd4(-1, mask, 8, O_NONBLOCK)
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
        buffer = guest.room(128)
        assert guest.read(fd, buffer, 128) == 128
        assert guest.struct("signalfd_siginfo", buffer)["ssi_signo"] == signal.SIGUSR1
        assert guest.struct("signalfd_siginfo", buffer)["ssi_pid"] == os.getpid()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])


def test_attributes(guest: Any, path: bytes) -> None:
    guest.close(guest.open(path, O_RDWR | O_CREAT, 0o600))
    try:
        guest.setxattr(path, b"user.name", guest.put(b"value"), 5, 0)
    except Errno as error:
        pytest.skip(f"no extended attributes here: {error}")
    buffer = guest.room(16)
    assert guest.getxattr(path, b"user.name", buffer, 16) == 5
    assert guest.memory.read(buffer, 5) == b"value"
    assert guest.listxattr(path, 0, 0) == len(b"user.name\0")


def test_openat2(guest: Any, path: bytes) -> None:
    how = guest.make("open_how", flags=O_RDWR | O_CREAT, mode=0o600)
    fd = guest.openat2(AT_FDCWD, path, how, 24)
    assert os.fstat(fd).st_mode & 0o777 == 0o600
    with raises(errno.EINVAL):
        guest.openat2(AT_FDCWD, path, how, 8)
