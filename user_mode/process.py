"""A guest process and its threads: what they own, and the loop that serves the guest.

A guest thread is a host thread, with its own CPU, the same thread id and the same signal mask.  It
runs guest code with the GIL released, and comes back to Python for a system call, an exception, a
memory fault or an event (a signal, another thread's wish).
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from threading import Condition, Lock, RLock
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from tcg.cpu import Cpu
from tcg.engine import Exit, Runner
from tcg.frontend import GuestException
from tcg.state import HEADER
from user_mode import host
from user_mode.areas import MAP_ANONYMOUS, MAP_PRIVATE, PROT_EXEC, PROT_READ, PROT_WRITE
from user_mode.delivery import force, take_signals
from user_mode.dispositions import SignalState
from user_mode.errors import Errno
from user_mode.futex import abandon_locks
from user_mode.host_signals import HostSignals
from user_mode.siginfo import HOST, SigInfo, pack, unpack
from user_mode.signals import ALL, UNBLOCKABLE, AltStack, Context, Delivery, mask_of
from user_mode.syscalls.descriptors import Descriptors

if TYPE_CHECKING:
    from tcg.log import Log
    from user_mode.fork import VforkDebt
    from user_mode.loader import Loader
    from user_mode.memory import GuestMemory
    from user_mode.syscalls.table import Interrupted, SyscallTable

PAGE = 4096
ERESTART = 512
"""What safe_syscall answers, negated, for a call that an event kept from beginning."""
EINTR = 4
BUS_ADRERR = 2
KICK_CODE = -0x4B
"""si_code of the SIGSEGV by which one of our threads wakes another from a system call."""


class Runtime(Protocol):
    """What the native runtime does for a process."""

    on_signal: int
    safe_syscall: Callable[..., int]
    attach: Callable[[int | None], None]
    compare_exchange: Callable[[int, int, int], int]
    """(host address of a word, old, new): stores new if it is old; gives what it was."""

    def set_main_env(self, env: int, /) -> None:
        """The CPU that is told of signals which reach a thread that runs no guest."""

    def caught_signals(self) -> list[Any]:
        """What on_signal has noted since the last time."""

    def after_fork_in_child(self) -> None:
        """Forget what was noted for the parent."""


class Abi(Protocol):
    """What is particular to a guest's Linux in the life of threads and the delivery of signals."""

    convention: Any
    instruction_bytes: int
    """The longest instruction."""
    trampolines: bytes
    """The code that handlers return to; empty if it is elsewhere."""

    def push_frame(self, thread: Thread, delivery: Delivery, /) -> None:
        """Have the thread go on in a handler; raises Errno if there is no room for the frame."""

    def pop_frame(self, thread: Thread, is_rt: bool, /) -> Context:
        """Undo `push_frame`: restore the registers from the frame; raises Errno."""

    def restart_syscall(self, cpu: Cpu, overwritten: int, /) -> None:
        """Have the system call that was just made begin again."""

    def exception(self, cpu: Cpu, code: int, /) -> SigInfo:
        """The signal for a GuestException."""

    def note_trap(self, thread: Thread, stop: Exit, info: SigInfo, /) -> SigInfo | None:
        """Told of a fault or an exception before `info` is sent, which it may change.

        None: it has dealt with it, and the guest goes on.
        """

    def on_ask(self, thread: Thread, code: int, /) -> None:
        """Serve what the guest asks for other than by its own system call instruction."""

    def start_thread(self, cpu: Cpu, parent: Cpu, stack: int, tls: int | None, /) -> None:
        """What clone(2) makes of the parent's registers in the child; stack 0: the parent's."""

    def start_program(self, cpu: Cpu, entry: int, stack: int, /) -> None:
        """The registers of a program at its first instruction."""

    def stack_pointer(self, cpu: Cpu, /) -> int:
        """The guest's stack pointer."""


class Thread:
    """A guest thread; only its own host thread runs its methods."""

    def __init__(self, process: Process, cpu: Cpu, tid: int) -> None:
        self.process = process.whole
        self.cpu = cpu
        self.tid = tid
        self.is_alive = True
        self.blocked = 0
        """The signal mask, as the guest has set it."""
        self.saved_mask: int | None = None
        """The mask to go back to, while a system call waits with another one."""
        self.altstack = AltStack()
        self.waiting: list[SigInfo] = []
        """Signals that the guest blocks and the host cannot."""
        self.interrupted: Interrupted | None = None
        """A system call that failed with EINTR, until it is decided whether it begins again."""
        self.is_unbegun = False
        """The interrupted call was not even made."""
        self.clear_child_tid = 0
        self.robust_list = 0
        self.trap = (0, 0, 0)
        """What the ABI keeps of the last exception: on x86 its number, error code and address."""
        self._safe_syscall = process.runtime.safe_syscall

    def run(self) -> None:
        """Serve the guest until the thread ends or another program takes its place."""
        process, cpu = self.process, self.cpu
        run, perform = process.engine.run, process.table.perform
        words, event = cpu.view.cast("I"), HEADER["event"].offset // 4
        process.runtime.attach(cpu.address)
        process.signals.host.mask(self.blocked)
        while self.is_alive:
            stop = run(cpu)
            if stop.kind == "syscall" and not stop.code:
                perform(self)
                if words[event] or self.interrupted or self.saved_mask is not None:
                    self._attend()
            else:
                self._serve[stop.kind](self, stop)
        process.runtime.attach(None)

    def _attend(self) -> None:
        """Look at everything that can be behind an event or an interrupted call."""
        self.cpu.clear_event()
        memory, engine = self.process.memory, self.process.engine
        for page in memory.take_dirty():
            engine.invalidate(page, page + PAGE)
        take_signals(self)

    def _on_ask(self, stop: Exit) -> None:
        self.process.abi.on_ask(self, stop.code)
        if self.cpu.has_event or self.interrupted or self.saved_mask is not None:
            self._attend()

    def _on_event(self, _stop: Exit) -> None:
        take_signals(self)

    def _on_exception(self, stop: Exit) -> None:
        process = self.process
        if stop.code == GuestException.ILLEGAL and process.signals.is_fatal(signal.SIGILL):
            from user_mode.unknown import describe

            size = process.abi.instruction_bytes
            process.report(describe(process, stop.pc, size))
        self._trap(stop, process.abi.exception(self.cpu, stop.code))

    def _trap(self, stop: Exit, info: SigInfo) -> None:
        """Send the signal for what the guest's own instruction has done."""
        noted = self.process.abi.note_trap(self, stop, info)
        if noted is not None:
            force(self, noted)

    def _on_fault(self, stop: Exit) -> None:
        """A bad access; `code` is 0 where it was an instruction that could not be fetched."""
        memory = self.process.memory
        if stop.signal == signal.SIGBUS:
            self._trap(stop, SigInfo(signal.SIGBUS, stop.code or BUS_ADRERR, address=stop.address))
        elif not stop.code or not memory.settle_fault(stop.address, stop.is_write):
            code = memory.fault_code(stop.address)
            self._trap(stop, SigInfo(signal.SIGSEGV, code, address=stop.address))

    _serve: dict[str, Callable[[Thread, Exit], None]] = {
        "syscall": _on_ask,
        "event": _on_event,
        "exception": _on_exception,
        "fault": _on_fault,
    }

    def safe_syscall(self, number: int, *arguments: int) -> int:
        """Make a host system call that a signal for this thread cuts short; errors are -errno."""
        fill = (0,) * (6 - len(arguments))
        result = self._safe_syscall(self.cpu.address, number, *arguments, *fill)
        if result == -ERESTART:
            self.is_unbegun = True
            return -EINTR
        return result

    def check_event(self) -> None:
        """Called by system calls that are not to begin while a signal is in hand: fail with EINTR.

        The signal is delivered, and the call made again.
        """
        if self.cpu.has_event:
            self.is_unbegun = True
            raise Errno(EINTR)

    def set_blocked(self, mask: int) -> None:
        """Change the signal mask, here and in the host's kernel."""
        self.blocked = mask & ALL & ~UNBLOCKABLE
        self.process.signals.host.mask(self.blocked)
        if self.waiting:
            self.cpu.kick()

    def wait_with_mask(self, mask: int) -> None:
        """Have this mask while the system call that follows waits, then the one before again.

        The host's kernel does the same, if the call is made with the mask.
        """
        self.saved_mask, self.blocked = self.blocked, mask & ALL & ~UNBLOCKABLE

    @property
    def pending(self) -> int:
        """The signals that are blocked and have come."""
        waiting = mask_of(*{info.signo for info in self.waiting})
        return self.process.signals.host.pending() & self.blocked | waiting


class Arrivals:
    """The signals that the native handler has noted, sorted by the thread they reached."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._lock = Lock()
        self._hands: dict[int, list[SigInfo]] = {}

    def of(self, thread: Thread) -> list[SigInfo]:
        """What has come for `thread` since the last time; also what came for threads now gone."""
        with self._lock:
            for caught in self._process.runtime.caught_signals():
                self._sort(caught.env, unpack(caught.info, HOST), thread)
            return self._hands.pop(thread.cpu.address, [])

    def _sort(self, env: int, info: SigInfo, thread: Thread) -> None:
        if info.code == KICK_CODE:
            return
        known = any(one.cpu.address == env for one in self._process.threads.values())
        self._hands.setdefault(env if known else thread.cpu.address, []).append(info)

    def after_fork_in_child(self) -> None:
        """What was noted is the parent's."""
        self._lock = Lock()
        self._hands.clear()


class Process:
    """A guest process: one program in one address space, with its threads.

    Whoever builds it loads a program (see `execve`) into its memory and the CPU of
    `new_main_thread`.
    """

    def __init__(
        self,
        abi: Any,
        memory: GuestMemory,
        engine: Runner,
        runtime: Runtime,
        table: SyscallTable,
        loader: Loader,
        log: Log,
        name: str = "qemupy",
    ) -> None:
        self.abi = abi
        self.statistics_file = ""
        self.accelerator = ""
        self.memory = memory
        self.engine = engine
        self.runtime = runtime
        self.table = table
        self.log = log
        self.name = name
        self.exe = b""
        """The program's path on the host, absolute."""
        self.argv: list[bytes] = []
        self.loader = loader
        self.sysroot = b""
        """The prefix under which absolute paths are looked up first (-L)."""
        self.auxv = b""
        self.lock = RLock()
        self.changed = Condition(self.lock)
        """Told when a thread ends, or another program is to take this one's place."""
        self.signals = SignalState(HostSignals(runtime.on_signal))
        self.arrivals = Arrivals(self)
        self.threads: dict[int, Thread] = {}
        self.leader = os.getpid()
        """The id of the main thread, and of the process."""
        self.trampolines = 0
        """Where the ABI's trampolines are in guest memory."""
        self.successor: Callable[[Thread], None] | None = None
        """Starts the program of an execve(2) by a thread that is not the main one."""
        self.vfork: VforkDebt | None = None
        """What this process owes its parent, if it was made by vfork(2)."""
        self.leader_status = 0
        """What the main thread gave to exit(2): the status of the process when all have ended."""
        self.fds = Descriptors()
        self.limits: dict[int, tuple[int, int]] = {}
        """Limits of memory, soft and hard, that the guest has set for itself."""
        self.shared_segments: dict[int, int] = {}
        """What shmat(2) has attached: guest address to bytes."""
        self.is_sharing = False
        """Whether others may see our memory while we run."""
        self._unknown: set[str] = set()

    @property
    def whole(self) -> Process:
        """This process, for those who see it in another way (`user_mode.abi.x86_64.int80`)."""
        return self

    # -- life ------------------------------------------------------------------------------

    def new_main_thread(self) -> Thread:
        """The thread of the calling host thread, which is the process's first."""
        cpu = self.engine.new_cpu()
        self.leader = os.getpid()
        thread = Thread(self, cpu, self.leader)
        thread.blocked = self.signals.host.current_mask()
        self.threads = {thread.tid: thread}
        self.runtime.set_main_env(cpu.address)
        return thread

    def new_thread(self, cpu: Cpu, blocked: int) -> Thread:
        """A thread that its own host thread will enter as soon as it has an id."""
        thread = Thread(self, cpu, 0)
        thread.blocked = blocked
        return thread

    def map_trampolines(self) -> None:
        """Give the signal trampolines a page of guest memory, as the kernel does with its vDSO."""
        if not self.abi.trampolines:
            return
        memory = self.memory
        page = memory.mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        memory.write(page, self.abi.trampolines)
        memory.mprotect(page, PAGE, PROT_READ | PROT_EXEC)
        self.trampolines = page

    def serve(self, thread: Thread) -> None:
        """Serve a thread in its own host thread; in the main one, until the process ends."""
        while True:
            thread.run()
            self.drop_thread(thread)
            if thread.tid != self.leader:
                return
            thread = self._next_main()

    def _next_main(self) -> Thread:
        """Wait in the ended main thread for another program, or for the end of the process."""
        self.signals.host.mask(ALL)
        with self.changed:
            while self.successor is None or self.threads:
                self.changed.wait()
            start, self.successor = self.successor, None
        thread = self.new_main_thread()
        start(thread)
        return thread

    def end(self, status: int) -> NoReturn:
        """exit_group(2)"""
        self.before_end()
        os._exit(status & 0xFF)

    def before_end(self) -> None:
        """What must be done while it still can be: let go of shared locks, write logs out."""
        for thread in list(self.threads.values()):
            abandon_locks(thread)
        if self.vfork is not None:
            self.vfork.settle()
        self.engine.end()
        self.log.flush()
        if self.statistics_file:
            self.write_statistics(self.statistics_file)

    def write_statistics(self, path: str) -> None:
        """What the engine counted, as JSON (QEMUPY_STATS); a file that cannot be is not."""
        import json

        with suppress(OSError), open(path, "w") as file:
            json.dump({"accel": self.accelerator, **self.engine.statistics()}, file)

    def report(self, line: str) -> None:
        """A line of our own on stderr."""
        sys.stderr.write(f"{self.name}: {line}\n")
        sys.stderr.flush()

    # -- threads ---------------------------------------------------------------------------

    def kick(self, thread: Thread) -> None:
        """Have another thread leave guest code, or its system call, and look around."""
        self.engine.kick(thread.cpu)
        info = pack(SigInfo(signal.SIGSEGV, KICK_CODE, pid=os.getpid()), HOST)
        with suppress(Errno):  # It may just have ended.
            host.call(host.Nr.rt_tgsigqueueinfo, os.getpid(), thread.tid, signal.SIGSEGV, info)

    def end_other_threads(self, thread: Thread, wait: bool = True) -> None:
        """Have all threads but this one end, and wait until they have."""
        with self.changed:
            others = [one for one in self.threads.values() if one is not thread]
            for one in others:
                one.is_alive = False
                self.kick(one)
            while wait and any(one.tid in self.threads for one in others):
                self.changed.wait()

    def share_memory(self) -> None:
        """From now on other threads or processes see what is written to memory."""
        if not self.is_sharing:
            self.is_sharing = True
            self.engine.set_parallel()

    def translate_anew(self) -> None:
        """Have all code translated again, as the frontend is in another mode now."""
        self.engine.reset()
        if self.is_sharing:
            self.engine.set_parallel()
        if self.signals.catches_faults:
            self.engine.set_exact(True)

    def drop_thread(self, thread: Thread) -> int:
        """The thread runs no guest code any more; gives how many others do."""
        self.engine.drop_cpu(thread.cpu)
        with self.changed:
            self.threads.pop(thread.tid, None)
            self.changed.notify_all()
            return len(self.threads)

    def after_fork_in_child(self, thread: Thread) -> None:
        """In a new process with a copy of everything, but of this thread only."""
        self.engine.after_fork_in_child()
        for other in self.threads.values():
            if other is not thread:
                self.engine.drop_cpu(other.cpu)
        self.leader = thread.tid = os.getpid()
        self.threads = {thread.tid: thread}
        self.changed = Condition(self.lock)
        self.runtime.after_fork_in_child()
        self.runtime.set_main_env(thread.cpu.address)
        self.arrivals.after_fork_in_child()
        thread.waiting.clear()
        thread.robust_list = 0

    # -- what the system calls keep here -----------------------------------------------------

    def unknown_syscall(self, name: str) -> None:
        """Name a system call that is not there, once, for those who asked to see the calls."""
        if name not in self._unknown:
            self._unknown.add(name)
            item = "unimp" if self.log.wants("unimp") else "strace"
            self.log.write(item, f"{self.name}: unknown system call {name}\n")
