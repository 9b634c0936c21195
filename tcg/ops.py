"""The operations of tcg IR: one row each, from which everything else is derived.

A row gives the text form's name, how the types hang together, the reference meaning as a Python
function on bit patterns, and what an optimizer may assume.  Evaluator, verifier, text form,
constant folding, the documentation and the completeness test of every backend read this table.

Signatures: `T` is one type chosen by the use, `B` a second one, `P` the guest's address type; names
of concrete types stand for themselves; `*` any number of values; an empty right side takes none.
Reference meanings take the operand type, the result type, and the operands as unsigned numbers
(floats as their bit patterns), and return a number, which is wrapped to the result type.

Operations that have `lanes` also take vectors, to each lane of which the meaning applies; what
gives an i1 gives a vector of them then.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tcg import floats
from tcg.types import Type

Meaning = Callable[..., int]


@dataclass(frozen=True, slots=True, eq=False)
class Op:
    """One operation.

    `effects`: must neither vanish nor be repeated.  `ends`: ends its IR block.  `barrier`: touches
    the FP environment, so no float operation may be moved across it.  `lanes`: works on vectors
    lane by lane.
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
    lanes: bool = False

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
    lanes: bool | None = None,
) -> Op:
    """Declare one row of the table.  What has a meaning has lanes, unless it says otherwise."""
    left, _, right = signature.partition("=")
    operands = tuple(part.strip() for part in right.split(",") if part.strip())
    each = meaning is not None if lanes is None else lanes
    made = Op(
        name, left.strip(), operands, meaning, doc, commutes, effects, ends, barrier, leaves, each
    )
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


def _udiv2(t: Type, _: Type, high: int, low: int, y: int) -> int:
    return (high << t.bits | low) // y if high < y else 0


def _pdep(t: Type, _: Type, x: int, mask: int) -> int:
    places = [place for place in range(t.bits) if mask >> place & 1]
    return sum((x >> number & 1) << place for number, place in enumerate(places))


def _pext(t: Type, _: Type, x: int, mask: int) -> int:
    places = [place for place in range(t.bits) if mask >> place & 1]
    return sum((x >> place & 1) << number for number, place in enumerate(places))


CRC32C = 0x82F63B78
"""The polynomial of CRC-32C, its bits in reverse."""


def _crc32(t: Type, _: Type, data: int, crc: int) -> int:
    crc ^= data
    for _bit in range(t.bits):
        crc = crc >> 1 ^ (CRC32C if crc & 1 else 0)
    return crc


def _bswap(t: Type, _: Type, x: int) -> int:
    return int.from_bytes(x.to_bytes(t.bytes, "little"), "big")


def _umulh(t: Type, _: Type, x: int, y: int) -> int:
    return x * y >> t.bits


def _smulh(t: Type, _: Type, x: int, y: int) -> int:
    return t.signed(x) * t.signed(y) >> t.bits


def _held(value: int, low: int, high: int) -> int:
    return max(low, min(high, value))


def _sadds(t: Type, _: Type, x: int, y: int) -> int:
    return _held(t.signed(x) + t.signed(y), -(t.mask >> 1) - 1, t.mask >> 1)


def _ssubs(t: Type, _: Type, x: int, y: int) -> int:
    return _held(t.signed(x) - t.signed(y), -(t.mask >> 1) - 1, t.mask >> 1)


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
UDIV  = op("udiv", "T = T, T", lambda t, d, x, y: x // y if y else 0, "unsigned quotient; 0 when dividing by 0", lanes=False)
SDIV  = op("sdiv", "T = T, T", _sdiv, "signed quotient towards zero; 0 when dividing by 0, wraps on overflow", lanes=False)
UREM  = op("urem", "T = T, T", lambda t, d, x, y: x % y if y else x, "unsigned remainder; the dividend when dividing by 0", lanes=False)
SREM  = op("srem", "T = T, T", _srem, "signed remainder, sign of the dividend; the dividend when dividing by 0", lanes=False)
CLZ   = op("clz",  "T = T", _clz,   "leading zeros; the width for 0")
CTZ   = op("ctz",  "T = T", _ctz,   "trailing zeros; the width for 0")
POPCNT = op("popcnt", "T = T", lambda t, d, x: x.bit_count(), "number of one bits")
UDIV2 = op("udiv2", "i64 = i64, i64, i64", _udiv2, "unsigned quotient of the first two, high and low, by the third; 0 if it does not fit", lanes=False)
PDEP  = op("pdep", "T = T, T", _pdep, "the low bits of the first at the places of the second's ones", lanes=False)
PEXT  = op("pext", "T = T, T", _pext, "the first's bits at the places of the second's ones, gathered low", lanes=False)
CRC32 = op("crc32", "i32 = T, i32", _crc32, "CRC-32C of the first, going on from the second", lanes=False)
BSWAP = op("bswap", "T = T", _bswap, "bytes in reverse order")

SMIN  = op("smin", "T = T, T", lambda t, d, x, y: min(t.signed(x), t.signed(y)), "the lesser, signed", commutes=True)
SMAX  = op("smax", "T = T, T", lambda t, d, x, y: max(t.signed(x), t.signed(y)), "the greater, signed", commutes=True)
UMIN  = op("umin", "T = T, T", lambda t, d, x, y: min(x, y), "the lower, unsigned", commutes=True)
UMAX  = op("umax", "T = T, T", lambda t, d, x, y: max(x, y), "the higher, unsigned", commutes=True)
IABS  = op("iabs", "T = T", lambda t, d, x: abs(t.signed(x)), "without its sign; the least number stays")
SADDS = op("sadds", "T = T, T", _sadds, "signed sum, held at the ends of the range", commutes=True)
UADDS = op("uadds", "T = T, T", lambda t, d, x, y: min(x + y, t.mask), "unsigned sum, held at the end of the range", commutes=True)
SSUBS = op("ssubs", "T = T, T", _ssubs, "signed difference, held at the ends of the range")
USUBS = op("usubs", "T = T, T", lambda t, d, x, y: max(x - y, 0), "unsigned difference, held at 0")
UAVG  = op("uavg", "T = T, T", lambda t, d, x, y: x + y + 1 >> 1, "unsigned mean, rounded up", commutes=True)
UMULH = op("umulh", "T = T, T", _umulh, "high half of the unsigned product", commutes=True)
SMULH = op("smulh", "T = T, T", _smulh, "high half of the signed product", commutes=True)

EQ    = op("eq",  "i1 = T, T", lambda t, d, x, y: x == y, "equal", commutes=True)
NE    = op("ne",  "i1 = T, T", lambda t, d, x, y: x != y, "not equal", commutes=True)
ULT   = op("ult", "i1 = T, T", lambda t, d, x, y: x < y,  "below, unsigned")
ULE   = op("ule", "i1 = T, T", lambda t, d, x, y: x <= y, "below or equal, unsigned")
SLT   = op("slt", "i1 = T, T", lambda t, d, x, y: t.signed(x) < t.signed(y),  "less, signed")
SLE   = op("sle", "i1 = T, T", lambda t, d, x, y: t.signed(x) <= t.signed(y), "less or equal, signed")
SELECT = op("select", "T = i1, T, T", None, "the second if the first is set, else the third", lanes=True)

ZEXT  = op("zext",  "T = B", lambda t, d, x: x, "widen with zeros")
SEXT  = op("sext",  "T = B", lambda t, d, x: t.signed(x), "widen with the sign")
TRUNC = op("trunc", "T = B", lambda t, d, x: x, "keep the low bits")
BITCAST = op("bitcast", "T = B", lambda t, d, x: x, "the same bits as another type of the width", lanes=False)

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

SPLAT   = op("splat",   "T = B",    None, "a vector with that number in every lane")
EXTRACT = op("extract", "T = B",    None, "one lane of a vector, by its number")
INSERT  = op("insert",  "T = T, B", None, "the vector with another value in one lane, by its number")
SHUFFLE = op("shuffle", "T = B, B", None, "a vector of lanes of two vectors, numbered through from the first to the second")
SIMD    = op("simd",    "T = *",    None, "what one vector instruction does, as tcg/simd.py says")
SIMDF   = op("simdf",   "T = *",    None, "the same with floats; raises all flags, and the first NaN comes back", effects=True)
FPGET   = op("fpget",   "i32 =",    None, "the FP environment as MXCSR has it, without its masks", effects=True, barrier=True)
FPPUT   = op("fpput",   "= i32",    None, "replace the FP environment by what MXCSR says, but for its masks", effects=True, barrier=True)
FTOINT  = op("ftoint",  "T = f80",  None, "an f80 to a signed integer, rounded as its environment says; what does not fit gives the least")
FTOCUT  = op("ftocut",  "T = f80",  None, "an f80 to a signed integer, towards zero; what does not fit gives the least")
FMATH   = op("fmath",   "T = *",    None, "a function of f80 numbers, as tcg/fmath.py says")
FMATHCC = op("fmathcc", "i32 = f80", None, "the condition codes that the `fmath` which gave this value left")
F80FLAGS = op("f80flags", "i32 =",  None, "the sticky flags of f80 operations, with 2 for denormal operands", barrier=True)
F80SET  = op("f80set",  "= i32",    None, "set the sticky flags of f80 operations", effects=True, barrier=True)
F80CONTROL = op("f80control", "= i32", None, "round f80 as x87's control word says: bits 8 and 9 precision, 10 and 11 mode", effects=True, barrier=True)
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

RAISING_FLAGS = FLOAT_OPS | {FTOINT, FTOCUT, FMATH}
"""Ops that are done for the sticky flags they set, where somebody looks at those."""


def lanewise(meaning: Meaning) -> Meaning:
    """The meaning on vectors of what is a meaning on their lanes.

    An i1 beside vectors, as select may have, counts for all lanes; so does the FP environment.
    """

    def each(t: Type, d: Type, *values: Any) -> int:
        assert d.lane is not None
        assert t.lane is not None
        split = [t.split(v) if isinstance(v, int) else [v] * t.lanes for v in values]
        return d.join(int(meaning(t.lane, d.lane, *lanes)) for lanes in zip(*split, strict=True))

    return each
