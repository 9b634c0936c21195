"""The programs that are measured, and how much work each is given.

One unit of work is one round of the program's main loop.  `full` takes five seconds or more under
qemu-ppc where a claim is made; slower engines get a smaller size, and times are compared per unit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.guests import build, emulators
from tests.guests.emulators import Emulator

FOLDER = Path(__file__).resolve().parent / "programs"
CACHE = build.ROOT / "build" / "bench-cache"

ENGINES = ("native", "qemu-ppc", "threaded", "jit, first run", "jit", "interp")
THREADED_SHARE = 8
"""`threaded` does one unit in so many of the full size."""


@dataclass(frozen=True, slots=True)
class Workload:
    """A program, what it stands for, and its sizes in units of work."""

    name: str
    stands_for: str
    full: int
    interp: int
    growth: int = 0

    def units(self, engine: str) -> int:
        """The size of the run that is timed on an engine."""
        if engine == "interp":
            return self.interp
        return max(1, self.full // THREADED_SHARE) if engine == "threaded" else self.full


# fmt: off
WORKLOADS = (
    #        program      what it stands for                             full  interp  growth
    Workload("kernels",   "lists, matrices, state machine, CRC",       100_000,      1, 16_000),
    Workload("recursion", "calls and returns",                         50_000,      1),
    Workload("copy",      "a loop that copies bytes up to a zero",    1_000_000,      5),
    Workload("nbody",     "doubles",                                2_500_000,    300, 100_000),
    Workload("sieve",     "crossing out in memory",                    20_000,      1),
    Workload("mix",       "integers, floats and doubles by turns",     10_000,      2),
)
# fmt: on

BY_NAME = {workload.name: workload for workload in WORKLOADS}


def guest_toolchain() -> str | None:
    """The compiler for guest programs: Debian's, or else zig's."""
    names = ("gcc-static", "zig-musl")
    return next((name for name in names if not build.TOOLCHAINS[name].unavailable()), None)


def program(name: str, toolchain: str) -> Path:
    """A workload compiled with -O2 and nothing else, as anybody would."""
    return build.build(FOLDER / f"{name}.c", toolchain, "-O2", ())


def emulator(engine: str) -> Emulator | None:
    """What runs an engine's programs; None where it is not installed."""
    if engine == "native":
        return emulators.NATIVE
    if engine == "qemu-ppc":
        return emulators.qemu()
    return emulators.ours(engine.partition(",")[0])


def cache_environment() -> Mapping[str, str]:
    """Our own cache directory, so that a measurement does not depend on what was run before."""
    CACHE.mkdir(parents=True, exist_ok=True)
    return {"XDG_CACHE_HOME": str(CACHE)}
