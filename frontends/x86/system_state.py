"""The CPU state of a whole machine: segments and what is behind them, system registers.

The slots that translation and the engine's memory depend on (`mode`, `mmu_index`, `code_space`) are
in the header of every state; `update_mode` in frontends/x86/modes.py keeps them right.
"""

from __future__ import annotations

from frontends.x86.state import SEGMENTS, X86State
from tcg.state import StateLayout
from tcg.types import I8, I32, I64

PARTS: tuple[str, ...] = (*SEGMENTS, "ldtr", "tr")
"""The registers that hold a selector and the descriptor behind it."""
LDTR, TR = 6, 7

# -- bits of a segment's rights (SDM vol. 3, 3.4.5; the descriptor's second doubleword)

UNUSABLE = 1
"""Bit 0, which is ours: a null selector was loaded."""
ACCESSED, WRITABLE, EXPAND_DOWN, CODE_SEGMENT = (1 << n for n in (8, 9, 10, 11))
READABLE, CONFORMING = WRITABLE, EXPAND_DOWN
"""What these bits mean in code segments."""
NOT_SYSTEM = 1 << 12
DPL_SHIFT = 13
DPL = 3 << DPL_SHIFT
PRESENT = 1 << 15
LONG_CODE = 1 << 21
BIG = 1 << 22
GRANULARITY = 1 << 23
RIGHTS_MASK = 0x00F0_FF00

# -- control registers (SDM vol. 3, 2.5) ---------------------------

CR0_PE, CR0_MP, CR0_EM, CR0_TS, CR0_ET, CR0_NE = (1 << n for n in range(6))
CR0_WP, CR0_AM, CR0_NW, CR0_CD, CR0_PG = (1 << n for n in (16, 18, 29, 30, 31))
CR4_VME, CR4_PVI, CR4_TSD, CR4_DE, CR4_PSE, CR4_PAE, CR4_MCE, CR4_PGE, CR4_PCE = (
    1 << n for n in range(9)
)
CR4_OSFXSR, CR4_OSXMMEXCPT, CR4_UMIP = (1 << n for n in (9, 10, 11))
CR4_FSGSBASE, CR4_PCIDE, CR4_OSXSAVE, CR4_SMEP, CR4_SMAP = (1 << n for n in (16, 17, 18, 20, 21))
EFER_SCE, EFER_LME, EFER_LMA, EFER_NXE = (1 << n for n in (0, 8, 10, 11))

RESET_CR0 = CR0_CD | CR0_NW | CR0_ET
"""CR0 after power-up (SDM vol. 3, table 9-1)."""
RESET_DR6, RESET_DR7 = 0xFFFF_0FF0, 0x400

# fmt: off
MSR_SLOTS: tuple[tuple[int, str], ...] = (
    (0x0000_001B, "apic_base"),
    (0x0000_0174, "sysenter_cs"),
    (0x0000_0175, "sysenter_esp"),
    (0x0000_0176, "sysenter_eip"),
    (0x0000_01A0, "misc_enable"),
    (0x0000_0277, "pat"),
    (0xC000_0080, "efer"),
    (0xC000_0081, "star"),
    (0xC000_0082, "lstar"),
    (0xC000_0083, "cstar"),
    (0xC000_0084, "sfmask"),
    (0xC000_0102, "kernel_gs_base"),
    (0xC000_0103, "tsc_aux"),
)
# fmt: on
"""The model-specific registers that are slots of 64 bits, by number (SDM vol. 4)."""


PLAIN_WORDS = 64
"""Of `plain_ports`, a bit for each port from 0 on that OUT may write without asking."""


class SystemState(X86State):
    """The slots of X86State and those that only a system sees.

    `selectors`, `seg_base`, `seg_limit` (the last byte's offset), `seg_rights`: files over `PARTS`.
    """

    selector_names = PARTS

    def __init__(self, width: int) -> None:
        super().__init__(width)
        layout, word = self.layout, self.word
        self.seg_limit = layout.file("seg_limit", I32, (f"{name}_limit" for name in PARTS))
        self.seg_rights = layout.file("seg_rights", I32, (f"{name}_rights" for name in PARTS))
        for name in ("gdt_base", "idt_base", "cr0", "cr2", "cr3", "cr4", "cr8", "shadow", "int_pc"):
            layout.slot(name, word)
        for name in ("gdt_limit", "idt_limit"):
            layout.slot(name, I32)
        for name in ("cpl", "tsc_counts"):
            layout.slot(name, I8)
        for _, name in MSR_SLOTS:
            layout.slot(name, I64)
        for name in ("a20_mask", "xcr0", "tsc_offset", "ask_a", "ask_b", "ask_c"):
            layout.slot(name, I64)
        self.plain_ports = layout.file(
            "plain_ports", I64, (f"plain_ports_{i}" for i in range(PLAIN_WORDS))
        )
        self.debug = layout.file("debug", word, (f"dr{i}" for i in range(8)))
        for name in ("intr_wanted", "error_code", "int_vector", "int_kind", "int_error"):
            layout.slot(name, I32)

    def _place_bases(self, layout: StateLayout) -> None:
        """All segments have a base; `fs_base` and `gs_base` are among them."""
        self.seg_base = layout.file("seg_base", self.word, (f"{name}_base" for name in PARTS))
