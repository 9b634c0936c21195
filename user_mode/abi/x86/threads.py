"""Threads, exceptions and requests of x86 guests, as far as i386 and x86-64 do not differ.

Source: arch/x86/kernel/{process,traps}.c, arch/x86/mm/fault.c
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

from frontends.x86.state import (
    ASK_CHECK_FLOATS,
    ASK_CPUID,
    ASK_INT80,
    ASK_LOAD_SEGMENT,
    ASK_RDRAND,
    ASK_SYSENTER,
    AX,
    SP,
    X86State,
)
from tcg.frontend import GuestException
from user_mode.abi.x86 import traps
from user_mode.abi.x86.asks import answer_cpuid, answer_random
from user_mode.abi.x86.clocks import Clocks
from user_mode.abi.x86.fpstate import FpState
from user_mode.abi.x86.registers import X86Registers
from user_mode.abi.x86.segments import BadSelector, Segments
from user_mode.delivery import force
from user_mode.errors import Errno
from user_mode.memory import SEGV_MAPERR
from user_mode.siginfo import SI_KERNEL, SigInfo

if TYPE_CHECKING:
    from frontends.x86.cpuid import CpuModel
    from frontends.x86.frontend import X86Frontend
    from tcg.cpu import Cpu
    from tcg.engine import Exit
    from user_mode.process import Process, Thread

SYSCALL_BYTES = 2
"""`syscall`, `int 0x80` and `sysenter` are as long as one another."""
ASK_BITS = 8
"""What `ask` asks for is in so many bits; what is above them says more."""


class X86Threads:
    """What the life of threads and the delivery of signals need to know of the CPU."""

    instruction_bytes = 15
    trampolines = b""

    def __init__(self, state: X86State, model: CpuModel, fp: FpState) -> None:
        """`model`: the processor that CPUID describes; `fp`: its part of signal frames."""
        self.state = state
        self.model = model
        self.fp = fp
        self.registers = X86Registers(state)
        self.segments = Segments(state)
        self.frontend: X86Frontend | None = None
        """What decodes and lifts, where something runs."""
        self._gpr = state.gpr.slots
        self._clocks = Clocks()
        self._asks: dict[int, Callable[[Thread, int], None]] = {
            ASK_CPUID: lambda thread, _: answer_cpuid(self.state, self.model, thread.cpu),
            ASK_RDRAND: lambda thread, more: answer_random(self.state, thread.cpu, more),
            ASK_LOAD_SEGMENT: self._load_segment,
            ASK_CHECK_FLOATS: lambda thread, _: self.follow_mxcsr(thread),
            ASK_INT80: self.on_int80,
            ASK_SYSENTER: self.on_sysenter,
        }

    def clocks_were_read(self, process: Process) -> None:
        """Have the vDSO tell the time by what is known now."""
        self._clocks.look(process)

    def stack_pointer(self, cpu: Cpu) -> int:
        """The register rsp or esp."""
        return cpu.get(self._gpr[SP])

    def restart_syscall(self, cpu: Cpu, overwritten: int) -> None:
        """Back to the instruction, with the call's number where its result is."""
        cpu.set(self._gpr[AX], overwritten)
        cpu.pc -= SYSCALL_BYTES

    # -- exceptions ------------------------------------------------------------------------

    def exception(self, cpu: Cpu, code: int) -> SigInfo:
        """The signal for an exception."""
        row = traps.EXCEPTIONS[GuestException(code)]
        if row.code == SI_KERNEL:
            return SigInfo(row.signo, SI_KERNEL)
        si_code = row.code or self._float_code(cpu, row.number)
        return SigInfo(row.signo, si_code, address=cpu.pc)

    def _float_code(self, cpu: Cpu, number: int) -> int:
        if number == traps.XF:
            return traps.float_code(traps.unmasked_simd(self.fp.mxcsr(cpu)))
        return traps.float_code(traps.unmasked(*self.fp.x87_words(cpu)))

    def note_trap(self, thread: Thread, stop: Exit, info: SigInfo) -> SigInfo | None:
        """Keep what frames tell of the last exception; a page fault may be another one."""
        if stop.kind == "exception":
            number = traps.EXCEPTIONS[GuestException(stop.code)].number
            error = self._gate_error(thread) if number == traps.GP else 0
            thread.trap = (number, error, thread.trap[2])
            return info
        return self.note_page_fault(thread, stop, info)

    @staticmethod
    def _gate_error(thread: Thread) -> int:
        """The error code of a #GP: INT's tells which interrupt, all others' are 0."""
        try:
            return traps.gate_error(thread.process.memory.read(thread.cpu.pc, 2))
        except Errno:
            return 0

    def note_page_fault(self, thread: Thread, stop: Exit, info: SigInfo) -> SigInfo | None:
        """Keep the error code and the address of a page fault."""
        is_present = info.signo == signal.SIGSEGV and info.code != SEGV_MAPERR
        error = traps.page_fault_error(is_present, stop.is_write, is_fetch=not stop.code)
        thread.trap = (traps.PF, error, info.address)
        return info

    # -- requests --------------------------------------------------------------------------

    def on_ask(self, thread: Thread, code: int) -> None:
        """Serve an instruction that Python does; `code` is what it asks for, and a detail."""
        serve = self._asks.get(code & (1 << ASK_BITS) - 1)
        if serve is None:
            thread.process.translate_anew()
        else:
            serve(thread, code >> ASK_BITS)

    def _load_segment(self, thread: Thread, number: int) -> None:
        try:
            self.segments.load(thread.cpu, number)
        except BadSelector:
            slot = self.state.selectors.slots[number]
            selector = thread.cpu.get(slot)
            thread.cpu.set(slot, 0)  # What was there before is lost; the base is not.
            self.protection_fault(thread, selector & ~3)

    def follow_mxcsr(self, thread: Thread) -> None:
        """Have code look for SSE's exceptions once MXCSR lets one through."""
        frontend = self.frontend
        enabled = self.state.layout.slots["mxcsr_enabled"]
        if frontend and not frontend.checks_floats and thread.cpu.get(enabled):
            frontend.check_floats()
            thread.process.translate_anew()

    def on_int80(self, thread: Thread, _: int) -> None:
        """A system call of i386 from 64-bit code: as by a kernel without them."""
        thread.cpu.pc -= SYSCALL_BYTES
        self.protection_fault(thread)

    def on_sysenter(self, thread: Thread, _: int) -> None:
        """Nothing has set up where SYSENTER leads."""
        thread.cpu.pc -= SYSCALL_BYTES
        self.protection_fault(thread)

    def protection_fault(self, thread: Thread, error: int = 0) -> None:
        """#GP: SIGSEGV without an address."""
        thread.trap = (traps.GP, error, thread.trap[2])
        force(thread, SigInfo(signal.SIGSEGV, SI_KERNEL))
