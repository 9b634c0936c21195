"""Makes the committed guest program of the demo from its source, and counts its instructions.

Needs zig (a development package) and, for the counting, qemu-ppc, which logs every instruction it
executes when asked to take one at a time.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

from tests.guests import build

FOLDER = Path(__file__).resolve().parent
PROGRAM = FOLDER / "mandelbrot"
COUNTS = FOLDER / "mandelbrot.json"
FLAGS = ("-s", "-ffp-contract=off", "-Wl,--gc-sections", "-Wl,--build-id=none")


def compile_program() -> None:
    """Compile with zig's musl: static, stripped, some tens of kilobytes."""
    source = FOLDER / "mandelbrot.c"
    shutil.copy2(build.build(source, "zig-musl", "-O2", FLAGS, ()), PROGRAM)


def instructions(rounds: int) -> int:
    """Guest instructions executed by so many rounds."""
    line = ["qemu-ppc", "-singlestep", "-d", "exec,nochain", "-D", "/dev/stdout"]
    with subprocess.Popen(
        [*line, str(PROGRAM), str(rounds)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        return sum(text.startswith(b"Trace ") for text in process.stdout)


def main() -> None:
    """Build and, where it is possible, count."""
    compile_program()
    print(f"{PROGRAM.name}: {PROGRAM.stat().st_size} bytes")
    if shutil.which("qemu-ppc") is None:
        sys.exit("qemu-ppc is not installed: the instructions were not counted again")
    one, two = instructions(1), instructions(2)
    COUNTS.write_text(json.dumps({"start": one - (two - one), "round": two - one}) + "\n")
    print(COUNTS.read_text(), end="")


if __name__ == "__main__":
    main()
