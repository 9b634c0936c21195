"""System calls with arguments that make no sense: they fail or work, never by a Python error."""

from __future__ import annotations

import os
import random
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

import pytest

from user_mode.errors import Errno
from user_mode.syscalls.types import ARGUMENTS

HARMFUL = {
    "chroot", "chdir", "fchdir", "pivot_root", "mount", "umount", "umount2", "sethostname",
    "setdomainname", "swapoff", "settimeofday", "stime", "clock_settime", "clock_settime64",
    "adjtimex", "clock_adjtime", "clock_adjtime64", "vhangup", "syslog", "unlink", "unlinkat",
    "rename", "renameat", "renameat2", "rmdir", "truncate", "truncate64", "chmod", "fchmod",
    "fchmodat", "fchmodat2", "chown", "lchown", "fchown", "fchownat", "mknod", "mknodat",
    "setxattr", "lsetxattr", "removexattr", "lremovexattr", "ioctl", "sync", "mlockall",
    "sched_setaffinity", "sched_setscheduler", "sched_setparam", "sched_setattr",
    "setpriority", "nice", "ioprio_set", "prlimit64", "setrlimit", "setuid", "setgid",
    "setreuid", "setregid", "setresuid", "setresgid", "setfsuid", "setfsgid", "setgroups",
    "capset", "setsid", "setpgid", "shmctl", "semctl", "msgctl", "ipc", "socketcall", "alarm",
    "setitimer", "timer_create", "mq_unlink", "prctl", "creat", "open", "openat", "openat2",
    "ftruncate", "ftruncate64", "fallocate", "write", "writev", "pwrite64", "pwritev",
    "pwritev2", "sendfile", "sendfile64", "copy_file_range", "splice", "tee", "vmsplice",
    "connect", "bind",
}  # fmt: skip
"""Calls that could harm the machine, the tests or this process."""
ROUNDS = 20


def raw_value(numbers: random.Random, guest: Any, kind: str) -> int:
    """A register's content, of the kinds that find mistakes."""
    pick = numbers.randrange(8)
    if pick < 2:
        return numbers.choice(
            (0, 1, 2, 3, 8, 64, 4096, -1, -100, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
        )
    if pick == 2:
        return numbers.getrandbits(64 if kind in ("s64", "u64") else 32)
    if pick == 3:
        return int(guest.scratch) + (1 << 20) - numbers.randrange(64)
    if pick == 4:
        return numbers.randrange(16)
    return int(guest.scratch) + numbers.randrange(1 << 12) * 8


def survive(guest: Any, seed: int) -> None:
    numbers = random.Random(seed)
    calls = sorted(set(guest.table.calls) & set(guest._numbers) - HARMFUL)
    for _ in range(ROUNDS):
        for name in calls:
            guest.memory.write(guest.scratch, numbers.randbytes(1 << 15))
            kinds = [ARGUMENTS[type_].kind for _, type_ in guest.table.calls[name].parameters]
            arguments = [raw_value(numbers, guest, kind) for kind in kinds]
            try:
                guest.call(name, *arguments)
            except Errno:
                pass
            except Exception as error:
                error.add_note(f"{name}{tuple(map(hex, arguments))}, seed {seed}")
                raise
            if not guest.memory.is_mapped(guest.scratch, 1 << 20):
                guest.memory.mmap(guest.scratch, 1 << 20, 3, 0x32)
            guest.memory.mprotect(guest.scratch, 1 << 20, 3)


@pytest.mark.parametrize("seed", [1, 2])
def test_nonsense(guest: Any, seed: int, tmp_path: Path) -> None:
    """Runs in a child, which may close what it wants; calls that wait are interrupted."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            errors = os.fdopen(os.dup(2), "w")
            guest.process.fds.private.add(errors.fileno())
            os.chdir(tmp_path)
            signal.signal(signal.SIGALRM, lambda *_: None)
            signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
            survive(guest, seed)
            status = 0
        except BaseException:
            traceback.print_exc(file=errors)
            errors.flush()
        finally:
            sys.stdout.flush()
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
