"""Real programs, byte for byte against their native output, on both compiled engines."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from _pytest.mark.structures import ParameterSet

from tests.guests import build, emulators
from tests.guests.emulators import Emulator, Outcome
from tests.programs import scripts
from tests.programs.programs import PROGRAMS, busybox, or_skip
from tests.programs.sources import foreign_file

ENGINES = ("threaded", "jit")
FOLDER = Path(__file__).resolve().parent

MFFSCRN = "qemu-ppc 7.2 does not take mffscrn, which glibc's sin executes, for mffs"

FLAVOURS = [
    pytest.param("gcc-static", "-O2", id="glibc-O2"),
    pytest.param("i386-static", "-O2", id="i386-O2"),
    pytest.param("x86_64-static", "-O2", id="x86_64-O2"),
    pytest.param("zig-musl", "-O2", id="musl-O2", marks=pytest.mark.slow),
    pytest.param("gcc-dynamic", "-O1", id="dynamic-O1", marks=pytest.mark.slow),
    pytest.param("gcc-static", "-O0", id="glibc-O0", marks=pytest.mark.slow),
    pytest.param("zig-musl", "-O3", id="musl-O3", marks=pytest.mark.slow),
    pytest.param("i386-dynamic", "-O1", id="i386-dynamic-O1", marks=pytest.mark.slow),
    pytest.param("i386-musl", "-O3", id="i386-musl-O3", marks=pytest.mark.slow),
    pytest.param("x86_64-dynamic", "-O1", id="x86_64-dynamic-O1", marks=pytest.mark.slow),
    pytest.param("x86_64-musl", "-O3", id="x86_64-musl-O3", marks=pytest.mark.slow),
]


def runs() -> list[ParameterSet]:
    """Every flavour on every engine; x86 on threaded is slow too, as PowerPC shows what matters."""
    rows = []
    for flavour in FLAVOURS:
        for engine in ENGINES:
            is_other = engine == "threaded" and "86" in str(flavour.id)
            marks = [pytest.mark.slow] if flavour.marks or is_other else []
            name = f"{flavour.id}-{engine}"
            rows.append(pytest.param(*flavour.values, engine, id=name, marks=marks))
    return rows


RUNS = runs()


@dataclass(frozen=True, slots=True)
class Step:
    """One run of a program in a folder that the steps share."""

    arguments: tuple[str, ...]
    stdin: bytes = b""


def do(*arguments: str, stdin: bytes = b"") -> Step:
    return Step(arguments, stdin)


def run_steps(
    emulator: Emulator, program: Path, steps: Sequence[Step], folder: Path
) -> list[Outcome]:
    """Run one step after the other; a death by signal is shown as a shell shows it."""
    return [
        emulator.run(program, *step.arguments, stdin=step.stdin, cwd=folder, timeout=280)
        for step in steps
    ]


def files_in(folder: Path) -> dict[str, str]:
    """The name and a hash of every file."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@dataclass(frozen=True, slots=True)
class Pair:
    """A program as a guest of ours, and what it is compared with."""

    guest: Path
    machine: str
    witness: Emulator
    native: Path

    def ours(self, engine: str) -> Emulator:
        """One of our engines, for the guest's machine."""
        return emulators.ours(engine, guest=self.machine)


def assert_same(pair: Pair, engine: str, steps: Sequence[Step], folder: Path) -> None:
    """The same steps, natively and as a guest, must print the same and leave the same files."""
    ours, theirs = folder / "guest", folder / "native"
    for place in (ours, theirs):
        place.mkdir()
    expected = run_steps(pair.witness, pair.native, steps, theirs)
    got = run_steps(pair.ours(engine), pair.guest, steps, ours)
    for step, wanted, found in zip(steps, expected, got, strict=True):
        where = f"step {' '.join(step.arguments)}: {found.stderr.decode(errors='replace')[-300:]}"
        assert found.stdout == wanted.stdout, where
        assert found.status == wanted.status, where
    assert files_in(ours) == files_in(theirs)


def both(name: str, toolchain: str, optimization: str) -> Pair:
    """A program for the guest and for the host.

    The x87 rounds otherwise than SSE: i386 programs are compared with themselves on a processor.
    """
    program = PROGRAMS[name]
    guest = or_skip(lambda: program.build(name, toolchain, optimization))
    machine = build.TOOLCHAINS[toolchain].guest
    if machine == "i386":
        processor = emulators.processor(machine, is_static="dynamic" not in toolchain)
        if processor is not None:
            return Pair(guest, machine, processor, guest)
    native = or_skip(lambda: program.build(name, "native", "-O2"))
    return Pair(guest, machine, emulators.NATIVE, native)


def quick_or_full(request: pytest.FixtureRequest, quick: int, full: int) -> int:
    """A size: the full one when slow tests were not left out."""
    return quick if "not slow" in request.config.getoption("-m") else full


@pytest.mark.parametrize(("toolchain", "optimization", "engine"), RUNS)
def test_lua(toolchain: str, optimization: str, engine: str, tmp_path: Path) -> None:
    if emulators.overridden() and toolchain.startswith("gcc"):
        pytest.skip(MFFSCRN)
    pair = both("lua", toolchain, optimization)
    script = str(FOLDER / "workload.lua")
    steps = [do("-v"), do(script, "one", "two words"), do("-", stdin=b"print(1 + 1, ...)")]
    assert_same(pair, engine, steps, tmp_path)


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("toolchain", "optimization", "engine"), RUNS)
def test_sqlite(
    toolchain: str, optimization: str, engine: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if emulators.overridden() and toolchain.startswith("gcc"):
        pytest.skip(MFFSCRN)
    pair = both("sqlite3", toolchain, optimization)
    script = scripts.sql(quick_or_full(request, 5_000, 50_000))
    again = b"SELECT count(*), sum(id), max(name) FROM item; PRAGMA integrity_check;"
    steps = [do("data.db", stdin=script), do("-header", "-box", "data.db", stdin=again)]
    assert_same(pair, engine, steps, tmp_path)


ROUND_TRIPS = {
    "bzip2": [do("-k", "data"), do("-tv", "data.bz2"), do("-dc", "data.bz2"),
              do("-dc", stdin=b"not bzip2")],
    "minigzip": [do("-9", stdin=scripts.data(50_000)), do("-c", "data"), do("data"),
                 do("-d", "data.gz")],
    "zstd": [do("-q", "-k", "data"), do("-q", "-19", "-c", "data"), do("-q", "-t", "data.zst"),
             do("-q", "-dc", "data.zst")],
}  # fmt: skip


@pytest.mark.parametrize(("toolchain", "optimization", "engine"), RUNS)
@pytest.mark.parametrize("name", ROUND_TRIPS)
def test_a_compressor_goes_there_and_back(
    name: str,
    toolchain: str,
    optimization: str,
    engine: str,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    pair = both(name, toolchain, optimization)
    data = scripts.data(quick_or_full(request, 100_000, 1_000_000))
    for place in ("guest", "native"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "data").write_bytes(data)
    steps = ROUND_TRIPS[name]
    expected = run_steps(pair.witness, pair.native, steps, tmp_path / "native")
    got = run_steps(pair.ours(engine), pair.guest, steps, tmp_path / "guest")
    assert [(one.status, one.stdout) for one in got] == [
        (one.status, one.stdout) for one in expected
    ]
    assert files_in(tmp_path / "guest") == files_in(tmp_path / "native")
    assert (tmp_path / "guest" / "data").read_bytes() == data


# -- Lua's own tests --------------------------------------------------------------------------

LANGUAGE = """api big bitwise bwcoercion calls closure code constructs coroutine cstack db errors
events gc gengc goto literals locals math nextvar pm sort strings tpack utf8 vararg""".split()

CHANGING = {
    "constructs": r"\(\d\)",
    "sort": r"[\d.]+ msec|with \d+",
    "tpack": r"\d+|little|big",
    "math": r"[\d.]+|0x\w+",
}
"""What depends on the clock, on chance or on the machine, in the output of some of them."""


def lua_tests() -> Path:
    """The folder testes/ of the release, which no distribution packages."""
    folder = os.environ.get("QEMUPY_LUA_TESTS")
    if not folder:
        pytest.skip("set QEMUPY_LUA_TESTS to the folder testes of Lua 5.4.4's repository")
    return Path(folder)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", LANGUAGE)
def test_the_language_part_of_luas_own_tests(name: str, engine: str) -> None:
    folder = lua_tests()
    if emulators.overridden() and name == "literals":
        pytest.skip("musl, which qemu-ppc 7.2 needs for Lua, has no locales")
    toolchain = "zig-musl" if emulators.overridden() else "gcc-static"
    pair = both("lua", toolchain, "-O2")
    arguments = ("-e", "_port = true; _soft = true; _nomsg = true; _U = true", f"{name}.lua")
    wanted = pair.witness.run(pair.native, *arguments, cwd=folder)
    got = pair.ours(engine).run(pair.guest, *arguments, cwd=folder, timeout=280)
    assert wanted.status == 0
    assert got.status == 0, got.stderr.decode()[-500:]
    changing = CHANGING.get(name, r"$^").encode()
    assert re.sub(changing, b"", got.stdout) == re.sub(changing, b"", wanted.stdout)


# -- busybox ----------------------------------------------------------------------------------

TEXT = scripts.text(3000)

# fmt: off
APPLETS = [
    do("echo", "-e", r"one\ttwo"),            do("printf", "%05d %s %x\n", "42", "word", "255"),
    do("seq", "1", "3", "20"),                do("expr", "6", "*", "7"),
    do("factor", "123456789"),                do("basename", "/a/b/c.txt", ".txt"),
    do("cat", "-n", stdin=TEXT),              do("head", "-n", "5", stdin=TEXT),
    do("tail", "-n", "5", stdin=TEXT),        do("wc", stdin=TEXT),
    do("sort", "-r", stdin=TEXT),             do("sort", "-k2,2", "-u", stdin=TEXT),
    do("uniq", "-c", stdin=b"a\na\nb\n"),     do("cut", "-d", " ", "-f", "2,4", stdin=TEXT),
    do("tr", "a-z", "A-Z", stdin=TEXT),       do("rev", stdin=TEXT),
    do("fold", "-w", "20", stdin=TEXT),       do("nl", stdin=TEXT),
    do("tac", stdin=TEXT),                    do("paste", "-s", "-d", ",", stdin=TEXT),
    do("grep", "-n", "c[ao]", stdin=TEXT),    do("grep", "-cv", "carry", stdin=TEXT),
    do("sed", "-e", r"s/\([a-z]*\) \([a-z]*\)/\2 \1/g;3d", stdin=TEXT),
    do("awk", "{ n[$2]++; s += NF } END { for (k in n) t += n[k]; print t, s, s / NR, sqrt(s) }",
       stdin=TEXT),
    do("awk", "BEGIN { for (i = 0; i < 300; i++) x = x i; print length(x), substr(x, 9), 7 / 3 }"),
    do("md5sum", stdin=TEXT),                 do("sha1sum", stdin=TEXT),
    do("sha256sum", stdin=TEXT),              do("sha512sum", stdin=TEXT),
    do("sha3sum", stdin=TEXT),                do("cksum", stdin=TEXT),
    do("sum", stdin=TEXT),                    do("crc32", stdin=TEXT),
    do("od", "-A", "d", "-t", "x1", stdin=TEXT[:200]), do("xxd", stdin=TEXT[:200]),
    do("hexdump", "-C", stdin=TEXT[:200]),    do("base64", stdin=TEXT),
    do("uuencode", "name", stdin=TEXT),       do("strings", "-n", "6", stdin=TEXT),
    do("gzip", "-c", stdin=TEXT),             do("bzip2", "-c", stdin=TEXT),
    do("tee", "copy", stdin=TEXT),            do("cp", "copy", "other"),
    do("cmp", "copy", "other"),
    do("diff", "copy", "-", stdin=TEXT.replace(b"carry", b"Carry")),
    do("mkdir", "-p", "a/b/c"),               do("touch", "a/b/file"),
    do("ln", "-s", "b/file", "a/link"),       do("readlink", "a/link"),
    do("find", "a", "-name", "f*"),           do("mv", "other", "a/b/moved"),
    do("stat", "-c", "%s %F %a %h", "a/b/moved"), do("ls", "a/b"),
    do("tar", "cf", "archive.tar", "--exclude", "*", "a"),
    do("dd", "if=copy", "of=part", "bs=100", "skip=3", "count=4"),
    do("truncate", "-s", "5000", "part"),     do("split", "-l", "10", "copy", "piece-"),
    do("cpio", "-t", stdin=b""),              do("bc", stdin=b"scale=30; 4*a(1)\n2^200\n"),
    do("dc", "-e", "2 100 ^ p"),              do("cal", "2", "2024"),
    do("date", "-u", "-d", "@1234567890"),    do("env", "-i", "A=1"),
    do("test", "-d", "a"),                    do("test", "-f", "a"),
    do("true"),                               do("false"),
    do("sh", "-c", "for i in 1 2 3; do echo $((i * i)); done; x=abc; echo ${x%c} ${#x}; exit 9"),
    do("sh", "-c", "f() { echo f$1; return 4; }; f x; echo $?; case abc in a*) echo yes;; esac"),
    do("sh", "-c", "echo piped | while read word; do echo -$word; done; (echo s; exit 3); echo $?"),
    do("sh", "-c", "trap 'echo trapped' USR1; kill -USR1 $$; kill -TERM $$; echo unreached"),
    do("no-such-applet"),
]
# fmt: on

SCRIPT = """
busybox=$1
export LC_ALL=C
set -e
for i in $($busybox seq 1 30); do echo "line $i" ; done > lines
$busybox sort -r lines | $busybox head -n 3
$busybox grep -c 2 lines
$busybox tar cf - lines | $busybox tar tf -
$busybox gzip -c lines | $busybox gunzip -c | $busybox md5sum
$busybox find . -name 'li*' -exec $busybox wc -l {} +
$busybox seq 1 1000 | $busybox awk '{ s += $1 } END { print s }'
$busybox xargs -n 2 $busybox echo < lines | $busybox tail -n 2
$busybox sh -c 'echo nested; exit 5' || echo "status $?"
($busybox sleep 0.05; echo later) & wait; echo waited
"""


BUSYBOXES = ("gcc-static", "i386-static", "x86_64-static")


def busyboxes(toolchain: str) -> Pair:
    """busybox by its own makefiles, for the guest and for the host."""
    guest = or_skip(lambda: busybox(toolchain))
    native = or_skip(lambda: busybox("native"))
    return Pair(guest, build.TOOLCHAINS[toolchain].guest, emulators.NATIVE, native)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("toolchain", BUSYBOXES)
@pytest.mark.timeout(1800)
@pytest.mark.slow
def test_busybox_applets(toolchain: str, engine: str, tmp_path: Path) -> None:
    assert_same(busyboxes(toolchain), engine, APPLETS, tmp_path)


def assert_same_script(pair: Pair, engine: str, tmp_path: Path) -> None:
    """A script of many small processes does the same as natively."""
    outcomes = []
    for emulator, binary in ((pair.witness, pair.native), (pair.ours(engine), pair.guest)):
        folder = tmp_path / emulator.name
        folder.mkdir()
        outcomes.append(emulator.run(binary, "sh", "-c", SCRIPT, "sh", str(binary), cwd=folder))
    wanted, got = outcomes
    assert got.stdout.decode() == wanted.stdout.decode(), got.stderr.decode()
    assert got.status == wanted.status == 0


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("toolchain", BUSYBOXES)
@pytest.mark.timeout(1800)
@pytest.mark.slow
def test_a_busybox_script_with_many_processes(toolchain: str, engine: str, tmp_path: Path) -> None:
    if emulators.overridden():
        pytest.skip("qemu-ppc does not execute guest programs on execve")
    assert_same_script(busyboxes(toolchain), engine, tmp_path)


SOME_APPLETS = [
    do("uname", "-m"), do("sh", "-c", "for i in 1 2 3; do echo $((i * i)); done; exit 9"),
    do("sort", "-r", stdin=TEXT), do("sha256sum", stdin=TEXT), do("gzip", "-c", stdin=TEXT),
    do("bc", stdin=b"scale=30; 4*a(1)\n2^200\n"),
]  # fmt: skip


@pytest.mark.parametrize("engine", ENGINES)
def test_the_distribution_s_busybox_of_i386(engine: str, tmp_path: Path) -> None:
    """A binary that nobody here has compiled."""
    program = or_skip(lambda: foreign_file("busybox-static", "i386", "bin/busybox"))
    processor = emulators.processor("i386", is_static=True)
    if processor is None:
        pytest.skip("nothing here runs i386 programs")
    pair = Pair(program, "i386", processor, program)
    steps = SOME_APPLETS[1:] if processor.command == () else SOME_APPLETS
    assert_same(pair, engine, steps, tmp_path)


# -- the guest's own C library ----------------------------------------------------------------

LOADERS = {"gcc-dynamic": "ld.so.1", "i386-dynamic": "ld-linux.so.2"}
"""The dynamic loaders of the cross compilers' libraries."""


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("toolchain", LOADERS)
def test_the_c_library_says_its_version(toolchain: str, engine: str) -> None:
    chain = build.TOOLCHAINS[toolchain]
    if reason := chain.unavailable():
        pytest.skip(reason)
    library = emulators.SYSROOTS[chain.guest] / "lib"
    banner = re.search(rb"GNU C Library [^\0]*?\n", (library / "libc.so.6").read_bytes())
    assert banner is not None
    loader = str(library / LOADERS[toolchain])
    arguments = ("--library-path", str(library), str(library / "libc.so.6"))
    ours = emulators.ours(engine, guest=chain.guest)
    got = ours.run(loader, *arguments)
    assert got.stdout.startswith(banner[0])
    assert got.status == 0
    listed = ours.run(loader, "--list", str(library / "libm.so.6"))
    assert b"libc.so.6" in listed.stdout
