"""The commands `qemupy-<guest>`: read the command line, build a process, run it.

What goes wrong before the program runs is the user's to mend: one line on stderr, and an exit
status as a shell would give it.  What goes wrong inside the emulator is one line too, and
QEMUPY_DEBUG=1 shows where it happened.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from user_mode.errors import Errno, UserError, shown
from user_mode.options import Settings, environment, read_options

if TYPE_CHECKING:
    from tcg.log import Log
    from user_mode.build import Guest
    from user_mode.execve import Program
    from user_mode.loader import Image
    from user_mode.process import Process

INTERNAL_ERROR = 70
"""EX_SOFTWARE of sysexits.h."""


def ppc() -> int:
    """The command qemupy-ppc."""
    gc.disable()  # What starting makes stays to the end: looking for garbage in it takes 10 ms.
    from user_mode.build import PPC

    return main(PPC, sys.argv[1:], os.environ)


def x86_64() -> int:
    """The command qemupy-x86_64."""
    gc.disable()
    from user_mode.build import X86_64

    return main(X86_64, sys.argv[1:], os.environ)


def i386() -> int:
    """The command qemupy-i386."""
    gc.disable()
    from user_mode.build import I386

    return main(I386, sys.argv[1:], os.environ)


def main(guest: Guest, argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run a command; answers its exit status, unless the guest's program ends the process."""
    try:
        settings = read_options(argv, environ)
        if _show_something(guest, settings):
            return _flush()
        _run(guest, settings, environ)
        return 0
    except UserError as error:
        return _say(guest, error.message, error.status)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BrokenPipeError:
        _forget_stdout()
        return 128 + signal.SIGPIPE
    except Exception as error:
        return _say(guest, _internal_error(error, environ), INTERNAL_ERROR)


def _say(guest: Guest, message: str, status: int) -> int:
    with suppress(OSError):
        os.write(2, f"{guest.command}: {message}\n".encode(errors="surrogateescape"))
    return status


def _flush() -> int:
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        _forget_stdout()
        raise UserError(f"cannot write that: {error.strerror}") from None
    return 0


def _forget_stdout() -> None:
    """What could not be written: do not try again when the interpreter ends."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _show_something(guest: Guest, settings: Settings) -> bool:
    """Whether the user wanted to be told something, not to run a program."""
    if settings.special == "help":
        from user_mode.usage import print_usage

        print_usage(guest.command, guest.machine, guest.root)
    elif settings.special == "version":
        from importlib.metadata import version

        print(f"{guest.command} {version('qemupy')}")
    elif settings.cpu == "help":
        for name, meaning in guest.cpus().items():
            print(f"{name:<10} {meaning}")
    elif settings.log_items == "help":
        from tcg.log import items_help

        print(items_help(), end="")
    else:
        return False
    return True


def _run(guest: Guest, settings: Settings, environ: Mapping[str, str]) -> None:
    """Open the program, build a process, load the program and serve it to its end."""
    if settings.cpu and settings.cpu not in guest.cpus():
        raise UserError(f"there is no processor {settings.cpu}; -cpu help lists them")
    log = open_log(settings)
    loader = guest.loader(settings)
    path = os.fsencode(settings.program)
    image = None if _is_script(path) else loader.open(path)
    process = guest.build(settings, loader, log, environ)
    program = _program(process, settings, path, is_script=image is None)
    _watch_threads(guest, environ)
    _start(process, image or loader.open(program.path), program)


def _start(process: Process, image: Image, program: Program) -> None:
    from user_mode.execve import start

    thread = process.new_main_thread()
    start(thread, image, program)
    if process.log.wants("page"):
        process.log.write("page", process.memory.maps().decode(errors="replace"))
    gc.freeze()
    gc.enable()
    process.serve(thread)


def open_log(settings: Settings) -> Log:
    """The log that -d, -D, -dfilter and -strace ask for."""
    from tcg.log import Log, LogError

    try:
        log = Log.parse(settings.log_items, settings.log_filter, settings.log_file)
    except LogError as error:
        raise UserError(str(error)) from None
    if settings.strace:
        log.items.add("strace")
    return log


def _is_script(path: bytes) -> bool:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read(2) == b"#!"
    except OSError:
        return False  # Loading it will say what is the matter.


def given_environment() -> dict[bytes, bytes]:
    """The environment as it was given to us: Python's start may have set LC_CTYPE (PEP 538)."""
    found = dict(os.environb)
    with suppress(OSError), open("/proc/self/environ", "rb") as file:
        found.pop(b"LC_CTYPE", None)
        for entry in file.read().split(b"\0"):
            name, _, value = entry.partition(b"=")
            if name == b"LC_CTYPE":
                found[name] = value
    return found


def _program(process: Process, settings: Settings, path: bytes, is_script: bool) -> Program:
    """What to run, with its arguments and environment; a script's interpreter runs the script."""
    from user_mode.execve import Program, resolve

    name = settings.program if settings.argv0 is None else settings.argv0
    argv = tuple(os.fsencode(text) for text in (name, *settings.arguments))
    env = tuple(environment(settings, given_environment()))
    if not is_script:
        return Program(path, path, argv, env, is_guest=True)
    try:
        return resolve(process, path, argv, env)
    except Errno as error:
        reason = os.strerror(error.code)
        raise UserError(f"{shown(path)} is a script, but: {reason}", 126) from None


# -- errors of our own ---------------------------------------------------------------------


def _internal_error(error: BaseException, environ: Mapping[str, str]) -> str:
    """One line for what should not have happened; with QEMUPY_DEBUG=1 the traceback before it."""
    if environ.get("QEMUPY_DEBUG", "0") != "0":
        import traceback

        traceback.print_exception(error)
        return f"internal error: {type(error).__name__}: {error}"
    return f"internal error: {type(error).__name__}: {error} (QEMUPY_DEBUG=1 shows where)"


def _watch_threads(guest: Guest, environ: Mapping[str, str]) -> None:
    """Have an error in a guest's other threads end the process like one in the first."""
    import threading

    def report(failure: Any) -> None:
        _say(guest, _internal_error(failure.exc_value, environ), INTERNAL_ERROR)
        os._exit(INTERNAL_ERROR)

    threading.excepthook = report
