"""EFLAGS with the parts that are the system's: IF, IOPL, VM, RF (SDM vol. 1, 3.4.3.3; vol. 3, 2.3).

`put_eflags` is the one way to write the slot: an interrupt that waits for IF makes the guest leave.
"""

from __future__ import annotations

from frontends.insn import insn
from frontends.x86.context import SIZES
from frontends.x86.flag_instructions import read_flags, set_flags
from frontends.x86.privileged.builder import SystemX86
from frontends.x86.state import AC, ID, IF, IOPL, NT, RF, TF, VIF, VIP, VM
from tcg.frontend import GuestException
from tcg.ir import Operand, Value
from tcg.state import HEADER
from tcg.types import I8, I16, I32

IOPL_SHIFT = 12
STATUS = ("cf", "zf", "sf", "of", "df")
FLOW = TF | NT | AC | ID
"""What anybody may change, beside the status flags."""


def iopl(c: SystemX86) -> Value:
    """The privilege level that I/O needs, a byte."""
    return (c.get(c.slots["eflags"]) >> IOPL_SHIFT).trunc(I8) & 3


def put_eflags(c: SystemX86, word: Value) -> None:
    """Write what is kept of EFLAGS in one slot.

    The event word is only ever set here: another thread may be setting it at the same time.
    """
    c.put(c.slots["eflags"], word)
    waits = c.get(c.slots["intr_wanted"]).ne(0) & (word & IF).ne(0)
    with c.when(waits, likely=False):
        c.put(HEADER["event"], 1)


def lets_one_in(c: SystemX86) -> Value:
    """Whether an interrupt waits that IF lets in now: it is taken here, and not at the next poll.

    IF may be cleared again before that: BIOSes wait by `sti; nop; pause; cli`.
    """
    wanted = c.get(c.slots["intr_wanted"]).ne(0)
    return wanted & (c.get(c.slots["eflags"]) & IF).ne(0)


def load_flags(c: SystemX86, word: Value, mask: Operand) -> Value:
    """The status flags, and those in the mask, from a word; gives what changed in the slot."""
    set_flags(c, word, STATUS)
    c.flags.flush()
    old = c.get(c.slots["eflags"])
    mask = c.value(I32, mask)
    new = old & ~mask | word & mask
    put_eflags(c, new)
    return old ^ new


def returned_flags(c: SystemX86, size: int) -> Value:
    """What IRET and POPF change with operands of `size` bytes (SDM vol. 2, IRET and POPF)."""
    common = FLOW if size >= 4 else TF | NT
    if c.is_virtual:
        return c.const(I32, common | IF)
    if not c.is_protected:
        return c.const(I32, common | IF | IOPL)
    with_if = c.select(c.cpl.ule(iopl(c)), common | IF, common)
    return c.select(c.cpl.eq(0), common | IF | IOPL, with_if)


def _require_iopl3(c: SystemX86) -> None:
    """#GP(0) in virtual-8086 mode with IOPL below 3."""
    if c.is_virtual:
        c.fault(GuestException.PROTECTION, iopl(c).ne(3))


@insn
def pushf(c: SystemX86) -> None:
    """push EFLAGS, with VM and RF as zero"""
    _require_iopl3(c)
    size = int(c.opsize)
    word = read_flags(c)
    c.push(word.trunc(I16) if size == 2 else word.zext(SIZES[size]))


@insn
def popf(c: SystemX86) -> None:
    """EFLAGS <- pop, as far as CPL and IOPL allow; RF is cleared"""
    _require_iopl3(c)
    size = int(c.opsize)
    popped = c.pop(size)
    word = popped.zext(I32) if size == 2 else popped.trunc(I32)
    mask = returned_flags(c, size)
    cleared = RF | VIF | VIP if size >= 4 else 0
    changed = load_flags(c, word & ~cleared, mask | cleared if cleared else mask)
    c.go_on_in_mode((changed & (TF | AC)).ne(0) | lets_one_in(c))


@insn
def cli(c: SystemX86) -> None:
    """IF <- 0"""
    _require_privilege(c)
    c.put(c.slots["eflags"], c.get(c.slots["eflags"]) & ~IF)


@insn
def sti(c: SystemX86) -> None:
    """IF <- 1, from the end of the next instruction on"""
    _require_privilege(c)
    old = c.get(c.slots["eflags"])
    put_eflags(c, old | IF)
    slot = c.slots["shadow"]
    following = c.value(c.word, c.next_pc)
    c.put(slot, c.select((old & IF).eq(0), following, c.get(slot)))
    c.go_on_in_mode(lets_one_in(c))


def _require_privilege(c: SystemX86) -> None:
    """#GP(0) unless IOPL allows to change IF."""
    if c.is_protected:
        c.fault(GuestException.PROTECTION, c.cpl.ugt(iopl(c)))
    else:
        _require_iopl3(c)


HIDDEN_BY_EVENTS = TF | NT | RF | VM
"""What every interrupt and exception clears (SDM vol. 3, 6.12.1.3)."""
