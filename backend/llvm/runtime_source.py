"""Makes the native runtime from its text: the service `runtime` of the compile worker."""

from __future__ import annotations

import re
from importlib.resources import files

from backend.llvm import runtime_layout, softmmu_layout
from backend.llvm.compilation import compile_module
from tcg.state import HEADER, JUMP_CACHE_BITS, MODE_BITS, Check, Head, Reason, Record

# fmt: off
NUMBERS: dict[str, int] = {
    **{name: slot.offset for name, slot in HEADER.items()},
    **{f"Reason.{reason.name}": int(reason) for reason in Reason},
    **{f"Head.{name}": getattr(Head, name) for name in ("COUNTER", "BODY", "PC", "SIZE", "WHERE")},
    **{f"Check.{name}": getattr(Check, name) for name in ("PC", "CODE", "SIZE", "PATIENCE")},
    "Record.LINK": Record.LINK,
    "MODE_BITS": MODE_BITS,
    "JUMP_CACHE_MASK": (1 << JUMP_CACHE_BITS) - 1,
    **runtime_layout.NUMBERS,
    **softmmu_layout.NUMBERS,
}
# fmt: on
"""What the names in double braces in runtime.ll and softmmu.ll stand for."""


def runtime_text() -> str:
    """The runtime's LLVM text; raises KeyError for a name that stands for nothing."""
    folder = files("backend.llvm")
    text = "".join(folder.joinpath(name).read_text() for name in ("runtime.ll", "softmmu.ll"))
    return re.sub(r"\{\{([^{}]+)\}\}", lambda found: str(NUMBERS[found[1]]), text)


def serve_runtime(_request: object) -> bytes:
    """The service `runtime`: the packed blob."""
    return compile_module(runtime_text()).blob.pack()
