"""What the translation of code depends on, as bits of the header's slot `mode`.

The slot is right whenever a block is entered: whatever changes one of the registers that it is made
of computes it anew (`update_mode`).  CPL is not in it: instructions that are for the
system alone look at the slot `cpl` when they run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from frontends.x86.state import AC, CS, DS, ES, SS, TF, VM
from frontends.x86.system_state import (
    BIG,
    CODE_SEGMENT,
    CR0_EM,
    CR0_PE,
    CR0_TS,
    CR4_OSFXSR,
    CR4_SMAP,
    EFER_LMA,
    EXPAND_DOWN,
    LONG_CODE,
    UNUSABLE,
    WRITABLE,
    SystemState,
)
from tcg.ir import Value
from tcg.state import HEADER
from tcg.types import I32, I64

if TYPE_CHECKING:
    from frontends.x86.context import X86

CODE = 3
"""Bits 0 and 1, the width of code: 0 for 16 bits, 1 for 32, 2 for 64 (SDM vol. 3, 3.4.5)."""
CODE_16, CODE_32, CODE_64 = range(3)

STACK32 = 1 << 2
"""SS.B: the stack pointer is ESP, not SP."""
FLAT = 1 << 3
"""Protected mode in which CS, DS, ES and SS begin at 0 and end at 4 GiB, and DS, ES and SS can be
written: nothing has to be checked, and no base to be added, but those of FS and GS."""
PROTECTED = 1 << 4
"""CR0.PE is set and EFLAGS.VM is not."""
NO_FPU = 1 << 5
"""CR0.EM or CR0.TS is set, or CR4.OSFXSR is not: floating-point instructions look for themselves
whether they may run."""
LONG = 1 << 6
"""EFER.LMA: 64-bit or compatibility mode."""
VM86 = 1 << 7
"""Virtual-8086 mode."""
CHECK_FLOATS = 1 << 8
"""MXCSR lets exceptions through."""
TRACE = 1 << 9
"""EFLAGS.TF: a debug exception follows each instruction."""

IGNORED = NO_FPU | CHECK_FLOATS | TRACE
"""What only floating-point instructions, or none, depend on."""
ALL_BITS = CODE | STACK32 | FLAT | PROTECTED | NO_FPU | LONG | VM86 | CHECK_FLOATS | TRACE

CODE_WIDTHS = (16, 32, 64)

REAL = CODE_16
"""The mode after reset, but for NO_FPU."""
FLAT_64 = CODE_64 | STACK32 | FLAT | PROTECTED | LONG
"""What all 64-bit code has: segments do not matter there."""

SUPERVISOR, USER, SUPERVISOR_AC = range(3)
"""The values of the header's slot `mmu_index`: CPL below 3, CPL 3, and CPL below 3 with EFLAGS.AC
while CR4.SMAP is set, which lets the system touch the pages of programs."""


@dataclass(frozen=True, slots=True)
class Mode:
    """A mode word, taken apart."""

    bits: int

    @property
    def width(self) -> int:
        """16, 32 or 64: the default width of addresses and operands."""
        return CODE_WIDTHS[self.bits & CODE]

    @property
    def is_64(self) -> bool:
        return self.bits & CODE == CODE_64

    def __str__(self) -> str:
        names = ("stack32", "flat", "protected", "no_fpu", "long", "vm86", "floats", "trace")
        shown = [name for i, name in enumerate(names) if self.bits >> i + 2 & 1]
        return " ".join([f"{self.width}-bit", *shown])


# -- keeping the slots right ----------------------------------------------------------------------


def update_mode(c: X86) -> None:
    """Compute `mode`, `mmu_index` and `code_space` from the state.

    Single-stepping is the client's business, which hears of TF by an event.
    """
    get, slots = c.get, c.slots
    cr0, cr4 = get(slots["cr0"]).trunc(I32), get(slots["cr4"]).trunc(I32)
    eflags = get(slots["eflags"])
    is_pe = (cr0 & CR0_PE).ne(0)
    is_vm = (eflags & VM).ne(0) & is_pe
    is_long = (get(slots["efer"]).trunc(I32) & EFER_LMA).ne(0)
    is_traced = (eflags & TF).ne(0)
    word = _segment_bits(c, is_pe & ~is_vm, is_long)
    for condition, bit in (
        (is_pe & ~is_vm, PROTECTED),
        ((cr0 & (CR0_TS | CR0_EM)).ne(0) | (cr4 & CR4_OSFXSR).eq(0), NO_FPU),
        (is_long, LONG),
        (is_vm, VM86),
        (get(slots["mxcsr_enabled"]).ne(0), CHECK_FLOATS),
        (is_traced, TRACE),
    ):
        word = word | _bit(condition, bit)
    c.put(HEADER["mode"], word)
    _update_address_spaces(c, word, eflags, cr4)
    with c.when(is_traced, likely=False):
        c.put(HEADER["event"], 1)


def _bit(condition: Value, bit: int) -> Value:
    """A bit of the mode word, if the condition holds."""
    shift = bit.bit_length() - 1
    wide = condition.zext(I32)
    return wide << shift if shift else wide


def _segment_bits(c: X86, is_protected: Value, is_long: Value) -> Value:
    """CODE, STACK32 and FLAT."""
    rights = _state(c).seg_rights.slots
    cs, ss = c.get(rights[CS]), c.get(rights[SS])
    is_64 = is_long & (cs & LONG_CODE).ne(0)
    code = _bit((cs & BIG).ne(0), CODE_32)
    stack = _bit((ss & BIG).ne(0), STACK32)
    flat = _bit(_is_flat(c, is_protected), FLAT)
    return c.select(is_64, FLAT_64 & (CODE | STACK32 | FLAT), code | stack | flat)


def _is_flat(c: X86, is_protected: Value) -> Value:
    """CS, DS, ES and SS begin at 0 and end at 4 GiB, code can be read and data be written."""
    state = _state(c)
    bases, limits, rights = (
        [c.get(file.slots[number]) for number in (CS, DS, ES, SS)]
        for file in (state.seg_base, state.seg_limit, state.seg_rights)
    )
    all_bases = bases[0] | bases[1] | bases[2] | bases[3]
    all_limits = limits[0] & limits[1] & limits[2] & limits[3]
    usable = (rights[0] | rights[1] | rights[2] | rights[3]) & UNUSABLE
    of_data = (rights[1] | rights[2] | rights[3]) & (EXPAND_DOWN | CODE_SEGMENT)
    writable = rights[0] & rights[1] & rights[2] & rights[3] & WRITABLE
    fits = (usable | of_data | writable).eq(WRITABLE)
    return is_protected & all_bases.eq(0) & all_limits.eq(0xFFFF_FFFF) & fits


def _update_address_spaces(c: X86, mode: Value, eflags: Value, cr4: Value) -> None:
    """Whose memory accesses are made, and where code begins."""
    may_override = (eflags & AC).ne(0) & (cr4 & CR4_SMAP).ne(0)
    supervisor = c.select(may_override, SUPERVISOR_AC, SUPERVISOR)
    is_user = c.get(c.slots["cpl"]).eq(3)
    c.put(HEADER["mmu_index"], c.select(is_user, c.const(I32, USER), supervisor))
    base = c.get(_state(c).seg_base.slots[CS]).trunc(I32).zext(I64)
    is_64 = (mode & CODE).eq(CODE_64)
    c.put(HEADER["code_space"], c.select(is_64, c.const(I64, 0), base << 32))


def _state(c: X86) -> SystemState:
    assert isinstance(c.state, SystemState)
    return c.state
