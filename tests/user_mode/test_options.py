"""The command line: what is understood, what is refused, and the help."""

from __future__ import annotations

from typing import Any

import pytest

from user_mode.errors import UserError
from user_mode.options import OPTIONS, environment, read_options
from user_mode.usage import print_usage, spelling


def read(line: str, **environ: str) -> Any:
    return read_options(line.split(), environ)


def test_options_end_at_the_program() -> None:
    settings = read("-L /root -strace ./prog -L x -h")
    assert (settings.sysroot, settings.strace) == ("/root", True)
    assert (settings.program, settings.arguments) == ("./prog", ["-L", "x", "-h"])
    assert read("-- -odd").program == "-odd"
    assert read("--strace prog").strace


def test_values() -> None:
    settings = read(
        "-0 name -s 16M -cpu 750 -d in_asm,op -D log.%d -dfilter 0x1000+16 -accel threaded"
        " -one-insn-per-tb -perfmap -r 6.1 -R 0x80000000 -B 0x1000 prog"
    )
    assert settings.argv0 == "name"
    assert settings.stack_size == 16 << 20
    assert (settings.cpu, settings.log_items, settings.log_file) == ("750", "in_asm,op", "log.%d")
    assert (settings.log_filter, settings.accelerator) == ("0x1000+16", "threaded")
    assert settings.one_instruction
    assert settings.perf_map
    assert (settings.uname_release, settings.address_space) == ("6.1", 1 << 31)
    assert read("-singlestep prog").one_instruction


@pytest.mark.parametrize(
    ("text", "size"), [("65536", 65536), ("0x100000", 1 << 20), ("1G", 1 << 30), ("100k", 102400)]
)
def test_sizes(text: str, size: int) -> None:
    assert read(f"-s {text} prog").stack_size == size


def test_variables_stand_for_options_and_the_command_line_wins() -> None:
    assert read("prog", QEMU_LD_PREFIX="/a").sysroot == "/a"
    assert read("prog", QEMU_LD_PREFIX="/a", QEMUPY_LD_PREFIX="/b").sysroot == "/b"
    assert read("-L /c prog", QEMUPY_LD_PREFIX="/b").sysroot == "/c"
    assert read("prog", QEMU_STRACE="1").strace
    assert not read("prog", QEMU_STRACE="1", QEMUPY_STRACE="0").strace
    assert read("prog", QEMUPY_ACCEL="interp", QEMU_LOG="cpu").accelerator == "interp"
    with pytest.raises(UserError, match=r"QEMU_STACK_SIZE: -s big: write a size"):
        read("prog", QEMU_STACK_SIZE="big")


def test_the_environment_changes_in_order() -> None:
    settings = read("-E A=1,B=x=y -U C,D -E C=3 prog", QEMU_SET_ENV="A=0,E=5")
    before = {b"A": b"old", b"C": b"old", b"D": b"old", b"F": b"\xff"}
    assert environment(settings, before) == [b"A=1", b"F=\xff", b"E=5", b"B=x=y", b"C=3"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "say which program to run; -h shows how"),
        ("-strace", "say which program to run; -h shows how"),
        ("-nope prog", "there is no option -nope; -h lists them"),
        ("---L x prog", "there is no option ---L; -h lists them"),
        ("-L", "-L needs a value: -L path"),
        ("-s 1x prog", "-s 1x: write a size like 65536, 0x10000, 64K or 8M"),
        ("-s -1 prog", "-s -1: the size must be above zero"),
        ("-E A prog", "-E A: write -E name=value, or several with commas between"),
        ("-U A=1 prog", "-U A=1: write -U name, or several with commas between"),
        ("-accel kvm prog", "-accel kvm: there are interp, threaded, jit"),
    ],
)
def test_mistakes(line: str, message: str) -> None:
    with pytest.raises(UserError) as raised:
        read(line)
    assert (raised.value.message, raised.value.status) == (message, 1)


def test_every_option_is_in_the_help(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    print_usage("qemupy-ppc", "32-bit PowerPC", "/usr/powerpc-linux-gnu")
    text = capsys.readouterr().out
    for option in OPTIONS:
        assert spelling(option) in text
        assert not option.variable or f"QEMUPY_{option.variable}" in text
    assert "qemupy-ppc -L /usr/powerpc-linux-gnu ./hello one two" in text


def test_no_option_is_there_twice() -> None:
    names = [name for option in OPTIONS for name in option.names]
    variables = [option.variable for option in OPTIONS if option.variable]
    assert len(set(names)) == len(names)
    assert len(set(variables)) == len(variables)
