"""The command as its users meet it: exit statuses, messages, the terminal's ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMMAND = (
    sys.executable,
    "-c",
    "import sys; from machine.main import system_i386; sys.exit(system_i386())",
)
SECTOR = 512


def run(*options: str, typed: str = "", seconds: float = 120) -> subprocess.CompletedProcess[str]:
    """Run it without a screen."""
    return subprocess.run(
        [*COMMAND, "-display", "none", "-m", "8", *options], cwd=ROOT, input=typed,
        capture_output=True, text=True, timeout=seconds, check=False,
    )  # fmt: skip


def boot_sector(path: Path, code: str) -> str:
    """A disk whose boot sector has this code, in hexadecimal."""
    sector = bytes.fromhex(code).ljust(SECTOR - 2, b"\x90") + b"\x55\xaa"
    path.write_bytes(sector.ljust(1 << 20, b"\0"))
    return f"file={path},format=raw"


HANG = "fa f4 eb fd"
EXIT_21 = "b0 15 e6 f4" + HANG
SAY_HI = "ba f8 03 b0 48 ee b0 69 ee" + EXIT_21
RESET = "b0 06 ba f9 0c ee" + HANG
OFF = "66 b8 40 0b 00 80 ba f8 0c 66 ef ba fc 0c 66 ed 25 c0 ff 83 c0 04 89 c2 b8 00 20 ef" + HANG
TRIPLE_FAULT = "31 c0 a3 60 7c 0f 01 1e 60 7c cc"
DEBUG_EXIT = ("-device", "isa-debug-exit,iobase=0xf4,iosize=4")


def test_the_guest_says_how_it_ends(tmp_path: Path) -> None:
    disk = boot_sector(tmp_path / "d", SAY_HI)
    done = run("-drive", disk, "-serial", "stdio", *DEBUG_EXIT)
    assert (done.returncode, done.stdout, done.stderr) == (21 << 1 | 1, "Hi", "")


@pytest.mark.parametrize("code", [RESET, OFF, TRIPLE_FAULT])
def test_ends_that_are_no_errors(code: str, tmp_path: Path) -> None:
    done = run("-drive", boot_sector(tmp_path / "d", code), "-no-reboot")
    assert (done.returncode, done.stderr) == (0, "")


def test_the_monitor_before_and_after_the_start(tmp_path: Path) -> None:
    disk = boot_sector(tmp_path / "d", HANG)
    lines = ["info status", "p/x $eip", "cont", "info status", "info block", "quit", ""]
    done = run("-drive", disk, "-S", "-monitor", "stdio", typed="\n".join(lines))
    assert done.returncode == 0
    text = done.stdout.replace("\r", "")
    assert "VM status: paused (prelaunch)\n" in text
    assert "\n0xfff0\n" in text
    assert "VM status: running\n" in text
    assert f"ide0-hd0: {tmp_path}/d (raw)" in text


def test_a_signal_ends_it_cleanly(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    line = [*COMMAND, "-display", "none", "-m", "8", "-pidfile", str(pid_file)]
    with subprocess.Popen(line, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        end = time.monotonic() + 60
        while not pid_file.exists() and time.monotonic() < end:
            time.sleep(0.05)
        assert pid_file.read_text() == f"{process.pid}\n"
        time.sleep(0.5)
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(60) == 0
        assert process.stderr is not None
        assert process.stderr.read() == "qemupy-system-i386: terminating on signal 15\n"
    assert not pid_file.exists()


def test_two_counted_runs_are_the_same(tmp_path: Path) -> None:
    """Ticks of the timer, as the guest sees them by its time-stamp counter."""
    read_tsc = "b9 40 00 0f 31 ba f8 03 ee e2 f8" + EXIT_21
    disk = boot_sector(tmp_path / "d", read_tsc)
    options = ("-icount", "shift=3", "-rtc", "base=2024-02-29T12:00:00")
    outputs = {
        subprocess.run(
            [*COMMAND, "-display", "none", "-m", "8", "-drive", disk, "-serial", "stdio",
             *DEBUG_EXIT, *options],
            cwd=ROOT, capture_output=True, timeout=120, check=False,
        ).stdout
        for _ in range(2)
    }  # fmt: skip
    assert len(outputs) == 1
    assert len(outputs.pop()) == 64


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["nowhere.img"], "nowhere.img: No such file or directory"),
        (["-cpu", "z80"], "there is no processor z80; -cpu help lists them"),
        (["-bios", "nowhere.bin"], "-bios nowhere.bin: there is no such file"),
        (["-bios", "README.md"], "is no BIOS"),
        (["-kernel", "README.md"], "README.md"),
        (["-kernel", "nowhere"], "nowhere"),
        (["-serial", "file:/nowhere/x"], "cannot write /nowhere/x: No such file or directory"),
        (["-D", "/nowhere/x"], "cannot write the log file /nowhere/x"),
        (["-d", "everything"], "there is no log item everything; -d help lists them"),
        (["-pidfile", "/nowhere/x"], "-pidfile: cannot write /nowhere/x"),
        (["-serial", "stdio", "-monitor", "stdio"], "is at stdio already"),
    ],
)
def test_mistakes_are_one_line(options: list[str], message: str) -> None:
    done = run(*options)
    assert done.returncode == 1
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("qemupy-system-i386: ")
