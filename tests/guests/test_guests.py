"""Small programs of our own, on every compiler and optimization, against their native output.

A program that only makes sense on one machine is in a folder of the machine's name, and has its
output in a file `<name>.expected` unless that machine is the host's.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from _pytest.mark.structures import ParameterSet

from tests.guests import build, emulators
from tests.guests.emulators import Emulator, Outcome

PROGRAMS = sorted(build.SOURCES.glob("*.c"))
GUESTS = [name for name, chain in build.TOOLCHAINS.items() if chain.guest]
FOLDERS = {"ppc": ("ppc",), "x86_64": ("x86_64", "x86"), "i386": ("i386", "x86")}
OWN_PROGRAMS = {
    guest: [path for folder in folders for path in sorted((build.SOURCES / folder).glob("*.c"))]
    for guest, folders in FOLDERS.items()
}
"""Programs that only make sense on one machine, or on its kin, in a folder of their own."""
ENGINES = ("threaded", "jit")

ARGUMENTS = {"arguments": ("one", "", "two words", "--three")}
ENVIRONMENT = {"GUEST_NAME": "value", "GUEST_EMPTY": ""}

QEMU_DIFFERS = {
    "mappings": "qemu-ppc 7.2 grows no stacks, and takes mprotect over a hole",
    "pipes": "qemu-ppc does not replace itself on execve",
    "signals": "qemu-ppc 7.2 reports SEGV_MAPERR for a protected page",
}
"""Only looked at when these tests are tried on QEMU."""

X87_DIFFERS = {"floats", "sorting", "wide"}
"""Programs whose results the x87's long registers change: compared with the same on a processor."""

# fmt: off
QUICK = {
    ("gcc-static",     "-O2"): ENGINES,       ("gcc-dynamic",  "-O0"): ENGINES,
    ("zig-musl",       "-O3"): ENGINES,       ("zig-pie",      "-O1"): ENGINES,
    ("i386-static",    "-O2"): ("jit",),      ("i386-dynamic", "-O0"): ("jit",),
    ("i386-musl",      "-O3"): ("threaded",),
    ("x86_64-static",  "-O2"): ("jit",),      ("x86_64-dynamic", "-O0"): ("jit",),
    ("x86_64-musl",    "-O3"): ("threaded",),
}
# fmt: on
"""What is always run: a compiler at one level, on these engines."""


def cases() -> list[ParameterSet]:
    """Every program, compiler, optimization and engine; the lesser part is marked slow."""
    rows: list[ParameterSet] = []
    for toolchain in GUESTS:
        for program in (*PROGRAMS, *OWN_PROGRAMS.get(build.TOOLCHAINS[toolchain].guest, ())):
            for optimization in build.OPTIMIZATIONS:
                quick = QUICK.get((toolchain, optimization), ())
                for engine in ENGINES:
                    marks = [] if engine in quick else [pytest.mark.slow]
                    row = (program, toolchain, optimization, engine)
                    name = f"{program.stem}-{toolchain}{optimization}{engine}"
                    rows.append(pytest.param(*row, marks=marks, id=name))
    return rows


def run(emulator: Emulator, program: Path, folder: Path) -> Outcome:
    """Run in an empty directory, with arguments and environment that are always the same."""
    folder.mkdir()
    extra = ARGUMENTS.get(program.stem, ())
    return emulator.run(program, *extra, cwd=folder, env=ENVIRONMENT)


def expected(source: Path, toolchain: str, binary: Path, folder: Path) -> Outcome:
    """What the program does natively, or is written to do."""
    written = source.with_suffix(".expected")
    if written.exists():
        return Outcome(0, written.read_bytes(), b"")
    if build.TOOLCHAINS[toolchain].guest == "i386" and source.stem in X87_DIFFERS:
        processor = emulators.processor("i386", is_static="dynamic" not in toolchain)
        if processor is None:
            pytest.skip("nothing here runs i386 programs")
        return run(processor, binary, folder)
    native = build.build(source, "native", "-O1")
    return run(emulators.NATIVE, native, folder)


def status_of(outcome: Outcome) -> int:
    """The status a shell would show: a death by signal n is 128 + n."""
    return 128 - outcome.status if outcome.status < 0 else outcome.status


@pytest.mark.parametrize(("program", "toolchain", "optimization", "engine"), cases())
def test_a_guest_program_does_what_it_does_natively(
    program: Path, toolchain: str, optimization: str, engine: str, tmp_path: Path
) -> None:
    reason = build.TOOLCHAINS[toolchain].unavailable()
    if reason:
        pytest.skip(reason)
    guest = build.TOOLCHAINS[toolchain].guest
    if emulators.overridden(guest) and program.stem in QEMU_DIFFERS:
        pytest.skip(QEMU_DIFFERS[program.stem])
    binary = build.build(program, toolchain, optimization)
    wanted = expected(program, toolchain, binary, tmp_path / "native")
    got = run(emulators.ours(engine, guest=guest), binary, tmp_path / "guest")
    assert got.stdout.decode() == wanted.stdout.decode()
    assert status_of(got) == status_of(wanted)
    assert not re.search(rb"Traceback", got.stderr), got.stderr.decode()


def test_a_guest_death_by_signal_is_named(tmp_path: Path) -> None:
    if emulators.overridden():
        pytest.skip("another emulator")
    for toolchain in GUESTS:
        if build.TOOLCHAINS[toolchain].unavailable() is None:
            break
    else:
        pytest.skip("no compiler for the guest")
    binary = build.build(build.SOURCES / "jumps.c", toolchain)
    assert emulators.ours("threaded").run(binary, cwd=tmp_path).status == 7
    binary = build.build(build.SOURCES / "signals.c", toolchain)
    death = emulators.ours("threaded").run(binary, cwd=tmp_path)
    assert b"uncaught target signal 6 (Aborted)" in death.stderr
