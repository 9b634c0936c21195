"""Threads and signals on x86-64: the registers at a program's, thread's or handler's start.

Source: arch/x86/kernel/{process_64,signal_64,traps}.c, arch/x86/entry/vsyscall/vsyscall_64.c
"""

from __future__ import annotations

import signal
from dataclasses import replace
from typing import TYPE_CHECKING

from frontends.x86.state import AX, SP
from tcg.cpu import Cpu
from tcg.faults import GuestFault
from user_mode.abi.x86 import traps
from user_mode.abi.x86.effective import faulting_address
from user_mode.abi.x86.fpstate import FpState
from user_mode.abi.x86.registers import CS, SS, USER_CS_64, USER_DS, Registers
from user_mode.abi.x86.threads import X86Threads
from user_mode.abi.x86_64 import sigframe
from user_mode.errors import Errno
from user_mode.siginfo import SI_KERNEL, SigInfo
from user_mode.signals import Context, Delivery

if TYPE_CHECKING:
    from collections.abc import Callable

    from frontends.x86.cpuid import CpuModel
    from frontends.x86.frontend import X86Frontend
    from tcg.engine import Exit
    from tcg.frontend import Decoded
    from user_mode.abi.x86_64.int80 import Int80
    from user_mode.process import Thread
    from user_mode.syscalls.table import SyscallTable

VSYSCALLS = {
    0xFFFF_FFFF_FF60_0000: 96,
    0xFFFF_FFFF_FF60_0400: 201,
    0xFFFF_FFFF_FF60_0800: 309,
}
"""The entries of the vsyscall page: gettimeofday, time, getcpu, by their system call numbers."""


class X8664Threads(X86Threads):
    """What the life of threads and the delivery of signals need to know of the CPU."""

    tls_before_child_tid = False
    """clone(2) takes flags, stack, parent_tid, child_tid, tls."""

    def __init__(self, frontend: X86Frontend, model: CpuModel) -> None:
        """`model`: the processor that CPUID describes."""
        super().__init__(frontend.state, model, FpState(frontend.state, "xsave" in model.features))
        self.frontend = frontend
        self.int80_table: Callable[[], SyscallTable] | None = None
        """Makes the system calls of i386 for 64-bit code; without it there are none."""
        self._int80: Int80 | None = None

    def start_program(self, cpu: Cpu, entry: int, stack: int) -> None:
        """start_thread(): everything is zero but rip, rsp and the kernel's selectors."""
        self.registers.clear(cpu)
        self.segments.reset(cpu)
        values = Registers([0] * 16, entry)
        values.gpr[SP] = stack
        values.segments[CS], values.segments[SS] = USER_CS_64, USER_DS
        self.registers.write(cpu, values)
        self.fp.reset(cpu)

    def start_thread(self, cpu: Cpu, parent: Cpu, stack: int, tls: int | None) -> None:
        """copy_thread(): the parent's registers, but for rsp, fs's base and a result of 0."""
        if cpu is not parent:
            self.registers.copy(cpu, parent)
        if stack:
            cpu.set(self._gpr[SP], stack)
        if tls is not None:
            cpu.set(self.state.layout.slots["fs_base"], tls)
        cpu.set(self._gpr[AX], 0)

    # -- signals ---------------------------------------------------------------------------

    def push_frame(self, thread: Thread, delivery: Delivery) -> None:
        """Have the thread go on in a handler; raises Errno if there is no room for the frame."""
        cpu = thread.cpu
        registers = self.registers.read(cpu)
        fp = self.fp.save(cpu)
        address, frame, start = sigframe.push(
            registers, delivery, fp, self.fp.has_xsave, thread.trap
        )
        thread.process.memory.write(address, frame)
        self.registers.write(cpu, start)
        self.fp.reset(cpu)

    def pop_frame(self, thread: Thread, is_rt: bool) -> Context:
        """Restore the registers from the frame that rsp leads to; raises Errno."""
        cpu, memory = thread.cpu, thread.process.memory
        before = self.registers.read(cpu)
        registers, context, fp = sigframe.pop(memory, before.gpr[SP], before)
        self.registers.write(cpu, registers)
        self.fp.restore(cpu, memory, fp)
        self.follow_mxcsr(thread)
        return context

    # -- i386's system calls ------------------------------------------------------------------

    def on_int80(self, thread: Thread, detail: int) -> None:
        """A system call of i386 from 64-bit code."""
        if self._int80 is None:
            if self.int80_table is None:
                super().on_int80(thread, detail)
                return
            from user_mode.abi.x86_64.int80 import Int80

            self._int80 = Int80(thread.process, self.int80_table())
        self._int80.perform(thread)

    # -- addresses that are none, and the vsyscall page --------------------------------------

    def note_page_fault(self, thread: Thread, stop: Exit, info: SigInfo) -> SigInfo | None:
        """Jumps to the vsyscall page are calls; what is not canonical is #GP."""
        address, is_stack = info.address, False
        if not stop.code and address in VSYSCALLS:
            return self._vsyscall(thread, VSYSCALLS[address])
        if stop.code and info.signo == signal.SIGSEGV:
            decoded = self._instruction(thread, stop.pc)
            address, is_stack = faulting_address(self.state, thread.cpu, decoded, address)
        if not is_canonical(address):
            thread.trap = (traps.SS if is_stack else traps.GP, 0, thread.trap[2])
            return SigInfo(signal.SIGBUS if is_stack else signal.SIGSEGV, SI_KERNEL)
        return super().note_page_fault(thread, stop, replace(info, address=address))

    def _instruction(self, thread: Thread, pc: int) -> Decoded | None:
        try:
            code = thread.process.memory.fetch(pc, self.instruction_bytes)
        except GuestFault:
            return None
        return self.frontend.decode(code, 0, pc) if self.frontend else None

    def _vsyscall(self, thread: Thread, number: int) -> SigInfo | None:
        """emulate_vsyscall(): make the call, and return from the function that it is."""
        cpu, memory = thread.cpu, thread.process.memory
        sp = self.stack_pointer(cpu)
        try:
            caller = memory.u64(sp)
        except Errno:
            return SigInfo(signal.SIGSEGV, SI_KERNEL)
        cpu.set(self._gpr[AX], number)
        thread.process.table.perform(thread)
        cpu.set(self._gpr[SP], sp + 8)
        cpu.pc = caller
        return None


def is_canonical(address: int) -> bool:
    """Whether the address's upper bits are copies of bit 47.

    >>> is_canonical(0x8000_0000_0000), is_canonical(0xFFFF_8000_0000_0000)
    (False, True)
    """
    return address >> 47 in (0, (1 << 17) - 1)
