"""Makes an initial RAM disk of busybox and some kernel modules: an archive as cpio has it.

    python -m demo.initramfs kernel-folder busybox target [module...]

The format is "newc" of the kernel's documentation (initramfs buffer format).
"""

from __future__ import annotations

import gzip
import re
import stat
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

DISK_MODULES = ("ata_piix", "sd_mod", "sr_mod", "isofs", "ext4", "virtio_pci", "virtio_blk")
APPLETS = ("sh", "mount", "insmod", "setsid", "cttyhack", "poweroff", "reboot", "echo")

INIT = """#!/bin/sh
# The first process: mounts what a shell needs, loads the modules, and offers shells.
export PATH=/bin:/sbin HOME=/ TERM=linux
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev 2>/dev/null
for module in $(cat /modules/order); do insmod /modules/$module.ko; done
echo "This is Linux $(uname -r) on $(uname -m), with a shell of busybox."
[ -x /start ] && /start
if [ -c /dev/ttyS0 ] && [ -c /dev/tty1 ]; then
    (while true; do setsid sh -c 'exec sh -i </dev/tty1 >/dev/tty1 2>&1'; done) &
fi
while true; do setsid cttyhack sh -i; done
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, folder, device or link of the archive."""

    name: str
    mode: int
    data: bytes = b""
    device: tuple[int, int] = (0, 0)


def archive(entries: Iterable[Entry]) -> bytes:
    """The entries one after another, each behind a header of hexadecimal numbers."""
    parts = []
    for number, entry in enumerate((*entries, Entry("TRAILER!!!", 0)), 1):
        name = entry.name.encode() + b"\0"
        fields = (
            number, entry.mode, 0, 0, 1, 0, len(entry.data), 0, 0, *entry.device, len(name), 0,
        )  # fmt: skip
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + name
        parts += [padded(head), padded(entry.data)]
    return b"".join(parts)


def padded(data: bytes) -> bytes:
    """Filled up to a multiple of four bytes."""
    return data + bytes(-len(data) % 4)


def folder(name: str) -> Entry:
    """A folder that all may enter."""
    return Entry(name, stat.S_IFDIR | 0o755)


def file(name: str, data: bytes, mode: int = 0o755) -> Entry:
    """A file."""
    return Entry(name, stat.S_IFREG | mode, data)


def node(name: str, major: int, minor: int) -> Entry:
    """A character device."""
    return Entry(name, stat.S_IFCHR | 0o600, device=(major, minor))


def entries_for(
    busybox: bytes, modules: dict[str, bytes], extra: dict[str, bytes] | None = None
) -> Iterator[Entry]:
    """Everything: `modules` by name, in the order they are to be loaded; `extra` files by path."""
    for name in ("bin", "sbin", "dev", "proc", "sys", "tmp", "mnt", "modules", "root"):
        yield folder(name)
    yield node("dev/console", 5, 1)
    yield node("dev/null", 1, 3)
    yield file("bin/busybox", busybox)
    for name in APPLETS:
        yield Entry(f"bin/{name}", stat.S_IFLNK | 0o777, b"busybox")
    yield file("init", INIT.encode())
    yield file("modules/order", "\n".join(modules).encode() + b"\n", 0o644)
    for name, data in modules.items():
        yield file(f"modules/{name}.ko", data, 0o644)
    for name, data in (extra or {}).items():
        yield file(name, data)


def build(
    busybox: Path,
    kernel_folder: Path,
    modules: Iterable[str] = DISK_MODULES,
    extra: dict[str, bytes] | None = None,
) -> bytes:
    """A compressed archive; `kernel_folder` is where a kernel package was unpacked."""
    found = find_modules(kernel_folder, modules)
    return gzip.compress(archive(entries_for(busybox.read_bytes(), found, extra)), 6, mtime=0)


def find_modules(kernel_folder: Path, wanted: Iterable[str]) -> dict[str, bytes]:
    """The modules and all they depend on, dependencies first. Those built in are left out."""
    paths = {path.stem.replace("-", "_"): path for path in kernel_folder.rglob("*.ko")}
    found: dict[str, bytes] = {}

    def add(name: str) -> None:
        path = paths.get(name.replace("-", "_"))
        if path is None or path.stem in found:
            return
        data = path.read_bytes()
        for other in dependencies(data):
            add(other)
        found[path.stem] = data

    for name in wanted:
        add(name)
    return found


def dependencies(module: bytes) -> list[str]:
    """What a module says in its section .modinfo that it needs."""
    match = re.search(rb"\0depends=([^\0]*)\0", module)
    soft = re.search(rb"\0softdep=pre: ([^\0]*)\0", module)
    names = match[1].decode().split(",") if match else []
    names += soft[1].decode().split() if soft else []
    return [name for name in names if name]


def main() -> None:
    """Write an archive."""
    kernel_folder, busybox, target, *modules = sys.argv[1:]
    data = build(Path(busybox), Path(kernel_folder), modules or DISK_MODULES)
    Path(target).write_bytes(data)
    print(f"{target}: {len(data):,} bytes")


if __name__ == "__main__":
    main()
