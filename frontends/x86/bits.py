"""Single bits, searches for bits, byte order, checksums (SDM vol. 1, 7.3.6 and 7.3.7)."""

from __future__ import annotations

from collections.abc import Callable

from frontends.insn import insn
from frontends.x86.context import SIZES, X86
from frontends.x86.operands import locks_itself
from tcg.ir import Value
from tcg.types import I1, I8

# -- bit tests: CF only ----------------------------------------------------------------------------


def bit_address(c: X86, offset: Value) -> Value:
    """The linear address of the word that holds bit `offset`, signed, of a string of bits.

    Words are as wide as the operand (SDM vol. 2, BT).
    """
    size = offset.type.bytes
    words = offset.sar(offset.type.bits.bit_length() - 1) * size
    wide = words.sext(c.word) if words.type.bits < c.word.bits else words
    return c.linear(c.wrap_address(c.effective_address() + wide))


def bit_operands(c: X86, target: Value, offset: Value) -> tuple[Value | None, Value]:
    """The address of the word (None: it is a register) and the offset as wide as the operand.

    `target` is a register's value or memory's address; an immediate offset stays in its word.
    """
    wide = offset.zext(SIZES[int(c.opsize)]) if offset.type is I8 else offset
    if c.row.operands[0].letter != "M":
        return None, wide
    return target if offset.type is I8 else bit_address(c, offset), wide


@insn
def bt(c: X86, target: Value, offset: Value) -> None:
    """CF <- a bit"""
    address, wide = bit_operands(c, target, offset)
    word = target if address is None else c.load_le(wide.type, address)
    c.flags.set(cf=(word >> wide).trunc(I1))


Change = Callable[[Value, Value], Value]


def change_bit(c: X86, target: Value, offset: Value, atomic: str, how: Change) -> None:
    """CF <- a bit; its word <- how(word, mask), which `atomic` does in memory."""
    address, wide = bit_operands(c, target, offset)
    mask = c.const(wide.type, 1) << wide
    if atomic == "and":
        mask = ~mask
    if address is None:
        word = target
        c.write_gpr(c.rm, wide.type.bytes, how(word, mask))
    elif c.lock:
        word = c.rmw(atomic, address, mask)
    else:
        word = c.load_le(wide.type, address)
        c.store_le(address, how(word, mask))
    c.flags.set(cf=(word >> wide).trunc(I1))


@insn
@locks_itself
def bts(c: X86, target: Value, offset: Value) -> None:
    """CF <- a bit; the bit <- 1"""
    change_bit(c, target, offset, "or", lambda word, mask: word | mask)


@insn
@locks_itself
def btr(c: X86, target: Value, offset: Value) -> None:
    """CF <- a bit; the bit <- 0"""
    change_bit(c, target, offset, "and", lambda word, mask: word & mask)


@insn
@locks_itself
def btc(c: X86, target: Value, offset: Value) -> None:
    """CF <- a bit; the bit <- its opposite"""
    change_bit(c, target, offset, "xor", lambda word, mask: word ^ mask)


# -- searches --------------------------------------------------------------------------------------


def search(c: X86, src: Value, found: Value) -> None:
    """rG <- found, but not if src is zero, which ZF tells; then rG stays whole, as on Zen.

    PF is the result's parity, the other flags are cleared.
    """
    is_zero = src.eq(0)
    size = src.type.bytes
    old = c.get_file(c.state.gpr, c.reg)
    if size == 2:
        new = old & ~0xFFFF | found.zext(c.word)
    else:
        new = found.zext(c.word)
    c.put_file(c.state.gpr, c.reg, c.select(is_zero, old, new))
    parity = c.select(is_zero, 0, found.trunc(I8), I8)
    c.flags.set(zf=is_zero, cf=0, of=0, sf=0, af=0, pf=parity)


@insn
def bsf(c: X86, src: Value) -> None:
    """rG <- number of the lowest bit set; ZF tells that there is none"""
    search(c, src, src.ctz())


@insn
def bsr(c: X86, src: Value) -> None:
    """rG <- number of the highest bit set; ZF tells that there is none"""
    search(c, src, src.type.bits - 1 - src.clz())


def set_count_flags(c: X86, src: Value, count: Value) -> None:
    """CF <- src is zero; ZF <- the count is zero; OF stays, the others are cleared"""
    c.flags.set(cf=src.eq(0), zf=count.eq(0), sf=0, af=0, pf=1)


@insn
def tzcnt(c: X86, src: Value) -> Value:
    """dst <- number of zero bits below the lowest one set"""
    count = src.ctz()
    set_count_flags(c, src, count)
    return count


@insn
def lzcnt(c: X86, src: Value) -> Value:
    """dst <- number of zero bits above the highest one set"""
    count = src.clz()
    set_count_flags(c, src, count)
    return count


@insn
def popcnt(c: X86, src: Value) -> Value:
    """dst <- number of bits set; ZF <- there is none, all other flags are cleared"""
    c.flags.set(zf=src.eq(0), cf=0, of=0, sf=0, af=0, pf=1)
    return src.popcnt()


# -- order of bytes, checksums ---------------------------------------------------------------------


@insn
def bswap(c: X86, dst: Value) -> Value:
    """dst <- its bytes in reverse; of a word, which is undefined, zero"""
    return c.const(dst.type, 0) if dst.type.bits == 16 else dst.bswap()


@insn
def movbe(c: X86, src: Value) -> Value:
    """dst <- the bytes of src in reverse"""
    return src.bswap()


@insn
def crc32(c: X86, dst: Value, src: Value) -> Value:
    """dst <- the CRC-32C of src, going on from dst"""
    return c.crc32(dst.trunc(SIZES[4]), src).zext(dst.type)
