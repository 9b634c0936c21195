"""Fetches packages of Debian, of any architecture, and unpacks them below build/debian.

    python -m scripts.debian i386 busybox-static linux-image-686

apt is run with a configuration of its own, so that nothing is installed and root is not needed; the
machine's own package sources are used. What is there already is not fetched again.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "build" / "debian"


class FetchError(Exception):
    """A package cannot be had; a sentence that says why."""


def fetch(package: str, architecture: str = "i386") -> Path:
    """The folder that a package is unpacked in; raises FetchError."""
    target = FOLDER / architecture / package
    if (target / ".complete").exists():
        return target
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise FetchError(f"{package} is a package of Debian; there is no {tool} here")
    if not any((FOLDER / architecture / "apt" / "lists").glob("*Packages*")):
        _apt("apt-get", architecture, "update")
    if not any((FOLDER / architecture / "apt" / "lists").glob("*Packages*")):
        raise FetchError("apt-get update gave no list of packages: is there a network?")
    archive = _download(package, architecture)
    target.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["dpkg-deb", "-x", archive, target], capture_output=True, text=True, check=False
    )
    archive.unlink()
    if done.returncode:
        raise FetchError(f"{package}: {done.stderr.strip()}")
    (target / ".complete").touch()
    return target


def dependency(package: str, pattern: str, architecture: str = "i386") -> str:
    """The first package that matches, of those that a package depends on."""
    if not any((FOLDER / architecture / "apt" / "lists").glob("*Packages*")):
        _apt("apt-get", architecture, "update")
    done = _apt("apt-cache", architecture, "depends", package)
    found = re.search(rf"Depends: ({pattern})\s*$", done.stdout, re.MULTILINE)
    if found is None:
        raise FetchError(f"{package} of {architecture} depends on no {pattern}")
    return found[1]


def _download(package: str, architecture: str) -> Path:
    folder = FOLDER / architecture / "archives"
    folder.mkdir(parents=True, exist_ok=True)
    done = _apt("apt-get", architecture, "download", package, folder=folder)
    found = sorted(folder.glob(f"{package}_*.deb"))
    if not found:
        raise FetchError(f"{package} of {architecture}: {(done.stderr or done.stdout).strip()}")
    return found[-1]


def _apt(
    tool: str, architecture: str, *words: str, folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run apt with its state in a folder of ours."""
    state = FOLDER / architecture / "apt"
    (state / "lists" / "partial").mkdir(parents=True, exist_ok=True)
    (state / "cache" / "archives" / "partial").mkdir(parents=True, exist_ok=True)
    (state / "status").touch()
    settings = {
        "APT::Architecture": architecture,
        "APT::Architectures": architecture,
        "APT::Sandbox::User": "",
        "Acquire::Languages": "none",
        "Dir::State": state,
        "Dir::State::Lists": state / "lists",
        "Dir::State::status": state / "status",
        "Dir::Cache": state / "cache",
    }
    options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
    return subprocess.run(
        [tool, "-q", *options, *words], cwd=folder, capture_output=True, text=True, check=False
    )


def main() -> None:
    """Fetch what is named."""
    architecture, *packages = sys.argv[1:]
    for package in packages:
        try:
            print(fetch(package, architecture))
        except FetchError as error:
            sys.exit(f"debian: {error}")


if __name__ == "__main__":
    main()
