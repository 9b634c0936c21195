"""The command line of `qemupy-<guest>`: a table of options, their variables, and their help.

The options are those of QEMU's user-mode commands, written the same way: one dash or two, the
value as the next argument, and everything after the program's name belongs to the program.
argparse cannot do that without contortions, and takes ten milliseconds to import.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from user_mode.errors import UserError

ACCELERATORS = ("interp", "threaded", "jit")


class Settings:
    """What the user asked for."""

    def __init__(self) -> None:
        self.sysroot = ""
        self.changes: list[tuple[str, str | None]] = []
        """Environment variables to set, or with None to unset, in order."""
        self.argv0: str | None = None
        self.stack_size: int | None = None
        self.cpu = ""
        self.strace = False
        self.log_items = ""
        self.log_file = ""
        self.log_filter = ""
        self.one_instruction = False
        self.accelerator = "jit"
        self.perf_map = False
        self.address_space: int | None = None
        self.uname_release = ""
        self.special = ""
        """`help`, `version`: what to do instead of running a program."""
        self.program = ""
        self.arguments: list[str] = []


Setter = Callable[[Settings, str], None]


class Option(NamedTuple):
    """An option: names, how its value is called (empty if it has none), variable, meaning.

    The variable is read as QEMUPY_... or else as QEMU_...; the command line wins over both.
    """

    names: tuple[str, ...]
    metavar: str
    variable: str
    set: Setter
    help: str


def _store(name: str) -> Setter:
    return lambda settings, value: setattr(settings, name, value)


def _switch(name: str) -> Setter:
    return lambda settings, _: setattr(settings, name, True)


def _special(name: str) -> Setter:
    return lambda settings, _: setattr(settings, "special", name)


def _set_variables(settings: Settings, text: str) -> None:
    for part in text.split(","):
        name, found, value = part.partition("=")
        if not found or not name:
            raise UserError(f"-E {text}: write -E name=value, or several with commas between")
        settings.changes.append((name, value))


def _unset_variables(settings: Settings, text: str) -> None:
    for name in text.split(","):
        if not name or "=" in name:
            raise UserError(f"-U {text}: write -U name, or several with commas between")
        settings.changes.append((name, None))


def _size(option: str, text: str) -> int:
    """A size: a number in any base Python reads, with K, M or G after it."""
    shift = {"k": 10, "m": 20, "g": 30}.get(text[-1:].lower(), 0)
    try:
        size = int(text[:-1] if shift else text, 0) << shift
    except ValueError:
        raise UserError(f"{option} {text}: write a size like 65536, 0x10000, 64K or 8M") from None
    if size <= 0:
        raise UserError(f"{option} {text}: the size must be above zero")
    return size


def _stack_size(settings: Settings, text: str) -> None:
    settings.stack_size = max(_size("-s", text), 65536)


def _address_space(settings: Settings, text: str) -> None:
    settings.address_space = _size("-R", text) if text != "0" else None


def _accelerator(settings: Settings, text: str) -> None:
    if text not in ACCELERATORS:
        raise UserError(f"-accel {text}: there are {', '.join(ACCELERATORS)}")
    settings.accelerator = text


def _ignore(settings: Settings, text: str) -> None:
    """For what QEMU needs to be told and qemupy does not."""


# fmt: off
OPTIONS: tuple[Option, ...] = (
    Option(("h", "help"), "", "", _special("help"), "print this help"),
    Option(("version",), "", "", _special("version"), "print the version"),
    Option(("L",), "path", "LD_PREFIX", _store("sysroot"),
           "root directory of the guest: files are looked up there first"),
    Option(("E",), "var=value", "SET_ENV", _set_variables, "set an environment variable"),
    Option(("U",), "var", "UNSET_ENV", _unset_variables, "unset an environment variable"),
    Option(("0",), "argv0", "ARGV0", _store("argv0"), "what the program gets as argv[0]"),
    Option(("s",), "size", "STACK_SIZE", _stack_size, "size of its stack, 8M if not given"),
    Option(("cpu",), "model", "CPU", _store("cpu"), "the processor; -cpu help lists them"),
    Option(("r",), "release", "UNAME", _store("uname_release"), "what uname -r says"),
    Option(("R",), "size", "RESERVED_VA", _address_space, "end of the guest's address space"),
    Option(("B",), "address", "GUEST_BASE", _ignore, "accepted for QEMU's sake; the host chooses"),
    Option(("accel",), "name", "ACCEL", _accelerator,
           "jit (the default), threaded (compiles no hot code) or interp (plain Python)"),
    Option(("strace",), "", "STRACE", _switch("strace"), "show system calls"),
    Option(("d",), "item[,...]", "LOG", _store("log_items"),
           "show what goes on; -d help lists the items"),
    Option(("dfilter",), "range[,...]", "DFILTER", _store("log_filter"),
           "show it for these guest addresses: start..end, start+length, end-length"),
    Option(("D",), "file", "LOG_FILENAME", _store("log_file"),
           "write it to a file instead of stderr; %d in its name is the process id"),
    Option(("one-insn-per-tb", "singlestep"), "", "SINGLESTEP", _switch("one_instruction"),
           "one guest instruction in each block"),
    Option(("perfmap",), "", "PERFMAP", _switch("perf_map"),
           "write /tmp/perf-<pid>.map for perf(1)"),
)
# fmt: on

VARIABLES: tuple[tuple[str, str], ...] = (
    ("QEMUPY_CACHE", "off: keep no compiled code on disk"),
    ("QEMUPY_CACHE_DIR", "where it is kept, ~/.cache/qemupy if not given"),
    ("QEMUPY_CACHE_LIMIT", "how many MiB of it are kept"),
    ("QEMUPY_DEBUG", "1: show where in qemupy an internal error happened"),
)
"""What has a variable and no option."""

_BY_NAME = {name: option for option in OPTIONS for name in option.names}


def read_options(argv: Sequence[str], environ: Mapping[str, str]) -> Settings:
    """Read variables, then arguments (without the command's own name); raises UserError."""
    settings = Settings()
    for option in OPTIONS:
        for name in (f"QEMUPY_{option.variable}", f"QEMU_{option.variable}"):
            if option.variable and name in environ:
                _set_from(settings, option, name, environ[name])
                break
    rest = _read_arguments(settings, list(argv))
    if rest:
        settings.program, settings.arguments = rest[0], rest[1:]
    elif not settings.special and settings.cpu != "help" and settings.log_items != "help":
        raise UserError("say which program to run; -h shows how")
    return settings


def _set_from(settings: Settings, option: Option, variable: str, value: str) -> None:
    """A switch is on if its variable is there, unless it says 0."""
    if not option.metavar and value in ("", "0"):
        return
    try:
        option.set(settings, value)
    except UserError as error:
        raise UserError(f"{variable}: {error.message}") from None


def _read_arguments(settings: Settings, arguments: list[str]) -> list[str]:
    """Take the options off; answers the program and its arguments."""
    while arguments and arguments[0].startswith("-") and arguments[0] != "-":
        word = arguments.pop(0)
        if word == "--":
            break
        option = _BY_NAME.get(word.removeprefix("-").removeprefix("-"))
        if option is None:
            raise UserError(f"there is no option {word}; -h lists them")
        if option.metavar and not arguments:
            raise UserError(f"{word} needs a value: {word} {option.metavar}")
        option.set(settings, arguments.pop(0) if option.metavar else "")
    return arguments


def environment(settings: Settings, environ: Mapping[bytes, bytes]) -> list[bytes]:
    """The program's environment: ours with what -E and -U change."""
    result = dict(environ)
    for name, value in settings.changes:
        key = name.encode(errors="surrogateescape")
        if value is None:
            result.pop(key, None)
        else:
            result[key] = value.encode(errors="surrogateescape")
    return [name + b"=" + value for name, value in result.items()]
