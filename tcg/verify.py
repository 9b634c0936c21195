"""The verifier: what every IR function must be like, checked.

Types as the op table says, every use dominated by its definition, one end to each block, labels
that exist, slots that belong to the layout, fields only in handlers.  The frontends' tests and
`-d op` with checks on run it; passes may rely on it.
"""

from __future__ import annotations

from collections.abc import Iterator

from tcg import ops
from tcg.ir import Access, Block, Function, Helper, Value, is_local
from tcg.ops import Op
from tcg.passes.graph import dominators, predecessors, reverse_postorder, successors
from tcg.state import File, Slot, StateLayout
from tcg.text import print_inst
from tcg.types import I1, TYPE_BY_NAME, V128, V256, Type, with_lanes_of

_SYMBOLIC = frozenset({ops.FIELD, ops.GETF, ops.PUTF})
_WIDENS = frozenset({ops.ZEXT, ops.SEXT, ops.FEXT})
_NARROWS = frozenset({ops.TRUNC, ops.FTRUNC})
_FLOAT_RESULT = frozenset({ops.FEXT, ops.FTRUNC, ops.SITOF, ops.UITOF})
_FLOAT_OPERAND = frozenset({ops.FEXT, ops.FTRUNC, ops.FTOSI, ops.FTOUI})
_UNTYPED = frozenset({ops.AND, ops.OR, ops.XOR})
_LANE_NUMBERS = frozenset({ops.EXTRACT, ops.INSERT})
_ACCESSES = frozenset({ops.LOAD, ops.STORE, ops.CAS, ops.RMW})


class VerifyError(ValueError):
    """A function breaks a rule of the IR; the message names block, operation and fact."""


def verify(function: Function, layout: StateLayout | None = None) -> None:
    """Raise VerifyError for the first problem found; `layout` is where guest slots belong."""
    for problem in problems(function, layout):
        raise VerifyError(problem)


def problems(function: Function, layout: StateLayout | None = None) -> Iterator[str]:
    """All problems, each with the place where it is; shapes first, since the rest needs them."""
    shapes = list(_shapes(function))
    yield from shapes
    if shapes:
        return
    for block in function:
        for inst in block.insts:
            for fact in _facts(function, inst, layout):
                yield _at(function, block, inst, fact)
    yield from _uses(function)


def _at(function: Function, block: Block, inst: Value, fact: str) -> str:
    return f"{function.name}, {block.label}: {print_inst(function, inst)}: {fact}"


# -- blocks ----------------------------------------------------------------------------------------


def _shapes(function: Function) -> Iterator[str]:
    if not function.blocks:
        yield f"{function.name}: there is no block"
    for label, block in function.blocks.items():
        where = f"{function.name}, {label}"
        if label != block.label:
            yield f"{where}: the block calls itself {block.label}"
        if not block.is_closed:
            yield f"{where}: the block has no end"
            continue
        for inst in block.insts[:-1]:
            if inst.op.ends:
                yield _at(function, block, inst, "stands before the end of its block")
        for target in successors(block):
            if target not in function.blocks:
                yield _at(function, block, block.insts[-1], f"there is no block {target}")


# -- operations ------------------------------------------------------------------------------------


def _facts(function: Function, inst: Value, layout: StateLayout | None) -> Iterator[str]:
    op = inst.op
    if op is ops.CONST:
        yield "a constant is in no block"
    if op in _SYMBOLIC and function.kind != "handler":
        yield f"{op} is for handlers, this is a {function.kind}"
    if op is ops.RET and function.kind != "helper":
        yield f"ret is for helpers, this is a {function.kind}"
    if op.leaves and function.kind == "helper":
        yield "a helper only returns"
    yield from _immediate(inst, layout)
    yield from _types(function, inst)


def _immediate(inst: Value, layout: StateLayout | None) -> Iterator[str]:
    imm = inst.imm
    if inst.op in (ops.GET, ops.PUT):
        if not isinstance(imm, Slot):
            yield "needs a slot"
        elif layout and not is_local(imm) and layout.slots.get(imm.name) is not imm:
            yield f"slot {imm.name} is not in the state's layout"
    elif inst.op in (ops.GETX, ops.PUTX):
        if not isinstance(imm, File):
            yield "needs a register file"
        elif layout and layout.files.get(imm.name) is not imm:
            yield f"file {imm.name} is not in the state's layout"
    elif inst.op in _ACCESSES and not isinstance(imm, Access):
        yield "does not say how memory is accessed"
    elif inst.op is ops.CALL and not isinstance(imm, Helper):
        yield "needs a helper"
    elif inst.op in (ops.SIMD, ops.SIMDF):
        yield from _row(inst)
    elif inst.op in _LANE_NUMBERS and not 0 <= imm < inst.args[0].type.lanes:
        yield f"{inst.args[0].type} has no lane {imm}"
    elif inst.op is ops.SHUFFLE:
        yield from _lane_numbers(inst)


def _row(inst: Value) -> Iterator[str]:
    row, _ = inst.imm
    if row.raises != (inst.op is ops.SIMDF):
        yield f"{row.name} is for {'simdf' if row.raises else 'simd'}"


def _lane_numbers(inst: Value) -> Iterator[str]:
    count = 2 * inst.args[0].type.lanes
    if len(inst.imm) != inst.type.lanes:
        yield f"{inst.type} has {inst.type.lanes} lanes, not {len(inst.imm)}"
    if any(not 0 <= number < count for number in inst.imm):
        yield f"two of {inst.args[0].type} have {count} lanes"


def _types(function: Function, inst: Value) -> Iterator[str]:
    op = inst.op
    wanted = _signature(function, inst)
    if wanted is None:
        return
    result, operands = wanted
    if len(operands) != len(inst.args):
        yield f"takes {len(operands)} operands, has {len(inst.args)}"
        return
    if inst.type is not result:
        yield f"gives {result}, not {inst.type}"
    yield from _vectors(inst)
    for i, (arg, type_) in enumerate(zip(inst.args, operands, strict=True)):
        if arg.type is not type_:
            yield f"operand {i + 1} is {arg.type}, must be {type_}"
        if arg.op is ops.CONST and arg.imm != arg.type.wrap(arg.imm):
            yield f"constant {arg.imm:#x} does not fit {arg.type}"
    if "B" in op.operands and op.meaning is not None:
        yield from _conversion(op, inst.args[0].type, inst.type)


def _signature(function: Function, inst: Value) -> tuple[Type, tuple[Type, ...]] | None:
    """The types that this use of the op must have; None if the immediate is amiss already."""
    op = inst.op
    if op is ops.CALL and isinstance(inst.imm, Helper):
        return inst.imm.result, inst.imm.params
    if op in (ops.SIMD, ops.SIMDF):
        return inst.imm[0].result, inst.imm[0].operands
    if op is ops.RET:
        return TYPE_BY_NAME["void"], (function.result,) if function.result else ()
    chosen = _chosen(inst)
    if chosen is None or "*" in op.operands:
        return None
    meant = {"T": chosen, "": TYPE_BY_NAME["void"]}
    if inst.args:
        meant["B"] = meant["P"] = inst.args[0].type
    if op in _LANE_OF and chosen.lane is not None:
        meant["B"] = chosen.lane
    if op.lanes and inst.args[0].type.lane is not None:
        meant["i1"] = with_lanes_of(I1, inst.args[0].type)
    operands = (meant.get(letter) or TYPE_BY_NAME[letter] for letter in op.operands)
    return meant.get(op.result) or TYPE_BY_NAME[op.result], tuple(operands)


_LANE_OF = frozenset({ops.SPLAT, ops.INSERT})
"""Ops whose B is a lane of T."""


def _vectors(inst: Value) -> Iterator[str]:
    """Where vectors may stand."""
    op, first = inst.op, inst.args[0].type if inst.args else inst.type
    untyped = inst.type in (V128, V256) or first in (V128, V256)
    if op.meaning is not None and untyped and op not in _UNTYPED and op is not ops.BITCAST:
        yield f"{op} needs to know the lanes"
    if op.meaning is not None and first.lane is not None and not op.lanes and op is not ops.BITCAST:
        yield f"{op} takes no vectors"
    if op in (ops.EXTRACT, ops.SHUFFLE) and first.lane is None:
        yield f"{first} has no lanes"
    elif op is ops.EXTRACT and inst.type is not first.lane:
        yield f"a lane of {first} is {first.lane}"
    elif op is ops.SHUFFLE and inst.type.lane is not first.lane:
        yield f"lanes of {first} do not make {inst.type}"
    if op is ops.SELECT and first.lanes not in (1, inst.type.lanes):
        yield f"{first} does not choose among lanes of {inst.type}"
    if "B" in op.operands and op.lanes and inst.type.lanes != first.lanes:
        yield f"{first} and {inst.type} differ in lanes"


def _chosen(inst: Value) -> Type | None:
    """What T is in this use: the immediate knows, or the first operand of that type."""
    imm = inst.imm
    if isinstance(imm, tuple) and imm and isinstance(imm[0], File):
        imm = imm[0]
    if isinstance(imm, Slot | File | Access):
        return imm.type
    if inst.op.result != "T" and "T" in inst.op.operands:
        index = inst.op.operands.index("T")
        return inst.args[index].type if index < len(inst.args) else None
    return inst.type


def _conversion(op: Op, source: Type, result: Type) -> Iterator[str]:
    if op in _WIDENS and source.bits >= result.bits:
        yield f"{source} is not narrower than {result}"
    if op in _NARROWS and source.bits <= result.bits:
        yield f"{source} is not wider than {result}"
    if op is ops.BITCAST and source.bits != result.bits:
        yield f"{source} has not the width of {result}"
    if op is ops.BITCAST:
        return
    if result.is_float != (op in _FLOAT_RESULT):
        yield f"{op} does not give {result}"
    if source.is_float != (op in _FLOAT_OPERAND):
        yield f"{op} does not take {source}"


# -- uses ------------------------------------------------------------------------------------------


def _uses(function: Function) -> Iterator[str]:
    """Every operand is a constant, a parameter, or was computed on every way here."""
    order = reverse_postorder(function)
    above = dominators(order, predecessors(order))
    home: dict[Value, str] = {}
    for block in function:
        for inst in block.insts:
            if inst in home:
                yield _at(function, block, inst, f"is in {home[inst]} too")
            home[inst] = block.label
    for block in order:
        before = set(_dominators_of(block.label, above)) - {block.label}
        done: set[Value] = set()
        for inst in block.insts:
            for i, arg in enumerate(inst.args):
                here = arg in done or home.get(arg) in before
                if not here and not _is_free(function, arg):
                    yield _at(function, block, inst, f"operand {i + 1} is not computed before")
            done.add(inst)


def _dominators_of(label: str, above: dict[str, str]) -> Iterator[str]:
    yield label
    while above[label] != label:
        label = above[label]
        yield label


def _is_free(function: Function, value: Value) -> bool:
    """Constants and parameters are in no block."""
    if value.op is ops.GET and isinstance(value.imm, int):
        return value.imm < len(function.params)
    return value.op is ops.CONST
