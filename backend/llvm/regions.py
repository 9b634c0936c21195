"""Regions in LLVM: guest registers are SSA values from the way in to the ways out.

The function has a stack slot for every guest slot it touches, filled in the entry, which LLVM
turns into registers.  On the way out, only what may have been written is stored back to env.
In *exact* mode the slots stay in env, and every write is kept in order with memory accesses, so
that a guest which catches its own faults sees exact registers.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import import_module
from time import perf_counter
from typing import Any

from tcg.passes import optimize

from backend.llvm.blob import head_symbol
from backend.llvm.compilation import compile_module
from backend.llvm.llvmlite_api import Listing, Options
from backend.llvm.lower import ATTRIBUTES, SIGNATURE, STATE, Declarations, Lowering, finish_module
from tcg import ops
from tcg.frontend import Frontend
from tcg.ir import Block, Function, Value, is_local
from tcg.region import RegionBlock, build_region
from tcg.state import Reason, Slot


class RegionLowering(Lowering):
    """Lowers a region with the guest's slots in SSA values."""

    def __init__(
        self, region: Function, declarations: Declarations, pc_shift: int, parallel: bool
    ) -> None:
        super().__init__(region, declarations)
        self.pc_shift = pc_shift
        self.head_pc = int(region.name.removeprefix("R_"), 16)
        self.volatile = " volatile" if parallel else ""
        self.in_memory = _indexed_slots(region)
        self.dirty_at = _dirty_slots(region, self.in_memory)
        self.dirty: set[Slot] = set()
        self.homes: dict[Slot, str] = {}

    def text(self) -> str:
        """The region as an LLVM function."""
        self.lower_blocks()
        self._enter()
        first = next(iter(self.function.blocks))
        return "\n".join((
            f"define tailcc void @{self.function.name}({SIGNATURE}) {ATTRIBUTES} {{",
            "start:", *self.entry, f"  br label %{first}", *self.lines, "}",
        ))  # fmt: skip

    def _enter(self) -> None:
        """In the entry: fill the stack slots, and say that no record is current.

        A fault that nobody in the guest can look at is reported at the region's head.
        """
        body, self.lines = self.lines, []
        for slot, home in self.homes.items():
            memory = self.memory_type(slot.type)
            self.line(f"{home} = alloca {memory}")
            pointer = self.temp(f"getelementptr i8, ptr %env, i64 {slot.offset}")
            value = self.temp(f"load {memory}, ptr {pointer}{STATE}")
            self.line(f"store {memory} {value}, ptr {home}")
        self.set_header("current_rec", "0")
        self.set_header("current_pc", str(self.head_pc))
        self.entry += self.lines
        self.lines = body

    def start_block(self, block: Block) -> None:
        super().start_block(block)
        self.dirty = set(self.dirty_at[block.label])

    def slot_pointer(self, slot: Slot) -> str:
        if is_local(slot) or slot in self.in_memory:
            return super().slot_pointer(slot)
        return self.homes.setdefault(slot, f"%home{len(self.homes)}")

    def lower_get(self, inst: Value) -> None:
        """Read a slot; what lives on the stack needs no alias scope."""
        self.names[inst] = self.load_slot(self.slot_pointer(inst.imm), inst.type, "")

    def lower_put(self, inst: Value) -> None:
        """Write a slot, and remember to write it back."""
        slot: Slot = inst.imm
        if not is_local(slot) and slot not in self.in_memory:
            self.dirty.add(slot)
        super().lower_put(inst)

    def write_back(self) -> None:
        """Store what may have been written to env."""
        for slot in sorted(self.dirty, key=lambda s: s.offset):
            memory = self.memory_type(slot.type)
            value = self.temp(f"load {memory}, ptr {self.slot_pointer(slot)}")
            pointer = self.temp(f"getelementptr i8, ptr %env, i64 {slot.offset}")
            self.line(f"store {memory} {value}, ptr {pointer}{STATE}")

    def lower_goto(self, inst: Value) -> None:
        """Leave for another block through its head; `leave` looks at the event word first."""
        if inst.imm[1] == "leave":
            self._poll(inst.imm[0])
        self.write_back()
        self.tail_call(self.declarations.external(head_symbol(inst.imm[0])))

    def lower_jump(self, inst: Value) -> None:
        """Leave for a computed address."""
        self.write_back()
        target = inst.args[0]
        self.look_up(self.operand(target), target.type, self.pc_shift)

    def lower_raise(self, inst: Value) -> None:
        """Leave with a guest exception."""
        code, pc = inst.imm
        self.write_back()
        self.leave(Reason.EXCEPTION, exit_info=str(int(code)), exit_pc=str(pc), exit_rec="0")

    def lower_ask(self, inst: Value) -> None:
        """Leave for the client."""
        what, next_pc = inst.imm
        self.write_back()
        self.leave(Reason.ASK, exit_info=str(what), exit_pc=str(next_pc))

    def lower_poll(self, inst: Value) -> None:
        """Leave if somebody set the event word."""
        self._poll(inst.imm)

    def _poll(self, pc: int) -> None:
        pointer = self.header("event")
        event = self.temp(f"load volatile i32, ptr {pointer}{STATE}")
        quiet = self.temp(f"icmp eq i32 {event}, 0")
        event_label, go_label = self.fresh("event"), self.fresh("go")
        self.line(f"br i1 {quiet}, label %{go_label}, label %{event_label}, !prof !5")
        self.label(event_label)
        self.write_back()
        self.leave(Reason.EVENT, exit_pc=str(pc), exit_rec="0")
        self.label(go_label)


class ExactRegionLowering(RegionLowering):
    """Lowers a region so that env is exact at every guest memory access."""

    def __init__(self, region: Function, declarations: Declarations, pc_shift: int) -> None:
        super().__init__(region, declarations, pc_shift, parallel=True)
        self.in_memory = {inst.imm for inst in region.insts() if inst.op in (ops.GET, ops.PUT)}
        self.pc = 0

    def start_block(self, block: Block) -> None:
        super().start_block(block)
        self.dirty = set()

    def store_slot(self, pointer: str, type_: Any, text: str, volatile: str = "") -> None:
        super().store_slot(pointer, type_, text, " volatile")

    def lower_insn(self, inst: Value) -> None:
        """Remember where we are."""
        self.pc = inst.imm[0]

    def before_access(self) -> None:
        """A fault finds its pc in the header."""
        self.set_header("current_pc", str(self.pc), " volatile")


def _indexed_slots(region: Function) -> set[Slot]:
    """Slots of files that the region indexes by a value: these stay in memory."""
    files = {inst.imm for inst in region.insts() if inst.op in (ops.GETX, ops.PUTX)}
    return {slot for file in files for slot in file.slots}


def _dirty_slots(region: Function, in_memory: set[Slot]) -> dict[str, set[Slot]]:
    """For each block, the slots that may have been written when it starts."""
    written = {
        block.label: {
            i.imm
            for i in block.insts
            if i.op is ops.PUT and not is_local(i.imm) and i.imm not in in_memory
        }
        for block in region
    }
    dirty: dict[str, set[Slot]] = {label: set() for label in region.blocks}
    waiting = list(region.blocks)
    while waiting:
        block = region.blocks[waiting.pop()]
        out = dirty[block.label] | written[block.label]
        for successor in successors(block):
            if not out <= dirty[successor]:
                dirty[successor] |= out
                waiting.append(successor)
    return dirty


def successors(block: Block) -> Sequence[str]:
    """The labels of the blocks that may follow inside the function."""
    last = block.insts[-1]
    if last.op is ops.BR:
        return (last.imm,)
    if last.op is ops.CBR:
        return tuple(last.imm[:2])
    return ()


@cache
def load_frontend(place: str) -> Frontend:
    """The frontend that `module:class` names."""
    module, _, name = place.partition(":")
    made: Frontend = getattr(import_module(module), name)()
    return made


def region_text(region: Function, pc_shift: int, exact: bool, parallel: bool) -> str:
    """The LLVM module of a region."""
    declarations = Declarations()
    if exact:
        lowering: RegionLowering = ExactRegionLowering(region, declarations, pc_shift)
    else:
        lowering = RegionLowering(region, declarations, pc_shift, parallel)
    return finish_module([lowering.text()], declarations)


def compile_region(request: dict[str, Any]) -> dict[str, Any]:
    """The service `region`.

    Request: frontend (`module:class`), blocks ([pc, code bytes] each, the entry first), exact,
    parallel, and which listings are wanted (op, op_opt, llvm, out_asm).  Result: blob (packed),
    symbol, instructions, and the listings by name.
    """
    started = perf_counter()
    frontend = load_frontend(request["frontend"])
    wanted = set(request.get("listings", ()))
    blocks = [RegionBlock(pc, code) for pc, code in request["blocks"]]
    region = build_region(frontend, blocks, with_text=bool(wanted))
    count = sum(1 for inst in region.insts() if inst.op is ops.INSN)
    listings: dict[str, str] = {}
    if "op" in wanted:
        listings["op"] = _print(region)
    optimize(region, request["exact"])
    if "op_opt" in wanted:
        listings["op_opt"] = _print(region)
    text = region_text(region, frontend.pc_shift, request["exact"], request["parallel"])
    if "llvm" in wanted:
        listings["llvm"] = text
    made = compile_module(text, Options(), Listing(assembly="out_asm" in wanted))
    if made.assembly:
        listings["out_asm"] = made.assembly
    return {
        "blob": made.blob.pack(),
        "symbol": region.name,
        "instructions": count,
        "seconds": perf_counter() - started,
        "listings": listings,
    }


def _print(region: Function) -> str:
    from tcg.text import print_function

    return print_function(region)
