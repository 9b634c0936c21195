"""Compare and exchange, exchange and add (SDM vol. 3, 8.1.2.2): LOCK is the host's own atomics."""

from __future__ import annotations

from frontends.insn import insn
from frontends.x86.context import X86, access
from frontends.x86.multiply import accumulator
from frontends.x86.operands import locks_itself
from frontends.x86.state import AX, BX, CX, DX
from tcg.frontend import GuestException
from tcg.ir import Value
from tcg.types import I32, I64, I128, Type


def is_memory(c: X86) -> bool:
    """Whether the row's first operand is memory, of which functions get the address."""
    return c.row.operands[0].letter == "M"


@insn
@locks_itself
def cmpxchg(c: X86, dst: Value, src: Value) -> None:
    """If dst is the accumulator, dst <- src; else the accumulator <- dst.  Flags as of CMP.

    The register that is not written stays whole, its upper half too.
    """
    expected = accumulator(c, src.type)
    if not is_memory(c):
        old = dst
        is_equal = old.eq(expected)
        with c.when(is_equal):
            c.operands.store(c.row.operands[0], src)
    elif c.lock:
        old = c.cas(access(src.type), dst, expected, src)
        is_equal = old.eq(expected)
    else:
        old = c.load_le(src.type, dst)
        is_equal = old.eq(expected)
        c.store_le(dst, c.select(is_equal, src, old))
    _write_accumulator(c, is_equal, old)
    c.flags.set_sub(expected, old, expected - old)


def _write_accumulator(c: X86, is_equal: Value, old: Value) -> None:
    """rAX <- old, unless the comparison held."""
    before = c.get_file(c.state.gpr, AX)
    new = old.zext(c.word)
    if old.type.bits < 32:
        new = before & ~old.type.mask | new
    c.put_file(c.state.gpr, AX, c.select(is_equal, before, new))


@insn
@locks_itself
def xadd(c: X86, dst: Value, src: Value) -> None:
    """src <- dst, dst <- their sum"""
    if not is_memory(c):
        old = dst
    elif c.lock:
        old = c.rmw("add", dst, src)
    else:
        old = c.load_le(src.type, dst)
    result = old + src
    if is_memory(c) and not c.lock:
        c.store_le(dst, result)
    c.operands.store(c.row.operands[1], old)
    if not is_memory(c):
        c.operands.store(c.row.operands[0], result)
    c.flags.set_add(old, src, result)


def _pair(c: X86, high: int, low: int, type_: Type) -> Value:
    """Two registers as one value of `type_`."""
    half = type_.bytes // 2
    shifted = c.read_gpr(high, half).zext(type_) << 8 * half
    return shifted | c.read_gpr(low, half).zext(type_)


@insn
@locks_itself
def cmpxchg8b(c: X86, address: Value) -> None:
    """If memory is rDX:rAX, memory <- rCX:rBX and ZF <- 1; else rDX:rAX <- memory and ZF <- 0

    Sixteen bytes must be aligned (#GP).
    """
    half, type_ = (I64, I128) if c.opsize == 8 else (I32, I64)
    if type_ is I128:
        c.fault(GuestException.PROTECTION, when=(address & 15).ne(0))
    expected, new = _pair(c, DX, AX, type_), _pair(c, CX, BX, type_)
    old = c.cas(access(type_), address, expected, new)
    is_equal = old.eq(expected)
    with c.when(~is_equal):
        c.write_gpr(AX, half.bytes, old.trunc(half))
        c.write_gpr(DX, half.bytes, (old >> half.bits).trunc(half))
    c.flags.set(zf=is_equal)
