"""The interpreting engine (`-accel interp`): guest blocks lifted to IR, the IR evaluated in Python.

It has the same client interface as the native engine and shares nothing with the backend: what it
does is what the semantic functions and the op table say, and so it is the oracle of both.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

from tcg import ops
from tcg.cpu import Cpu
from tcg.engine import SIGBUS, SIGSEGV, Exit, dump_registers
from tcg.evaluate import Evaluator, Left, State
from tcg.faults import GuestFault
from tcg.floats import CONTROL_DEFAULT
from tcg.frontend import Decoded, Frontend, GuestException
from tcg.ir import Function
from tcg.log import Log
from tcg.reading import PAGE, CodeReader
from tcg.state import Reason
from tcg.translator import MAX_BLOCK_INSTRUCTIONS
from tcg.types import VOID

MXCSR_DEFAULT = 0x1F80
ACCESS_DENIED = 2
"""The si_code of faults of data: SEGV_ACCERR, or BUS_ADRERR.  Fetches have none."""


class InterpretedMemory(Protocol):
    """Guest memory by copies; everything raises GuestFault."""

    def fetch(self, address: int, length: int) -> bytes:
        """Code at `address`, at least a byte."""

    def may_change(self, address: int) -> bool:
        """Whether the guest may write to the page of `address`."""

    def read(self, address: int, size: int) -> bytes:
        """`size` bytes at a guest address."""

    def write(self, address: int, data: bytes) -> None:
        """Write bytes at a guest address."""


class Interpreter:
    """Implements tcg.engine.Runner in plain Python."""

    def __init__(
        self, frontend: Frontend, memory: InterpretedMemory, log: Log, one_instruction: bool = False
    ) -> None:
        self.frontend = frontend
        self.memory = memory
        self.log = log
        self.limit = 1 if one_instruction else MAX_BLOCK_INSTRUCTIONS
        self.evaluator = Evaluator()
        self.blocks: dict[int, Callable[[State, InterpretedMemory], Left]] = {}
        self._pages: dict[int, set[int]] = {}
        self._states: dict[Cpu, State] = {}
        self._tracing = log.wants("exec") or log.wants("cpu")

    def new_cpu(self) -> Cpu:
        """A CPU with all slots zero."""
        size = -(-self.frontend.layout.size // 64) * 64
        buffer = (ctypes.c_char * size)()
        view = memoryview(buffer).cast("B")
        cpu = Cpu(self.frontend.layout, view, ctypes.addressof(buffer))
        cpu.set_header("mxcsr", MXCSR_DEFAULT)
        cpu.set_header("x87_control", CONTROL_DEFAULT)
        self._states[cpu] = State(view)
        return cpu

    def drop_cpu(self, cpu: Cpu) -> None:
        """The CPU will not run again."""
        self._states.pop(cpu, None)

    def kick(self, cpu: Cpu) -> None:
        """Have `cpu` leave its guest code soon with an `event` exit."""
        cpu.kick()

    def run(self, cpu: Cpu) -> Exit:
        """Run from cpu.pc until the client must act."""
        state = self._states[cpu]
        while True:
            if cpu.header("event"):
                cpu.clear_event()
                return Exit("event", cpu.pc)
            try:
                block = self.blocks.get(cpu.pc) or self._lift(cpu.pc)
            except GuestFault as fault:
                cpu.pc = fault.address if fault.pc is None else fault.pc
                return _fault(cpu.pc, fault)
            if self._tracing:
                self._trace(cpu)
            left = block(state, self.memory)
            cpu.pc = left.pc
            if left.reason == Reason.ASK:
                return Exit("syscall", left.pc, left.info)
            if left.reason == Reason.EXCEPTION:
                return Exit("exception", left.pc, left.info)
            if left.reason == Reason.FAULT:
                return _fault(
                    left.pc, GuestFault(left.info, left.is_write, left.is_bus), ACCESS_DENIED
                )

    def _lift(self, pc: int) -> Callable[[State, InterpretedMemory], Left]:
        """The block at `pc`, as Python that ends where the guest goes on."""
        code = CodeReader(self.frontend, self.memory.fetch, pc)
        function = Function("region", f"I_{pc:x}")
        b = self.frontend.new_builder(function)
        at = count = 0
        limit = self.limit
        if self.frontend.notices_stores and self.memory.may_change(pc):
            limit = 1  # its own stores may change what follows
        while not b.block.is_closed:
            decoded = self._decode(code, at) if count < limit else None
            if decoded is None and not count:
                b.insn(pc)
                b.raise_(GuestException.ILLEGAL, pc)
            elif decoded is None:
                b.emit(ops.GOTO, VOID, (), (pc + at, ""))
            else:
                b.insn(pc + at)
                self.frontend.lift(b, decoded.row, decoded.fields, pc + at)
                at += decoded.size
                count += 1
        self.blocks[pc] = block = self.evaluator.translate(function)
        for page in range(pc // PAGE, (pc + max(at, 1) - 1) // PAGE + 1):
            self._pages.setdefault(page, set()).add(pc)
        return block

    @staticmethod
    def _decode(code: CodeReader, at: int) -> Decoded | None:
        """The instruction at an offset; None, too, if it faults but is not the block's first."""
        try:
            return code.decode(at)
        except GuestFault:
            if not at:
                raise
            return None

    def _trace(self, cpu: Cpu) -> None:
        pc = cpu.pc
        if self.log.wants("exec"):
            self.log.write("exec", f"Trace: {pc:#010x}\n", pc)
        if self.log.wants("cpu"):
            self.log.write("cpu", dump_registers(cpu, pc, self.frontend.address_type), pc)

    def invalidate(self, start: int, end: int) -> None:
        """Code in [start, end) has changed or is gone."""
        pages = [page for page in self._pages if start // PAGE <= page <= (end - 1) // PAGE]
        for page in pages:
            for pc in self._pages.pop(page):
                self.blocks.pop(pc, None)

    def begin(self, program: str) -> None:
        """Nothing to do: nothing is kept."""

    def end(self) -> None:
        """Nothing to do: nothing is kept."""

    def set_exact(self, exact: bool) -> None:
        """Nothing to do: the state is exact always."""

    def set_parallel(self) -> None:
        """Nothing to do: memory is accessed as the guest says."""

    def reset(self) -> None:
        """Forget all guest code."""
        self.blocks.clear()
        self._pages.clear()

    def quiet(self) -> AbstractContextManager[Any]:
        """Nothing is shared between threads here but what the GIL guards."""
        return nullcontext()

    def after_fork_in_child(self) -> None:
        """Nothing is shared."""

    def statistics(self) -> dict[str, object]:
        """Counts of what was lifted."""
        return {"blocks": len(self.blocks)}


def _fault(pc: int, fault: GuestFault, code: int = 0) -> Exit:
    signal = SIGBUS if fault.is_bus else SIGSEGV
    return Exit("fault", pc, code, fault.address, fault.is_write, signal)
