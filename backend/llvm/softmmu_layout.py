"""Numbers that the native MMU and Python share; the rest is in tcg/state.py."""

from __future__ import annotations

from tcg.system import FLUSH_ALL, FLUSH_PAGE

TLB_LINES, TLB_LINE_BYTES = 1024, 32
TLB_CODE_LINES, TLB_CODE_LINE_BYTES = 256, 16
TLB_CODE = TLB_LINES * TLB_LINE_BYTES
"""Where the lines for fetches begin in a TLB."""
TLB_BYTES = TLB_CODE + TLB_CODE_LINES * TLB_CODE_LINE_BYTES
TLBS = 3
"""One for each privilege."""

CONTEXTS = 8 * TLBS
"""Jump caches: of as many modes and privileges code can run without emptying any."""
SYSTEM_JUMP_BITS = 12
"""A jump cache of a whole machine holds 2**12 heads: it is emptied whenever a TLB is."""

PHYSICAL_LIMIT = 1 << 36
"""Physical addresses from here on are nobody's."""


class Mmu:
    """header.mmu_status: why an access cannot be done by a pointer."""

    PLAIN, FAULT, CODE, DEVICE, DROPPED = range(5)


class Page:
    """Offsets in the record that checks where a block's second page is (`s_page`)."""

    LINEAR, PHYSICAL = 8, 16


NUMBERS: dict[str, int] = {
    **{f"Mmu.{name}": value for name, value in vars(Mmu).items() if name.isupper()},
    **{f"Page.{name}": value for name, value in vars(Page).items() if name.isupper()},
    "TLB_BYTES": TLB_BYTES,
    "3 * TLB_BYTES": TLBS * TLB_BYTES,
    "TLB_MASK": TLB_LINES - 1,
    "TLB_CODE": TLB_CODE,
    "TLB_CODE_MASK": TLB_CODE_LINES - 1,
    "CONTEXTS": CONTEXTS,
    "SYSTEM_JUMP_MASK": (1 << SYSTEM_JUMP_BITS) - 1,
    "PHYSICAL_LIMIT": PHYSICAL_LIMIT,
    "FLUSH_PAGE": FLUSH_PAGE,
    "FLUSH_ALL": FLUSH_ALL,
    "WRITABLE | HAS_CODE": 6,
}
"""All of it by name, for softmmu.ll."""
