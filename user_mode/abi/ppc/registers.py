"""A PowerPC CPU's registers as the manual has them, put together from the translator's slots.

Signal frames, core files and debuggers want CR, XER and FPSCR whole; compiled code keeps them in
parts (frontends/ppc/state.py, fpscr_bits.py).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from frontends.ppc import fpscr_bits as bits
from frontends.ppc.state import NO_RESERVATION, XER_PARTS, PpcState
from tcg.cpu import Cpu

MXCSR_MASKED = 0x1F80
"""All of the host's FP exceptions off, rounding to nearest."""
MXCSR_ROUNDING = (0 << 13, 3 << 13, 2 << 13, 1 << 13)
"""The host's rounding mode for each value of RN: nearest, zero, up, down."""

SMALLEST_NORMAL = {bits.DOUBLE_RESULT: 2.0**-1022, bits.SINGLE_RESULT: 2.0**-126}


@dataclass(slots=True)
class Registers:
    """The registers of a user program."""

    gpr: list[int] = field(default_factory=lambda: [0] * 32)
    fpr: list[int] = field(default_factory=lambda: [0] * 32)
    """The bits of each double."""
    pc: int = 0
    lr: int = 0
    ctr: int = 0
    xer: int = 0
    cr: int = 0
    fpscr: int = 0


class PpcRegisters:
    """Reads and writes the registers of CPUs with this state."""

    def __init__(self, state: PpcState) -> None:
        self._state = state
        self._slots = state.layout.slots

    def read(self, cpu: Cpu) -> Registers:
        """All registers."""
        state, slots = self._state, self._slots
        cr = 0
        for slot in state.crb.slots:
            cr = cr << 1 | cpu.get(slot)
        return Registers(
            gpr=[cpu.get(slot) for slot in state.gpr.slots],
            fpr=[cpu.get(slot) for slot in state.fpr.slots],
            pc=cpu.pc,
            lr=cpu.get(slots["lr"]),
            ctr=cpu.get(slots["ctr"]),
            xer=sum(cpu.get(slots[name]) << shift for name, shift in XER_PARTS),
            cr=cr,
            fpscr=self.fpscr(cpu),
        )

    def write(self, cpu: Cpu, values: Registers) -> None:
        """Set all registers; a reservation is lost, as with every interrupt."""
        cpu.set_header("reservation_address", NO_RESERVATION)
        state, slots = self._state, self._slots
        for slot, value in zip(state.gpr.slots, values.gpr, strict=True):
            cpu.set(slot, value)
        for slot, value in zip(state.fpr.slots, values.fpr, strict=True):
            cpu.set(slot, value)
        for i, slot in enumerate(state.crb.slots):
            cpu.set(slot, values.cr >> (31 - i) & 1)
        cpu.pc = values.pc
        cpu.set(slots["lr"], values.lr)
        cpu.set(slots["ctr"], values.ctr)
        for name, shift in XER_PARTS:
            cpu.set(slots[name], values.xer >> shift & (1 if shift else 0x7F))
        self.set_fpscr(cpu, values.fpscr)

    def fpscr(self, cpu: Cpu) -> int:
        """FPSCR as mffs would show it."""
        value = cpu.get(self._slots["fpscr"])
        flags = cpu.header("mxcsr")
        for host, bit in bits.HOST_FLAGS:
            if flags & host:
                value |= bit | (0 if value & bit else bits.FX)
        value = value & ~bits.FPRF | self._result_flags(cpu, value)
        return value | _summaries(value)

    def _result_flags(self, cpu: Cpu, value: int) -> int:
        """FPRF in its place: as it stands, or what is known of the last result."""
        slots = self._slots
        kind = cpu.get(slots["fprf_kind"])
        precision = kind & ~bits.COMPARED
        flags = value & bits.FPRF
        if precision != bits.EXPLICIT:
            result = _double(cpu.get(slots["fprf_value"]))
            flags = _class_of(result, SMALLEST_NORMAL[precision]) << bits.FPRF_SHIFT
        if kind & bits.COMPARED:
            a, b = (_double(cpu.get(slots[name])) for name in ("fpcc_a", "fpcc_b"))
            flags = flags & ~bits.FPCC | _comparison(a, b) << bits.FPRF_SHIFT
        return flags

    def set_fpscr(self, cpu: Cpu, value: int) -> None:
        """Set FPSCR, and the host's FP environment by it."""
        cpu.set(self._slots["fpscr"], value & ~bits.SUMMARIES)
        cpu.set(self._slots["fprf_kind"], bits.EXPLICIT)
        cpu.set_header("mxcsr", MXCSR_MASKED | MXCSR_ROUNDING[value & bits.RN])


def _double(pattern: int) -> float:
    (value,) = struct.unpack("<d", pattern.to_bytes(8, "little"))
    return float(value)


def _class_of(value: float, smallest: float) -> int:
    """FPRF of a result: Book I, figure 32."""
    magnitude = abs(value)
    if magnitude != magnitude:
        return bits.FPRF_NAN
    if magnitude == 0:
        found = bits.FPRF_ZERO
    elif magnitude == float("inf"):
        found = bits.FPRF_INFINITY
    else:
        found = bits.FPRF_DENORMAL if magnitude < smallest else bits.FPRF_NORMAL
    return bits.FPRF_NEGATIVE[found] if struct.pack(">d", value)[0] >> 7 else found


def _comparison(a: float, b: float) -> int:
    if a < b:
        return bits.FPCC_LESS
    if a > b:
        return bits.FPCC_GREATER
    return bits.FPCC_EQUAL if a == b else bits.FPCC_UNORDERED


def _summaries(value: int) -> int:
    """VX and FEX: some invalid operation, some exception whose enable bit is set."""
    vx = bits.VX if value & bits.VX_CAUSES else 0
    enabled = (value | vx) & (value & bits.ENABLES) << bits.ENABLE_SHIFT
    return vx | (bits.FEX if enabled else 0)
