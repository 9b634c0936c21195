"""Tables made ready once, kept in the user's cache: the rows, and what each mode's decoder needs.

A file is named by the hash of the table's files and of the sources that make it, so it is never
stale.  A start reads the file of its mode; rows are read when the first instruction is lifted.
"""

from __future__ import annotations

import os
from _blake2 import blake2b
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tcg.decode.cache import cache_directory, digest_of, read_object, write
from tcg.decode.intel.decoder import Dispatch
from tcg.decode.intel.table import Kept, Rows, Table

HERE = os.path.dirname(__file__)
# fmt: off
SOURCES = (
    "grammar.lark", "parse.py", "operands.py", "encoding.py", "check.py", "dispatch.py",
    "decoder.py", "build.py", "table.py",
)
# fmt: on


def cached(paths: Sequence[str], environ: Mapping[str, str] = os.environ) -> Table:
    """The table of these files, from the cache if it is there.  Raises TableError and OSError."""
    return Keeper(paths, cache_directory(environ)).table()


class Keeper:
    """A table's files in the cache.  `directory` is None if nothing is to be kept."""

    def __init__(self, paths: Sequence[str], directory: str | None) -> None:
        self.paths = paths
        self.directory = directory
        self._facts: Sequence[Kept] | None = None
        self._key = ""
        if directory is not None:
            self._key = digest_of([*paths, *(os.path.join(HERE, name) for name in SOURCES)])

    def table(self) -> Table:
        """The table; reads nothing but the names of its files."""
        return Table(self.paths, Rows(self.facts, self.paths), self.dispatch, self.features)

    def facts(self) -> Sequence[Kept]:
        """What each row is made of."""
        if self._facts is None:
            self._facts = self._from_cache("rows", self._parsed)
        return self._facts

    def features(self) -> Sequence[str]:
        """The CPU features that rows need; kept apart, as every start asks for them."""
        found: Sequence[str] = self._from_cache("features", self._features)
        return found

    def _features(self) -> Sequence[str]:
        from tcg.decode.intel.dispatch import candidates

        return sorted({row.feature for row in candidates(self.facts()) if row.feature})

    def dispatch(self, mode: int, absent: frozenset[str]) -> Dispatch:
        """The slots for one mode."""
        without = ",".join(sorted(absent))
        name = blake2b(without.encode(), digest_size=8).hexdigest() if without else "all"
        found: Dispatch = self._from_cache(f"{mode}-{name}", lambda: self._built(mode, absent))
        return found

    def _parsed(self) -> Sequence[Kept]:
        from tcg.decode.intel.build import facts_of

        return facts_of(self.paths)

    def _built(self, mode: int, absent: frozenset[str]) -> Dispatch:
        from tcg.decode.intel.dispatch import build, candidates

        return build(candidates(self.facts()), mode, absent)

    def _from_cache(self, what: str, make: Callable[[], Any]) -> Any:
        if self.directory is None:
            return make()
        kept = f"{self.directory}/table-{self._key}-{what}"
        found = read_object(kept)
        if found is None:
            found = make()
            write(kept, found)
        return found
