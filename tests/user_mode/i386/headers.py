"""What the cross compiler makes of constant C expressions."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

COMPILER = shutil.which("i686-linux-gnu-gcc")
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="needs i686-linux-gnu-gcc")


def answers(prelude: str, expressions: Sequence[str], directory: Path) -> list[int]:
    """The values of expressions, read from an object file."""
    from elftools.elf.elffile import ELFFile

    assert COMPILER is not None
    source, target = directory / "a.c", directory / "a.o"
    body = f"const unsigned int answers[] = {{ {', '.join(expressions)} }};\n"
    source.write_text(prelude + body)
    subprocess.run([COMPILER, "-c", source, "-o", target], check=True)
    with target.open("rb") as file:
        data = ELFFile(file).get_section_by_name(".rodata").data()
    return list(struct.unpack(f"<{len(expressions)}I", data[: 4 * len(expressions)]))
