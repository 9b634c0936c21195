"""Regions: hot blocks lifted together into one IR function.

Edges between the region's own blocks become branches inside it: static ones directly, returns by
comparing the target with the places behind the region's own calls.  Every cycle gets a `poll`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from tcg import ops
from tcg.build import Builder
from tcg.frontend import Frontend
from tcg.ir import LOCAL_OFFSET, Block, Function, Value
from tcg.reading import leaves_page
from tcg.state import Slot
from tcg.types import I1, I32, VOID


class RegionBlock(NamedTuple):
    """One guest block of a region: its address, its code, and where its computed jump went."""

    pc: int
    code: bytes
    jumps_to: Sequence[int] = ()


class RegionError(Exception):
    """Guest code that a region was to contain does not decode."""


def block_label(pc: int) -> str:
    """The label of the IR block that starts the guest block at `pc`."""
    return f"b_{pc:x}"


ENTRY = Slot("entry", I32, LOCAL_OFFSET)
"""The local that tells a region of several entries which one it was entered by, from 0."""


def build_region(
    frontend: Frontend,
    blocks: Sequence[RegionBlock],
    entries: int = 1,
    with_text: bool = False,
    code_base: int | None = None,
) -> Function:
    """Lift `blocks`, the first `entries` of which are entered from outside.

    `with_text` adds the disassembly.  `code_base`: in a whole machine, where pc 0 is; edges into
    another page get a poll as well there, which looks whether that is still the same page.
    """
    region = Function("region", f"R_{blocks[0].pc:x}")
    b = frontend.new_builder(region)
    region.blocks.clear()
    if entries > 1:
        _choose_entry(b, [block_label(block.pc) for block in blocks[:entries]])
    following: dict[int, int] = {}
    for block in blocks:
        _lift_block(frontend, b, block, following, with_text)
    jumps = {block.pc: block.jumps_to for block in blocks}
    _connect(region, b, jumps, following, code_base)
    return region


def _choose_entry(b: Builder, labels: Sequence[str]) -> None:
    """Start with a branch to the entry that the local ENTRY says."""
    b.open(Block("enter"))
    which = b.get(ENTRY)
    for number, label in enumerate(labels[1:], 1):
        rest = Block(f"enter{number}")
        b.cbr(which.eq(number), Block(label), rest)
        b.open(rest)
    b.br(Block(labels[0]))


def _lift_block(
    frontend: Frontend, b: Builder, block: RegionBlock, following: dict[int, int], with_text: bool
) -> None:
    """Lift a block; `following` gets the address behind each of its instructions."""
    b.open(Block(block_label(block.pc)))
    at = 0
    while at < len(block.code):
        pc = block.pc + at
        decoded = frontend.decode(block.code, at, pc)
        if decoded is None:
            raise RegionError(f"no instruction at {pc:#x}")
        b.insn(pc, frontend.disassemble(decoded, pc) if with_text else None)
        frontend.lift(b, decoded.row, decoded.fields, pc)
        at += decoded.size
        following[pc] = block.pc + at
        if b.block.is_closed:
            return
    b.emit(ops.GOTO, VOID, (), (block.pc + at, ""))


def _connect(
    region: Function,
    b: Builder,
    inside: Mapping[int, Sequence[int]],
    following: Mapping[int, int],
    code_base: int | None,
) -> None:
    """Turn ways out that lead back into the region into branches, and guard the cycles.

    Every cycle has an edge that does not lead to a higher address.  A static one is guarded where
    it starts, where less of the guest's state is alive than at a loop's head; a return at its end.
    """
    returns = _Calls(region, inside, following).returns()
    guarded: set[int] = set()
    pc = start = 0
    starts = {block_label(pc): pc for pc in inside}
    for block in list(region):
        start = starts.get(block.label, start)
        for inst in block.insts:
            if inst.op is ops.INSN:
                pc = inst.imm[0]
        last = block.insts[-1]
        if last.op is ops.GOTO and last.imm[1] != "leave" and last.imm[0] in inside:
            target = last.imm[0]
            is_guarded = target <= pc or _leaves_page(code_base, pc, target)
            guard = (Value(b, ops.POLL, VOID, (), (target, ())),) if is_guarded else ()
            block.insts[-1:] = (*guard, Value(b, ops.BR, VOID, (), block_label(target)))
        elif last.op is ops.JUMP:
            sites = returns[start] if last.imm == "return" else _noted(inside, start)
            guarded.update(site for site in sites if site <= pc and code_base is None)
            polled = {
                site
                for site in sites
                if code_base is not None and (site <= pc or leaves_page(pc, site, code_base))
            }
            _jump_inside(region, b, block, sites, polled)
    for target in guarded:
        entry = region.blocks[block_label(target)]
        entry.insts.insert(0, Value(b, ops.POLL, VOID, (), (target, ())))


def _leaves_page(code_base: int | None, pc: int, target: int) -> bool:
    """Whether a way leads into another page, in a whole machine."""
    return code_base is not None and leaves_page(pc, target, code_base)


class _Calls:
    """The region's calls, and which of them each of its returns may belong to."""

    def __init__(
        self, region: Function, inside: Mapping[int, Sequence[int]], following: Mapping[int, int]
    ) -> None:
        self.inside = inside
        self.edges: dict[int, set[int]] = {start: set() for start in inside}
        """From a guest block to those behind it in the same function; calls lead to their sites."""
        self.calls: dict[tuple[int, int | None], None] = {}
        """The sites behind calls, and what was called."""
        starts = {block_label(pc): pc for pc in inside}
        start = site = 0
        for block in region:
            start = starts.get(block.label, start)
            for inst in block.insts:
                if inst.op is ops.INSN:
                    site = following[inst.imm[0]]
                elif inst.op is ops.GOTO:
                    self._note(start, site, inst.imm[0], inst.imm[1] == "call")
                elif inst.op is ops.JUMP and inst.imm != "return":
                    for target in inside[start] or (None,):
                        self._note(start, site, target, inst.imm == "call")

    def _note(self, start: int, site: int, target: int | None, is_call: bool) -> None:
        if is_call:
            self.calls[site, target] = None
            target = site
        if target is not None:
            self.edges[start].add(target)

    def _reached(self, start: int) -> set[int]:
        """The blocks of the function that starts there, as far as they are inside."""
        found: set[int] = set()
        work = [start]
        while work:
            block = work.pop()
            if block in self.inside and block not in found:
                found.add(block)
                work += self.edges[block]
        return found

    def returns(self) -> dict[int, list[int]]:
        """For each guest block, the sites inside that a return at its end may go to.

        A return belongs to calls of the function it is in, or of who knows what.
        """
        sites: dict[int, dict[int, None]] = {start: {} for start in self.inside}
        for site, target in self.calls:
            if site in self.inside:
                for start in sites if target is None else self._reached(target):
                    sites[start][site] = None
        return {start: list(found) for start, found in sites.items()}


def _noted(inside: Mapping[int, Sequence[int]], pc: int) -> list[int]:
    """Where the computed jump at the end of a block went, as far as that is in the region."""
    return [target for target in inside[pc] if target in inside]


def _jump_inside(
    region: Function, b: Builder, block: Block, sites: Sequence[int], polled: AbstractSet[int]
) -> None:
    """Before the jump out, compare with places in the region that it may well go to.

    On the way to those that are `polled` there is a poll.
    """
    jump = block.insts.pop()
    target = jump.args[0]
    for site in sites:
        rest = Block(f"{block.label}_not_{site:x}")
        is_site = Value(b, ops.EQ, I1, (target, b.const(target.type, site)), None)
        there = block_label(site)
        if site in polled:
            way = Block(f"{block.label}_to_{site:x}")
            poll = Value(b, ops.POLL, VOID, (), (site, ()))
            way.insts += (poll, Value(b, ops.BR, VOID, (), there))
            region.blocks[way.label] = way
            there = way.label
        block.insts += (is_site, Value(b, ops.CBR, VOID, (is_site,), (there, rest.label, None)))
        region.blocks[rest.label] = block = rest
    block.insts.append(jump)
