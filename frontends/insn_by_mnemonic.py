"""Semantic functions and the rows of a table in Intel's notation: met by mnemonic.

    @insn
    def add(c: X86, dst: Value, src: Value) -> Value:
        "dst <- dst + src"

One function serves all rows of its name: `add Ev, Gv` and `add Eb, Ib`, and `jcc` those of
`j{cc}`.  Its parameters behind the context are the row's operands, whatever they are called; a
row with the property wo leaves out the first.  Where rows of one mnemonic have different
meanings, `@insn("movsd_Vsd_Usd")` names a single row by its key, and goes before the mnemonic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from inspect import CO_VARARGS
from types import FunctionType, ModuleType

from frontends.insn import MARK, InsnError, is_keyword, marked, nearest, place
from tcg.decode.intel.table import Row, Table

Meaning = Callable[..., object]


def collect_by_mnemonic(
    table: Table, modules: Iterable[ModuleType], *, complete: bool = True
) -> list[FunctionType | None]:
    """The functions of `modules` by row index.  Raises InsnError if they do not fit their rows.

    A row without a function is an error too if they are to be `complete`; else it has None.
    """
    names = {name for row in table.rows for name in _names(row)}
    found: dict[str, FunctionType] = {}
    for function in marked(modules):
        for name in getattr(function, MARK):
            if name not in names:
                raise _extra(function, name, sorted(names))
            if (other := found.setdefault(name, function)) is not function:
                fact = f"{name} has another function, at {place(other)}"
                raise InsnError(place(function), fact, "take one of them out")
    result = [_first(found, row) for row in table.rows]
    for row, met in zip(table.rows, result, strict=True):
        if met is not None:
            _check_parameters(met, row)
        elif complete:
            raise _missing(row)
    return result


def _names(row: Row) -> tuple[str, ...]:
    """The names a row's function may have: what is said of one row goes before its mnemonic."""
    return row.key, row.function, *row.mnemonics


def _first(found: dict[str, FunctionType], row: Row) -> FunctionType | None:
    return next((found[name] for name in _names(row) if name in found), None)


def _check_parameters(function: FunctionType, row: Row) -> None:
    code = function.__code__
    most = code.co_argcount - 1
    least = most - len(function.__defaults__ or ())
    wanted = _parameters(row)
    if least <= len(wanted) <= most or (code.co_flags & CO_VARARGS and least <= len(wanted)):
        return
    takes = str(most) if least == most else f"{least} to {most}"
    fact = f"{function.__name__} takes {takes} operands, {row.name} at {row.place} has "
    fact += f"{len(wanted)}: {', '.join(wanted) or 'none'}"
    why = " (wo: the first operand is not read)" if "wo" in row.properties else ""
    raise InsnError(place(function), fact, f"as in {_signature(row)}{why}")


def _parameters(row: Row) -> Sequence[str]:
    """The operands that the row's function is given."""
    texts = [operand.text for operand in row.operands]
    return texts[1:] if "wo" in row.properties else texts


def _extra(function: FunctionType, name: str, names: list[str]) -> InsnError:
    near = nearest(name, names)
    hint = f"did you mean {near}?" if near else "add a row, or take the function out"
    return InsnError(place(function), f"{name} is no mnemonic of the table", hint)


def _missing(row: Row) -> InsnError:
    fact = f"{row.name} has no function"
    return InsnError(row.place, fact, f"write @insn def {_signature(row)}")


def _signature(row: Row) -> str:
    name = f"{row.function}_" if is_keyword(row.function) else row.function
    names = {0: [], 1: ["src"], 2: ["dst", "src"], 3: ["dst", "src", "count"]}
    count = len(_parameters(row))
    operands = names.get(count, [f"src{number + 1}" for number in range(count)])
    if "wo" in row.properties and count == 2:
        operands = ["src1", "src2"]
    return f"{name}({', '.join(['c', *operands])})"
