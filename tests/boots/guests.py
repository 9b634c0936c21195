"""Where guests come from: Debian's packages, or a folder of images that QEMUPY_GUESTS names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from demo.linux import Linux, linux
from scripts.debian import FetchError, fetch

GUESTS = Path(os.environ.get("QEMUPY_GUESTS", Path(__file__).parents[3] / "shared" / "guests"))


def image(name: str) -> Path:
    """An image that nobody packages; the test is skipped without it."""
    path = GUESTS / name
    if not path.exists():
        pytest.skip(f"no {name}: QEMUPY_GUESTS names the folder it is in (docs/guests.md)")
    return path


def packaged(package: str, pattern: str, architecture: str = "i386") -> Path:
    """A file of a package of Debian's; the test is skipped where that cannot be fetched."""
    try:
        folder = fetch(package, architecture)
    except FetchError as error:
        pytest.skip(str(error))
    return next(iter(sorted(folder.glob(pattern))))


def debian_linux(architecture: str) -> Linux:
    """Debian's kernel, and busybox to start."""
    try:
        return linux(architecture)
    except FetchError as error:
        pytest.skip(str(error))
