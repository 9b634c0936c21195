"""Numbers that the native runtime and Python share: rings, page flags, what the kernel lays out.

The rest is in tcg/state.py.
"""

from __future__ import annotations

from tcg.floats import CONTROL_DEFAULT
from tcg.state import NO_ADDRESS

PAGE_DIRTY = 2
"""The flag of a page of translated code that has been written to."""

PROT_WRITE = 2
"""The bit of the access table that lets the guest write to a page."""

SEGV_ACCERR = 2
SI_KERNEL = NO_ADDRESS
"""si_code of an access that the page's protection forbids."""

WRITE_RETRIES = 10_000
"""How often in a row a write is tried again on a page that another thread is about to open."""

GUARD_BYTES = 1 << 20
"""How far beyond the guest's first and last address one of its accesses may reach."""

ERESTARTSYS = 512
"""What safe_syscall answers (negated) for a call that was not made because of an event."""


BLOCKED_BY_SIGNAL = -1 - (1 << 10 | 1 << 6)
"""The signal mask of a thread that has a signal in hand: all but SIGSEGV and SIGBUS."""


class Ring:
    """A ring of slots filled by signal handlers in any thread, and read in Python.

    HEAD and TAIL count slots ever taken and ever given back.  A slot can be read when its READY
    equals its place in that count plus one.  What comes while the ring is full is or-ed to LOST.
    """

    HEAD, TAIL, LOST, FIRST_SLOT = 0, 64, 128, 192
    SLOTS, SLOT_BYTES = 512, 192
    BYTES = FIRST_SLOT + SLOTS * SLOT_BYTES

    READY, TICKET, ENV, INFO = 0, 8, 16, 24
    INFO_BYTES = 128


class Info:
    """siginfo_t of the kernel."""

    CODE, ADDRESS = 8, 16


class Context:
    """ucontext_t of the kernel, x86-64: registers start at 40, in the order of sys/ucontext.h."""

    RSP, RIP, ERROR = 40 + 8 * 15, 40 + 8 * 16, 40 + 8 * 19
    FLOATS = 40 + 8 * 23
    MASK = 40 + 256


class Floats:
    """What a context says of the FPU, in the format of FXSAVE (SDM vol. 1, table 10-2)."""

    STATUS, TAGS = 2, 4
    TOP = 7 << 11


def _named(holder: type) -> dict[str, int]:
    return {f"{holder.__name__}.{k}": v for k, v in vars(holder).items() if k.isupper()}


NUMBERS: dict[str, int] = {
    **_named(Ring),
    **_named(Info),
    **_named(Context),
    **_named(Floats),
    "PAGE_DIRTY": PAGE_DIRTY,
    "PROT_WRITE": PROT_WRITE,
    "SEGV_ACCERR": SEGV_ACCERR,
    "SI_KERNEL": SI_KERNEL,
    "WRITE_RETRIES": WRITE_RETRIES,
    "GUARD_BYTES": GUARD_BYTES,
    "2 * GUARD_BYTES": 2 * GUARD_BYTES,
    "BLOCKED_BY_SIGNAL": BLOCKED_BY_SIGNAL,
    "ERESTARTSYS": ERESTARTSYS,
    "CONTROL_DEFAULT": CONTROL_DEFAULT,
    "~Floats.TOP": ~Floats.TOP,
    "SYS_write": 1,
    "SYS_mprotect": 10,
    "SYS_sched_yield": 24,
}
"""All of it by name, for runtime.ll."""
