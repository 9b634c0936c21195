"""Writes to control and debug registers: what the manual forbids, and what follows from them.

SDM vol. 3, 2.5 (control registers), 2.6 (XCR0), 9.8.5 (into and out of IA-32e mode), 17.2 (debug
registers).  Breakpoints on instructions work; those on data and ports are kept and never hit.
"""

from __future__ import annotations

from frontends.x86 import system_state as bits
from machine.cpu.core import Core, refuse_unless
from machine.devices.apic import LocalApic

CR0_BITS = 0xE005_003F
"""All that CR0 has."""
FLUSHING_CR0 = bits.CR0_PG | bits.CR0_WP | bits.CR0_PE
FLUSHING_CR4 = (
    bits.CR4_PSE | bits.CR4_PAE | bits.CR4_PGE | bits.CR4_SMEP | bits.CR4_SMAP | bits.CR4_PCIDE
)
CR4_BY_FEATURE = (
    ("tsc", bits.CR4_TSD), ("de", bits.CR4_DE), ("pse", bits.CR4_PSE), ("pae", bits.CR4_PAE),
    ("mce", bits.CR4_MCE), ("pge", bits.CR4_PGE), ("fpu", bits.CR4_PCE), ("fxsr", bits.CR4_OSFXSR),
    ("sse", bits.CR4_OSXMMEXCPT), ("fsgsbase", bits.CR4_FSGSBASE), ("xsave", bits.CR4_OSXSAVE),
    ("smep", bits.CR4_SMEP), ("smap", bits.CR4_SMAP), ("vme", bits.CR4_VME | bits.CR4_PVI),
)  # fmt: skip
DR6_FIXED, DR6_WRITABLE = 0xFFFF_0FF0, 0xE00F
DR7_FIXED, DR7_WRITABLE = 0x400, 0xFFFF_2BFF
MAX_XCR0 = 7


class Control:
    """Control and debug registers of one processor."""

    def __init__(self, core: Core, apic: LocalApic) -> None:
        self._core = core
        self._apic = apic
        self.has_breakpoints = False
        """Whether code has to be watched for breakpoints on instructions."""
        self._cr4_bits = sum({bit for name, bit in CR4_BY_FEATURE if name in core.features})

    def write(self, number: int, value: int) -> None:
        """CRn <- value"""
        {0: self._write_cr0, 4: self._write_cr4, 8: self._write_cr8}[number](value)

    def read_cr8(self) -> int:
        """The task priority, of the local APIC."""
        return self._apic.task_priority

    def _write_cr0(self, value: int) -> None:
        core = self._core
        old = core.get("cr0")
        has_paging, is_cached = value & bits.CR0_PG, not value & bits.CR0_CD
        refuse_unless(value < 1 << 32)
        refuse_unless(not has_paging or value & bits.CR0_PE)
        refuse_unless(not (value & bits.CR0_NW and is_cached))
        new = value & CR0_BITS | bits.CR0_ET
        if (old ^ new) & bits.CR0_PG:
            self._switch_paging(bool(has_paging))
        core.set("cr0", new)
        if (old ^ new) & FLUSHING_CR0:
            core.flush()
        core.changed_mode()

    def _switch_paging(self, is_on: bool) -> None:
        """With EFER.LME, paging is what turns IA-32e mode on and off."""
        core = self._core
        efer = core.get("efer")
        is_long_code = core.get("cs_rights") & bits.LONG_CODE
        if is_on and efer & bits.EFER_LME:
            refuse_unless(core.get("cr4") & bits.CR4_PAE and not is_long_code)
            core.set("efer", efer | bits.EFER_LMA)
        elif not is_on and efer & bits.EFER_LMA:
            refuse_unless(not is_long_code)
            core.set("efer", efer & ~bits.EFER_LMA)

    def _write_cr4(self, value: int) -> None:
        core = self._core
        old = core.get("cr4")
        refuse_unless(not value & ~self._cr4_bits)
        refuse_unless(value & bits.CR4_PAE or not core.get("efer") & bits.EFER_LMA)
        core.set("cr4", value)
        if (old ^ value) & FLUSHING_CR4:
            core.flush()
        core.changed_mode()

    def _write_cr8(self, value: int) -> None:
        refuse_unless(value < 16)
        self._apic.task_priority = value

    def write_xcr(self, number: int, value: int) -> None:
        """XCR0 <- value: x87 always, AVX only with SSE"""
        refuse_unless(number == 0 and value & 1 and not value & ~MAX_XCR0)
        refuse_unless(value & 6 != 4)
        self._core.set("xcr0", value)

    # -- debug registers -----------------------------------------------------------------------

    def write_debug(self, number: int, value: int) -> None:
        """DRn <- value"""
        refuse_unless(number < 6 or value < 1 << 32)
        if number == 6:
            value = value & DR6_WRITABLE | DR6_FIXED
        elif number == 7:
            value = value & DR7_WRITABLE | DR7_FIXED
        self._core.set(f"dr{number}", value)
        self.look_for_breakpoints()

    def look_for_breakpoints(self) -> None:
        """DR7 may have changed."""
        dr7 = self._core.get("dr7")
        self.has_breakpoints = any(self._is_for_code(dr7, number) for number in range(4))

    @staticmethod
    def _is_for_code(dr7: int, number: int) -> bool:
        return bool(dr7 >> 2 * number & 3) and not dr7 >> 16 + 4 * number & 3

    def hit(self, linear: int) -> int:
        """The bits of DR6 for breakpoints on the instruction at an address."""
        core = self._core
        dr7 = core.get("dr7")
        return sum(
            1 << number
            for number in range(4)
            if self._is_for_code(dr7, number) and core.get(f"dr{number}") == linear
        )
