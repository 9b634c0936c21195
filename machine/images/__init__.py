"""Disk images: raw and qcow2, their backing files, and overlays that are thrown away.

`open_image` is the way in. Every mistake of a user and every failure of the host is an `ImageError`
of one line that names the file.
"""

from machine.images.image import Image, ImageError
from machine.images.opening import open_image, overlay_of

__all__ = ["Image", "ImageError", "open_image", "overlay_of"]
