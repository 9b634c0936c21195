"""Where firmware images are found: as named, in the folders of -L, or in the usual places."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from machine.errors import MachineError, shown

PLACES = (
    Path("/usr/share/seabios"),
    Path("/usr/share/qemu"),
    Path("/usr/local/share/qemu"),
    Path("/usr/share/seavgabios"),
)

VGA_BIOS = "vgabios-stdvga.bin"
LARGEST_BIOS = 16 << 20
BIOS_UNIT = 0x10000


def find(name: str, library: Sequence[str]) -> Path | None:
    """The file of that name, if it is anywhere."""
    folders = [Path(), *map(Path, library), *PLACES]
    return next((path for folder in folders if (path := folder / name).is_file()), None)


def read_firmware(name: str, library: Sequence[str]) -> bytes:
    """A BIOS: a whole number of 64 KiB, so that its last bytes are below 4 GiB. MachineError."""
    path = find(name, library)
    if path is None:
        raise MachineError(
            f"-bios {shown(name)}: there is no such file here, in the folders of -L, or in"
            f" {', '.join(map(str, PLACES[:2]))} (Debian's package seabios has bios-256k.bin)"
        )
    try:
        data = path.read_bytes()
    except OSError as error:
        raise MachineError(f"cannot read {shown(str(path))}: {error.strerror}") from None
    if not data or len(data) % BIOS_UNIT or len(data) > LARGEST_BIOS:
        raise MachineError(
            f"{shown(str(path))} is no BIOS: it has {len(data)} bytes, not a multiple of 65536"
        )
    return data


def read_option_rom(name: str, library: Sequence[str]) -> bytes:
    """An option ROM if it is there, else nothing."""
    path = find(name, library)
    if path is None:
        return b""
    try:
        return path.read_bytes()
    except OSError:
        return b""
