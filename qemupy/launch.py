"""Starting guest programs from Python.

A guest gets a process of its own: its memory, signals and exit status are those of a real process,
so they cannot be shared with the caller's.
"""

from __future__ import annotations

import subprocess
import sys
from os import PathLike, fspath

GUESTS = {
    "ppc": "user_mode.main:ppc",
    "x86_64": "user_mode.main:x86_64",
    "i386": "user_mode.main:i386",
}
"""The processors whose programs can be run, and where each command begins."""


def command(guest: str = "ppc", *options: str) -> list[str]:
    """The command line, to be followed by a program and its arguments, that runs `guest` programs.

    It uses the running interpreter, so that it works where no script directory is in PATH.
    Raises `ValueError` for a guest that is not in `GUESTS`.
    """
    if guest not in GUESTS:
        raise ValueError(f"no guest {guest!r}; there are: {', '.join(GUESTS)}")
    module, function = GUESTS[guest].split(":")
    start = f"import sys; from {module} import {function}; sys.exit({function}())"
    return [sys.executable, "-c", start, *options]


def run(
    program: str | PathLike[str],
    *arguments: str,
    guest: str = "ppc",
    accel: str | None = None,
    sysroot: str | PathLike[str] | None = None,
    stdin: bytes = b"",
    timeout: float | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run a guest program to its end; the result has its `stdout`, `stderr` and `returncode`.

    `accel` is an engine (interp, threaded or jit), `sysroot` the directory where a dynamic
    program's interpreter and libraries are looked for (`-L`).  Raises `subprocess.TimeoutExpired`
    after `timeout` seconds.
    """
    options = [] if accel is None else ["-accel", accel]
    if sysroot is not None:
        options += ["-L", fspath(sysroot)]
    line = [*command(guest, *options), fspath(program), *arguments]
    return subprocess.run(line, input=stdin, capture_output=True, timeout=timeout, check=False)
