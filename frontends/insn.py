"""Semantic functions and how they meet their rows.

    @insn
    def addi(c: Ppc, rt: Field, ra: Field, si: Field) -> None:
        "rT <- (rA|0) + SI"

The function's name is the row's; an underscore at its end keeps it from being a Python keyword
(`and_`).  The first parameter is the context, the others are the row's fields in order.  The
decorator only marks the function; `collect` is what puts a frontend's functions to its table.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from types import FunctionType, ModuleType
from typing import Any, TypeVar, overload

from tcg.decode.table import Row, Table

F = TypeVar("F", bound=Callable[..., object])
Semantics = Callable[..., None]

MARK = "__insn_rows__"


class InsnError(Exception):
    """Functions and table do not agree.  Prints as `file:line: fact` and a line with a hint."""

    def __init__(self, place: str, fact: str, hint: str) -> None:
        super().__init__(f"{place}: {fact}\nhint: {hint}")


@overload
def insn(function: F, /) -> F: ...
@overload
def insn(*rows: str) -> Callable[[F], F]: ...


def insn(*arguments: Any) -> Any:
    """Mark a semantic function: `@insn`, or `@insn("row", ...)` for rows of other names."""
    if len(arguments) == 1 and callable(arguments[0]):
        function = arguments[0]
        setattr(function, MARK, (function.__name__.removesuffix("_"),))
        return function

    def mark(function: F) -> F:
        setattr(function, MARK, arguments)
        return function

    return mark


def collect(table: Table, modules: Iterable[ModuleType]) -> list[Semantics]:
    """The functions of `modules` by row index.  Raises InsnError unless it is one for each row."""
    rows = {row.name: row for row in table.rows}
    found: dict[str, FunctionType] = {}
    for function in marked(modules):
        for name in getattr(function, MARK):
            if name not in rows:
                raise _extra(function, name, table)
            if (other := found.setdefault(name, function)) is not function:
                raise _twice(function, other, name)
            _check_parameters(function, rows[name], table)
    for row in table.rows:
        if row.name not in found:
            raise _missing(row, table)
    return [found[row.name] for row in table.rows]


def marked(modules: Iterable[ModuleType]) -> Iterator[FunctionType]:
    """The marked functions that these modules define, without those they import."""
    for module in modules:
        for value in vars(module).values():
            if (
                isinstance(value, FunctionType)
                and hasattr(value, MARK)
                and value.__module__ == module.__name__
            ):
                yield value


def _check_parameters(function: FunctionType, row: Row, table: Table) -> None:
    code = function.__code__
    parameters = code.co_varnames[1 : code.co_argcount]
    fields = tuple(field.name for field in row.fields)
    if parameters != fields or not code.co_argcount:
        has, wants = ", ".join(parameters) or "none", ", ".join(fields) or "none"
        fact = f"{function.__name__} takes {has}, its row has the fields {wants}"
        hint = f"write the parameters as {_signature(row)}, or mend {_row_place(row, table)}"
        raise InsnError(place(function), fact, hint)


def _extra(function: FunctionType, name: str, table: Table) -> InsnError:
    fact = f"{function.__name__} is for a row {name}, which {os.path.basename(table.path)} has not"
    near = nearest(name, [row.name for row in table.rows])
    hint = f"did you mean {near}?" if near else "add the row, or take the function out"
    return InsnError(place(function), fact, hint)


def _twice(function: FunctionType, other: FunctionType, name: str) -> InsnError:
    fact = f"the row {name} has another function, at {place(other)}"
    return InsnError(place(function), fact, "take one of them out")


def _missing(row: Row, table: Table) -> InsnError:
    fact = f"the row {row.name} has no function"
    return InsnError(_row_place(row, table), fact, f"write @insn def {_signature(row)}")


def _signature(row: Row) -> str:
    name = f"{row.name}_" if is_keyword(row.name) else row.name
    return f"{name}({', '.join(['c', *(field.name for field in row.fields)])})"


def is_keyword(name: str) -> bool:
    from keyword import iskeyword

    return iskeyword(name)


def nearest(name: str, names: list[str]) -> str:
    from difflib import get_close_matches

    return "".join(get_close_matches(name, names, n=1))


def place(function: FunctionType) -> str:
    file = function.__module__.replace(".", "/") + ".py"
    return f"{file}:{function.__code__.co_firstlineno}"


def _row_place(row: Row, table: Table) -> str:
    return f"{os.path.basename(table.path)}:{row.line}"
