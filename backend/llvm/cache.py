"""Compiled code kept on disk from one run to the next.

    <directory>/ab/<rest of the key>     an entry: one blob, or whatever else its maker put
    <directory>/<name>-<stamp>.pack      many small entries that are read at once
    <directory>/stamp-<signature>        what the translator's sources hash to

Every file starts with a checksum and appears by being renamed, so any number of runs may share
the directory; a damaged file is one that is not there.  A directory that is missing, read-only, or
not the user's own means working without: code from elsewhere is never run.
"""

from __future__ import annotations

import errno
import os
import sys
from _blake2 import blake2b  # hashlib's own; hashlib itself takes 3 ms to import, for OpenSSL
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.machinery import PathFinder
from math import inf
from time import time

from tcg.decode.cache import cache_directory

MAGIC = b"qemupy cache 1\n"
DIGEST_BYTES = 16
DEFAULT_LIMIT = 512 << 20
SWEEPS_PER_LIMIT = 16
"""The cache is swept about so often while as much as its limit is written."""
DAY = 86400.0

SOURCE_FOLDERS = ("tcg", "frontends", "backend")

Log = Callable[[str], None]


def digest(*parts: bytes) -> str:
    """A 128-bit hash of some byte strings, in hex; where one ends and the next starts counts."""
    state = blake2b(digest_size=DIGEST_BYTES)
    for part in parts:
        state.update(len(part).to_bytes(8, "little"))
        state.update(part)
    return state.hexdigest()


def digest_of(data: bytes) -> bytes:
    """A 128-bit hash of one byte string."""
    return blake2b(data, digest_size=DIGEST_BYTES).digest()


class Cache:
    """A bounded store of bytes by key.  All its failures are misses."""

    def __init__(
        self, directory: str | None, limit: int = DEFAULT_LIMIT, log: Log | None = None
    ) -> None:
        """A cache in `directory`, which is made if need be; None: a cache that keeps nothing."""
        self._log = log or (lambda _line: None)
        self.limit = limit
        self.directory = self._usable(directory) if directory else None
        self._is_writable = self.directory is not None
        self._stamp: str | None = None

    def _usable(self, directory: str) -> str | None:
        try:
            os.makedirs(directory, mode=0o700, exist_ok=True)
            facts = os.stat(directory)
        except OSError as error:
            self._log(f"cache: off: {error}")
            return None
        if facts.st_uid != os.geteuid() or facts.st_mode & 0o022:
            self._log(f"cache: off: others than this user may write to {directory}")
            return None
        return directory

    @property
    def stamp(self) -> str:
        """What all keys depend on: the translator, LLVM, the host CPU."""
        if self._stamp is None:
            self._stamp = digest(self._translator_stamp().encode(), host_cpu())
        return self._stamp

    def key(self, kind: str, content: bytes) -> str:
        """The key of what this translator makes of `content` on this host."""
        return digest(self.stamp.encode(), kind.encode(), content)

    def get(self, key: str) -> bytes | None:
        """What was put under this key, if it is still there and whole."""
        return None if self.directory is None else self._read(self._path(key), key)

    def age(self, key: str) -> float:
        """Seconds since something was put under this key, or used after a long time."""
        try:
            return time() - os.stat(self._path(key)).st_mtime
        except OSError:
            return inf

    def put(self, key: str, data: bytes) -> None:
        """Keep `data` under this key."""
        if not self._is_writable:
            return
        self._write(self._path(key), key, data)
        # Keys are uniform, so this makes a sweep about as likely as `data` is large.
        if int(key[:8], 16) / 2**32 < SWEEPS_PER_LIMIT * len(data) / self.limit:
            self.sweep()

    def pack(self, name: str) -> Pack:
        """The pack of this name, for this translator on this host."""
        return Pack(self, f"{name}-{self.stamp}")

    def sweep(self) -> None:
        """If the cache is over its limit, remove what was not used for longest until at 3/4."""
        entries = sorted(self._entries())
        total = sum(size for _, size, _ in entries)
        if total <= self.limit:
            return
        self._log(f"cache: {total} bytes, limit {self.limit}: removing the oldest")
        for _used, size, path in entries:
            if total <= self.limit * 3 // 4:
                return
            with suppress(OSError):
                os.unlink(path)
            total -= size

    def _entries(self) -> Iterator[tuple[float, int, str]]:
        """Last use, size and path of every file."""
        for folder, _, names in os.walk(self.directory or ""):
            for name in names:
                path = os.path.join(folder, name)
                with suppress(OSError):
                    facts = os.stat(path)
                    yield facts.st_mtime, facts.st_size, path

    def _path(self, key: str) -> str:
        return f"{self.directory}/{key[:2]}/{key[2:]}"

    def _read(self, path: str, key: str) -> bytes | None:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            facts = os.fstat(fd)
            data = os.read(fd, facts.st_size)
            if time() - facts.st_mtime > DAY:
                os.utime(fd)
        except OSError:
            return None
        finally:
            os.close(fd)
        return data_or_none(data, key)

    def _write(self, path: str, key: str, data: bytes) -> None:
        folder, name = os.path.split(path)
        temporary = f"{folder}/.{name}.{os.getpid()}"
        try:
            os.makedirs(folder, mode=0o700, exist_ok=True)
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with open(fd, "wb") as file:
                file.write(sealed(data, key))
            os.rename(temporary, path)
        except OSError as error:
            self._give_up_writing(error, temporary)

    def _give_up_writing(self, error: OSError, temporary: str) -> None:
        with suppress(OSError):
            os.unlink(temporary)
        if error.errno != errno.ENOENT:  # somebody removed the directory under us: not our trouble
            self._is_writable = False
        self._log(f"cache: cannot write: {error}")

    @contextmanager
    def _locked(self, path: str) -> Iterator[None]:
        """Hold the lock file of `path`; without one where none can be made."""
        import fcntl

        try:
            fd = os.open(f"{path}.lock", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            yield
            return
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def _translator_stamp(self) -> str:
        """A hash of the translator's sources and its LLVM.

        It is itself kept, under a signature of names, sizes and times: hashing the sources takes
        5 ms, looking at them a tenth of that.
        """
        files = sorted(_sources())
        seen = digest(*(_signature(path) for path in files))
        path = f"{self.directory}/stamp-{seen}"
        known = self._read(path, seen) if self.directory else None
        if known is not None:
            return known.decode()
        stamp = digest(*(part for path in files for part in _name_and_content(path)))
        if self._is_writable:
            self._write(path, seen, stamp.encode())
        return stamp


class Pack:
    """Many small entries in one file: `load` reads all at once, `add` merges more in."""

    def __init__(self, cache: Cache, name: str) -> None:
        self._cache = cache
        self._name = name
        self._path = f"{cache.directory}/{name}.pack"

    def load(self) -> dict[str, bytes]:
        """Everything in the pack; empty if there is none."""
        import msgpack

        data = self._cache._read(self._path, self._name) if self._cache.directory else None
        if data is None:
            return {}
        entries: dict[str, bytes] = msgpack.unpackb(data)
        return entries

    def add(self, entries: Mapping[str, bytes]) -> None:
        """Merge entries into the pack as it is now: other runs may be adding to it as well."""
        import msgpack

        if not self._cache._is_writable or not entries:
            return
        with self._cache._locked(self._path):
            merged = {**self.load(), **entries}
            self._cache._write(self._path, self._name, msgpack.packb(merged))


def sealed(data: bytes, key: str) -> bytes:
    """A file's bytes: the magic, a checksum of key and data, the data."""
    return MAGIC + bytes.fromhex(digest(key.encode(), data)) + data


def data_or_none(file: bytes, key: str) -> bytes | None:
    """The inverse of sealed, or None if anything about it is wrong."""
    start = len(MAGIC) + DIGEST_BYTES
    data = file[start:]
    wanted = MAGIC + bytes.fromhex(digest(key.encode(), data))
    return data if file[:start] == wanted else None


def open_cache(environ: Mapping[str, str], log: Log | None = None) -> Cache:
    """The user's cache.

    QEMUPY_CACHE=off does without, QEMUPY_CACHE_DIR says where, QEMUPY_CACHE_LIMIT how many MiB.
    """
    limit = environ.get("QEMUPY_CACHE_LIMIT", "")
    size = int(limit) << 20 if limit.isdecimal() and int(limit) else DEFAULT_LIMIT
    return Cache(cache_directory(environ), size, log)


def host_cpu() -> bytes:
    """What the host CPU is and can do, as Linux tells it."""
    try:
        fd = os.open("/proc/cpuinfo", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        # The kernel writes this file as it is read: the first page has the first CPU in it.
        lines = os.read(fd, 4096).split(b"\n")
    finally:
        os.close(fd)
    telling = (b"vendor_id", b"cpu family", b"model", b"flags")
    return b"\n".join(line for line in lines if line.startswith(telling))


def _sources() -> Iterator[str]:
    """Every file that has a say in what code is made."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    for folder in SOURCE_FOLDERS:
        yield from _files_under(os.path.join(root, folder))
    # Found, not imported: its version file names the version, the library's date its build.
    llvmlite = PathFinder.find_spec("llvmlite", sys.path)
    if llvmlite is not None and llvmlite.origin:
        yield os.path.join(os.path.dirname(llvmlite.origin), "_version.py")


def _files_under(folder: str) -> Iterator[str]:
    with os.scandir(folder) as found:
        for entry in found:
            if entry.is_dir():
                if entry.name != "__pycache__":
                    yield from _files_under(entry.path)
            elif not entry.name.startswith("."):
                yield entry.path


def _signature(path: str) -> bytes:
    facts = os.stat(path)
    return f"{path} {facts.st_ino} {facts.st_size} {facts.st_mtime_ns} {facts.st_ctime_ns}".encode()


def _name_and_content(path: str) -> Iterable[bytes]:
    with open(path, "rb") as file:
        return os.path.basename(path).encode(), file.read()
