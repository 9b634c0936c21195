"""Opening, reading and writing files."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from user_mode.errors import Errno
from user_mode.host import Buffer, blocking, call
from user_mode.host_numbers import Nr
from user_mode.syscalls import guest_memory
from user_mode.syscalls.table import syscall
from user_mode.syscalls.types import (
    Addr,
    Advice,
    DirFd,
    Fd,
    Int,
    Lookup,
    Mode,
    Off,
    Off64,
    OpenFlags,
    Size,
    Text,
    UInt,
    ULong,
    Whence,
)

if TYPE_CHECKING:
    from user_mode.process import Thread

AT_FDCWD = -100
O_CREAT, O_WRONLY, O_TRUNC = 0o100, 0o1, 0o1000
CLOSE_RANGE_CLOEXEC = 4
SEEK_SET, SEEK_CUR = 0, 1

DIRECT = """\
fsync            fd:Fd                                             waits
fdatasync        fd:Fd                                             waits
sync                                                               waits
syncfs           fd:Fd                                             waits
fallocate        fd:Fd mode:Int offset:Off64 length:Off64          waits
truncate         path:Lookup length:Off
truncate64       path:Lookup length:Off64                          =truncate
ftruncate        fd:Fd length:Off
ftruncate64      fd:Fd length:Off64                                =ftruncate
tee              source:Fd target:Fd count:Size flags:UInt         waits
memfd_create     name:Name flags:UInt
memfd_secret     flags:UInt
"""


# -- opening and closing ---------------------------------------------------------------------------


@syscall
def open_(thread: Thread, path: Lookup, flags: OpenFlags, mode: Mode) -> int:
    """open(2)"""
    return open_at(thread, AT_FDCWD, path, flags, mode)


@syscall
def openat(thread: Thread, dirfd: DirFd, path: Lookup, flags: OpenFlags, mode: Mode) -> int:
    """openat(2)"""
    return open_at(thread, dirfd, path, flags, mode)


@syscall
def creat(thread: Thread, path: Lookup, mode: Mode) -> int:
    """creat(2)"""
    return open_at(thread, AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode)


@syscall
def openat2(thread: Thread, dirfd: DirFd, path: Lookup, how: Addr, size: Size) -> int:
    """openat2(2)"""
    if size < thread.process.abi.structs.open_how.size:
        raise Errno(errno.EINVAL)
    flags, mode, resolve = guest_memory.get(thread, how, "open_how")
    flags = thread.process.abi.open_flags.to_host(flags)
    host_how = Buffer(thread.process.abi.host_structs.open_how.pack(flags, mode, resolve))
    path_buffer = Buffer(path + b"\0")
    arguments = (path_buffer.address, host_how.address, host_how.size)
    return _opened(thread, blocking(thread, Nr.openat2, dirfd, *arguments))


def open_at(thread: Thread, dirfd: int, path: bytes, flags: int, mode: int) -> int:
    """Open a host path, or make up the file if it is one that we emulate."""
    if path.startswith(b"/proc/"):
        from user_mode import procfs

        made = procfs.open_emulated(thread.process, path, flags)
        if made is not None:
            return _opened(thread, made)
    name = Buffer(path + b"\0")
    return _opened(thread, blocking(thread, Nr.openat, dirfd, name.address, flags, mode))


def _opened(thread: Thread, fd: int) -> int:
    thread.process.fds.closed(fd)
    return fd


@syscall
def close(thread: Thread, fd: Fd) -> int:
    """close(2)"""
    fds = thread.process.fds
    if fd in fds.private:
        raise Errno(errno.EBADF)
    fds.closed(fd)
    return blocking(thread, Nr.close, fd)


@syscall
def close_range(thread: Thread, first: UInt, last: UInt, flags: UInt) -> int:
    """close_range(2), around the descriptors that are ours."""
    if first > last:
        raise Errno(errno.EINVAL)
    fds = thread.process.fds
    start = first
    for own in sorted(fds.private):
        if start <= own <= last:
            if own > start:
                call(Nr.close_range, start, own - 1, flags)
            start = own + 1
    if start <= last:
        call(Nr.close_range, start, last, flags)
    if not flags & CLOSE_RANGE_CLOEXEC:
        for fd in [one for one in fds.conversions | fds.cookies if first <= one <= last]:
            fds.closed(fd)
    return 0


# -- reading and writing ---------------------------------------------------------------------------


@syscall
def read(thread: Thread, fd: Fd, buffer: Addr, count: Size) -> int:
    """read(2)"""
    process = thread.process
    if fd in process.fds.conversions:
        return _read_converted(thread, fd, buffer, count)
    return blocking(thread, Nr.read, fd, process.memory.host_range(buffer, count, True), count)


def _read_converted(thread: Thread, fd: int, buffer: int, count: int) -> int:
    found = Buffer(min(count, 1 << 16))
    length = blocking(thread, Nr.read, fd, found.address, found.size)
    convert = thread.process.fds.conversions[fd]
    thread.process.memory.write(buffer, convert(thread.process.abi, found.first(length)))
    return length


@syscall
def write(thread: Thread, fd: Fd, text: Text, count: Size) -> int:
    """write(2)"""
    process = thread.process
    if fd in process.fds.conversions and count == 8:
        convert = process.fds.conversions[fd]
        content = Buffer(convert(process.abi, process.memory.read(text, count)))
        return blocking(thread, Nr.write, fd, content.address, count)
    return blocking(thread, Nr.write, fd, process.memory.host_range(text, count, False), count)


@syscall
def readv(thread: Thread, fd: Fd, vector: Addr, count: Int) -> int:
    """readv(2)"""
    parts, total = guest_memory.vector(thread, vector, count, write=True)
    if fd in thread.process.fds.conversions:
        base, _ = guest_memory.get(thread, vector, "iovec")
        return _read_converted(thread, fd, base, total)
    return blocking(thread, Nr.readv, fd, parts.address, count)


@syscall
def writev(thread: Thread, fd: Fd, vector: Addr, count: Int) -> int:
    """writev(2)"""
    parts, _ = guest_memory.vector(thread, vector, count, write=False)
    return blocking(thread, Nr.writev, fd, parts.address, count)


@syscall
def pread64(thread: Thread, fd: Fd, buffer: Addr, count: Size, offset: Off64) -> int:
    """pread(2)"""
    where = thread.process.memory.host_range(buffer, count, True)
    return blocking(thread, Nr.pread64, fd, where, count, offset)


@syscall
def pwrite64(thread: Thread, fd: Fd, text: Text, count: Size, offset: Off64) -> int:
    """pwrite(2)"""
    where = thread.process.memory.host_range(text, count, False)
    return blocking(thread, Nr.pwrite64, fd, where, count, offset)


def _at(thread: Thread, low: int, high: int) -> int:
    """The offset of preadv(2) and its kin: two longs on every ABI, the lower first."""
    if thread.process.abi.long_size == 8:
        return low
    offset = high << 32 | low
    return offset - (1 << 64) if offset >> 63 else offset


@syscall
def preadv(thread: Thread, fd: Fd, vector: Addr, count: Int, low: ULong, high: ULong) -> int:
    """preadv(2)"""
    parts, _ = guest_memory.vector(thread, vector, count, write=True)
    return blocking(thread, Nr.preadv, fd, parts.address, count, _at(thread, low, high))


@syscall
def pwritev(thread: Thread, fd: Fd, vector: Addr, count: Int, low: ULong, high: ULong) -> int:
    """pwritev(2)"""
    parts, _ = guest_memory.vector(thread, vector, count, write=False)
    return blocking(thread, Nr.pwritev, fd, parts.address, count, _at(thread, low, high))


@syscall
def preadv2(
    thread: Thread, fd: Fd, vector: Addr, count: Int, low: ULong, high: ULong, flags: Int
) -> int:
    """preadv2(2)"""
    parts, _ = guest_memory.vector(thread, vector, count, write=True)
    return blocking(thread, Nr.preadv2, fd, parts.address, count, _at(thread, low, high), 0, flags)


@syscall
def pwritev2(
    thread: Thread, fd: Fd, vector: Addr, count: Int, low: ULong, high: ULong, flags: Int
) -> int:
    """pwritev2(2)"""
    parts, _ = guest_memory.vector(thread, vector, count, write=False)
    return blocking(thread, Nr.pwritev2, fd, parts.address, count, _at(thread, low, high), 0, flags)


# -- positions -------------------------------------------------------------------------------------


@syscall
def lseek(thread: Thread, fd: Fd, offset: Off, whence: Whence) -> int:
    """lseek(2)"""
    position = seek(thread, fd, offset, whence)
    if position >> (8 * thread.process.abi.long_size - 1):
        raise Errno(errno.EOVERFLOW)
    return position


@syscall
def _llseek(thread: Thread, fd: Fd, high: ULong, low: ULong, result: Addr, whence: UInt) -> int:
    """llseek(2): lseek(2) with 64 bits on a 32-bit ABI."""
    offset = high << 32 | low
    position = seek(thread, fd, offset - (1 << 64) if offset >> 63 else offset, whence)
    thread.process.memory.put_u64(result, position)
    return 0


def seek(thread: Thread, fd: int, offset: int, whence: int) -> int:
    """lseek(2) on the host, in the guest's own offsets where it has them for a directory."""
    cookies = thread.process.fds.cookies.get(fd)
    if cookies is None:
        return call(Nr.lseek, fd, offset, whence)
    if whence == SEEK_SET and 0 < offset <= len(cookies):
        call(Nr.lseek, fd, cookies[offset - 1], SEEK_SET)
        return offset
    position = call(Nr.lseek, fd, offset, whence)
    if whence == SEEK_CUR and position in cookies:
        return cookies.index(position) + 1
    return position


# -- copies inside the kernel ----------------------------------------------------------------------


def _offset_buffer(thread: Thread, address: int, size: int) -> Buffer | None:
    if not address:
        return None
    memory = thread.process.memory
    value = memory.u64(address) if size == 8 else memory.u32(address)
    return Buffer(value.to_bytes(8, "little"))


def _put_offset(thread: Thread, address: int, size: int, buffer: Buffer | None) -> None:
    if buffer is None:
        return
    value = int.from_bytes(buffer.raw, "little")
    memory = thread.process.memory
    memory.put_u64(address, value) if size == 8 else memory.put_u32(address, value)


def _sendfile(thread: Thread, out: int, source: int, offset: int, count: int, size: int) -> int:
    place = _offset_buffer(thread, offset, size)
    where = guest_memory.address_of(place)
    done = blocking(thread, Nr.sendfile, out, source, where, count)
    _put_offset(thread, offset, size, place)
    return done


@syscall
def sendfile(thread: Thread, out: Fd, source: Fd, offset: Addr, count: Size) -> int:
    """sendfile(2), the offset a long"""
    return _sendfile(thread, out, source, offset, count, thread.process.abi.long_size)


@syscall
def sendfile64(thread: Thread, out: Fd, source: Fd, offset: Addr, count: Size) -> int:
    """sendfile(2), the offset 64 bits"""
    return _sendfile(thread, out, source, offset, count, 8)


def _between(
    thread: Thread, number: int, source: int, source_at: int, target: int, target_at: int,
    count: int, flags: int,
) -> int:  # fmt: skip
    places = [_offset_buffer(thread, address, 8) for address in (source_at, target_at)]
    addresses = [guest_memory.address_of(place) for place in places]
    done = blocking(thread, number, source, addresses[0], target, addresses[1], count, flags)
    _put_offset(thread, source_at, 8, places[0])
    _put_offset(thread, target_at, 8, places[1])
    return done


@syscall
def splice(
    thread: Thread,
    source: Fd,
    source_at: Addr,
    target: Fd,
    target_at: Addr,
    count: Size,
    flags: UInt,
) -> int:
    """splice(2)"""
    return _between(thread, Nr.splice, source, source_at, target, target_at, count, flags)


@syscall
def copy_file_range(
    thread: Thread,
    source: Fd,
    source_at: Addr,
    target: Fd,
    target_at: Addr,
    count: Size,
    flags: UInt,
) -> int:
    """copy_file_range(2)"""
    return _between(thread, Nr.copy_file_range, source, source_at, target, target_at, count, flags)


@syscall
def vmsplice(thread: Thread, fd: Fd, vector: Addr, count: ULong, flags: UInt) -> int:
    """vmsplice(2)"""
    parts, _ = guest_memory.vector(thread, vector, count, write=True)
    return blocking(thread, Nr.vmsplice, fd, parts.address, count, flags)


# -- advice ----------------------------------------------------------------------------------------


@syscall
def fadvise64(thread: Thread, fd: Fd, offset: Off64, length: Size, advice: Advice) -> int:
    """posix_fadvise(2), the length a long"""
    return call(Nr.fadvise64, fd, offset, length, advice)


@syscall
def fadvise64_64(thread: Thread, fd: Fd, advice: Advice, offset: Off64, length: Off64) -> int:
    """posix_fadvise(2) in the order of PowerPC and ARM, which saves a register"""
    return call(Nr.fadvise64, fd, offset, length, advice)


@syscall
def x86_fadvise64_64(thread: Thread, fd: Fd, offset: Off64, length: Off64, advice: Advice) -> int:
    """posix_fadvise(2) on i386, whose 64-bit arguments leave no registers out"""
    return call(Nr.fadvise64, fd, offset, length, advice)


@syscall
def readahead(thread: Thread, fd: Fd, offset: Off64, count: Size) -> int:
    """readahead(2)"""
    return call(Nr.readahead, fd, offset, count)


@syscall
def sync_file_range2(thread: Thread, fd: Fd, flags: UInt, offset: Off64, count: Off64) -> int:
    """sync_file_range(2) in the order of PowerPC and ARM"""
    return blocking(thread, Nr.sync_file_range, fd, offset, count, flags)


@syscall
def sync_file_range(thread: Thread, fd: Fd, offset: Off64, count: Off64, flags: UInt) -> int:
    """sync_file_range(2)"""
    return blocking(thread, Nr.sync_file_range, fd, offset, count, flags)
