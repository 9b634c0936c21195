"""The run loop of translated code: runs a guest CPU until its client must do something.

Cold code runs in handlers; a hot block and its neighbours are compiled on the side and replace
them in place (see `tcg.code`).  Python only sees what native code leaves for: a block not
translated yet, one that gets hot, and the client's work.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from tcg.backend import Backend, Memory
from tcg.blocks import BlockTable
from tcg.code import CodeCache
from tcg.cpu import Cpu
from tcg.faults import GuestFault
from tcg.forms import Forms
from tcg.frontend import Frontend, GuestException
from tcg.heat import Heat
from tcg.log import Log
from tcg.state import EXACT, HEADER, NO_ADDRESS, Reason
from tcg.types import Type
from tcg.world import World

HOT_ENTRIES = 4_000
SIGSEGV, SIGBUS = 11, 7
LISTINGS = ("op", "op_opt", "llvm", "out_asm", "idiom")


class Exit(NamedTuple):
    """Why the guest stopped, for the client.  `pc` is where it goes on.

    kind: `syscall` (code: what was asked); `exception` (code: GuestException); `fault` (address,
    is_write, signal; code: the host's si_code or 0); `event` (somebody called kick).
    """

    kind: str
    pc: int
    code: int = 0
    address: int = 0
    is_write: bool = False
    signal: int = 0


class Runner(Protocol):
    """What a client does with an engine, native or interpreting."""

    def new_cpu(self) -> Cpu:
        """A CPU with all slots zero."""

    def drop_cpu(self, cpu: Cpu) -> None:
        """The CPU will not run again."""

    def run(self, cpu: Cpu) -> Exit:
        """Run from cpu.pc until the client must act."""

    def kick(self, cpu: Cpu) -> None:
        """Have `cpu` leave its guest code soon with an `event` exit."""

    def invalidate(self, start: int, end: int) -> None:
        """Code in [start, end) has changed or is gone."""

    def begin(self, program: str) -> None:
        """A program starts, and nothing of it has run yet; the name tells it from others."""

    def end(self) -> None:
        """The program is about to end: keep what the next run can use."""

    def set_exact(self, exact: bool) -> None:
        """From now on the guest can(not) see its registers at memory faults."""

    def set_parallel(self) -> None:
        """From now on others may share the guest's memory."""

    def reset(self) -> None:
        """Forget all guest code: another program takes this one's place."""

    def statistics(self) -> dict[str, object]:
        """Counts of what was translated and compiled."""

    def quiet(self) -> AbstractContextManager[Any]:
        """Hold this around a fork: no other thread is changing translations meanwhile."""

    def after_fork_in_child(self) -> None:
        """Only the calling thread is left."""


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """How to run: with regions or only handlers; one guest instruction a block; when to compile."""

    jit: bool = True
    one_instruction: bool = False
    hot_entries: int = HOT_ENTRIES


class Engine:
    """Runs the CPUs of one guest process natively; any host thread may run one of them."""

    def __init__(
        self,
        frontend: Frontend,
        memory: Memory,
        backend: Backend,
        options: EngineOptions,
        log: Log,
    ) -> None:
        self.frontend = frontend
        self.memory = memory
        self.backend = backend
        self.log = log
        self.world = World()
        self._tracing = log.wants("exec") or log.wants("cpu")
        self._reach = frontend.address_type.mask
        forms = Forms(frontend)
        backend.load_handlers(forms)
        hot_entries = options.hot_entries if options.jit and not self._tracing else 0
        listings = [item for item in LISTINGS if log.wants(item)]
        table = BlockTable()
        self.hot = Heat(backend, table, self.world, log, listings, hot_entries)
        self.code = CodeCache(
            frontend, memory, backend, forms, table, self.hot, links=not self._tracing
        )
        if options.one_instruction:
            self.code.translator.limit = 1
        self._keeps = not (self._tracing or options.one_instruction or log.wants("in_asm"))
        if log.wants("in_asm"):
            self.code.translator.on_translated = self._log_code
        self._resume: dict[int, Callable[[Cpu], int]] = {
            Reason.UNTRANSLATED: self._untranslated,
            Reason.LOOKUP: self._look_up,
            Reason.HOT: self._hot,
            Reason.CODE_WRITE: self._store,
            Reason.STALE: self._recheck,
        }

    # -- CPUs ------------------------------------------------------------------------------

    def new_cpu(self) -> Cpu:
        """A CPU with all slots zero."""
        layout = self.frontend.layout
        address, view = self.backend.new_state(-(-layout.size // 64) * 64)
        cpu = Cpu(layout, view, address)
        cpu.set_header("jump_cache", self.code.jump_cache)
        self.backend.prepare_header(cpu, self.memory)
        with self.world.lock:
            self.world.cpus.add(cpu)
        return cpu

    def drop_cpu(self, cpu: Cpu) -> None:
        """The CPU will not run again."""
        with self.world.lock:
            self.world.cpus.discard(cpu)

    def kick(self, cpu: Cpu) -> None:
        """Have `cpu` leave its guest code soon with an `event` exit."""
        cpu.kick()

    # -- the loop --------------------------------------------------------------------------

    def run(self, cpu: Cpu) -> Exit:
        """Run from cpu.pc until the client must act."""
        try:
            return self._run(cpu, self._entry(cpu.pc))
        except GuestFault as fault:
            cpu.pc = fault.address if fault.pc is None else fault.pc
            signal = SIGBUS if fault.is_bus else SIGSEGV
            return Exit("fault", cpu.pc, address=fault.address, signal=signal)

    def _run(self, cpu: Cpu, record: int) -> Exit:
        enter, resume, world = self.backend.enter, self._resume, self.world
        while True:
            if self._tracing:
                self._trace(cpu, record)
            cpu.inside = True
            while world.is_stopping:
                world.wait_to_run(cpu)
                cpu.inside = False
                record = self._entry(cpu.pc)  # what was here may be gone
                cpu.inside = True
            reason = enter(cpu.address, record)
            cpu.inside = False
            if reason == Reason.ASK:
                return Exit("syscall", cpu.pc, cpu.header("exit_info"))
            handler = resume.get(reason)
            if handler is None:
                return self._leave(cpu, reason)
            if cpu.has_event:
                self._stay_before(cpu, reason)
                return self._event(cpu)
            record = handler(cpu)

    def _leave(self, cpu: Cpu, reason: int) -> Exit:
        if reason == Reason.EVENT:
            return self._event(cpu)
        if reason == Reason.EXCEPTION:
            record = cpu.header("exit_rec")
            if record:
                cpu.pc = self._pc_of(record)
            return Exit("exception", cpu.pc, cpu.header("exit_info"))
        assert reason == Reason.FAULT, f"native code left for reason {reason}"
        cpu.pc, _ = self._access(cpu)
        if cpu.header("fault_code") == NO_ADDRESS:
            return Exit("exception", cpu.pc, GuestException.ALIGNMENT)
        return Exit(
            "fault", cpu.pc, cpu.header("fault_code"), cpu.header("fault_address") & self._reach,
            bool(cpu.header("fault_write")), cpu.header("fault_signal"),
        )  # fmt: skip

    def _access(self, cpu: Cpu) -> tuple[int, int]:
        """The pc of the memory access that faulted, and its record if it is cold code's."""
        record = cpu.header("current_rec")
        if record <= EXACT:
            return cpu.header("current_pc"), 0
        return self._pc_of(record), record

    def _stay_before(self, cpu: Cpu, reason: int) -> None:
        """Have the guest go on at the block it was about to enter, which may have been written."""
        if reason == Reason.CODE_WRITE:
            cpu.pc = self._access(cpu)[0]
        elif reason != Reason.LOOKUP:
            cpu.pc = self._pc_of(cpu.header("exit_rec"))
        cpu.set_header("exit_rec", 0)

    def _event(self, cpu: Cpu) -> Exit:
        record = cpu.header("exit_rec")
        if record:
            cpu.pc = self._pc_of(record)
        cpu.clear_event()
        with self.world.lock:
            if self.code.drop_written() and self.frontend.notices_stores:
                self._kick_others(cpu)
        return Exit("event", cpu.pc)

    def _pc_of(self, record: int) -> int:
        with self.world.lock:
            return self.code.pc_of_record(record)

    def _entry(self, pc: int) -> int:
        return self.backend.find_head(pc) or self._translated(pc)

    def _translated(self, pc: int) -> int:
        if self.code.has_garbage:
            with self.world.stop(), self.world.lock:
                self.code.collect()
        with self.world.lock:
            return self.code.enter(pc)

    def _untranslated(self, cpu: Cpu) -> int:
        cpu.pc = self._pc_of(cpu.header("exit_rec"))
        return self._translated(cpu.pc)

    def _look_up(self, cpu: Cpu) -> int:
        return self._translated(cpu.pc)

    def _store(self, cpu: Cpu) -> int:
        cpu.pc, record = self._access(cpu)
        with self.world.lock:
            way_on = self.code.store(cpu.pc, record, cpu.header("fault_address") & self._reach)
            self._kick_others(cpu)
        return way_on

    def _kick_others(self, cpu: Cpu) -> None:
        """Have other CPUs leave the blocks they are in, which may be gone."""
        for other in self.world.cpus:
            if other is not cpu:
                other.kick()

    def _recheck(self, cpu: Cpu) -> int:
        record = cpu.header("exit_rec")
        cpu.pc = self._pc_of(record)
        with self.world.lock:
            return self.code.recheck(cpu.pc, record)

    def _hot(self, cpu: Cpu) -> int:
        cpu.pc = self._pc_of(cpu.header("exit_rec"))
        with self.world.lock:
            return self.code.heat(cpu.header("exit_rec"))

    # -- what the client tells -------------------------------------------------------------

    def invalidate(self, start: int, end: int) -> None:
        """Code in [start, end) has changed or is gone."""
        with self.world.lock:
            self.code.invalidate(start, end)

    def begin(self, program: str) -> None:
        """A program starts, and nothing of it has run yet; the name tells it from others."""
        if self._keeps:
            with self.world.lock:
                self.code.kept.open(f"{self.frontend.place} {program}")

    def end(self) -> None:
        """The program is about to end: keep what the next run can use."""
        with self.world.lock:
            self.code.kept.keep()

    def set_exact(self, exact: bool) -> None:
        """From now on the guest can(not) see its registers at memory faults."""
        if exact != self.hot.exact:
            with self.world.stop(), self.world.lock:
                self.hot.exact = exact
                self.hot.drop_all()

    def set_parallel(self) -> None:
        """From now on other threads or processes may share the guest's memory."""
        if not self.hot.parallel:
            with self.world.stop(), self.world.lock:
                self.hot.parallel = True
                self.hot.drop_all()

    def reset(self) -> None:
        """Forget all guest code: of another program (execve), or of another frontend's mode."""
        with self.world.stop(), self.world.lock:
            self.code.translator.forms.renew()
            self.backend.frontend = self.frontend.place
            self.code.drop_all()

    def quiet(self) -> AbstractContextManager[Any]:
        """Hold this around a fork: no other thread is changing translations meanwhile."""
        return self.world.lock

    def after_fork_in_child(self) -> None:
        """Only the calling thread is left: new locks, no helpers of the parent's."""
        self.world.renew()
        self.code.kept.after_fork_in_child()
        self.hot.after_fork_in_child()
        self.backend.after_fork_in_child()

    def statistics(self) -> dict[str, object]:
        """Counts of what was translated and compiled."""
        kept = self.code.kept.statistics
        return {**self.code.statistics, **kept, **self.hot.statistics, **self.backend.statistics}

    # -- logs ------------------------------------------------------------------------------

    def _trace(self, cpu: Cpu, record: int) -> None:
        pc = self._pc_of(record)
        if self.log.wants("exec"):
            self.log.write("exec", f"Trace: {pc:#010x}\n", pc)
        if self.log.wants("cpu"):
            self.log.write("cpu", dump_registers(cpu, pc, self.frontend.address_type), pc)

    def _log_code(self, pc: int, code: bytes) -> None:
        lines = ["----------------", f"IN: {pc:#010x}"]
        at = 0
        while at < len(code):
            decoded = self.frontend.decode(code, at, pc + at)
            if decoded is None:
                break
            raw = code[at : at + decoded.size].hex()
            text = self.frontend.disassemble(decoded, pc + at)
            lines.append(f"{pc + at:#010x}:  {raw}  {text}")
            at += decoded.size
        self.log.write("in_asm", "\n".join(lines) + "\n\n", pc)


def dump_registers(cpu: Cpu, pc: int, address_type: Type) -> str:
    """The guest's registers, as `-d cpu` shows them: four to a line."""
    values = [f"pc={pc:0{2 * address_type.bytes}x}"]
    values.extend(
        f"{slot.name}={cpu.get(slot):0{2 * slot.type.bytes}x}"
        for slot in cpu.layout
        if slot.name not in HEADER
    )
    rows = [" ".join(values[i : i + 4]) for i in range(0, len(values), 4)]
    return "\n".join(rows) + "\n"
