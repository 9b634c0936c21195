"""Symbolic operand fields: what a semantic function sees while a handler is made.

A handler serves every instruction of one form, so the operand fields are not known when it is
compiled.  A `FieldExpr` stands for what Python would compute from them: it is a small Python
expression over field names and `pc`, evaluated later, once per decoded instruction, when the
record is filled.  Two things can happen to one:

- it meets an IR value, or indexes a register file: it becomes an operand kept in the record;
- Python wants to know it now (`if rc:`, `range(count)`): that is a *decision*.  The `Decisions`
  of this lifting answer it, and the answer becomes part of the handler's form.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Union

FieldLike = Union[int, "FieldExpr"]


class NeedDecision(Exception):
    """A field's value is wanted in Python and nobody has decided it yet: `expr` is the question."""

    def __init__(self, expr: FieldExpr, kind: str) -> None:
        super().__init__(expr.text)
        self.expr = expr
        self.kind = kind


class Decisions:
    """Answers given so far to the questions of one lifting, by the question's text."""

    __slots__ = ("answers", "functions")

    def __init__(self, answers: Mapping[str, int] | None = None) -> None:
        self.answers: dict[str, int] = dict(answers or {})
        self.functions: dict[str, Callable[..., int]] = {}

    def field(self, name: str) -> FieldExpr:
        """The symbol for one operand field (or for `pc`)."""
        return FieldExpr(name, self)


def _text(value: FieldLike) -> str:
    return value.text if isinstance(value, FieldExpr) else repr(int(value))


class FieldExpr:
    """A Python integer expression over operand fields that is not known yet."""

    __slots__ = ("decisions", "text")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, text: str, decisions: Decisions) -> None:
        self.text = text
        self.decisions = decisions

    def __repr__(self) -> str:
        return f"<{self.text}>"

    def _decide(self, kind: str) -> int:
        question = f"bool({self.text})" if kind == "bool" else self.text
        answer = self.decisions.answers.get(question)
        if answer is None:
            raise NeedDecision(FieldExpr(question, self.decisions), kind)
        return answer

    def __bool__(self) -> bool:
        return bool(self._decide("bool"))

    def __index__(self) -> int:
        return self._decide("index")

    __int__ = __index__

    def _binary(self, op: str, other: object, swap: bool = False) -> Any:
        if not isinstance(other, int | FieldExpr):
            return NotImplemented
        left, right = (_text(other), self.text) if swap else (self.text, _text(other))
        return FieldExpr(f"({left} {op} {right})", self.decisions)

    # fmt: off
    def __add__(self, other: object) -> Any: return self._binary("+", other)
    def __sub__(self, other: object) -> Any: return self._binary("-", other)
    def __mul__(self, other: object) -> Any: return self._binary("*", other)
    def __and__(self, other: object) -> Any: return self._binary("&", other)
    def __or__(self, other: object) -> Any: return self._binary("|", other)
    def __xor__(self, other: object) -> Any: return self._binary("^", other)
    def __lshift__(self, other: object) -> Any: return self._binary("<<", other)
    def __rshift__(self, other: object) -> Any: return self._binary(">>", other)
    def __mod__(self, other: object) -> Any: return self._binary("%", other)
    def __floordiv__(self, other: object) -> Any: return self._binary("//", other)
    def __radd__(self, other: object) -> Any: return self._binary("+", other, swap=True)
    def __rsub__(self, other: object) -> Any: return self._binary("-", other, swap=True)
    def __rmul__(self, other: object) -> Any: return self._binary("*", other, swap=True)
    def __rand__(self, other: object) -> Any: return self._binary("&", other, swap=True)
    def __ror__(self, other: object) -> Any: return self._binary("|", other, swap=True)
    def __rxor__(self, other: object) -> Any: return self._binary("^", other, swap=True)
    def __rlshift__(self, other: object) -> Any: return self._binary("<<", other, swap=True)
    def __rrshift__(self, other: object) -> Any: return self._binary(">>", other, swap=True)
    def __lt__(self, other: object) -> Any: return self._binary("<", other)
    def __le__(self, other: object) -> Any: return self._binary("<=", other)
    def __gt__(self, other: object) -> Any: return self._binary(">", other)
    def __ge__(self, other: object) -> Any: return self._binary(">=", other)
    def __eq__(self, other: object) -> Any: return self._binary("==", other)
    def __ne__(self, other: object) -> Any: return self._binary("!=", other)
    # fmt: on

    def __neg__(self) -> FieldExpr:
        return FieldExpr(f"(-{self.text})", self.decisions)

    def __invert__(self) -> FieldExpr:
        return FieldExpr(f"(~{self.text})", self.decisions)


def field_function(function: Callable[..., int]) -> Callable[..., Any]:
    """Make a plain function of integers usable on fields: called later if one is still unknown.

    Before: `rotate_mask(mb, me)` needs numbers.  After: with a symbolic `mb` it is a `FieldExpr`
    whose text is the same call, evaluated when the record is filled.
    """

    def call(*args: FieldLike) -> FieldLike:
        unknown = next((arg for arg in args if isinstance(arg, FieldExpr)), None)
        if unknown is None:
            return function(*args)
        unknown.decisions.functions[function.__name__] = function
        listed = ", ".join(map(_text, args))
        return FieldExpr(f"{function.__name__}({listed})", unknown.decisions)

    call.__name__ = function.__name__
    call.__doc__ = function.__doc__
    call.__wrapped__ = function  # type: ignore[attr-defined]
    return call
