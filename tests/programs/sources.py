"""Fetches the sources of real programs from the distribution, into build/sources.

`source("bzip2")` gives the unpacked upstream source.  It comes from the machine's own package
sources with source packages switched on in a private copy of apt's configuration: the system's
is not touched, and root is not needed.  What cannot be had raises `Unavailable` with the reason.
`python -m tests.programs.sources` fetches everything and lists it.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "build" / "sources"
FOREIGN = ROOT / "build" / "foreign"
APT = ROOT / "build" / "apt"

PACKAGES = ("lua5.4", "sqlite3", "bzip2", "zlib", "libzstd", "busybox")


class Unavailable(Exception):
    """Something that a test needs cannot be had on this machine; the text says why."""


def source(package: str) -> Path:
    """The folder with a package's upstream source, as it was released."""
    folder = SOURCES / package
    if not folder.exists():
        archive = download("source", "--download-only", package, pattern=f"{package}_*.orig.tar.*")
        unpack(archive, folder)
    return folder


def source_part(package: str, inside: str, part: str) -> Path:
    """One folder out of the source archive that a binary package `package` carries at `inside`."""
    folder = SOURCES / package
    if not folder.exists():
        archive = download("download", package, pattern=f"{package}_*.deb")
        unpack_part(archive, inside, part, folder)
    return folder


def foreign_file(package: str, architecture: str, path: str) -> Path:
    """A file out of a package for another architecture of the distribution."""
    folder = FOREIGN / architecture / package
    if not folder.exists():
        name = f"{package}:{architecture}"
        pattern = f"{package}_*_{architecture}.deb"
        archive = download("download", name, pattern=pattern, architecture=architecture)
        unfinished = folder.with_name(f"{folder.name}.{os.getpid()}")
        unfinished.mkdir(parents=True)
        subprocess.run(["dpkg-deb", "-x", str(archive), str(unfinished)], check=True)
        unfinished.rename(folder)
    return folder / path


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a release, without the folder that releases are packed in."""
    unfinished = folder.with_name(f"{folder.name}.{os.getpid()}")
    unfinished.mkdir(parents=True)
    line = ["tar", "-xf", str(archive), "-C", str(unfinished), "--strip-components=1"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        shutil.rmtree(unfinished)
        raise Unavailable(f"{archive.name} cannot be unpacked: {done.stderr.strip()[-200:]}")
    unfinished.rename(folder)


def unpack_part(archive: Path, inside: str, part: str, folder: Path) -> None:
    """Unpack the files under `part` of the archive `inside` of a Debian package."""
    unfinished = folder.with_name(f"{folder.name}.{os.getpid()}")
    unfinished.mkdir(parents=True)
    outer = ["dpkg-deb", "--fsys-tarfile", str(archive)]
    middle = ["tar", "-xO", "--wildcards", inside]
    inner = [
        "tar",
        "-xJ",
        "-C",
        str(unfinished),
        "--wildcards",
        "--strip-components=1",
        f"*/{part}/*",
    ]
    with (
        subprocess.Popen(outer, stdout=subprocess.PIPE) as first,
        subprocess.Popen(middle, stdin=first.stdout, stdout=subprocess.PIPE) as second,
    ):
        done = subprocess.run(inner, stdin=second.stdout, check=False, capture_output=True)
    if done.returncode != 0:
        shutil.rmtree(unfinished)
        raise Unavailable(f"{archive.name} has no {part}: {done.stderr.decode()[-200:]}")
    unfinished.rename(folder)


def download(*arguments: str, pattern: str, architecture: str = "") -> Path:
    """Let apt-get fetch something; the file that matches `pattern`."""
    options = apt_options(architecture)
    folder = APT / "files"
    folder.mkdir(parents=True, exist_ok=True)
    if not list(folder.glob(pattern)):
        run_apt(options, *arguments, cwd=folder)
    found = [path for path in sorted(folder.glob(pattern)) if not path.name.endswith(".asc")]
    if not found:
        raise Unavailable(f"apt-get {' '.join(arguments)} brought no {pattern}")
    return found[0]


@functools.cache
def apt_options(architecture: str = "") -> tuple[str, ...]:
    """Options that make apt-get use a configuration of our own, with its package lists fetched.

    `architecture`: one to fetch lists of beside the machine's own.
    """
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise Unavailable("this is not a Debian system: no apt-get")
    for folder in ("parts", "lists/partial", "cache/archives/partial"):
        (APT / folder).mkdir(parents=True, exist_ok=True)
    write_parts()
    settings = {
        "Dir::Etc::sourcelist": "/dev/null",
        "Dir::Etc::sourceparts": str(APT / "parts"),
        "Dir::State::Lists": str(APT / "lists"),
        "Dir::Cache": str(APT / "cache"),
        "Debug::NoLocking": "1",
        "APT::Sandbox::User": "",
    }
    if architecture:
        settings["Dir::State::Lists"] = str(APT / f"lists-{architecture}")
        (APT / f"lists-{architecture}" / "partial").mkdir(parents=True, exist_ok=True)
        settings["APT::Architectures::"] = architecture
    options = tuple(part for key, value in settings.items() for part in ("-o", f"{key}={value}"))
    try:
        run_apt(options, "update", cwd=APT)
    except Unavailable:
        if not architecture:
            raise  # A list that a mirror lacks may not be the one that is needed.
    return options


def write_parts() -> None:
    """Copy the machine's package sources, with source packages switched on."""
    for path in Path("/etc/apt/sources.list.d").glob("*.sources"):
        text = re.sub(r"(?m)^Types:.*", "Types: deb deb-src", path.read_text())
        (APT / "parts" / path.name).write_text(text)
    lists = [Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*.list")]
    for path in lists:
        if path.exists():
            lines = [line for line in path.read_text().splitlines() if line.startswith("deb ")]
            both = [*lines, *(line.replace("deb ", "deb-src ", 1) for line in lines)]
            (APT / "parts" / f"{path.stem}.list").write_text("\n".join(both) + "\n")


def run_apt(options: tuple[str, ...], *arguments: str, cwd: Path) -> None:
    """Run apt-get; raises `Unavailable` with its last words."""
    done = subprocess.run(
        ["apt-get", "-qq", *options, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    if done.returncode != 0:
        words = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise Unavailable(f"apt-get {' '.join(arguments)} failed: {words[0]}")


def main() -> None:
    """Fetch everything there is; list it."""
    for package in PACKAGES:
        try:
            print(f"{package:10} {source(package).relative_to(ROOT)}")
        except Unavailable as reason:
            print(f"{package:10} not available: {reason}")


if __name__ == "__main__":
    main()
