"""What is said of an instruction that nobody knows, before the program dies of it.

One line: its bytes, address, file and offset, and a command that repeats it.
"""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

from user_mode.errors import Errno

if TYPE_CHECKING:
    from user_mode.process import Process

LEAD_IN = 0x100
"""How much of the code before it the command shows."""


def describe(process: Process, pc: int, size: int) -> str:
    """The instruction's bytes, address, file and offset, and a command that repeats it."""
    try:
        code = process.memory.read(pc, size).hex(" ")
    except Errno:
        code = "(unreadable)"
    program = shlex.join(os.fsdecode(text) for text in (process.exe, *process.argv[1:]))
    around = f"{max(pc - LEAD_IN, 0):#x}..{pc + size - 1:#x}"
    return (
        f"unknown instruction {code} at {pc:#x}{_place(process, pc)}; see how it gets there with: "
        f"{process.name} -d in_asm,cpu -dfilter {around} {program}"
    )


def _place(process: Process, pc: int) -> str:
    """The file and offset behind an address, if there is one."""
    area = process.memory.areas.find(pc)
    if area is None or area.file is None:
        return ""
    return f" ({os.fsdecode(area.file.path)}+{area.offset + pc - area.start:#x})"
