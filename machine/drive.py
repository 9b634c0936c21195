"""Drives: what a disk controller reads and writes, and where a medium is put in and taken out.

A drive knows sectors of 512 bytes, whether its medium may be written, and when what was written is
safe. The image beneath it may be slow to `flush`; `start_flush` does that beside the machine, and
what a guest writes and never flushes gets to the host's disk after `SETTLE_SECONDS`.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable

from machine.errors import MachineError
from machine.images.image import Image, ImageError

SECTOR = 512
SETTLE_SECONDS = 5.0


class DriveError(MachineError):
    """It could not be done: the guest gets an error of its controller's kind, a user this line."""


class Flush:
    """A flush that is under way. `is_done` tells; `wait` waits, and raises if it failed."""

    __slots__ = ("_done", "error")

    def __init__(self) -> None:
        self._done = threading.Event()
        self.error: ImageError | None = None

    @property
    def is_done(self) -> bool:
        return self._done.is_set()

    def finish(self, error: ImageError | None = None) -> None:
        self.error = error
        self._done.set()

    def wait_quietly(self) -> None:
        """Wait, and leave the error where it is."""
        self._done.wait()

    def wait(self) -> None:
        self._done.wait()
        if self.error is not None:
            raise DriveError(str(self.error))


class Drive:
    """A drive, with or without a medium.

    `changed` is called after a medium was put in or taken out, `asked` when somebody wanted it out
    while the guest has the door locked. `report` hears, in a line, what went wrong on the host.
    The cache is one of QEMU's: with `writethrough` and `directsync` every write is flushed,
    with `unsafe` none is.
    """

    def __init__(
        self,
        image: Image | None,
        name: str,
        *,
        read_only: bool = False,
        is_cd: bool = False,
        cache: str = "writeback",
        report: Callable[[str], None] | None = None,
    ) -> None:
        self.image = image
        self.name = name
        self.is_cd = is_cd
        self.read_only = read_only or is_cd or (image is not None and not image.writable)
        self.is_locked = False
        """The guest does not want the medium to be taken out."""
        self.is_open = False
        """The tray of a CD-ROM is out."""
        self.waits = False
        """Whether flushes are waited for, so that a run repeats exactly (`-icount`)."""
        self.cache = cache
        self.reads = self.writes = self.flushes = 0
        self.sectors_read = self.sectors_written = 0
        self.failures = 0
        self.changed: Callable[[], None] = lambda: None
        self.asked: Callable[[], None] = lambda: None
        self._report = report or print_error
        self._flusher = Flusher(self._flush_now)

    @property
    def sectors(self) -> int:
        """How many there are; 0 without a medium."""
        return -(-self.image.size // SECTOR) if self.image is not None else 0

    @property
    def is_writethrough(self) -> bool:
        return self.cache in ("writethrough", "directsync")

    def read_sectors(self, first: int, count: int) -> bytes:
        """Read sectors that are there. Raises DriveError."""
        image = self._checked(first, count)
        try:
            data = image.read(first * SECTOR, count * SECTOR)
        except ImageError as error:
            raise self._failed(error) from None
        self.reads += 1
        self.sectors_read += count
        return data

    def write_sectors(self, first: int, data: bytes) -> None:
        """Write whole sectors. Raises DriveError."""
        image = self._checked(first, -(-len(data) // SECTOR))
        if self.read_only:
            raise DriveError(f"{self.name}: is write-protected")
        try:
            image.write(first * SECTOR, data)
            if self.is_writethrough:
                image.flush()
        except ImageError as error:
            raise self._failed(error) from None
        self.writes += 1
        self.sectors_written += len(data) // SECTOR
        if self.cache != "unsafe" and not self.is_writethrough:
            self._flusher.note_write()

    def flush(self) -> None:
        """Return when all that was written is on the host's disk. Raises DriveError."""
        self.flushes += 1
        if self.cache == "unsafe":
            return
        try:
            self._flush_now()
        except ImageError as error:
            raise self._failed(error) from None

    def start_flush(self) -> Flush:
        """Begin a flush beside the machine, or make it now if this drive waits."""
        self.flushes += 1
        if self.cache == "unsafe" or self.image is None or not self.image.writable:
            done = Flush()
            done.finish()
            return done
        flush = self._flusher.start()
        if self.waits:
            flush.wait_quietly()
        return flush

    def eject(self, *, force: bool = False) -> None:
        """Take the medium out. Raises DriveError if the guest has locked the door."""
        if self.is_locked and not force:
            self.asked()
            raise DriveError(f"{self.name}: the guest has locked it; it was told to let go")
        self._take_out()
        self.is_open = self.is_cd
        self.changed()

    def insert(self, image: Image, *, read_only: bool = False) -> None:
        """Put a medium in; the one before it goes."""
        self._take_out()
        self.image = image
        self.read_only = read_only or self.is_cd or not image.writable
        self.is_open = False
        self.changed()

    def close(self) -> None:
        """Write what is not on the host's disk yet, and close the image. Raises DriveError."""
        self._flusher.stop()
        self._take_out()

    def _take_out(self) -> None:
        image, self.image = self.image, None
        if image is None:
            return
        try:
            image.close()
        except ImageError as error:
            raise self._failed(error) from None

    def _flush_now(self) -> None:
        if (image := self.image) is not None:
            image.flush()

    def _checked(self, first: int, count: int) -> Image:
        if self.image is None:
            raise DriveError(f"{self.name}: there is no medium")
        if not 0 <= first <= first + count <= self.sectors:
            raise DriveError(f"{self.name}: no sectors {first} to {first + count - 1}")
        return self.image

    def _failed(self, error: ImageError) -> DriveError:
        self.failures += 1
        if self.failures == 1:  # a guest tries again and again
            self._report(f"{self.name}: {error}")
        return DriveError(str(error))


class Flusher:
    """A thread that flushes one drive, on demand or a while after it was written.

    It begins when it is first needed.
    """

    def __init__(self, flush: Callable[[], None]) -> None:
        self._flush = flush
        self._wanted: list[Flush] = []
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._dirty_since: float | None = None
        self._is_stopping = False

    def note_write(self) -> None:
        if self._dirty_since is None:
            with self._changed:
                self._dirty_since = time.monotonic()
                self._wake()

    def start(self) -> Flush:
        flush = Flush()
        with self._changed:
            self._wanted.append(flush)
            self._wake()
        return flush

    def stop(self) -> None:
        """Finish what was begun; the thread ends."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _wake(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="flush", daemon=True)
            self._thread.start()
        self._changed.notify()

    def _run(self) -> None:
        while (wanted := self._wait()) is not None:
            error = None
            try:
                self._flush()
            except ImageError as failure:
                error = failure
            for flush in wanted:
                flush.finish(error)

    def _wait(self) -> list[Flush] | None:
        """Wait for something to do; None when it is time to stop."""
        with self._changed:
            while not self._wanted and not self._is_stopping:
                if self._dirty_since is None:
                    self._changed.wait()
                    continue
                rest = self._dirty_since + SETTLE_SECONDS - time.monotonic()
                if rest <= 0:
                    break
                self._changed.wait(rest)
            if self._is_stopping and not self._wanted:
                return None
            wanted, self._wanted, self._dirty_since = self._wanted, [], None
            return wanted


def print_error(line: str) -> None:
    print(line, file=sys.stderr)
