"""Makes Python of rules: one function for each op that a rule rewrites.

The tests of all rules for an op are merged into a tree, so that a common test is made once:

    def match_shl(v, out):
        x0, x1 = v.args
        if x1.op is CONST:
            if x0.op is shl:
                x0_0, x0_1 = x0.args
                if x0_1.op is CONST:
                    if x0_1.imm + x1.imm < x0.type.bits:  # shl_shl
                        v.args = (x0_0, v.b.const(v.type, x0_1.imm + x1.imm))
                        return v

The rules are about numbers, not about lanes of vectors.

A function gives None if nothing matches, `v` if it changed it in place, or the value that takes
its place.  New operands are appended through `out`.  Folding of constants comes first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import permutations, product
from typing import Any

from tcg.ops import FLOAT_OPS, OPS, Op
from tcg.rules.parse import Computed, Constant, Literal, Node, Pattern, Rule, RuleError, Variable

Tree = dict[str, "Tree | list[str]"]


def generate(rules: list[Rule]) -> str:
    """The source of a module with a function `match_<op>` for each op that can be rewritten."""
    by_op: dict[Op, list[Rule]] = {op: [] for op in OPS.values() if is_foldable(op)}
    for rule in rules:
        by_op.setdefault(rule.pattern.op, []).append(rule)
    return "\n".join(line for op, group in by_op.items() for line in _function(op, group))


def is_foldable(op: Op) -> bool:
    """Constant operands give a constant result.  Floats round as the guest says: never folded."""
    return op.meaning is not None and op not in FLOAT_OPS


def _function(op: Op, rules: list[Rule]) -> Iterator[str]:
    names = [f"x{i}" for i in range(len(op.operands))]
    yield f"def match_{op.name}(v, out):"
    yield f"    {', '.join(names)}{',' * (len(names) == 1)} = v.args"
    if op.lanes:
        yield f"    if {names[-1]}.type.lane is not None:"
        yield "        return None"
    if is_foldable(op):
        yield from _folding(op, names)
    tree: Tree = {}
    for rule in rules:
        for variant in _orders(rule.pattern):
            _insert(tree, _Match(rule, variant))
    yield from _emit(tree, "    ")
    yield "    return None"


def _folding(op: Op, names: list[str]) -> Iterator[str]:
    all_const = " and ".join(f"{name}.op is CONST" for name in names)
    numbers = ", ".join(f"{name}.imm" for name in names)
    yield f"    if {all_const}:"
    yield f"        return v.b.const(v.type, mean_{op.name}(x0.type, v.type, {numbers}))"
    if op.commutes:
        yield "    if x0.op is CONST:"
        yield "        v.args = x0, x1 = x1, x0"


def _emit(tree: Tree, indent: str) -> Iterator[str]:
    asked = ""
    for test, below in sorted(tree.items(), key=lambda item: _subject(item[0])):
        again = asked != "" and asked == _subject(test)
        asked = _subject(test)
        yield f"{indent}{'el' * again}{test}"
        inner = f"{indent}    " if test.startswith("if ") else indent
        if isinstance(below, list):
            yield from (inner + line for line in below)
        else:
            yield from _emit(below, inner)


def _subject(test: str) -> str:
    """Whose op a test asks for: tests of one op exclude each other.  Empty for other tests."""
    return test.partition(" is op_")[0] if " is op_" in test else ""


def _insert(tree: Tree, match: _Match) -> None:
    *tests, last = match.tests
    for test in tests:
        below = tree.setdefault(test, {})
        assert isinstance(below, dict), f"{match.rule.place}: hidden by an earlier rule"
        tree = below
    condition = last.partition("  #")[0]
    if any(test.partition("  #")[0] == condition for test in tree):
        raise RuleError(f"{match.rule.place}: {match.rule.name} matches what an earlier rule does")
    tree[last] = match.actions


def _orders(pattern: Node) -> Iterator[Node]:
    """The pattern with the operands of commuting ops in every order that makes a difference."""
    names = [leaf.name for leaf in _leaves(pattern) if isinstance(leaf, Variable)]
    once = {name for name in names if names.count(name) == 1}
    yield from _shuffled(pattern, once)


def _leaves(pattern: Pattern) -> Iterator[Pattern]:
    if not isinstance(pattern, Node):
        yield pattern
        return
    for arg in pattern.args:
        yield from _leaves(arg)


def _shuffled(pattern: Any, once: set[str]) -> Iterator[Any]:
    if not isinstance(pattern, Node):
        yield pattern
        return
    fixed = any(isinstance(arg, Constant | Literal | Computed) for arg in pattern.args)
    alike = all(isinstance(arg, Variable) and arg.name in once for arg in pattern.args)
    same = len(set(pattern.args)) == 1
    shuffle = pattern.op.commutes and not fixed and not alike and not same
    for order in permutations(pattern.args) if shuffle else (pattern.args,):
        for args in product(*(_shuffled(arg, once) for arg in order)):
            yield Node(pattern.op, args)


class _Match:
    """The tests and the actions of one rule for one order of operands."""

    def __init__(self, rule: Rule, pattern: Node) -> None:
        self.rule = rule
        self.places: dict[str, str] = {}
        self.constants: set[str] = set()
        self.tests: list[str] = []
        self._test_args(pattern, "x")
        condition = self.expression(rule.condition)
        self.tests.append(f"if {condition}:  # {rule.name}")
        self.actions: list[str] = []
        self._act(rule.result)

    # -- the left side ---------------------------------------------------------------------

    def _test_args(self, node: Node, prefix: str) -> None:
        """Tests for the operands: constants first, because they decide most."""
        inner: list[tuple[Node, str]] = []
        for i, arg in reversed(list(enumerate(node.args))):
            place = f"{prefix}{i}"
            if isinstance(arg, Node):
                self.tests.append(f"if {place}.op is op_{arg.op.name}:")
                inner.append((arg, place))
            else:
                self._test_leaf(arg, place)
        for arg, place in inner:
            names = [f"{place}_{i}" for i in range(len(arg.args))]
            self.tests.append(f"{', '.join(names)}{',' * (len(names) == 1)} = {place}.args")
            self._test_args(arg, f"{place}_")

    def _test_leaf(self, leaf: Pattern, place: str) -> None:
        if isinstance(leaf, Variable):
            if leaf.name in self.places:
                self.tests.append(f"if {place} is {self.places[leaf.name]}:")
            self.places.setdefault(leaf.name, place)
            return
        self.tests.append(f"if {place}.op is CONST:")
        if isinstance(leaf, Literal):
            number = f"{place}.type.mask" if leaf.number == -1 else str(leaf.number)
            self.tests.append(f"if {place}.imm == {number}:")
            return
        assert isinstance(leaf, Constant)
        if leaf.name in self.places:
            self.tests.append(f"if {place}.imm == {self.places[leaf.name]}:")
        self.places.setdefault(leaf.name, f"{place}.imm")
        self.constants.add(leaf.name)

    # -- the right side --------------------------------------------------------------------

    def expression(self, text: str) -> str:
        """An expression of the rule in terms of the generated function's names."""
        text = re.sub(r"width\((\w+)\)", lambda m: f"{self.places[m[1]]}.type.bits", text)
        text = re.sub(r"same\((\w+)\)", lambda m: f"{self.places[m[1]]}.type is v.type", text)
        for name, meaning in _NAMES.items():
            text = re.sub(rf"(?<![.\w]){name}\b", meaning, text)
        for name in self.constants:
            text = re.sub(rf"(?<![.\w]){name}\b", self.places[name], text)
        return text

    def _act(self, result: Pattern) -> None:
        if not isinstance(result, Node):
            self.actions.append(f"return {self._value(result, 'v.type')}")
            return
        args = self._operands(result, "v.type")
        self.actions += [f"v.op = op_{result.op.name}", f"v.args = {args}", "return v"]

    def _operands(self, node: Node, type_: str) -> str:
        """The operands of a new operation of that type, as a tuple's text."""
        types = _operand_types(node, type_, self)
        listed = [self._value(a, t) for a, t in zip(node.args, types, strict=True)]
        return f"({', '.join(listed)},)"

    def _value(self, pattern: Pattern, type_: str) -> str:
        """An operand: a value that is there, a constant, or a new operation."""
        if isinstance(pattern, Variable):
            return self.places[pattern.name]
        if isinstance(pattern, Node):
            name = f"n{len(self.actions)}"
            args = self._operands(pattern, type_)
            made = f"Value(v.b, op_{pattern.op.name}, {type_}, {args}, None)"
            self.actions += [f"{name} = {made}", f"out({name})"]
            return name
        match pattern:
            case Constant(name):
                number = self.places[name]
            case Literal(literal):
                number = str(literal)
            case Computed(text):
                number = self.expression(text)
        return f"v.b.const({type_}, {number})"


_NAMES = {
    "bits": "x0.type.bits",
    "mask": "x0.type.mask",
    "to": "v.type.bits",
    "integer": "not v.type.is_float",
}
"""What the words of the language are in a generated function."""


def _operand_types(node: Node, type_: str, match: _Match) -> list[str]:
    """The types of a new operation's operands, as Python expressions."""
    types = []
    for wanted in node.op.operands:
        if wanted == "i1":
            types.append("I1")
        elif wanted == "T" and node.op.result == "T":
            types.append(type_)
        else:
            types.append(_type_of_operands(node, match))
    return types


def _type_of_operands(node: Node, match: _Match) -> str:
    """The type that the operands of a comparison or conversion share: that of the first known."""
    for arg in node.args:
        if isinstance(arg, Variable):
            return f"{match.places[arg.name]}.type"
        if isinstance(arg, Node) and arg.op.result == "T" and "B" not in arg.op.operands:
            return _type_of_operands(arg, match)
        if isinstance(arg, Node) and arg.op.result == "i1":
            return "I1"
    raise RuleError(f"{match.rule.place}: the type of {node.op}'s operands is not known")
