"""Files to the facts of a checked table, and facts to what decoders walk through."""

from __future__ import annotations

from collections.abc import Sequence

from tcg.decode.intel.check import check
from tcg.decode.intel.parse import numbered, parse
from tcg.decode.intel.table import Kept, kept


def facts_of(paths: Sequence[str]) -> tuple[Kept, ...]:
    """Parse and check the table that these files are together."""
    rows = numbered([row for path in paths for row in parse(path)])
    check(rows)
    return tuple((*kept(text.row), tuple(text.encoding)) for text in rows)
