"""Whether floating-point instructions may run: CR0.EM, CR0.TS, CR0.MP and CR4.OSFXSR.

Looked at in modes with the bit NO_FPU only (SDM vol. 3, 2.5 and 13.1; vol. 2, exceptions of each
instruction).
"""

from __future__ import annotations

from frontends.x86.context import X86
from frontends.x86.operands import Meaning
from frontends.x86.system_state import CR0_EM, CR0_MP, CR0_TS, CR4_OSFXSR
from tcg.frontend import GuestException
from tcg.ir import Value
from tcg.types import I32

X87, MMX, SSE = "x87", "mmx", "sse"

KINDS = {
    **dict.fromkeys(
        ("x87_arithmetic", "x87_compare", "x87_control", "x87_decimal", "x87_functions",
         "x87_move"), X87,
    ),
    **dict.fromkeys(("mmx", "now3d"), MMX),
    **dict.fromkeys(
        ("sse_moves", "sse_float", "sse_integer", "sse_strings", "sse_control", "avx"), SSE,
    ),
}  # fmt: skip
"""What the modules with semantic functions need."""
WITHOUT_EM = frozenset(("fxsave", "fxrstor"))
"""x87 instructions that belong to SSE in this: #NM by CR0.TS and CR0.EM alone."""


def require_fpu(c: X86, meaning: Meaning) -> None:
    """Raise #NM or #UD if the instruction has to do with a unit that is not there now."""
    kind = KINDS.get(meaning.__module__.rpartition(".")[2])
    if kind is None:
        return
    cr0 = c.get(c.slots["cr0"]).trunc(I32)
    if c.row.name == "fwait":
        c.fault(GuestException.NO_DEVICE, when=(cr0 & (CR0_MP | CR0_TS)).eq(CR0_MP | CR0_TS))
    elif kind == X87 or c.row.name in WITHOUT_EM:
        c.fault(GuestException.NO_DEVICE, when=(cr0 & (CR0_EM | CR0_TS)).ne(0))
    else:
        _require_vectors(c, kind, cr0)


def _require_vectors(c: X86, kind: str, cr0: Value) -> None:
    """MMX and SSE: #UD by CR0.EM, and SSE by CR4.OSFXSR; #NM by CR0.TS."""
    absent = (cr0 & CR0_EM).ne(0)
    if kind == SSE and c.row.name != "emms":
        absent = absent | (c.get(c.slots["cr4"]).trunc(I32) & CR4_OSFXSR).eq(0)
    c.fault(GuestException.ILLEGAL, when=absent)
    c.fault(GuestException.NO_DEVICE, when=(cr0 & CR0_TS).ne(0))
