"""Inodes, directories and paths."""

from __future__ import annotations

import errno
import os
import struct
from pathlib import Path
from typing import Any

import pytest

from user_mode.errors import Errno
from user_mode.syscalls.paths import own_entry

AT_FDCWD, AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW = -100, 0x1000, 0x100
PPC_O_DIRECTORY = 0o40000


def raises(code: int) -> Any:
    return pytest.raises(Errno, match=errno.errorcode[code])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "file"
    made.write_bytes(b"x" * 1234)
    os.utime(made, ns=(1_500_000_000_123_456_789, 1_600_000_000_987_654_321))
    return made


@pytest.mark.parametrize("layout", ["stat", "stat64"])
def test_stat(guest: Any, path: Path, layout: str) -> None:
    real = path.stat()
    result = guest.room(128)
    calls = {
        "stat": lambda: guest.stat(os.fsencode(path), result),
        "stat64": lambda: guest.fstatat64(AT_FDCWD, os.fsencode(path), result, 0),
    }
    assert calls[layout]() == 0
    found = guest.struct(layout, result)
    for name in ("st_mode", "st_nlink", "st_uid", "st_gid", "st_size", "st_blksize", "st_blocks"):
        assert found[name] == getattr(real, name), name
    assert found["st_ino"] == real.st_ino & ((1 << 64) - 1 if layout == "stat64" else 0xFFFFFFFF)
    assert found["st_dev"] == real.st_dev
    assert (found["st_atime"], found["st_atime_nsec"]) == (1_500_000_000, 123_456_789)
    assert (found["st_mtime"], found["st_mtime_nsec"]) == (1_600_000_000, 987_654_321)


def test_links_and_descriptors(guest: Any, path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("file")
    result = guest.room(128)
    guest.lstat64(os.fsencode(link), result)
    assert guest.struct("stat64", result)["st_size"] == 4
    guest.stat64(os.fsencode(link), result)
    assert guest.struct("stat64", result)["st_size"] == 1234
    fd = os.open(path, os.O_RDONLY)
    guest.fstat64(fd, result)
    assert guest.struct("stat64", result)["st_ino"] == path.stat().st_ino
    buffer = guest.room(64)
    assert guest.readlink(os.fsencode(link), buffer, 64) == 4
    assert guest.memory.read(buffer, 5) == b"file\xee"
    assert guest.readlinkat(AT_FDCWD, os.fsencode(link), buffer, 2) == 2


def test_a_size_that_does_not_fit(guest: Any, tmp_path: Path) -> None:
    big = tmp_path / "big"
    with big.open("wb") as file:
        file.truncate(3 << 30)
    result = guest.room(128)
    with raises(errno.EOVERFLOW):
        guest.stat(os.fsencode(big), result)
    guest.stat64(os.fsencode(big), result)
    assert guest.struct("stat64", result)["st_size"] == 3 << 30


def test_statx(guest: Any, path: Path) -> None:
    result = guest.room(256)
    guest.statx(AT_FDCWD, os.fsencode(path), 0, 0x7FF, result)
    found, real = guest.struct("statx", result), path.stat()
    assert found["stx_size"] == 1234
    assert found["stx_ino"] == real.st_ino
    assert found["stx_mode"] == real.st_mode
    assert found["stx_mtime.tv_nsec"] == 987_654_321
    assert (found["stx_dev_major"], found["stx_dev_minor"]) == (
        os.major(real.st_dev),
        os.minor(real.st_dev),
    )


def test_times(guest: Any, path: Path) -> None:
    name = os.fsencode(path)
    times = guest.put(struct.pack(">iiii", 1000, 5, 2000, 7))
    guest.utimensat(AT_FDCWD, name, times, 0)
    assert (path.stat().st_atime_ns, path.stat().st_mtime_ns) == (
        1000 * 10**9 + 5,
        2000 * 10**9 + 7,
    )
    times = guest.put(struct.pack(">qqqq", 1 << 33, 1, 3000, 9))
    guest.utimensat_time64(AT_FDCWD, name, times, 0)
    assert path.stat().st_atime_ns == (1 << 33) * 10**9 + 1
    guest.utimes(name, guest.put(struct.pack(">iiii", 10, 20, 30, 40)))
    assert (path.stat().st_atime_ns, path.stat().st_mtime_ns) == (10_000_020_000, 30_000_040_000)
    guest.utime(name, guest.put(struct.pack(">ii", 50, 60)))
    assert (path.stat().st_atime, path.stat().st_mtime) == (50, 60)
    fd = os.open(path, os.O_RDONLY)
    guest.utimensat(fd, 0, guest.put(struct.pack(">iiii", 70, 0, 80, 0)), 0)
    assert path.stat().st_mtime == 80
    guest.utime(name, 0)
    assert path.stat().st_mtime > 1_600_000_000


def test_permissions(guest: Any, path: Path) -> None:
    name = os.fsencode(path)
    guest.chmod(name, 0o600)
    guest.fchmodat(AT_FDCWD, name, 0o640)
    assert path.stat().st_mode & 0o777 == 0o640
    assert guest.access(name, os.R_OK) == 0
    with raises(errno.ENOENT):
        guest.faccessat(AT_FDCWD, name + b"?", os.F_OK)
    assert guest.chown(name, -1, -1) == 0
    old = guest.umask(0o077)
    assert guest.umask(old) == 0o077


@pytest.mark.parametrize("layout", ["statfs", "statfs64"])
def test_file_systems(guest: Any, path: Path, layout: str) -> None:
    result = guest.room(128)
    if layout == "statfs":
        guest.statfs(os.fsencode(path), result)
    else:
        guest.statfs64(os.fsencode(path), 88, result)
    found, real = guest.struct(layout, result), os.statvfs(path)
    assert (found["f_bsize"], found["f_namelen"]) == (real.f_bsize, real.f_namemax)
    assert found["f_blocks"] == real.f_blocks & (
        (1 << 64) - 1 if layout == "statfs64" else 0xFFFFFFFF
    )
    with raises(errno.EINVAL):
        guest.statfs64(os.fsencode(path), 80, result)


# -- directories -----------------------------------------------------------------------------------


def listed(data: bytes, header: str, name_at: int) -> list[bytes]:
    found, at = [], 0
    while at < len(data):
        length = struct.unpack_from(header, data, at)[2]
        name = data[at + name_at : at + length]
        found.append(name[: name.index(0)])
        at += length
    return found


@pytest.mark.parametrize(
    ("call", "header", "name_at"), [("getdents", ">IIH", 10), ("getdents64", ">QqH", 19)]
)
def test_listing(guest: Any, tmp_path: Path, call: str, header: str, name_at: int) -> None:
    names = {f"entry-{i}".encode() for i in range(100)}
    for name in names:
        (tmp_path / name.decode()).touch()
    fd = guest.open(os.fsencode(tmp_path), PPC_O_DIRECTORY, 0)
    buffer = guest.room(600)
    found: list[bytes] = []
    while length := guest.call(call, fd, buffer, 600):
        assert length <= 600
        found += listed(guest.memory.read(buffer, length), header, name_at)
    assert sorted(found) == sorted(names | {b".", b".."})


def test_a_directory_read_from_the_middle(guest: Any, tmp_path: Path) -> None:
    """telldir and seekdir: offsets fit 31 bits whatever the file system uses."""
    for i in range(50):
        (tmp_path / f"entry-{i}").touch()
    fd = guest.open(os.fsencode(tmp_path), PPC_O_DIRECTORY, 0)
    buffer = guest.room(4096)
    data = guest.memory.read(buffer, guest.getdents64(fd, buffer, 4096))
    names = listed(data, ">QqH", 19)
    _, offset, length, _ = struct.unpack_from(">QqHB", data, 0)
    assert 0 < offset < 1 << 31
    assert guest.lseek(fd, offset, os.SEEK_SET) == offset
    again = guest.memory.read(buffer, guest.getdents64(fd, buffer, 4096))
    assert listed(again, ">QqH", 19)[:20] == names[1:21]
    assert length % 8 == 0


def test_making_and_removing(guest: Any, tmp_path: Path) -> None:
    base = os.fsencode(tmp_path)
    guest.mkdir(base + b"/d", 0o755)
    guest.mknodat(AT_FDCWD, base + b"/d/fifo", 0o010600, 0)
    guest.symlinkat(b"target", AT_FDCWD, base + b"/d/link")
    guest.link(base + b"/d/fifo", base + b"/d/other")
    assert sorted(os.listdir(base + b"/d")) == [b"fifo", b"link", b"other"]
    guest.rename(base + b"/d/other", base + b"/d/renamed")
    with raises(errno.EEXIST):
        guest.renameat2(AT_FDCWD, base + b"/d/fifo", AT_FDCWD, base + b"/d/link", 1)
    with raises(errno.ENOTEMPTY):
        guest.rmdir(base + b"/d")
    for name in (b"/d/fifo", b"/d/link", b"/d/renamed"):
        guest.unlink(base + name)
    guest.unlinkat(AT_FDCWD, base + b"/d", 0x200)
    assert os.listdir(base) == []


def test_the_current_directory(guest: Any, tmp_path: Path) -> None:
    before = os.getcwd()
    try:
        guest.chdir(os.fsencode(tmp_path))
        buffer = guest.room(200)
        length = guest.getcwd(buffer, 200)
        assert guest.memory.read(buffer, length) == os.fsencode(tmp_path.resolve()) + b"\0"
        with raises(errno.ERANGE):
            guest.getcwd(buffer, 2)
    finally:
        os.chdir(before)


# -- paths -----------------------------------------------------------------------------------------


def test_the_prefix_comes_first(guest: Any, tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("of the prefix")
    guest.process.sysroot = os.fsencode(tmp_path)
    fd = guest.open(b"/etc/passwd", 0, 0)
    assert os.read(fd, 100) == b"of the prefix"
    result = guest.room(128)
    guest.stat64(b"/etc/passwd", result)
    assert guest.struct("stat64", result)["st_size"] == len("of the prefix")
    guest.stat64(b"/proc/version", result)
    made = os.fsencode(tmp_path.parent / "made outside")
    guest.mkdir(made, 0o700)
    assert os.path.isdir(made)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (b"/proc/self/maps", b"maps"),
        (b"/proc//self/./maps", b"maps"),
        (b"/proc/%d/exe" % os.getpid(), b"exe"),
        (b"/proc/self/task/%d/maps" % os.getpid(), b"maps"),
        (b"/proc/thread-self/maps", b"maps"),
        (b"/proc/1/maps", None),
        (b"/proc/self/../version", None),
        (b"/etc/passwd", None),
        (b"proc/self/maps", None),
    ],
)
def test_names_of_ourselves(path: bytes, name: bytes | None) -> None:
    assert own_entry(path) == name


def test_proc_self_exe(guest: Any, path: Path) -> None:
    guest.process.exe = os.fsencode(path)
    buffer = guest.room(300)
    for name in (b"/proc/self/exe", b"/proc/%d/exe" % os.getpid()):
        length = guest.readlink(name, buffer, 300)
        assert guest.memory.read(buffer, length) == os.fsencode(path)
    assert os.read(guest.open(b"/proc/self/exe", 0, 0), 3) == b"xxx"
    guest.stat64(b"/proc/self/exe", buffer)
    assert guest.struct("stat64", buffer)["st_size"] == 1234


def contents(guest: Any, path: bytes) -> bytes:
    fd = guest.open(path, 0, 0)
    with os.fdopen(fd, "rb") as file:
        return file.read()


def test_files_about_the_guest(guest: Any) -> None:
    assert contents(guest, b"/proc/self/cmdline") == b"true\0a b\0"
    assert contents(guest, b"/proc/self/auxv") == guest.process.auxv
    maps = contents(guest, b"/proc/self/maps").decode().splitlines()
    assert any(line.startswith(f"{guest.scratch:08x}-") for line in maps)
    assert all(int(line.split("-")[0], 16) < 1 << 32 for line in maps)
    cpuinfo = contents(guest, b"/proc/cpuinfo").decode()
    assert "timebase\t: 1000000000\n" in cpuinfo
    assert contents(guest, b"/proc/self/comm") == Path("/proc/self/comm").read_bytes()


def test_files_that_would_reach_the_emulator(guest: Any) -> None:
    with raises(errno.EACCES):
        guest.open(b"/proc/self/mem", 2, 0)
    with raises(errno.EACCES):
        guest.open(b"/proc/self/maps", 1, 0)
    fd = guest.open(b"/proc/self/maps", 0o2000000, 0)
    assert not os.get_inheritable(fd)
