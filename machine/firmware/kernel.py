"""Kernels given by name (-kernel, -initrd, -append): files are read and checked here.

Linux's boot protocol is in `linux`, Multiboot's in `multiboot`. What is made here puts itself into
memory when the firmware boots it: the embedded BIOS, or another one by an option ROM.
"""

from __future__ import annotations

from pathlib import Path

from machine.errors import MachineError, shown
from machine.firmware import linux, multiboot
from machine.firmware.boot import Kernel

LARGEST = 1 << 31


def read_kernel(path: str, *, initrd: str = "", append: str = "", below_4g: int) -> Kernel:
    """Read a kernel and what goes with it, for `below_4g` bytes of RAM. Raises MachineError."""
    image = read_file("-kernel", path)
    if multiboot.find_header(image) is not None:
        modules = [
            multiboot.Module(words[0], " ".join(words), read_file("-initrd", words[0]))
            for part in initrd.split(",")
            if (words := part.split())
        ]
        return multiboot.MultibootKernel(path, image, append, modules, below_4g)
    disk = read_file("-initrd", initrd) if initrd else b""
    return linux.LinuxKernel(path, image, disk, append, below_4g)


def read_file(option: str, path: str) -> bytes:
    """All of a file. Raises MachineError."""
    file = Path(path)
    try:
        if file.is_dir():
            raise MachineError(f"{option} {shown(path)}: that is a directory")
        size = file.stat().st_size
        if size > LARGEST:
            raise MachineError(f"{option} {shown(path)}: {size} bytes are too many")
        return file.read_bytes()
    except OSError as error:
        raise MachineError(f"{option} {shown(path)}: {error.strerror}") from None
    except ValueError as error:
        raise MachineError(f"{option} {shown(path)}: {error}") from None
