"""The PC's processor: the loop that runs guest code and does what it cannot do by itself.

    while not told to stop:
        what others have asked for; timers; interrupts that the guest takes now
        run guest code, without the machine's lock
        what it left for: an instruction that asks for something, an exception, an event

Interrupts come by `board.intr`; the vector is asked for when the guest can take it.  A guest that
has halted costs nothing: the thread sleeps until a line, a timer or another thread wakes it.

Not modelled: system management mode (RSM raises #UD, SMIs are dropped), breakpoints on data and
ports, machine checks, performance counters, alignment checks (#AC), more than one processor.  An
NMI may interrupt the handler of another one.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from time import monotonic_ns

from frontends.x86.modes import TRACE
from frontends.x86.pc_guest import PcGuest
from frontends.x86.privileged.delivery import DELIVERING, EXTERNAL, HAS_CODE, SOFTWARE
from frontends.x86.privileged.ports import PORT_SPACE
from frontends.x86.state import (
    ASK_HALT,
    ASK_TASK_SWITCH,
    ASK_WAIT,
    IF,
    RF,
)
from frontends.x86.system_state import CR0_NE, PLAIN_WORDS
from machine.board import Board
from machine.bus import Bus, Unimplemented, ignore
from machine.clock import SECOND, Clock, InstructionTime
from machine.cpu.control import Control
from machine.cpu.core import Core, Refusal
from machine.cpu.exceptions import (
    DEBUG,
    DOUBLE_FAULT,
    NMI,
    PAGE,
    combined,
    vector_of,
)
from machine.cpu.msrs import Msrs
from machine.cpu.registers import Registers
from machine.cpu.services import Services
from machine.timekeeper import Timekeeper
from tcg.engine import Exit
from tcg.frontend import GuestException
from tcg.state import HEADER
from tcg.system import PageFault, SystemRunner

SMI_MODE, NMI_MODE, INIT_MODE, STARTUP_MODE = 2, 4, 5, 6
"""Delivery modes of the APIC's messages (SDM vol. 3, 11.5.1)."""
SINGLE_STEP = 1 << 14
"""DR6.BS"""
FERR_IRQ = 13
LONGEST_SLEEP = 60.0
MODE = HEADER["mode"]
NO_SHADOW = (1 << 64) - 1
"""What the slot `shadow` holds when the next instruction is in nobody's shadow."""


class LockedBus(Bus):
    """A bus that takes the machine's lock: for accesses that come while guest code runs."""

    def __init__(self, bus: Bus, lock: threading.RLock) -> None:
        super().__init__(bus.name)
        self._bus = bus
        self._lock = lock

    def read(self, address: int, size: int) -> int:
        """What the guest reads."""
        with self._lock:
            return self._bus.read(address, size)

    def write(self, address: int, value: int, size: int) -> None:
        """Take bytes from the guest."""
        with self._lock:
            self._bus.write(address, value, size)


class PortWindow:
    """The ports as the processor reaches them in memory (see frontends/x86/privileged/ports.py).

    Timers that are due are called first, so that who polls a device sees what it has done.
    """

    length = 0x10000
    width = 4

    def __init__(self, ports: Bus, clock: Clock) -> None:
        self._ports = ports
        self._clock = clock

    def read(self, offset: int, size: int = 1) -> int:
        """IN"""
        run_timers(self._clock)
        return self._ports.read(offset, size)

    def write(self, offset: int, value: int, size: int = 1) -> None:
        """OUT, to ports that are plain"""
        self._ports.write(offset, value, size)


def run_timers(clock: Clock) -> None:
    """Call back what is due."""
    deadline = clock.next_deadline()
    if deadline is not None and deadline <= clock.now():
        clock.run_due()


# fmt: off
PLAIN_PORTS = (
    range(0x20, 0x22), range(0xA0, 0xA2), range(0x40, 0x44), range(0x61, 0x62), range(0x70, 0x72),
    range(0x80, 0x81), range(0xE9, 0xEA), range(0x170, 0x178), range(0x1F0, 0x1F8),
    range(0x2E8, 0x2F0), range(0x2F8, 0x300), range(0x376, 0x377), range(0x3C0, 0x3E0),
    range(0x3E8, 0x3F0), range(0x3F6, 0x3F7), range(0x3F8, 0x400), range(0xCF8, 0xCF9),
)
# fmt: on
"""Interrupt controllers, timer, speaker, clock, debug console, disks, serial ports, display, and
which PCI register the next access is for."""


def _plain_words() -> list[int]:
    """A bit for each of them."""
    words = [0] * PLAIN_WORDS
    for ports in PLAIN_PORTS:
        for port in ports:
            words[port >> 6] |= 1 << (port & 63)
    return words


class Processor:
    """Runs on the thread that calls `run`; the other methods may be called from any thread."""

    def __init__(
        self,
        runner: SystemRunner,
        guest: PcGuest,
        board: Board,
        lock: threading.RLock,
        *,
        report: Unimplemented = ignore,
        on_triple_fault: Callable[[], None] | None = None,
    ) -> None:
        """`report` is told of what is not modelled; `lock` is the machine's."""
        self.core = Core(runner, guest)
        self.cpu = self.core.cpu
        self.runner = runner
        self.registers = Registers(self.core)
        self.on_triple_fault = on_triple_fault or self.reset
        self.is_halted = False
        self._board = board
        self._clock = board.clock
        self._lock = lock
        self._wakes = threading.Condition(lock)
        self._report = report
        self._control = Control(self.core, board.local_apic)
        self._msrs = Msrs(self.core, board.local_apic, report)
        self._services = Services(self.core, self._control, self._msrs, board.ports)
        self._ferr = board.isa_irq(FERR_IRQ)
        self._requests: deque[Callable[[], None]] = deque()
        self._is_stopping = False
        self._is_paused = False
        self._paused_at = 0
        self._delivers = False
        self._first = 0
        self._nmi = False
        self._counted: InstructionTime | None = None
        board.memory.attach(PORT_SPACE, PortWindow(board.ports, board.clock))
        board.intr.changed = self._intr_changed
        board.a20.changed = self._a20_changed
        self.core.set_a20(board.a20.level)

    # -- from outside ----------------------------------------------------------------------------

    def reset(self) -> None:
        """Power-up, or INIT; on the processor's thread, or before it runs."""
        self.core.reset()
        self._msrs.reset()
        self._control.look_for_breakpoints()
        self.is_halted = self._delivers = self._nmi = False
        self.core.set("intr_wanted", int(self._board.intr.level))
        if self._counted is not None:
            self.core.set("tsc_counts", 1)
            self.core.set("tsc_offset", 0)
        for number, word in enumerate(_plain_words()):
            self.core.set(f"plain_ports_{number}", word)

    def request(self, action: Callable[[], None]) -> None:
        """Have `action` called between two instructions, with the lock held; also in a pause."""
        self._requests.append(action)
        self.wake()

    def request_stop(self) -> None:
        """Have `run` return soon; also from a signal's handler."""
        self._is_stopping = True
        self.runner.kick(self.cpu)
        threading.Thread(target=self.wake, daemon=True).start()

    def pause(self) -> None:
        """Stand still soon; the time-stamp counter does, too."""
        if not self._is_paused:
            self._paused_at = monotonic_ns()
        self._is_paused = True
        self.runner.kick(self.cpu)

    def resume(self) -> None:
        """Go on after a pause."""
        if self._is_paused and self._counted is None:
            offset = self.core.get("tsc_offset") - (monotonic_ns() - self._paused_at)
            self.core.set("tsc_offset", offset)
        self._is_paused = False
        self.wake()

    def wake(self) -> None:
        """Have the loop look at everything."""
        self.runner.kick(self.cpu)
        with self._wakes:
            self._wakes.notify_all()

    def special(self, kind: int, vector: int) -> None:
        """A message of the APIC that is no vector: NMI, INIT; SMI and STARTUP are nothing here."""
        if kind == NMI_MODE:
            self._nmi = True
            self.wake()
        elif kind == INIT_MODE:
            self.request(self.reset)
        else:
            self._report(f"processor: APIC message of mode {kind}, vector {vector:#x}")

    def smi(self, value: int) -> None:
        """The chipset asks for system management mode: there is none."""

    def read_linear(self, address: int, length: int) -> bytes:
        """Memory as the system sees it now; raises PageFault."""
        return self.runner.read_linear(self.cpu, address, length)

    def instructions(self) -> int:
        """How many were done since the start."""
        return self.cpu.header("instructions")

    def count_time(self, source: InstructionTime) -> None:
        """Time is counted in instructions (`-icount`): timers come at exact places, a halted
        processor's wait is skipped over, and the time-stamp counter counts the same time.
        """
        self._counted = source
        source.instructions = self.instructions
        self._msrs.count = self._clock.now

    def _intr_changed(self, level: bool) -> None:
        self.core.set("intr_wanted", int(level))
        if level:
            self.wake()

    def _a20_changed(self, level: bool) -> None:
        self.core.set_a20(level)

    # -- the loop --------------------------------------------------------------------------------

    def run(self) -> None:
        """Run the guest until `request_stop`."""
        timekeeper = Timekeeper(self._clock, self._lock)
        if self._counted is None:
            timekeeper.start()
        try:
            with self._lock:
                while not self._is_stopping:
                    self._turn()
        finally:
            if self._counted is None:
                timekeeper.stop()

    def _turn(self) -> None:
        """One time around, with the lock held."""
        while self._requests:
            self._requests.popleft()()
        if self._is_stopping:
            return
        if self._is_paused:
            self._wakes.wait(LONGEST_SLEEP)
            return
        if not self._delivers:
            self._take_interrupt()
        if self.is_halted:
            self._sleep()
            return
        if self._counted is not None:
            self._limit_run(self._counted)
        self._run_guest()

    def _sleep(self) -> None:
        """Until something happens; counted time is set to when it does."""
        deadline = self._clock.next_deadline()
        if deadline is None:
            self._wakes.wait(LONGEST_SLEEP)
        elif self._counted is None:
            left = max(0, deadline - self._clock.now()) / SECOND
            self._wakes.wait(min(left, LONGEST_SLEEP))
            run_timers(self._clock)  # rather than have the other thread wake this one
        else:
            self._counted.skip_to(deadline)
            self._clock.run_due()

    def _limit_run(self, source: InstructionTime) -> None:
        """Have the guest leave when the next timer is due."""
        deadline = self._clock.next_deadline()
        limit = None
        if deadline is not None:
            limit = self.instructions() + source.instructions_until(deadline)
        self.runner.stop_at = limit

    def _run_guest(self) -> None:
        """Guest code until it leaves, without the lock."""
        delivers, self._delivers = self._delivers, False
        is_stepped = not delivers and self._must_step()
        if is_stepped and self._breaks():
            return
        if delivers and self._control.has_breakpoints:
            self.runner.kick(self.cpu)  # have the handler looked at from its first instruction on
        self._lock.release()
        try:
            left = self._step() if is_stepped else self.runner.run(self.cpu, delivers)
        finally:
            self._lock.acquire()
        self._handle(left)
        run_timers(self._clock)

    # -- interrupts ------------------------------------------------------------------------------

    def _take_interrupt(self) -> None:
        """Deliver an NMI or an interrupt, if the guest lets it in now."""
        core = self.core
        if not self._nmi and not (self._board.intr.level and core.get("eflags") & IF):
            return
        if core.get("shadow") == self.cpu.pc and not self.is_halted:
            return
        self.is_halted = False
        if self._nmi:
            self._nmi = False
            self._begin(NMI, EXTERNAL)
        else:
            self._begin(self._board.local_apic.acknowledge(), EXTERNAL)

    def _begin(self, vector: int, kind: int, code: int = 0) -> None:
        """Have the delivery run next."""
        core = self.core
        core.set("int_vector", vector)
        core.set("int_kind", kind | DELIVERING)
        core.set("int_error", code)
        core.set("int_pc", self.cpu.pc)
        self._first = vector if not kind & EXTERNAL else -1
        self._delivers = True

    def _raise(self, vector: int, code: int | None) -> None:
        """Deliver an exception at cpu.pc; one within a delivery may become a double fault."""
        if self.core.get("int_kind") & DELIVERING:
            self.cpu.pc = self.core.get("int_pc")
            second = combined(self._first, vector)
            if second is None:
                self._shut_down()
                return
            if second == DOUBLE_FAULT:
                vector, code = DOUBLE_FAULT, 0
        self._begin(vector, 0 if code is None else HAS_CODE, code or 0)

    def _shut_down(self) -> None:
        """A triple fault."""
        self._report(
            f"processor: triple fault at {self.registers['cs']:04x}:{self.cpu.pc:x}, "
            f"vector {self.core.get('int_vector')}"
        )
        self.core.set("int_kind", 0)
        self._delivers = False
        self.on_triple_fault()

    # -- what guest code left for ------------------------------------------------------------------

    def _handle(self, left: Exit) -> None:
        match left.kind:
            case "syscall":
                self._serve(left)
            case "exception":
                self._exception(left.code)
            case "fault":
                self._page_fault(left.address, left.code)

    def _serve(self, left: Exit) -> None:
        """Do what an instruction asked for, or have it raise an exception instead."""
        try:
            if left.code == ASK_HALT:
                self.is_halted = True
            elif left.code == ASK_TASK_SWITCH:
                self._switch_task(left.pc)
            elif left.code != ASK_WAIT:
                self._services.serve(left.code)
        except Refusal as refusal:
            self.cpu.pc = self.core.get("int_pc")
            self._refused(refusal)
        except PageFault as fault:
            self._page_fault(fault.linear, fault.code)

    def _switch_task(self, next_pc: int) -> None:
        """A task switch, which leaves cpu.pc where an exception is to be reported."""
        from machine.cpu.tasks import switch_task

        try:
            switch_task(self.core, next_pc)
        except Refusal as refusal:
            self._refused(refusal)

    def _refused(self, refusal: Refusal) -> None:
        self.core.set("error_code", refusal.code)
        self._exception(refusal.exception)

    def _exception(self, exception: int) -> None:
        vector, code = vector_of(self.core, exception)
        if exception == GuestException.FLOAT and not self.core.get("cr0") & CR0_NE:
            self._signal_float()
            return
        self._raise(vector, code)

    def _signal_float(self) -> None:
        """As in the first PCs: FERR# is IRQ13, and the instruction waits for the interrupt.

        It is tried again as long as the handler has not cleared the exception.
        """
        self._ferr.pulse()

    def _page_fault(self, linear: int, code: int) -> None:
        self.core.set("cr2", linear)
        self._raise(PAGE, code)

    # -- stepping ----------------------------------------------------------------------------------

    def _must_step(self) -> bool:
        """Instructions are looked at one by one: TF, breakpoints, the one after STI."""
        cpu = self.cpu
        return bool(
            cpu.get(MODE) & TRACE
            or self._control.has_breakpoints
            or (self._board.intr.level and self.core.get("shadow") == cpu.pc)
        )

    def _breaks(self) -> bool:
        """A breakpoint is on the instruction here, and RF does not let it pass: #DB, a fault."""
        core = self.core
        hit = self._control.has_breakpoints and self._control.hit(self._linear_pc())
        if not hit or core.get("eflags") & RF:
            return False
        core.set("dr6", core.get("dr6") & ~0xF | hit)
        self._raise(DEBUG, None)
        return True

    def _linear_pc(self) -> int:
        base = self.cpu.header("code_space") >> 32
        return base + self.cpu.pc & 0xFFFF_FFFF if base else self.cpu.pc

    def _step(self) -> Exit:
        """One instruction; a trap follows it if TF was set before.

        None follows what loads SS, nor INT n, whose handler runs without TF.
        """
        core = self.core
        is_traced = self.cpu.get(MODE) & TRACE
        core.set("eflags", core.get("eflags") & ~RF)
        core.set("int_kind", 0)
        core.set("shadow", NO_SHADOW)
        left = self.runner.step(self.cpu)
        if left.kind == "syscall":
            with self._lock:
                self._handle(left)
            left = Exit("event", self.cpu.pc)
        is_done = left.kind == "event" and not self._delivers and not self.is_halted
        if is_traced and is_done and core.get("int_kind") != SOFTWARE:
            self._trap()
        return left

    def _trap(self) -> None:
        core = self.core
        if core.get("shadow") == self.cpu.pc:
            return
        core.set("dr6", core.get("dr6") | SINGLE_STEP)
        self._raise(DEBUG, None)
