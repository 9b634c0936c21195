"""The native engine of a whole machine: implements tcg.system.SystemRunner.

As in a process (tcg.engine), Python sees only what native code leaves for.  Paging, page walks and
the delivery of interrupts run natively too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from tcg.backend import Backend
from tcg.blocks import BlockTable
from tcg.cpu import Cpu
from tcg.engine import LISTINGS, EngineOptions, Exit, dump_registers
from tcg.forms import Form, Forms, finish_form, make_filler
from tcg.frontend import GuestException
from tcg.heat import Heat
from tcg.ir import Function
from tcg.log import Log
from tcg.native.blocks import NativeBlocks, Pool
from tcg.reading import PAGE
from tcg.state import EXACT, NO_ADDRESS, Reason
from tcg.system import AC, READ, USER, WRITE, Guest, PageFault
from tcg.system_code import NOWHERE, CodeMemory, FetchFault, Space, SystemCode
from tcg.world import World

NOT_CANONICAL = 1 << 30
"""In header.fault_code: the address is none; a protection fault, not a page fault."""
CODE_64 = 2
"""The lowest two bits of `mode` in 64-bit code."""


class PhysicalMemory(CodeMemory, Protocol):
    """What the engine needs of a machine's memory."""

    @property
    def map_address(self) -> int:
        """Host address of the map: for each page where it is on the host, with flags."""

    @property
    def code_address(self) -> int:
        """Host address of `code_chunks`."""

    @property
    def code_bytes_address(self) -> int:
        """Host address of `code_bytes`."""

    def store(self, address: int, value: int, size: int) -> None:
        """What the processor writes, little endian."""

    def write(self, address: int, data: bytes) -> None:
        """Write bytes at a physical address."""


class SystemBackend(Backend, Protocol):
    """A backend with a native MMU."""

    def prepare_system(self, cpu: Cpu, memory: Any) -> None:
        """Give a CPU its TLBs and jump caches, and the machine's memory."""

    def connect_memory(
        self,
        walk: int,
        read: Callable[[int, int], int],
        write: Callable[[int, int, int], None],
    ) -> None:
        """The page walk's code, and who answers for devices."""

    @property
    def mmu(self) -> Any:
        """The native MMU's functions."""


class SystemEngine:
    """Runs the one processor of a machine."""

    def __init__(
        self,
        guest: Guest,
        memory: PhysicalMemory,
        backend: SystemBackend,
        options: EngineOptions,
        log: Log,
    ) -> None:
        self.guest = guest
        self.memory = memory
        self.backend = backend
        self.log = log
        self.world = World()
        self._tracing = log.wants("exec") or log.wants("cpu")
        hot_entries = options.hot_entries if options.jit and not self._tracing else 0
        listings = [item for item in LISTINGS if log.wants(item)]
        table = BlockTable()
        self.hot = Heat(backend, table, self.world, log, listings, hot_entries)
        self.hot.exact = True
        self.code = SystemCode(
            backend, memory, guest.frontend, table, self.hot, _is_long, links=not self._tracing
        )
        self.code.where = self._where
        self.code.protect = self._protect
        self._pool = Pool(backend)
        self.code.native_blocks = self._native_blocks
        if options.one_instruction:
            self.code.limit = 1
        if log.wants("in_asm"):
            self.code.on_translated = self._log_code
        self._cpu: Cpu | None = None
        self._deliveries: dict[int, int] = {}
        self.stop_at: int | None = None
        self._error: BaseException | None = None
        backend.load_handlers(self._routines(guest))
        walk = self._routine("walk", guest.walk)
        backend.connect_memory(walk.address, self._on_read, self._on_write)
        self._resume: dict[int, Callable[[Cpu], int]] = {
            Reason.UNTRANSLATED: self._untranslated,
            Reason.LOOKUP: self._look_up,
            Reason.HOT: self._hot,
            Reason.CODE_WRITE: self._store,
            Reason.STALE: self._recheck,
        }

    @staticmethod
    def _routines(guest: Guest) -> Forms:
        """What takes the place of a frontend's forms where there is none."""
        return Forms(guest.frontend(0))

    def _routine(self, name: str, function: Function) -> Form:
        """A function of the guest's as native code."""
        width = self.guest.frontend(0).name.rpartition("_")[0]
        function.name = f"h_{width}_{name}"
        if name == "walk":
            function.kind = "routine"
        form = finish_form(function, -1, (), True, {})
        self.backend.make_handlers([form])
        return form

    def _own_routine(self, name: str, build: Callable[[Function], None]) -> int:
        """The address of a routine of our own, built if no earlier run has made it."""
        symbol = f"h_{name}"
        (address,) = self.backend.handler_addresses([symbol])
        if address:
            return address
        function = Function("routine", symbol)
        build(function)
        form = finish_form(function, -1, (), True, {})
        self.backend.make_handlers([form])
        return form.address

    def _native_blocks(self, frontend: Any, forms: Forms) -> NativeBlocks:
        return NativeBlocks(
            frontend, forms, self.backend, self._pool, self._own_routine, self._run_routine
        )

    def _run_routine(self, code: int, job: int) -> None:
        assert self._cpu is not None
        self._cpu.set_header("job", job)
        self.backend.mmu.routine(self._cpu.address, code)

    # -- CPUs ------------------------------------------------------------------------------

    def new_cpu(self) -> Cpu:
        """A CPU with all slots zero.  There is one at a time."""
        layout = self.guest.layout
        address, view = self.backend.new_state(-(-layout.size // 64) * 64)
        cpu = Cpu(layout, view, address)
        self.backend.prepare_system(cpu, self.memory)
        self.world.cpus.add(cpu)
        self._cpu = cpu
        self.backend.mmu.flush(cpu.address)
        return cpu

    def kick(self, cpu: Cpu) -> None:
        """Have `cpu` leave its guest code soon with an `event` exit."""
        cpu.kick()

    def _here(self, cpu: Cpu) -> Space:
        return self.code.space(cpu.header("mode"), cpu.header("code_space"))

    # -- the loop --------------------------------------------------------------------------

    def run(self, cpu: Cpu, deliver: bool = False) -> Exit:
        """Run from cpu.pc until the client must act; `deliver`: first take an interrupt."""
        self.backend.mmu.select(cpu.address)
        try:
            record = self._delivery(cpu) if deliver else self._entry(cpu)
            return self._run(cpu, record)
        except FetchFault as fault:
            return self._fetch_fault(cpu, fault)

    def step(self, cpu: Cpu) -> Exit:
        """Run one instruction, whatever events are pending."""
        self.backend.mmu.select(cpu.address)
        try:
            with self.world.lock:
                alone = self.code.alone(self._here(cpu), cpu.pc)
            cpu.kick()
            return self._run(cpu, alone.body)
        except FetchFault as fault:
            return self._fetch_fault(cpu, fault)

    def _run(self, cpu: Cpu, record: int) -> Exit:
        enter, resume = self.backend.enter, self._resume
        while True:
            if self._tracing:
                self._trace(cpu)
            cpu.inside = True
            reason = enter(cpu.address, record)
            cpu.inside = False
            if self._error is not None:
                raise self._error
            if reason == Reason.ASK:
                return Exit("syscall", cpu.pc, cpu.header("exit_info"))
            handler = resume.get(reason)
            if handler is None:
                return self._leave(cpu, reason)
            if cpu.has_event and reason != Reason.CODE_WRITE:
                if reason != Reason.LOOKUP:
                    cpu.pc = self._pc_of(cpu, cpu.header("exit_rec"))
                return self._event(cpu, at_record=False)
            record = handler(cpu)

    def _leave(self, cpu: Cpu, reason: int) -> Exit:
        if reason == Reason.EVENT:
            return self._event(cpu)
        if reason == Reason.EXCEPTION:
            record = cpu.header("exit_rec")
            if record:
                cpu.pc = self._pc_of(cpu, record)
            return Exit("exception", cpu.pc, cpu.header("exit_info"))
        assert reason == Reason.FAULT, f"native code left for reason {reason}"
        cpu.pc = self._access(cpu)
        return self._fault(cpu)

    def _fault(self, cpu: Cpu) -> Exit:
        code = cpu.header("fault_code")
        if code == NO_ADDRESS or code & NOT_CANONICAL:
            cpu.set(cpu.layout.slots["error_code"], 0)
            return Exit("exception", cpu.pc, int(GuestException.PROTECTION))
        return Exit("fault", cpu.pc, code, cpu.header("fault_address"))

    def _fetch_fault(self, cpu: Cpu, fault: FetchFault) -> Exit:
        if fault.pc is not None:
            cpu.pc = fault.pc
        return self._fault(cpu)

    def _access(self, cpu: Cpu) -> int:
        """The pc of the memory access that failed."""
        record = cpu.header("current_rec")
        return cpu.header("current_pc") if record <= EXACT else self._pc_of(cpu, record)

    def _event(self, cpu: Cpu, at_record: bool = True) -> Exit:
        record = cpu.header("exit_rec")
        if record and at_record:
            cpu.pc = self._pc_of(cpu, record)
        cpu.clear_event()
        return Exit("event", cpu.pc)

    def _pc_of(self, cpu: Cpu, record: int) -> int:
        if record in self._deliveries.values():
            return self._delivered_at
        with self.world.lock:
            return self.code.pc_of_record(record, self._here(cpu).pc_mask)

    def _entry(self, cpu: Cpu) -> int:
        with self.world.lock:
            if self.code.has_garbage:
                self.code.collect()
            return self.code.enter(self._here(cpu), cpu.pc)

    def _untranslated(self, cpu: Cpu) -> int:
        cpu.pc = self._pc_of(cpu, cpu.header("exit_rec"))
        return self._entry(cpu)

    def _look_up(self, cpu: Cpu) -> int:
        return self._entry(cpu)

    def _store(self, cpu: Cpu) -> int:
        cpu.pc = self._access(cpu)
        start = cpu.header("fault_address")
        with self.world.lock:
            return self.code.store(self._here(cpu), cpu.pc, start, start + cpu.header("fault_code"))

    def _recheck(self, cpu: Cpu) -> int:
        record = cpu.header("exit_rec")
        cpu.pc = self._pc_of(cpu, record)
        with self.world.lock:
            self.code.recheck(record)
        return self._entry(cpu)

    def _hot(self, cpu: Cpu) -> int:
        record = cpu.header("exit_rec")
        cpu.pc = self._pc_of(cpu, record)
        with self.world.lock:
            return self.code.heat(self._here(cpu), record)

    # -- delivery --------------------------------------------------------------------------

    _delivered_at = 0

    def _delivery(self, cpu: Cpu) -> int:
        """The record that takes an interrupt in the current mode."""
        mode = cpu.header("mode")
        record = self._deliveries.get(mode)
        if record is None:
            form = self._routine(f"deliver_{mode:03x}", self.guest.delivery(mode))
            record = self.backend.allocate(form.size)
            make_filler(form)(self.backend.view, record - self.backend.base, form.address, 0)
            self._deliveries[mode] = record
        self._delivered_at = cpu.pc
        return record

    # -- addresses -------------------------------------------------------------------------

    def _where(self, key: int) -> int:
        assert self._cpu is not None
        return int(self.backend.mmu.where(self._cpu.address, key))

    def _protect(self, physical: int) -> None:
        assert self._cpu is not None
        self.backend.mmu.protect(self._cpu.address, physical)

    def translate(self, cpu: Cpu, linear: int, access: int) -> int:
        """The physical address; raises PageFault."""
        index = 1 if access & USER else 2 if access & AC else 0
        found = int(self.backend.mmu.translate(cpu.address, index, linear, access & 3))
        if found == NOWHERE:
            raise PageFault(linear, cpu.header("fault_code"))
        return found

    def _pieces(self, cpu: Cpu, linear: int, size: int, access: int) -> list[tuple[int, int]]:
        """Physical addresses and lengths, page by page; raises PageFault."""
        pieces = []
        while size > 0:
            here = min(size, PAGE - linear % PAGE)
            pieces.append((self.translate(cpu, linear, access), here))
            linear, size = linear + here, size - here
        return pieces

    def read_linear(self, cpu: Cpu, linear: int, size: int, user: bool = False) -> bytes:
        """Memory at a linear address; raises PageFault before anything was read."""
        pieces = self._pieces(cpu, linear, size, READ | USER * user)
        return b"".join(self.memory.read(physical, length) for physical, length in pieces)

    def write_linear(self, cpu: Cpu, linear: int, data: bytes, user: bool = False) -> None:
        """Write memory at a linear address; raises PageFault before anything was written."""
        done = 0
        for physical, length in self._pieces(cpu, linear, len(data), WRITE | USER * user):
            self.memory.write(physical, data[done : done + length])
            done += length

    def flush_tlb(self, cpu: Cpu, linear: int | None = None) -> None:
        """Forget the translation of a page, or all of them."""
        if linear is None:
            self.backend.mmu.flush(cpu.address)
        else:
            self.backend.mmu.flush_page(cpu.address, linear)
        if cpu.inside:
            cpu.kick()

    # -- memory ----------------------------------------------------------------------------

    def _on_read(self, physical: int, size: int) -> int:
        try:
            return self.memory.load(physical, size)
        except Exception as error:
            self._fail(error)
            return 0

    def _on_write(self, physical: int, value: int, size: int) -> None:
        try:
            self.memory.store(physical, value & (1 << 8 * size) - 1, size)
        except Exception as error:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        """A device went wrong: have the run loop say so."""
        self._error = error
        if self._cpu is not None:
            self._cpu.kick()

    def memory_changed(self, start: int, end: int) -> None:
        """Somebody else wrote to physical memory in [start, end)."""
        with self.world.lock:
            self.code.invalidate(start, end)

    def remapped(self) -> None:
        """The physical address space shows other memory than before somewhere."""
        if self._cpu is not None:
            self.flush_tlb(self._cpu)

    # -- for the user ----------------------------------------------------------------------

    def statistics(self) -> dict[str, object]:
        """Counts of what was translated and compiled."""
        return {**self.code.statistics, **self.hot.statistics, **self.backend.statistics}

    def _trace(self, cpu: Cpu) -> None:
        pc = cpu.pc
        if self.log.wants("exec"):
            self.log.write("exec", f"Trace: {pc:#010x}\n", pc)
        if self.log.wants("cpu"):
            address_type = self.guest.frontend(cpu.header("mode")).address_type
            self.log.write("cpu", dump_registers(cpu, pc, address_type), pc)

    def _log_code(self, pc: int, code: bytes) -> None:
        assert self._cpu is not None
        frontend = self.guest.frontend(self._cpu.header("mode"))
        lines = ["----------------", f"IN: {pc:#010x}"]
        at = 0
        while at < len(code):
            decoded = frontend.decode(code, at, pc + at)
            if decoded is None:
                break
            raw = code[at : at + decoded.size].hex()
            lines.append(f"{pc + at:#010x}:  {raw}  {frontend.disassemble(decoded, pc + at)}")
            at += decoded.size
        self.log.write("in_asm", "\n".join(lines) + "\n\n", pc)


def _is_long(mode: int) -> bool:
    return mode & 3 == CODE_64
