"""Gets the foreign compilers and emulators that the tests compare with, or says what is missing.

`python -m scripts.tools` is quick when everything is there.  zig comes with the Python packages;
Debian's cross compiler and QEMU are installed where we are root and apt-get exists.  Nothing here
is needed to run qemupy.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

# fmt: off
TOOLS = {
    # command                 Debian packages                          without it
    "gcc":                   (("gcc", "libc6-dev"),                    "zig makes native builds"),
    "powerpc-linux-gnu-gcc": (("gcc-powerpc-linux-gnu",
                               "libc6-dev-powerpc-cross"),             "no glibc guests"),
    "i686-linux-gnu-gcc":    (("gcc-i686-linux-gnu",
                               "libc6-dev-i386-cross"),                "no i386 glibc guests"),
    "qemu-ppc":              (("qemu-user",),                          "no comparison with it"),
    "tclsh":                 (("tcl",),                                "no SQLite as a guest"),
}
# fmt: on
"""Commands, where Debian has them, and what is lost without them."""


def missing() -> dict[str, tuple[tuple[str, ...], str]]:
    """The tools that are not in PATH."""
    return {command: row for command, row in TOOLS.items() if shutil.which(command) is None}


def can_install() -> bool:
    """Whether packages can be installed for the whole machine."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def install(packages: list[str]) -> bool:
    """Install Debian packages; says why when it does not work."""
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    for step in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
        done = subprocess.run(
            ["apt-get", "-qq", *step], env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            print(f"tools: apt-get {step[0]} failed: {done.stderr.strip()[-300:]}", file=sys.stderr)
            return False
    return True


def main() -> None:
    """Install what can be installed; say what is left out."""
    wanted = [package for packages, _ in missing().values() for package in packages]
    if wanted and can_install():
        print(f"tools: installing {' '.join(wanted)}")
        install(wanted)
    for command, (packages, consequence) in missing().items():
        print(
            f"tools: no {command}: {consequence}; its tests are skipped "
            f"(on Debian: apt-get install {' '.join(packages)})"
        )


if __name__ == "__main__":
    main()
