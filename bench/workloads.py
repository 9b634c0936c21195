"""The programs that are measured, and how much work each is given.

One unit of work is one round of the program's main loop.  `full` takes five seconds or more under
QEMU where a claim is made; slower engines get a smaller size, and times are compared per unit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.guests import build, emulators
from tests.guests.emulators import Emulator

FOLDER = Path(__file__).resolve().parent / "programs"
CACHE = build.ROOT / "build" / "bench-cache"

ENGINES = ("native", "qemu", "threaded", "jit, first run", "jit", "interp")
"""`qemu` is the installed qemu-<guest>."""
GUESTS = ("ppc", "x86_64", "i386")
THREADED_SHARE = 8
"""`threaded` does one unit in so many of the full size."""


@dataclass(frozen=True, slots=True)
class Workload:
    """A program for a guest, what it stands for, and its sizes in units of work.

    `interp` is 0 where the evaluator is not measured.  `flags` are the compiler's.  Where we are
    much faster than QEMU, QEMU does one unit in `share`, so that our start does not count.
    """

    guest: str
    program: str
    stands_for: str
    full: int
    interp: int = 0
    growth: int = 0
    flags: tuple[str, ...] = ("-O2",)
    share: int = 1

    @property
    def name(self) -> str:
        """What it is called in tables: `nbody`, or `i386 nbody`."""
        return self.program if self.guest == "ppc" else f"{self.guest} {self.program}"

    @property
    def engines(self) -> tuple[str, ...]:
        """What it is measured on."""
        return ENGINES if self.interp else tuple(e for e in ENGINES if e != "interp")

    def units(self, engine: str) -> int:
        """The size of the run that is timed on an engine."""
        if engine == "interp":
            return self.interp
        share = {"threaded": THREADED_SHARE * self.share, "qemu": self.share}.get(engine, 1)
        return max(1, self.full // share)


O3 = ("-O3",)

# fmt: off
WORKLOADS = (
    #        guest     program      what it stands for                       full     interp  growth
    Workload("ppc",    "kernels",   "lists, matrices, state machine, CRC",   100_000,   1, 16_000),
    Workload("ppc",    "recursion", "calls and returns",                     50_000,    1),
    Workload("ppc",    "copy",      "a loop that copies bytes up to a zero", 1_000_000, 5),
    Workload("ppc",    "nbody",     "doubles",                             2_500_000, 300, 100_000),
    Workload("ppc",    "sieve",     "crossing out in memory",                20_000,    1),
    Workload("ppc",    "mix",       "integers, floats and doubles by turns", 10_000,    2),
    Workload("x86_64", "kernels",   "lists, matrices, state machine, CRC",   100_000),
    Workload("x86_64", "recursion", "calls and returns",                     50_000),
    Workload("x86_64", "nbody",     "doubles, one by one",                   10_000_000, share=8),
    Workload("x86_64", "packed",    "vectors of floats",                800_000, flags=O3, share=8),
    Workload("x86_64", "library",   "glibc's memcpy, memset, strlen",        500_000, share=8),
    Workload("i386",   "kernels",   "lists, matrices, state machine, CRC",   100_000),
    Workload("i386",   "recursion", "calls and returns",                     50_000),
    Workload("i386",   "nbody",     "x87",                                   1_000_000, share=8),
)
# fmt: on

BY_NAME = {workload.name: workload for workload in WORKLOADS}
TOOLCHAINS = {
    "ppc": ("gcc-static", "zig-musl"),
    "x86_64": ("x86_64-static",),
    "i386": ("i386-static",),
}
"""The compilers for a guest's programs: Debian's, or else zig's."""


def guest_toolchain(guest: str = "ppc") -> str | None:
    """The first compiler for a guest that is installed."""
    names = TOOLCHAINS[guest]
    return next((name for name in names if not build.TOOLCHAINS[name].unavailable()), None)


def program(name: str, toolchain: str, flags: tuple[str, ...] = ("-O2",)) -> Path:
    """A workload compiled as anybody would."""
    return build.build(FOLDER / f"{name}.c", toolchain, flags[0], flags[1:])


def emulator(engine: str, guest: str = "ppc") -> Emulator | None:
    """What runs an engine's programs; None where it is not installed."""
    if engine == "native":
        return emulators.NATIVE
    if engine == "qemu":
        return emulators.qemu(guest)
    return emulators.ours(engine.partition(",")[0], guest=guest)


def cache_environment() -> Mapping[str, str]:
    """Our own cache directory, so that a measurement does not depend on what was run before."""
    CACHE.mkdir(parents=True, exist_ok=True)
    return {"XDG_CACHE_HOME": str(CACHE)}
