"""Frontends of named processors.

Another process makes a frontend by its place, `module:name`, so every model has a name here:
`frontends.x86.models:x86_64__qemu64` is 64-bit code on a qemu64.  What a model has not does not
decode, or decodes as what it was before (lzcnt as bsr).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

from frontends.x86.frontend import CHECKED, X86Frontend

KINDS = {"x86_64": (64, 64), "i386": (32, 32)}
"""Mode and register width by the first part of a name."""


def model_frontend(kind: str, model: str) -> X86Frontend:
    """A frontend of a kind, with the instructions of a model; KeyError if there is no such one."""
    from frontends.x86.cpuid import MODELS
    from frontends.x86.table import x86_table

    absent = x86_table().features() - frozenset(MODELS[model].features)
    return X86Frontend(*KINDS[kind], frozenset(absent), f"{__name__}:{_name(kind, model)}")


def _checked_frontend(kind: str, model: str) -> X86Frontend:
    made = model_frontend(kind, model)
    made.check_floats()
    return made


def _name(kind: str, model: str) -> str:
    return f"{kind}__{re.sub(r'[^a-zA-Z0-9]', '_', model)}"


def __getattr__(name: str) -> Callable[[], X86Frontend]:
    """Make the frontend that a place names."""
    from frontends.x86.cpuid import MODELS

    for kind in KINDS:
        for model in MODELS:
            if _name(kind, model) == name:
                return partial(model_frontend, kind, model)
            if _name(kind, model) + CHECKED == name:
                return partial(_checked_frontend, kind, model)
    raise AttributeError(f"there is no processor {name}")
