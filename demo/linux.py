"""Boots Debian's Linux kernel with busybox in a PC: to shells on the serial line and the screen.

    python -m demo.linux [i386|amd64] [option of qemupy-system-x86...]

Kernel and busybox are Debian's packages, fetched as `scripts.debian` does; the initial RAM disk is
made here. Type `poweroff -f` to end it, or Ctrl-A x.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from demo.initramfs import DISK_MODULES, build
from scripts.debian import FOLDER, FetchError, dependency, fetch

META = {"i386": "linux-image-686", "amd64": "linux-image-amd64"}
COMMANDS = {"i386": "qemupy-system-i386", "amd64": "qemupy-system-x86_64"}


@dataclass(frozen=True, slots=True)
class Linux:
    """A kernel and its initial RAM disk."""

    kernel: Path
    initrd: Path


def kernel_package(architecture: str) -> Path:
    """Where Debian's kernel is unpacked."""
    meta = META[architecture]
    flavour = meta.rpartition("-")[2]
    return fetch(dependency(meta, rf"linux-image-[0-9].*-{flavour}", architecture), architecture)


def linux(architecture: str) -> Linux:
    """Fetch and build what is not there; raises FetchError."""
    package = kernel_package(architecture)
    (kernel,) = (package / "boot").glob("vmlinuz-*")
    busybox = fetch("busybox-static", architecture) / "bin" / "busybox"
    initrd = FOLDER / architecture / f"initrd-{package.name}.gz"
    source = Path(__file__).with_name("initramfs.py")
    if not initrd.exists() or initrd.stat().st_mtime < source.stat().st_mtime:
        initrd.write_bytes(build(busybox, package, DISK_MODULES))
    return Linux(kernel, initrd)


def main() -> None:
    """Fetch, build, boot."""
    words = sys.argv[1:]
    architecture = words.pop(0) if words and words[0] in META else "i386"
    try:
        guest = linux(architecture)
    except FetchError as error:
        sys.exit(f"demo-linux: {error}")
    command = Path(sys.executable).with_name(COMMANDS[architecture])
    line = [
        str(command), "-m", "256", "-kernel", str(guest.kernel), "-initrd", str(guest.initrd),
        "-append", "console=tty0 console=ttyS0", "-nographic", *words,
    ]  # fmt: skip
    print(" ".join(line), flush=True)
    print("(poweroff -f ends it, or Ctrl-A x; Ctrl-A c is the monitor)", flush=True)
    os.execv(command, line)


if __name__ == "__main__":
    main()
