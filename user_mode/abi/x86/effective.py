"""The addresses that an instruction was about to access, worked out again after it has faulted.

Compiled code cuts the addresses of 64-bit guests to what is reserved for them, so a fault does not
tell what the guest's address was.  It follows from the instruction and the registers, which are
exact whenever a handler could ask.  SDM vol. 1, 3.7.5.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from frontends.x86.fields import FIELDS
from frontends.x86.state import BP, DI, SI, SP, X86State
from tcg.state import GUEST_ADDRESS_MASK

if TYPE_CHECKING:
    from tcg.cpu import Cpu
    from tcg.frontend import Decoded

FS, GS = 5, 6
"""What the field `segment` says of overrides by them."""
NEAR = 1 << 16
"""How far from its operand's address an instruction may fault."""


def faulting_address(
    state: X86State, cpu: Cpu, decoded: Decoded | None, reported: int
) -> tuple[int, bool]:
    """The whole of an address of which `reported` is left; whether it was relative to the stack.

    What cannot be told is `reported` itself.
    """
    if decoded is None:
        return reported, False
    fields = dict(zip(FIELDS, decoded.fields, strict=True))
    for address, is_stack in _candidates(state, cpu, fields):
        offset = (reported - address + NEAR) & GUEST_ADDRESS_MASK
        if offset <= 2 * NEAR:
            return (address + offset - NEAR) & (1 << 64) - 1, is_stack
    return reported, False


def _candidates(state: X86State, cpu: Cpu, fields: Mapping[str, int]) -> Iterator[tuple[int, bool]]:
    """The operand in memory, then what instructions use without naming it."""
    gpr = state.gpr.slots
    if fields["rm"] < 0:
        address = cpu.get(gpr[fields["base"]]) + fields["disp"]
        address += cpu.get(gpr[fields["index"]]) << fields["scale"]
        address &= (1 << 8 * fields["addrsize"]) - 1
        if fields["segment"] in (FS, GS):
            base = "fs_base" if fields["segment"] == FS else "gs_base"
            address += cpu.get(state.layout.slots[base])
        yield address & (1 << 64) - 1, fields["base"] in (SP, BP)
    for register in (SP, SI, DI, BP):
        yield cpu.get(gpr[register]), register in (SP, BP)
