"""Guest memory: reading and writing safely, mmap(2) and its kin, watched code."""

from __future__ import annotations

import errno
import mmap as host_mmap
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tcg.faults import GuestFault
from user_mode.areas import MAP_ANONYMOUS, MAP_FIXED, MAP_GROWSDOWN, MAP_PRIVATE, MAP_SHARED
from user_mode.errors import Errno
from user_mode.host_memory import MREMAP_DONTUNMAP, MREMAP_FIXED, MREMAP_MAYMOVE
from user_mode.memory import (
    MAP_FIXED_NOREPLACE,
    MIN_ADDRESS,
    PROT_GROWSDOWN,
    SEGV_ACCERR,
    SEGV_MAPERR,
    GuestMemory,
)
from user_mode.pages import CODE, DIRTY

PAGE = 4096
R, W, X = 1, 2, 4
ANON = MAP_PRIVATE | MAP_ANONYMOUS
AT = 0x20000000


@pytest.fixture
def memory() -> Iterator[GuestMemory]:
    made = GuestMemory()
    yield made
    made.close()


def fails(code: int) -> pytest.RaisesExc[Errno]:
    return pytest.raises(Errno, check=lambda raised: raised.code == code)


def layout(memory: GuestMemory) -> list[tuple[int, int, int]]:
    """Areas as first page, end page (from AT on), protection."""
    return [((a.start - AT) // PAGE, (a.end - AT) // PAGE, a.prot) for a in memory.areas]


def map_pages(memory: GuestMemory, pages: int, prot: int = R | W, at: int = AT) -> int:
    return memory.mmap(at, pages * PAGE, prot, ANON | MAP_FIXED)


def set_flag(memory: GuestMemory, address: int, flag: int) -> None:
    """What the native fault handler does to the page flags."""
    memory._flags[address >> 12] |= flag
    memory.host.protect(memory.base + (address & -PAGE), PAGE, R | W)


# -- reading and writing -------------------------------------------------------------------


def test_numbers_have_the_byte_order_of_the_guest(memory: GuestMemory) -> None:
    map_pages(memory, 2)
    memory.put_u32(AT, 0x11223344)
    memory.put_u64(AT + PAGE - 4, 0x0102030405060708)
    memory.put_u16(AT + 8, -2)
    assert memory.read(AT, 4) == b"\x11\x22\x33\x44"
    assert memory.u64(AT + PAGE - 4) == 0x0102030405060708
    assert memory.u8(AT + PAGE) == 5
    assert memory.u16(AT + 8) == 0xFFFE


@pytest.mark.parametrize("prot", [0, R, R | X])
def test_what_is_not_writable_is_not_written(memory: GuestMemory, prot: int) -> None:
    map_pages(memory, 1, prot)
    with fails(errno.EFAULT):
        memory.write(AT, b"x")
    with fails(errno.EFAULT):
        memory.put_u32(AT, 1)


@pytest.mark.parametrize(
    ("address", "length"),
    [
        (0, 1), (AT - 1, 2), (AT + PAGE - 1, 2), (0xFFFFFFFC, 8), (0xFFFFFFFF, 1), (-4, 4),
        (1 << 40, 4), (AT, 1 << 33),
    ],
)  # fmt: skip
def test_bad_addresses_are_efault(memory: GuestMemory, address: int, length: int) -> None:
    map_pages(memory, 1)
    with fails(errno.EFAULT):
        memory.read(address, length)
    with fails(errno.EFAULT):
        memory.host_range(address, length, write=True) if length > 8 else memory.write(
            address, bytes(length)
        )
    for access in (memory.u32, memory.u64):
        with fails(errno.EFAULT):
            access(address if length < 3 else -8)


def test_exec_only_memory_is_readable(memory: GuestMemory) -> None:
    map_pages(memory, 1, X)
    assert memory.read(AT, 4) == bytes(4)


def test_cstring_ends_at_nul_limit_or_fault(memory: GuestMemory) -> None:
    map_pages(memory, 2)
    memory.write(AT + PAGE - 3, b"hello\0")
    assert memory.cstring(AT + PAGE - 3) == b"hello"
    memory.write(AT, b"x" * 2 * PAGE)
    with fails(errno.ENAMETOOLONG):
        memory.cstring(AT, 4096)
    with fails(errno.EFAULT):
        memory.cstring(AT + PAGE)


def test_a_file_cut_short_while_mapped_is_efault(memory: GuestMemory, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"a" * 2 * PAGE)
    with path.open("r+b") as file:
        at = memory.mmap(0, 2 * PAGE, R | W, MAP_SHARED, file.fileno())
        file.truncate(PAGE)
        assert memory.read(at, 4) == b"aaaa"
        for access in (lambda: memory.read(at + PAGE, 4), lambda: memory.write(at + PAGE, b"x")):
            with fails(errno.EFAULT):
                access()


def test_a_read_across_areas(memory: GuestMemory) -> None:
    map_pages(memory, 1)
    map_pages(memory, 1, R, AT + PAGE)
    memory.write(AT + PAGE - 2, b"ab")
    assert memory.read(AT + PAGE - 2, 4) == b"ab\0\0"


def test_threads_that_unmap_and_read_never_crash(memory: GuestMemory) -> None:
    done = threading.Event()

    def churn() -> None:
        while not done.is_set():
            map_pages(memory, 4)
            memory.munmap(AT, 4 * PAGE)

    thread = threading.Thread(target=churn)
    thread.start()
    seen = set()
    for _ in range(3000):
        try:
            seen.add(memory.read(AT + PAGE, 8))
            memory.write(AT + 2 * PAGE, bytes(16))
        except Errno as error:
            seen.add(error.code.to_bytes(1, "big"))
    done.set()
    thread.join()
    assert seen <= {bytes(8), bytes((errno.EFAULT,))}


# -- mmap and munmap -----------------------------------------------------------------------


def test_mappings_are_placed_top_down_and_merge(memory: GuestMemory) -> None:
    first = memory.mmap(0, PAGE, R | W, ANON)
    second = memory.mmap(0, 3 * PAGE, R | W, ANON)
    assert first == memory.mmap_base - PAGE
    assert second == first - 3 * PAGE
    assert len(memory.areas) == 1
    memory.munmap(second + PAGE, PAGE)
    assert memory.mmap(0, PAGE, R, ANON) == second + PAGE
    assert memory.mmap(0, 2 * PAGE, R, ANON) == second - 2 * PAGE


def test_a_hint_is_taken_if_free_and_rounded(memory: GuestMemory) -> None:
    assert memory.mmap(AT + 5, PAGE, R, ANON) == AT
    assert memory.mmap(AT, PAGE, R, ANON) == memory.mmap_base - PAGE
    assert memory.mmap(1, PAGE, R, ANON) == MIN_ADDRESS


def test_when_the_top_is_full_the_search_goes_up_from_below(memory: GuestMemory) -> None:
    map_pages(memory, (memory.mmap_base - MIN_ADDRESS) // PAGE, 0, MIN_ADDRESS)
    assert memory.mmap(0, PAGE, R, ANON) == memory.mmap_base
    with fails(errno.ENOMEM):
        memory.mmap(0, 256 << 20, R, ANON)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ((AT, 0, R, ANON), errno.EINVAL),
        ((AT, PAGE, R, MAP_ANONYMOUS), errno.EINVAL),
        ((AT, PAGE, 0x40, ANON), errno.EINVAL),
        ((AT + 1, PAGE, R, ANON | MAP_FIXED), errno.EINVAL),
        ((AT, PAGE, R, MAP_PRIVATE, -1), errno.EBADF),
        ((AT, PAGE, R, MAP_PRIVATE, 999999), errno.EBADF),
        ((AT, PAGE, R, MAP_PRIVATE, 0, 12), errno.EINVAL),
        ((0xBFFFF000, 2 * PAGE, R, ANON | MAP_FIXED), errno.ENOMEM),
        ((0, 0xFFFFFFFF, R, ANON), errno.ENOMEM),
        ((AT, PAGE, R, ANON | MAP_FIXED_NOREPLACE), errno.EEXIST),
        ((AT, PAGE, R, ANON | 0x40000), errno.ENOMEM),
    ],
)
def test_mmap_refuses_as_linux_does(
    memory: GuestMemory, arguments: tuple[Any, ...], code: int
) -> None:
    map_pages(memory, 1)
    with fails(code):
        memory.mmap(*arguments)


def test_a_file_is_mapped_with_its_name(memory: GuestMemory, tmp_path: Path) -> None:
    path = tmp_path / "a b\nc"
    path.write_bytes(b"0" * PAGE + b"tail")
    with path.open("rb") as file:
        at = memory.mmap(0, 2 * PAGE, R, MAP_PRIVATE, file.fileno())
        second = memory.mmap(AT, PAGE, R | X, MAP_PRIVATE | MAP_FIXED, file.fileno(), PAGE)
        with fails(errno.EACCES):
            memory.mmap(0, PAGE, R | W, MAP_SHARED, file.fileno())
        with fails(errno.ENODEV):
            directory = os.open(tmp_path, os.O_RDONLY)
            memory.mmap(0, PAGE, R, MAP_PRIVATE, directory)
    os.close(directory)
    assert memory.read(at + PAGE, 5) == b"tail\0"
    assert memory.read(second, 4) == b"tail"
    status = path.stat()
    device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}"
    name = str(path).replace("\n", "\\012")
    expected = f"20000000-20001000 r-xp 00001000 {device} {status.st_ino} "
    assert memory.maps().decode().splitlines()[0] == expected.ljust(49) + name


def test_maps_lines_are_those_of_a_32_bit_linux(memory: GuestMemory) -> None:
    memory.set_start_brk(AT)
    memory.brk(AT + 10)
    memory.mmap(0x30000000, PAGE, 0, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED)
    memory.mmap(0x40000000, PAGE, R | X, ANON | MAP_FIXED)
    assert memory.maps().decode() == (
        "20000000-20001000 rw-p 00000000 00:00 0          [heap]\n"
        "30000000-30001000 ---s 00000000 00:01 1          /dev/zero (deleted)\n"
        "40000000-40001000 r-xp 00000000 00:00 0 \n"
    )


def test_shared_memory_is_shared_with_a_child(memory: GuestMemory) -> None:
    at = memory.mmap(0, PAGE, R | W, MAP_SHARED | MAP_ANONYMOUS)
    with memory.lock:
        pid = os.fork()
    if not pid:
        memory.put_u32(at, 42)
        os._exit(0)
    os.waitpid(pid, 0)
    assert memory.u32(at) == 42


def test_the_address_limit_counts_what_is_mapped(memory: GuestMemory) -> None:
    memory.address_limit = 10 * PAGE
    map_pages(memory, 9)
    with fails(errno.ENOMEM):
        memory.mmap(0, 2 * PAGE, R, ANON)
    memory.mmap(0, PAGE, R, ANON)


def test_reset_leaves_nothing(memory: GuestMemory) -> None:
    map_pages(memory, 3, R | W | X)
    memory.protect_code(AT)
    memory.reset()
    assert memory.maps() == b""
    assert not memory.executable(AT)
    assert memory.take_dirty() == []
    with fails(errno.EFAULT):
        memory.read(AT, 1)
    map_pages(memory, 1)
    assert memory.u32(AT) == 0


# -- mprotect, brk, stacks -----------------------------------------------------------------


def test_mprotect_splits_and_merges(memory: GuestMemory) -> None:
    map_pages(memory, 4)
    memory.mprotect(AT + PAGE, PAGE, R)
    assert layout(memory) == [(0, 1, 3), (1, 2, 1), (2, 4, 3)]
    memory.mprotect(AT + PAGE, 1, R | W)
    assert layout(memory) == [(0, 4, 3)]


def test_mprotect_changes_up_to_a_hole(memory: GuestMemory) -> None:
    map_pages(memory, 4)
    memory.munmap(AT + 2 * PAGE, PAGE)
    with fails(errno.ENOMEM):
        memory.mprotect(AT, 4 * PAGE, R)
    assert layout(memory) == [(0, 2, 1), (3, 4, 3)]
    memory.mprotect(AT, 0, R | W)
    for address, prot in ((AT + 1, R), (AT, 0x80), (AT, R | PROT_GROWSDOWN)):
        with fails(errno.EINVAL):
            memory.mprotect(address, PAGE, prot)


def test_a_program_without_a_stack_header_reads_as_it_executes(memory: GuestMemory) -> None:
    memory.read_implies_exec = True
    map_pages(memory, 1, R | W)
    assert memory.executable(AT)
    memory.mprotect(AT, PAGE, 0)
    assert not memory.executable(AT)


def test_brk_grows_shrinks_and_refuses(memory: GuestMemory) -> None:
    memory.set_start_brk(AT + 5)
    start = memory.brk(0)
    assert start == AT + PAGE
    assert memory.brk(start + 100) == start + 100
    memory.write(start, b"heap")
    assert memory.brk(start + 3 * PAGE) == start + 3 * PAGE
    memory.mmap(start + 5 * PAGE, PAGE, R, ANON | MAP_FIXED)
    assert memory.brk(start + 5 * PAGE) == start + 3 * PAGE
    assert memory.brk(start + 4 * PAGE) == start + 4 * PAGE
    assert memory.brk(start - 1) == start + 4 * PAGE
    assert memory.brk(start) == start
    assert memory.brk(start + 8) == start + 8
    assert memory.read(start, 4) == bytes(4)


def test_a_growing_stack_grows_when_touched_but_not_into_its_neighbour(memory: GuestMemory) -> None:
    map_pages(memory, 1, R, AT)
    stack = AT + 1000 * PAGE
    memory.mmap(stack, PAGE, R | W, ANON | MAP_FIXED | MAP_GROWSDOWN)
    assert memory.settle_fault(stack - 3 * PAGE + 8, write=True)
    memory.put_u32(stack - 3 * PAGE, 1)
    assert not memory.settle_fault(AT + 100 * PAGE, write=True)
    memory.mprotect(stack, PAGE, R | W | X | PROT_GROWSDOWN)
    assert memory.executable(stack - 3 * PAGE)


# -- mremap --------------------------------------------------------------------------------


def test_mremap_grows_in_place_or_moves(memory: GuestMemory) -> None:
    map_pages(memory, 2)
    memory.write(AT, b"begin")
    memory.write(AT + 2 * PAGE - 3, b"end")
    assert memory.mremap(AT, 2 * PAGE, 4 * PAGE) == AT
    map_pages(memory, 1, R, AT + 4 * PAGE)
    with fails(errno.ENOMEM):
        memory.mremap(AT, 4 * PAGE, 5 * PAGE)
    new = memory.mremap(AT, 4 * PAGE, 5 * PAGE, MREMAP_MAYMOVE)
    assert new == memory.mmap_base - 5 * PAGE
    assert memory.read(new, 5) == b"begin"
    assert memory.read(new + 2 * PAGE - 3, 4) == b"end\0"
    memory.put_u32(new + 5 * PAGE - 4, 7)
    with fails(errno.EFAULT):
        memory.read(AT, 1)
    assert memory.mremap(new, 5 * PAGE, PAGE) == new
    assert not memory.is_mapped(new, PAGE + 1)


def test_mremap_to_a_place_replaces_what_is_there(memory: GuestMemory) -> None:
    map_pages(memory, 2)
    memory.write(AT, b"moved")
    map_pages(memory, 8, R, AT + 16 * PAGE)
    target = AT + 17 * PAGE
    flags = MREMAP_MAYMOVE | MREMAP_FIXED
    assert memory.mremap(AT, 2 * PAGE, 3 * PAGE, flags, target) == target
    assert memory.read(target, 5) == b"moved"
    assert layout(memory) == [(16, 17, 1), (17, 20, 3), (20, 24, 1)]


def test_mremap_can_leave_the_old_place_mapped(memory: GuestMemory) -> None:
    map_pages(memory, 1)
    memory.write(AT, b"moved")
    new = memory.mremap(AT, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP)
    assert (memory.read(new, 5), memory.read(AT, 5)) == (b"moved", bytes(5))


def test_mremap_of_length_zero_doubles_shared_memory(memory: GuestMemory) -> None:
    at = memory.mmap(AT, PAGE, R | W, MAP_SHARED | MAP_ANONYMOUS)
    double = memory.mremap(at, 0, PAGE, MREMAP_MAYMOVE)
    memory.put_u32(at, 99)
    assert memory.u32(double) == 99


@pytest.mark.parametrize("flags", [MAP_SHARED, MAP_PRIVATE])
def test_a_file_mapping_grows_over_the_rest_of_its_file(
    memory: GuestMemory, tmp_path: Path, flags: int
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"1" * PAGE + b"2" * PAGE)
    with path.open("r+b") as file:
        memory.mmap(AT, PAGE, R | W, flags | MAP_FIXED, file.fileno())
    memory.write(AT, b"x")
    assert memory.mremap(AT, PAGE, 2 * PAGE) == AT
    assert memory.read(AT, 2) + memory.read(AT + PAGE, 2) == b"x122"
    map_pages(memory, 1, R, AT + 2 * PAGE)
    new = memory.mremap(AT, 2 * PAGE, 3 * PAGE, MREMAP_MAYMOVE)
    assert memory.read(new, 2) + memory.read(new + PAGE, 2) == b"x122"
    with fails(errno.EFAULT):
        memory.read(new + 2 * PAGE, 1)


# -- madvise, msync, mincore ---------------------------------------------------------------


def test_dontneed_zeroes_and_reports_holes(memory: GuestMemory) -> None:
    map_pages(memory, 3)
    memory.write(AT, b"x" * 3 * PAGE)
    memory.munmap(AT + PAGE, PAGE)
    with fails(errno.ENOMEM):
        memory.madvise(AT, 3 * PAGE, host_mmap.MADV_DONTNEED)
    assert memory.u32(AT) == memory.u32(AT + 2 * PAGE) == 0
    with fails(errno.EINVAL):
        memory.madvise(AT, PAGE, 77)
    memory.madvise(AT, PAGE, host_mmap.MADV_DONTFORK)


def test_mincore_and_msync(memory: GuestMemory) -> None:
    map_pages(memory, 3)
    memory.put_u32(AT + PAGE, 1)
    assert [byte & 1 for byte in memory.mincore(AT, 3 * PAGE)] == [0, 1, 0]
    with fails(errno.ENOMEM):
        memory.mincore(AT, 4 * PAGE)
    memory.msync(AT, 3 * PAGE, 4)
    for length, flags, code in ((PAGE, 5, errno.EINVAL), (4 * PAGE, 4, errno.ENOMEM)):
        with fails(code):
            memory.msync(AT, length, flags)


# -- translated code -----------------------------------------------------------------------


@pytest.fixture
def changes(memory: GuestMemory) -> list[tuple[int, int]]:
    """What was reported of a page of code at AT in two writable pages."""
    seen: list[tuple[int, int]] = []
    memory.code_changed = lambda start, end: seen.append((start, end))
    map_pages(memory, 2, R | W | X)
    memory.protect_code(AT + 8)
    return seen


def test_code_pages_are_not_writable_on_the_host(
    memory: GuestMemory, changes: list[tuple[int, int]]
) -> None:
    assert memory.host.copy_in(memory.base + AT, b"x") == 0
    assert memory.host.copy_in(memory.base + AT + PAGE, b"x") == 1
    assert memory.fetch(AT, 4) == bytes(4)
    assert changes == []


@pytest.mark.parametrize(
    "change",
    [
        lambda memory: memory.write(AT + 4, b"x"),
        lambda memory: memory.put_u32(AT + 4, 1),
        lambda memory: memory.write(AT, bytes(2 * PAGE)),
        lambda memory: memory.munmap(AT, PAGE),
        lambda memory: memory.mprotect(AT, PAGE, R | W),
        lambda memory: memory.host_range(AT, 8, write=True),
        lambda memory: memory.madvise(AT, PAGE, host_mmap.MADV_DONTNEED),
        lambda memory: memory.mremap(AT, PAGE, PAGE, 3, AT + 8 * PAGE),
        lambda memory: map_pages(memory, 1, R | X),
    ],
)  # fmt: skip
def test_every_change_of_code_is_reported_once(
    memory: GuestMemory, changes: list[tuple[int, int]], change: object
) -> None:
    assert callable(change)
    change(memory)
    assert changes == [(AT, AT + PAGE)]
    assert memory._flags[AT >> 12] == 0


@pytest.mark.parametrize(
    "use",
    [
        lambda memory: memory.write(AT + PAGE, b"x"),
        lambda memory: memory.host_range(AT, 8, write=False),
        lambda memory: memory.read(AT, 8),
        lambda memory: memory.mprotect(AT, 2 * PAGE, R | X),
        lambda memory: memory.munmap(AT + PAGE, PAGE),
    ],
)
def test_what_leaves_code_alone_is_not_reported(
    memory: GuestMemory, changes: list[tuple[int, int]], use: object
) -> None:
    assert callable(use)
    use(memory)
    assert changes == []


def test_code_is_forgotten_when_its_page_becomes_writable(memory: GuestMemory) -> None:
    changed: list[tuple[int, int]] = []
    memory.code_changed = lambda start, end: changed.append((start, end))
    map_pages(memory, 3, R | X)
    memory.protect_code(AT + PAGE)
    memory.mprotect(AT, 3 * PAGE, R | W | X)
    writable = [memory.host.copy_in(memory.base + AT + i * PAGE, b"x") for i in range(3)]
    assert writable == [1, 1, 1]
    assert changed == [(AT + PAGE, AT + 2 * PAGE)]


def test_pages_the_guest_wrote_are_taken_once(memory: GuestMemory) -> None:
    map_pages(memory, 3, R | W | X)
    for page in range(3):
        memory.protect_code(AT + page * PAGE)
    set_flag(memory, AT + PAGE, DIRTY)
    assert memory.take_dirty() == [AT + PAGE]
    assert memory.take_dirty() == []
    memory.protect_code(AT + PAGE)
    assert memory.host.copy_in(memory.base + AT + PAGE, b"x") == 0


def test_a_written_page_is_not_forgotten_when_translated_again(memory: GuestMemory) -> None:
    map_pages(memory, 1, R | W | X)
    memory.protect_code(AT)
    set_flag(memory, AT, DIRTY)
    memory.protect_code(AT)
    assert memory._flags[AT >> 12] == CODE | DIRTY
    assert memory.take_dirty() == [AT]
    memory.put_u32(AT, 1)


def test_reports_come_without_the_lock(memory: GuestMemory) -> None:
    free: list[bool] = []

    def locked_elsewhere(start: int, end: int) -> None:
        thread = threading.Thread(target=lambda: free.append(memory.lock.acquire(timeout=5)))
        thread.start()
        thread.join()

    memory.code_changed = locked_elsewhere
    map_pages(memory, 1, R | W | X)
    memory.protect_code(AT)
    memory.write(AT, b"x")
    assert free == [True]


def test_fetch_stops_where_execution_must(memory: GuestMemory) -> None:
    map_pages(memory, 2, R | X)
    map_pages(memory, 1, R, AT + 2 * PAGE)
    assert len(memory.fetch(AT + PAGE, 3 * PAGE)) == PAGE
    assert len(memory.fetch(AT, 2 * PAGE)) == 2 * PAGE
    for address in (AT + 2 * PAGE, 0, 0xFFFFFFFC):
        with pytest.raises(GuestFault) as raised:
            memory.fetch(address, 4)
        assert raised.value.address == address


def test_a_race_for_protection_is_settled(memory: GuestMemory) -> None:
    map_pages(memory, 1)
    memory.host.protect(memory.base + AT, PAGE, R)
    assert memory.settle_fault(AT + 4, write=True)
    assert memory.host.copy_in(memory.base + AT, b"x") == 1
    memory.mprotect(AT, PAGE, R)
    assert not memory.settle_fault(AT + 4, write=True)
    assert memory.fault_code(AT) == SEGV_ACCERR
    assert memory.fault_code(AT + PAGE) == SEGV_MAPERR
