"""The guest process's side of the compile worker.

The worker is started when first asked, and it must not show: the guest may call wait(-1), catch
SIGCHLD, list its descriptors, stop its process group.  So the worker is nobody's child (see
`_launch`), leads its own session, and its socket lies high and is closed on exec.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from backend.llvm.wire import Wire
from tcg.descriptors import move_high

if TYPE_CHECKING:
    import socket  # at run time it is imported with the first request: a warm start has none

LAST_FD = 1 << 20

CLONE_VM, CLONE_VFORK, WCLONE = 0x100, 0x4000, 0x80000000
STACK_BYTES = 1 << 18
SYS_RT_SIGPROCMASK = 14
ALL_SIGNALS = b"\xff" * 8

URGENT, USUAL = 0, 10
"""Priorities: a guest thread waits; nobody waits."""


class WorkerError(Exception):
    """A request failed: the worker's own words, or that there is no worker."""


Reply = Callable[[Any, str | None], None]
"""Called with the result and None, or with None and the error; in the client's reader thread."""


class Client:
    """Asks a worker.  Any thread may call any method."""

    def __init__(self, log: Callable[[str], None] | None = None) -> None:
        self._log = log or (lambda _line: None)
        self._lock = threading.Lock()
        self.descriptors: set[int] = set()
        """What must not be closed by a guest that closes whatever it finds."""
        self._start_over()

    def _start_over(self) -> None:
        self._wire: Wire | None = None
        self._socket: socket.socket | None = None
        self._waiting: dict[int, Reply] = {}
        self._count = 0
        self._is_broken = False

    @property
    def is_running(self) -> bool:
        """Whether a worker was started and has not been lost."""
        return self._wire is not None

    def call(self, service: str, argument: Any = None) -> Any:
        """Ask and wait for the answer; raises WorkerError."""
        done = threading.Event()
        got: list[Any] = [None, None]

        def reply(result: Any, error: str | None) -> None:
            got[:] = result, error
            done.set()

        self.submit(service, argument, reply, URGENT)
        done.wait()
        result, error = got
        if error is not None:
            raise WorkerError(error)
        return result

    def submit(self, service: str, argument: Any, reply: Reply, priority: int = USUAL) -> None:
        """Ask and go on; `reply` is called exactly once, maybe before this returns."""
        try:
            self._send(service, argument, reply, priority)
        except OSError as error:
            self._lose(f"cannot reach the compile worker: {error}")
            return
        except WorkerError as error:
            reply(None, str(error))

    def _send(self, service: str, argument: Any, reply: Reply, priority: int) -> None:
        with self._lock:
            if self._is_broken:
                raise WorkerError("there is no compile worker")
            self._count += 1
            self._waiting[self._count] = reply
            wire = self._wire or self._start()
            wire.send((self._count, priority, service, argument))

    def _start(self) -> Wire:
        import socket

        ours, theirs = socket.socketpair()
        with theirs:
            self._socket = _move_high(ours)
            self.descriptors.add(self._socket.fileno())
            theirs.set_inheritable(True)
            _launch(_command(theirs.fileno()))
        wire = self._wire = Wire(self._socket)
        threading.Thread(
            target=self._read, args=(wire,), name="compile-client", daemon=True
        ).start()
        return wire

    def _read(self, wire: Wire) -> None:
        # The guest's signals are for its own threads.
        signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())
        with suppress(EOFError, OSError):
            while True:
                number, result, error = wire.receive()
                with self._lock:
                    reply = self._waiting.pop(number)
                reply(result, error)
        if wire is self._wire:
            self._lose("the compile worker died; going on without")

    def _lose(self, why: str) -> None:
        """Fail everything that waits, and every later request."""
        with self._lock:
            is_news, self._is_broken = not self._is_broken, True
            self._wire = None
            waiting, self._waiting = self._waiting, {}
        if is_news:
            self._log(why)
        for reply in waiting.values():
            reply(None, why)

    def after_fork_in_child(self) -> None:
        """Forget the parent's worker: this process starts its own if it ever needs one.

        Requests that waited in the parent are its business; here nobody will answer them.
        """
        self._lock = threading.Lock()
        if self._socket is not None:
            self._close_socket(self._socket)
        self._start_over()

    def close(self) -> None:
        """End the worker, if there is one."""
        with self._lock:
            self._wire = None
            self._is_broken = True
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(2)
            self._close_socket(self._socket)

    def _close_socket(self, connection: socket.socket) -> None:
        self.descriptors.discard(connection.fileno())
        connection.close()


def _move_high(connection: socket.socket) -> socket.socket:
    """The same socket with a descriptor out of the guest's way."""
    import socket

    return socket.socket(fileno=move_high(connection.detach()))


def _command(fd: int) -> str:
    """What starts a worker on a socket.  It first closes what it has of the guest's pipes."""
    import shlex

    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    start = (
        f"import os; os.closerange(3, {fd}); os.closerange({fd + 1}, {LAST_FD}); import sys; "
        f"sys.path.insert(0, {root!r}); from backend.llvm.worker import main; main()"
    )
    quoted = shlex.join((sys.executable, "-P", "-c", start, str(fd)))
    return f"exec {quoted} </dev/null >/dev/null 2>&1 &"


def _launch(command: str) -> None:
    """Have a shell start a process in the background which nobody can see as our child.

    wait(-1) in the guest must not find it, nor may its end, or that of the shell, raise SIGCHLD.
    A child made by clone(2) without a termination signal is like that, until it calls exec:
    so that child runs system(3), whose shell leaves the worker to init.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    stack = ctypes.create_string_buffer(STACK_BYTES)
    top = (ctypes.addressof(stack) + STACK_BYTES) & -64
    system = ctypes.cast(libc.system, ctypes.c_void_p)
    text = ctypes.c_char_p(command.encode())
    # It shares our memory and our signal handlers' data: no handler may run in it.
    mask = _exchange_mask(libc, ALL_SIGNALS)
    try:
        pid = libc.clone(system, ctypes.c_void_p(top), CLONE_VM | CLONE_VFORK, text)
        error = ctypes.get_errno()
    finally:
        _exchange_mask(libc, mask)
    if pid < 0:
        raise OSError(error, f"cannot start the compile worker: {os.strerror(error)}")
    libc.waitpid(pid, None, ctypes.c_int(WCLONE - (1 << 32)))


def _exchange_mask(libc: ctypes.CDLL, mask: bytes) -> bytes:
    """Set this thread's signal mask, 32 and 33 included; gives the one before."""
    old = ctypes.create_string_buffer(len(mask))
    libc.syscall(SYS_RT_SIGPROCMASK, signal.SIG_SETMASK, mask, old, ctypes.c_long(len(mask)))
    return old.raw
