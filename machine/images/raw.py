"""Raw images: the file is the disk. A file, a block device, an ISO image."""

from __future__ import annotations

from machine.errors import shown
from machine.images.files import HostFile
from machine.images.image import ImageError
from machine.images.probing import HEAD, probe

SECTOR = 512


class RawImage:
    """A file whose bytes are the disk's; the last sector is filled up with zeros.

    A raw image whose format was only guessed must not become one of another format: a guest could
    write a header that names any file as its backing file, to be read when it is started again.
    As in QEMU such a write to the first sector fails.
    """

    format = "raw"
    backing = None

    def __init__(self, file: HostFile, *, is_guess: bool = False) -> None:
        self._file = file
        self._is_guess = is_guess
        self.path = file.path
        self.writable = file.writable
        self.size = -(-file.size() // SECTOR) * SECTOR
        if not self.size:
            raise ImageError(f"{shown(file.path)}: is empty")

    def read(self, offset: int, length: int) -> bytes:
        return self._file.read_padded(offset, length)

    def write(self, offset: int, data: bytes) -> None:
        if self._is_guess and offset < HEAD:
            self._check_head(offset, data)
        self._file.write(offset, data)

    def flush(self) -> None:
        if self.writable:
            self._file.sync()

    def close(self) -> None:
        self._file.close()

    def _check_head(self, offset: int, data: bytes) -> None:
        head = bytearray(self._file.read_padded(0, HEAD))
        head[offset : offset + len(data)] = data[: HEAD - offset]
        if (name := probe(bytes(head))) != "raw":
            raise ImageError(
                f"{shown(self.path)}: the guest wants to make it a {name} image;"
                " say format=raw to let it"
            )
