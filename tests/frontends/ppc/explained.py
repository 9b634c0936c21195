"""Where unicorn's processor (QEMU 5.0's) is known to do something else, and why ours is kept.

Each explanation looks at one instruction's outcomes and says which bits of which registers it
accounts for; its docstring is the reason that reports print.  A difference is explained when every
bit of it is.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from frontends.ppc import fpscr_bits as bits
from tests.frontends.ppc.machines import State

MAGNITUDE = (1 << 63) - 1
INFINITY = 0x7FF0 << 48
EXCEPTIONS = bits.FX | bits.FEX | bits.OX | bits.UX | bits.XX
CR1 = 0x0F00_0000
ALL = (1 << 64) - 1
FUSED_SINGLES = ("fmadds", "fmsubs", "fnmadds", "fnmsubs")
SINGLE_ROWS = (*FUSED_SINGLES, "fadds", "fsubs", "fmuls", "fdivs", "fres", "frsp")


class Difference:
    """One instruction, the registers before it, and after it on both machines."""

    def __init__(self, name: str, fields: State, before: State, ours: State, theirs: State) -> None:
        self.name = name
        self.fields = fields
        self.before = before
        self.ours = ours
        self.theirs = theirs
        self.frt = f"f{fields.get('frt', 0)}"
        self.rounding = before.get("fpscr", 0) & bits.RN

    def operand(self, name: str) -> int:
        """The bits of the floating-point register that a field names, before."""
        return self.before.get(f"f{self.fields[name]}", 0)

    def exact_sum(self) -> Fraction | None:
        """(frA) * (frC) +- (frB), if they are numbers."""
        a, b, c = (number(self.operand(name)) for name in ("fra", "frb", "frc"))
        if a is None or b is None or c is None:
            return None
        return a * c - b if "msub" in self.name else a * c + b

    def mine(self) -> int:
        """Our frT."""
        return self.ours[self.frt]


Explanation = Callable[[Difference], State]


def number(pattern: int) -> Fraction | None:
    """The value of a double; None for a NaN or an infinity."""
    exponent, fraction = pattern >> 52 & 0x7FF, pattern & (1 << 52) - 1
    if exponent == 0x7FF:
        return None
    significand = fraction | (1 << 52 if exponent else 0)
    magnitude = Fraction(significand) * Fraction(2) ** (max(exponent, 1) - 1075)
    return -magnitude if pattern >> 63 else magnitude


def class_of_denormal_single(d: Difference) -> State:
    """FPRF of a denormal single result: QEMU 5.0 classifies it as a double."""
    if d.name not in SINGLE_ROWS or not 0 < d.mine() & MAGNITUDE < 897 << 52:
        return {}
    return {"fpscr": bits.FPRF_C}


def negated_before_rounding(d: Difference) -> State:
    """fnmadd and fnmsub, rounding up or down: QEMU 5.0 negates before it rounds."""
    if not d.name.startswith("fnm") or d.rounding not in (2, 3):
        return {}
    ours, exact = number(d.mine()), d.exact_sum()
    if ours is not None and exact is not None:
        is_right = -ours >= exact if d.rounding == 2 else -ours <= exact
        if not is_right:
            return {}
    return {d.frt: ALL, "fpscr": EXCEPTIONS | bits.FPRF, "cr": CR1}


def rounded_twice(d: Difference) -> State:
    """fmadds and its like: QEMU 5.0 rounds to double, then to single."""
    if d.name not in FUSED_SINGLES or d.rounding:
        return {}
    ours, theirs, exact = number(d.mine()), number(d.theirs[d.frt]), d.exact_sum()
    if ours is None or exact is None:
        return {}
    if d.name.startswith("fn"):
        exact = -exact
    if theirs is None:
        theirs = Fraction(2) ** 128 * (-1 if ours < 0 else 1)
    if abs(ours - exact) > abs(theirs - exact):
        return {}
    return {d.frt: ALL, "fpscr": EXCEPTIONS | bits.FPRF, "cr": CR1}


def is_single(pattern: int) -> bool:
    """A double, given by its bits, that single precision can hold (as far as it matters here)."""
    exponent = pattern >> 52 & 0x7FF
    return not pattern & (1 << 29) - 1 and (874 <= exponent <= 1150 or exponent in (0, 0x7FF))


def operands_not_single(d: Difference) -> State:
    """fmadds and its like of operands that are not single: undefined (Book I, 4.2.3)."""
    if d.name not in FUSED_SINGLES or all(is_single(d.operand(f)) for f in ("fra", "frb", "frc")):
        return {}
    return {"fpscr": bits.UX | bits.XX | bits.FX | bits.FEX, "cr": CR1}


def no_infinite_product(d: Difference) -> State:
    """Multiply-add whose product is a NaN: QEMU 5.0 sets VXISI if there are two infinities too."""
    is_fused = d.name.removesuffix("s").removeprefix("fn").removeprefix("f") in ("madd", "msub")
    if not is_fused or not any(d.operand(f) & MAGNITUDE == INFINITY for f in ("fra", "frc")):
        return {}
    has_nan = any(d.operand(f) & MAGNITUDE > INFINITY for f in ("fra", "frc"))
    return {"fpscr": bits.VXISI} if has_nan or d.ours["fpscr"] & bits.VXIMZ else {}


def too_large_for_an_integer(d: Difference) -> State:
    """fctiw of what is too large: QEMU 5.0 gives 0x80000000 instead of saturating."""
    if d.name not in ("fctiw", "fctiwz") or d.theirs[d.frt] != 0x8000_0000:
        return {}
    return {d.frt: ALL} if d.mine() in (0x7FFF_FFFF, 0xFFFF_FFFF_8000_0000) else {}


def class_of_an_integer(d: Difference) -> State:
    """FPRF after fctiw: undefined; we leave it alone, QEMU 5.0 sometimes sets it."""
    return {"fpscr": bits.FPRF} if d.name in ("fctiw", "fctiwz") else {}


def class_bit_of_compare(d: Difference) -> State:
    """fcmpo of a NaN: QEMU 5.0 sets FPSCR's C, which a compare leaves alone (Book I, 4.6.7)."""
    return {"fpscr": bits.FPRF_C} if d.name == "fcmpo" else {}


def zero_divide_of_estimate(d: Difference) -> State:
    """fres of zero: QEMU 5.0 does not set ZX."""
    if d.name != "fres" or d.operand("frb") & MAGNITUDE:
        return {}
    return {"fpscr": bits.ZX | bits.FX | bits.FEX, "cr": CR1}


def tininess_after_rounding(d: Difference) -> State:
    """UX of a result that rounding made just not tiny: the host, and so we, look after rounding."""
    least = 897 << 52 if d.name in SINGLE_ROWS else 1 << 52
    if "frt" not in d.fields or d.mine() & MAGNITUDE != least:
        return {}
    return {"fpscr": bits.UX | bits.FX | bits.FEX, "cr": CR1}


def non_ieee_mode(d: Difference) -> State:
    """mtfsb1 29: QEMU 5.0 cannot set NI this way."""
    return {"fpscr": bits.NI} if d.name == "mtfsb1" and d.fields["bt"] == 29 else {}


def summary_of_what_was_cleared(d: Difference) -> State:
    """mtfsb0 of the last enabled exception: QEMU 5.0 leaves FEX set (Book I, 4.2.2: an OR)."""
    if d.name != "mtfsb0" or d.ours["fpscr"] & bits.FEX:
        return {}
    enabled = d.ours["fpscr"] & (d.ours["fpscr"] & bits.ENABLES) << bits.ENABLE_SHIFT
    return {} if enabled else {"fpscr": bits.FEX, "cr": 0x0400_0000 if d.fields.get("rc") else 0}


def summary_of_old_exceptions(d: Difference) -> State:
    """FX: QEMU 5.0 sets it also when the exception bit was set before (Book I, 4.2.2: 0 to 1)."""
    happened = d.theirs["fpscr"] & d.before.get("fpscr", 0) & bits.CAUSES
    if not happened or d.ours["fpscr"] & bits.FX or not d.theirs["fpscr"] & bits.FX:
        return {}
    return {"fpscr": bits.FX, "cr": 0x0800_0000 if d.fields.get("rc") else 0}


EXPLANATIONS: tuple[Explanation, ...] = (
    class_of_denormal_single,
    negated_before_rounding,
    rounded_twice,
    operands_not_single,
    no_infinite_product,
    too_large_for_an_integer,
    class_of_an_integer,
    class_bit_of_compare,
    zero_divide_of_estimate,
    tininess_after_rounding,
    non_ieee_mode,
    summary_of_what_was_cleared,
    summary_of_old_exceptions,
)


def explain(name: str, fields: State, before: State, ours: State, theirs: State) -> list[str]:
    """Why one instruction's outcomes differ; empty if that is not known for every bit."""
    difference = Difference(name, fields, before, ours, theirs)
    left = {r: ours[r] ^ theirs[r] for r in ours if ours[r] != theirs[r]}
    reasons = []
    for explanation in EXPLANATIONS:
        accounted = explanation(difference)
        if any(left.get(register, 0) & mask for register, mask in accounted.items()):
            reasons.append(explanation.__doc__ or explanation.__name__)
            left = {r: bits_ & ~accounted.get(r, 0) for r, bits_ in left.items()}
    return [] if any(left.values()) else reasons
