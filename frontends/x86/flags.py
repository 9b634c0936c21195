"""EFLAGS as semantic functions see it: what they set is collected, and put when all else is done.

A function sets flags while its result may still have to be stored to memory, and a store that
faults leaves the flags alone (SDM vol. 3, 6.5: faults restart the instruction).  So `set` only
notes the values; `flush` emits the puts.  Reading a flag always gives the old one.

What the manual leaves undefined is set as docs/x86.md says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from frontends.x86.state import AF, FIXED_FLAGS, SINGLE_FLAGS
from tcg.ir import Operand, Value
from tcg.types import I1, I8, I32

if TYPE_CHECKING:
    from frontends.x86.context import X86


class Flags:
    """The status flags of one instruction."""

    __slots__ = ("_c", "_pending", "_when")

    def __init__(self, c: X86) -> None:
        self._c = c
        self._pending: dict[str, Value] = {}
        self._when: Value | None = None

    # -- reading ---------------------------------------------------------------------------

    def get(self, name: str) -> Value:
        """CF, ZF, SF, OF or DF by its slot's name: one bit."""
        return self._c.get(self._c.slots[name])

    @property
    def cf(self) -> Value:
        """CF before the instruction."""
        return self.get("cf")

    @property
    def parity(self) -> Value:
        """PF before the instruction: even parity of the byte that is kept."""
        return (self._c.get(self._c.slots["pf"]).popcnt() & 1).eq(0)

    @property
    def adjust(self) -> Value:
        """AF before the instruction."""
        return (self._c.get(self._c.slots["af"]) & 0x10).ne(0)

    def word(self) -> Value:
        """EFLAGS before the instruction, as pushf sees it."""
        word = self._c.get(self._c.slots["eflags"]) | FIXED_FLAGS
        for name, bit in SINGLE_FLAGS:
            word = word | self.get(name).zext(I32) << bit.bit_length() - 1
        word = word | self.parity.zext(I32) << 2
        return word | (self._c.get(self._c.slots["af"]) & AF).zext(I32)

    # -- setting ---------------------------------------------------------------------------

    def set(self, **values: Operand) -> None:
        """Note new flags: cf zf sf of df as bits, pf as a byte of that parity, af in bit 4."""
        for name, value in values.items():
            type_ = I8 if name in ("pf", "af") else I1
            self._pending[name] = self._c.value(type_, value)

    def set_parity(self, is_even: Value) -> None:
        """PF <- a bit"""
        self.set(pf=is_even.zext(I8) ^ 1)

    def set_adjust(self, carry: Value) -> None:
        """AF <- a bit"""
        self.set(af=carry.zext(I8) << 4)

    def set_result(self, result: Value) -> None:
        """ZF, SF and PF as the result says (SDM vol. 1, 3.4.3.1)."""
        self.set(zf=result.eq(0), sf=result.slt(0), pf=result.trunc(I8))

    def set_logic(self, result: Value) -> None:
        """ZF, SF, PF from the result; CF and OF cleared, and AF, which is undefined."""
        self.set_result(result)
        self.set(cf=0, of=0, af=0)

    def set_add(self, a: Value, b: Value, result: Value, carry: Value | None = None) -> None:
        """All flags of result = a + b + carry."""
        self.set_result(result)
        self.set(cf=_carry(a, result, carry), of=((a ^ result) & (b ^ result)).slt(0))
        self.set(af=(a ^ b ^ result).trunc(I8))

    def set_sub(self, a: Value, b: Value, result: Value, borrow: Value | None = None) -> None:
        """All flags of result = a - b - borrow.

        Without a borrow OF is `a < b` against the sign of the result, so that `jl`, which asks
        whether they differ, comes down to the comparison itself.
        """
        self.set_result(result)
        self.set(af=(a ^ b ^ result).trunc(I8))
        if borrow is None:
            self.set(zf=a.eq(b), cf=a.ult(b), of=a.slt(b) ^ self._pending["sf"])
            return
        self.set(cf=a.ult(b) | (borrow & a.eq(b)), of=((a ^ b) & (a ^ result)).slt(0))

    def only_when(self, condition: Value) -> None:
        """What is set in this instruction counts only if `condition` holds: shifts by CL."""
        self._when = condition

    # -- the end of the instruction ----------------------------------------------------------

    def flush(self) -> None:
        """Put what was set."""
        for name, value in self._pending.items():
            slot = self._c.slots[name]
            if self._when is not None:
                value = self._c.select(self._when, value, self._c.get(slot))
            self._c.put(slot, value)
        self._pending.clear()
        self._when = None


def _carry(a: Value, result: Value, carry: Value | None) -> Value:
    wrapped = result.ult(a)
    return wrapped if carry is None else wrapped | (carry & result.eq(a))


def condition(flags: Flags, number: int) -> Value:
    """Whether condition `number`, tttn in SDM vol. 2, B.1.4.7, holds.

    Each odd one is the opposite of the one before.
    """
    match number >> 1:
        case 0:
            holds = flags.get("of")
        case 1:
            holds = flags.cf
        case 2:
            holds = flags.get("zf")
        case 3:
            holds = flags.cf | flags.get("zf")
        case 4:
            holds = flags.get("sf")
        case 5:
            holds = flags.parity
        case 6:
            holds = flags.get("sf") ^ flags.get("of")
        case _:
            holds = flags.get("zf") | (flags.get("sf") ^ flags.get("of"))
    return ~holds if number & 1 else holds
