"""Memory, identity, the system, terminals, IPC, and how strace shows it all."""

from __future__ import annotations

import errno
import os
import pty
import resource
import struct
import termios
from pathlib import Path
from typing import Any

import pytest

from user_mode.errors import Errno
from user_mode.strace import Strace, flag_names, quoted
from user_mode.syscalls.table import SyscallTable

PAGE = 4096


def raises(code: int) -> Any:
    return pytest.raises(Errno, match=errno.errorcode[code])


# -- memory ----------------------------------------------------------------------------------------


def test_mapping(guest: Any) -> None:
    fd = os.memfd_create("file")
    os.pwrite(fd, b"second page", PAGE)
    address = guest.mmap2(0, PAGE, 3, 1, fd, 1) & 0xFFFFFFFF
    assert guest.memory.read(address, 11) == b"second page"
    guest.mprotect(address, PAGE, 1)
    with raises(errno.EFAULT):
        guest.read(fd, address, 1)
    assert guest.msync(address, PAGE, 4) == 0
    guest.munmap(address, PAGE)
    with raises(errno.EFAULT):
        guest.write(fd, address, 1)
    with raises(errno.EINVAL):
        guest.mmap(0, PAGE, 3, 0x22, -1, 5)


def test_ppc_map_flags(guest: Any) -> None:
    """MAP_NORESERVE is 0x40 and MAP_LOCKED 0x80 on PowerPC."""
    address = guest.mmap2(0, PAGE, 3, 0x22 | 0x40, -1, 0) & 0xFFFFFFFF
    assert guest.abi.map_flags.to_host(0x22 | 0x40 | 0x80) == 0x22 | 0x4000 | 0x2000
    assert guest.mlock(address, PAGE) == guest.munlock(address, PAGE) == 0
    with raises(errno.ENOMEM):
        guest.mlock(0x1000, PAGE)


def test_moving_and_advice(guest: Any) -> None:
    address = guest.mmap2(0, PAGE, 3, 0x22, -1, 0) & 0xFFFFFFFF
    guest.memory.write(address, b"content")
    moved = guest.mremap(address, PAGE, 64 * PAGE, 1, 0) & 0xFFFFFFFF
    assert guest.memory.read(moved, 7) == b"content"
    vector = guest.room(64)
    guest.mincore(moved, 2 * PAGE, vector)
    assert guest.memory.u8(vector) & 1 == 1
    guest.madvise(moved, PAGE, 4)
    assert guest.memory.read(moved, 7) == bytes(7)


# -- identity --------------------------------------------------------------------------------------


def test_ids(guest: Any) -> None:
    assert guest.getpid() == os.getpid()
    assert guest.getppid() == os.getppid()
    assert guest.getpgid(0) == os.getpgrp()
    assert (guest.getuid(), guest.getegid()) == (os.getuid(), os.getegid())
    ids = [guest.room(4) for _ in range(3)]
    guest.getresuid(*ids)
    assert tuple(guest.memory.u32(one) for one in ids) == os.getresuid()
    count = guest.getgroups(0, 0)
    groups = guest.room(4 * count + 4)
    guest.getgroups(count, groups)
    assert [guest.memory.u32(groups + 4 * i) for i in range(count)] == os.getgroups()


def test_capabilities(guest: Any) -> None:
    header = guest.make("cap_header", version=0x20080522)
    data = guest.room(24)
    assert guest.capget(header, data) == 0
    status = dict(
        line.split(":\t")
        for line in Path("/proc/self/status").read_text().splitlines()
        if ":\t" in line
    )
    effective = struct.unpack(">I", guest.memory.read(data, 4))[0]
    assert effective == int(status["CapEff"], 16) & 0xFFFFFFFF
    header = guest.make("cap_header", version=1)
    with raises(errno.EINVAL):
        guest.capget(header, data)
    assert guest.struct("cap_header", header)["version"] == 0x20080522


# -- the system ------------------------------------------------------------------------------------


def test_uname(guest: Any) -> None:
    result = guest.room(390)
    guest.uname(result)
    found = {name: value.rstrip(b"\0") for name, value in guest.struct("utsname", result).items()}
    assert found["machine"] == b"ppc"
    assert found["release"] == os.uname().release.encode()


def test_sysinfo(guest: Any) -> None:
    result = guest.room(64)
    guest.sysinfo(result)
    found = guest.struct("sysinfo", result)
    pages = os.sysconf("SC_PHYS_PAGES") * PAGE
    assert found["totalram"] * found["mem_unit"] == pytest.approx(pages, rel=0.01)


def test_limits(guest: Any) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    result = guest.room(16)
    guest.ugetrlimit(resource.RLIMIT_NOFILE, result)
    assert guest.struct("rlimit", result)["rlim_cur"] == min(soft, 0xFFFFFFFF)
    guest.prlimit64(0, resource.RLIMIT_NOFILE, 0, result)
    assert guest.struct("rlimit64", result) == {"rlim_cur": soft, "rlim_max": hard}
    guest.getrlimit(resource.RLIMIT_CORE, result)
    guest.setrlimit(resource.RLIMIT_CORE, result)


def test_a_limit_of_memory_is_the_guests_alone(guest: Any) -> None:
    before = resource.getrlimit(resource.RLIMIT_AS)
    guest.setrlimit(resource.RLIMIT_AS, guest.make("rlimit", rlim_cur=1 << 26, rlim_max=0xFFFFFFFF))
    assert resource.getrlimit(resource.RLIMIT_AS) == before
    with raises(errno.ENOMEM):
        guest.mmap2(0, 1 << 27, 3, 0x22, -1, 0)
    result = guest.room(8)
    guest.getrlimit(resource.RLIMIT_AS, result)
    assert guest.struct("rlimit", result)["rlim_cur"] == 1 << 26


def test_random_and_scheduler(guest: Any) -> None:
    buffer = guest.room(32)
    assert guest.getrandom(buffer, 32, 0) == 32
    assert guest.memory.read(buffer, 32) != b"\xee" * 32
    mask = guest.room(128)
    length = guest.sched_getaffinity(0, 128, mask)
    words = struct.unpack(f">{length // 4}I", guest.memory.read(mask, length))
    cpus = {32 * i + bit for i, word in enumerate(words) for bit in range(32) if word >> bit & 1}
    assert cpus == os.sched_getaffinity(0)
    assert guest.sched_getscheduler(0) == 0
    assert guest.sched_get_priority_max(1) == 99


def test_prctl(guest: Any) -> None:
    before = Path("/proc/thread-self/comm").read_text().strip()
    buffer = guest.room(16)
    try:
        guest.prctl(15, guest.put(b"a long name for a thread\0"), 0, 0, 0)
        guest.prctl(16, buffer, 0, 0, 0)
        assert guest.memory.cstring(buffer) == b"a long name for"
    finally:
        guest.prctl(15, guest.put(before.encode() + b"\0"), 0, 0, 0)
    assert guest.prctl(39, 0, 0, 0, 0) in (0, 1)
    for option in (9999, 11):
        with raises(errno.EINVAL):
            guest.prctl(option, buffer, 0, 0, 0)


def test_personality(guest: Any) -> None:
    assert guest.personality(-1) == guest.personality(0) == 0


# -- terminals -------------------------------------------------------------------------------------

TCGETS, TCSETS, TIOCGWINSZ, TIOCSWINSZ = 0x402C7413, 0x802C7414, 0x40087468, 0x80087467
TIOCGPTN, FIONREAD = 0x40045430, 0x4004667F


def test_a_terminals_modes(guest: Any) -> None:
    master, slave = pty.openpty()
    address = guest.room(44)
    guest.ioctl(slave, TCGETS, address)
    found = guest.struct("termios", address)
    flags = guest.abi.constants.termios_flags
    assert found["c_lflag"] & flags["c_lflag"]["ICANON"]
    assert found["c_lflag"] & flags["c_lflag"]["ECHO"]
    assert found["c_cflag"] & flags["c_cflag"]["CSIZE"] == flags["c_cflag"]["CS8"]
    assert found["c_cflag"] & flags["c_cflag"]["CBAUD"] == flags["c_cflag"]["B38400"]
    assert found["c_ospeed"] == 38400
    characters = guest.abi.constants.control_characters
    assert found["c_cc"][characters["VINTR"]] == 3
    assert found["c_cc"][characters["VMIN"]] == 1
    found["c_lflag"] &= ~(flags["c_lflag"]["ICANON"] | flags["c_lflag"]["ECHO"])
    found["c_oflag"] &= ~flags["c_oflag"]["OPOST"]
    found["c_cc"] = found["c_cc"].replace(b"\3", b"\5")
    guest.ioctl(slave, TCSETS, guest.make("termios", **found))
    host = termios.tcgetattr(slave)
    assert not host[3] & (termios.ICANON | termios.ECHO)
    assert host[3] & termios.ISIG
    assert not host[1] & termios.OPOST
    assert host[6][termios.VINTR] == b"\5"
    assert guest.ioctl(master, TIOCGPTN, address) == 0


def test_a_terminals_size(guest: Any) -> None:
    _, slave = pty.openpty()
    guest.ioctl(slave, TIOCSWINSZ, guest.make("winsize", ws_row=25, ws_col=80))
    assert os.get_terminal_size(slave) == (80, 25)
    result = guest.room(8)
    guest.ioctl(slave, TIOCGWINSZ, result)
    assert guest.struct("winsize", result)["ws_col"] == 80


def test_other_requests(guest: Any) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"12345")
    count = guest.room(4)
    guest.ioctl(reading, FIONREAD, count)
    assert guest.memory.u32(count) == 5
    guest.ioctl(reading, 0x8004667E, guest.put(struct.pack(">I", 1)))
    assert not os.get_blocking(reading)
    for request in (TCGETS, 0x12345678):
        with raises(errno.ENOTTY):
            guest.ioctl(reading, request, guest.room(64))


# -- IPC -------------------------------------------------------------------------------------------

IPC_CREAT, IPC_RMID, IPC_STAT, IPC_64 = 0o1000, 0, 2, 0x100


def test_shared_memory(guest: Any) -> None:
    segment = guest.shmget(0, 5000, IPC_CREAT | 0o600)
    try:
        first = guest.shmat(segment, 0, 0) & 0xFFFFFFFF
        second = guest.shmat(segment, 0, 0o10000) & 0xFFFFFFFF
        guest.memory.write(first + 4990, b"shared")
        assert guest.memory.read(second + 4990, 6) == b"shared"
        state = guest.room(104)
        guest.shmctl(segment, IPC_STAT | IPC_64, state)
        found = guest.struct("shmid64_ds", state)
        assert (found["shm_segsz"], found["shm_nattch"]) == (5000, 2)
        assert found["shm_perm.mode"] == 0o600
        guest.shmdt(first)
        guest.shmdt(second)
        guest.shmctl(segment, IPC_STAT | IPC_64, state)
        assert guest.struct("shmid64_ds", state)["shm_nattch"] == 0
        with raises(errno.EINVAL):
            guest.shmdt(first)
    finally:
        guest.shmctl(segment, IPC_RMID, 0)


def test_semaphores(guest: Any) -> None:
    semaphores = guest.ipc(2, 0, 3, IPC_CREAT | 0o600, 0, 0)
    try:
        guest.semctl(semaphores, 0, 17 | IPC_64, guest.put(struct.pack(">HHH", 1, 2, 3)))
        operations = guest.put(struct.pack(">HhhHhh", 0, 4, 0, 1, -2, 0))
        assert guest.ipc(1, semaphores, 2, 0, operations, 0) == 0
        values = guest.room(6)
        guest.semctl(semaphores, 0, 13, values)
        assert struct.unpack(">HHH", guest.memory.read(values, 6)) == (5, 0, 3)
        assert guest.semctl(semaphores, 0, 12, 0) == 5
        operations = guest.put(struct.pack(">Hhh", 1, -1, 0o4000))
        with raises(errno.EAGAIN):
            guest.semtimedop_time64(semaphores, operations, 1, 0)
    finally:
        guest.semctl(semaphores, 0, IPC_RMID, 0)


def test_message_queues(guest: Any) -> None:
    queue = guest.msgget(0, IPC_CREAT | 0o600)
    try:
        guest.msgsnd(queue, guest.put(struct.pack(">i5s", 7, b"hello")), 5, 0)
        buffer = guest.room(16)
        assert guest.msgrcv(queue, buffer, 12, 0, 0) == 5
        assert struct.unpack(">i5s", guest.memory.read(buffer, 9)) == (7, b"hello")
        state = guest.room(104)
        guest.msgctl(queue, IPC_STAT | IPC_64, state)
        assert guest.struct("msqid64_ds", state)["msg_lspid"] == os.getpid()
    finally:
        guest.msgctl(queue, IPC_RMID, 0)


# -- strace ----------------------------------------------------------------------------------------


class Sink:
    def __init__(self) -> None:
        self.text = ""

    def write(self, item: str, text: str) -> None:
        assert item == "strace"
        self.text += text


@pytest.fixture
def lines(guest: Any) -> Any:
    """Trace the guest; gives what was written so far, without process ids and addresses."""
    from .conftest import GROUPS

    sink = Sink()
    guest.table = SyscallTable(guest.abi, GROUPS, Strace(guest.abi, sink))  # type: ignore[arg-type]
    return lambda: sink.text.replace(f"{os.getpid()} ", "")


def test_lines(guest: Any, lines: Any) -> None:
    with raises(errno.ENOENT):
        guest.openat(-100, b"/no\nwhere", 0o2000000 | 0o40000 | 2, 0)
    guest.lseek(os.memfd_create("x"), 0, 2)
    address = guest.mmap2(0, PAGE, 3, 0x22 | 0x40, -1, 0) & 0xFFFFFFFF
    guest.access(b"/", 5)
    with raises(errno.ENOSYS):
        guest.call("lookup_dcookie")
    text = lines().splitlines()
    assert text[0] == (
        'openat(AT_FDCWD, "/no\\nwhere", O_RDWR|O_DIRECTORY|O_CLOEXEC, 00)'
        " = -1 ENOENT (No such file or directory)"
    )
    assert text[1].endswith(", 0, SEEK_END) = 0")
    assert text[2] == (
        "mmap2(NULL, 4096, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_NORESERVE, -1, 0)"
        f" = {address:#x}"
    )
    assert text[3] == 'access("/", R_OK|X_OK) = 0'
    assert text[4].startswith("lookup_dcookie(")
    assert text[4].endswith(" = -1 ENOSYS (Function not implemented)")


def test_written_data_is_shown(guest: Any, lines: Any) -> None:
    fd = os.memfd_create("x")
    guest.write(fd, guest.put(b'"\x00\xff' + b"y" * 100), 103)
    assert lines() == f'write({fd}, "\\"\\0\\377{"y" * 61}"..., 103) = 103\n'


def test_another_threads_call_breaks_a_line_off(guest: Any) -> None:
    sink = Sink()
    strace = Strace(guest.abi, sink)  # type: ignore[arg-type]
    first = guest.thread
    second = type(first)(**{**vars(first), "tid": 2})
    first.tid = 1
    strace.enter(first, "read", [("fd", "Fd")], [0])
    strace.enter(second, "getpid", [], [])
    strace.leave(second, "getpid", 5)
    strace.leave(first, "read", 0)
    strace.enter(first, "exit_group", [("status", "Int")], [3])
    assert sink.text == (
        "1 read(0) <unfinished ...>\n2 getpid() = 5\n1 <... read resumed> = 0\n"
        "1 exit_group(3) = ?\n"
    )


def test_words() -> None:
    assert flag_names(0x17, {"A": 1, "B": 6}) == "A|B|0x10"
    assert flag_names(0, {"A": 1}, "NONE") == "NONE"
    assert quoted(b"a\\b\n") == '"a\\\\b\\n"'
