"""The meaning of each row for a whole machine: that of the modules here, else that for programs."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

from frontends.insn_by_mnemonic import collect_by_mnemonic
from frontends.x86.meanings import meanings
from frontends.x86.operands import Meaning
from tcg.decode.intel.table import Table

SYSTEM_FAMILIES: tuple[str, ...] = (
    "control_registers",
    "identity",
    "segments",
    "flags",
    "ports",
    "far",
    "iret",
    "interrupts",
    "fast_calls",
)
"""The modules of this package that hold semantic functions."""


def system_meanings(table: Table) -> Sequence[Meaning]:
    """The function of each row; raises InsnError where one does not fit."""
    modules = [import_module(f"frontends.x86.privileged.{name}") for name in SYSTEM_FAMILIES]
    replaced = collect_by_mnemonic(table, modules, complete=False)
    return [new or old for new, old in zip(replaced, meanings(table), strict=True)]
