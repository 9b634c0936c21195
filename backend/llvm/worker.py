"""The compile worker: a process of its own that does all LLVM work for the one running the guest.

    python -m backend.llvm.worker FD

speaks length-prefixed msgpack over the socket FD:

    request   [id, priority, service, argument]     reply   [id, result, error]

A thread takes requests in as they come, the main thread serves them, the lowest priority number
first.  The end of the socket is the end of the process, whatever is being compiled just then.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from queue import PriorityQueue
from typing import Any, NoReturn

from backend.llvm.wire import Wire

NICENESS = 5

Service = Callable[[Any], Any]
Request = tuple[int, int, str, Any]
"""Priority, id, service, argument."""

# fmt: off
SERVICES: dict[str, str] = {
    "compile":  "backend.llvm.compilation:serve_compile",
    "version":  "backend.llvm.compilation:serve_version",
    "region":   "backend.llvm.regions:compile_region",
    "runtime":  "backend.llvm.runtime_source:serve_runtime",
}
# fmt: on
"""What the worker can do: the name of a service, and the module and name of its function."""


class Queue:
    """Requests that wait, the most urgent first; equals in the order they came."""

    def __init__(self) -> None:
        self._waiting: PriorityQueue[tuple[int, int, str, list[Any]]] = PriorityQueue()

    def put(self, number: int, priority: int, service: str, argument: Any) -> None:
        """Add a request as it came over the wire."""
        # The argument is wrapped in a list as it need not be comparable; numbers differ anyway.
        self._waiting.put((priority, number, service, [argument]))

    def get(self) -> tuple[int, str, Any]:
        """Wait for a request: its number, service and argument."""
        _, number, service, (argument,) = self._waiting.get()
        return number, service, argument


def find_service(name: str) -> Service:
    """The function that serves `name`; raises KeyError for an unknown one."""
    module, _, function = SERVICES[name].partition(":")
    found: Service = getattr(import_module(module), function)
    return found


def answer(number: int, service: str, argument: Any) -> tuple[int, Any, str | None]:
    """Serve one request: the reply to send.  No error of the service gets out of here."""
    from backend.llvm.compilation import InternalError, save_evidence

    try:
        return number, find_service(service)(argument), None
    except InternalError as error:
        return number, None, str(error)
    except Exception as error:
        from traceback import format_exc

        saved = save_evidence(f"{format_exc()}\n{service} {argument!r}\n", ".txt")
        return number, None, f"{type(error).__name__}: {error}\ndetails are in {saved}"


def _take_in(wire: Wire, queue: Queue) -> NoReturn:
    try:
        with suppress(EOFError, OSError):
            while True:
                queue.put(*wire.receive())
    finally:
        # The guest's process is gone: so is any use for what is being compiled.
        os._exit(0)


def _leave_the_terminal() -> None:
    """Nothing that concerns the guest's process is to concern this one."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTSTP):
        signal.signal(number, signal.SIG_IGN)
    with suppress(OSError):
        os.setsid()
    with suppress(OSError):
        os.nice(NICENESS)
    os.chdir("/")


def serve(wire: Wire) -> NoReturn:
    """Answer requests until the other side is gone."""
    queue = Queue()
    threading.Thread(target=_take_in, args=(wire, queue), daemon=True).start()
    while True:
        reply = answer(*queue.get())
        try:
            wire.send(reply)
        except OSError:
            os._exit(0)


def main() -> None:
    """Be a worker on the socket whose descriptor is the one argument."""
    _leave_the_terminal()
    connection = socket.socket(fileno=int(sys.argv[1]))
    connection.set_inheritable(False)
    serve(Wire(connection))


if __name__ == "__main__":
    main()
