"""Passes as text: each case in a .txt file of this folder is IR before, `=>`, IR after.

`--bless` writes the second half anew.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tcg.ir import Function
from tcg.passes import optimize
from tcg.passes.dead_slots import dead_slots
from tcg.passes.forward import forward
from tcg.passes.join_blocks import join_blocks
from tcg.passes.rotate import rotate
from tcg.passes.simplify import simplify
from tcg.text import parse_function, print_function
from tcg.verify import verify
from tests.tcg.machine import HELPERS, LAYOUT, ROTATING

HERE = Path(__file__).parent
PASSES: dict[str, Callable[[Function], None]] = {
    "join_blocks": join_blocks,
    "forward": forward,
    "simplify": simplify,
    "dead_slots": dead_slots,
    "dead_slots_exact": partial(dead_slots, exact=True),
    "all": optimize,
    "rotate": partial(rotate, rotating=ROTATING, entries=("b_1000",)),
}


@pytest.mark.parametrize("name", PASSES)
def test_cases(name: str, golden: Callable[[Path, str], None]) -> None:
    path = HERE / f"{name}.txt"
    heading, *cases = path.read_text().split("\n# ")
    shown = [heading]
    for case in cases:
        title, _, rest = case.partition("\n")
        before = rest.partition("\n=>\n")[0].strip("\n")
        function = parse_function(f"region R\n{before}", LAYOUT, HELPERS)
        verify(function, LAYOUT)
        PASSES[name](function)
        verify(function, LAYOUT)
        after = print_function(function).partition("\n")[2]
        shown.append(f"{title}\n{before}\n=>\n{after}\n")
    golden(path, "\n# ".join(shown))
