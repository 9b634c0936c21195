"""The operations of tcg IR: one row each, from which everything else is derived.

A row gives the text form's name, how the types hang together, the reference meaning as a Python
function on bit patterns, and what an optimizer may assume.  Evaluator, verifier, text form,
constant folding, the documentation and the completeness test of every backend read this table.

Signatures: `T` is one type chosen by the use, `B` a second one, `P` the guest's address type; names
of concrete types stand for themselves; `*` any number of values; an empty right side takes none.
Reference meanings take the operand type, the result type, and the operands as unsigned numbers
(floats as their bit patterns), and return a number, which is wrapped to the result type.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tcg import floats
from tcg.types import Type

Meaning = Callable[..., int]


@dataclass(frozen=True, slots=True, eq=False)
class Op:
    """One operation.

    `effects`: must neither vanish nor be repeated.  `ends`: ends its IR block.  `barrier`: touches
    the FP environment, so no float operation may be moved across it.
    """

    name: str
    result: str
    operands: tuple[str, ...]
    meaning: Meaning | None
    doc: str
    commutes: bool = False
    effects: bool = False
    ends: bool = False
    barrier: bool = False
    leaves: bool = False

    def __repr__(self) -> str:
        return self.name


OPS: dict[str, Op] = {}
"""Every operation by name, in the order of this file."""


def op(
    name: str,
    signature: str,
    meaning: Meaning | None,
    doc: str,
    *,
    commutes: bool = False,
    effects: bool = False,
    ends: bool = False,
    barrier: bool = False,
    leaves: bool = False,
) -> Op:
    """Declare one row of the table."""
    left, _, right = signature.partition("=")
    operands = tuple(part.strip() for part in right.split(",") if part.strip())
    made = Op(name, left.strip(), operands, meaning, doc, commutes, effects, ends, barrier, leaves)
    OPS[name] = made
    return made


def _shift_amount(t: Type, y: int) -> int:
    return y & (t.bits - 1)


def _sar(t: Type, _: Type, x: int, y: int) -> int:
    return t.signed(x) >> _shift_amount(t, y)


def _rotl(t: Type, _: Type, x: int, y: int) -> int:
    y = _shift_amount(t, y)
    return x << y | x >> (t.bits - y)


def _sdiv(t: Type, _: Type, x: int, y: int) -> int:
    a, b = t.signed(x), t.signed(y)
    if not b:
        return 0
    quotient = abs(a) // abs(b)
    return quotient if (a < 0) == (b < 0) else -quotient


def _srem(t: Type, d: Type, x: int, y: int) -> int:
    return t.signed(x) - _sdiv(t, d, x, y) * t.signed(y)


def _clz(t: Type, _: Type, x: int) -> int:
    return t.bits - x.bit_length()


def _ctz(t: Type, _: Type, x: int) -> int:
    return (x & -x).bit_length() - 1 if x else t.bits


def _bswap(t: Type, _: Type, x: int) -> int:
    return int.from_bytes(x.to_bytes(t.bytes, "little"), "big")


# fmt: off
CONST = op("const", "T =", None, "the number given")
FIELD = op("field", "T =", None, "an operand field that is still unknown (handlers only)")

GET   = op("get",  "T =",       None, "read a slot of the guest state, or a local")
PUT   = op("put",  "= T",       None, "write a slot of the guest state, or a local", effects=True)
GETF  = op("getf", "T =",       None, "read the register of a file that a field names (handlers only)")
PUTF  = op("putf", "= T",       None, "write the register of a file that a field names (handlers only)", effects=True)
GETX  = op("getx", "T = i32",   None, "read the register of a file that a value names")
PUTX  = op("putx", "= i32, T",  None, "write the register of a file that a value names", effects=True)

LOAD  = op("load",  "T = P",       None, "read guest memory; may leave by a guest fault", effects=True)
STORE = op("store", "= P, T",      None, "write guest memory; may leave by a guest fault", effects=True)
CAS   = op("cas",   "T = P, T, T", None, "atomic: if memory equals the second, write the third; gives the old", effects=True)
RMW   = op("rmw",   "T = P, T",    None, "atomic read-modify-write (add, and, or, xor, xchg); gives the old", effects=True)
FENCE = op("fence", "=",           None, "order all memory accesses before against all after", effects=True)

ADD   = op("add",  "T = T, T", lambda t, d, x, y: x + y,  "sum", commutes=True)
SUB   = op("sub",  "T = T, T", lambda t, d, x, y: x - y,  "difference")
MUL   = op("mul",  "T = T, T", lambda t, d, x, y: x * y,  "low half of the product", commutes=True)
AND   = op("and",  "T = T, T", lambda t, d, x, y: x & y,  "bitwise and", commutes=True)
OR    = op("or",   "T = T, T", lambda t, d, x, y: x | y,  "bitwise or", commutes=True)
XOR   = op("xor",  "T = T, T", lambda t, d, x, y: x ^ y,  "bitwise exclusive or", commutes=True)
SHL   = op("shl",  "T = T, T", lambda t, d, x, y: x << _shift_amount(t, y), "shift left; the amount counts modulo the width")
SHR   = op("shr",  "T = T, T", lambda t, d, x, y: x >> _shift_amount(t, y), "shift right, zeros in; amount modulo the width")
SAR   = op("sar",  "T = T, T", _sar,  "shift right, sign in; amount modulo the width")
ROTL  = op("rotl", "T = T, T", _rotl, "rotate left; amount modulo the width")
UDIV  = op("udiv", "T = T, T", lambda t, d, x, y: x // y if y else 0, "unsigned quotient; 0 when dividing by 0")
SDIV  = op("sdiv", "T = T, T", _sdiv, "signed quotient towards zero; 0 when dividing by 0, wraps on overflow")
UREM  = op("urem", "T = T, T", lambda t, d, x, y: x % y if y else x, "unsigned remainder; the dividend when dividing by 0")
SREM  = op("srem", "T = T, T", _srem, "signed remainder, sign of the dividend; the dividend when dividing by 0")
CLZ   = op("clz",  "T = T", _clz,   "leading zeros; the width for 0")
CTZ   = op("ctz",  "T = T", _ctz,   "trailing zeros; the width for 0")
POPCNT = op("popcnt", "T = T", lambda t, d, x: x.bit_count(), "number of one bits")
BSWAP = op("bswap", "T = T", _bswap, "bytes in reverse order")

EQ    = op("eq",  "i1 = T, T", lambda t, d, x, y: x == y, "equal", commutes=True)
NE    = op("ne",  "i1 = T, T", lambda t, d, x, y: x != y, "not equal", commutes=True)
ULT   = op("ult", "i1 = T, T", lambda t, d, x, y: x < y,  "below, unsigned")
ULE   = op("ule", "i1 = T, T", lambda t, d, x, y: x <= y, "below or equal, unsigned")
SLT   = op("slt", "i1 = T, T", lambda t, d, x, y: t.signed(x) < t.signed(y),  "less, signed")
SLE   = op("sle", "i1 = T, T", lambda t, d, x, y: t.signed(x) <= t.signed(y), "less or equal, signed")
SELECT = op("select", "T = i1, T, T", None, "the second if the first is set, else the third")

ZEXT  = op("zext",  "T = B", lambda t, d, x: x, "widen with zeros")
SEXT  = op("sext",  "T = B", lambda t, d, x: t.signed(x), "widen with the sign")
TRUNC = op("trunc", "T = B", lambda t, d, x: x, "keep the low bits")
BITCAST = op("bitcast", "T = B", lambda t, d, x: x, "the same bits as another type of the width")

FADD  = op("fadd",  "T = T, T", floats.add, "sum, rounded as the FP environment says", commutes=True)
FSUB  = op("fsub",  "T = T, T", floats.sub, "difference, rounded")
FMUL  = op("fmul",  "T = T, T", floats.mul, "product, rounded", commutes=True)
FDIV  = op("fdiv",  "T = T, T", floats.div, "quotient, rounded")
FMA   = op("fma",   "T = T, T, T", floats.fma, "first times second plus third, rounded once")
FSQRT = op("fsqrt", "T = T", floats.sqrt, "square root, rounded")
FNEG  = op("fneg",  "T = T", floats.neg, "the sign bit flipped")
FABS  = op("fabs",  "T = T", floats.abs_, "the sign bit cleared")
FEQ   = op("feq",   "i1 = T, T", floats.eq, "equal and ordered; quiet", commutes=True)
FLT   = op("flt",   "i1 = T, T", floats.lt, "less and ordered")
FLE   = op("fle",   "i1 = T, T", floats.le, "less or equal, and ordered")
FUNO  = op("funo",  "i1 = T, T", floats.unordered, "either is a NaN; quiet", commutes=True)
FEXT  = op("fext",  "T = B", floats.convert, "to a wider float, exact; a signalling NaN becomes quiet")
FTRUNC = op("ftrunc", "T = B", floats.convert, "to a narrower float, rounded; a signalling NaN becomes quiet")
FTOSI = op("ftosi", "T = B", floats.to_signed_truncating, "to a signed integer towards zero; saturates, NaN gives 0")
FTOUI = op("ftoui", "T = B", floats.to_unsigned_truncating, "to an unsigned integer towards zero; saturates, NaN gives 0")
FRINT = op("frint", "T = T", floats.round_to_integral, "to an integral float, rounded as the FP environment says")
SITOF = op("sitof", "T = B", floats.from_signed, "signed integer to float, rounded")
UITOF = op("uitof", "T = B", floats.from_unsigned, "unsigned integer to float, rounded")

FPFLAGS = op("fpflags", "i32 =",  None, "the sticky flags of the FP environment: 1 invalid, 4 divide by zero, 8 overflow, 16 underflow, 32 inexact", effects=True, barrier=True)
FPSET   = op("fpset",   "= i32",  None, "set the sticky flags of the FP environment", effects=True, barrier=True)
FPROUND = op("fpround", "= i32",  None, "set the rounding mode: 0 nearest even, 1 down, 2 up, 3 towards zero", effects=True, barrier=True)
CLOCK   = op("clock",   "i64 =",  None, "nanoseconds of a clock that never goes back", effects=True)

BULK  = op("bulk", "T = *", None, "touch many bytes of guest memory, as tcg/bulk.py says; gives how many", effects=True)
CALL  = op("call", "T = *", None, "call a helper, itself IR", effects=True)
POLL  = op("poll", "=", None, "leave for the run loop, to go on at the given address, if an event is pending", effects=True, leaves=True)
INSN  = op("insn", "=", None, "a guest instruction starts here", effects=True)

BR    = op("br",    "=",     None, "go to another IR block", effects=True, ends=True)
CBR   = op("cbr",   "= i1",  None, "go to the first IR block if set, else to the second", effects=True, ends=True)
GOTO  = op("goto",  "=",     None, "go to a static guest address", effects=True, ends=True, leaves=True)
JUMP  = op("jump",  "= P",   None, "go to a computed guest address", effects=True, ends=True, leaves=True)
RAISE = op("raise", "=",     None, "raise a guest exception", effects=True, ends=True, leaves=True)
ASK   = op("ask",   "=",     None, "ask the client for a service: a system call, port I/O", effects=True, ends=True, leaves=True)
NEXT  = op("next",  "=",     None, "go on with the next instruction (one instruction lifted alone)", effects=True, ends=True, leaves=True)
RET   = op("ret",   "= *",   None, "return from a helper", effects=True, ends=True)
# fmt: on

FLOAT_OPS = frozenset(
    row for row in OPS.values() if getattr(row.meaning, "__module__", "") == floats.__name__
)
"""Ops that run in the FP environment: their meanings take it, and they are never folded."""
