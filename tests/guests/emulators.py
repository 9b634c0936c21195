"""Ways of running a program: natively, under an installed QEMU, under each of our engines.

`QEMUPY_PPC` overrides the command of our emulator; `QEMUPY_PPC=qemu-ppc` tries the tests themselves
on an emulator known to be good.  Such a command is given none of our options.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import qemupy

SYSROOT = Path("/usr/powerpc-linux-gnu")
"""Where Debian's cross compiler keeps the guest's dynamic loader and libraries."""

ENGINES = ("threaded", "jit", "interp")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a program left behind."""

    status: int
    stdout: bytes
    stderr: bytes


@dataclass(frozen=True, slots=True)
class Emulator:
    """A command to put before a program; none at all is the native run."""

    name: str
    command: tuple[str, ...] = ()

    def run(
        self,
        program: Path | str,
        *arguments: str,
        stdin: bytes = b"",
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float = 120.0,
    ) -> Outcome:
        """Run to the end.  Raises `subprocess.TimeoutExpired`."""
        line = [*self.command, str(program), *arguments]
        environment = None if env is None else {**os.environ, **env}
        done = subprocess.run(
            line,
            input=stdin,
            capture_output=True,
            cwd=cwd,
            env=environment,
            timeout=timeout,
            check=False,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)


NATIVE = Emulator("native")


def overridden() -> bool:
    """Whether the tests are pointed at another emulator than ours."""
    return "QEMUPY_PPC" in os.environ


def sysroot_option() -> Sequence[str]:
    """`-L` with the guest libraries, where there are any."""
    return ("-L", str(SYSROOT)) if SYSROOT.is_dir() else ()


def ours(engine: str, *options: str) -> Emulator:
    """One of our engines, or whatever `QEMUPY_PPC` says."""
    if overridden():
        command = shlex.split(os.environ["QEMUPY_PPC"])
        return Emulator(engine, (*command, *sysroot_option()))
    command = qemupy.command("ppc", "-accel", engine, *sysroot_option(), *options)
    return Emulator(engine, tuple(command))


def qemu() -> Emulator | None:
    """Debian's qemu-ppc, if it is installed."""
    path = shutil.which("qemu-ppc")
    return Emulator("qemu-ppc", (path, *sysroot_option())) if path else None
