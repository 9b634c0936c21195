"""Files and block devices of the host, read and written at offsets, with QEMU's locks.

An image that is written belongs to one process: as QEMU does, byte ranges of the file say by open
file description locks what a process does (from byte 100 on) and what it does not want others to
do (from byte 200 on), so that `qemu-img` and QEMU keep off an image in use here, and the reverse.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from stat import S_ISBLK, S_ISDIR, S_ISREG

from machine.errors import shown
from machine.images.image import ImageError

DOES, FORBIDS = 100, 200
CONSISTENT_READ, WRITE, RESIZE = 0, 1, 3
"""QEMU's permissions, as bytes after the two bases."""

_NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS}
"""What file systems without locks answer."""


class HostFile:
    """An open regular file or block device; not locked yet."""

    def __init__(self, path: str, *, writable: bool) -> None:
        self.path = path
        self.writable = writable
        try:
            self.fd = os.open(path, (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC)
        except (OSError, ValueError) as error:
            raise ImageError(_cannot_open(path, writable, error)) from None
        try:
            kind = os.fstat(self.fd)
            if S_ISDIR(kind.st_mode):
                raise ImageError(f"{shown(path)}: is a directory, not an image")
            if not S_ISREG(kind.st_mode) and not S_ISBLK(kind.st_mode):
                raise ImageError(f"{shown(path)}: is neither a file nor a block device")
            self.identity = (kind.st_dev, kind.st_ino)
            self.is_file = S_ISREG(kind.st_mode)
        except BaseException:
            os.close(self.fd)
            raise

    def lock(self) -> None:
        """Keep others off. Raises ImageError if somebody has it already."""
        does = [CONSISTENT_READ, *((WRITE, RESIZE) if self.writable else ())]
        forbids = [WRITE, RESIZE]
        for at in (*(DOES + bit for bit in does), *(FORBIDS + bit for bit in forbids)):
            self._lock_call(fcntl.F_OFD_SETLK, fcntl.F_RDLCK, at)
        for at in (*(FORBIDS + bit for bit in does), *(DOES + bit for bit in forbids)):
            if self._lock_call(fcntl.F_OFD_GETLK, fcntl.F_WRLCK, at) != fcntl.F_UNLCK:
                raise ImageError(
                    f"{shown(self.path)}: is in use by another process, or as another drive"
                )

    def size(self) -> int:
        try:
            return os.lseek(self.fd, 0, os.SEEK_END)
        except OSError as error:
            raise self.failed("read", error) from None

    def read(self, offset: int, length: int) -> bytes:
        """Read so many bytes, fewer at the end of the file."""
        try:
            data = os.pread(self.fd, length, offset)
            while len(data) < length and (
                more := os.pread(self.fd, length - len(data), offset + len(data))
            ):
                data += more
        except (OSError, OverflowError) as error:
            raise self.failed("read", error) from None
        return data

    def read_padded(self, offset: int, length: int) -> bytes:
        """Read so many bytes; there are zeros beyond the end."""
        return self.read(offset, length).ljust(length, b"\0")

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        try:
            done = os.pwrite(self.fd, data, offset)
            while done < len(data):
                done += os.pwrite(self.fd, memoryview(data)[done:], offset + done)
        except (OSError, OverflowError) as error:
            raise self.failed("written", error) from None

    def sync(self) -> None:
        """Wait until all that was written is on the disk."""
        try:
            os.fdatasync(self.fd)
        except OSError as error:
            if error.errno != errno.EINVAL:  # nothing to wait for, as of /dev/zero
                raise self.failed("written", error) from None

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def failed(self, what: str, error: OSError | OverflowError) -> ImageError:
        reason = error.strerror if isinstance(error, OSError) else "the offset is too large"
        return ImageError(f"{shown(self.path)}: cannot be {what}: {reason}")

    def _lock_call(self, command: int, kind: int, at: int) -> int:
        """What fcntl(2) answers for one byte."""
        request = struct.pack("hhqqi4x", kind, os.SEEK_SET, at, 1, 0)
        try:
            answer = fcntl.fcntl(self.fd, command, request)
        except OSError as error:
            if error.errno in _NO_LOCKS:
                return fcntl.F_UNLCK
            if error.errno in {errno.EAGAIN, errno.EACCES}:
                return fcntl.F_WRLCK
            raise self.failed("locked", error) from None
        kind, *_ = struct.unpack("hhqqi4x", answer)
        return kind


def _cannot_open(path: str, writable: bool, error: OSError | ValueError) -> str:
    if isinstance(error, ValueError):
        return f"{shown(path)}: is not a file name"
    if writable and error.errno in {errno.EACCES, errno.EPERM, errno.EROFS, errno.ETXTBSY}:
        return (
            f"{shown(path)}: cannot be written: {error.strerror};"
            " readonly=on or snapshot=on leave it as it is"
        )
    return f"{shown(path)}: {error.strerror}"
