"""Registers that are spread over several slots, read and written while the guest does not run.

For signal frames, debuggers and dumps: what mfcr, mfxer and mffs would give.
"""

from __future__ import annotations

from frontends.ppc import fpscr_bits as bits
from frontends.ppc.state import XER_PARTS, PpcState
from tcg.cpu import Cpu
from tcg.state import HEADER

INFINITY = 0x7FF0 << 48
MXCSR_MASKED = 0x1F80
"""All of the host's FP exceptions off, rounding to nearest."""


def read_cr(state: PpcState, cpu: Cpu) -> int:
    """CR"""
    return sum(cpu.get(slot) << 31 - i for i, slot in enumerate(state.crb.slots))


def write_cr(state: PpcState, cpu: Cpu, value: int) -> None:
    """CR <- value"""
    for i, slot in enumerate(state.crb.slots):
        cpu.set(slot, value >> 31 - i & 1)


def read_xer(state: PpcState, cpu: Cpu) -> int:
    """XER"""
    return sum(cpu.get(state.layout.slots[name]) << shift for name, shift in XER_PARTS)


def write_xer(state: PpcState, cpu: Cpu, value: int) -> None:
    """XER <- value"""
    for name, shift in XER_PARTS:
        cpu.set(state.layout.slots[name], value >> shift & (1 if shift else 0x7F))


def read_fpscr(state: PpcState, cpu: Cpu) -> int:
    """FPSCR; nothing is changed by looking"""
    slots = state.layout.slots
    stored = cpu.get(slots["fpscr"])
    host = cpu.get(HEADER["mxcsr"])
    raised = cpu.get(slots["fpscr_raised"])
    raised |= sum(guest for flag, guest in bits.HOST_FLAGS if host & flag)
    fpscr = stored | raised | (bits.FX if raised & ~stored else 0)
    kind = cpu.get(slots["fprf_kind"])
    if kind & 3:
        fprf = result_class(cpu.get(slots["fprf_value"]), kind & 3 == bits.SINGLE_RESULT)
        fpscr = fpscr & ~bits.FPRF | fprf << bits.FPRF_SHIFT
    if kind & bits.COMPARED:
        fpcc = comparison(cpu.get(slots["fpcc_a"]), cpu.get(slots["fpcc_b"]))
        fpscr = fpscr & ~bits.FPCC | fpcc << bits.FPRF_SHIFT
    return with_summaries(fpscr)


def write_fpscr(state: PpcState, cpu: Cpu, value: int) -> None:
    """FPSCR <- value; its summaries follow from the other bits"""
    slots = state.layout.slots
    cpu.set(slots["fpscr"], value & ~bits.SUMMARIES & 0xFFFF_FFFF)
    cpu.set(slots["fpscr_raised"], 0)
    cpu.set(slots["fprf_kind"], bits.EXPLICIT)
    cpu.set(HEADER["mxcsr"], MXCSR_MASKED | bits.host_rounding(value) << 13)


def with_summaries(fpscr: int) -> int:
    """FPSCR with VX and FEX as its other bits want them."""
    fpscr &= ~bits.SUMMARIES
    if fpscr & bits.VX_CAUSES:
        fpscr |= bits.VX
    return fpscr | (bits.FEX if fpscr & (fpscr & bits.ENABLES) << bits.ENABLE_SHIFT else 0)


def result_class(number: int, is_single: bool) -> int:
    """FPRF of a result given by its bits."""
    magnitude = number & (1 << 63) - 1
    if magnitude > INFINITY:
        return bits.FPRF_NAN
    if magnitude == INFINITY:
        found = bits.FPRF_INFINITY
    elif magnitude >= (897 if is_single else 1) << 52:
        found = bits.FPRF_NORMAL
    else:
        found = bits.FPRF_DENORMAL if magnitude else bits.FPRF_ZERO
    return bits.FPRF_NEGATIVE[found] if number >> 63 else found


def comparison(a: int, b: int) -> int:
    """FPCC of comparing two doubles given by their bits."""
    if max(a & (1 << 63) - 1, b & (1 << 63) - 1) > INFINITY:
        return bits.FPCC_UNORDERED
    x, y = (-(n & (1 << 63) - 1) if n >> 63 else n for n in (a, b))
    if x == y:
        return bits.FPCC_EQUAL
    return bits.FPCC_LESS if x < y else bits.FPCC_GREATER
