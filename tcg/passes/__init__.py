"""Passes over the IR: each is a function of its own module, run in the order of `PIPELINE`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tcg.ir import Function
from tcg.passes.dead_slots import dead_slots
from tcg.passes.forward import forward
from tcg.passes.join_blocks import join_blocks
from tcg.passes.rotate import rotate
from tcg.passes.simplify import simplify
from tcg.state import Rotating

PIPELINE: tuple[Callable[[Function], None], ...] = (join_blocks, forward, simplify, join_blocks)
"""The passes before the last, which alone wants to know when the guest sees its registers."""


PASSES: tuple[Callable[..., None], ...] = (rotate, join_blocks, forward, simplify, dead_slots)
"""Every pass once, in the order of its first run."""


def optimize(
    function: Function,
    exact: bool = False,
    rotating: Rotating | None = None,
    entries: Sequence[str] = (),
    in_place: bool | None = None,
) -> None:
    """Run all passes.  `exact`: the guest can see its registers at every memory access.

    `rotating`: a file used as a stack, if the guest has one; `entries`: labels that are entered;
    `in_place`: that file stays where it is, as it does if `exact` and nothing else is said.
    """
    if rotating is not None:
        rotate(function, rotating, entries, exact if in_place is None else in_place)
    for run in PIPELINE:
        run(function)
    dead_slots(function, exact)
