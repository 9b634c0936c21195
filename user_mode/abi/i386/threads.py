"""Threads and signals on i386: the registers at a program's, thread's or handler's start.

Source: arch/x86/kernel/{process,process_64,signal_32,tls}.c, as a 64-bit kernel runs 32-bit
programs.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from frontends.x86.state import AX, BP, FIXED_FLAGS, IF, SEGMENTS, SP, X86State
from user_mode.abi.i386 import sigframe
from user_mode.abi.i386.fpstate import I386FpState
from user_mode.abi.i386.vdso import LANDING_PAD, RT_SIGRETURN_AT, SIGRETURN_AT
from user_mode.abi.x86.registers import CS, DS, ES, SS, USER_CS_32, USER_DS, Registers
from user_mode.abi.x86.segments import USER_DESC_BYTES, UserDesc
from user_mode.abi.x86.threads import X86Threads
from user_mode.errors import Errno
from user_mode.signals import SA_SIGINFO, Context, Delivery

if TYPE_CHECKING:
    from frontends.x86.cpuid import CpuModel
    from tcg.cpu import Cpu
    from user_mode.memory import GuestMemory
    from user_mode.process import Thread


class I386Threads(X86Threads):
    """What the life of threads and the delivery of signals need to know of the CPU."""

    tls_before_child_tid = True
    """clone(2) takes flags, stack, parent_tid, tls, child_tid (CONFIG_CLONE_BACKWARDS)."""

    def __init__(self, state: X86State, model: CpuModel, memory: GuestMemory) -> None:
        super().__init__(state, model, I386FpState(state, "xsave" in model.features))
        self._memory = memory

    # -- starts ------------------------------------------------------------------------------

    def start_program(self, cpu: Cpu, entry: int, stack: int) -> None:
        """start_thread(): everything is zero but the flat segments, eip and esp."""
        self.registers.clear(cpu)
        self.segments.reset(cpu)
        self.fp.reset(cpu)
        gpr = [0] * 8
        gpr[SP] = stack
        segments = [0] * len(SEGMENTS)
        segments[CS] = USER_CS_32
        segments[DS] = segments[ES] = segments[SS] = USER_DS
        self.registers.write(cpu, Registers(gpr, entry, IF | FIXED_FLAGS, segments))

    def start_thread(self, cpu: Cpu, parent: Cpu, stack: int, tls: int | None) -> None:
        """copy_thread(): the parent's registers, but for esp, a result of 0, and the descriptor
        that `tls` leads to; raises Errno.
        """
        desc = None if tls is None else UserDesc.unpack(self._memory.read(tls, USER_DESC_BYTES))
        if cpu is not parent:
            self.registers.copy(cpu, parent)
        if stack:
            cpu.set(self._gpr[SP], stack)
        if desc is not None:
            self.segments.set_entry(cpu, desc)
        cpu.set(self._gpr[AX], 0)

    # -- signals -----------------------------------------------------------------------------

    def push_frame(self, thread: Thread, delivery: Delivery) -> None:
        """Have the thread go on in a handler; raises Errno if there is no room for the frame."""
        cpu, vdso = thread.cpu, thread.process.trampolines
        before = self.registers.read(cpu)
        push = sigframe.push_rt if delivery.action.flags & SA_SIGINFO else sigframe.push_old
        ways = sigframe.Ways(vdso + SIGRETURN_AT, vdso + RT_SIGRETURN_AT)
        state = sigframe.Interruption(thread.trap, self.fp.save(cpu), self.fp.has_xsave)
        frame, raw, start = push(before, delivery, ways, state)
        thread.process.memory.write(frame, raw)
        self.registers.write(cpu, start)
        self.fp.reset(cpu)

    def pop_frame(self, thread: Thread, is_rt: bool) -> Context:
        """Restore the registers from the frame that esp leads to; raises Errno."""
        cpu, memory = thread.cpu, thread.process.memory
        before = self.registers.read(cpu)
        pop = sigframe.pop_rt if is_rt else sigframe.pop_old
        found = pop(memory, before.gpr[SP], before)
        self.fp.restore(cpu, memory, found.fpstate)
        self.follow_mxcsr(thread)
        self.registers.write(cpu, found.registers)
        for number in range(len(SEGMENTS)):
            if found.registers.segments[number] != before.segments[number]:
                self.segments.load_or_clear(cpu, number)
        return found.context

    # -- requests ----------------------------------------------------------------------------

    def on_sysenter(self, thread: Thread, _: int) -> None:
        """SYSENTER, as the vDSO of other systems has it: EBP is the stack, with the last argument.

        The program goes on at the landing pad, which pops what it pushed.
        """
        cpu = thread.cpu
        stack = cpu.get(self._gpr[BP])
        cpu.pc = thread.process.trampolines + LANDING_PAD
        cpu.set(self._gpr[SP], stack)
        try:
            (last,) = struct.unpack("<I", thread.process.memory.read(stack, 4))
        except Errno as error:
            thread.process.abi.convention.fail(cpu, error.code)
            return
        cpu.set(self._gpr[BP], last)
        thread.process.table.perform(thread)
