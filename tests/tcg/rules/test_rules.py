"""Every rewrite rule is tried and proved: all values at small widths, random ones at real widths.

A proof builds the rule's pattern as IR, lets the generated matcher rewrite it, and evaluates both
by the op table's meanings for all (or many) values of the variables.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tcg import ops
from tcg.build import Builder
from tcg.ir import LOCAL_OFFSET, Function, Value
from tcg.ops import OPS
from tcg.passes.simplify import simplify
from tcg.rules.generate import generate
from tcg.rules.load import load
from tcg.rules.parse import (
    Constant,
    Literal,
    Node,
    Pattern,
    Rule,
    RuleError,
    Variable,
    parse_rules,
    parse_text,
)
from tcg.state import Slot
from tcg.types import F32, F64, I1, I8, I16, I32, I64, VOID, Type

HERE = Path(__file__).parent
RULES = parse_rules()
SMALL = (I1, Type("i2", 2), Type("i4", 4), I8)
REAL = (I1, I8, I16, I32, I64)
EXHAUSTIVE_BITS = 8
SAMPLES = 30


# -- types -----------------------------------------------------------------------------------------


class Typing:
    """The type variables of a pattern: each leaf and each node has one, unified by signatures."""

    def __init__(self, pattern: Node) -> None:
        self.parent: list[int] = []
        self.fixed: dict[int, Type] = {}
        self.of_leaf: dict[str, int] = {}
        self.of_node: dict[int, int] = {}
        self.of_operand: dict[tuple[int, int], int] = {}
        self.conversions: list[tuple[str, int, int]] = []
        self.floats = False
        self._visit(pattern)

    def fresh(self) -> int:
        self.parent.append(len(self.parent))
        return len(self.parent) - 1

    def root(self, variable: int) -> int:
        while self.parent[variable] != variable:
            variable = self.parent[variable]
        return variable

    def unify(self, one: int, other: int) -> None:
        self.parent[self.root(one)] = self.root(other)

    def _visit(self, pattern: Pattern) -> int:
        if isinstance(pattern, Variable | Constant):
            return self.of_leaf.setdefault(pattern.name, self.fresh())
        if not isinstance(pattern, Node):
            return self.fresh()
        chosen, other, bit = self.fresh(), self.fresh(), self.fresh()
        self.fixed[bit] = I1
        self.floats |= pattern.op in ops.FLOAT_OPS
        for i, (arg, letter) in enumerate(zip(pattern.args, pattern.op.operands, strict=True)):
            operand = self._visit(arg)
            self.unify(operand, {"T": chosen, "B": other, "i1": bit}[letter])
            self.of_operand[id(pattern), i] = operand
        if "B" in pattern.op.operands:
            self.conversions.append((pattern.op.name, other, chosen))
        self.of_node[id(pattern)] = chosen if pattern.op.result == "T" else bit
        return self.of_node[id(pattern)]

    def assignments(self, universe: tuple[Type, ...]) -> Iterator[dict[int, Type]]:
        """All ways to give the variables types."""
        if self.floats:
            universe = (F32, F64)
        roots = sorted({self.root(v) for v in range(len(self.parent))} & self._wanted())
        bits = {self.root(v) for v in self.fixed}
        choices = [(I1,) if root in bits else universe for root in roots]
        for types in product(*choices):
            made = dict(zip(roots, types, strict=True))
            if all(self._fits(name, made[self.root(b)], made[self.root(t)])
                   for name, b, t in self.conversions):  # fmt: skip
                yield made

    def _wanted(self) -> set[int]:
        return {
            self.root(v)
            for v in (*self.of_leaf.values(), *self.of_node.values(), *self.of_operand.values())
        }

    @staticmethod
    def _fits(name: str, source: Type, result: Type) -> bool:
        if name in ("zext", "sext"):
            return source.bits < result.bits
        if name == "trunc":
            return source.bits > result.bits
        return source.bits == result.bits


# -- values ----------------------------------------------------------------------------------------


class Instance:
    """A rule's pattern as IR, for given types and constants."""

    def __init__(self, typing: Typing, types: dict[int, Type], constants: dict[str, int]) -> None:
        self.typing = typing
        self.types = types
        self.constants = constants
        self.b = Builder(Function("region", "test"))
        self.leaves: dict[str, Value] = {}

    def type_of(self, variable: int) -> Type:
        return self.types[self.typing.root(variable)]

    def build(self, pattern: Pattern, place: int = -1) -> Value:
        match pattern:
            case Node(op, args):
                type_ = self.type_of(self.typing.of_node[id(pattern)])
                built = tuple(
                    self.build(arg, self.typing.of_operand[id(pattern), i])
                    for i, arg in enumerate(args)
                )
                return Value(self.b, op, type_, built, None)
            case Literal(number):
                return self.b.const(self.type_of(place), number)
            case Constant(name):
                return self.b.const(self.type_of(place), self.constants[name])
        assert isinstance(pattern, Variable)
        slot = Slot(pattern.name, self.type_of(place), LOCAL_OFFSET)
        return self.leaves.setdefault(pattern.name, Value(self.b, ops.GET, slot.type, (), slot))


def evaluate(value: Value, leaves: dict[Value, int]) -> int:
    """The number a value stands for; checks that operands have the types that the op wants."""
    if value in leaves:
        return leaves[value]
    if value.op is ops.CONST:
        number: int = value.imm
        return number
    check_types(value)
    args = [evaluate(arg, leaves) for arg in value.args]
    if value.op is ops.SELECT:
        return args[1] if args[0] else args[2]
    assert value.op.meaning is not None
    return value.type.wrap(value.op.meaning(value.args[0].type, value.type, *args))


def check_types(value: Value) -> None:
    chosen = {letter: arg.type for letter, arg in zip(value.op.operands, value.args, strict=True)}
    if value.op.result == "T":
        assert chosen.setdefault("T", value.type) is value.type, value
    else:
        assert value.type is I1, value
    for letter, arg in zip(value.op.operands, value.args, strict=True):
        assert arg.type is (I1 if letter == "i1" else chosen[letter]), (value, arg)
    if value.op.name in ("zext", "sext", "trunc", "bitcast"):
        assert Typing._fits(value.op.name, value.args[0].type, value.type), value


def numbers(types: list[Type], random: Random) -> Iterator[tuple[int, ...]]:
    """All combinations of values if there are few, else edges and random ones."""
    if sum(t.bits for t in types) <= EXHAUSTIVE_BITS:
        yield from product(*(range(1 << t.bits) for t in types))
        return
    for _ in range(SAMPLES):
        yield tuple(random_number(t, random) for t in types)


def random_number(type_: Type, random: Random) -> int:
    edges = (0, 1, type_.mask, type_.mask >> 1, (type_.mask >> 1) + 1, type_.bits - 1)
    if random.random() < 0.4:
        return type_.wrap(random.choice(edges))
    if random.random() < 0.5:  # masks and small numbers: what constants mostly are
        return type_.wrap(type_.mask << random.randrange(type_.bits) >> random.randrange(3))
    return random.getrandbits(type_.bits) >> random.randrange(type_.bits)


def matcher(rule: Rule) -> Any:
    """The generated function of this rule alone."""
    names: dict[str, Any] = {"Value": Value, "CONST": ops.CONST, "I1": I1, "min": min}
    for op in OPS.values():
        names[f"op_{op.name}"] = op
        names[f"mean_{op.name}"] = op.meaning
    exec(generate([rule]), names)
    return names[f"match_{rule.pattern.op.name}"]


def prove(rule: Rule) -> int:
    """Check the rule for many types and values; gives how often it matched."""
    random = Random(rule.name)
    match = matcher(rule)
    typing = Typing(rule.pattern)
    constant_names = sorted(
        leaf.name for leaf in set(leaves_of(rule.pattern)) if isinstance(leaf, Constant)
    )
    matched = 0
    for universe in (SMALL, REAL):
        for types in typing.assignments(universe):
            wanted = [types[typing.root(typing.of_leaf[name])] for name in constant_names]
            for constants in numbers(wanted, random):
                given = dict(zip(constant_names, constants, strict=True))
                matched += prove_instance(rule, match, Instance(typing, types, given), random)
    return matched


def prove_instance(rule: Rule, match: Any, instance: Instance, random: Random) -> bool:
    before, changed = instance.build(rule.pattern), instance.build(rule.pattern)
    after = match(changed, lambda value: None)
    if after is None:
        return False
    assert after.type is before.type, rule.name
    variables = list(instance.leaves.values())
    for given in numbers([v.type for v in variables], random):
        leaves = dict(zip(variables, given, strict=True))
        expected, found = evaluate(before, leaves), evaluate(after, leaves)
        assert expected == found, f"{rule.place} {rule.name}: {given} {instance.constants}"
    return True


def leaves_of(pattern: Pattern) -> Iterator[Pattern]:
    if isinstance(pattern, Node):
        for arg in pattern.args:
            yield from leaves_of(arg)
    else:
        yield pattern


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_proof(rule: Rule) -> None:
    assert prove(rule) > 0, f"{rule.name} never matches"


# -- the proofs can fail; errors; the cache --------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "wrong: sub x y => sub y x",
        "wrong: sar x #a => shr x #a",
        "wrong: ule x #a => ult x #(a + 1)",
        "wrong: shl (shl x #a) #b => shl x #(a + b)",
        "wrong: eq (zext x) #a => eq x #a",
        "wrong: trunc (zext x) => x",
    ],
)
def test_a_wrong_rule_is_found(line: str) -> None:
    with pytest.raises(AssertionError):
        prove(parse_text(line + "\n", "wrong.rules")[0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: add x => x", "test.rules:1: add takes 2 operands, not 1"),
        ("a: plus x y => x", "test.rules:1: there is no op plus"),
        ("\n# two\na: add x 0 => y", "test.rules:3: y is not in the pattern of a"),
    ],
)
def test_errors(text: str, message: str) -> None:
    with pytest.raises(RuleError) as caught:
        parse_text(text + "\n", "test.rules")
    assert str(caught.value) == message


def test_a_line_that_is_no_rule() -> None:
    with pytest.raises(RuleError, match=r"test.rules:2: not a rule\n.*add x x"):
        parse_text("a: add x 0 => x\nb: add x x\n", "test.rules")


def test_a_rule_that_an_earlier_one_hides() -> None:
    rules = parse_text("a: add x 0 => x\nb: add y 0 => #(0)\n", "test.rules")
    with pytest.raises(RuleError, match=r"test\.rules:2: b matches what an earlier rule does"):
        generate(rules)


def test_cache(tmp_path: Path) -> None:
    """The second load reads what the first one kept; a damaged file is a miss."""
    environ = {"QEMUPY_CACHE_DIR": str(tmp_path)}
    first = load(environ)
    (kept,) = tmp_path.iterdir()
    content = kept.read_bytes()
    kept.write_bytes(content[:-1] + b"?")
    assert load(environ).keys() == first.keys()
    assert kept.read_bytes() == content


def test_simplify_uses_them() -> None:
    """The whole way: rules found by op, applied again to what they made."""
    function = Function("region", "R")
    b = Builder(function)
    slot = Slot("t", I32, LOCAL_OFFSET)
    b.put(slot, ((b.get(slot) + 4) - 1) + 2)
    b.emit(ops.NEXT, VOID)
    simplify(function)
    put = next(i for i in function.insts() if i.op is ops.PUT)
    assert put.args[0].op is ops.ADD
    assert put.args[0].args[1].imm == 5
