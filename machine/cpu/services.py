"""What the processor's instructions ask for: ports, CPUID, control, model-specific registers.

Each service is called with the machine's lock held and the processor standing behind the
instruction, but for string instructions on ports: there it stands at the instruction, which is done
as far as a page reaches and begun again, or gone beyond.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from frontends.x86.context import SIZES
from frontends.x86.state import (
    ASK_CHECK_FLOATS,
    ASK_CPUID,
    ASK_PORT_IN,
    ASK_PORT_INS,
    ASK_PORT_OUT,
    ASK_PORT_OUTS,
    ASK_RDRAND,
    ASK_READ_CONTROL,
    ASK_READ_MSR,
    ASK_READ_TSC,
    ASK_RESUME,
    ASK_WRITE_CONTROL,
    ASK_WRITE_DEBUG,
    ASK_WRITE_MSR,
    ASK_WRITE_XCR,
    AX,
    BX,
    CX,
    DI,
    DS,
    DX,
    ES,
    SI,
)
from frontends.x86.system_state import CR4_OSXSAVE
from machine.bus import Bus
from machine.cpu.control import Control
from machine.cpu.core import Core, Refusal
from machine.cpu.msrs import APIC_ENABLED, Msrs
from tcg.frontend import GuestException
from tcg.system import USER, WRITE

PAGE = 4096
USER_CPL = 3
OSXSAVE_BIT, APIC_BIT = 1 << 27, 1 << 9
HYPERVISOR_LEAF = 0x4000_0000
HYPERVISOR = b"qemupyqemupy"
WORD = 0xFFFF_FFFF


class Services:
    """The services of one processor, by the code that the instruction asks with."""

    def __init__(self, core: Core, control: Control, msrs: Msrs, ports: Bus) -> None:
        self._core = core
        self._control = control
        self._msrs = msrs
        self._ports = ports
        self._table: dict[int, Callable[[], None]] = {
            ASK_CPUID: self._cpuid,
            ASK_CHECK_FLOATS: core.changed_mode,
            ASK_PORT_IN: self._in,
            ASK_PORT_OUT: self._out,
            ASK_PORT_INS: self._ins,
            ASK_PORT_OUTS: self._outs,
            ASK_WRITE_CONTROL: self._write_control,
            ASK_READ_CONTROL: self._read_control,
            ASK_READ_MSR: self._read_msr,
            ASK_WRITE_MSR: self._write_msr,
            ASK_WRITE_DEBUG: self._write_debug,
            ASK_WRITE_XCR: self._write_xcr,
            ASK_READ_TSC: self._read_tsc,
            ASK_RESUME: self._resume,
        }

    def serve(self, code: int) -> None:
        """Do what is asked; raises Refusal and PageFault."""
        service = self._table.get(code)
        if service is not None:
            service()
        elif code & 0xFF == ASK_RDRAND:
            self._random(code >> 8 & 0xFF, code >> 16)
        else:
            raise ValueError(f"an instruction asks for {code:#x}, which nobody knows")

    def _asked(self) -> tuple[int, int, int]:
        get = self._core.get
        return get("ask_a"), get("ask_b"), get("ask_c")

    @property
    def _is_user(self) -> bool:
        return self._core.get("cpl") == USER_CPL

    # -- ports -------------------------------------------------------------------------------------

    def _in(self) -> None:
        port, size, _ = self._asked()
        self._core.set_gpr(AX, self._ports.read(port, size), size)

    def _out(self) -> None:
        port, size, value = self._asked()
        self._ports.write(port, value & (1 << 8 * size) - 1, size)

    def _ins(self) -> None:
        string = PortString(self._core, self._asked())
        count = string.count()
        if count:
            linear = string.linear(DI, ES)
            count = min(count, string.room(linear))
            core, user = self._core, self._is_user
            for place in (linear, linear + string.size - 1):
                core.runner.translate(core.cpu, place, WRITE | (USER if user else 0))
            data = string.ordered(self._ports.read_block(string.port, count, string.size))
            core.runner.write_linear(core.cpu, string.lowest(linear, count), data, user)
        string.advance(DI, count)

    def _outs(self) -> None:
        string = PortString(self._core, self._asked())
        count = string.count()
        if count:
            linear = string.linear(SI, string.segment)
            core = self._core
            count = min(count, string.room(linear))
            first = string.lowest(linear, count)
            data = core.runner.read_linear(core.cpu, first, count * string.size, self._is_user)
            self._ports.write_block(string.port, string.ordered(data), string.size)
        string.advance(SI, count)

    # -- control -----------------------------------------------------------------------------------

    def _write_control(self) -> None:
        number, value, _ = self._asked()
        self._control.write(number, value)

    def _read_control(self) -> None:
        _, register, _ = self._asked()
        self._core.set_gpr(register, self._control.read_cr8(), 8)

    def _write_debug(self) -> None:
        number, value, _ = self._asked()
        self._control.write_debug(number, value)

    def _write_xcr(self) -> None:
        self._control.write_xcr(self._core.gpr(CX) & WORD, self._double())

    def _resume(self) -> None:
        raise Refusal(GuestException.ILLEGAL)

    # -- identity ----------------------------------------------------------------------------------

    def _cpuid(self) -> None:
        core = self._core
        leaf, part = core.gpr(AX) & WORD, core.gpr(CX) & WORD
        answer = list(core.model.leaf(leaf, part))
        if leaf == 1:
            if not core.get("cr4") & CR4_OSXSAVE:
                answer[2] &= ~OSXSAVE_BIT
            if not core.get("apic_base") & APIC_ENABLED:
                answer[3] &= ~APIC_BIT
        elif leaf == HYPERVISOR_LEAF and "hypervisor" in core.features:
            words = (HYPERVISOR[at : at + 4] for at in (0, 4, 8))
            answer = [HYPERVISOR_LEAF, *(int.from_bytes(word, "little") for word in words)]
        for register, value in zip((AX, BX, CX, DX), answer, strict=True):
            core.set_gpr(register, value, 4)

    def _random(self, register: int, size: int) -> None:
        """RDRAND, RDSEED: a random number and CF."""
        self._core.set_gpr(register, int.from_bytes(os.urandom(size), "little"), size)
        self._core.set("cf", 1)

    def _double(self) -> int:
        """EDX:EAX"""
        return (self._core.gpr(DX) & WORD) << 32 | self._core.gpr(AX) & WORD

    def _set_double(self, value: int) -> None:
        self._core.set_gpr(AX, value & WORD, 4)
        self._core.set_gpr(DX, value >> 32, 4)

    def _read_tsc(self) -> None:
        self._set_double(self._msrs.time())

    def _read_msr(self) -> None:
        self._set_double(self._msrs.read(self._core.gpr(CX) & WORD))

    def _write_msr(self) -> None:
        self._msrs.write(self._core.gpr(CX) & WORD, self._double())


class PortString:
    """INS or OUTS: the port, and the string in memory.

    `ask_b`: size | address size << 8 | repeated << 16 | segment override << 24 | length << 32.
    """

    def __init__(self, core: Core, asked: tuple[int, int, int]) -> None:
        self._core = core
        self.port, word, _ = asked
        self.size = word & 0xFF
        self._address_size = word >> 8 & 0xFF
        self._repeats = bool(word >> 16 & 0xFF)
        override = word >> 24 & 0xFF
        self.segment = override - 1 if override else DS
        self._length = word >> 32
        self._backwards = bool(core.get("df"))

    def _part(self, register: int) -> int:
        return self._core.gpr(register) & SIZES[self._address_size].mask

    def count(self) -> int:
        """How many elements are wanted."""
        return self._part(CX) if self._repeats else 1

    def linear(self, register: int, segment: int) -> int:
        """The linear address of the current element."""
        core = self._core
        offset = self._part(register)
        base = core.cpu.get(core.state.seg_base.slots[segment])
        if self._is_64:
            return offset + (base if segment > DS else 0) & (1 << 64) - 1
        return offset + base & WORD

    @property
    def _is_64(self) -> bool:
        return self._core.cpu.header("mode") & 3 == 2

    def room(self, linear: int) -> int:
        """Elements in DF's direction in this page, at least the current one."""
        within = linear % PAGE
        bytes_ = within + self.size if self._backwards else PAGE - within
        return max(1, bytes_ // self.size)

    def lowest(self, linear: int, count: int) -> int:
        """Where the lowest of the next elements is."""
        return linear - (count - 1) * self.size if self._backwards else linear

    def ordered(self, data: bytes) -> bytes:
        """The elements in the order of memory, from that of the port, or the other way round."""
        if not self._backwards:
            return data
        size = self.size
        return b"".join(data[at : at + size] for at in range(len(data) - size, -1, -size))

    def advance(self, register: int, done: int) -> None:
        """Move the pointer and count down; go on behind the instruction when all is done."""
        core = self._core
        step = -done * self.size if self._backwards else done * self.size
        core.set_gpr(register, self._part(register) + step, self._address_size)
        left = 0
        if self._repeats:
            left = self._part(CX) - done
            core.set_gpr(CX, left, self._address_size)
        if not left:
            core.cpu.pc = core.cpu.pc + self._length & SIZES[max(2, self._pc_bytes)].mask

    @property
    def _pc_bytes(self) -> int:
        return (2, 4, 8, 8)[self._core.cpu.header("mode") & 3]
