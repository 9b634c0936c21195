"""The calls that only i386 has, with arguments that make no sense: they fail, or work."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tests.user_mode.syscalls.test_fuzz import raw_value
from user_mode.errors import Errno
from user_mode.syscalls.types import ARGUMENTS

CALLS = (
    "getresuid16", "getresgid16", "getgroups16", "getuid16", "old_mmap", "old_getrlimit",
    "olduname", "oldolduname", "set_thread_area", "get_thread_area", "modify_ldt", "arch_prctl",
    "stat64", "fstat64", "statfs64", "_llseek", "pread64", "x86_fadvise64_64", "sync_file_range",
    "readahead", "sigaltstack",
)  # fmt: skip
ROUNDS = 100


@pytest.mark.parametrize("seed", [1, 2])
def test_nonsense(guest: Any, seed: int) -> None:
    numbers = random.Random(seed)
    for _ in range(ROUNDS):
        for name in CALLS:
            guest.memory.write(guest.scratch, numbers.randbytes(1 << 15))
            call = guest.table.calls[name]
            kinds = [ARGUMENTS[type_].kind for _, type_ in call.parameters]
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
