"""Writes the pages of docs/ that are derived from tables: `make docs`.

`python -m docs.generate --check` says which pages are out of date and changes nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from tcg.describe import passes_page
from tcg.ops import OPS, Op

FOLDER = Path(__file__).resolve().parent

NOTE = "<!-- Written by `make docs`; change the table, not this page. -->"


def ir_page() -> str:
    """The intermediate language, a row an operation."""
    head = """# The intermediate language

Every operation of tcg IR, from its table in `tcg/ops.py`. In a signature `T` is one type
chosen by the use, `B` a second one, `P` the guest's address type, and `*` any number of values; an
empty left side yields nothing.

| operation | signature | meaning | laws |
|---|---|---|---|
"""
    return f"{NOTE}\n\n{head}" + "".join(map(ir_row, OPS.values()))


def ir_row(op: Op) -> str:
    """One operation as a line of the table."""
    signature = f"{op.result} = {', '.join(op.operands)}".strip()
    laws = [name for name in LAWS if getattr(op, name)]
    meaning = op.doc.replace("|", "\\|").replace("\n", " ")
    return f"| `{op.name}` | `{signature}` | {meaning} | {', '.join(laws)} |\n"


LAWS = ("commutes", "effects", "ends", "leaves", "barrier")

PAGES: dict[str, Callable[[], str]] = {
    "ir.md": ir_page,
    "passes.md": lambda: f"{NOTE}\n\n{passes_page()}",
}
"""Generated pages by their file name."""


def stale() -> list[str]:
    """Pages whose text is not what their table says."""
    return [
        name
        for name, page in PAGES.items()
        if not (FOLDER / name).exists() or (FOLDER / name).read_text() != page()
    ]


def main() -> None:
    """Write the pages that changed, or only name them."""
    names = stale()
    if "--check" in sys.argv:
        sys.exit(f"out of date: {', '.join(names)}; make docs" if names else 0)
    for name in names:
        (FOLDER / name).write_text(PAGES[name]())
        print(f"docs/{name}")


if __name__ == "__main__":
    main()
