"""Builds C programs for the guest and for the host, once per content.

A result is kept under build/guests in a directory named by the hash of its sources, its command and
its compiler, so a second run of the tests builds nothing.  A compiler that is not installed is
reported by `unavailable`, never by a failing test.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = Path(__file__).resolve().parent
CACHE = ROOT / "build" / "guests"

OPTIMIZATIONS = ("-O0", "-O1", "-O2", "-O3")

PLAIN = ("-std=gnu11", "-Werror=implicit-function-declaration", "-D_FILE_OFFSET_BITS=64")
"""What every program is compiled with."""

SAME_FLOATS = ("-ffp-contract=off", "-frounding-math")
"""No fused multiplications, which the host's build has not, and nothing rounded at compile time."""

ZIG = (sys.executable, "-m", "ziglang", "cc", "-fno-sanitize=all")


class BuildError(Exception):
    """A compiler refused; the text is what it said."""


@dataclass(frozen=True, slots=True)
class Toolchain:
    """A compiler with the options that choose its target and its way of linking."""

    name: str
    command: tuple[str, ...]
    flags: tuple[str, ...]
    guest: str = "ppc"
    """The machine, as the commands are named; empty for native programs."""

    def unavailable(self) -> str | None:
        """Why this compiler cannot be used here, or None."""
        if self.guest == "x86_64" and os.uname().machine != "x86_64":
            return "this is no x86-64 machine"
        if "ziglang" in self.command:
            found = importlib.util.find_spec("ziglang") is not None
            return None if found else "zig is not installed (pip install ziglang)"
        found = shutil.which(self.command[0]) is not None
        return None if found else f"{self.command[0]} is not installed"


def toolchains() -> dict[str, Toolchain]:
    """Every compiler by name."""
    gcc = "powerpc-linux-gnu-gcc"
    zig = (*ZIG, "-target", "powerpc-linux-musleabihf")
    gcc_i386 = "i686-linux-gnu-gcc"
    zig_i386 = (*ZIG, "-target", "x86-linux-musl")
    zig_x86 = (*ZIG, "-target", "x86_64-linux-musl", "-mcpu=x86_64")
    # fmt: off
    rows = (
        Toolchain("gcc-static",  (gcc,), ("-static",)),
        Toolchain("gcc-dynamic", (gcc,), ()),
        Toolchain("zig-musl",    zig,    ("-static",)),
        Toolchain("zig-pie",     zig,    ("-static-pie", "-fPIE")),
        Toolchain("x86_64-static",  ("gcc",), ("-static",), "x86_64"),
        Toolchain("x86_64-dynamic", ("gcc",), ("-pie",),    "x86_64"),
        Toolchain("x86_64-musl", zig_x86,  ("-static",),    "x86_64"),
        Toolchain("i386-static",  (gcc_i386,), ("-static",), "i386"),
        Toolchain("i386-dynamic", (gcc_i386,), ("-pie", "-fPIE", "-msse2", "-mfpmath=sse"), "i386"),
        Toolchain("i386-musl",    zig_i386,    ("-static",), "i386"),
        native(),
    )
    # fmt: on
    return {row.name: row for row in rows}


def native() -> Toolchain:
    """The host's own gcc, or zig in its place."""
    if shutil.which("gcc"):
        return Toolchain("native", ("gcc",), (), guest="")
    target = ("-target", f"{os.uname().machine}-linux-musl")
    return Toolchain("native", (*ZIG, *target), ("-static",), guest="")


TOOLCHAINS = toolchains()


def build(
    sources: Path | Sequence[Path],
    toolchain: str,
    optimization: str = "-O2",
    flags: Sequence[str] = SAME_FLOATS,
    libraries: Sequence[str] = ("-lm", "-lpthread"),
    name: str | None = None,
) -> Path:
    """The program made of `sources`, compiled now or taken from an earlier time.

    Raises `BuildError` with what the compiler said.
    """
    paths = [sources] if isinstance(sources, Path) else list(sources)
    chain = TOOLCHAINS[toolchain]
    line = [*chain.command, *PLAIN, optimization, *chain.flags, *flags]
    folder = CACHE / digest(paths, [*line, *libraries, version(chain.command)])
    program = folder / (name or paths[0].stem)
    if not program.exists():
        compile_into(program, [*line, *map(str, paths)], libraries)
    return program


def compile_into(program: Path, line: Sequence[str], libraries: Sequence[str]) -> None:
    """Run a compiler; the program appears whole or not at all."""
    program.parent.mkdir(parents=True, exist_ok=True)
    unfinished = program.with_name(f"{program.name}.{os.getpid()}")
    done = subprocess.run(
        [*line, "-o", str(unfinished), *libraries],
        capture_output=True,
        text=True,
        errors="replace",
        env=compiler_environment(),
        check=False,
    )
    if done.returncode != 0:
        unfinished.unlink(missing_ok=True)
        raise BuildError(f"{' '.join(line)}\n{done.stderr}")
    unfinished.rename(program)


def compiler_environment() -> dict[str, str]:
    """The environment of a compiler: zig's cache is kept with ours, whatever HOME is."""
    cache = str(ROOT / "build" / "zig")
    return {**os.environ, "ZIG_GLOBAL_CACHE_DIR": cache, "ZIG_LOCAL_CACHE_DIR": cache}


@functools.cache
def version(command: tuple[str, ...]) -> str:
    """What a compiler says it is."""
    done = subprocess.run(
        [*command, "--version"],
        capture_output=True,
        text=True,
        env=compiler_environment(),
        check=False,
    )
    return done.stdout.splitlines()[0] if done.stdout else "unknown"


def digest(sources: Sequence[Path], line: Sequence[str]) -> str:
    """A name for the result: it changes with any source, neighbouring header or option."""
    result = hashlib.sha256("\0".join(line).encode())
    for path in sources:
        headers = [*path.parent.glob("*.h")]
        if path.parent.parent == SOURCES:
            headers += SOURCES.glob("x86/*.h")
        for part in (path, *sorted(headers)):
            result.update(part.name.encode() + b"\0" + part.read_bytes())
    return result.hexdigest()[:24]
