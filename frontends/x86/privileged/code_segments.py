"""Code segments: whether a transfer may lead to one, and going there (SDM vol. 3, 5.8)."""

from __future__ import annotations

from dataclasses import dataclass

from frontends.x86.privileged.builder import SystemX86
from frontends.x86.privileged.descriptors import Descriptor, error_code, fetch, is_null
from frontends.x86.privileged.loading import Loaded, real_segment
from frontends.x86.privileged.stacks import is_canonical
from frontends.x86.state import CS
from frontends.x86.system_state import ACCESSED, BIG, LONG_CODE
from tcg.frontend import GuestException
from tcg.ir import Operand, Value
from tcg.state import HEADER
from tcg.types import I16, I32, I64


@dataclass(frozen=True, slots=True)
class Code:
    """A code segment that may be gone to: its descriptor, and the level that CPL will be."""

    found: Descriptor
    level: Value

    def check_target(self, target: Value, code: Operand = 0) -> None:
        """#GP unless the segment contains the target, or it is canonical in 64-bit code."""
        c = self.found.c
        beyond = target.trunc(I32).ugt(self.found.limit)
        if c.is_long:
            beyond = c.select(self.found.is_long, ~is_canonical(target), beyond)
        c.fault_with_code(GuestException.PROTECTION, code, beyond)

    def put(self) -> None:
        """CS <- the segment; CPL <- the level."""
        c, found = self.found.c, self.found
        selector = found.selector & 0xFFFC | self.level.zext(I16)
        base = found.base
        if c.is_long:
            base = c.select(found.is_long, 0, base, c.word)
        Loaded(selector, base, found.limit, found.rights | ACCESSED).put(c, CS)
        c.put(c.slots["cpl"], self.level)


def fetch_code(c: SystemX86, selector: Value, external: Operand = 0) -> Descriptor:
    """The descriptor of code that a selector names; #GP if it names something else."""
    no_code = c.value(I32, external)
    c.fault_with_code(GuestException.PROTECTION, no_code, is_null(selector))
    return fetch(c, selector, external=external)


def refuse(found: Descriptor, wrong: Value, external: Operand = 0) -> None:
    """#GP with the selector if something is wrong, #NP if the segment is not there.

    In long mode code cannot be of 64 and of 32 bits.
    """
    c = found.c
    if c.is_long:
        both = LONG_CODE | BIG
        wrong = wrong | (found.high & both).eq(both)
    code = error_code(found.selector, external)
    c.fault_with_code(GuestException.PROTECTION, code, wrong)
    c.fault_with_code(GuestException.NOT_PRESENT, code, found.is_absent)


def jump_to(found: Descriptor) -> Code:
    """What a far jump or call leads to without a gate: code of the same level."""
    cpl = found.c.cpl
    is_outer = found.dpl.ugt(cpl)
    is_other = found.rpl.ugt(cpl) | found.dpl.ne(cpl)
    refuse(found, found.c.select(found.is_conforming, is_outer, is_other))
    found.mark_accessed()
    return Code(found, cpl)


def return_to(found: Descriptor) -> Code:
    """What a return leads to: code of the level that the selector says, not of an inner one."""
    c, rpl, dpl = found.c, found.rpl, found.dpl
    wrong = ~found.is_code | rpl.ult(c.cpl)
    wrong = wrong | c.select(found.is_conforming, dpl.ugt(rpl), dpl.ne(rpl))
    refuse(found, wrong)
    found.mark_accessed()
    return Code(found, rpl)


def gate_to(c: SystemX86, selector: Value, external: Operand = 0) -> Descriptor:
    """What a gate leads to: code that is not of an outer level."""
    found = fetch_code(c, selector, external)
    wrong = ~found.is_code | found.dpl.ugt(c.cpl)
    refuse(found, wrong, external)
    return found


def go_real(c: SystemX86, selector: Value, target: Value, *, in_same_mode: bool = True) -> None:
    """CS:rIP <- selector:target in real and virtual-8086 mode.

    The mode stays unless flags have changed.
    """
    loaded = real_segment(c, CS, selector)
    loaded.put(c, CS)
    if not in_same_mode:
        c.jump_far(target)
        return
    c.flags.flush()
    c.put(HEADER["code_space"], loaded.base.trunc(I32).zext(I64) << 32)
    c.jump(target, hint="far")
