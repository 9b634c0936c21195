"""What is wrong with a table, where, and what to do about it."""

from __future__ import annotations

import os


class TableError(Exception):
    """A mistake in a decode table.  Prints as `file:line: fact` and a line with a hint."""

    def __init__(self, path: str, line: int, fact: str, hint: str) -> None:
        super().__init__(f"{os.path.basename(path)}:{line}: {fact}\nhint: {hint}")
        self.path = path
        self.line = line
        self.fact = fact
        self.hint = hint
