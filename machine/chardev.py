"""Streams of characters to the host: what is at the other end of a serial line or a monitor.

A *character device* has a `write` for what comes from the guest; what comes from the host goes to
its `receive`, with the machine's lock held, on the thread of a `CharacterLoop`, as long as `wants`
says that there is room. Nothing here knows of serial ports.

    stdio    this terminal, raw; `Mux` shares it by Ctrl-A
    file     what is written, kept
    pty      a new pseudoterminal
    socket   TCP, as server or client
    null     nothing
    memory   for tests
"""

from __future__ import annotations

import os
import pty
import select
import socket
import sys
import termios
import threading
import tty
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress

from machine.character_options import CharacterOptions
from machine.errors import MachineError, shown

CHUNK = 4096
MOST_PENDING = 1 << 20
"""How much a slow client may leave unread before the oldest of it is lost."""

IN, OUT, GONE = select.POLLIN, select.POLLOUT, select.POLLHUP | select.POLLERR | select.POLLNVAL


def _lost(_: bytes) -> None:
    """Nobody reads."""


class CharacterDevice:
    """One end of a line; by itself it is `null`."""

    kind = "null"

    def __init__(self) -> None:
        self.receive: Callable[[bytes], None] = _lost
        self.wants: Callable[[], bool] = lambda: True
        """Whether `receive` may be called now."""
        self.send_break: Callable[[], None] = lambda: None
        self.focused: Callable[[], None] = lambda: None
        """What is typed goes here from now on, and not to others that share the device."""
        self.label = ""

    @property
    def description(self) -> str:
        """What `info chardev` says."""
        return self.kind

    def write(self, data: bytes) -> None:
        """Take what the guest sent."""

    def descriptors(self) -> Iterator[tuple[int, int]]:
        """What to wait for: descriptors, each with events of poll(2)."""
        return iter(())

    def ready(self, descriptor: int, events: int) -> bytes:
        """Something came or can go; answers bytes for the guest."""
        return b""

    def close(self) -> None:
        """Give everything back to the host."""


class MemoryCharacters(CharacterDevice):
    """For tests: what was written is in `written`; `type` is what comes from the host."""

    kind = "memory"

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()

    def write(self, data: bytes) -> None:
        self.written += data

    def type(self, data: bytes) -> None:
        self.receive(data)


class Stdio(CharacterDevice):
    """Standard input and output; a terminal is raw meanwhile, but for Ctrl-C if it may end us."""

    kind = "stdio"

    def __init__(self, *, signals: bool = True, fd_in: int = 0, fd_out: int = 1) -> None:
        super().__init__()
        self._in: int | None = fd_in
        self._out: int | None = fd_out
        self._terminal: int | None = None
        self._signals = signals
        if os.isatty(fd_in):
            self._terminal = fd_in
            self._saved = termios.tcgetattr(fd_in)
            self.make_raw()

    def make_raw(self) -> None:
        """No echo, no lines, no signals; lines of output still begin at the left."""
        if self._terminal is None:
            return
        tty.setraw(self._terminal, termios.TCSANOW)
        mode = termios.tcgetattr(self._terminal)
        mode[1] |= termios.OPOST | termios.ONLCR
        if self._signals:
            mode[3] |= termios.ISIG
        termios.tcsetattr(self._terminal, termios.TCSANOW, mode)

    def write(self, data: bytes) -> None:
        if self._out is not None and not _write_all(self._out, data):
            self._out = None

    def descriptors(self) -> Iterator[tuple[int, int]]:
        if self._in is not None and self.wants():
            yield self._in, IN

    def ready(self, descriptor: int, events: int) -> bytes:
        data = _read(descriptor)
        if not data:
            self._in = None  # the end of a file: the machine goes on
        return data

    def close(self) -> None:
        if self._terminal is not None:
            with suppress(termios.error):
                termios.tcsetattr(self._terminal, termios.TCSADRAIN, self._saved)
            self._terminal = None


class FileCharacters(CharacterDevice):
    """A file that gets what is written."""

    kind = "file"

    def __init__(self, path: str, *, append: bool = False) -> None:
        super().__init__()
        self._path = path
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | (os.O_APPEND if append else os.O_TRUNC)
        try:
            self._fd: int | None = os.open(path, flags, 0o644)
        except OSError as error:
            raise MachineError(f"cannot write {shown(path)}: {error.strerror}") from None

    @property
    def description(self) -> str:
        return f"file,path={self._path}"

    def write(self, data: bytes) -> None:
        if self._fd is not None and not _write_all(self._fd, data):
            self._fd = None

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


class Buffered(CharacterDevice):
    """A descriptor that may not take everything at once: what it does not take waits."""

    def __init__(self, fd: int | None = None) -> None:
        super().__init__()
        self.fd = fd
        self._pending = bytearray()
        self.changed: Callable[[], None] = lambda: None
        """Is called when there is something new to wait for."""

    def write(self, data: bytes) -> None:
        if self.fd is None:
            return
        had = bool(self._pending)
        self._pending += data
        if not had:
            self._drain()
            if self._pending:
                self.changed()
        del self._pending[: max(0, len(self._pending) - MOST_PENDING)]

    def _drain(self) -> None:
        if self.fd is None:
            return
        try:
            del self._pending[: os.write(self.fd, self._pending)]
        except BlockingIOError:
            pass
        except OSError:
            self.hung_up()

    def descriptors(self) -> Iterator[tuple[int, int]]:
        if self.fd is None:
            return
        events = (IN if self.wants() else 0) | (OUT if self._pending else 0)
        if events:
            yield self.fd, events

    def ready(self, descriptor: int, events: int) -> bytes:
        if events & OUT:
            self._drain()
        if not events & (IN | GONE):
            return b""
        data = _read(descriptor)
        if not data:
            self.hung_up()
        return data

    def hung_up(self) -> None:
        """The other end is gone."""
        self.close()

    def close(self) -> None:
        self._pending.clear()
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None


class Pty(Buffered):
    """A pseudoterminal, whose other end's name is told on standard error.

    We hold the other end open, so that it can be closed and opened again.
    """

    kind = "pty"

    def __init__(self, label: str = "") -> None:
        try:
            ours, theirs = pty.openpty()
        except OSError as error:
            raise MachineError(f"cannot make a pseudoterminal: {error.strerror}") from None
        super().__init__(ours)
        self._theirs = theirs
        tty.setraw(theirs)
        os.set_blocking(ours, False)
        self.name = os.ttyname(theirs)
        sys.stderr.write(f"char device redirected to {self.name} (label {label})\n")

    @property
    def description(self) -> str:
        return f"pty:{self.name}"

    def close(self) -> None:
        if self.fd is not None:
            os.close(self._theirs)
        super().close()


class Socket(Buffered):
    """TCP: a server that takes one client after the other, or a client.

    A server that `waits` is not there before its first client is.
    """

    kind = "socket"

    def __init__(self, options: CharacterOptions, label: str = "") -> None:
        super().__init__()
        self._connection: socket.socket | None = None
        self._server: socket.socket | None = None
        host = options.host or ("0.0.0.0" if options.is_server else "127.0.0.1")
        try:
            if options.is_server:
                self._server = socket.create_server((host, options.port))
            else:
                self._take(socket.create_connection((host, options.port), timeout=10))
        except OSError as error:
            verb = "listen on" if options.is_server else "connect to"
            reason = error.strerror or str(error)
            raise MachineError(f"cannot {verb} {shown(host)}:{options.port}: {reason}") from None
        if self._server is not None and options.waits:
            where = ":".join(map(str, self.address))
            sys.stderr.write(f"waiting for connection on tcp:{where} (label {label})\n")
            self._take(self._server.accept()[0])

    @property
    def address(self) -> tuple[str, int]:
        """Where the server listens."""
        assert self._server is not None
        host, port = self._server.getsockname()[:2]
        return str(host), int(port)

    @property
    def description(self) -> str:
        state = "connected" if self.fd is not None else "disconnected"
        return f"{state}:tcp" + (f":{self.address[0]}:{self.address[1]}" if self._server else "")

    def _take(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        with suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection = connection
        self.fd = connection.fileno()

    def descriptors(self) -> Iterator[tuple[int, int]]:
        if self._server is not None and self.fd is None:
            yield self._server.fileno(), IN
        yield from super().descriptors()

    def ready(self, descriptor: int, events: int) -> bytes:
        if self._server is not None and descriptor == self._server.fileno():
            with suppress(OSError):
                self._take(self._server.accept()[0])
            return b""
        return super().ready(descriptor, events)

    def hung_up(self) -> None:
        self._pending.clear()
        self.fd = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def close(self) -> None:
        self.hung_up()
        if self._server is not None:
            self._server.close()
            self._server = None


def _write_all(fd: int, data: bytes) -> bool:
    """Write everything; False if nobody will ever read it."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            select.select((), (fd,), ())
        except OSError:
            return False
    return True


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, CHUNK)
    except BlockingIOError:
        return b""
    except OSError:
        return b""


# -- sharing one ---------------------------------------------------------------------------

ESCAPE = 0x01  # Ctrl-A

HELP = b"""
C-a h    print this help
C-a x    exit emulator
C-a s    save disk data back to file (if -snapshot)
C-a t    toggle console timestamps
C-a b    send break (magic sysrq)
C-a c    switch between console and monitor
C-a C-a  sends C-a
"""


class Mux:
    """Shares a character device between several front ends; Ctrl-A and a letter does things.

    All may write at any time; what is typed goes to the one that has the focus.
    """

    def __init__(self, device: CharacterDevice, quit_: Callable[[], None]) -> None:
        self._device = device
        self._quit = quit_
        self._ends: list[MuxEnd] = []
        self._focus = 0
        self._escaped = False
        self.save: Callable[[], None] = lambda: None
        device.receive = self._receive
        device.wants = lambda: not self._ends or self._ends[self._focus].wants()

    def end(self) -> CharacterDevice:
        """Another front end's device; the first has the focus."""
        made = MuxEnd(self._device)
        self._ends.append(made)
        return made

    def _receive(self, data: bytes) -> None:
        plain = bytearray()
        for byte in data:
            if self._escaped:
                self._escaped = False
                self._pass(plain)
                self._command(byte)
            elif byte == ESCAPE:
                self._escaped = True
            else:
                plain.append(byte)
        self._pass(plain)

    def _pass(self, plain: bytearray) -> None:
        if plain and self._ends:
            self._ends[self._focus].receive(bytes(plain))
        plain.clear()

    def _command(self, byte: int) -> None:
        match chr(byte):
            case "h" | "?":
                self._device.write(HELP)
            case "x":
                self._device.write(b"qemupy: terminated\n")
                self._quit()
            case "s":
                self.save()
            case "b" if self._ends:
                self._ends[self._focus].send_break()
            case "c" if self._ends:
                self._focus = (self._focus + 1) % len(self._ends)
                self._ends[self._focus].focused()
            case "\x01" if self._ends:
                self._ends[self._focus].receive(b"\x01")


class MuxEnd(CharacterDevice):
    """A front end's share of a device."""

    kind = "mux"

    def __init__(self, device: CharacterDevice) -> None:
        super().__init__()
        self._device = device

    @property
    def description(self) -> str:
        return f"mux of {self._device.description}"

    def write(self, data: bytes) -> None:
        self._device.write(data)


# -- the thread ------------------------------------------------------------------------------


class CharacterLoop:
    """Waits for all character devices on one thread; calls them with the machine's lock held."""

    def __init__(
        self,
        lock: AbstractContextManager[object],
        failed: Callable[[BaseException], None] | None = None,
    ) -> None:
        """`failed` is told of an error of ours, with which the thread ends."""
        self._lock = lock
        self._failed = failed
        self._devices: list[CharacterDevice] = []
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._is_over = False
        self._thread: threading.Thread | None = None

    def add(self, device: CharacterDevice) -> None:
        """Look after a device too."""
        self._devices.append(device)
        if isinstance(device, Buffered):
            device.changed = self.wake
        self.wake()

    def start(self) -> None:
        if self._thread is None and self._devices:
            self._thread = threading.Thread(target=self._run, name="characters", daemon=True)
            self._thread.start()

    def wake(self) -> None:
        """Look again at what is to be waited for: there is room, or something to send."""
        with suppress(BlockingIOError, OSError):
            os.eventfd_write(self._wake, 1)

    def close(self) -> None:
        """End the thread and close the devices."""
        self._is_over = True
        self.wake()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout=1)
        for device in self._devices:
            device.close()

    def _run(self) -> None:
        try:
            while not self._is_over:
                self.once(None)
        except BaseException as error:
            if self._failed is None:
                raise
            self._failed(error)

    def once(self, timeout_ms: int | None) -> None:
        """Wait for something, and pass it on."""
        waiting = select.poll()
        waiting.register(self._wake, IN)
        owners: dict[int, CharacterDevice] = {}
        with self._lock:
            for device in self._devices:
                for fd, events in device.descriptors():
                    waiting.register(fd, events)
                    owners[fd] = device
        for fd, events in waiting.poll(timeout_ms):
            if fd == self._wake:
                with suppress(BlockingIOError):
                    os.eventfd_read(self._wake)
            else:
                self._serve(owners[fd], fd, events)

    def _serve(self, device: CharacterDevice, fd: int, events: int) -> None:
        with self._lock:
            if self._is_over:
                return
            data = device.ready(fd, events)
            if data:
                device.receive(data)


def open_characters(options: CharacterOptions, label: str) -> CharacterDevice:
    """Make what an option asks for; raises MachineError."""
    match options.kind:
        case "stdio":
            made: CharacterDevice = Stdio(signals=options.signals)
        case "file":
            made = FileCharacters(options.path, append=options.append)
        case "pty":
            made = Pty(label)
        case "socket":
            made = Socket(options, label)
        case _:
            made = CharacterDevice()
    made.label = label
    return made
