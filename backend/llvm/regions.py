"""Regions in LLVM: guest registers are SSA values from the way in to the ways out.

The function has a *home* on the stack for every guest slot it touches, which LLVM turns into
registers.  It is filled where a path first needs it; on a way out, only what may have been written
before is stored back to env: see homes.py.
In *exact* mode the slots stay in env, and every write is kept in order with memory accesses, so
that a guest which catches its own faults sees exact registers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from importlib import import_module
from time import process_time
from typing import Any

from backend.llvm import halves
from backend.llvm.blob import head_symbol
from backend.llvm.compilation import compile_module
from backend.llvm.extended import is_extended
from backend.llvm.halves import find_pairs
from backend.llvm.homes import Homes
from backend.llvm.llvmlite_api import Listing, Options
from backend.llvm.lower import (
    ATTRIBUTES,
    SIGNATURE,
    SIMPLE,
    STATE,
    Declarations,
    Lowering,
    finish_module,
    llvm_type,
)
from tcg import ops
from tcg.frontend import Frontend
from tcg.ir import LOCAL_OFFSET, Block, Function, Value, is_local
from tcg.ops import Op
from tcg.passes import optimize
from tcg.passes.idioms import idioms
from tcg.region import ENTRY, RegionBlock, block_label, build_region
from tcg.state import EXACT, Reason, Slot
from tcg.types import F80, I1, I8, I64, Type

PASSES = ("sroa", "instruction_combine", "simplify_cfg")
"""What LLVM does before it selects instructions: an eighth of the time that its O2 pipeline takes,
for code that is 8 % slower; the IR has been through our own passes already."""

Comparison = tuple[Op, Type]
COMPARISONS = frozenset((ops.EQ, ops.NE, ops.ULT, ops.ULE, ops.SLT, ops.SLE))

EXIT_HEAD = Slot("exit_head", I64, LOCAL_OFFSET)
EXIT_PC = Slot("exit_pc", I64, LOCAL_OFFSET)
"""The locals that carry where to go on to the shared ways out."""


class RegionLowering(Lowering):
    """Lowers a region with the guest's slots in SSA values."""

    mark = 0
    """What `current_rec` is while the region runs."""
    notices_stores = False
    """The guest notices stores into its code at once."""
    fills_at_once = False
    """All homes are filled in the entry."""

    def __init__(
        self,
        region: Function,
        declarations: Declarations,
        pc_shift: int,
        entries: Sequence[int],
        parallel: bool,
    ) -> None:
        super().__init__(region, declarations)
        self.pc_shift = pc_shift
        self.entries = entries
        self.volatile = " volatile" if parallel else ""
        self.in_memory = _indexed_slots(region)
        self.in_memory |= {inst.imm for inst in region.way_out if inst.op is ops.PUT}
        self.dirty = _written_slots(region) - self.in_memory
        self.lazy = _lazy_flags(region)
        self.homes: dict[Slot, str] = {}
        self.ways: dict[tuple[str, frozenset[Slot]], str] = {}
        """The labels of the shared ways out, by their kind and what they store."""
        self.plan: Homes
        self.written: frozenset[Slot] = frozenset()
        """What may have been written on the way to this place."""
        self.filled: set[Slot] = set()
        """What is in its home at this place."""
        self.label_here = ""
        self.unused_floats: set[Value] = set()
        self.pairs = find_pairs(region, self.in_memory)
        self.wholes: dict[Slot, str] = {}
        """By lower half, the value as it is at this place of the block."""
        self.halved: dict[Value, str] = {}
        """Reads of halves, and the values that these are halves of."""

    def text(self) -> str:
        """The region as an LLVM function."""
        if any(inst.op.barrier for inst in self.function.insts()):
            self._give_homes_to_floats()
            self.unused_floats = _unused_floats(self.function)
        slots = _guest_slots(self.function) - self.in_memory
        self.plan = Homes(self.function, slots, self.dirty, self.pairs)
        self.lower_blocks()
        self._ways_out()
        self._enter()
        first = next(iter(self.function.blocks))
        return "\n".join((
            f"define tailcc void @{self.function.name}({SIGNATURE}) {ATTRIBUTES} {{",
            "start:", *self.entry, f"  br label %{first}", *self.lines, "}",
        ))  # fmt: skip

    def _enter(self) -> None:
        """In the entry: make the homes, and say that no record is current.

        A fault that nobody in the guest can look at is reported at the region's head.
        """
        body, self.lines = self.lines, []
        for slot, home in self.homes.items():
            memory = halves.WHOLE if slot in self.pairs else self.memory_type(slot.type)
            self.line(f"{home} = alloca {memory}")
        first = next(iter(self.function.blocks))
        self._fill_homes(list(self.homes) if self.fills_at_once else self.plan.to_fill(None, first))
        for slot in self.lazy:
            self.line(f"store i8 0, ptr {self._kind_home(slot)}")
        self.set_header("current_rec", str(self.mark))
        self.set_header("current_pc", str(self.entries[0]))
        if len(self.entries) > 1:
            self._find_entry()
        self.entry += self.lines
        self.lines = body

    def _fill_homes(self, slots: Iterable[Slot]) -> None:
        """Read slots from env into their homes."""
        for slot in slots:
            if slot in self.pairs:
                memory = halves.WHOLE
                value = self._joined(*(self._of_env(s, halves.HALF) for s in self.pairs[slot]))
            else:
                memory = self.memory_type(slot.type)
                value = self._of_env(slot, memory)
            self.line(f"store {memory} {value}, ptr {self.slot_pointer(slot)}")

    def _need(self, slot: Slot) -> None:
        """Have a slot in its home from here on."""
        home = self.plan.home(slot)
        if home in self.filled or is_local(slot) or slot in self.in_memory:
            return
        self.filled.add(home)
        if not self.fills_at_once:
            self._fill_homes((home,))

    def lower_br(self, inst: Value) -> None:
        """Go to another block, with what it takes for granted in its home."""
        if not self.fills_at_once:
            self._fill_homes(self.plan.to_fill(self.label_here, inst.imm))
        super().lower_br(inst)

    def lower_cbr(self, inst: Value) -> None:
        """Go to one of two blocks, each with what it takes for granted in its home."""
        yes, no, likely = inst.imm
        ways = {label: self._way_to(label) for label in (yes, no)}
        self.branch(self.operand(inst.args[0]), ways[yes], ways[no], likely)
        for label, way in ways.items():
            if way != label:
                self.label(way)
                self._fill_homes(self.plan.to_fill(self.label_here, label))
                self.line(f"br label %{label}")

    def _way_to(self, label: str) -> str:
        """The label to go to on the way to a block: another one, if something is to be filled."""
        if self.fills_at_once or not self.plan.to_fill(self.label_here, label):
            return label
        return self.fresh("fill")

    def _of_env(self, slot: Slot, memory: str) -> str:
        pointer = self.temp(f"getelementptr i8, ptr %env, i64 {slot.offset}")
        return self.temp(f"load {memory}, ptr {pointer}, align {min(slot.type.stride, 16)}{STATE}")

    def _find_entry(self) -> None:
        """Put the number of the entry whose head we came by into the local ENTRY."""
        number = "0"
        for i, pc in enumerate(self.entries[1:], 1):
            head = self.declarations.external(head_symbol(pc))
            here = self.temp(f"icmp eq ptr %rec, {head}")
            number = self.temp(f"select i1 {here}, i32 {i}, i32 {number}")
        self.line(f"store i32 {number}, ptr {self.local_pointer(ENTRY)}")

    def slot_pointer(self, slot: Slot) -> str:
        if is_local(slot) or slot in self.in_memory:
            return super().slot_pointer(slot)
        return self.homes.setdefault(slot, f"%home{len(self.homes)}")

    def lower_get(self, inst: Value) -> None:
        """Read a slot; what lives on the stack needs no alias scope."""
        slot: Slot = inst.imm
        self._need(slot)
        if slot in self.lazy:
            self.names[inst] = self.temp(f"trunc i8 {self._flag(slot)} to i1")
        elif slot in self.pairs:
            self.halved[inst] = self._whole(slot)
        else:
            self.names[inst] = self.load_slot(self.slot_pointer(slot), inst.type, "")

    def lower_put(self, inst: Value) -> None:
        """Write a slot; of a flag that is a comparison, keep what was compared."""
        slot: Slot = inst.imm
        if slot in self.dirty:
            self.written |= {slot}
        if slot in self.pairs:
            self._need(slot)
            self._put_half(slot, self.operand(inst.args[0]))
            return
        self.filled.add(slot)
        kinds = self.lazy.get(slot)
        if kinds is None:
            super().lower_put(inst)
            return
        kind = comparison(inst.args[0])
        if kind is None:
            super().lower_put(inst)
            number = 0
        else:
            number = kinds.index(kind) + 1
            for place, operand in zip("xy", inst.args[0].args, strict=True):
                home = self.local_pointer(_lazy_local(slot, place, number, operand.type))
                self.line(f"store {operand.type} {self.operand(operand)}, ptr {home}")
        self.line(f"store i8 {number}, ptr {self._kind_home(slot)}")

    # -- halves of one value: see halves.py ------------------------------------------------------

    def start_block(self, block: Block) -> None:
        self.wholes.clear()
        self.label_here = block.label
        self.written = self.plan.written(block.label)
        self.filled = self.plan.filled(block.label)
        super().start_block(block)

    def operand(self, value: Value) -> str:
        whole = self.halved.get(value)
        return super().operand(value) if whole is None else self._half(value.imm, whole)

    def lower_shuffle(self, inst: Value) -> None:
        """Lanes of two vectors; of what are two halves of one value, that value."""
        reads = halves.joined_reads(inst)
        wholes = {self.halved.get(read) for read in reads}
        whole = wholes.pop() if len(wholes) == 1 else None
        if whole is not None and self.pairs[reads[0].imm] == (reads[0].imm, reads[1].imm):
            self.names[inst] = whole
        else:
            super().lower_shuffle(inst)

    def _whole(self, slot: Slot) -> str:
        """The value that a slot is half of."""
        low = self.pairs[slot][0]
        if low not in self.wholes:
            self.wholes[low] = self.temp(f"load {halves.WHOLE}, ptr {self.slot_pointer(low)}")
        return self.wholes[low]

    def _half(self, slot: Slot, whole: str) -> str:
        part = self._part(whole, int(slot is self.pairs[slot][1]))
        return self.temp(f"bitcast {halves.HALF} {part} to {llvm_type(slot.type)}")

    def _part(self, whole: str, number: int) -> str:
        lanes = halves.LANES[number]
        return self.temp(f"shufflevector {halves.WHOLE} {whole}, {halves.WHOLE} poison, {lanes}")

    def _joined(self, low: str, high: str) -> str:
        half = halves.HALF
        return self.temp(f"shufflevector {half} {low}, {half} {high}, {halves.JOINED}")

    def _put_half(self, slot: Slot, text: str) -> None:
        given = self.temp(f"bitcast {llvm_type(slot.type)} {text} to {halves.HALF}")
        low, whole = self.pairs[slot][0], self._whole(slot)
        if slot is low:
            made = self._joined(given, self._part(whole, 1))
        else:
            made = self._joined(self._part(whole, 0), given)
        self.wholes[low] = made
        self.line(f"store {halves.WHOLE} {made}, ptr {self.slot_pointer(low)}")

    # -- flags: nobody looks at most of them, so what was compared is kept instead ---------------

    def _kind_home(self, slot: Slot) -> str:
        return self.local_pointer(_lazy_local(slot, "kind", 0, I8))

    def _flag(self, slot: Slot) -> str:
        """The byte of a flag that may be kept as a comparison."""
        flag = self.temp(f"load i8, ptr {self.slot_pointer(slot)}")
        kind = self.temp(f"load i8, ptr {self._kind_home(slot)}")
        for number, (op, type_) in enumerate(self.lazy[slot], 1):
            x, y = (
                self.temp(
                    f"load {type_}, ptr {self.local_pointer(_lazy_local(slot, p, number, type_))}"
                )
                for p in "xy"
            )
            holds = self.temp(SIMPLE[op].format(x, y, a=type_))
            is_it = self.temp(f"icmp eq i8 {kind}, {number}")
            flag = self.temp(
                f"select i1 {is_it}, i8 {self.temp(f'zext i1 {holds} to i8')}, i8 {flag}"
            )
        return flag

    def _give_homes_to_floats(self) -> None:
        """Have all floats of the region known from its start, so that each can be pinned."""
        for inst in self.function.insts():
            if inst.op in (ops.GET, ops.PUT) and _is_pinned(inst.imm.type):
                slot = inst.imm
                if not is_local(slot) and slot not in self.in_memory:
                    self.slot_pointer(slot)

    # -- the FP environment: no float operation may cross a look at it --------------------------

    def _pin_floats(self) -> None:
        """Make LLVM finish the float operations before this point and start later ones after it.

        Every float that lives in the region goes through an empty piece of assembly, which LLVM
        keeps in order with the other things that have effects.
        """
        for slot, home in list(self.homes.items()):
            if _is_pinned(slot.type):
                t = llvm_type(slot.type)
                value = self.temp(f"load {t}, ptr {home}")
                pinned = self.temp(f'call {t} asm sideeffect "", "=x,0,~{{memory}}"({t} {value})')
                self.line(f"store {t} {pinned}, ptr {home}")

    def lower(self, inst: Value) -> None:
        """Lower one operation.  A float that nobody uses is done all the same, for its flags."""
        super().lower(inst)
        if inst in self.unused_floats:
            register = "x" if inst.type.is_float else "r"
            value = f"{llvm_type(inst.type)} {self.names[inst]}"
            self.line(f'call void asm sideeffect "", "{register}"({value})')

    def lower_fpflags(self, inst: Value) -> None:
        """Read the sticky flags."""
        self._pin_floats()
        super().lower_fpflags(inst)
        self._pin_floats()

    def lower_fpget(self, inst: Value) -> None:
        """Read the FP environment."""
        self._pin_floats()
        super().lower_fpget(inst)
        self._pin_floats()

    def lower_fpput(self, inst: Value) -> None:
        """Replace the FP environment."""
        self._pin_floats()
        super().lower_fpput(inst)
        self._pin_floats()

    def lower_fpset(self, inst: Value) -> None:
        """Replace the sticky flags."""
        self._pin_floats()
        super().lower_fpset(inst)
        self._pin_floats()

    def lower_fpround(self, inst: Value) -> None:
        """Set the rounding mode."""
        self._pin_floats()
        super().lower_fpround(inst)
        self._pin_floats()

    # -- ways out: shared by all that store the same back ---------------------------------------

    def _leave_to(self, pc: int) -> None:
        """Go on at a block outside (or, with an event pending, at any block) by way of its head."""
        head = self.declarations.external(head_symbol(pc))
        self.line(f"store ptr {head}, ptr {self.local_pointer(EXIT_HEAD)}")
        self._leave_by("exit")

    def _jump_to(self, wide: str) -> None:
        """Go on at a computed place outside."""
        self.line(f"store i64 {wide}, ptr {self.local_pointer(EXIT_PC)}")
        self._leave_by("exit_jump")

    def _leave_by(self, kind: str) -> None:
        """Take the way out that stores what may have been written here."""
        label = self.ways.setdefault((kind, self.written), f"{kind}{len(self.ways)}")
        self.line(f"br label %{label}")

    def _ways_out(self) -> None:
        for (kind, written), label in self.ways.items():
            self.wholes.clear()
            self.label(label)
            self._write_back(written)
            if kind == "exit":
                self._exit()
            else:
                self._exit_jump()

    def _exit_jump(self) -> None:
        pc = self.temp(f"load i64, ptr {self.local_pointer(EXIT_PC)}")
        if self.notices_stores:
            self._look_at_event(pc)
        self.look_up(pc, I64, self.pc_shift)

    def _look_at_event(self, pc: str) -> None:
        """Leave if an event is pending: a store of this region may have changed code."""
        event_label, go_label = self.fresh("event"), self.fresh("go")
        self.line(f"br i1 {self._is_quiet()}, label %{go_label}, label %{event_label}, !prof !5")
        self.label(event_label)
        self.leave(Reason.EVENT, exit_rec="0", exit_pc=pc)
        self.label(go_label)

    def _exit(self) -> None:
        head = self.temp(f"load ptr, ptr {self.local_pointer(EXIT_HEAD)}")
        quiet = self._is_quiet()
        event_label, go_label = self.fresh("event"), self.fresh("go")
        self.line(f"br i1 {quiet}, label %{go_label}, label %{event_label}, !prof !5")
        self.label(event_label)
        self.leave(Reason.EVENT, exit_rec=self.temp(f"ptrtoint ptr {head} to i64"))
        self.label(go_label)
        self.tail_call(head)

    def _is_quiet(self) -> str:
        event = self.temp(f"load volatile i32, ptr {self.header('event')}{STATE}")
        return self.temp(f"icmp eq i32 {event}, 0")

    def _write_back(self, written: Iterable[Slot]) -> None:
        """Store to env what may have been written."""
        for inst in self.function.way_out:
            self.lower(inst)
        for slot in sorted(written, key=lambda s: s.offset):
            memory = self.memory_type(slot.type)
            if slot in self.lazy:
                value = self._flag(slot)
            elif slot in self.pairs:
                value = self._half(slot, self._whole(slot))
            else:
                value = self.temp(f"load {memory}, ptr {self.slot_pointer(slot)}")
            pointer = self.temp(f"getelementptr i8, ptr %env, i64 {slot.offset}")
            self.line(f"store {memory} {value}, ptr {pointer}{STATE}")

    def lower_goto(self, inst: Value) -> None:
        """Leave for another block, or have one run in handlers."""
        pc, hint = inst.imm
        if hint not in ("cold", "leave cold"):
            self._leave_to(pc)
            return
        if hint == "leave cold":
            self._write_back(self.written)
        head = self.declarations.external(head_symbol(pc))
        self.declarations.lines[f"declare dso_local tailcc void @h_body({SIGNATURE})"] = None
        self.line(f"musttail call tailcc void @h_body(ptr %env, ptr {head}, ptr %base)")
        self.line("ret void")

    def lower_jump(self, inst: Value) -> None:
        """Leave for a computed address."""
        target = inst.args[0]
        wide = self.operand(target)
        if target.type is not I64:
            wide = self.temp(f"zext {target.type} {wide} to i64")
        self._jump_to(wide)

    def lower_raise(self, inst: Value) -> None:
        """Leave with a guest exception."""
        code, pc = inst.imm
        self._write_back(self.written)
        self.leave(Reason.EXCEPTION, exit_info=str(int(code)), exit_pc=str(pc), exit_rec="0")

    def lower_ask(self, inst: Value) -> None:
        """Leave for the client."""
        what, next_pc = inst.imm
        self._write_back(self.written)
        self.leave(Reason.ASK, exit_info=str(what), exit_pc=str(next_pc))

    def lower_poll(self, inst: Value) -> None:
        """Leave if somebody set the event word; slots that are dead here need no value there."""
        event_label, go_label = self.fresh("event"), self.fresh("go")
        quiet = self._is_quiet()
        self.line(f"br i1 {quiet}, label %{go_label}, label %{event_label}, !prof !5")
        self.label(event_label)
        pc, dead = inst.imm
        self._forget_dead(dead)
        self._leave_to(pc)
        self.label(go_label)

    def _forget_dead(self, dead: Sequence[Slot]) -> None:
        """Slots whose values nobody will look at."""
        for slot in dead:
            if slot not in self.in_memory:
                self.line(f"store {self.memory_type(slot.type)} 0, ptr {self.slot_pointer(slot)}")


class ExactRegionLowering(RegionLowering):
    """Lowers a region so that env is exact at every guest memory access."""

    mark = EXACT

    def __init__(
        self, region: Function, declarations: Declarations, pc_shift: int, entries: Sequence[int]
    ) -> None:
        super().__init__(region, declarations, pc_shift, entries, parallel=True)
        self.in_memory = {inst.imm for inst in region.insts() if inst.op in (ops.GET, ops.PUT)}
        self.dirty = set()
        self.lazy = {}
        self.pairs = {}
        self.pc = 0

    def store_slot(self, pointer: str, type_: Type, text: str, volatile: str = "") -> None:
        super().store_slot(pointer, type_, text, " volatile")

    def lower_insn(self, inst: Value) -> None:
        """Remember where we are."""
        self.pc = inst.imm[0]

    def before_access(self) -> None:
        """A fault finds its pc in the header."""
        self.set_header("current_pc", str(self.pc), " volatile")


def comparison(value: Value) -> Comparison | None:
    """The kind of comparison that a value is, if it is one of integers."""
    return (value.op, value.args[0].type) if value.op in COMPARISONS else None


def _lazy_flags(region: Function) -> dict[Slot, list[Comparison]]:
    """The flags that the region sets by comparing, with the kinds of comparison."""
    lazy: dict[Slot, list[Comparison]] = {}
    for inst in region.insts():
        if inst.op is ops.PUT and inst.imm.type is I1 and not is_local(inst.imm):
            kind = comparison(inst.args[0])
            if kind is not None:
                kinds = lazy.setdefault(inst.imm, [])
                if kind not in kinds:
                    kinds.append(kind)
    return lazy


def _lazy_local(slot: Slot, place: str, number: int, type_: Type) -> Slot:
    return Slot(f"{slot.name}.{place}{number}", type_, LOCAL_OFFSET)


def _indexed_slots(region: Function) -> set[Slot]:
    """Slots of files that the region indexes by a value: these stay in memory."""
    files = {inst.imm for inst in region.insts() if inst.op in (ops.GETX, ops.PUTX)}
    return {slot for file in files for slot in file.slots}


def _is_pinned(type_: Type) -> bool:
    """Floats whose operations LLVM would move past a look at the environment; not those of f80."""
    return type_.is_float and type_ is not F80


def _guest_slots(region: Function) -> set[Slot]:
    """The guest slots that the region reads or writes by name."""
    return {i.imm for i in region.insts() if i.op in (ops.GET, ops.PUT) and not is_local(i.imm)}


def _written_slots(region: Function) -> set[Slot]:
    """The guest slots that the region writes somewhere."""
    return {i.imm for i in region.insts() if i.op is ops.PUT and not is_local(i.imm)}


def _unused_floats(region: Function) -> set[Value]:
    """The float operations, but for comparisons, that only set flags."""
    used = {arg for inst in region.insts() for arg in inst.args}
    return {
        inst
        for inst in region.insts()
        if inst.op in ops.FLOAT_OPS and inst.type is not I1 and inst not in used
        if not is_extended(inst)
    }


@cache
def load_frontend(place: str) -> Frontend:
    """The frontend that `module:class` names."""
    module, _, name = place.partition(":")
    made: Frontend = getattr(import_module(module), name)()
    return made


def region_text(
    region: Function,
    pc_shift: int,
    entries: Sequence[int],
    exact: bool,
    parallel: bool,
    notices_stores: bool = False,
    code_space: int | None = None,
) -> str:
    """The LLVM module of a region; `code_space`: of a whole machine's."""
    declarations = Declarations()
    if code_space is not None:
        from backend.llvm.softmmu import SystemRegionLowering

        lowering: RegionLowering = SystemRegionLowering(
            region, declarations, pc_shift, entries, code_space
        )
    elif exact:
        lowering = ExactRegionLowering(region, declarations, pc_shift, entries)
    else:
        lowering = RegionLowering(region, declarations, pc_shift, entries, parallel)
    lowering.notices_stores = notices_stores
    return finish_module([lowering.text()], declarations)


def compile_region(request: dict[str, Any]) -> dict[str, Any]:
    """The service `region`.

    Request: frontend (`module:class`), blocks ([pc, code bytes, where its computed jump
    went] each), how many of them, the first
    ones, are entries, exact,
    parallel, `code_space` in a whole machine (whose regions are exact), and which listings are
    wanted (op, op_opt, llvm, out_asm).  Result: blob (packed),
    symbol, instructions, and the listings by name.
    """
    started = process_time()
    frontend = load_frontend(request["frontend"])
    wanted = set(request.get("listings", ()))
    blocks = [RegionBlock(*block) for block in request["blocks"]]
    entries = request["entries"]
    code_space = request.get("code_space")
    code_base = None if code_space is None else code_space >> 32
    region = build_region(frontend, blocks, entries, bool(wanted), code_base)
    count = sum(1 for inst in region.insts() if inst.op is ops.INSN)
    listings: dict[str, str] = {}
    if "op" in wanted:
        listings["op"] = _print(region)
    labels = [block_label(block.pc) for block in blocks[:entries]]
    # A whole machine's regions do what is to be done on the way out where an access fails, too.
    in_place = None if code_space is None else False
    optimize(region, request["exact"], frontend.rotating, labels, in_place)
    found = idioms(region, request["parallel"]) if code_space is None else []
    if "idiom" in wanted and found:
        listings["idiom"] = "".join(f"{line}\n" for line in found)
    if "op_opt" in wanted:
        listings["op_opt"] = _print(region)
    pcs = [block.pc for block in blocks[:entries]]
    text = region_text(
        region, frontend.pc_shift, pcs, request["exact"], request["parallel"],
        frontend.notices_stores, code_space,
    )  # fmt: skip
    if "llvm" in wanted:
        listings["llvm"] = text
    made = compile_module(text, Options(passes=PASSES), Listing(assembly="out_asm" in wanted))
    if made.assembly:
        listings["out_asm"] = made.assembly
    return {
        "blob": made.blob.pack(),
        "symbol": region.name,
        "instructions": count,
        "seconds": process_time() - started,
        "listings": listings,
    }


def _print(region: Function) -> str:
    from tcg.text import print_function

    return print_function(region) + "\n"
