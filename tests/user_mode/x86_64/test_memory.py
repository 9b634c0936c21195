"""An address space of 2^46 bytes: where things go, and that its size costs nothing."""

from __future__ import annotations

import errno
import os
import resource
import struct
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import qemupy
from tests.user_mode.elves import LINKER, PT_INTERP, STATIC, Elf, Part, R
from user_mode.abi.x86_64.program import ADDRESSES, DYNAMIC_BASE, TASK_SIZE, program_abi
from user_mode.areas import MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE
from user_mode.errors import BadImage, Errno
from user_mode.loader import Loader
from user_mode.memory import LOW_END, LOW_START, MAP_32BIT, MAP_NORESERVE, SEGV_MAPERR, GuestMemory

ANON = MAP_PRIVATE | MAP_ANONYMOUS
PAGE = 4096
EM_X86_64 = 62
GIB = 1 << 30


@pytest.fixture
def memory() -> Iterator[GuestMemory]:
    made = GuestMemory(ADDRESSES, "<", TASK_SIZE)
    yield made
    made.close()


def resident() -> int:
    """Bytes of ours that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def test_huge_mappings_cost_nothing(memory: GuestMemory) -> None:
    before, start = resident(), time.monotonic()
    at = memory.mmap(0, 1024 * GIB, 0, ANON | MAP_NORESERVE)
    for i in range(0, 1024, 64):
        memory.mprotect(at + i * GIB, 1 << 20, 3)
        memory.put_u64(at + i * GIB, i)
    assert [memory.u64(at + i * GIB) for i in range(0, 1024, 64)] == list(range(0, 1024, 64))
    assert not memory.allows(at + GIB, 1)
    assert memory.fault_code(at + GIB) == 2
    memory.munmap(at, 1024 * GIB)
    assert memory.fault_code(at) == SEGV_MAPERR
    assert not memory.allows(at, 1)
    writable = memory.mmap(0, 64 * GIB, 3, ANON | MAP_NORESERVE)
    memory.write(writable + 63 * GIB, b"end")
    memory.madvise(writable, 64 * GIB, 4)
    assert memory.read(writable + 63 * GIB, 3) == bytes(3)
    memory.munmap(writable, 64 * GIB)
    memory.forget()
    assert time.monotonic() - start < 5
    assert resident() - before < 1 << 26


def test_a_child_neither_copies_nor_walks_it(memory: GuestMemory) -> None:
    at = memory.mmap(0, 1024 * GIB, 0, ANON | MAP_NORESERVE)
    memory.mprotect(at, 1 << 20, 3)
    start = time.monotonic()
    pid = os.fork()
    if pid == 0:
        os._exit(memory.u8(at))
    assert os.waitpid(pid, 0)[1] == 0
    assert time.monotonic() - start < 1


def test_watched_code_in_huge_ranges(memory: GuestMemory) -> None:
    told = []
    memory.code_changed = lambda start, end: told.append((start, end))
    at = memory.mmap(0, 128 * GIB, 7, ANON | MAP_NORESERVE)
    for page in (5, 70 * GIB // PAGE):
        memory.protect_code(at + page * PAGE)
    memory.mprotect(at, 128 * GIB, 1)
    pages = [at + 5 * PAGE, at + 70 * GIB]
    assert told == [(page, page + PAGE) for page in pages]


def test_where_mmap_looks(memory: GuestMemory) -> None:
    high = memory.mmap(0, PAGE, 3, ANON)
    assert memory.mmap_base - high == PAGE
    low = memory.mmap(0, PAGE, 3, ANON | MAP_32BIT)
    assert LOW_START <= low < LOW_END
    assert memory.mmap(0x7FFF_0000_0000, PAGE, 3, ANON) == high - PAGE, "a hint out of reach"
    assert memory.mmap(0x1234_5678_9000, PAGE, 3, ANON) == 0x1234_5678_9000
    for address, code in ((1 << 46, errno.ENOMEM), (TASK_SIZE, errno.ENOMEM), (123, errno.EINVAL)):
        with pytest.raises(Errno) as raised:
            memory.mmap(address, PAGE, 3, ANON | MAP_FIXED)
        assert raised.value.code == code
    memory.mmap(LOW_START, LOW_END - LOW_START, 0, ANON | MAP_FIXED)
    with pytest.raises(Errno):
        memory.mmap(0, PAGE, 3, ANON | MAP_32BIT)


@pytest.mark.parametrize("address", [1 << 46, (1 << 64) - 8, 1 << 63, (1 << 46) - 4])
def test_addresses_out_of_reach_are_efault(memory: GuestMemory, address: int) -> None:
    for access in (
        lambda: memory.read(address, 8),
        lambda: memory.write(address, bytes(8)),
        lambda: memory.u64(address),
        lambda: memory.host_range(address, 8, True),
    ):
        with pytest.raises(Errno) as raised:
            access()
        assert raised.value.code == errno.EFAULT
    assert not memory.executable(address)


# -- programs ------------------------------------------------------------------------------


def program(tmp_path: Path, elf: Elf, name: str = "program") -> bytes:
    """Write an ELF64 file."""
    path = tmp_path / name
    path.write_bytes(bytes(replace(elf, machine=EM_X86_64, bits=64, big=False)))
    path.chmod(0o755)
    return os.fsencode(path)


def loader() -> Loader:
    model: Any = SimpleNamespace(features={"fsgsbase"}, leaf=lambda *_: (0, 0, 0, 0x1234))
    return Loader(program_abi(model))


def test_a_dynamic_program_is_loaded_as_by_linux(memory: GuestMemory, tmp_path: Path) -> None:
    linker = program(tmp_path, LINKER, "ld.so")
    parts = (
        Part(PT_INTERP, R, 0x1000, linker + b"\0"),
        *(replace(part, address=part.address - 0x1000_0000) for part in STATIC.parts[:2]),
    )
    made = loader()
    image = made.open(program(tmp_path, Elf(parts, 0x10, 3)))
    start = made.start(image, memory, [b"one", b"two"], [b"A=1"], b"./program")
    facts = dict(struct.iter_unpack("<QQ", start.auxv))
    assert (facts[9], facts[16], facts[26]) == (DYNAMIC_BASE + 0x10, 0x1234, 2)
    assert facts[51] >= 952
    assert memory.cstring(facts[15]) == b"x86_64"
    assert 24 not in facts, "there is no AT_BASE_PLATFORM"
    assert start.pc == facts[7] + 0x40
    assert start.stack % 16 == 0
    assert memory.u64(start.stack) == 2
    assert memory.cstring(memory.u64(start.stack + 16)) == b"two"
    assert memory.read(TASK_SIZE - 18, 18) == b"./program\0" + bytes(8)
    names = [line.split()[-1] for line in memory.maps(8).splitlines()]
    assert names[-1] == b"[stack]"
    first = memory.maps(8).splitlines()[0]
    assert first.index(b"/") == 73
    assert int(first.split(b"-")[0], 16) == DYNAMIC_BASE
    assert memory.brk(0) % PAGE == 0
    assert memory.brk(0) > DYNAMIC_BASE


@pytest.mark.parametrize(
    ("machine", "bits", "big", "command"),
    [(20, 32, True, "ppc"), (3, 32, False, "i386"), (183, 64, False, "aarch64")],
)
def test_programs_of_other_machines_are_named(
    tmp_path: Path, machine: int, bits: int, big: bool, command: str
) -> None:
    path = tmp_path / "program"
    path.write_bytes(bytes(replace(STATIC, machine=machine, bits=bits, big=big)))
    path.chmod(0o755)
    with pytest.raises(BadImage) as raised:
        loader().open(os.fsencode(path))
    assert raised.value.message.endswith(f"; run it with qemupy-{command}")


def test_an_address_space_that_is_not_to_be_had(tmp_path: Path) -> None:
    path = program(tmp_path, STATIC)

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (4 * GIB, 4 * GIB))

    done = subprocess.run(
        [*qemupy.command("x86_64"), path], preexec_fn=limit, capture_output=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.decode() == (
        "qemupy-x86_64: cannot reserve 65536 GiB of address space for the program, "
        "as no more than 4096 MiB are allowed; ulimit -v unlimited\n"
    )
