"""The table of all x86 instructions: its files, in this order."""

from __future__ import annotations

import os

from tcg.decode.intel import Table, cached

# fmt: off
FAMILIES = (
    "base", "integer", "x87", "sse", "mmx", "avx",
)
# fmt: on
"""`<family>.decode` in this package."""


def paths() -> list[str]:
    """The files of all families."""
    here = os.path.dirname(__file__)
    return [f"{here}/{family}.decode" for family in FAMILIES]


def x86_table() -> Table:
    """Every instruction of every family."""
    return cached(paths())
