"""Expressions of the monitor: `$esp + 4`, `0x10 & ~3`, `'A'`; numbers of 64 bits.

Precedence is QEMU's: products, then `& | ^`, then sums. The grammar is lark's; how far an
expression goes in a command with more behind it is found by its tokens.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from machine.monitor.machine import MonitorError

if TYPE_CHECKING:
    from lark import Lark, Tree

GRAMMAR = r"""
    ?sum: logic | sum "+" logic -> add | sum "-" logic -> sub
    ?logic: product | logic "&" product -> conjunction | logic "|" product -> disjunction
          | logic "^" product -> exclusive
    ?product: unary | product "*" unary -> times | product "/" unary -> over
            | product "%" unary -> modulo
    ?unary: atom | "-" unary -> negative | "+" unary -> positive | "~" unary -> complement
    ?atom: NUMBER -> number | CHARACTER -> character | REGISTER -> register | "(" sum ")"
    NUMBER: /0[xX][0-9a-fA-F]+|[0-9]+/
    CHARACTER: /'[^']'/
    REGISTER: /\$[a-z][a-z0-9_.]*/i
    %ignore /\s+/
"""

TOKEN = re.compile(r"\s*(?:(0[xX][0-9a-fA-F]+|[0-9]+|'[^']'|\$[A-Za-z][\w.]*)|([-+*/%&|^~()]))")
WORD = 1 << 64

Lookup = Callable[[str], int]


@cache
def _parser() -> Lark:
    from lark import Lark

    return Lark(GRAMMAR, start="sum", parser="lalr")


def split_expression(text: str) -> tuple[str, str]:
    """The expression that a text begins with, and the rest.

    >>> split_expression("0x10 + (2*3) 5 file")
    ('0x10 + (2*3)', '5 file')
    """
    at = depth = complete = 0
    wants_operand = True
    while match := TOKEN.match(text, at):
        operand, sign = match.groups()
        if operand or sign in {"(", "~"}:
            if not wants_operand:
                break
            depth += sign == "("
            wants_operand = not operand
        elif sign == ")":
            if not depth:
                break
            depth -= 1
            wants_operand = False
        else:
            wants_operand = True
        at = match.end()
        if not wants_operand and not depth:
            complete = at
    end = complete or at
    return text[:end].strip(), text[end:].strip()


def evaluate(text: str, register: Lookup) -> int:
    """The value of an expression, from 0 to 2**64 - 1; MonitorError if it is none."""
    from lark.exceptions import LarkError

    if not text.strip():
        raise MonitorError("unexpected end of expression")
    if text.count("(") > 100:
        raise MonitorError("that expression is too deep")
    try:
        tree = _parser().parse(text)
    except LarkError:
        raise MonitorError(f"cannot read the expression {text}") from None
    return _value(tree, register) % WORD


def signed(value: int) -> int:
    """A number of 64 bits, with its sign."""
    return value - WORD if value >> 63 else value


def _divided(left: int, right: int) -> int:
    if not right:
        raise MonitorError("division by zero")
    quotient = abs(left) // abs(right)
    return -quotient if (left < 0) != (right < 0) else quotient


def _rest(left: int, right: int) -> int:
    return left - _divided(left, right) * right


BINARY: dict[str, Callable[[int, int], int]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "conjunction": lambda a, b: a & b,
    "disjunction": lambda a, b: a | b,
    "exclusive": lambda a, b: a ^ b,
    "times": lambda a, b: a * b,
    "over": _divided,
    "modulo": _rest,
}
UNARY: dict[str, Callable[[int], int]] = {
    "negative": lambda a: -a,
    "positive": lambda a: a,
    "complement": lambda a: ~a,
}


def _value(tree: Tree[Any], register: Lookup) -> int:
    kind, children = tree.data, tree.children
    if kind == "number":
        text = str(children[0])
        if text[:2].lower() == "0x":
            return int(text, 16)
        is_octal = text.startswith("0") and set(text) <= set("01234567")
        return int(text, 8 if is_octal else 10)
    if kind == "character":
        return ord(str(children[0])[1])
    if kind == "register":
        return register(str(children[0])[1:].lower())
    values = [signed(_value(child, register) % WORD) for child in children]
    return BINARY[kind](*values) if len(values) == 2 else UNARY[kind](*values)
