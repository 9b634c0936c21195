"""FPSCR: how it is put together, and the instructions that read and write it.  Book I, 4.6.8."""

from __future__ import annotations

from frontends.insn import insn
from frontends.ppc import fpscr_bits as bits
from frontends.ppc.context import Field, Ppc
from frontends.ppc.float_nan import INFINITY, SIGN, Operand
from frontends.ppc.state import ASK_FLOAT_CHECKS
from tcg import ops
from tcg.build import Builder
from tcg.fields import field_function
from tcg.frontend import GuestException
from tcg.ir import Helper, Value
from tcg.ir import Operand as Number
from tcg.types import F64, I1, I32, I64, VOID

# -- exceptions ------------------------------------------------------------------------------------


def note(c: Ppc, raised: Value) -> None:
    """These exceptions have happened; `read` says what that means to FPSCR."""
    c.fpscr_raised = c.fpscr_raised | raised


def host_exceptions(c: Ppc) -> Value:
    """The exceptions that the host's register has collected, as FPSCR bits."""
    flags = c.emit(ops.FPFLAGS, I32)
    raised = c.const(I32, 0)
    for host, guest in bits.HOST_FLAGS:
        raised = raised | (flags & host) << guest.bit_length() - host.bit_length()
    return raised


def take_host_flags(c: Ppc) -> Value:
    """The exceptions that the host's register has collected; it forgets them."""
    raised = host_exceptions(c)
    c.emit(ops.FPSET, VOID, (c.const(I32, 0),))
    return raised


def read_exceptions(c: Ppc) -> Value:
    """FPSCR less its summaries, with FPRF as it may be.  FX if a cause that was 0 has happened."""
    stored = c.fpscr
    raised = host_exceptions(c) | c.fpscr_raised
    return stored | raised | c.select((raised & ~stored).ne(0), bits.FX, 0)


def with_summaries(c: Ppc, fpscr: Value) -> Value:
    """`fpscr` with VX and FEX, which follow from its other bits."""
    vx = c.select((fpscr & bits.VX_CAUSES).ne(0), bits.VX, 0)
    causes = fpscr & ~bits.VX | vx
    enabled = causes & (fpscr & bits.ENABLES) << bits.ENABLE_SHIFT
    return causes & ~bits.FEX | c.select(enabled.ne(0), bits.FEX, 0)


def copy_to_cr1(c: Ppc) -> None:
    """CR1 <- FX, FEX, VX, OX: what Rc = 1 means to a floating-point instruction (Book I, 2.3.1)."""
    fpscr = with_summaries(c, read_exceptions(c))
    c.set_cr(1, *(c.flag(fpscr, shift) for shift in (31, 30, 29, 28)))


# -- the whole register ----------------------------------------------------------------------------


def _class_of_result(b: Builder, params: tuple[Value, ...]) -> Value:
    value, is_single = params
    operand = Operand(value)
    least_normal = b.select(is_single, 897 << 52, 1 << 52, I64)
    classes = (
        (operand.is_zero, bits.FPRF_ZERO),
        (operand.magnitude.ult(least_normal), bits.FPRF_DENORMAL),
        (operand.magnitude.ult(INFINITY), bits.FPRF_NORMAL),
    )
    positive, negative = (b.const(I32, n) for n in (bits.FPRF_INFINITY, 0x09))
    for holds, number in reversed(classes):
        positive = b.select(holds, number, positive)
        negative = b.select(holds, bits.FPRF_NEGATIVE[number], negative)
    signed = b.select((operand.bits & SIGN).ne(0), negative, positive)
    return b.select(operand.is_nan, bits.FPRF_NAN, signed)


def _comparison(b: Builder, params: tuple[Value, ...]) -> Value:
    x, y = params
    ordered = b.select(x.flt(y), bits.FPCC_LESS, b.select(y.flt(x), bits.FPCC_GREATER, 2, I32))
    return b.select(x.funo(y), bits.FPCC_UNORDERED, ordered)


CLASS_OF_RESULT = Helper("ppc_class_of_result", (F64, I1), I32, _class_of_result, pure=False)
"""FPRF of a result, and whether it is one of single precision.  (Not pure: built in place.)"""
COMPARISON = Helper("ppc_comparison", (F64, F64), I32, _comparison, pure=False)
"""FPCC of a compare."""


def read_fprf(c: Ppc, fpscr: Value) -> Value:
    """FPRF in its place: that of `fpscr`, or what has to be found out now."""
    kind = c.fprf_kind.zext(I32)
    is_single = (kind & 3).eq(bits.SINGLE_RESULT)
    of_result = c.call(CLASS_OF_RESULT, c.fprf_value, is_single) << bits.FPRF_SHIFT
    fprf = c.select((kind & 3).eq(bits.EXPLICIT), fpscr & bits.FPRF, of_result)
    compared = c.call(COMPARISON, c.fpcc_a, c.fpcc_b) << bits.FPRF_SHIFT
    return c.select((kind & bits.COMPARED).ne(0), fprf & bits.FPRF_C | compared, fprf)


def read(c: Ppc) -> Value:
    """FPSCR, less its summaries; nothing is changed by looking."""
    fpscr = read_exceptions(c)
    return fpscr & ~bits.FPRF | read_fprf(c, fpscr)


def write(c: Ppc, fpscr: Value) -> None:
    """FPSCR <- fpscr, of which the summaries do not matter.

    What the host has collected may stay there if FPSCR has it too, as it mostly has when a function
    puts back what it found.
    """
    set_rounding(c, c.fpscr, fpscr)
    with c.when((host_exceptions(c) & ~fpscr).ne(0), likely=False):
        c.emit(ops.FPSET, VOID, (c.const(I32, 0),))
    c.fpscr = fpscr & ~bits.SUMMARIES
    c.fpscr_raised = 0
    c.fprf_kind = bits.EXPLICIT


def set_rounding(c: Ppc, old: Value, new: Value) -> None:
    """Round as RN of `new` says; most that is written to FPSCR has the RN that was there."""
    with c.when(((old ^ new) & bits.RN).ne(0), likely=False):
        c.emit(ops.FPROUND, VOID, ((-new) & bits.RN,))


def leave_if_enabled(c: Ppc) -> None:
    """Raise exceptions that are enabled now, if MSR has them raised at all.

    If some can be raised later, the client has to switch to translations that look for them.
    """
    with c.when(c.traps_floats, likely=False):
        fpscr = with_summaries(c, read_exceptions(c))
        c.raise_(GuestException.FLOAT, c.pc, when=c.flag(fpscr, 30))
        if not c.checks_floats:
            with c.when((fpscr & bits.ENABLES).ne(0), likely=False):
                c.ask(ASK_FLOAT_CHECKS, c.next_pc)


def finish(c: Ppc, rc: Field) -> None:
    """The end of what writes FPSCR."""
    if rc:
        copy_to_cr1(c)
    leave_if_enabled(c)


# -- instructions ----------------------------------------------------------------------------------


@insn
def mffs(c: Ppc, frt: Field, rc: Field) -> None:
    """frT <- FPSCR; the manual leaves the upper half undefined"""
    c.fpr[frt] = with_summaries(c, read(c)).zext(I64).bitcast(F64)
    if rc:
        copy_to_cr1(c)


@field_function
def field_shift(crf: int) -> int:
    """How far a four-bit field of FPSCR is from its right end."""
    return 28 - 4 * crf


@field_function
def fields_mask(fm: int) -> int:
    """The bits of the FPSCR fields that a mask of eight bits names."""
    return sum(15 << 4 * i for i in range(8) if fm >> i & 1)


@insn
def mcrfs(c: Ppc, crfd: Field, crfs: Field) -> None:
    """CR[BF] <- FPSCR field BFA; its exception bits <- 0"""
    fpscr = read(c)
    shift = c.value(I32, field_shift(crfs))
    field = with_summaries(c, fpscr) >> shift
    c.set_cr(crfd, *(c.flag(field, bit) for bit in (3, 2, 1, 0)))
    write(c, fpscr & ~(c.const(I32, 15) << shift & (bits.CAUSES | bits.FX)))


def replace(c: Ppc, fields: Number, value: Value, rc: Field) -> None:
    """The named bits of FPSCR <- those of `value`, but for the summaries."""
    mask = c.value(I32, fields) & ~bits.SUMMARIES
    write(c, read(c) & ~mask | value & mask)
    finish(c, rc)


def replace_controls(c: Ppc, fields: Number, value: Value, rc: Field) -> None:
    """The same for bits of the last field: XE, NI, RN, of which no exception knows."""
    old = c.fpscr
    mask = c.value(I32, fields)
    new = old & ~mask | value & mask
    set_rounding(c, old, new)
    c.fpscr = new
    finish(c, rc)


@insn
def mtfsf(c: Ppc, fm: Field, frb: Field, rc: Field) -> None:
    """The fields of FPSCR that FLM names <- theirs in (frB)32:63"""
    value = c.fpr[frb].bitcast(I64).trunc(I32)
    if fm == 0xFF:
        write(c, value)
        finish(c, rc)
    elif fm == 1:
        replace_controls(c, 15, value, rc)
    else:
        replace(c, fields_mask(fm), value, rc)


@insn
def mtfsfi(c: Ppc, crfd: Field, imm: Field, rc: Field) -> None:
    """FPSCR field BF <- U"""
    if crfd == 7:
        replace_controls(c, 15, c.value(I32, imm), rc)
        return
    shift = field_shift(crfd)
    replace(c, 15 << shift, c.value(I32, imm << shift), rc)


@insn
def mtfsb0(c: Ppc, bt: Field, rc: Field) -> None:
    """FPSCR[BT] <- 0"""
    change = replace_controls if bt >= 28 else replace
    change(c, 1 << 31 - bt, c.const(I32, 0), rc)


@insn
def mtfsb1(c: Ppc, bt: Field, rc: Field) -> None:
    """FPSCR[BT] <- 1; an exception bit that was 0 also sets FX"""
    if bt >= 28:
        replace_controls(c, 1 << 31 - bt, c.const(I32, 15), rc)
        return
    old = read(c)
    bit = c.value(I32, 1 << 31 - bt) & ~bits.SUMMARIES
    news = (bit & ~old & bits.CAUSES).ne(0)
    write(c, old | bit | c.select(news, bits.FX, 0))
    finish(c, rc)
