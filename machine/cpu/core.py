"""The processor's state as Python sees it: slots by name, reset, what follows from a change."""

from __future__ import annotations

from time import monotonic_ns

from frontends.x86.modes import update_mode
from frontends.x86.pc_guest import PcGuest
from frontends.x86.state import CS, DX, FIXED_FLAGS, SEGMENTS
from frontends.x86.system_state import (
    ACCESSED,
    CODE_SEGMENT,
    CR0_ET,
    LDTR,
    NOT_SYSTEM,
    PRESENT,
    RESET_CR0,
    RESET_DR6,
    RESET_DR7,
    TR,
    WRITABLE,
)
from tcg import ops
from tcg.cpu import Cpu
from tcg.evaluate import Evaluator, State
from tcg.floats import CONTROL_DEFAULT
from tcg.frontend import GuestException
from tcg.interp import MXCSR_DEFAULT
from tcg.ir import Function
from tcg.state import HEADER_SIZE
from tcg.system import SystemRunner
from tcg.types import VOID

RESET_SELECTOR, RESET_BASE, RESET_IP = 0xF000, 0xFFFF_0000, 0xFFF0
RESET_PAT = 0x0007_0406_0007_0406
RESET_APIC_BASE = 0xFEE0_0900
"""Enabled, and the bootstrap processor's (SDM vol. 3, 11.4.4)."""
RESET_MISC_ENABLE = 1
"""Fast strings."""
X87_INITIAL = 0x37F
"""The x87 control word; hardware has 40h after reset, but software may rely on nothing."""
LDT_RIGHTS, TSS_RIGHTS = PRESENT | 0x200, PRESENT | 0xB00
ALL_ADDRESSES = (1 << 64) - 1
A20 = 1 << 20


class Refusal(Exception):
    """An instruction that asked for something raises an exception instead."""

    def __init__(self, exception: GuestException, code: int = 0) -> None:
        super().__init__(exception.name)
        self.exception = exception
        self.code = code


def refuse_unless(allowed: object) -> None:
    """#GP(0) if it is not."""
    if not allowed:
        raise Refusal(GuestException.PROTECTION)


class _NoMemory:
    """What IR sees that touches registers only."""

    def read(self, address: int, size: int) -> bytes:
        raise NotImplementedError

    def write(self, address: int, data: bytes) -> None:
        raise NotImplementedError


class Core:
    """One processor's state and the engine that runs it."""

    def __init__(self, runner: SystemRunner, guest: PcGuest) -> None:
        self.runner = runner
        self.guest = guest
        self.model = guest.model.of_system
        self.features = self.model.features
        self.state = guest.state
        self.slots = guest.layout.slots
        self.width = guest.width
        self.cpu: Cpu = runner.new_cpu()
        self._state = State(self.cpu.view)
        self._find_mode = Evaluator().translate(self._mode_function())

    def _mode_function(self) -> Function:
        """What code does when it changes its mode, for Python to do the same."""
        function = Function("handler", "update_mode")
        builder = self.guest.frontend(0).new_builder(function)
        update_mode(builder)
        builder.emit(ops.NEXT, VOID)
        return function

    # -- slots -------------------------------------------------------------------------------

    def get(self, name: str) -> int:
        """A slot's value."""
        return self.cpu.get(self.slots[name])

    def set(self, name: str, value: int) -> None:
        """Write a slot, cut to its width."""
        slot = self.slots[name]
        self.cpu.set(slot, value & slot.type.mask)

    def gpr(self, number: int) -> int:
        """A general register, whole."""
        return self.cpu.get(self.state.gpr.slots[number])

    def set_gpr(self, number: int, value: int, size: int) -> None:
        """Write `size` bytes of a general register; 4 of them clear the rest."""
        slot = self.state.gpr.slots[number]
        mask = (1 << 8 * size) - 1
        kept = 0 if size >= 4 else self.cpu.get(slot) & ~mask
        self.cpu.set(slot, kept | value & mask)

    def changed_mode(self) -> None:
        """Control registers, segments or flags were written: the mode follows."""
        self._find_mode(self._state, _NoMemory())

    def flush(self) -> None:
        """Forget all translations of addresses."""
        self.runner.flush_tlb(self.cpu)

    # -- reset -------------------------------------------------------------------------------

    def reset(self) -> None:
        """The state after power-up or INIT (SDM vol. 3, table 9-1), with A20 as it is."""
        a20_mask = self.get("a20_mask") or ALL_ADDRESSES
        view = self.cpu.view
        view[HEADER_SIZE:] = bytes(len(view) - HEADER_SIZE)
        self.set("a20_mask", a20_mask)
        self.set("eflags", FIXED_FLAGS)
        self.set("pf", 1)
        for name, value in (
            ("cr0", RESET_CR0 | CR0_ET),
            ("dr6", RESET_DR6),
            ("dr7", RESET_DR7),
            ("gdt_limit", 0xFFFF),
            ("idt_limit", 0xFFFF),
            ("apic_base", RESET_APIC_BASE),
            ("misc_enable", RESET_MISC_ENABLE),
            ("pat", RESET_PAT),
            ("xcr0", 1),
            ("fpu_cw", X87_INITIAL),
        ):
            self.set(name, value)
        self._reset_segments()
        self.set("tsc_offset", -monotonic_ns())
        self.set_gpr(DX, self.model.signature, 4)
        self.cpu.set_header("mxcsr", MXCSR_DEFAULT)
        self.cpu.set_header("x87_control", CONTROL_DEFAULT)
        self.cpu.set_header("x87_status", 0)
        self.cpu.pc = RESET_IP
        self.changed_mode()
        self.flush()

    def _reset_segments(self) -> None:
        data = PRESENT | NOT_SYSTEM | WRITABLE | ACCESSED
        rights = [data] * len(SEGMENTS) + [LDT_RIGHTS, TSS_RIGHTS]
        rights[CS] |= CODE_SEGMENT
        for number in (*range(len(SEGMENTS)), LDTR, TR):
            self.cpu.set(self.state.seg_limit.slots[number], 0xFFFF)
            self.cpu.set(self.state.seg_rights.slots[number], rights[number])
        self.cpu.set(self.state.selectors.slots[CS], RESET_SELECTOR)
        self.cpu.set(self.state.seg_base.slots[CS], RESET_BASE)

    def set_a20(self, level: bool) -> None:
        """The A20 gate: without it bit 20 of physical addresses is zero."""
        self.set("a20_mask", ALL_ADDRESSES if level else ALL_ADDRESSES & ~A20)
        self.flush()
