"""File descriptors of the emulator's own, kept where a guest does not look for any."""

from __future__ import annotations

import os
from fcntl import F_DUPFD_CLOEXEC, fcntl

FIRST_PRIVATE = 1000
"""Guests get the lowest numbers that are free; so these stay out of their way."""


def move_high(fd: int) -> int:
    """The same file under a high number; `fd` itself if there is none to be had."""
    try:
        high = fcntl(fd, F_DUPFD_CLOEXEC, FIRST_PRIVATE)
    except OSError:
        found = _beyond_limit(fd)
        if found is None:
            return fd
        high = found
    os.close(fd)
    return high


def _beyond_limit(fd: int) -> int | None:
    """Try again without the limit that the guest has set for the process that we share."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        try:
            return fcntl(fd, F_DUPFD_CLOEXEC, FIRST_PRIVATE)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    except (OSError, ValueError):
        return None
