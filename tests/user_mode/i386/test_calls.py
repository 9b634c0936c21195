"""The calls that only i386 has, or has in another form."""

from __future__ import annotations

import errno
import os
import struct
from pathlib import Path
from typing import Any

import pytest

from user_mode.errors import Errno

RDWR_CREAT = os.O_RDWR | os.O_CREAT


def test_old_mmap_takes_a_structure(guest: Any) -> None:
    place = guest.old_mmap(guest.put(struct.pack("<6I", 0, 8192, 3, 0x22, 0xFFFFFFFF, 0)))
    guest.memory.write(place & 0xFFFFFFFF, b"x" * 8192)


def test_old_select_takes_a_structure(guest: Any) -> None:
    limit = guest.put(struct.pack("<2i", 0, 1000))
    assert guest.old_select(guest.put(struct.pack("<i4I", 0, 0, 0, 0, limit))) == 0


def test_offsets_of_64_bits_take_two_registers_in_a_row(guest: Any, tmp_path: Path) -> None:
    path = os.fsencode(tmp_path / "file")
    fd = guest.open(path, RDWR_CREAT, 0o600)
    assert guest.pwrite64(fd, guest.put(b"abc"), 3, 1 << 33) == 3
    assert os.path.getsize(path) == (1 << 33) + 3
    buffer = guest.room(3)
    assert guest.pread64(fd, buffer, 3, 1 << 33) == 3
    assert guest.memory.read(buffer, 3) == b"abc"
    assert guest.truncate64(path, 5 << 32) == 0
    assert guest.ftruncate64(fd, 10) == 0
    assert guest.fallocate(fd, 0, 0, 20) == 0
    assert guest.sync_file_range(fd, 0, 20, 0) == 0
    assert guest.x86_fadvise64_64(fd, 0, 1 << 32, 0) == 0
    assert os.path.getsize(path) == 20
    os.close(fd)


def test_stat64_has_the_inode_twice(guest: Any, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    place = guest.room(96)
    guest.stat64(os.fsencode(path), place)
    values = guest.abi.structs.stat64.values(guest.memory.read(place, 96))
    host = path.stat()
    assert values["st_ino"] == host.st_ino
    assert values["__st_ino"] == host.st_ino & 0xFFFFFFFF
    assert (values["st_size"], values["st_mode"], values["st_uid"]) == (
        3,
        host.st_mode,
        os.getuid(),
    )
    assert values["st_mtime"] == int(host.st_mtime)


def test_names(guest: Any) -> None:
    place = guest.room(5 * 65)
    guest.olduname(place)
    names = [guest.memory.cstring(place + 65 * i) for i in range(5)]
    assert names[0] == b"Linux"
    assert names[4] == b"i686"
    guest.oldolduname(place)
    release = os.uname().release.encode()[:8]
    assert guest.memory.cstring(place + 2 * 9) == release


def test_ids_of_16_bits(guest: Any) -> None:
    places = [guest.room(2) for _ in range(3)]
    guest.getresuid16(*places)
    shown = min(os.getuid(), 65534)
    assert [guest.memory.u16(at) for at in places] == [shown] * 3
    assert guest.getuid16() == shown
    assert guest.setreuid16(0xFFFF, 0xFFFF) == 0, "-1 changes nothing"
    count = guest.getgroups16(0, 0)
    groups = guest.room(2 * count)
    assert guest.getgroups16(count, groups) == count
    assert [guest.memory.u16(groups + 2 * i) for i in range(count)] == [
        min(one, 65534) for one in os.getgroups()
    ]


def test_chown16_leaves_an_owner_of_minus_one(guest: Any, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    assert guest.chown16(os.fsencode(path), 0xFFFF, 0x1FFFF) == 0
    assert path.stat().st_uid == os.getuid()


def test_old_getrlimit_has_signed_limits(guest: Any) -> None:
    place = guest.room(8)
    guest.old_getrlimit(0, place)
    assert all(limit <= 0x7FFFFFFF for limit in struct.unpack("<2I", guest.memory.read(place, 8)))


def test_arch_prctl_has_nothing_but_cpuid(guest: Any) -> None:
    assert guest.arch_prctl(0x1011, 0) == 1
    with pytest.raises(Errno) as caught:
        guest.arch_prctl(0x1002, 0x1000)
    assert caught.value.code == errno.EINVAL
