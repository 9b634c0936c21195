"""execve(2): another program in this process.

A program for the guest's machine is loaded in place: the emulator, its translator and what it has
made stay warm.  Any other program that the host can run gets a real execve.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import stat
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tcg.descriptors import FIRST_PRIVATE
from user_mode import host
from user_mode.elf import machine_of
from user_mode.errors import BadImage, Errno
from user_mode.signals import AltStack
from user_mode.syscalls.paths import in_sysroot

if TYPE_CHECKING:
    from user_mode.loader import Image
    from user_mode.process import Process, Thread

HEAD_BYTES = 256
"""What the kernel looks at (BINPRM_BUF_SIZE)."""
SCRIPT_DEPTH = 4
"""How many `#!` may follow one another before it is ELOOP."""
NAME_BYTES = 15
F_GETFD, FD_CLOEXEC = 1, 1
PR_SET_NAME = 15


@dataclass(frozen=True, slots=True)
class Program:
    """What to run: the file on the host, and what the program is told."""

    name: bytes
    """The path that was asked for: of a script, where there is one (AT_EXECFN)."""
    path: bytes
    argv: tuple[bytes, ...]
    env: tuple[bytes, ...]
    is_guest: bool
    """Whether it is a program for the guest's machine; others are the host's to run."""


def resolve(
    process: Process, path: bytes, argv: tuple[bytes, ...], env: tuple[bytes, ...]
) -> Program:
    """Find out what a path leads to, through `#!` lines; raises Errno as execve(2) does."""
    named, arguments = path, argv
    for _ in range(SCRIPT_DEPTH + 1):
        head = _head(path)
        if not head.startswith(b"#!"):
            is_guest = machine_of(head) == process.loader.abi.machine
            if is_guest:
                return Program(named, path, arguments, env, is_guest)
            return Program(named, named, argv, env, is_guest)
        words = _interpreter(head)
        arguments = (*words, path, *arguments[1:])
        path = in_sysroot(process, words[0])
    raise Errno(errno.ELOOP)


def _head(path: bytes) -> bytes:
    """The beginning of a file that may be executed."""
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode) or not os.access(path, os.X_OK, effective_ids=True):
            raise Errno(errno.EACCES)
        with open(path, "rb", buffering=0) as file:
            return file.read(HEAD_BYTES) or b""
    except OSError as error:
        raise Errno(error.errno or errno.EIO) from None


def _interpreter(head: bytes) -> tuple[bytes, ...]:
    r"""The program of a `#!` line, and its one argument if there is one.

    >>> _interpreter(b"#! /bin/sh -e -x\\nexit")
    (b'/bin/sh', b'-e -x')
    """
    line, end, _ = head[2:].partition(b"\n")
    words = line.strip(b" \t\0").split(None, 1)
    if not words or (not end and len(words) == 1 and len(head) == HEAD_BYTES):
        raise Errno(errno.ENOEXEC)
    return tuple(words)


def execve(thread: Thread, path: bytes, argv: tuple[bytes, ...], env: tuple[bytes, ...]) -> None:
    """Replace the program; comes back when the thread is ready to run the new one, or to end."""
    process = thread.process
    thread.check_event()
    program = resolve(process, path, argv or (b"",), env)
    if not program.is_guest:
        _leave_to_host(thread, program)
    image = process.loader.open(program.path)
    if thread.tid == process.leader:
        process.end_other_threads(thread)
        _replace(thread, program, image)
        return
    blocked = thread.blocked

    def start_in_main(main: Thread) -> None:
        main.blocked = blocked
        _replace(main, program, image)

    process.successor = start_in_main
    process.end_other_threads(thread, wait=False)
    thread.is_alive = False


def _leave_to_host(thread: Thread, program: Program) -> None:
    """A real execve; raises Errno if it fails, and then nothing has happened.

    A signal that arrives now is delivered first: the new program must not find it in our hand,
    and all others blocked.
    """
    process = thread.process
    if process.vfork is not None:
        process.vfork.send()
    process.engine.end()
    process.log.flush()
    path = host.Buffer(program.path + b"\0")
    argv, env = (_pointers(texts) for texts in (program.argv, program.env))
    places = (path.address, ctypes.addressof(argv), ctypes.addressof(env))
    host.blocking(thread, host.Nr.execve, *places)


def _pointers(texts: tuple[bytes, ...]) -> ctypes.Array[ctypes.c_char_p]:
    return (ctypes.c_char_p * (len(texts) + 1))(*texts, None)


def _replace(thread: Thread, program: Program, image: Image) -> None:
    """Drop the old program and start the new one.  There is no way back from here."""
    process = thread.process
    if process.vfork is not None:
        process.vfork.settle()
    forget(thread)
    close_on_exec(process, image)
    process.engine.end()
    process.memory.reset()
    process.engine.reset()
    try:
        start(thread, image, program)
    except BadImage as fault:
        process.report(str(fault))
        process.signals.host.die_of(signal.SIGSEGV)


def start(thread: Thread, image: Image, program: Program) -> None:
    """Load a program into empty memory and have the thread begin with it; raises BadImage."""
    process = thread.process
    begin = process.loader.start(image, process.memory, program.argv, program.env, program.name)
    if begin.vdso:
        process.trampolines = begin.vdso
    else:
        process.map_trampolines()
    process.abi.start_program(thread.cpu, begin.pc, begin.stack)
    process.exe = os.path.realpath(program.path)
    process.engine.begin(process.exe.decode(errors="surrogateescape"))
    process.argv = list(program.argv)
    process.auxv = begin.auxv
    host.call(host.Nr.prctl, PR_SET_NAME, os.path.basename(program.name)[:NAME_BYTES] + b"\0")


def forget(thread: Thread) -> None:
    """What execve(2) resets of the process and its thread."""
    process = thread.process
    process.signals.reset()
    delete_timers()
    thread.altstack = AltStack()
    thread.clear_child_tid = thread.robust_list = 0
    process.is_sharing = False
    thread.saved_mask = thread.interrupted = None


def delete_timers() -> None:
    """Delete the timers of timer_create(2), whose ids the kernel hands out one after another."""
    try:
        with open("/proc/self/timers") as file:
            numbers = [int(line.split()[1]) for line in file if line.startswith("ID:")]
    except OSError:
        return
    for number in numbers:
        with suppress(Errno):
            host.call(host.Nr.timer_delete, number)


def close_on_exec(process: Process, image: Image) -> None:
    """Close the descriptors with FD_CLOEXEC; from FIRST_PRIVATE on they are taken for our own."""
    files = (image.program, image.interpreter)
    spared = process.fds.private | {file.fd for file in files if file is not None}
    for fd in map(int, os.listdir("/proc/self/fd")):
        if fd in spared or fd >= FIRST_PRIVATE:
            continue
        with suppress(Errno):  # The one that listed the directory is closed already.
            if host.call(host.Nr.fcntl, fd, F_GETFD) & FD_CLOEXEC:
                host.call(host.Nr.close, fd)
    process.fds.after_exec()
    process.shared_segments.clear()
