"""PowerPC: the decode table, the CPU state and the meaning of the instructions."""

from __future__ import annotations

import os

from tcg.decode import Table, cached


def ppc32_table() -> Table:
    """The user-mode instructions of 32-bit PowerPC."""
    return cached(os.path.join(os.path.dirname(__file__), "ppc32.decode"))
