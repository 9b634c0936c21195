"""The CPU state of x86: which slots there are, and what the manual's registers are made of.

EFLAGS is spread: CF, ZF, SF, OF and DF are a bit each, so that a flag nobody reads is not computed;
PF is the even parity of a byte that is kept instead, and AF is bit 4 of another one.  A vector
register is two slots, its SSE part and what AVX puts above it.

x87's registers are the file `fpr`, R0 to R7 of SDM vol. 1, 8.1.2; ST(i) is the one with number
`fpu_top` + i.  `fpu_full` has a bit for each that is not empty, all there is of the tag word.  The
status word is `fpu_c0` to `fpu_c3`, `fpu_sf`, `fpu_top`, and the sticky flags, which are the host's
(header.x87_status and its own register).  `fpu_traps` is set while `fpu_cw` leaves some exception
unmasked.  An MMX register is the lowest 64 bits of an x87 one (SDM vol. 1, 9.2.2); the rest of it,
which gets all ones, is a slot of its own.
"""

from __future__ import annotations

from tcg.state import Rotating, StateLayout, new_layout
from tcg.types import F80, I1, I8, I16, I32, I64, V128, integer

# fmt: off
GPR_NAMES_64 = (
    "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
    "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
)
GPR_NAMES_32 = ("eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi")
# fmt: on
SEGMENTS = ("es", "cs", "ss", "ds", "fs", "gs")
"""Segment registers in the order of their numbers (SDM vol. 2, 2.1.1)."""
ES, CS, SS, DS, FS, GS = range(6)

AX, CX, DX, BX, SP, BP, SI, DI = range(8)

CF, PF, AF, ZF, SF, TF, IF, DF, OF = (1 << n for n in (0, 2, 4, 6, 7, 8, 9, 10, 11))
IOPL, NT, RF, VM, AC, VIF, VIP, ID = (3 << 12, *(1 << n for n in (14, 16, 17, 18, 19, 20, 21)))
SINGLE_FLAGS = (("cf", CF), ("zf", ZF), ("sf", SF), ("of", OF), ("df", DF))
"""The flags that have a slot of their own bit."""
FIXED_FLAGS = 2
"""Bit 1 of EFLAGS is always set."""
OTHER_FLAGS = TF | IF | IOPL | NT | RF | VM | AC | VIF | VIP | ID
"""The bits of EFLAGS that the slot `eflags` keeps."""

# What `ask` asks the client for, beside SYSTEM_CALL.
ASK_INT80 = 1
"""int 0x80 in 64-bit code: a system call by i386's numbers."""
ASK_SYSENTER = 2
ASK_CPUID = 3
ASK_RDRAND = 4
ASK_LOAD_SEGMENT = 5
"""A selector was written to a segment register: see that its base follows."""
ASK_CHECK_FLOATS = 6
"""MXCSR lets exceptions through now: code is to look for them."""

# What systems ask for; the numbers are in `ask_a` to `ask_c`.
ASK_PORT_IN = 16
"""Port `ask_a`, `ask_b` bytes: the answer goes to AL, AX or EAX."""
ASK_PORT_OUT = 17
"""Port `ask_a`, `ask_b` bytes of `ask_c`."""
ASK_PORT_INS = 18
"""Port `ask_a`; `ask_b`: size | address size << 8 | rep << 16 | segment << 24.  The instruction is
done as often as there is reason to, and begun again or gone beyond."""
ASK_PORT_OUTS = 19
ASK_HALT = 20
"""HLT: wait for an interrupt."""
ASK_WRITE_CONTROL = 21
"""Control register `ask_a` <- `ask_b`."""
ASK_READ_MSR = 22
"""EDX:EAX <- the model-specific register ECX."""
ASK_WRITE_MSR = 23
"""The model-specific register ECX <- EDX:EAX."""
ASK_WRITE_DEBUG = 25
"""Debug register `ask_a` <- `ask_b`."""
ASK_READ_CONTROL = 26
"""General register `ask_b` <- control register `ask_a`, which is no slot: CR8."""
ASK_WRITE_XCR = 27
"""The extended control register ECX <- EDX:EAX."""
ASK_RESUME = 28
"""RSM."""
ASK_WAIT = 29
"""MWAIT: like HLT, but may go on at once."""
ASK_READ_TSC = 31
"""EDX:EAX <- the time-stamp counter, where it counts instructions."""
ASK_TASK_SWITCH = 48
"""A task switch to the TSS of selector `ask_a`.  `ask_b`: 0 by JMP, 1 by CALL, 2 by IRET, 3 by an
interrupt or exception; `ask_c`: 1 if an error code is to be pushed, which `int_error` is."""

TLS_ENTRIES = 3
"""Segment descriptors that Linux keeps for each thread, of the GDT."""


class X86State:
    """The slots and register files; `width` is that of a general register, 32 or 64."""

    selector_names: tuple[str, ...] = SEGMENTS

    def __init__(self, width: int = 64) -> None:
        word = integer(width)
        self.width = width
        self.word = word
        self.layout = layout = new_layout()
        names = GPR_NAMES_64 if width == 64 else GPR_NAMES_32
        self.no_register = len(names)
        self.gpr = layout.file("gpr", word, (*names, "zero"))
        for name in ("cf", "zf", "sf", "of", "df"):
            layout.slot(name, I1)
        for name in ("pf", "af"):
            layout.slot(name, I8)
        layout.slot("eflags", I32)
        self.selectors = layout.file("segments", I16, self.selector_names)
        self._place_bases(layout)
        count = 16 if width == 64 else 8
        self.xmm = layout.file("xmm", V128, (f"xmm{i}" for i in range(count)))
        self.ymmh = layout.file("ymmh", V128, (f"ymmh{i}" for i in range(count)))
        layout.slot("mxcsr_enabled", I32)
        self.fpr = layout.file("fpr", F80, (f"fpr{i}" for i in range(8)))
        self.mmx = layout.overlay("mmx", I64, self.fpr, 0, (f"mm{i}" for i in range(8)))
        self.mmx_ends = layout.overlay("mmx_ends", I16, self.fpr, 8, (f"mm{i}e" for i in range(8)))
        layout.slot("fpu_top", I32)
        layout.slot("fpu_cw", I16)
        for name in ("fpu_full", "fpu_traps"):
            layout.slot(name, I8)
        slots = layout.slots
        self.rotating = Rotating(
            self.fpr, slots["fpu_top"], slots["fpu_full"], slots["fpu_traps"],
            (self.mmx, self.mmx_ends),
        )  # fmt: skip
        for name in ("fpu_c0", "fpu_c1", "fpu_c2", "fpu_c3", "fpu_sf"):
            layout.slot(name, I1)
        self.tls = layout.file("tls", I64, (f"tls{i}" for i in range(TLS_ENTRIES)))

    def _place_bases(self, layout: StateLayout) -> None:
        """Of the segments' bases, a program only has two that are not zero."""
        for name in ("fs_base", "gs_base"):
            layout.slot(name, self.word)
