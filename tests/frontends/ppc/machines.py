"""PowerPC processors to compare: ours, by engine, and the one inside `unicorn`.

Each takes register values and memory, runs guest code, and gives back what has become of them.
Registers go by name: r0 to r31, f0 to f31 (as bits), lr, ctr, cr, xer, fpscr, pc.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from time import monotonic, sleep
from typing import Protocol

from frontends.ppc import registers
from frontends.ppc.fpscr_bits import FI, FR
from frontends.ppc.frontend import PpcFrontend
from frontends.ppc.state import NO_RESERVATION
from tcg.cpu import Cpu
from tcg.engine import Exit
from tcg.faults import GuestFault
from tcg.frontend import GuestException
from tcg.log import Log

CODE = 0x0001_0000
CODE_SIZE = 0x0001_0000
DATA = 0x0010_0000
DATA_SIZE = 0x4000
SC = 0x4400_0002
FPSCR_COMPARED = 0xFFFF_FFFF & ~(FR | FI)
"""FR and FI tell of the last operation only; we do not follow them."""

GPRS = tuple(f"r{i}" for i in range(32))
FPRS = tuple(f"f{i}" for i in range(32))
SPECIAL = ("lr", "ctr", "cr", "xer", "fpscr")
NAMES = (*GPRS, *FPRS, *SPECIAL)

State = dict[str, int]


class Machine(Protocol):
    """A processor with code at CODE and data at DATA."""

    def write(self, address: int, data: bytes) -> None:
        """Write guest memory."""

    def read(self, address: int, size: int) -> bytes:
        """Read guest memory."""

    def run(self, before: State, length: int) -> tuple[State, str]:
        """Run the `length` bytes of code at CODE from these registers (others are zero).

        Gives all registers, pc too, and how it ended: "" or the name of an exception.
        """


class FlatMemory:
    """The two areas, for the interpreting engine."""

    def __init__(self) -> None:
        self._areas = {CODE: bytearray(CODE_SIZE), DATA: bytearray(DATA_SIZE)}

    def _find(self, address: int, size: int, write: bool = False) -> tuple[bytearray, int]:
        for start, area in self._areas.items():
            if start <= address and address + size <= start + len(area):
                return area, address - start
        raise GuestFault(address, write)

    def fetch(self, address: int, length: int) -> bytes:
        area, at = self._find(address, 1)
        return bytes(area[at : at + length])

    def may_change(self, address: int) -> bool:
        return False

    def read(self, address: int, size: int) -> bytes:
        area, at = self._find(address, size)
        return bytes(area[at : at + size])

    def write(self, address: int, data: bytes) -> None:
        area, at = self._find(address, len(data), True)
        area[at : at + len(data)] = data


class Runner(Protocol):
    """What an engine is to this file."""

    def new_cpu(self) -> Cpu: ...
    def run(self, cpu: Cpu) -> Exit: ...
    def invalidate(self, start: int, end: int) -> None: ...


def _nothing() -> None:
    """What machines without native code do for their faults."""


class OurMachine:
    """One of our engines.  An `sc` behind the code stops it."""

    def __init__(
        self, frontend: PpcFrontend, memory: FlatMemory | NativeMemory, engine: Runner
    ) -> None:
        self.frontend = frontend
        self.memory = memory
        self.engine = engine
        self.cpu = engine.new_cpu()
        self.slots = frontend.layout.slots
        self.named = [(name, self.slots[name]) for name in (*GPRS, *FPRS, "lr", "ctr")]
        self.catch_faults: Callable[[], None] = _nothing
        """Makes this machine the one whose faults the host's signal handler serves."""

    def write(self, address: int, data: bytes) -> None:
        self.memory.write(address, data)
        if CODE <= address < CODE + CODE_SIZE:
            self.engine.invalidate(CODE, CODE + CODE_SIZE)

    def read(self, address: int, size: int) -> bytes:
        return self.memory.read(address, size)

    def run(self, before: State, length: int) -> tuple[State, str]:
        self.catch_faults()
        self.set(before)
        self.cpu.pc = CODE
        left = self.engine.run(self.cpu)
        after = self.get()
        after["pc"] = left.pc
        if left.kind == "syscall" and left.pc != CODE + length:
            after["pc"] -= 4
            return after, ""
        if left.kind == "fault" and not left.is_write and left.pc == left.address:
            return after, ""  # a branch out of the code
        if left.kind == "exception":
            return after, GuestException(left.code).name.lower()
        return after, left.kind

    def set(self, state: State) -> None:
        """Set all registers."""
        cpu, model = self.cpu, self.frontend.state
        for name, slot in self.named:
            cpu.set(slot, state.get(name, 0))
        cpu.set_header("reservation_address", NO_RESERVATION)
        registers.write_cr(model, cpu, state.get("cr", 0))
        registers.write_xer(model, cpu, state.get("xer", 0))
        registers.write_fpscr(model, cpu, state.get("fpscr", 0))

    def get(self) -> State:
        """All registers."""
        cpu, model = self.cpu, self.frontend.state
        state = {name: cpu.get(slot) for name, slot in self.named}
        state["cr"] = registers.read_cr(model, cpu)
        state["xer"] = registers.read_xer(model, cpu)
        state["fpscr"] = registers.read_fpscr(model, cpu) & FPSCR_COMPARED
        return state


COMPILE_SECONDS = 60


class JitMachine(OurMachine):
    """The engine with regions: runs everything until it is compiled, then once more in earnest."""

    def run(self, before: State, length: int) -> tuple[State, str]:
        data = self.read(DATA, DATA_SIZE)
        for _ in range(HOT_ENTRIES):
            super().run(before, length)
            self.memory.write(DATA, data)
        blocks = self.engine.code.table.by_pc  # type: ignore[attr-defined]
        end = monotonic() + COMPILE_SECONDS
        while any(block.is_pending for block in blocks.values()):
            assert monotonic() < end, "a region is not compiled"
            sleep(0.0002)
        return super().run(before, length)


def interp() -> OurMachine:
    """The evaluator."""
    from tcg.interp import Interpreter

    frontend, memory = PpcFrontend(), FlatMemory()
    return OurMachine(frontend, memory, Interpreter(frontend, memory, Log()))


class NativeMemory:
    """The two areas in a guest address space as programs have it."""

    def __init__(self) -> None:
        from user_mode.areas import MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE
        from user_mode.memory import GuestMemory

        self.guest = GuestMemory(1 << 32, ">", 0xC000_0000)
        for start, size in ((CODE, CODE_SIZE), (DATA, DATA_SIZE)):
            self.guest.mmap(start, size, 7, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)

    def read(self, address: int, size: int) -> bytes:
        return self.guest.read(address, size)

    def write(self, address: int, data: bytes) -> None:
        self.guest.write(address, data)


def native(jit: bool) -> OurMachine:
    """Native code: handlers alone, or handlers and regions."""
    from backend.llvm.cache import open_cache
    from backend.llvm.host import LlvmBackend
    from tcg.engine import Engine, EngineOptions

    frontend, memory, log = PpcFrontend(), NativeMemory(), Log()
    where = "frontends.ppc.frontend:PpcFrontend"
    backend = LlvmBackend(where, frontend.pc_shift, open_cache(os.environ), log)
    options = EngineOptions(jit, hot_entries=HOT_ENTRIES)
    engine = Engine(frontend, memory.guest, backend, options, log)
    memory.guest.code_changed = engine.invalidate
    machine = (JitMachine if jit else OurMachine)(frontend, memory, engine)
    machine.catch_faults = backend.runtime.catch_faults
    return machine


HOT_ENTRIES = 1
"""Entries of a block before it is compiled: nothing here runs often."""

ENGINES: dict[str, Callable[[], OurMachine]] = {
    "interp": interp,
    "threaded": lambda: native(jit=False),
    "jit": lambda: native(jit=True),
}
"""How to make our machines, by the name of their engine."""


@cache
def make_machine(engine: str) -> OurMachine:
    """The machine of an engine; one does for all tests, which set all of its state."""
    return ENGINES[engine]()


class UnicornMachine:
    """QEMU's processor, of the 750 kind, as the `unicorn` package has it."""

    def __init__(self) -> None:
        import unicorn
        from unicorn import ppc_const

        self.uc = unicorn.Uc(
            unicorn.UC_ARCH_PPC, unicorn.UC_MODE_PPC32 | unicorn.UC_MODE_BIG_ENDIAN
        )
        self.uc.ctl_set_cpu_model(ppc_const.UC_CPU_PPC32_750_V3_1)
        for start, size in ((CODE, CODE_SIZE), (DATA, DATA_SIZE)):
            self.uc.mem_map(start, size)
        self.error: type[Exception] = unicorn.UcError
        numbers = vars(ppc_const)
        self.numbers = {
            **{f"r{i}": numbers[f"UC_PPC_REG_{i}"] for i in range(32)},
            **{f"f{i}": numbers[f"UC_PPC_REG_FPR{i}"] for i in range(32)},
            **{
                name: numbers[f"UC_PPC_REG_{name.upper()}"] for name in ("lr", "ctr", "cr", "fpscr")
            },
        }
        self.pc = ppc_const.UC_PPC_REG_PC
        msr = ppc_const.UC_PPC_REG_MSR
        self.uc.reg_write(msr, self.uc.reg_read(msr) | 0x2000)  # floating point available
        self.helpers = CODE + CODE_SIZE - 16
        # mtxer r0; stwcx. r0, 0, r1 (which ends a reservation); mfxer r0
        self.uc.mem_write(self.helpers, bytes.fromhex("7c0103a6 7c00092d 7c0102a6"))

    def write(self, address: int, data: bytes) -> None:
        self.uc.mem_write(address, data)
        if CODE <= address < CODE + CODE_SIZE:
            self.uc.ctl_remove_cache(CODE, CODE + CODE_SIZE)

    def read(self, address: int, size: int) -> bytes:
        return bytes(self.uc.mem_read(address, size))

    def run(self, before: State, length: int) -> tuple[State, str]:
        uc = self.uc
        uc.reg_write(self.numbers["r0"], before.get("xer", 0))
        uc.reg_write(self.numbers["r1"], self.helpers + 12)
        uc.emu_start(self.helpers, self.helpers + 8)
        for name, number in self.numbers.items():
            uc.reg_write(number, before.get(name, 0))
        ended = ""
        try:
            # A single instruction may branch: it is counted; code of several must run to its end.
            uc.emu_start(CODE, CODE + length, count=1 if length == 4 else 0)
        except self.error as error:
            # A branch out of the code is none of its instruction's faults.
            ended = "" if "FETCH" in str(error) else str(error)
        after = {name: uc.reg_read(number) for name, number in self.numbers.items()}
        after["pc"] = uc.reg_read(self.pc)
        after["fpscr"] &= FPSCR_COMPARED
        uc.emu_start(self.helpers + 8, self.helpers + 12)
        after["xer"] = uc.reg_read(self.numbers["r0"])
        return after, ended
