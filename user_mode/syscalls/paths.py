"""Where a guest's path leads on the host: the -L prefix, and the names of ourselves under /proc."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from user_mode.process import Process

_SELF = re.compile(rb"/proc/(?:self|thread-self|(\d+))(?:/task/\d+)?/(.+)")


def own_entry(path: bytes) -> bytes | None:
    """The name under /proc/self of a path that means this process; None for other paths.

    >>> own_entry(b"/proc/self/maps")
    b'maps'
    """
    if not path.startswith(b"/proc/"):
        return None
    match = _SELF.fullmatch(os.path.normpath(path))
    if match is None or (match[1] and int(match[1]) != os.getpid()):
        return None
    return match[2]


def host_path(process: Process, path: bytes) -> bytes:
    """A path under which something is made or removed: as it is."""
    return path


def lookup(process: Process, path: bytes) -> bytes:
    """A path of what should be there: first under the prefix; /proc/self/exe is the guest."""
    if not path.startswith(b"/"):
        return path
    if path.startswith(b"/proc/") and own_entry(path) == b"exe":
        return os.fsencode(process.exe)
    return in_sysroot(process, path)


def in_sysroot(process: Process, path: bytes) -> bytes:
    """The path under the -L prefix, if something is there; else the path itself."""
    if not process.sysroot:
        return path
    inside = os.fsencode(process.sysroot).rstrip(b"/") + path
    return inside if os.path.lexists(inside) else path
