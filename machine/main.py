"""The commands `qemupy-system-x86` and its other names: read the command line, build a PC, run it.

A user's mistake is one line on stderr and exit status 1. What goes wrong inside the emulator is one
line too, and QEMUPY_DEBUG=1 shows where it happened.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING

from machine.errors import MachineError, shown
from machine.options import Settings, read_options

if TYPE_CHECKING:
    from machine.running import Pc

INTERNAL_ERROR = 70
"""EX_SOFTWARE of sysexits.h."""

DEFAULT_CPUS = {
    "qemupy-system-x86": "qemu64",
    "qemupy-system-x86_64": "qemu64",
    "qemupy-system-i386": "qemu32",
}
"""Each command's processor, if -cpu does not name one."""


def system_x86() -> int:
    """The command qemupy-system-x86."""
    return main("qemupy-system-x86", sys.argv[1:], os.environ)


def system_i386() -> int:
    """The command qemupy-system-i386."""
    return main("qemupy-system-i386", sys.argv[1:], os.environ)


def system_x86_64() -> int:
    """The command qemupy-system-x86_64."""
    return main("qemupy-system-x86_64", sys.argv[1:], os.environ)


def main(command: str, argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run a command; answers its exit status."""
    gc.disable()
    try:
        settings = read_options(argv)
        if settings.special:
            return _show(command, settings)
        _check_cpu(command, settings)
        return _run(command, settings)
    except MachineError as error:
        return _say(command, error.message, 1)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BrokenPipeError:
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 128 + signal.SIGPIPE
    except Exception as error:
        return _say(command, _internal_error(error, environ), INTERNAL_ERROR)


def _say(command: str, message: str, status: int) -> int:
    with suppress(OSError):
        os.write(2, f"{command}: {message}\n".encode(errors="surrogateescape"))
    return status


def _internal_error(error: BaseException, environ: Mapping[str, str]) -> str:
    if environ.get("QEMUPY_DEBUG"):
        import traceback

        traceback.print_exception(error)
    first = (str(error).splitlines() or [""])[0]
    return (
        f"internal error: {type(error).__name__}: {shown(first)};"
        " QEMUPY_DEBUG=1 shows where it happened"
    )


def _show(command: str, settings: Settings) -> int:
    """What the user wanted to be told instead of running a machine."""
    from machine import usage

    if settings.special == "version":
        from importlib.metadata import version

        print(f"{command} {version('qemupy')}")
    else:
        usage.show(command, settings.special)
    sys.stdout.flush()
    return 0


def _check_cpu(command: str, settings: Settings) -> None:
    from frontends.x86.cpuid import MODELS

    settings.cpu = settings.cpu or DEFAULT_CPUS[command]
    if settings.cpu not in MODELS:
        raise MachineError(f"there is no processor {shown(settings.cpu)}; -cpu help lists them")


def _run(command: str, settings: Settings) -> int:
    from machine.pc import build_pc

    pc = build_pc(settings, command)
    _write_pid(settings.pid_file)
    _end_by_signals(command, pc)
    gc.freeze()
    gc.enable()
    try:
        return pc.run(stopped=settings.stopped)
    finally:
        if settings.pid_file:
            with suppress(OSError):
                os.unlink(settings.pid_file)


def _write_pid(path: str) -> None:
    if not path:
        return
    try:
        with open(path, "w") as file:
            file.write(f"{os.getpid()}\n")
    except OSError as error:
        raise MachineError(f"-pidfile: cannot write {shown(path)}: {error.strerror}") from None


def _end_by_signals(command: str, pc: Pc) -> None:
    """SIGTERM, SIGHUP and SIGINT end the machine as `quit` does: nothing written is lost."""

    def handler(number: int, _: FrameType | None) -> None:
        _say(command, f"terminating on signal {number}", 0)
        pc.ask_to_quit()

    on: Callable[[int, FrameType | None], None] = handler
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, on)
