"""Frontends of named processors.

Another process makes a frontend by its place, `module:name`, so every model has a name here:
`frontends.x86.models:x86_64__qemu64` is 64-bit code on a qemu64.  What a model has not does not
decode, or decodes as what it was before (lzcnt as bsr).  `system__qemu32__32__0x019` is a whole
machine's frontend for a mode: the model, the width of its registers, the mode word.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from frontends.x86.frontend import CHECKED, X86Frontend

if TYPE_CHECKING:
    from frontends.x86.system_frontend import SystemFrontend
    from frontends.x86.system_state import SystemState

KINDS = {"x86_64": (64, 64), "i386": (32, 32)}
"""Mode and register width by the first part of a name."""


SYSTEM = "system"
"""The first part of the names of whole machines' frontends."""


def model_frontend(kind: str, model: str) -> X86Frontend:
    """A frontend of a kind, with the instructions of a model; KeyError if there is no such one."""
    return X86Frontend(*KINDS[kind], _absent(model), f"{__name__}:{_name(kind, model)}")


def system_frontend(
    model: str, width: int, mode: int, state: SystemState | None = None
) -> SystemFrontend:
    """A whole machine's frontend for a mode word; KeyError if there is no such model.

    `width`: of the registers, 32 or 64; `state`: a layout to be shared with other modes.
    """
    from frontends.x86.system_frontend import SystemFrontend

    place = f"{__name__}:{_name(SYSTEM, model)}__{width}__{mode:#05x}"
    return SystemFrontend(mode, width, _absent(model, is_system=True), place, state)


def _absent(model: str, is_system: bool = False) -> frozenset[str]:
    from frontends.x86.cpuid import MODELS
    from frontends.x86.table import x86_table

    shown = MODELS[model].system_features if is_system else MODELS[model].features
    return frozenset(x86_table().features() - shown)


def _checked_frontend(kind: str, model: str) -> X86Frontend:
    made = model_frontend(kind, model)
    made.check_floats()
    return made


def _name(kind: str, model: str) -> str:
    return f"{kind}__{re.sub(r'[^a-zA-Z0-9]', '_', model)}"


def __getattr__(name: str) -> Callable[[], X86Frontend]:
    """Make the frontend that a place names."""
    from frontends.x86.cpuid import MODELS

    if name.startswith(f"{SYSTEM}__"):
        head, width, mode = name.rsplit("__", 2)
        for model in MODELS:
            if _name(SYSTEM, model) == head:
                return partial(system_frontend, model, int(width), int(mode, 16))
    for kind in KINDS:
        for model in MODELS:
            if _name(kind, model) == name:
                return partial(model_frontend, kind, model)
            if _name(kind, model) + CHECKED == name:
                return partial(_checked_frontend, kind, model)
    raise AttributeError(f"there is no processor {name}")
