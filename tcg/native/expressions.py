"""Field expressions as small programs that native code runs.

An expression (tcg.fields) becomes 64-bit words.  Most are one field times a number plus a number,
and that is an operation of its own:

    AFFINE | field << 8, a, b      a + b * field, and the program ends
    FIELD  | field << 8            push a field (the one after the last is pc)
    CONST, c                       push a number
    ADD, SUB, ...                  of the two numbers on top of the stack, or (NEG, NOT) the one
    END
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum

from tcg.forms import load_functions

MASK64 = (1 << 64) - 1
DEEPEST = 16
"""How many numbers a program may have on its stack."""


class Code(IntEnum):
    """The operations."""

    END = 0
    AFFINE = 1
    FIELD = 2
    CONST = 3
    ADD = 4
    SUB = 5
    MUL = 6
    AND = 7
    OR = 8
    XOR = 9
    SHL = 10
    SAR = 11
    EQ = 12
    NE = 13
    SLT = 14
    SLE = 15
    NEG = 16
    NOT = 17
    BOOL = 18


class NotNative(Exception):
    """The expression needs something that programs have not."""


_BINARY: dict[type[ast.operator], Code] = {
    ast.Add: Code.ADD, ast.Sub: Code.SUB, ast.Mult: Code.MUL, ast.BitAnd: Code.AND,
    ast.BitOr: Code.OR, ast.BitXor: Code.XOR, ast.LShift: Code.SHL, ast.RShift: Code.SAR,
}  # fmt: skip
_COMPARED: dict[type[ast.cmpop], tuple[Code, bool]] = {
    ast.Eq: (Code.EQ, False), ast.NotEq: (Code.NE, False), ast.Lt: (Code.SLT, False),
    ast.LtE: (Code.SLE, False), ast.Gt: (Code.SLT, True), ast.GtE: (Code.SLE, True),
}  # fmt: skip


def program(text: str, names: Sequence[str], functions: Mapping[str, str]) -> list[int]:
    """The words of an expression over `names` and pc; raises NotNative."""
    numbers = {name: number for number, name in enumerate((*names, "pc"))}
    tree = ast.parse(text, mode="eval").body
    affine = _affine(tree, numbers)
    if affine is not None:
        field, a, b = affine
        return [Code.AFFINE | field << 8, a & MASK64, b & MASK64]
    made = _Compiler(numbers, dict(functions))
    made.emit(tree)
    if made.deepest > DEEPEST:
        raise NotNative(text)
    return [*made.words, int(Code.END)]


def _affine(tree: ast.expr, numbers: Mapping[str, int]) -> tuple[int, int, int] | None:
    """field, a, b of `a + b * field`, if that is what it is."""
    match tree:
        case ast.Name(id=name) if name in numbers:
            return numbers[name], 0, 1
        case ast.BinOp(left=ast.Constant(value=int(a)), op=ast.Add(), right=right):
            inner = _affine(right, numbers)
            return None if inner is None else (inner[0], inner[1] + a, inner[2])
        case ast.BinOp(left=left, op=ast.Add(), right=ast.Constant(value=int(a))):
            inner = _affine(left, numbers)
            return None if inner is None else (inner[0], inner[1] + a, inner[2])
        case ast.BinOp(left=ast.Constant(value=int(b)), op=ast.Mult(), right=right):
            inner = _affine(right, numbers)
            return None if inner is None else (inner[0], inner[1] * b, inner[2] * b)
    return None


class _Compiler:
    """Emits an expression in postfix order."""

    def __init__(self, numbers: Mapping[str, int], functions: dict[str, str]) -> None:
        self.words: list[int] = []
        self.deepest = 0
        self._depth = 0
        self._numbers = numbers
        self._functions = functions
        self._given: list[Mapping[str, ast.expr]] = []

    def _push(self, *words: int) -> None:
        self.words += words
        self._depth += 1
        self.deepest = max(self.deepest, self._depth)

    def _two(self, code: Code, left: ast.expr, right: ast.expr) -> None:
        self.emit(left)
        self.emit(right)
        self.words.append(int(code))
        self._depth -= 1

    def emit(self, tree: ast.expr) -> None:
        """An expression, whose value is left on top of the stack."""
        match tree:
            case ast.Constant(value=int(number)):
                self._push(Code.CONST, int(number) & MASK64)
            case ast.Name(id=name):
                self._name(name)
            case ast.BinOp(left=left, op=operator, right=right) if type(operator) in _BINARY:
                self._two(_BINARY[type(operator)], left, right)
            case ast.BinOp(left=left, op=ast.FloorDiv(), right=ast.Constant(value=int(by))):
                self._shifted(left, by)
            case ast.Compare(left=left, ops=[operator], comparators=[right]):
                code, swapped = _COMPARED[type(operator)]
                self._two(code, *((right, left) if swapped else (left, right)))
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int(number))):
                self._push(Code.CONST, -number & MASK64)
            case ast.UnaryOp(op=operator, operand=operand):
                self.emit(operand)
                self.words.append(int(Code.NEG if isinstance(operator, ast.USub) else Code.NOT))
            case ast.Call(func=ast.Name(id="bool"), args=[operand]):
                self.emit(operand)
                self.words.append(int(Code.BOOL))
            case ast.Call(func=ast.Name(id=name), args=given) if name in self._functions:
                self._inline(name, given)
            case _:
                raise NotNative(ast.dump(tree))

    def _shifted(self, left: ast.expr, by: int) -> None:
        if by <= 0 or by & (by - 1):
            raise NotNative(f"// {by}")
        self._two(Code.SAR, left, ast.Constant(by.bit_length() - 1))

    def _name(self, name: str) -> None:
        if self._given and name in self._given[-1]:
            given = self._given.pop()
            self.emit(given[name])
            self._given.append(given)
        elif name in self._numbers:
            self._push(Code.FIELD | self._numbers[name] << 8)
        else:
            raise NotNative(name)

    def _inline(self, name: str, given: Sequence[ast.expr]) -> None:
        """A field function that is one expression."""
        function = load_functions({name: self._functions[name]})[name]
        tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
        if not isinstance(tree, ast.FunctionDef) or not isinstance(tree.body[-1], ast.Return):
            raise NotNative(name)
        result = tree.body[-1].value
        texts = [one for one in tree.body[:-1] if not isinstance(one, ast.Expr)]
        if result is None or texts:
            raise NotNative(name)
        names = [one.arg for one in tree.args.args]
        self._given.append(dict(zip(names, given, strict=True)))
        self.emit(result)
        self._given.pop()


def run(words: Sequence[int], fields: Sequence[int]) -> int:
    """What native code makes of a program; 64 bits, signed.  `fields` end with pc."""
    if words[0] & 0xFF == Code.AFFINE:
        return _signed(words[1] + words[2] * fields[words[0] >> 8])
    stack: list[int] = []
    at = 0
    while words[at] != Code.END:
        code = words[at] & 0xFF
        at += 1
        if code == Code.FIELD:
            stack.append(_signed(fields[words[at - 1] >> 8]))
        elif code == Code.CONST:
            stack.append(_signed(words[at]))
            at += 1
        elif code >= Code.NEG:
            value = stack.pop()
            stack.append(
                {Code.NEG: -value, Code.NOT: ~value, Code.BOOL: int(value != 0)}[Code(code)]
            )
        else:
            y, x = stack.pop(), stack.pop()
            stack.append(_signed(_MEANINGS[Code(code)](x, y)))
    return stack[-1]


def _signed(value: int) -> int:
    return (value + (1 << 63) & MASK64) - (1 << 63)


_MEANINGS: dict[Code, Callable[[int, int], int]] = {
    Code.ADD: lambda x, y: x + y, Code.SUB: lambda x, y: x - y, Code.MUL: lambda x, y: x * y,
    Code.AND: lambda x, y: x & y, Code.OR: lambda x, y: x | y, Code.XOR: lambda x, y: x ^ y,
    Code.SHL: lambda x, y: x << (y & 63), Code.SAR: lambda x, y: x >> (y & 63),
    Code.EQ: lambda x, y: int(x == y), Code.NE: lambda x, y: int(x != y),
    Code.SLT: lambda x, y: int(x < y), Code.SLE: lambda x, y: int(x <= y),
}  # fmt: skip
