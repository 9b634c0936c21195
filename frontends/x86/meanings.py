"""The semantic functions of all families, put to the rows of the table."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

from frontends.insn_by_mnemonic import collect_by_mnemonic
from frontends.x86.operands import Meaning
from tcg.decode.intel.table import Table

# fmt: off
FAMILIES = (
    "move", "arithmetic", "logic", "branch", "stack", "calls",
    "shift", "multiply", "bits", "bcd", "bmi", "atomics", "string", "flag_instructions", "frames",
    "far", "system",
    "x87_arithmetic", "x87_compare", "x87_control", "x87_decimal", "x87_functions", "x87_move",
    "sse_moves", "sse_float", "sse_integer", "sse_strings", "sse_control", "mmx", "now3d",
    "avx", "xsave",
)
# fmt: on
"""The modules of this package that hold semantic functions."""


def meanings(table: Table) -> Sequence[Meaning]:
    """The function of each row; raises InsnError unless there is one for each."""
    modules = [import_module(f"frontends.x86.{name}") for name in FAMILIES]
    found = collect_by_mnemonic(table, modules)
    return [function for function in found if function is not None]
