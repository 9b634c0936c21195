"""Ways of running a program: natively, under an installed QEMU, under each of our engines.

`QEMUPY_PPC` overrides the command of our emulator; `QEMUPY_PPC=qemu-ppc` tries the tests themselves
on an emulator known to be good, and so do `QEMUPY_X86_64` and its like.  Such a command is given
none of our options.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import qemupy

SYSROOT = Path("/usr/powerpc-linux-gnu")
SYSROOTS = {"ppc": SYSROOT, "i386": Path("/usr/i686-linux-gnu")}
"""Where Debian's cross compilers keep a guest's dynamic loader and libraries; the host's own are
in their usual place.
"""

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


def overridden(guest: str = "ppc") -> bool:
    """Whether the tests are pointed at another emulator than ours."""
    return f"QEMUPY_{guest.upper()}" in os.environ


def sysroot_option(guest: str = "ppc") -> Sequence[str]:
    """`-L` with the guest libraries, where there are any."""
    folder = SYSROOTS.get(guest)
    return ("-L", str(folder)) if folder and folder.is_dir() else ()


def ours(engine: str, *options: str, guest: str = "ppc") -> Emulator:
    """One of our engines for a guest, or whatever `QEMUPY_PPC` and its like say."""
    if overridden(guest):
        command = shlex.split(os.environ[f"QEMUPY_{guest.upper()}"])
        return Emulator(engine, (*command, *sysroot_option(guest)))
    command = qemupy.command(guest, "-accel", engine, *sysroot_option(guest), *options)
    return Emulator(engine, tuple(command))


def qemu(guest: str = "ppc") -> Emulator | None:
    """Debian's qemu-user for a guest, if it is installed."""
    name = f"qemu-{guest}"
    path = shutil.which(name)
    return Emulator(name, (path, *sysroot_option(guest))) if path else None


def processor(guest: str, is_static: bool) -> Emulator | None:
    """What runs a guest's programs as their processor would: the host's kernel, or else QEMU."""
    folder = SYSROOTS[guest] / "lib"
    loader = (str(folder / "ld-linux.so.2"), "--library-path", str(folder))
    with suppress(OSError):
        if subprocess.run([*loader, "--version"], capture_output=True, check=False).returncode == 0:
            return Emulator(f"{guest} of the host", () if is_static else loader)
    return qemu(guest)
