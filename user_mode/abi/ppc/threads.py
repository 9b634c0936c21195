"""Threads and signals on PowerPC: the registers at a program's, thread's or handler's start.

Source: arch/powerpc/kernel/{process,signal_32,traps,fault}.c
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from frontends.ppc import fpscr_bits as bits
from frontends.ppc.state import PpcState
from tcg.cpu import Cpu
from tcg.frontend import GuestException
from user_mode.abi.ppc import sigframe
from user_mode.abi.ppc.registers import PpcRegisters, Registers
from user_mode.siginfo import SigInfo
from user_mode.signals import SA_SIGINFO, Context, Delivery

if TYPE_CHECKING:
    from tcg.engine import Exit
    from user_mode.process import Thread

SP, TLS, RESULT = 1, 2, 3
SC_BYTES = 4

ILL_ILLOPC, ILL_PRVOPC, TRAP_BRKPT, BUS_ADRALN = 1, 5, 1, 1
FPE_FLTDIV, FPE_FLTOVF, FPE_FLTUND, FPE_FLTRES, FPE_FLTINV, FPE_FLTUNK = 3, 4, 5, 6, 7, 14

# fmt: off
EXCEPTIONS = {
    GuestException.ILLEGAL:    (signal.SIGILL,  ILL_ILLOPC),
    GuestException.PRIVILEGED: (signal.SIGILL,  ILL_PRVOPC),
    GuestException.TRAP:       (signal.SIGTRAP, TRAP_BRKPT),
    GuestException.BREAKPOINT: (signal.SIGTRAP, TRAP_BRKPT),
    GuestException.ALIGNMENT:  (signal.SIGBUS,  BUS_ADRALN),
}

FLOAT_CODES = (
    (bits.VE, bits.VX, FPE_FLTINV),
    (bits.OE, bits.OX, FPE_FLTOVF),
    (bits.UE, bits.UX, FPE_FLTUND),
    (bits.ZE, bits.ZX, FPE_FLTDIV),
    (bits.XE, bits.XX, FPE_FLTRES),
)

VECTORS = {
    signal.SIGSEGV: 0x300, signal.SIGBUS: 0x600,
    signal.SIGILL: 0x700, signal.SIGFPE: 0x700, signal.SIGTRAP: 0x700,
}
# fmt: on
DSISR_NO_PAGE, DSISR_PROTECTED = 0x4000_0000, 0x0800_0000
DECREMENTER = 0x900
"""Most asynchronous signals are noticed in a timer's interrupt."""


class PpcThreads:
    """What the life of threads and the delivery of signals need to know of the CPU."""

    instruction_bytes = 4
    trampolines = sigframe.TRAMPOLINES
    tls_before_child_tid = True
    """clone(2) takes flags, stack, parent_tid, tls, child_tid (CONFIG_CLONE_BACKWARDS)."""

    def __init__(self, state: PpcState) -> None:
        self._gpr = state.gpr.slots
        self._so = state.layout.slots["cr0.so"]
        self.registers = PpcRegisters(state)

    def stack_pointer(self, cpu: Cpu) -> int:
        """r1"""
        return cpu.get(self._gpr[SP])

    def start_program(self, cpu: Cpu, entry: int, stack: int) -> None:
        """start_thread(): everything is zero but pc and r1."""
        first = self._gpr[0].offset
        cpu.view[first:] = bytes(len(cpu.view) - first)
        registers = Registers(pc=entry)
        registers.gpr[SP] = stack
        self.registers.write(cpu, registers)

    def start_thread(self, cpu: Cpu, parent: Cpu, stack: int, tls: int | None) -> None:
        """copy_thread(): the parent's registers, but for r1, r2 and a result of 0."""
        if cpu is not parent:
            cpu.copy_from(parent, self._gpr[0].offset)
            self.registers.write(cpu, self.registers.read(parent))
        if stack:
            cpu.set(self._gpr[SP], stack)
        if tls is not None:
            cpu.set(self._gpr[TLS], tls)
        cpu.set(self._gpr[RESULT], 0)
        cpu.set(self._so, 0)

    def restart_syscall(self, cpu: Cpu, overwritten: int) -> None:
        """Back to `sc`, whose result has overwritten r3."""
        cpu.set(self._gpr[RESULT], overwritten)
        cpu.set(self._so, 0)
        cpu.pc -= SC_BYTES

    def exception(self, cpu: Cpu, code: int) -> SigInfo:
        """The signal for an exception; si_addr is the instruction's address."""
        if code == GuestException.FLOAT:
            return SigInfo(signal.SIGFPE, self._float_code(cpu), address=cpu.pc)
        signo, si_code = EXCEPTIONS[GuestException(code)]
        address = cpu.header("fault_address") if signo == signal.SIGBUS else cpu.pc
        return SigInfo(signo, si_code, address=address)

    def note_trap(self, _thread: Thread, _stop: Exit, info: SigInfo) -> SigInfo:
        """The signal says everything."""
        return info

    def on_ask(self, thread: Thread, _code: int) -> None:
        """Only code of a mode that the process has left asks."""
        thread.process.translate_anew()

    def _float_code(self, cpu: Cpu) -> int:
        """The kernel's __parse_fpscr()."""
        fpscr = self.registers.fpscr(cpu)
        for enable, raised, code in FLOAT_CODES:
            if fpscr & enable and fpscr & raised:
                return code
        return FPE_FLTUNK

    def push_frame(self, thread: Thread, delivery: Delivery) -> None:
        """Have the thread go on in a handler; raises Errno if there is no room for the frame."""
        registers = self.registers.read(thread.cpu)
        push = sigframe.push_rt if delivery.action.flags & SA_SIGINFO else sigframe.push_old
        page = thread.process.trampolines
        sp, frame, start = push(registers, delivery, page, _cause(delivery.info))
        thread.process.memory.write(sp, frame)
        self.registers.write(thread.cpu, start)

    def pop_frame(self, thread: Thread, is_rt: bool) -> Context:
        """Restore the registers from the frame that r1 leads to; raises Errno."""
        pop = sigframe.pop_rt if is_rt else sigframe.pop_old
        registers, context = pop(thread.process.memory, self.stack_pointer(thread.cpu))
        self.registers.write(thread.cpu, registers)
        return context


def _cause(info: SigInfo) -> sigframe.Cause:
    """What the frame says of the interrupt behind a signal."""
    if info.code <= 0 or info.signo not in VECTORS:
        return sigframe.Cause(DECREMENTER)
    vector = VECTORS[signal.Signals(info.signo)]
    if info.signo != signal.SIGSEGV:
        return sigframe.Cause(vector, info.address if info.signo == signal.SIGBUS else 0)
    status = DSISR_NO_PAGE if info.code == 1 else DSISR_PROTECTED
    return sigframe.Cause(vector, info.address, status)
