"""A PC that runs: its threads, and what starts, stops and ends it.

The processor runs on a thread of its own; the main thread shows the display or waits, and takes
signals. One lock is held by whoever calls devices: the processor's thread (not while guest code
runs natively), the thread of the character devices, the display.

Whoever needs the processor to stand still, such as the monitor, holds it up by `standing`.
"""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from machine.board import Board
from machine.chardev import CharacterDevice, CharacterLoop
from machine.clock import RealTime, TimeSource
from machine.drive import Drive
from machine.drive_options import DriveOptions, open_medium
from machine.errors import MachineError
from machine.monitor.machine import MonitorError
from machine.physical import PhysicalMemory

if TYPE_CHECKING:
    from machine.devices.vga import Vga
    from machine.processor import Processor

STAND_SECONDS = 10.0
"""How long to wait for the processor to stand."""


class Display(Protocol):
    """What shows the screen on the main thread."""

    def run(self) -> None: ...
    def stop(self) -> None: ...


@dataclass(slots=True, kw_only=True)
class Parts:
    """Everything that a PC is made of, built and wired."""

    board: Board
    memory: PhysicalMemory
    processor: Processor
    drives: dict[str, Drive] = field(default_factory=dict)
    characters: list[CharacterDevice] = field(default_factory=list)
    vga: Vga | None = None
    time: TimeSource | None = None
    display: Display | None = None
    log: Any = None
    resets: list[Callable[[], None]] = field(default_factory=list)
    """What else a reset does, after the board's."""
    statistics: Callable[[], Mapping[str, object]] = dict


class Pc:
    """The machine, for the command that runs it, for the guest's wishes, and for the monitor."""

    def __init__(
        self, *, name: str = "", width: int = 64, no_reboot: bool = False, no_shutdown: bool = False
    ) -> None:
        self.name = name
        self.width = width
        self.lock = threading.RLock()
        self.loop = CharacterLoop(self.lock, self._fail)
        self.thread_id = 0
        self._no_reboot = no_reboot
        self._no_shutdown = no_shutdown
        self._changed = threading.Condition(self.lock)
        self._parts: Parts | None = None
        self._over = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._status = 0
        self._is_ending = False
        self._has_ended = False
        self._state = "paused (prelaunch)"
        self._failure: BaseException | None = None
        self._holds = 0
        self._is_standing = False
        self._thread: threading.Thread | None = None

    def take(self, parts: Parts) -> None:
        """Here is what it is made of."""
        self._parts = parts

    @property
    def parts(self) -> Parts:
        assert self._parts is not None, "the machine is not built yet"
        return self._parts

    # -- the whole run -----------------------------------------------------------------------

    def run(self, *, stopped: bool = False) -> int:
        """Run until it ends; answers the exit status. Nothing that was written is lost."""
        parts = self.parts
        try:
            with self.lock:
                if stopped:
                    self._stop_time()
                    parts.processor.pause()
                else:
                    self._state = "running"
            self._thread = threading.Thread(target=self._run_processor, name="cpu", daemon=True)
            self._thread.start()
            self.loop.start()
            if parts.display is not None and not self._is_ending:
                parts.display.run()
                self.ask_to_quit()
            select.select((self._over,), (), ())
        finally:
            self._end()
        if self._failure is not None:
            raise self._failure
        return self._status

    def _run_processor(self) -> None:
        self.thread_id = threading.get_native_id()
        try:
            self.parts.processor.run()
        except BaseException as error:
            self._fail(error)
        finally:
            with self.lock:
                self._has_ended = True
                self._changed.notify_all()
            self.ask_to_quit()

    def _fail(self, error: BaseException) -> None:
        """A thread of ours came to grief: the main thread raises that."""
        self._failure = self._failure or error
        self.ask_to_quit()

    def _end(self) -> None:
        """Stop the processor, then give back to the host what is its."""
        parts = self.parts
        parts.processor.request_stop()
        if self._thread is not None:
            self._thread.join(timeout=STAND_SECONDS)
        self.loop.close()
        failure: MachineError | None = None
        for drive in parts.drives.values():
            try:
                drive.close()
            except MachineError as error:
                failure = failure or error
        if failure is not None and self._failure is None:
            self._failure = failure

    # -- ending --------------------------------------------------------------------------------

    def ask_to_quit(self, status: int | None = None) -> None:
        """End soon; from any thread, and from a signal's handler."""
        if not self._is_ending and status is not None:
            self._status = status
        self._is_ending = True
        with suppress(OSError):
            os.eventfd_write(self._over, 1)
        parts = self._parts
        if parts is not None:
            parts.processor.request_stop()
            if parts.display is not None:
                parts.display.stop()

    def quit(self) -> None:
        """`quit` of the monitor."""
        self.ask_to_quit(0)

    def debug_exit(self, status: int) -> None:
        """The guest ends the emulator (isa-debug-exit)."""
        self.ask_to_quit(status)

    def power_off(self) -> None:
        """The guest has switched the machine off."""
        if self._no_shutdown:
            self.pause()
            self._state = "paused (shutdown)"
        else:
            self.ask_to_quit(0)

    def special(self, kind: int, vector: int) -> None:
        """What the local APIC passes on beside interrupts: SMI, NMI, INIT, STARTUP."""
        self.parts.processor.special(kind, vector)

    # -- resetting -------------------------------------------------------------------------------

    def guest_reset(self, whole: bool) -> None:
        """The guest resets the machine, or the processor alone."""
        if whole:
            self._reset_by_guest()
        else:
            self.parts.processor.request(self.parts.processor.reset)

    def _reset_by_guest(self) -> None:
        if self._no_reboot:
            if self._no_shutdown:
                self.pause()
                self._state = "paused (shutdown)"
            else:
                self.ask_to_quit(0)
        else:
            self.reset()

    def triple_fault(self) -> None:
        """The processor has shut itself down: chipsets reset the machine."""
        self._reset_by_guest()

    def reset(self) -> None:
        """`system_reset`: RAM stays as it is."""
        self.parts.processor.request(self.restart)

    def restart(self) -> None:
        """What a reset does; nothing may run meanwhile."""
        self.parts.board.reset()
        for reset in self.parts.resets:
            reset()
        self.parts.processor.reset()

    def power_button(self) -> None:
        """`system_powerdown`."""
        with self.lock:
            self.parts.board.power.press_power_button()

    # -- stopping ----------------------------------------------------------------------------------

    @property
    def status(self) -> str:
        """What `info status` says."""
        return self._state

    def pause(self) -> None:
        """`stop`: the processor stands, and so does time."""
        with self.lock:
            self._state = "paused"
            self._stop_time()
            self.parts.processor.pause()

    def resume(self) -> None:
        """`cont`."""
        with self.lock:
            self._state = "running"
            if isinstance(self.parts.time, RealTime):
                self.parts.time.resume()
            self.parts.processor.resume()

    def _stop_time(self) -> None:
        if isinstance(self.parts.time, RealTime):
            self.parts.time.stop()

    @contextmanager
    def standing(self) -> Iterator[None]:
        """Hold the machine's lock while the processor stands between two instructions."""
        with self._changed:
            if threading.current_thread() is self._thread or self._thread is None:
                yield
                return
            self._holds += 1
            try:
                if not self._is_standing:
                    self.parts.processor.request(self._stand)
                self._changed.wait_for(
                    lambda: self._is_standing or self._has_ended, timeout=STAND_SECONDS
                )
                yield
            finally:
                self._holds -= 1
                self._changed.notify_all()

    def _stand(self) -> None:
        """On the processor's thread: wait as long as somebody wants it to."""
        self._is_standing = True
        self._changed.notify_all()
        while self._holds and not self._is_ending:
            self._changed.wait(timeout=1.0)
        self._is_standing = False

    # -- what the monitor asks ---------------------------------------------------------------------

    @property
    def board(self) -> Board:
        return self.parts.board

    @property
    def ram(self) -> PhysicalMemory:
        return self.parts.memory

    @property
    def registers(self) -> Any:
        return self.parts.processor.registers

    @property
    def is_halted(self) -> bool:
        return bool(self.parts.processor.is_halted)

    @property
    def drives(self) -> Mapping[str, Drive]:
        return self.parts.drives

    @property
    def characters(self) -> Sequence[CharacterDevice]:
        return self.parts.characters

    def read_linear(self, address: int, length: int) -> bytes:
        """Memory as the processor sees it now."""
        from tcg.system import PageFault

        try:
            return bytes(self.parts.processor.read_linear(address, length))
        except PageFault:
            raise MonitorError("Cannot access memory") from None

    def screendump(self, path: str, kind: str) -> None:
        """Save the screen, as its name's ending or `kind` says: png, ppm, txt."""
        from machine.display.picture import save_picture

        if self.parts.vga is None:
            raise MonitorError("there is no display adapter (-vga none)")
        if kind and not path.endswith(f".{kind}"):
            raise MonitorError(f"screendump: the file's name says what it is: {path}.{kind}")
        save_picture(self.parts.vga.render(), path)

    def change(self, drive: str, path: str, kind: str | None, read_only: bool | None) -> None:
        """Put another medium into a drive."""
        one = self.parts.drives[drive]
        options = DriveOptions(file=path, format=kind, media="cdrom" if one.is_cd else "disk")
        options.read_only = bool(read_only)
        one.insert(open_medium(options), read_only=bool(read_only))

    def statistics(self) -> Mapping[str, object]:
        return self.parts.statistics()

    def set_log(self, items: str) -> None:
        """What is logged from now on."""
        from tcg.log import LogError, parse_items

        try:
            found = parse_items(items)
        except LogError as error:
            raise MonitorError(str(error)) from None
        self.parts.log.items.clear()
        self.parts.log.items.update(found)

    def set_log_file(self, path: str) -> None:
        from tcg.log import STDERR, LogError, open_log

        try:
            self.parts.log.fd = open_log(path) if path else STDERR
        except LogError as error:
            raise MonitorError(str(error)) from None

    def memory_pieces(self) -> Sequence[tuple[int, int, str]]:
        return [
            (start, end, "ram" if is_writable else "rom")
            for start, end, is_writable in self.parts.memory.pieces()
        ]
