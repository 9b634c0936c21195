"""How the real programs are built from their sources, for the guest and for the host."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.guests import build
from tests.programs.sources import ROOT, Unavailable, source

BUILT = ROOT / "build" / "programs"


@dataclass(frozen=True, slots=True)
class Program:
    """A program made of some of a package's C files."""

    package: str
    files: tuple[str, ...]
    without: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()

    def sources(self) -> list[Path]:
        """Its files, found by patterns.  Raises `Unavailable`."""
        folder = prepared(self.package)
        left_out = {folder / name for name in self.without}
        found = [path for pattern in self.files for path in sorted(folder.glob(pattern))]
        return [path for path in found if path not in left_out]

    def build(self, name: str, toolchain: str, optimization: str) -> Path:
        """The binary.  Raises `Unavailable`; a compiler's complaint is a failure."""
        if reason := build.TOOLCHAINS[toolchain].unavailable():
            raise Unavailable(reason)
        flags = (*self.flags, *build.SAME_FLOATS)
        sources = self.sources()
        return build.build(sources, toolchain, optimization, flags, self.libraries, name)


ZSTD = ("common", "compress", "decompress", "dictBuilder")

# fmt: off
PROGRAMS = {
    "lua":      Program("lua5.4", ("src/*.c",), ("src/luac.c",), ("-DLUA_USE_POSIX",), ("-lm",)),
    "sqlite3":  Program("sqlite3", ("sqlite3.c", "shell.c"),
                        flags=("-DSQLITE_THREADSAFE=0", "-DSQLITE_OMIT_LOAD_EXTENSION",
                               "-DSQLITE_ENABLE_MATH_FUNCTIONS"),
                        libraries=("-lm",)),
    "bzip2":    Program("bzip2", ("*.c",), ("bzip2recover.c", "dlltest.c", "mk251.c",
                                            "spewG.c", "unzcrash.c")),
    "minigzip": Program("zlib", ("*.c", "test/minigzip.c"), flags=("-DHAVE_UNISTD_H",)),
    "zstd":     Program("libzstd", (*(f"lib/{part}/*.c" for part in ZSTD), "programs/*.c"),
                        flags=("-DXXH_NAMESPACE=ZSTD_", "-DZSTD_DISABLE_ASM=1", "-DZSTD_NOTRACE")),
}
# fmt: on


def prepared(package: str) -> Path:
    """A package's source folder, with what its C files need first."""
    folder = source(package)
    if package == "sqlite3":
        return amalgamation(folder)
    if package == "zlib":
        return with_include(folder)
    return folder


def with_include(folder: Path) -> Path:
    """zlib's test programs include zlib.h from the folder above them."""
    for header in ("zlib.h", "zconf.h"):
        link = folder / "test" / header
        if not link.exists():
            link.symlink_to(Path("..") / header)
    return folder


def amalgamation(folder: Path) -> Path:
    """SQLite as two C files; its own scripts make them with tclsh."""
    result = ROOT / "build" / "sources" / "sqlite3-amalgamation"
    if result.exists():
        return result
    if shutil.which("tclsh") is None:
        raise Unavailable("tclsh is not installed: SQLite's sources cannot be put together")
    unfinished = result.with_name(f"{result.name}.{os.getpid()}")
    unfinished.mkdir(parents=True)
    command([str(folder / "configure"), "--disable-tcl"], unfinished)
    command(["make", "sqlite3.c", "shell.c"], unfinished)
    unfinished.rename(result)
    return result


def busybox(toolchain: str) -> Path:
    """busybox with its usual applets, by its own makefiles and gcc."""
    if reason := build.TOOLCHAINS[toolchain].unavailable():
        raise Unavailable(reason)
    prefix = build.TOOLCHAINS[toolchain].command[0].removesuffix("gcc")
    if not shutil.which(f"{prefix}gcc"):
        raise Unavailable("gcc is not installed")
    folder = BUILT / f"busybox-{toolchain}"
    if not (folder / "busybox").exists():
        configure_busybox(source("busybox"), folder)
        jobs = f"-j{os.cpu_count() or 1}"
        command(["make", jobs, f"CROSS_COMPILE={prefix}", "busybox"], folder)
    return folder / "busybox"


WITHOUT_APPLETS = ("TC", "FEATURE_HAVE_RPC", "FEATURE_INETD_RPC", "FEATURE_MOUNT_NFS")


def configure_busybox(folder: Path, target: Path) -> None:
    """Its default configuration, static, without what needs old kernel headers."""
    target.mkdir(parents=True, exist_ok=True)
    command(["make", "-C", str(folder), f"O={target}", "defconfig"], target)
    text = (target / ".config").read_text()
    for name in WITHOUT_APPLETS:
        text = text.replace(f"CONFIG_{name}=y", f"# CONFIG_{name} is not set")
    text = text.replace("# CONFIG_STATIC is not set", "CONFIG_STATIC=y")
    (target / ".config").write_text(text)
    command(["make", "oldconfig"], target, answers="\n" * 2000)


def command(line: Sequence[str], folder: Path, answers: str = "") -> None:
    """Run a step of a build; raises `BuildError` with its last words."""
    done = subprocess.run(
        line,
        cwd=folder,
        input=answers,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        raise build.BuildError(f"{' '.join(line)}: {done.stderr[-2000:]}")


def or_skip(make: Callable[[], Path]) -> Path:
    """What `make` gives; a test is skipped where it cannot be had on this machine."""
    import pytest

    try:
        return make()
    except Unavailable as reason:
        pytest.skip(str(reason))
