"""Reads .rules files: lark trees to the small trees that the generator and the tests walk."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import Any

from tcg.ops import OPS, Op

FILES = ("algebra.rules", "conversions.rules", "comparisons.rules")


@dataclass(frozen=True, slots=True)
class Variable:
    """Any value; the same one wherever the name stands."""

    name: str


@dataclass(frozen=True, slots=True)
class Constant:
    """Any constant, known to expressions by its name."""

    name: str


@dataclass(frozen=True, slots=True)
class Literal:
    """One particular constant; -1 is all ones of whatever width."""

    number: int


@dataclass(frozen=True, slots=True)
class Computed:
    """A constant that a Python expression gives (right sides only)."""

    expression: str


@dataclass(frozen=True, slots=True)
class Node:
    """An operation on patterns."""

    op: Op
    args: tuple[Pattern, ...]


Pattern = Variable | Constant | Literal | Computed | Node


@dataclass(frozen=True, slots=True)
class Rule:
    """One line: `pattern` becomes `result` if `condition` holds."""

    name: str
    pattern: Node
    result: Pattern
    condition: str
    place: str


class RuleError(ValueError):
    """A rule that cannot be: the message names file, line and fact."""


def parse_rules() -> list[Rule]:
    """All rules of this package, in order.  Raises RuleError."""
    rules: list[Rule] = []
    for name in FILES:
        rules += parse_text(resources.files(__package__).joinpath(name).read_text(), name)
    names = [rule.name for rule in rules]
    for rule in rules:
        if names.count(rule.name) > 1:
            raise RuleError(f"{rule.place}: there are two rules called {rule.name}")
    return rules


def parse_text(text: str, name: str) -> list[Rule]:
    """The rules in a file's text; `name` is for errors."""
    from lark import Lark
    from lark.exceptions import UnexpectedInput

    grammar = resources.files(__package__).joinpath("rules.lark").read_text()
    parser = Lark(grammar, parser="lalr", propagate_positions=True, maybe_placeholders=True)
    try:
        tree: Any = parser.parse("\n" + text)
    except UnexpectedInput as problem:
        context = problem.get_context("\n" + text).rstrip("\n")
        raise RuleError(f"{name}:{problem.line - 1}: not a rule\n{context}") from None
    return [_rule(t, f"{name}:{t.meta.line - 1}") for t in tree.children]


def _rule(tree: Any, place: str) -> Rule:
    name, left, right, condition = tree.children
    try:
        pattern, result = _pattern(left), _pattern(right)
    except RuleError as problem:
        raise RuleError(f"{place}: {problem}") from None
    assert isinstance(pattern, Node)
    rule = Rule(str(name), pattern, result, str(condition or "if True")[3:].strip(), place)
    unknown = names_in(result) - names_in(pattern)
    if unknown:
        raise RuleError(f"{place}: {', '.join(sorted(unknown))} is not in the pattern of {name}")
    return rule


def _pattern(tree: Any) -> Pattern:
    match tree.data:
        case "variable":
            return Variable(str(tree.children[0]))
        case "constant":
            return Constant(str(tree.children[0]))
        case "literal":
            return Literal(int(tree.children[0]))
        case "computed":
            return Computed(str(tree.children[0])[2:-1])
    name, *args = tree.children
    op = OPS.get(str(name))
    if op is None:
        raise RuleError(f"there is no op {name}")
    if len(args) != len(op.operands):
        raise RuleError(f"{name} takes {len(op.operands)} operands, not {len(args)}")
    return Node(op, tuple(map(_pattern, args)))


def names_in(pattern: Pattern) -> set[str]:
    """The names of variables and constants in a pattern."""
    if isinstance(pattern, Variable | Constant):
        return {pattern.name}
    if isinstance(pattern, Node):
        return set().union(*map(names_in, pattern.args))
    return set()
