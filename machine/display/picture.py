"""Saving a picture of the screen: PNG, PPM, or its text.

Sources: W3C, "Portable Network Graphics Specification (Third Edition)", sections 5 and 11; netpbm's
ppm(5).
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from machine.errors import MachineError, shown

if TYPE_CHECKING:
    from machine.devices.vga_picture import Frame

SIGNATURE = b"\x89PNG\r\n\x1a\n"
TRUE_COLOR = 2


def save_picture(frame: Frame, path: str) -> None:
    """Save it as what the file's name says: .png, .ppm or .txt; PPM, as QEMU does, if nothing."""
    kind = Path(path).suffix.lower()
    try:
        Path(path).write_bytes({".png": png, ".txt": text}.get(kind, ppm)(frame))
    except OSError as error:
        why = error.strerror or str(error)
        raise MachineError(f"cannot save the screen as {shown(path)}: {why}") from None


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk with its length and checksum (5.3)."""
    checked = kind + data
    return struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))


def png(frame: Frame) -> bytes:
    """A PNG file."""
    stride = 3 * frame.width
    rgb = frame.rgb()
    rows = b"".join([b"\0" + rgb[at : at + stride] for at in range(0, len(rgb), stride)])
    header = struct.pack(">IIBBBBB", frame.width, frame.height, 8, TRUE_COLOR, 0, 0, 0)
    return (
        SIGNATURE
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows, 6))
        + chunk(b"IEND", b"")
    )


def ppm(frame: Frame) -> bytes:
    """A binary PPM file."""
    return f"P6\n{frame.width} {frame.height}\n255\n".encode() + frame.rgb()


def text(frame: Frame) -> bytes:
    """The lines of a text screen in UTF-8; of another one, none."""
    lines = frame.text.lines() if frame.text is not None else []
    return "".join(line + "\n" for line in lines).encode()
