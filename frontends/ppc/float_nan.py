"""NaN results, and why an operation was invalid: Book I, 4.3.2 and 4.4.1.

Native arithmetic gives a NaN exactly where PowerPC gives one.  Only then, on a cold path, these
helpers find out which NaN it has to be and which of FPSCR's VX bits the operation sets.
"""

from __future__ import annotations

from collections.abc import Callable

from frontends.ppc.fpscr_bits import (
    VXIDI,
    VXIMZ,
    VXISI,
    VXSNAN,
    VXSQRT,
    VXVC,
    VXZDZ,
)
from tcg.build import Builder
from tcg.ir import Helper, Value
from tcg.types import F64, I32, I64

SIGN = 1 << 63
MAGNITUDE = SIGN - 1
INFINITY = 0x7FF0 << 48
QUIET = 1 << 51
DEFAULT_NAN = INFINITY | QUIET


class Operand:
    """An operand of a double operation, taken apart."""

    def __init__(self, value: Value) -> None:
        self.bits = value.bitcast(I64)
        self.magnitude = self.bits & MAGNITUDE

    @property
    def is_nan(self) -> Value:
        return self.magnitude.ugt(INFINITY)

    @property
    def is_signalling(self) -> Value:
        return (self.magnitude - (INFINITY + 1)).ult(QUIET - 1)

    @property
    def is_infinite(self) -> Value:
        return self.magnitude.eq(INFINITY)

    @property
    def is_zero(self) -> Value:
        return self.magnitude.eq(0)


def _any(flags: list[Value]) -> Value:
    found = flags[0]
    for flag in flags[1:]:
        found = found | flag
    return found


def nan_helper(count: int) -> Helper:
    """The NaN that an operation of so many operands gives: its first NaN, quiet, or the default.

    Multiply-add passes (frA), (frB), (frC): that is the order that counts.
    """

    def build(b: Builder, params: tuple[Value, ...]) -> Value:
        result = b.const(I64, DEFAULT_NAN)
        for operand in map(Operand, reversed(params)):
            result = b.select(operand.is_nan, operand.bits | QUIET, result)
        return result.bitcast(F64)

    return Helper(f"ppc_nan{count}", (F64,) * count, F64, build)


NAN_RESULT = {count: nan_helper(count) for count in (1, 2, 3)}

Causes = Callable[..., list[tuple[Value, int]]]


def causes_helper(name: str, count: int, causes: Causes) -> Helper:
    """The VX bits that an operation sets whose result is a NaN."""

    def build(b: Builder, params: tuple[Value, ...]) -> Value:
        operands = [Operand(p) for p in params]
        found = [(_any([o.is_signalling for o in operands]), VXSNAN), *causes(*operands)]
        word = b.const(I32, 0)
        for flag, bit in found:
            word = word | b.select(flag, bit, 0)
        return word

    return Helper(f"ppc_vx_{name}", (F64,) * count, I32, build)


def _sum(a: Operand, b: Operand) -> list[tuple[Value, int]]:
    return [(a.is_infinite & b.is_infinite, VXISI)]


def _product(a: Operand, b: Operand) -> list[tuple[Value, int]]:
    return [(a.is_infinite & b.is_zero | a.is_zero & b.is_infinite, VXIMZ)]


def _quotient(a: Operand, b: Operand) -> list[tuple[Value, int]]:
    return [(a.is_zero & b.is_zero, VXZDZ), (a.is_infinite & b.is_infinite, VXIDI)]


def _root(b: Operand) -> list[tuple[Value, int]]:
    return [(~b.is_nan, VXSQRT)]


def _multiply_add(a: Operand, b: Operand, c: Operand) -> list[tuple[Value, int]]:
    infinite_product = a.is_infinite & ~(c.is_nan | c.is_zero)
    infinite_product = infinite_product | c.is_infinite & ~(a.is_nan | a.is_zero)
    return [*_product(a, c), (infinite_product & b.is_infinite, VXISI)]


def _nothing_more(*_: Operand) -> list[tuple[Value, int]]:
    return []


def _ordered_compare(a: Operand, b: Operand) -> list[tuple[Value, int]]:
    return [(a.is_nan | b.is_nan, VXVC)]


# fmt: off
SUM_CAUSES          = causes_helper("sum",          2, _sum)
PRODUCT_CAUSES      = causes_helper("product",      2, _product)
QUOTIENT_CAUSES     = causes_helper("quotient",     2, _quotient)
ROOT_CAUSES         = causes_helper("root",         1, _root)
MULTIPLY_ADD_CAUSES = causes_helper("multiply_add", 3, _multiply_add)
ONE_OPERAND_CAUSES  = causes_helper("one_operand",  1, _nothing_more)
COMPARE_CAUSES      = causes_helper("compare",      2, _nothing_more)
ORDERED_CAUSES      = causes_helper("ordered",      2, _ordered_compare)
# fmt: on
