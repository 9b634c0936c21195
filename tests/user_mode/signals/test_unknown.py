"""The line about an unknown instruction."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from user_mode.unknown import describe


def test_it_names_bytes_address_file_offset_and_a_command(thread: Any, tmp_path: Path) -> None:
    program = tmp_path / "a program"
    program.write_bytes(bytes(0x1000) + b"\x12\x34\x56\x78" + bytes(0xFFC))
    process = thread.process
    process.name, process.exe, process.argv = "qemupy-ppc", str(program), [b"x", b"-v"]
    with program.open("rb") as file:
        process.memory.mmap(0x1000_0000, 0x1000, 5, 0x12, file.fileno(), 0x1000)
    assert describe(process, 0x1000_0000, 4) == (
        f"unknown instruction 12 34 56 78 at 0x10000000 ({program}+0x1000); see how it gets there "
        f"with: qemupy-ppc -d in_asm,cpu -dfilter 0xfffff00..0x10000003 '{program}' -v"
    )
