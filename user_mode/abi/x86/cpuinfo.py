"""/proc/cpuinfo of an x86 guest: the processor that CPUID describes, as Linux writes it.

Source: arch/x86/kernel/cpu/proc.c.  Frequencies are those of the time stamp counter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from frontends.x86.cpuid import CpuModel

_LEVEL_2_KIB = 1024
_BOGUS_MIPS = 2000.0
_CLOCK_MHZ = 1000.0
_TAB = 8


def cpuinfo(model: CpuModel, count: int) -> str:
    """The whole file, for so many processors."""
    from frontends.x86.cpuid import LINE

    family, number, stepping = model.number
    is_64_bit = "lm" in model.features
    rows = {
        "vendor_id": model.vendor.decode(),
        "cpu family": family,
        "model": number,
        "model name": model.brand or "unknown",
        "stepping": stepping,
        "cpu MHz": f"{_CLOCK_MHZ:.3f}",
        "cache size": f"{_LEVEL_2_KIB} KB",
        "fpu": "yes",
        "fpu_exception": "yes",
        "cpuid level": model.highest,
        "wp": "yes",
        "flags": " ".join(shown_flags(model)),
        "bugs": "",
        "bogomips": f"{_BOGUS_MIPS:.2f}",
        "clflush size": LINE,
        "cache_alignment": LINE,
        "address sizes": "40 bits physical, 48 bits virtual" if is_64_bit else "36 bits physical",
    }
    return "".join(_processor(i, rows) for i in range(count))


def _processor(number: int, rows: dict[str, object]) -> str:
    lines = [
        name + "\t" * (2 - len(name) // _TAB) + f": {value}\n"
        for name, value in {"processor": number, **rows}.items()
    ]
    return "".join(lines) + "power management:\n\n"


def shown_flags(model: CpuModel) -> list[str]:
    """The names of the features in the order of their bits, as Linux calls them."""
    from frontends.x86.cpuid import BITS

    named = [name for names in BITS.values() for name in names.split()]
    found = [name for name in named if name in model.features]
    return ["pni" if name == "sse3" else name for name in found if name != "osxsave"]
