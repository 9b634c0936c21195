"""Instructions on flags (SDM vol. 1, 7.3.13).

The single-step flag TF is kept and does nothing here: stepping is the debugger's business.  IF and
IOPL are not a program's to change.
"""

from __future__ import annotations

from frontends.insn import insn
from frontends.x86.context import SIZES, X86
from frontends.x86.state import (
    AC,
    AF,
    AX,
    CF,
    DF,
    FIXED_FLAGS,
    ID,
    NT,
    OF,
    OTHER_FLAGS,
    PF,
    RF,
    SF,
    TF,
    VM,
    ZF,
)
from tcg.frontend import GuestException
from tcg.ir import Value
from tcg.types import I8, I32

BITS = (("cf", CF), ("zf", ZF), ("sf", SF), ("of", OF), ("df", DF))
CHANGEABLE = TF | NT | AC | ID
"""What POPF changes at CPL 3, beside the flags that have slots of their own."""
HIDDEN = RF | VM
"""What PUSHF shows as zero."""


def _at(flag: Value, bit: int) -> Value:
    """A flag at its place in EFLAGS."""
    shift = bit.bit_length() - 1
    wide = flag.zext(I32)
    return wide << shift if shift else wide


def read_flags(c: X86) -> Value:
    """EFLAGS as PUSHF pushes it."""
    word = c.get(c.slots["eflags"]) & (OTHER_FLAGS & ~HIDDEN) | FIXED_FLAGS
    for name, bit in BITS:
        word = word | _at(c.flags.get(name), bit)
    return word | _at(c.flags.parity, PF) | _at(c.flags.adjust, AF)


def set_flags(c: X86, word: Value, names: tuple[str, ...]) -> None:
    """Take the flags with these names from their places in a word, PF and AF always."""
    for name, bit in BITS:
        if name in names:
            c.flags.set(**{name: (word & bit).ne(0)})
    c.flags.set_parity((word & PF).ne(0))
    c.flags.set(af=(word & AF).trunc(I8))


def write_flags(c: X86, word: Value, size: int) -> None:
    """EFLAGS <- word, as far as a program may; `size`: how many bytes of it count."""
    set_flags(c, word, ("cf", "zf", "sf", "of", "df"))
    mask = CHANGEABLE & 0xFFFF if size < 4 else CHANGEABLE
    kept = c.get(c.slots["eflags"]) & ~(mask | RF)
    c.put(c.slots["eflags"], kept | word & mask)


@insn
def pushf(c: X86) -> None:
    """push EFLAGS"""
    size = int(c.opsize)
    word = read_flags(c)
    c.push(word.trunc(SIZES[size]) if size < 4 else word.zext(SIZES[size]))


@insn
def popf(c: X86) -> None:
    """EFLAGS <- pop, as far as a program may"""
    size = int(c.opsize)
    popped = c.pop(size)
    word = popped.zext(I32) if size < 4 else popped.trunc(I32)
    write_flags(c, word, size)


@insn
def lahf(c: X86) -> None:
    """AH <- SF ZF AF PF CF"""
    word = read_flags(c) & (SF | ZF | AF | PF | CF | FIXED_FLAGS)
    c.merge(AX, word.trunc(I8), 8)


@insn
def sahf(c: X86) -> None:
    """SF ZF AF PF CF <- AH"""
    word = c.read_gpr(AX, 4) >> 8
    set_flags(c, word, ("cf", "zf", "sf"))


@insn
def clc(c: X86) -> None:
    """CF <- 0"""
    c.flags.set(cf=0)


@insn
def stc(c: X86) -> None:
    """CF <- 1"""
    c.flags.set(cf=1)


@insn
def cmc(c: X86) -> None:
    """CF <- its opposite"""
    c.flags.set(cf=~c.flags.cf)


@insn
def cld(c: X86) -> None:
    """DF <- 0: string instructions go upwards"""
    c.flags.set(df=0)


@insn
def std(c: X86) -> None:
    """DF <- 1: string instructions go downwards"""
    c.flags.set(df=1)


@insn("cli", "sti")
def cli(c: X86) -> None:
    """IF is not for programs (#GP)"""
    c.fault(GuestException.PROTECTION)
