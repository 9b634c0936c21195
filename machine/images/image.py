"""What a disk image is to its users: bytes by offset, whatever lies beneath."""

from __future__ import annotations

from typing import Protocol

from machine.errors import MachineError


class ImageError(MachineError):
    """An image cannot be used, or an access to it failed: one line that names the file."""


class Image(Protocol):
    """A disk's contents. Not bound to sectors; reads beyond the end give zeros.

    One thread may `flush` while another reads and writes; what was written before `flush` was
    called is on the host's disk when it returns. Failures are ImageErrors.
    """

    @property
    def path(self) -> str: ...
    @property
    def format(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def writable(self) -> bool: ...
    @property
    def backing(self) -> Image | None: ...
    def read(self, offset: int, length: int) -> bytes: ...
    def write(self, offset: int, data: bytes) -> None: ...
    def flush(self) -> None: ...
    def close(self) -> None: ...
