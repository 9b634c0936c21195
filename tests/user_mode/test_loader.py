"""The loader: where programs go, what their stack says, and what is said of bad ones."""

from __future__ import annotations

import errno
import os
import random
import resource
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.user_mode.elves import (
    EM_PPC,
    LINKER,
    PT_GNU_STACK,
    PT_LOAD,
    STATIC,
    Elf,
    Part,
    R,
    W,
    X,
    dynamic,
)
from user_mode.abi.ppc.program import program_abi
from user_mode.elf import Machine, describe, machine_of
from user_mode.errors import BadImage, Errno
from user_mode.loader import Loader, Start
from user_mode.memory import GuestMemory

Write = Callable[..., bytes]


@pytest.fixture
def memory() -> Iterator[GuestMemory]:
    made = GuestMemory()
    yield made
    made.close()


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Put a program into a file; answers its path."""

    def put(content: Elf | bytes, name: str = "program", mode: int = 0o755) -> bytes:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(content))
        path.chmod(mode)
        return os.fsencode(path)

    return put


def loader(sysroot: bytes = b"", stack_size: int = 1 << 20) -> Loader:
    return Loader(program_abi(cache_line=32), sysroot, stack_size)


def load(memory: GuestMemory, path: bytes, sysroot: bytes = b"", **more: Any) -> Start:
    made = loader(sysroot)
    argv, env = more.get("argv", [b"prog"]), more.get("env", [])
    return made.start(made.open(path), memory, argv, env, more.get("name", path))


def areas(memory: GuestMemory) -> list[tuple[int, int, str, str]]:
    """What is mapped, the stack left out: start, end, protection, file or name."""
    rows = []
    for line in memory.maps(4).decode().splitlines():
        words = line.split()
        start, end = (int(word, 16) for word in words[0].split("-"))
        name = os.path.basename(words[5]) if len(words) > 5 else ""
        rows.append((start, end, words[1], name))
    assert rows[-1][3] == "[stack]"
    return rows[:-1]


def auxiliary(start: Start) -> list[tuple[int, int]]:
    words = struct.unpack(f">{len(start.auxv) // 4}I", start.auxv)
    return list(zip(words[::2], words[1::2], strict=True))


# -- where programs go ---------------------------------------------------------------------


def test_a_static_program_is_where_its_headers_say(memory: GuestMemory, write: Write) -> None:
    start = load(memory, write(STATIC))
    assert start.pc == 0x10000010
    assert areas(memory) == [
        (0x10000000, 0x10001000, "r-xp", "program"),
        (0x10011000, 0x10012000, "rw-p", "program"),
        (0x10012000, 0x10015000, "rw-p", ""),
    ]
    # Of the first page, what comes before the segment is the file's; .bss is zero.
    assert memory.read(0x10011F80, 4) == b"data"
    assert memory.read(0x10011FC0, 0x40) == bytes(0x40)
    assert memory.read(0x10011000 + 0xF7F, 1) == b"\xee"
    assert memory.brk(0) == 0x10015000
    assert memory.u32(0x10014FFC) == 0


def test_read_only_bss_keeps_what_the_file_has(memory: GuestMemory, write: Write) -> None:
    segment = Part(PT_LOAD, R, 0x10000000, b"x" * 16, 0x1800)
    load(memory, write(replace(STATIC, parts=(segment, Part(PT_LOAD, R, 0x10010000, b"y" * 4096)))))
    assert memory.read(0x10000000, 16) == b"x" * 16
    assert memory.u32(0x10001000) == 0


def test_a_dynamic_program_starts_in_its_linker(
    memory: GuestMemory, write: Write, tmp_path: Path
) -> None:
    write(LINKER, "root/lib/ld.so.1")
    start = load(memory, write(dynamic(b"/lib/ld.so.1")), os.fsencode(tmp_path / "root"))
    linker = memory.mmap_base - 0x10000
    assert start.pc == linker + 0x40
    assert areas(memory)[0] == (0x400000, 0x401000, "r-xp", "program")
    assert areas(memory)[-1] == (linker, linker + 0x1000, "r-xp", "ld.so.1")
    facts = dict(auxiliary(start))
    assert (facts[7], facts[9]) == (linker, 0x400010)
    assert memory.brk(0) == 0x415000


def test_a_program_at_fixed_addresses_may_have_a_linker(memory: GuestMemory, write: Write) -> None:
    linker = write(LINKER, "ld.so.1")
    start = load(memory, write(dynamic(linker, position_independent=False)))
    assert start.pc == memory.mmap_base - 0x10000 + 0x40
    assert dict(auxiliary(start))[9] == 0x10000010


def test_a_static_pie_is_where_mmap_finds_room_and_its_heap_is_elsewhere(
    memory: GuestMemory, write: Write
) -> None:
    parts = tuple(replace(part, address=part.address - 0x10000000) for part in STATIC.parts[:2])
    start = load(memory, write(Elf((*parts, STATIC.parts[2]), 0x10, type=3)))
    base = start.pc - 0x10
    assert base % 0x10000 == 0
    assert memory.mmap_base - 0x30000 < base < memory.mmap_base
    assert memory.brk(0) == 0x400000
    assert dict(auxiliary(start))[7] == 0


@pytest.mark.parametrize(
    ("stack", "implies", "executable"),
    [(R | W, False, False), (R | W | X, False, True), (None, True, True)],
)
def test_the_stack_header_decides_what_is_executable(
    memory: GuestMemory, write: Write, stack: int | None, implies: bool, executable: bool
) -> None:
    extra = () if stack is None else (Part(PT_GNU_STACK, stack),)
    start = load(memory, write(replace(STATIC, parts=(*STATIC.parts[:2], *extra))))
    assert memory.executable(start.stack) == executable
    assert memory.executable(memory.mmap(0, 4096, 1, 0x22)) == implies


# -- the stack -----------------------------------------------------------------------------


def test_the_stack_is_that_of_the_abi(memory: GuestMemory, write: Write) -> None:
    argv, env = [b"prog", b"", b"two"], [b"A=1", b"B=\xff"]
    start = load(memory, write(STATIC), argv=argv, env=env, name=b"./prog")
    at = start.stack
    assert at % 16 == 0
    assert memory.u32(at) == 3
    pointers = [memory.u32(at + 4 * i) for i in range(1, 8)]
    assert pointers[3] == pointers[6] == 0
    texts = [memory.cstring(p) for p in pointers if p]
    assert texts == argv + env
    assert memory.read(at + 32, len(start.auxv)) == start.auxv
    # Texts follow one another; the program's name ends just below a word of zero at the very end.
    assert pointers[1] == pointers[0] + 5
    assert memory.read(0xC0000000 - 4 - 7, 11) == b"./prog\0" + bytes(4)


def test_the_auxiliary_vector_is_in_the_order_of_linux(memory: GuestMemory, write: Write) -> None:
    headers = Part(PT_LOAD, R, 0xFFF0000, covers_headers=True)
    elf = replace(STATIC, parts=(headers, *STATIC.parts))
    start = load(memory, write(elf), name=b"./prog")
    entries = auxiliary(start)
    # AT_IGNOREPPC twice, cache block sizes, then what create_elf_tables() writes.
    assert [key for key, _ in entries] == [
        22, 22, 19, 20, 21, 16, 6, 17, 3, 4, 5, 7, 8, 9, 11, 12, 13, 14, 23, 25, 26, 31, 15, 24, 0,
    ]  # fmt: skip
    facts = dict(entries)
    assert (facts[19], facts[20], facts[21]) == (32, 32, 0)
    assert facts[16] & 0x10000000 == 0, "AltiVec is not there"
    assert facts[16] & 0x8C000000 == 0x8C000000
    assert (facts[6], facts[17], facts[4], facts[5]) == (4096, 100, 32, 4)
    assert (facts[3], facts[9], facts[7]) == (0xFFF0034, 0x10000010, 0)
    assert (facts[11], facts[12], facts[13], facts[14]) == (
        os.getuid(), os.geteuid(), os.getgid(), os.getegid(),
    )  # fmt: skip
    assert memory.cstring(facts[31]) == b"./prog"
    assert memory.cstring(facts[15]) == memory.cstring(facts[24]) == b"ppc750"
    assert memory.read(facts[25], 16) != bytes(16)


def test_stack_size_and_mmap_base(memory: GuestMemory, write: Write) -> None:
    made = loader(stack_size=(256 << 20) + 1)
    made.start(made.open(write(STATIC)), memory, [b"x"], [], b"x")
    assert memory.maps().splitlines()[-1].startswith(b"affff000-c0000000 rw-p")
    assert memory.mmap_base == 0xAFFFF000


@pytest.mark.parametrize("argv", [[b"x" * 131072], [b"x" * 1000] * 300])
def test_too_many_arguments(memory: GuestMemory, write: Write, argv: list[bytes]) -> None:
    with pytest.raises(BadImage) as raised:
        load(memory, write(STATIC), argv=argv)
    assert raised.value.code == errno.E2BIG


# -- bad programs --------------------------------------------------------------------------


def complaint(path: bytes, sysroot: bytes = b"") -> tuple[str, int, int]:
    """What opening a file says (without its path), its exit status and errno."""
    with pytest.raises(BadImage) as raised:
        loader(sysroot).open(path)
    message = raised.value.message
    assert "\n" not in message
    text = message.replace(os.fsdecode(path), "IT")
    text = text.replace(os.fsdecode(os.path.dirname(path)), "..")
    assert isinstance(raised.value, Errno)
    return text, raised.value.status, raised.value.code


def test_what_is_not_there() -> None:
    assert complaint(b"/nowhere/x") == ("IT: no such file", 127, errno.ENOENT)
    assert complaint(b"/etc/passwd/x")[1:] == (127, errno.ENOTDIR)
    assert complaint(b"a\0b")[1] == 127


def test_what_is_no_program(write: Write, tmp_path: Path) -> None:
    assert complaint(os.fsencode(tmp_path)) == ("IT is a directory", 126, errno.EACCES)
    assert complaint(b"/dev/null") == ("IT is not a regular file", 126, errno.EACCES)
    expected = "IT is not executable; chmod +x IT makes it so"
    assert complaint(write(STATIC, mode=0o644)) == (expected, 126, errno.EACCES)
    expected = "IT is not an ELF program (it begins with 'int ')"
    assert complaint(write(b"int main(){}")) == (expected, 126, errno.ENOEXEC)
    assert complaint(write(b""))[0] == "IT is not an ELF program (it is empty)"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read(write: Write) -> None:
    expected = ("IT cannot be read: permission denied", 126, errno.EACCES)
    assert complaint(write(STATIC, mode=0o100)) == expected


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (10, "IT is cut short: 10 bytes are not an ELF header"),
        (40, "IT is cut short: the ELF header ends after byte 40"),
        (100, "IT is cut short: its program headers end at byte 148 of 100"),
        (200, "IT is cut short: segment 0 ends at byte 4384 of 200"),
    ],
)
def test_a_truncated_program_says_where_it_ends(write: Write, size: int, text: str) -> None:
    assert complaint(write(bytes(STATIC)[:size])) == (text, 126, errno.ENOEXEC)


ARM = Elf(STATIC.parts, machine=40, big=False)


@pytest.mark.parametrize(
    ("elf", "text"),
    [
        (ARM, "IT is an ARM program (ELF32 little-endian, EM_ARM); run it with qemupy-arm"),
        (
            Elf(STATIC.parts, machine=62, bits=64, big=False),
            "IT is an x86-64 program (ELF64 little-endian, EM_X86_64); run it with qemupy-x86_64",
        ),
        (
            Elf(STATIC.parts, machine=EM_PPC, big=False),
            "IT is a PowerPC program (ELF32 little-endian, EM_PPC), which qemupy does not run",
        ),
        (
            Elf(STATIC.parts, machine=22, bits=64),
            "IT is an S/390 program (ELF64 big-endian, EM_S390), which qemupy does not run",
        ),
        (
            Elf(STATIC.parts, machine=4711),
            "IT is a program for an unknown machine (ELF32 big-endian, e_machine 4711)",
        ),
        (replace(STATIC, type=1), "IT is an object file, not linked to a program"),
        (replace(STATIC, type=4), "IT is a core dump"),
        (replace(STATIC, parts=()), "IT has 0 program headers"),
        (replace(STATIC, parts=STATIC.parts[2:]), "IT has no segment to load"),
        (
            replace(STATIC, parts=(Part(PT_LOAD, R, 0x10000000, b"x" * 8, 4),)),
            "IT has a bad segment 0: 8 bytes in the file, 4 in memory",
        ),
        (
            replace(STATIC, parts=(Part(PT_LOAD, R, 0xFFFFF000, b"x", 0x2000),)),
            "IT has a bad segment 0: 8192 bytes at 0xfffff000 are beyond 0x100000000",
        ),
        (dynamic(b""), "IT names no sensible program interpreter"),
    ],
)
def test_a_bad_program_is_one_line(write: Write, elf: Elf, text: str) -> None:
    assert complaint(write(elf)) == (text, 126, errno.ENOEXEC)


def test_an_offset_that_does_not_fit_its_address(write: Write) -> None:
    data = bytearray(bytes(STATIC))
    struct.pack_into(">I", data, 52 + 4, 17)
    text = "IT has a bad segment 0: offset 0x11 does not fit address 0x10000000"
    assert complaint(write(bytes(data)))[0] == text


def test_a_missing_linker_says_where_it_was_looked_for(write: Write, tmp_path: Path) -> None:
    path = write(dynamic(b"/lib/ld-nope.so.1"))
    text, status, code = complaint(path)
    wanted = "IT needs the program interpreter /lib/ld-nope.so.1, but there is no /lib/ld-nope.so.1"
    assert text == f"{wanted}; say with -L where its root directory is"
    assert (status, code) == (127, errno.ENOENT)
    inside = os.fsencode(tmp_path / "root")
    assert "no ../root/lib/ld-nope.so.1 or /lib/ld-nope.so.1;" in complaint(path, inside)[0]


def test_a_name_from_a_file_cannot_write_to_the_terminal(write: Write) -> None:
    text = complaint(write(dynamic(b"/lib/\x1b[2J\n\xff.so")))[0]
    assert "interpreter /lib/\\x1b[2J\\n\\xff.so, but" in text


def test_a_linker_for_another_machine(write: Write) -> None:
    linker = write(ARM, "ld.so.1")
    text, status, code = complaint(write(dynamic(linker)))
    assert text.startswith("IT: its interpreter ../ld.so.1 is an ARM program (ELF32")
    assert (status, code) == (126, errno.ELIBBAD)


def test_a_program_in_the_way_of_the_stack(memory: GuestMemory, write: Write) -> None:
    parts = (Part(PT_LOAD, R, 0xBFFF0000, b"x" * 8, 0x20000),)
    with pytest.raises(BadImage, match="131072 bytes at 0xbfff0000 are beyond"):
        load(memory, write(replace(STATIC, parts=parts)))


def test_the_machine_is_seen_in_the_first_bytes() -> None:
    assert machine_of(bytes(STATIC)[:20]) == Machine(EM_PPC, 32, "big")
    assert machine_of(bytes(ARM)) == Machine(40, 32, "little")
    assert machine_of(bytes(STATIC)[:19]) is None
    assert machine_of(b"#!/bin/sh\n".ljust(64)) is None
    assert describe(Machine(3, 32, "little")).endswith("run it with qemupy-i386")


def test_no_descriptor_is_left_open(memory: GuestMemory, write: Write, tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    linker = write(LINKER, "ld.so.1")
    load(memory, write(dynamic(linker)))
    for bad in (ARM, dynamic(b"/nowhere"), dynamic(write(ARM, "bad.so"))):
        with pytest.raises(BadImage):
            loader().open(write(bad))
    assert os.listdir("/proc/self/fd") == before


# -- fuzzing -------------------------------------------------------------------------------

INTERESTING = (0, 1, 0x7F, 0x80, 0xFF)


def mutated(rng: random.Random, seeds: list[bytes]) -> bytes:
    """A program with some damage: bytes, words, its end; most of it where the headers are."""
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        reach = len(data) if rng.random() < 0.2 else min(len(data), 64 + 32 * 4)
        at = rng.randrange(reach) if reach else 0
        match rng.randrange(5):
            case 0:
                data[at : at + 1] = bytes((rng.choice(INTERESTING),))
            case 1:
                data[at : at + 1] = bytes((rng.randrange(256),))
            case 2:
                data[at & ~3 : (at & ~3) + 4] = rng.randbytes(4)
            case 3:
                size = rng.choice((0, 1, 4096, 0x7FFFFFFF, 0xFFFFFFFF, len(data)))
                data[at & ~3 : (at & ~3) + 4] = size.to_bytes(4, rng.choice(("big", "little")))
            case 4:
                del data[rng.randrange(len(data) + 1) :]
    return bytes(data)


def fuzz(directory: Path, count: int, seed: int) -> dict[str, int]:
    """Load `count` mutated programs; counts the outcomes, anything but BadImage escapes."""
    rng = random.Random(seed)
    linker = directory / "ld.so.1"
    linker.write_bytes(bytes(LINKER))
    linker.chmod(0o755)
    name = os.fsencode(linker)
    plain = [bytes(elf) for elf in (STATIC, dynamic(name), dynamic(name, False), LINKER, ARM)]
    other = bytes(Elf(STATIC.parts, machine=21, bits=64))
    memory = GuestMemory()
    made = loader()
    path = directory / "mutant"
    path.touch(0o755)
    outcomes = {"loaded": 0, "refused": 0}
    for _ in range(count):
        is_linker = rng.random() < 0.2
        victim = linker if is_linker else path
        victim.write_bytes(mutated(rng, plain[3:4] if is_linker else [*plain, other]))
        if is_linker:
            path.write_bytes(plain[1])
        try:
            made.start(made.open(os.fsencode(path)), memory, [b"x"], [], b"x")
            outcomes["loaded"] += 1
        except BadImage as fault:
            outcomes["refused" if "\n" not in fault.message else "rambling"] += 1
        if is_linker:
            linker.write_bytes(bytes(LINKER))
        memory.reset()
    memory.close()
    return outcomes


@pytest.mark.parametrize("count", [1500, pytest.param(10_000, marks=pytest.mark.slow)])
def test_mutated_programs_load_or_are_refused_in_one_line(tmp_path: Path, count: int) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    began = time.process_time()
    outcomes = fuzz(tmp_path, count, seed)
    assert min(outcomes.values()) > count // 20, outcomes
    assert time.process_time() - began < 60
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 1 << 20, "in KiB"
