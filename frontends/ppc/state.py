"""The CPU state of PowerPC: which slots there are, and what the manual's registers are made of.

CR is 32 slots of one bit, so that a compare whose LT nobody reads does not compute it.  XER is its
three bits and its byte count.  FPSCR is spread widest: see fpscr_bits.py.
"""

from __future__ import annotations

from tcg.state import new_layout
from tcg.types import F64, I1, I8, I32, integer

CACHE_LINE = 32
"""Bytes that dcbz clears; what AT_DCACHEBSIZE tells the guest."""

TIME_BASE_HZ = 1_000_000_000
"""The time base counts nanoseconds."""

PROCESSOR_VERSION = 0x0008_0301
"""PVR: a 750 (G3) of revision 3.1, which has no AltiVec; QEMU's choice too."""

CHECKS_FLOATS = 1
"""The mode of translation in which enabled floating-point exceptions are noticed."""

ASK_FLOAT_CHECKS = 1
"""What `ask` asks for when the guest enables floating-point exceptions: the mode CHECKS_FLOATS."""

CR_BITS = ("lt", "gt", "eq", "so")
NO_RESERVATION = (1 << 64) - 1


class PpcState:
    """The slots and register files; `width` is that of a general register.

    `msr.fe` is MSR's FE0 and FE1: set if exceptions that FPSCR enables are to be raised.
    """

    def __init__(self, width: int = 32) -> None:
        word = integer(width)
        self.width = width
        self.layout = layout = new_layout()
        self.gpr = layout.file("gpr", word, (f"r{i}" for i in range(32)))
        self.fpr = layout.file("fpr", F64, (f"f{i}" for i in range(32)))
        self.crb = layout.file("crb", I1, (f"cr{i}.{bit}" for i in range(8) for bit in CR_BITS))
        for name in ("lr", "ctr"):
            layout.slot(name, word)
        for name in ("xer.so", "xer.ov", "xer.ca"):
            layout.slot(name, I1)
        layout.slot("xer.count", I8)
        layout.slot("vrsave", I32)
        layout.slot("msr.fe", I1)
        layout.slot("fpscr", I32)
        layout.slot("fpscr_raised", I32)
        layout.slot("fprf_kind", I8)
        for name in ("fprf_value", "fpcc_a", "fpcc_b"):
            layout.slot(name, F64)


XER_PARTS = (("xer.so", 31), ("xer.ov", 30), ("xer.ca", 29), ("xer.count", 0))
"""The slots of XER, and where they are in it."""
