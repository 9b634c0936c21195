"""Opening images by name: their format, the chain of their backing files, overlays."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from machine.errors import shown
from machine.images.files import HostFile
from machine.images.image import Image, ImageError
from machine.images.probing import HEAD, KNOWN, READABLE, probe
from machine.images.raw import RawImage

if TYPE_CHECKING:
    from machine.images.qcow2_header import Header

LONGEST_CHAIN = 100
"""So many images may stand behind one another."""
BEHIND = " (backing file of "


def open_image(path: str, format: str | None = None, writable: bool = True) -> Image:  # noqa: A002
    """Open an image and all that it is backed by.

    Without `format` it is found out by the first bytes. Backing files are never written. Raises
    ImageError.
    """
    return _open(path, format, writable, ())


def overlay_of(base: Image) -> Image:
    """An image that reads as `base` and whose changes go to a temporary file (`-snapshot`).

    It is in TMPDIR, or in /var/tmp, and has no name. Closing it closes `base`.
    """
    from machine.images.creating import create_qcow2
    from machine.images.qcow2 import Qcow2Image

    directory = os.environ.get("TMPDIR") or "/var/tmp"
    try:
        handle, path = tempfile.mkstemp(prefix="qemupy-", suffix=".qcow2", dir=directory)
    except OSError as error:
        raise ImageError(
            f"{shown(directory)}: no temporary file can be made: {error.strerror}"
        ) from None
    os.close(handle)
    try:
        create_qcow2(path, base.size)
        file = HostFile(path, writable=True)
    finally:
        Path(path).unlink()
    return Qcow2Image(file, backing=base, is_temporary=True)


def _open(
    path: str,
    format: str | None,  # noqa: A002
    writable: bool,
    above: tuple[tuple[int, int], ...],
) -> Image:
    """`above` are the identities of the images that this one backs."""
    if format is not None and format not in READABLE:
        raise ImageError(_cannot_read(path, format))
    file = HostFile(path.removeprefix("file:"), writable=writable)
    try:
        if file.identity in above:
            raise ImageError(f"{shown(path)}: is its own backing file, in a loop")
        if len(above) >= LONGEST_CHAIN:
            raise ImageError(f"{shown(path)}: is behind {len(above)} images, which is too many")
        file.lock()
        head = file.read(0, HEAD)
        if not head:
            raise ImageError(f"{shown(path)}: is empty")
        found = format or probe(head)
        if found not in READABLE:
            raise ImageError(_cannot_read(path, found))
        if found == "raw":
            return RawImage(file, is_guess=format is None)
        from machine.images.qcow2 import Qcow2Image

        image = Qcow2Image(file)
        if image.header.backing_file:
            image.backing = _open_backing(image.header, path, (*above, file.identity))
        return image
    except BaseException:
        file.close()
        raise


def _open_backing(header: Header, path: str, above: tuple[tuple[int, int], ...]) -> Image:
    name = header.backing_file
    if name.startswith("json:") or "://" in name:
        raise ImageError(
            f"{shown(path)}: the backing file {shown(name)} is not a file on this machine"
        )
    where = str(Path(path.removeprefix("file:")).parent / name.removeprefix("file:"))
    try:
        return _open(where, header.backing_format, False, above)
    except ImageError as error:
        if BEHIND in str(error):
            raise
        raise ImageError(f"{error}{BEHIND}{shown(path)})") from None


def _cannot_read(path: str, format: str) -> str:  # noqa: A002
    if format not in KNOWN:
        return f"{shown(path)}: there is no format {shown(format)}; there are raw and qcow2"
    return (
        f"{shown(path)}: is a {format} image, which cannot be read;"
        f" qemu-img convert -O qcow2 makes one that can"
    )
