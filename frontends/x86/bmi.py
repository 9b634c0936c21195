"""BMI1, BMI2 and ADX: three operands, few flags (SDM vol. 1, 5.1.16)."""

from __future__ import annotations

from frontends.insn import insn
from frontends.x86.context import X86
from frontends.x86.multiply import TWICE
from frontends.x86.shift import AF_SET
from frontends.x86.state import DX
from tcg.ir import Value


def _set_flags(c: X86, result: Value, carry: Value | int) -> Value:
    """SF ZF PF of the result, CF as given, OF and AF cleared; gives the result."""
    c.flags.set_result(result)
    c.flags.set(cf=carry, of=0, af=0)
    return result


@insn
def andn(c: X86, first: Value, second: Value) -> Value:
    """dst <- ~first & second"""
    return _set_flags(c, ~first & second, 0)


@insn
def bextr(c: X86, src: Value, control: Value) -> Value:
    """dst <- control[15:8] bits of src from bit control[7:0] on; AF is set, SF cleared"""
    start, length = control & 0xFF, (control >> 8) & 0xFF
    bits = src.type.bits
    shifted = c.select(start.uge(bits), 0, src >> start)
    mask = (c.const(src.type, 1) << length) - 1
    result = c.select(length.uge(bits), shifted, shifted & mask)
    _set_flags(c, result, 0)
    c.flags.set(sf=0, af=AF_SET)
    return result


@insn
def blsi(c: X86, src: Value) -> Value:
    """dst <- the lowest bit set alone; CF <- there is one"""
    return _set_flags(c, src & -src, src.ne(0))


@insn
def blsmsk(c: X86, src: Value) -> Value:
    """dst <- ones up to the lowest bit set; CF <- there is none"""
    return _set_flags(c, src ^ (src - 1), src.eq(0))


@insn
def blsr(c: X86, src: Value) -> Value:
    """dst <- src without its lowest bit set; CF <- there is none"""
    return _set_flags(c, src & (src - 1), src.eq(0))


@insn
def bzhi(c: X86, src: Value, index: Value) -> Value:
    """dst <- src with zeros from bit index[7:0] on; CF <- that is no bit of src"""
    number = index & 0xFF
    outside = number.uge(src.type.bits)
    mask = (c.const(src.type, 1) << number) - 1
    return _set_flags(c, c.select(outside, src, src & mask), outside)


@insn
def pdep(c: X86, src: Value, mask: Value) -> Value:
    """dst <- the low bits of src at the places of the mask's bits"""
    return c.pdep(src, mask)


@insn
def pext(c: X86, src: Value, mask: Value) -> Value:
    """dst <- the bits of src at the places of the mask's bits, gathered at the right end"""
    return c.pext(src, mask)


@insn
def mulx(c: X86, low_register: Value, src: Value) -> Value:
    """dst:second <- rDX * src, unsigned; the high half wins where both are one register"""
    wide = TWICE[src.type]
    product = c.read_gpr(DX, src.type.bytes).zext(wide) * src.zext(wide)
    c.write_gpr(c.vvvv, src.type.bytes, product.trunc(src.type))
    return (product >> src.type.bits).trunc(src.type)


@insn
def rorx(c: X86, src: Value, count: Value) -> Value:
    """dst <- src rotated right; no flags"""
    return src.rotl(-count.zext(src.type))


@insn
def sarx(c: X86, src: Value, count: Value) -> Value:
    """dst <- src >> count, the sign in; no flags"""
    return src.sar(count)


@insn
def shlx(c: X86, src: Value, count: Value) -> Value:
    """dst <- src << count; no flags"""
    return src << count


@insn
def shrx(c: X86, src: Value, count: Value) -> Value:
    """dst <- src >> count, zeros in; no flags"""
    return src >> count


def _add_with(c: X86, flag: str, dst: Value, src: Value) -> Value:
    carry = c.flags.get(flag)
    partial = dst + src
    result = partial + carry.zext(dst.type)
    c.flags.set(**{flag: partial.ult(dst) | (carry & result.eq(0))})
    return result


@insn
def adcx(c: X86, dst: Value, src: Value) -> Value:
    """dst <- dst + src + CF; no flag but CF"""
    return _add_with(c, "cf", dst, src)


@insn
def adox(c: X86, dst: Value, src: Value) -> Value:
    """dst <- dst + src + OF; no flag but OF"""
    return _add_with(c, "of", dst, src)
