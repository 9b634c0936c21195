"""The processor's exceptions as signals, and what a signal frame tells of them.

Source: arch/x86/kernel/traps.c, arch/x86/mm/fault.c, arch/x86/kernel/fpu/core.c.
"""

from __future__ import annotations

import signal
from typing import NamedTuple

from tcg.frontend import GuestException
from user_mode.siginfo import SI_KERNEL

DE, DB, BP, OF, BR, UD, SS, GP, PF, MF, XF = 0, 1, 3, 4, 5, 6, 12, 13, 14, 16, 19
"""Exception numbers (SDM vol. 3, 6.3.1)."""

FPE_INTDIV, FPE_FLTDIV, FPE_FLTOVF, FPE_FLTUND, FPE_FLTRES, FPE_FLTINV = 1, 3, 4, 5, 6, 7
ILL_ILLOPN, TRAP_TRACE = 2, 2

PF_PRESENT, PF_WRITE, PF_USER, PF_FETCH = 1, 2, 4, 16
"""The error code of a page fault (SDM vol. 3, 4.7)."""


class Row(NamedTuple):
    """What the kernel makes of an exception."""

    number: int
    signo: int
    code: int
    """si_code; of those that are above zero, si_addr is the instruction's address."""


# fmt: off
EXCEPTIONS: dict[GuestException, Row] = {
    GuestException.DIVIDE:     Row(DE, signal.SIGFPE,  FPE_INTDIV),
    GuestException.TRAP:       Row(DB, signal.SIGTRAP, TRAP_TRACE),
    GuestException.BREAKPOINT: Row(BP, signal.SIGTRAP, SI_KERNEL),
    GuestException.OVERFLOW:   Row(OF, signal.SIGSEGV, SI_KERNEL),
    GuestException.BOUND:      Row(BR, signal.SIGSEGV, SI_KERNEL),
    GuestException.ILLEGAL:    Row(UD, signal.SIGILL,  ILL_ILLOPN),
    GuestException.PROTECTION: Row(GP, signal.SIGSEGV, SI_KERNEL),
    GuestException.PRIVILEGED: Row(GP, signal.SIGSEGV, SI_KERNEL),
    GuestException.ALIGNMENT:  Row(GP, signal.SIGSEGV, SI_KERNEL),
    GuestException.FLOAT:      Row(MF, signal.SIGFPE,  0),
    GuestException.SIMD_FLOAT: Row(XF, signal.SIGFPE,  0),
}
# fmt: on
"""ALIGNMENT is what an SSE operand must not lack (SDM vol. 1, 11.3): #GP, not #AC."""

_FLOAT_CODES = (
    (0x01, FPE_FLTINV),
    (0x04, FPE_FLTDIV),
    (0x08, FPE_FLTOVF),
    (0x12, FPE_FLTUND),
    (0x20, FPE_FLTRES),
)


def float_code(raised: int) -> int:
    """The kernel's fpu__exception_code(): si_code for the exceptions that are raised and unmasked.

    >>> float_code(0x04)
    3
    """
    return next((code for bits, code in _FLOAT_CODES if raised & bits), 0)


def unmasked(control: int, status: int) -> int:
    """Of the x87's exceptions, those that are raised and not masked."""
    return status & ~control & 0x3F


def unmasked_simd(mxcsr: int) -> int:
    """Of MXCSR's exceptions, those that are raised and not masked."""
    return mxcsr & ~(mxcsr >> 7) & 0x3F


def page_fault_error(is_present: bool, is_write: bool, is_fetch: bool) -> int:
    """The error code that the kernel keeps of a user's page fault."""
    return (
        PF_USER
        | (PF_PRESENT if is_present else 0)
        | (PF_WRITE if is_write else 0)
        | (PF_FETCH if is_fetch else 0)
    )


_INT = 0xCD
_IN_IDT = 2


def gate_error(code: bytes) -> int:
    """The error code of #GP at these instruction bytes: INT n names a gate that is not for users.

    SDM vol. 3, 6.13: the vector's place in the IDT.
    """
    return code[1] << 3 | _IN_IDT if code[:1] == bytes([_INT]) else 0
