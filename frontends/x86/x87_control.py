"""x87 control, status, and the whole state in memory (SDM vol. 1, 8.1 and 8.3.10)."""

from __future__ import annotations

from frontends.insn import insn
from frontends.x86 import fpu
from frontends.x86.context import X86
from frontends.x86.sse_control import read_mxcsr, write_mxcsr
from tcg import ops
from tcg.fmath import C0, C2, C3
from tcg.frontend import GuestException
from tcg.ir import Value
from tcg.types import F80, I8, I16, I32, I64, VOID, Type

INITIAL = 0x37F
"""The control word after FNINIT: all masked, 64 bits, nearest."""


@insn("fnop", "fneni", "fndisi", "fnsetpm")
def fnop(c: X86) -> None:
    """Nothing; of what only the 8087 and the 80287 knew, not even an exception is raised"""
    if c.row.name == "fnop":
        fpu.begin(c)


@insn
def fwait(c: X86) -> None:
    """Raise what is pending"""
    fpu.begin(c)


@insn
def fldcw(c: X86, source: Value) -> None:
    """FCW <- memory"""
    fpu.begin(c)
    fpu.load_control(c, c.load_le(I16, source))


@insn
def fnstcw(c: X86, target: Value) -> None:
    """memory <- FCW"""
    c.store_le(target, c.get(c.slots["fpu_cw"]))


@insn
def fnstsw(c: X86, target: Value | None = None) -> Value | None:
    """AX or memory <- FSW"""
    word = fpu.status_word(c)
    if target is None:
        return word
    c.store_le(target, word)
    return None


@insn
def fnclex(c: X86) -> None:
    """The exceptions <- 0; condition codes stay"""
    c.emit(ops.F80SET, VOID, (c.const(I32, 0),))
    c.put(c.slots["fpu_sf"], 0)


def reset(c: X86) -> None:
    """FCW, FSW and the tags as FNINIT leaves them."""
    fpu.load_control(c, c.const(I16, INITIAL))
    fpu.load_status(c, c.const(I16, 0))
    c.put(c.slots["fpu_full"], 0)


@insn
def fninit(c: X86) -> None:
    """FCW <- 37F; FSW <- 0; all registers are empty"""
    reset(c)


# -- the environment -------------------------------------------------------------------------------


def _class(c: X86, register: int) -> Value:
    """The two bits of a tag word for a register (SDM vol. 1, 8.1.7): 0 valid, 1 zero, 2 special."""
    applied = fpu.function(c, "class", c.get(c.state.fpr.slots[register]))
    word = c.emit(ops.FMATHCC, I32, (applied,)) & (C0 | C2 | C3)
    return c.select(word.eq(C2), 0, c.select(word.eq(C3), 1, 2))


def tag_word(c: X86) -> Value:
    """The full tag word."""
    word = c.const(I32, 0)
    full = c.get(c.slots["fpu_full"])
    for i in range(8):
        is_full = (full >> i & 1).ne(0)
        word = word | c.select(is_full, _class(c, i), c.const(I32, 3)) << 2 * i
    return word.trunc(I16)


def load_tags(c: X86, word: Value) -> None:
    """Of a tag word, only what is empty counts."""
    full = c.const(I8, 0)
    for i in range(8):
        full = full | (word >> 2 * i & 3).ne(3).zext(I8) << i
    c.put(c.slots["fpu_full"], full)


def _unit(c: X86) -> Type:
    """The environment is seven words, or seven double words whose upper halves do not matter."""
    return I16 if c.opsize == 2 else I32


def environment(c: X86) -> list[Value]:
    """FCW, FSW, FTW and four words of pointers, which are not kept.

    In the 32-bit format reserved halves are all ones (SDM vol. 1, figures 8-9 to 8-12).
    """
    unit = _unit(c)
    words = [c.get(c.slots["fpu_cw"]), fpu.status_word(c), tag_word(c)]
    if unit is I32:
        words = [word.zext(I32) | 0xFFFF_0000 for word in words]
    zero = c.const(unit, 0)
    words += [zero, zero, zero, c.const(unit, 0xFFFF_0000)]
    return words


def store_backwards(c: X86, target: Value, values: list[Value]) -> None:
    """Store values behind each other, the last one first: then nothing is stored before a fault."""
    end = sum(value.type.bytes for value in values)
    for value in reversed(values):
        end -= value.type.bytes
        c.store_le(target + end, value)


def load_environment(c: X86, source: Value) -> int:
    """The inverse; gives the size in bytes.  All is read before anything is changed."""
    size = _unit(c).bytes
    control, status, tags = (c.load_le(I16, source + i * size) for i in range(3))
    c.load_le(I16, source + 6 * size)
    fpu.load_control(c, control)
    fpu.load_status(c, status)
    load_tags(c, tags)
    return 7 * size


@insn
def fnstenv(c: X86, target: Value) -> None:
    """memory <- the environment; all exceptions are masked then"""
    store_backwards(c, target, environment(c))
    fpu.load_control(c, c.get(c.slots["fpu_cw"]) | fpu.MASKS)


@insn
def fldenv(c: X86, source: Value) -> None:
    """The environment <- memory"""
    fpu.begin(c)
    load_environment(c, source)


@insn
def fnsave(c: X86, target: Value) -> None:
    """memory <- the environment, ST(0) to ST(7); then as FNINIT"""
    words = environment(c)
    stack = [c.get_file(c.state.fpr, fpu.number(c, i)) for i in range(8)]
    store_backwards(c, target, words + stack)
    reset(c)


@insn
def frstor(c: X86, source: Value) -> None:
    """The environment, ST(0) to ST(7) <- memory"""
    fpu.begin(c)
    size = 7 * _unit(c).bytes
    registers = [c.load_le(F80, source + size + 10 * i) for i in range(8)]
    load_environment(c, source)
    for i, value in enumerate(registers):
        c.put_file(c.state.fpr, fpu.number(c, i), value)


# -- FXSAVE ----------------------------------------------------------------------------------------

MXCSR_MASK = 0xFFFF
"""The bits of MXCSR that there are."""
FXSAVE_BYTES = 512
REGISTERS, VECTORS = 32, 160
"""Where ST(0) and XMM0 are in the image (SDM vol. 1, table 10-2)."""


def vector_count(c: X86) -> int:
    """XMM8 to XMM15 belong to the image in 64-bit mode only."""
    return 16 if c.mode == 64 else 8


def check_alignment(c: X86, address: Value) -> None:
    """#GP unless the image lies at a multiple of 16."""
    c.fault(GuestException.PROTECTION, when=(address & 15).ne(0))


def store_x87(c: X86, target: Value) -> None:
    """What FXSAVE stores of x87."""
    c.store_le(target, c.get(c.slots["fpu_cw"]))
    c.store_le(target + 2, fpu.status_word(c))
    c.store_le(target + 4, c.get(c.slots["fpu_full"]).zext(I32))
    for offset in (8, 16):
        c.store_le(target + offset, c.const(I64, 0))
    for i in range(8):
        at = target + REGISTERS + 16 * i
        c.store_le(at, c.get_file(c.state.fpr, fpu.number(c, i)))
        c.store_le(at + 10, c.const(I16, 0))
        c.store_le(at + 12, c.const(I32, 0))


def store_mxcsr(c: X86, target: Value) -> None:
    """MXCSR, and which of its bits there are, in FXSAVE's image."""
    c.store_le(target + 24, read_mxcsr(c))
    c.store_le(target + 28, c.const(I32, MXCSR_MASK))


def store_vectors(c: X86, target: Value) -> None:
    """The SSE registers in FXSAVE's image."""
    for i in range(vector_count(c)):
        c.store_le(target + VECTORS + 16 * i, c.get(c.state.xmm.slots[i]))


@insn
def fxsave(c: X86, target: Value) -> None:
    """memory <- the x87 state with a tag bit a register, MXCSR, the SSE registers"""
    check_alignment(c, target)
    store_x87(c, target)
    store_mxcsr(c, target)
    store_vectors(c, target)


def load_x87(c: X86, source: Value) -> None:
    """The x87 state <- FXSAVE's image"""
    control, status = (c.load_le(I16, source + at) for at in (0, 2))
    full = c.load_le(I8, source + 4)
    registers = [c.load_le(F80, source + REGISTERS + 16 * i) for i in range(8)]
    fpu.load_control(c, control)
    fpu.load_status(c, status)
    c.put(c.slots["fpu_full"], full)
    for i, value in enumerate(registers):
        c.put_file(c.state.fpr, fpu.number(c, i), value)


def load_mxcsr(c: X86, source: Value) -> Value:
    """MXCSR of FXSAVE's image; #GP for bits that there are not."""
    mxcsr = c.load_le(I32, source + 24)
    c.fault(GuestException.PROTECTION, when=(mxcsr & ~MXCSR_MASK).ne(0))
    return mxcsr


def load_vectors(c: X86, source: Value) -> None:
    """The SSE registers <- FXSAVE's image"""
    count = vector_count(c)
    vectors = [c.load_le(c.state.xmm.type, source + VECTORS + 16 * i) for i in range(count)]
    for slot, value in zip(c.state.xmm.slots, vectors, strict=False):
        c.put(slot, value)


@insn
def fxrstor(c: X86, source: Value) -> None:
    """The state <- memory; #GP for bits of MXCSR that there are not"""
    check_alignment(c, source)
    c.load_le(I64, source + FXSAVE_BYTES - 8)
    mxcsr = load_mxcsr(c, source)
    load_x87(c, source)
    load_vectors(c, source)
    write_mxcsr(c, mxcsr)
