"""Runs GCC's c-torture execute programs under emulators and compares how many pass.

    python -m tests.programs.ctorture qemu threaded jit
    python -m tests.programs.ctorture --guest i386 qemu jit

The programs come from Debian's gcc-12-source, are compiled at -O2 for the guest, and pass when they
end with status 0.  Those that do not compile are left out.  Results are kept as JSON in
build/ctorture; the programs that fail under one emulator and not under another are listed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.guests import build, emulators
from tests.guests.emulators import Emulator
from tests.programs.sources import ROOT, Unavailable, source_part

RESULTS = ROOT / "build" / "ctorture"
INSIDE = "*/gcc-12*.tar.xz"
PART = "gcc.c-torture/execute"
TIMEOUT = 60.0

QEMU_FAILS = Path(__file__).with_name("ctorture.qemu.txt")
"""The programs that compile and fail under QEMU 7.2, one a line: guest, name, reason."""

COMPILERS = {"ppc": "gcc-static", "i386": "i386-static", "x86_64": "x86_64-static"}
"""The toolchain of each guest."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one program fared: "pass", "status N", "signal N", "timeout" or "no compile"."""

    name: str
    word: str

    @property
    def is_pass(self) -> bool:
        return self.word == "pass"


def programs(guest: str = "ppc") -> list[Path]:
    """Every program of the suite's two folders.  Raises `Unavailable`."""
    if reason := build.TOOLCHAINS[COMPILERS[guest]].unavailable():
        raise Unavailable(reason)
    folder = source_part("gcc-12-source", INSIDE, PART) / "gcc/testsuite" / PART
    return [*sorted(folder.glob("*.c")), *sorted(folder.glob("ieee/*.c"))]


def name_of(path: Path) -> str:
    """The name as the suite gives it: ieee/pr67218 or 20000112-1."""
    return f"ieee/{path.stem}" if path.parent.name == "ieee" else path.stem


def options_of(path: Path) -> list[str]:
    """The compiler options a program asks for, those for certain machines left out."""
    options: list[str] = []
    for line in path.read_text(errors="replace").splitlines():
        if match := re.search(r'\{\s*dg-(?:additional-)?options\s+\{?\s*"([^"]*)"\s*\}', line):
            options += match[1].split()
    extra = path.with_suffix(".x")
    if extra.exists():
        for line in extra.read_text().splitlines():
            if "additional_flags" in line and "newlib" not in line and "_printf_float" not in line:
                options += re.findall(r'"(-[^"]*)"', line)
    return options


def compile_program(path: Path, guest: str) -> Path | None:
    """The guest binary, or None where the compiler refuses."""
    flags = ["-w", "-s", *options_of(path)]
    try:
        return build.build(path, COMPILERS[guest], "-O2", flags, ("-lm",))
    except build.BuildError:
        return None


def run_program(path: Path, binary: Path, emulator: Emulator) -> Outcome:
    """Run one program; its output is of no interest."""
    try:
        status = emulator.run(binary, cwd=binary.parent, timeout=TIMEOUT).status
    except subprocess.TimeoutExpired:
        return Outcome(name_of(path), "timeout")
    if status < 0 or status > 128:
        return Outcome(name_of(path), f"signal {-status if status < 0 else status - 128}")
    return Outcome(name_of(path), f"status {status}" if status else "pass")


Report = Callable[[], None]


def compile_all(paths: Sequence[Path], guest: str, jobs: int, report: Report) -> dict[Path, Path]:
    """Compile in parallel; those that the compiler refuses are missing from the result."""

    def one(path: Path) -> Path | None:
        binary = compile_program(path, guest)
        report()
        return binary

    with ThreadPoolExecutor(jobs) as pool:
        found = zip(paths, pool.map(one, paths), strict=True)
        return {path: binary for path, binary in found if binary is not None}


def run_all(
    binaries: dict[Path, Path], emulator: Emulator, jobs: int, report: Report
) -> list[Outcome]:
    """Run every program under one emulator, in parallel."""

    def one(item: tuple[Path, Path]) -> Outcome:
        outcome = run_program(*item, emulator)
        report()
        return outcome

    with ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(one, binaries.items()))


def failures(outcomes: Iterable[Outcome]) -> dict[str, str]:
    """Names and reasons of what did not pass."""
    return {outcome.name: outcome.word for outcome in outcomes if not outcome.is_pass}


def known_to_fail(guest: str) -> set[str]:
    """What fails under QEMU too."""
    rows = (line.split() for line in QEMU_FAILS.read_text().splitlines() if line.strip())
    return {name for machine, name, *_ in rows if machine == guest}


def emulator_named(name: str, guest: str) -> Emulator:
    """One of our engines, QEMU, or any command."""
    if name in emulators.ENGINES:
        return emulators.ours(name, guest=guest)
    if name == "qemu":
        found = emulators.qemu(guest)
        if found is None:
            raise Unavailable(f"qemu-{guest} is not installed")
        return found
    return Emulator(name, (name,))


def keep(name: str, outcomes: Sequence[Outcome]) -> None:
    """Write the results of one emulator as JSON."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    text = json.dumps({outcome.name: outcome.word for outcome in outcomes}, indent=1)
    (RESULTS / f"{name}.json").write_text(text + "\n")


def main() -> None:
    """Run the suite and print what each emulator passes."""
    from rich.console import Console
    from rich.progress import Progress, TextColumn
    from rich.table import Table

    arguments = parse()
    console = Console()
    guest = arguments.guest
    paths = [path for path in programs(guest) if arguments.only in name_of(path)][
        :: arguments.every
    ]
    columns = [*Progress.get_default_columns(), TextColumn("{task.completed}/{task.total}")]
    results: dict[str, list[Outcome]] = {}
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("compiling", total=len(paths))
        binaries = compile_all(paths, guest, arguments.jobs, lambda: progress.advance(task))
        for name in arguments.emulators:
            task = progress.add_task(name, total=len(binaries))
            emulator = emulator_named(name, guest)
            advance = lambda task=task: progress.advance(task)  # noqa: E731
            results[name] = run_all(binaries, emulator, arguments.jobs, advance)
            keep(f"{guest}-{name}", results[name])
    table = Table("emulator", "passed", "failed", title=f"GCC c-torture execute, {guest}, -O2")
    for name, outcomes in results.items():
        bad = failures(outcomes)
        table.add_row(name, str(len(outcomes) - len(bad)), str(len(bad)))
    console.print(table)
    console.print(f"{len(paths)} programs, {len(paths) - len(binaries)} do not compile")
    print_differences(console.print, results)


def print_differences(say: Callable[[str], None], results: dict[str, list[Outcome]]) -> None:
    """List each program that some emulator does not pass, with every emulator's word."""
    words = {name: {o.name: o.word for o in outcomes} for name, outcomes in results.items()}
    bad = sorted({name for outcomes in results.values() for name in failures(outcomes)})
    for program in bad:
        say(f"  {program:24} " + "  ".join(f"{name}: {words[name][program]}" for name in words))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("emulators", nargs="+", help="threaded, jit, interp, qemu, or a command")
    parser.add_argument("--guest", default="ppc", choices=COMPILERS)
    parser.add_argument("--only", default="", help="programs with this in their name")
    parser.add_argument("--every", type=int, default=1, help="each Nth program only")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
