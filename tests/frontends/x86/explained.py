"""Differences between us and the host that are known, each with its reason.

What the manual leaves undefined and never matters to a program is here, and what is still missing;
flags that are undefined after an instruction are left out of the comparison (trial.UNDEFINED).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from tests.frontends.x86 import case
from tests.frontends.x86.case import SIGBUS, SIGFPE, SIGSEGV
from tests.frontends.x86.trial import Trial, family_of

PROTECTION, PAGE_FAULT, SIMD = 13, 14, 19
NEAR = 3 << 11
"""Two units of 2**-12 each, in units of the last place of a single below 2."""
FUNCTIONS = ("fsin", "fcos", "fsincos", "fptan", "fpatan", "fyl2x", "fyl2xp1", "f2xm1")
LONG = ("t", "dq", "qq", "x", "ps", "pd", "")
"""Sizes of operands beyond 8 bytes."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One instruction's two outcomes; `names`: the parts of a case that differ."""

    trial: Trial
    before: dict[str, int]
    ours: dict[str, int]
    theirs: dict[str, int]
    names: AbstractSet[str]

    @property
    def both_fault(self) -> bool:
        """Both had a page fault."""
        ends = {(state["ended"], state["exit"]) for state in (self.ours, self.theirs)}
        return ends == {(SIGSEGV, PAGE_FAULT)}


def repeated_compare(d: Difference) -> bool:
    """A repeated string comparison that faults: which operand, and the flags (undefined)."""
    is_compare = d.trial.row.function in ("cmps", "scas")
    return is_compare and d.both_fault and d.names <= {"address", "flags"}


def pop_all(d: Difference) -> bool:
    """POPA that faults: which registers have been written, and at which byte."""
    return d.trial.row.function == "popa" and d.both_fault


def overlapping_frames(d: Difference) -> bool:
    """ENTER copies frame pointers onto others that it has yet to copy: which come first."""
    return d.trial.row.function == "enter" and d.names <= {"memory"}


def movsxd_of_a_word(d: Difference) -> bool:
    """AMD's processors read 32 bits where the manual has 16, and fault if they are not there."""
    faulted = (d.theirs["ended"], d.theirs["exit"]) == (SIGSEGV, PAGE_FAULT)
    return d.trial.row.function == "movsxd" and faulted and not d.ours["ended"]


def long_operand(d: Difference) -> bool:
    """At which byte of an operand longer than 8 bytes a fault is."""
    is_long = any(o.size in LONG for o in d.trial.row.operands)
    return is_long and d.both_fault and d.names == {"address"}


def misaligned_mode(d: Difference) -> bool:
    """Bit 17 of MXCSR, which AMD's processors have and Intel's have not."""
    is_load = d.trial.row.function in ("ldmxcsr", "vldmxcsr", "fxrstor", "xrstor")
    return is_load and bool(d.theirs["mxcsr"] & 0x2_0000) and d.ours["ended"] == SIGSEGV


def masked_store(d: Difference) -> bool:
    """A masked store whose mask is zero to memory that is not there (implementation-specific)."""
    is_masked = d.trial.row.function.removeprefix("v") in ("maskmovdqu", "maskmovq")
    return is_masked and PAGE_FAULT in (d.ours["exit"], d.theirs["exit"])


def simd_exception(d: Difference) -> bool:
    """An unmasked SIMD exception, of which only code in a mode of its own takes notice."""
    raised = (d.theirs["ended"], d.theirs["exit"]) == (SIGFPE, SIMD)
    return raised and d.ours["ended"] == 0 and not d.trial.checked


def faulting_gather(d: Difference) -> bool:
    """A gather that faults: how far it came is seen by nobody, and we cut addresses to 46 bits."""
    is_gather = "gather" in d.trial.row.name and d.ours["ended"] == SIGSEGV
    return is_gather and d.theirs["ended"] in (SIGSEGV, SIGBUS)


def partial_store(d: Difference) -> bool:
    """A masked store that faults in its second page has written what is in the first."""
    return "maskmov" in d.trial.row.name and d.both_fault and d.names <= {"memory", "address"}


def estimate(d: Difference) -> bool:
    """RCPPS and RSQRTPS are estimates: the evaluator's are within 1.5 * 2**-12 of the host's."""
    if not d.trial.row.name.removeprefix("v").startswith(("rcp", "rsqrt")):
        return False
    return all(
        name.startswith(("xmm", "ymmh")) and _singles_are_near(d.ours[name], d.theirs[name])
        for name in d.names
    )


def _singles_are_near(x: int, y: int) -> bool:
    """Four floats each, that are the same but for the last bits."""
    pairs = zip(*(struct.unpack("<4I", n.to_bytes(16, "little")) for n in (x, y)), strict=True)
    return all(abs(a - b) <= NEAR for a, b in pairs)


def blended_load(d: Difference) -> bool:
    """A region does not read the lanes of memory that a blend does not choose."""
    faulted = (d.theirs["ended"], d.theirs["exit"]) == (SIGSEGV, PAGE_FAULT)
    return "blendv" in d.trial.row.name and faulted and not d.ours["ended"]


def last_bit(d: Difference) -> bool:
    """Sines and logarithms: the evaluator's are rounded once, the host's are off by a bit or so."""
    if d.trial.row.function not in FUNCTIONS or not all(n.startswith("st") for n in d.names):
        return False
    return all(abs(_place(d.ours[name]) - _place(d.theirs[name])) <= 1 for name in d.names)


def _place(number: int) -> int:
    """The place of an x87 number among all of its sign: the leading bit of the fraction goes."""
    return number >> 64 << 63 | number & (1 << 63) - 1


def segment_base(d: Difference) -> bool:
    """A base that is no canonical address: the processor refuses it, we cut addresses."""
    return d.trial.row.function in ("wrfsbase", "wrgsbase") and d.theirs["exit"] == PROTECTION


def empty_register(d: Difference) -> bool:
    """What is left in a register of the FPU that was popped: a region does not store it."""
    top = d.theirs["fsw"] >> 11 & 7
    empty = {f"st{i}" for i in range(8) if not d.theirs["ftw"] >> (top + i & 7) & 1}
    return family_of(d.trial.row) == "x87" and d.names <= empty


def fpu_denormal(d: Difference) -> bool:
    """MISSING: DE is not raised beside IE."""
    is_denormal = d.ours["fsw"] ^ d.theirs["fsw"] in (2, 0x202)
    return family_of(d.trial.row) == "x87" and d.names == {"fsw"} and is_denormal


def fpu_unmasked(d: Difference) -> bool:
    """MISSING: what exactly is left by an unmasked exception of the FPU."""
    pending = d.theirs["fsw"] & 0x80 or d.ours["fsw"] & 0x80
    return family_of(d.trial.row) == "x87" and bool(pending)


EXPLANATIONS: tuple[Callable[[Difference], bool], ...] = (
    repeated_compare,
    pop_all,
    movsxd_of_a_word,
    overlapping_frames,
    long_operand,
    misaligned_mode,
    masked_store,
    simd_exception,
    segment_base,
    last_bit,
    empty_register,
    fpu_denormal,
    fpu_unmasked,
    faulting_gather,
    partial_store,
    estimate,
    blended_load,
)


def explain(trial: Trial, before: bytes, ours: bytes, theirs: bytes) -> str:
    """Why one instruction's outcomes differ; empty if that is not known."""
    names = set()
    for part in case.FIELDS:
        mask = part.get(trial.mask)
        if (part.get(ours) ^ part.get(theirs)) & mask:
            names.add(part.name)
    if ours[case.WINDOW :] != theirs[case.WINDOW :]:
        names.add("memory")
    states = [case.read(state) for state in (before, ours, theirs)]
    difference = Difference(trial, states[0], states[1], states[2], names)
    for explanation in EXPLANATIONS:
        if explanation(difference):
            return explanation.__doc__ or explanation.__name__
    return ""
