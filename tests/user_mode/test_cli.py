"""The command `qemupy-ppc`: what it says and how it exits when no program runs, and when one does.

The programs that run are a few instructions, put together by hand.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.user_mode.elves import PT_GNU_STACK, PT_LOAD, Elf, Part, R, W, X, dynamic
from user_mode.build import PPC, Guest
from user_mode.main import main

Put = Callable[..., str]
CODE = 0x10000000

EXIT_42 = (0x38000001, 0x3860002A, 0x44000002)
"""li r0, 1; li r3, 42; sc"""
STORE_AT_8 = (0x38600000, 0x90630008)
"""li r3, 0; stw r3, 8(r3)"""
ABORT = (0x38000014, 0x44000002, 0x38000025, 0x38800006, 0x44000002)
"""li r0, 20 (getpid); sc; li r0, 37 (kill); li r4, 6; sc"""
ILLEGAL = (0,)


def program(words: Sequence[int]) -> Elf:
    code = b"".join(word.to_bytes(4, "big") for word in words)
    parts = (Part(PT_LOAD, R | X, CODE, code), Part(PT_GNU_STACK, R | W))
    return Elf(parts, entry=CODE)


@pytest.fixture
def put(tmp_path: Path) -> Put:
    """Put a program into a file; answers its path."""

    def write(content: Elf | bytes, mode: int = 0o755) -> str:
        path = tmp_path / "program"
        path.write_bytes(bytes(content))
        path.chmod(mode)
        return str(path)

    return write


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does."""
    start = "import sys; from user_mode.main import ppc; sys.exit(ppc())"
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("QEMU_", "QEMUPY_"))}
    return subprocess.run(
        [sys.executable, "-c", start, *arguments],
        env=clean | environ, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def complain(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Run the command here, to its error: status and line."""
    status = main(PPC, arguments, {})
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("qemupy-ppc: ")
    return status, err.removeprefix("qemupy-ppc: ").rstrip("\n")


# -- mistakes ------------------------------------------------------------------------------


def test_mistakes_are_one_line_and_a_status(
    capfd: pytest.CaptureFixture[str], put: Put, tmp_path: Path
) -> None:
    assert complain(capfd) == (1, "say which program to run; -h shows how")
    assert complain(capfd, "/nowhere/x") == (127, "/nowhere/x: no such file")
    assert complain(capfd, str(tmp_path)) == (126, f"{tmp_path} is a directory")
    text = put(b"hello world")
    assert complain(capfd, text)[0] == 126
    assert complain(capfd, put(dynamic(b"/lib/ld-none.so")))[0] == 127
    assert complain(capfd, "-cpu", "g5", text) == (
        1, "there is no processor g5; -cpu help lists them",
    )  # fmt: skip
    assert complain(capfd, "-d", "x", text) == (1, "there is no log item x; -d help lists them")
    assert complain(capfd, "-D", "/nowhere/x", text)[0] == 1


def test_another_machines_program_names_its_command(
    capfd: pytest.CaptureFixture[str], put: Put
) -> None:
    path = put(Elf(program(EXIT_42).parts, machine=40, big=False))
    line = f"{path} is an ARM program (ELF32 little-endian, EM_ARM); run it with qemupy-arm"
    assert complain(capfd, path) == (126, line)


def test_an_error_of_our_own_is_one_line_too(capfd: pytest.CaptureFixture[str], put: Put) -> None:
    def build(*_: object) -> None:
        raise RuntimeError("the reason")

    broken: Guest = PPC._replace(build=build)  # type: ignore[arg-type]
    assert main(broken, [put(program(EXIT_42))], {}) == 70
    line = "qemupy-ppc: internal error: RuntimeError: the reason (QEMUPY_DEBUG=1 shows where)\n"
    assert capfd.readouterr().err == line
    main(broken, [put(program(EXIT_42))], {"QEMUPY_DEBUG": "1"})
    assert "Traceback" in capfd.readouterr().err


def test_what_can_be_asked_for(capfd: pytest.CaptureFixture[str]) -> None:
    for arguments, wanted in (
        (["-version"], "qemupy-ppc 0."),
        (["-h"], "usage: qemupy-ppc [options] program"),
        (["--help"], "-strace"),
        (["-cpu", "help"], "750"),
        (["-d", "help"], "in_asm"),
    ):
        assert main(PPC, arguments, {}) == 0
        assert wanted in capfd.readouterr().out


# -- programs ------------------------------------------------------------------------------


@pytest.mark.parametrize("accelerator", ["interp", "threaded", "jit"])
def test_the_exit_status_is_the_programs(put: Put, accelerator: str) -> None:
    done = run("-accel", accelerator, put(program(EXIT_42)))
    assert (done.returncode, done.stdout, done.stderr) == (42, "", "")


@pytest.mark.parametrize(
    ("words", "signo", "name"),
    [
        (STORE_AT_8, signal.SIGSEGV, "Segmentation fault"),
        (ILLEGAL, signal.SIGILL, "Illegal instruction"),
        (ABORT, signal.SIGABRT, "Aborted"),
    ],
)
def test_death_by_a_signal_is_ours_too(
    put: Put, words: Sequence[int], signo: signal.Signals, name: str
) -> None:
    done = run(put(program(words)))
    line = f"qemu: uncaught target signal {signo.value} ({name}) - core dumped\n"
    *before, last = done.stderr.splitlines(keepends=True)
    assert (done.returncode, last) == (-signo, line)
    named = ["unknown instruction 00 00 00 00 at 0x10000000"] if signo == signal.SIGILL else []
    assert len(before) == len(named)
    assert all(text in said for text, said in zip(named, before, strict=True))


def test_the_log_goes_where_it_is_told(put: Put, tmp_path: Path) -> None:
    log = tmp_path / "log"
    done = run("-d", "in_asm,page", "-strace", "-D", str(log), put(program(EXIT_42)))
    assert (done.returncode, done.stderr) == (42, "")
    text = log.read_text()
    assert "10000000-10001000 r-xp" in text
    assert "[stack]" in text
    assert "li" in text
    assert "exit(42)" in text


def test_a_script_is_run_by_its_interpreter(put: Put, tmp_path: Path) -> None:
    path = put(program(EXIT_42))
    script = tmp_path / "script"
    script.write_text(f"#!{path}\n")
    script.chmod(0o755)
    assert run(str(script)).returncode == 42


def test_variables_are_read(put: Put) -> None:
    done = run(put(program(EXIT_42)), QEMU_STRACE="1")
    assert "exit(42)" in done.stderr
