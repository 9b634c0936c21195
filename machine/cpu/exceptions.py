"""Exceptions: vectors, error codes, and what a fault within a delivery becomes.

SDM vol. 3, tables 6-1 and 6-5.
"""

from __future__ import annotations

from frontends.x86.system_state import CR4_OSXMMEXCPT
from machine.cpu.core import Core
from tcg.frontend import GuestException

DEBUG, NMI, ILLEGAL, DOUBLE_FAULT, PAGE, FLOAT = 1, 2, 6, 8, 14, 16

# fmt: off
VECTORS: dict[int, tuple[int, bool]] = {
    GuestException.DIVIDE:       (0, False),
    GuestException.DEBUG:        (DEBUG, False),
    GuestException.BREAKPOINT:   (3, False),
    GuestException.OVERFLOW:     (4, False),
    GuestException.BOUND:        (5, False),
    GuestException.ILLEGAL:      (ILLEGAL, False),
    GuestException.NO_DEVICE:    (7, False),
    GuestException.DOUBLE_FAULT: (DOUBLE_FAULT, True),
    GuestException.INVALID_TSS:  (10, True),
    GuestException.NOT_PRESENT:  (11, True),
    GuestException.STACK:        (12, True),
    GuestException.PROTECTION:   (13, True),
    GuestException.PRIVILEGED:   (13, True),
    GuestException.PAGE:         (PAGE, True),
    GuestException.FLOAT:        (FLOAT, False),
    GuestException.SIMD_FLOAT:   (19, False),
}
# fmt: on
"""The vector of each exception, and whether it has an error code."""

CONTRIBUTORY = frozenset((0, 10, 11, 12, 13))


def vector_of(core: Core, exception: int) -> tuple[int, int | None]:
    """Vector and error code of an exception that the guest raised.

    A vector operand that is not aligned is #GP(0): so says the manual of those that must be.
    """
    if exception == GuestException.ALIGNMENT:
        return 13, 0
    if exception == GuestException.SIMD_FLOAT and not core.get("cr4") & CR4_OSXMMEXCPT:
        return ILLEGAL, None
    vector, has_code = VECTORS[exception]
    return vector, core.get("error_code") if has_code else None


def combined(first: int, second: int) -> int | None:
    """The vector to deliver when `second` happened while `first` was delivered; None: shutdown."""
    is_bad = second in CONTRIBUTORY or second == PAGE
    if first == DOUBLE_FAULT:
        return None if is_bad else second
    if first in CONTRIBUTORY and second in CONTRIBUTORY:
        return DOUBLE_FAULT
    if first == PAGE and is_bad:
        return DOUBLE_FAULT
    return second
