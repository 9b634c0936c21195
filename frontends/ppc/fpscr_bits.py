"""The bits of FPSCR: Book I, 4.2.2.

In the CPU state FPSCR is spread.  Slot `fpscr` has what was last written; exceptions since are in
slot `fpscr_raised` (invalid operations) and in the host's own register (the others).  The summaries
FEX and VX follow from the other bits, and FPRF is computed from the last result when somebody
looks.

Not as the manual has it: FR and FI are as the last mtfsf and its like left them (they say of the
last operation alone what XX says of all, and no program is known to read them).  UX is the host's,
which looks for tiny results after rounding and not before (4.4.4).  With VE or ZE set, but not
MSR's FE0 and FE1, invalid operations and divisions by zero have a result all the same.
"""

from __future__ import annotations

# fmt: off
FX,     FEX,    VX,     OX     = 1 << 31, 1 << 30, 1 << 29, 1 << 28
UX,     ZX,     XX,     VXSNAN = 1 << 27, 1 << 26, 1 << 25, 1 << 24
VXISI,  VXIDI,  VXZDZ,  VXIMZ  = 1 << 23, 1 << 22, 1 << 21, 1 << 20
VXVC,   FR,     FI,     FPRF_C = 1 << 19, 1 << 18, 1 << 17, 1 << 16
VXSOFT, VXSQRT, VXCVI,  VE     = 1 << 10, 1 << 9,  1 << 8,  1 << 7
OE,     UE,     ZE,     XE     = 1 << 6,  1 << 5,  1 << 4,  1 << 3
NI                             = 1 << 2
# fmt: on
RN = 3
FPCC = 15 << 12
FPRF = FPRF_C | FPCC
FPRF_SHIFT = 12
VX_CAUSES = VXSNAN | VXISI | VXIDI | VXZDZ | VXIMZ | VXVC | VXSOFT | VXSQRT | VXCVI
ENABLES = VE | OE | UE | ZE | XE
SUMMARIES = FEX | VX
CAUSES = OX | UX | ZX | XX | VX_CAUSES
"""The exception bits that stay set until they are cleared."""
ENABLE_SHIFT = 22
"""VE, OE, UE, ZE, XE are so far to the right of VX, OX, UX, ZX, XX."""

HOST_FLAGS = ((4, ZX), (8, OX), (16, UX), (32, XX))
"""Sticky flags as `fpflags` gives them, and what they are in FPSCR.

The host's invalid flag is not used: an invalid operation is seen by its result.
"""

EXPLICIT, DOUBLE_RESULT, SINGLE_RESULT = 0, 1, 2
"""fprf_kind: FPRF is in slot fpscr, or the class of `fprf_value`, a result of this format."""
COMPARED = 4
"""Added to fprf_kind: FPCC is what comparing `fpcc_a` with `fpcc_b` gives."""

# Values of FPRF (Book I, figure 32) and of FPCC.
FPRF_NAN, FPRF_INFINITY, FPRF_NORMAL, FPRF_DENORMAL, FPRF_ZERO = 0x11, 0x05, 0x04, 0x14, 0x02
FPRF_NEGATIVE = {0x05: 0x09, 0x04: 0x08, 0x14: 0x18, 0x02: 0x12}
FPCC_LESS, FPCC_GREATER, FPCC_EQUAL, FPCC_UNORDERED = 8, 4, 2, 1


def host_rounding(fpscr: int) -> int:
    """RN as the op `fpround` numbers the modes: 0 nearest, 1 down, 2 up, 3 towards zero."""
    return -(fpscr & RN) & 3
