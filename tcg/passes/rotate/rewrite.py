"""The registers of a stack as locals: what becomes of the region."""

from __future__ import annotations

from tcg import ops
from tcg.build import Builder
from tcg.ir import LOCAL_OFFSET, Block, Function, Value
from tcg.passes.rotate.analysis import REGISTERS, Analysis, Stack, Walk
from tcg.passes.rotate.place import (
    block_pc,
    is_guest_block,
)
from tcg.state import Rotating, Slot
from tcg.types import I1, I8, I32, VOID, Type


def _local(name: str, type_: Type) -> Slot:
    return Slot(f"rotate.{name}", type_, LOCAL_OFFSET)


BASE = _local("base", I32)
"""The register that distances are counted from."""
BEFORE = _local("before", I8)
"""Which registers, by distance, were full at the entry."""
DELTA, KEPT, FULL = _local("delta", I32), _local("kept", I8), _local("full", I8)
"""On a way out: the distance of the top; the registers of which BEFORE still holds; which of the
others are full."""


def check_writes(function: Function, rotating: Rotating) -> None:
    """Leave behind an instruction that has set the slot which is taken for zero."""
    b = Builder(Function("region", "scratch"))
    for block in list(function):
        for at, inst in enumerate(block.insts):
            if inst.op is ops.PUT and inst.imm is rotating.zero and not inst.args[0].is_const:
                _check_behind(function, b, block, at)
                break


def _check_behind(function: Function, b: Builder, block: Block, at: int) -> None:
    """The same for one write.  The rest of the instruction has no branches."""
    written = block.insts[at].args[0]
    rest = block.insts[at + 1 :]
    count = next((i for i, inst in enumerate(rest) if inst.op is ops.INSN), len(rest) - 1)
    following = rest[count]
    if following.op is ops.INSN:
        pc = following.imm[0]
    elif following.op is ops.BR and is_guest_block(following.imm):
        pc = block_pc(following.imm)
    else:
        return
    on, out = (Block(f"{block.label}_{part}_{pc:x}") for part in ("masked", "unmasked"))
    on.insts = rest[count:]
    function.blocks[on.label], function.blocks[out.label] = on, out
    del block.insts[at + 1 + count :]
    b.block = block
    condition = b.emit(ops.NE, I1, (written, b.const(written.type, 0)))
    b.emit(ops.CBR, VOID, (condition,), (out.label, on.label, False))
    b.block = out
    b.goto(pc, hint="leave")


class Rewriting:
    """Puts the locals in place of the file."""

    def __init__(self, analysis: Analysis) -> None:
        self.analysis = analysis
        self.function = analysis.function
        self.rotating = analysis.rotating
        self.locals = [_local(str(n), self.rotating.file.type) for n in range(REGISTERS)]
        self.used: set[int] = set()
        self.written: set[int] = set()
        self.exits: list[Stack] = []
        self.notes: set[Value] = set()
        self.b = Builder(Function("region", "scratch"))

    def run(self) -> None:
        """Everything."""
        blocks, stacks = self.function.blocks, self.analysis.stacks
        for label in list(blocks):
            if label not in stacks and not label.startswith("enter"):
                del blocks[label]
        for label, stack in stacks.items():
            self._block(blocks[label], stack)
        self._replace_known()
        stored = self._stored()
        self._way_out(stored)
        self._prologues(stored)

    # -- blocks ------------------------------------------------------------------------------------

    def _block(self, block: Block, stack: Stack) -> None:
        """Rewrite a block that is entered with this stack."""
        old = block.insts
        b = self._into(block)
        walk = Walk(self.analysis, stack)
        for inst in old[:-1]:
            self._operation(b, inst, walk)
            walk.operation(inst)
        end = old[-1]
        targets = end.imm if end.op is ops.CBR else (end.imm,) if end.op is ops.BR else ()
        decided = self.analysis.number(end.args[0]) if end.op is ops.CBR else None
        if decided is not None:
            end.op, end.args, end.imm = ops.BR, (), targets[0 if decided else 1]
            targets = (end.imm,)
        leaving = [label for label in targets[:2] if (block.label, label) in self.analysis.leaving]
        self._operation(b, end, walk)
        for label in leaving:
            self._leave(block, end, label, walk.stack)

    def _operation(self, b: Builder, inst: Value, walk: Walk) -> None:
        op, imm, rotating = inst.op, inst.imm, self.rotating
        kind = self.analysis.known.get(inst, ("",))[0]
        if kind in ("const", "full", "at") or (
            op is ops.PUT and imm in (rotating.top, rotating.full)
        ):
            return
        if op is ops.GET and imm is rotating.top:
            inst.op, inst.imm = ops.AND, None
            inst.args = (b.get(BASE) + walk.stack.delta, b.const(I32, REGISTERS - 1))
        elif op in (ops.GETX, ops.PUTX) and imm is rotating.file:
            self._register(inst)
        elif op.leaves:
            self._note(b, walk.stack)
        b.block.insts.append(inst)

    def _register(self, inst: Value) -> None:
        """An operation on the file becomes one on a local."""
        n = self.analysis.known[inst.args[0]][1]
        inst.imm = self.locals[n]
        self.used.add(n)
        if inst.op is ops.GETX:
            inst.op, inst.args = ops.GET, ()
        else:
            inst.op, inst.args = ops.PUT, inst.args[1:]
            self.written.add(n)

    def _leave(self, block: Block, end: Value, label: str, stack: Stack) -> None:
        """Have an edge lead out of the region."""
        pc = block_pc(label)
        out = Block(f"{block.label}_leaves_{pc:x}")
        self.function.blocks[out.label] = out
        b = self._into(out)
        self._note(b, stack)
        b.goto(pc, hint="leave")
        if end.op is ops.BR:
            end.imm = out.label
        else:
            yes, no, likely = end.imm
            end.imm = (*(out.label if one == label else one for one in (yes, no)), likely)

    def _note(self, b: Builder, stack: Stack) -> None:
        """Before the region is left: say what has become of the stack."""
        kept = sum(1 << n for n, tag in enumerate(stack.tags) if isinstance(tag, frozenset))
        full = sum(1 << n for n, tag in enumerate(stack.tags) if tag is True)
        for slot, number in ((DELTA, stack.delta), (KEPT, kept), (FULL, full)):
            b.put(slot, number)
            self.notes.add(b.block.insts[-1])
        self.exits.append(stack)

    def _into(self, block: Block) -> Builder:
        """The builder, filling a block anew."""
        block.insts = []
        self.b.block = block
        return self.b

    def _replace_known(self) -> None:
        """Numbers stand for what is known of values."""
        numbers = {
            value: self.b.const(value.type, symbol[1])
            for value, symbol in self.analysis.known.items()
            if symbol[0] == "const"
        }
        for inst in self.function.insts():
            for arg in inst.args:
                if arg in numbers:
                    inst.args = tuple([numbers.get(a, a) for a in inst.args])
                    break

    # -- the ways out and in -----------------------------------------------------------------------

    def _stored(self) -> set[int]:
        """The registers that may have been written and are full where the region is left."""
        return {n for n in self.written if any(stack.tags[n] is not False for stack in self.exits)}

    def _is_balanced(self) -> bool:
        """The stack is the same at every way out as it was at the way in."""
        analysis = self.analysis
        return len(analysis.entries) == 1 and all(
            not stack.delta
            and all(
                isinstance(tag, frozenset) or analysis.assumed.get((0, n)) is tag
                for n, tag in enumerate(stack.tags)
            )
            for stack in self.exits
        )

    def _way_out(self, stored: set[int]) -> None:
        """What is done on every way out: the top, the tags, the registers."""
        block = Block("way_out")
        b = self._into(block)
        base = b.get(BASE)
        if self._is_balanced():
            for one in self.function:
                one.insts = [inst for inst in one.insts if inst not in self.notes]
        else:
            b.put(self.rotating.top, base + b.get(DELTA) & REGISTERS - 1)
            tags = b.get(BEFORE) & b.get(KEPT) | b.get(FULL)
            b.put(self.rotating.full, tags.rotl(base.trunc(I8)))
        for n in sorted(stored):
            b.put_file(self.rotating.file, base + n & REGISTERS - 1, b.get(self.locals[n]))
        self.function.way_out = block.insts

    def _prologues(self, stored: set[int]) -> None:
        """Put a prologue before each entry."""
        blocks = self.function.blocks
        ways_in = [block for label, block in blocks.items() if label.startswith("enter")]
        made: dict[str, Block] = {}
        for number, label in enumerate(self.analysis.entries):
            first = self._prologue(number, label, stored | self.used, made)
            for block in ways_in:
                end = block.insts[-1]
                if end.op is ops.BR and end.imm == label:
                    end.imm = first
                elif end.op is ops.CBR:
                    end.imm = (*(first if one == label else one for one in end.imm[:2]), None)
        self.function.blocks = (blocks | made) if ways_in else (made | blocks)

    def _prologue(self, number: int, label: str, used: set[int], made: dict[str, Block]) -> str:
        """See that the stack is as the entry wants it, and load the registers."""
        analysis, rotating = self.analysis, self.rotating
        first, cold, load = (Block(f"{part}_{label}") for part in ("in", "cold", "load"))
        made.update((block.label, block) for block in (first, cold, load))
        b = self._into(first)
        base = b.get(rotating.top) - analysis.deltas[number] & REGISTERS - 1
        b.put(BASE, base)
        before = b.get(rotating.full).rotl((-base).trunc(I8))
        b.put(BEFORE, before)
        assumed = {n: full for (entry, n), full in analysis.assumed.items() if entry == number}
        mask = sum(1 << n for n in assumed)
        bits = sum(1 << n for n, full in assumed.items() if full)
        wrong = (before & mask ^ bits) | b.get(rotating.zero)
        b.cbr(wrong.ne(0), cold, load, likely=False)
        self._into(cold).goto(block_pc(label), hint="cold")
        b = self._into(load)
        for n in sorted(used):
            if assumed.get(n) is not False:
                register = base + n & REGISTERS - 1
                b.put(self.locals[n], b.get_file(rotating.file, register))
        b.emit(ops.BR, VOID, (), label)
        return first.label
