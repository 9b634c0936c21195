"""The layout of a case: one processor state before or after, as native code passes it around.

Cases lie in arrays: `stride` bytes each, the fixed part below and then the window of memory.  The
vector and floating-point part is an XSAVE area in the standard format (SDM vol. 1, 13.4), of which
the first 512 bytes are what FXSAVE stores.
"""

from __future__ import annotations

from dataclasses import dataclass

# fmt: off
GPR       = 0       # 16 * 8
RFLAGS    = 128
PC        = 136
ENDED     = 144     # 0: reached an exit; else the host's signal
EXIT      = 148     # which exit; after a signal, the number of the exception
ADDRESS   = 152     # of a page fault
FS_BASE   = 160
GS_BASE   = 168
DETAIL    = 176     # the error code; not compared
XSAVE     = 192
XSAVE_BYTES = 832
WINDOW    = XSAVE + XSAVE_BYTES

FCW, FSW, FTW  = XSAVE + 0, XSAVE + 2, XSAVE + 4
FOP, FIP, FDP  = XSAVE + 6, XSAVE + 8, XSAVE + 16
MXCSR          = XSAVE + 24
MXCSR_MASK     = XSAVE + 28
ST             = XSAVE + 32         # 8 * 16, of which 10 are used
XMM            = XSAVE + 160        # 16 * 16
SOFTWARE       = XSAVE + 416        # 96 bytes that no register is in
XSTATE_BV      = XSAVE + 512
YMMH           = XSAVE + 576        # 16 * 16

CONTROL, STATUS = 0x037F, 0x1F80
# fmt: on

GPRS = (
    "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
    "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
)  # fmt: skip

SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV = 4, 5, 7, 8, 11


@dataclass(frozen=True, slots=True)
class Field:
    """One named part of a case."""

    name: str
    offset: int
    size: int

    def get(self, case: bytes | memoryview) -> int:
        """Its value."""
        return int.from_bytes(case[self.offset : self.offset + self.size], "little")

    def put(self, case: bytearray | memoryview, value: int) -> None:
        """Write it."""
        case[self.offset : self.offset + self.size] = value.to_bytes(self.size, "little")


# fmt: off
FIELDS: tuple[Field, ...] = (
    *(Field(name, GPR + 8 * i, 8) for i, name in enumerate(GPRS)),
    Field("flags", RFLAGS, 8), Field("pc", PC, 8),
    Field("ended", ENDED, 4), Field("exit", EXIT, 4), Field("address", ADDRESS, 8),
    Field("fs_base", FS_BASE, 8), Field("gs_base", GS_BASE, 8),
    Field("fcw", FCW, 2), Field("fsw", FSW, 2), Field("ftw", FTW, 1),
    Field("mxcsr", MXCSR, 4),
    *(Field(f"st{i}", ST + 16 * i, 10) for i in range(8)),
    *(Field(f"xmm{i}", XMM + 16 * i, 16) for i in range(16)),
    *(Field(f"ymmh{i}", YMMH + 16 * i, 16) for i in range(16)),
)
# fmt: on
BY_NAME = {field.name: field for field in FIELDS}

MASKS = {field.name: (1 << 8 * field.size) - 1 for field in FIELDS}


def new_case(window: int) -> bytearray:
    """A case with everything zero but what must not be: masks of exceptions, bit 1 of RFLAGS."""
    case = bytearray(WINDOW + window)
    BY_NAME["flags"].put(case, 0x202)
    BY_NAME["fcw"].put(case, CONTROL)
    BY_NAME["mxcsr"].put(case, STATUS)
    case[XSTATE_BV] = 7
    return case


def read(case: bytes | memoryview) -> dict[str, int]:
    """All fields by name."""
    return {field.name: field.get(case) for field in FIELDS}
