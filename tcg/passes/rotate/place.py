"""Guest instructions inside a region, and how one is left out of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tcg import ops
from tcg.ir import Function, Value
from tcg.state import Rotating
from tcg.types import VOID


@dataclass(frozen=True, slots=True)
class Insn:
    """Where a guest instruction starts."""

    label: str
    index: int
    pc: int


GUEST_BLOCK = "b_"
"""How the labels of guest blocks start; their address follows (tcg/region.py)."""


def is_guest_block(label: str) -> bool:
    """A guest block starts there, and no part of an instruction."""
    return label.removeprefix(GUEST_BLOCK) != label and label.count("_") == 1


def block_pc(label: str) -> int:
    """The address of the guest block that a label names."""
    return int("0x" + label.removeprefix(GUEST_BLOCK), 0)


class CutAt(Exception):
    """An instruction cannot be in the region."""

    def __init__(self, where: Insn) -> None:
        super().__init__()
        self.where = where


def by_instruction(function: Function) -> Iterator[tuple[Insn | None, Value]]:
    """All operations with the guest instruction they belong to; its blocks follow each other."""
    where = None
    for block in function:
        for index, inst in enumerate(block.insts):
            if inst.op is ops.INSN:
                where = Insn(block.label, index, inst.imm[0])
            yield where, inst


def cut(function: Function, where: Insn, entries: Sequence[str]) -> None:
    """Leave the region before an instruction."""
    block = function.blocks[where.label]
    before = block.insts[: where.index]
    is_head = where.label in entries and all(inst.op is ops.POLL for inst in before)
    leave = Value(
        block.insts[-1].b, ops.GOTO, VOID, (), (where.pc, "leave cold" if is_head else "leave")
    )
    block.insts[where.index :] = [leave]


def is_indexed(inst: Value, rotating: Rotating) -> bool:
    """The operation reaches the file by a number that a value gives."""
    return inst.op in (ops.GETX, ops.PUTX) and inst.imm is rotating.file


def separate(function: Function, rotating: Rotating, entries: Sequence[str]) -> None:
    """Have instructions of one kind only: on the file, or on its overlays.

    Nothing in a function would know that one of them changes what the other reads.
    """
    kind_of = dict.fromkeys(rotating.file.slots, "file")
    for overlay in rotating.overlays:
        kind_of |= dict.fromkeys(overlay.slots, "overlay")
    if not any(
        kind_of.get(i.imm) == "overlay" for i in function.insts() if i.op in (ops.GET, ops.PUT)
    ):
        return
    kinds: dict[Insn, str] = {}
    for where, inst in by_instruction(function):
        if inst.op in (ops.GET, ops.PUT):
            kind = kind_of.get(inst.imm, "")
        else:
            kind = "file" if is_indexed(inst, rotating) else ""
        if kind and where is not None:
            kinds.setdefault(where, kind)
    first = next(iter(kinds.values()))
    for where in sorted(kinds, key=lambda w: -w.index):
        if kinds[where] != first:
            cut(function, where, entries)
