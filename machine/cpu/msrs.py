"""Model-specific registers (SDM vol. 4), as RDMSR and WRMSR reach them.

Those that mean something are slots of the state.  MTRRs and the machine-check banks are storage.
Others read as zero and take anything, as in QEMU, and are reported.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic_ns

from frontends.x86 import system_state as bits
from machine.bus import Unimplemented
from machine.cpu.core import Core, refuse_unless
from machine.devices.apic import LocalApic

TSC, APIC_BASE, EFER, PAT = 0x10, 0x1B, 0xC000_0080, 0x277
FS_BASE, GS_BASE, KERNEL_GS_BASE = 0xC000_0100, 0xC000_0101, 0xC000_0102
APIC_ENABLED = 1 << 11

MTRR_CAPABILITIES = 0xFE
MTRR_CAPABILITIES_VALUE = 0x508
"""Eight ranges, the fixed ones, write combining."""
MICROCODE = 0x8B
MCG_CAPABILITIES, MCG_STATUS = 0x179, 0x17A
FEATURE_CONTROL = 0x3A

# fmt: off
STORED = frozenset((
    *range(0x200, 0x210), 0x250, 0x258, 0x259, *range(0x268, 0x270), 0x2FF,    # MTRRs
    MCG_STATUS, 0x17B, *range(0x400, 0x428),                                   # machine checks
    0x17, 0x2A, 0x79, MICROCODE, 0x119, 0x1D9, FEATURE_CONTROL,
    0xC001_0010, 0xC001_0015, 0xC001_001A, 0xC001_001D,
))
# fmt: on
"""What is kept without being looked at."""
READ_ONLY = {MTRR_CAPABILITIES: MTRR_CAPABILITIES_VALUE, MCG_CAPABILITIES: 0}
FIRST_VALUES = {MICROCODE: 1 << 32, FEATURE_CONTROL: 1}

CANONICAL = frozenset((FS_BASE, GS_BASE, KERNEL_GS_BASE, 0xC000_0082, 0xC000_0083, 0x175, 0x176))
"""Those that hold addresses."""
EFER_BITS = bits.EFER_SCE | bits.EFER_LME | bits.EFER_LMA | bits.EFER_NXE
PAT_TYPES = frozenset((0, 1, 4, 5, 6, 7))


class Msrs:
    """The model-specific registers of one processor."""

    def __init__(self, core: Core, apic: LocalApic, report: Unimplemented) -> None:
        self._core = core
        self._apic = apic
        self._report = report
        self._stored = dict(FIRST_VALUES)
        self.count: Callable[[], int] | None = None
        """What the time-stamp counter counts, if not nanoseconds of the host."""
        names = dict(bits.MSR_SLOTS)
        if core.width == 64:
            names |= {FS_BASE: "fs_base", GS_BASE: "gs_base"}
        self._slots = names
        self._writers: dict[int, Callable[[int], None]] = {
            TSC: self._write_tsc,
            APIC_BASE: self._write_apic_base,
            EFER: self._write_efer,
            PAT: self._write_pat,
        }

    def reset(self) -> None:
        """Power-up."""
        self._stored = dict(FIRST_VALUES)

    # -- the time-stamp counter ------------------------------------------------------------------

    def time(self) -> int:
        """The time-stamp counter."""
        counted = monotonic_ns() if self.count is None else self.count()
        return counted + self._core.get("tsc_offset") & (1 << 64) - 1

    def _write_tsc(self, value: int) -> None:
        self._core.set("tsc_offset", 0)
        self._core.set("tsc_offset", value - self.time())

    # -- all of them -------------------------------------------------------------------------------

    def read(self, number: int) -> int:
        """RDMSR"""
        if number == TSC:
            return self.time()
        if number in self._slots:
            return self._core.get(self._slots[number])
        if number in READ_ONLY:
            return READ_ONLY[number]
        if number not in STORED:
            self._report(f"processor: read of MSR {number:#x}")
        return self._stored.get(number, 0)

    def write(self, number: int, value: int) -> None:
        """WRMSR"""
        refuse_unless(number not in READ_ONLY)
        if number in CANONICAL and self._core.width == 64:
            refuse_unless(value >> 47 in (0, (1 << 17) - 1))
        if number in self._writers:
            self._writers[number](value)
        elif number in self._slots:
            self._core.set(self._slots[number], value)
        elif number in STORED:
            self._stored[number] = value
        else:
            self._report(f"processor: write of {value:#x} to MSR {number:#x}")

    def _write_apic_base(self, value: int) -> None:
        if value ^ self._core.get("apic_base") & ~0xFFF and value >> 12 != 0xFEE00:
            self._report(f"processor: the local APIC is to be at {value & ~0xFFF:#x}")
        self._core.set("apic_base", value)
        self._apic.set_enabled(bool(value & APIC_ENABLED))

    def _write_efer(self, value: int) -> None:
        core = self._core
        old = core.get("efer")
        allowed = EFER_BITS if "lm" in core.features else bits.EFER_SCE | bits.EFER_NXE
        refuse_unless(not value & ~allowed)
        is_paging = core.get("cr0") & bits.CR0_PG
        refuse_unless(not (is_paging and (old ^ value) & bits.EFER_LME))
        core.set("efer", value & ~bits.EFER_LMA | old & bits.EFER_LMA)
        if (old ^ value) & bits.EFER_NXE:
            core.flush()

    def _write_pat(self, value: int) -> None:
        refuse_unless(all(byte in PAT_TYPES for byte in value.to_bytes(8, "little")))
        self._core.set("pat", value)
