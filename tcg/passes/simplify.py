"""Operations are rewritten by the rules, folded, and computed only once.

    %1 = add.i32 %0, 8              %1 = add.i32 %0, 8
    %2 = add.i32 %1, 4              %2 = add.i32 %0, 12
    %3 = add.i32 %0, 8              put r3, %2
    put r3, %2                      put r4, %1
    put r4, %3

The rules are in tcg/rules; a pure operation that was done before, in this block or in one that
dominates it, is not done again.  A write that turns out to change nothing goes: a no-op of the
guest is often an operation that gives its operand.
"""

from __future__ import annotations

from functools import cache

from tcg import ops
from tcg.ir import Function, Value
from tcg.ops import Op
from tcg.passes.graph import dominators, predecessors, reverse_postorder
from tcg.rules.load import Matcher, load
from tcg.state import Slot
from tcg.types import I1

Numbered = dict[object, Value]
"""Pure operations by what they compute."""


def simplify(function: Function) -> None:
    """Apply rules and value numbering to all reachable blocks."""
    order = reverse_postorder(function)
    above: dict[str, str] = {}
    if len(order) > 1:
        above = dominators(order, predecessors(order))
    walk = _Walk(any(inst.op.barrier for inst in function.insts()))
    done: dict[str, Numbered] = {}
    for block in order:
        numbered = done[above[block.label]].copy() if done else {}
        block.insts = walk.block(block.insts, numbered)
        _straighten(block.insts[-1], numbered)
        done[block.label] = numbered


@cache
def rules() -> tuple[dict[Op, Matcher], frozenset[Op]]:
    """The matchers of all rules; the ops that value numbering may merge."""
    pure = (op for op in ops.OPS.values() if op.meaning is not None or op is ops.SELECT)
    return load(), frozenset(pure)


class _Walk:
    """One walk over a function; `replaced` maps what vanished to what stands for it."""

    def __init__(self, has_barrier: bool) -> None:
        self.replaced: dict[Value, Value] = {}
        self.matchers, self.pure = rules()
        if has_barrier:
            self.pure -= ops.FLOAT_OPS

    def block(self, insts: list[Value], numbered: Numbered) -> list[Value]:
        """The block's operations, simplified.  Hot: runs per operation."""
        replaced, matchers, pure = self.replaced, self.matchers, self.pure
        held: dict[Slot, Value] = {}
        kept: list[Value] = []
        keep = kept.append
        for inst in insts:
            for arg in inst.args:
                if arg in replaced:
                    inst.args = tuple([replaced.get(a, a) for a in inst.args])
                    break
            op = inst.op
            match = matchers.get(op)
            if match is not None:
                found = match(inst, keep)
                while found is inst:
                    op = inst.op
                    found = matchers[op](inst, keep) if op in matchers else None
                if found is not None:
                    replaced[inst] = found
                    continue
            if op in pure:
                key: object = (op, inst.type, inst.args)
            elif op is ops.CALL and inst.imm.pure:
                key = (inst.imm, inst.args)
            else:
                if op not in _ON_SLOTS or not _changes_nothing(inst, held):
                    keep(inst)
                continue
            first = numbered.setdefault(key, inst)
            if first is inst:
                keep(inst)
            else:
                replaced[inst] = first
        return kept


_ON_SLOTS = frozenset({ops.GET, ops.PUT, ops.PUTX, ops.PUTF})


def _changes_nothing(inst: Value, held: dict[Slot, Value]) -> bool:
    """A write of what the slot has, as far as `held` knows, which is brought up to date."""
    if inst.op is ops.GET:
        held[inst.imm] = inst
    elif inst.op is not ops.PUT:
        held.clear()
    else:
        value = inst.args[0]
        if held.get(inst.imm) is value:
            return True
        held[inst.imm] = value
    return False


def _straighten(end: Value, numbered: Numbered) -> None:
    """A branch on a negated condition goes the other way on the condition, if that is there."""
    if end.op is not ops.CBR:
        return
    positive = _negation(end.args[0], numbered)
    if positive is not None:
        yes, no, likely = end.imm
        end.args = (positive,)
        end.imm = (no, yes, None if likely is None else not likely)


def _negation(condition: Value, numbered: Numbered) -> Value | None:
    """The value, computed before, that is set where `condition` is not."""
    op, args = condition.op, condition.args
    if op is ops.XOR and args[1].op is ops.CONST:
        return args[0]
    if op is ops.NE:
        return numbered.get((ops.EQ, I1, args))
    if op is ops.SLE or op is ops.ULE:
        return numbered.get((_STRICT[op], I1, args[::-1]))
    if op is ops.SLT or op is ops.ULT:
        return numbered.get((op, I1, _opposite(op, *args)))
    return None


def _opposite(op: Op, x: Value, y: Value) -> tuple[Value, Value] | None:
    """The operands of the negation, as x < 5 has 4 < x; None if no constant allows it."""
    assert x.b is not None
    least = 0 if op is ops.ULT else (x.type.mask >> 1) + 1
    if y.op is ops.CONST and y.imm != least:
        return x.b.const(y.type, y.imm - 1), x
    if x.op is ops.CONST and x.imm + 1 & x.type.mask != least:
        return y, x.b.const(x.type, x.imm + 1)
    return None


_STRICT = {ops.SLE: ops.SLT, ops.ULE: ops.ULT}
