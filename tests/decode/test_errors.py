"""Every mistake a table can have, and the text that says so (errors.txt)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tcg.decode import TableError, load_table
from tests.conftest import Golden

CASES = Path(__file__).with_name("errors.txt")


def error_of(path: Path, table: str) -> str:
    path.write_text(table)
    with pytest.raises(TableError) as caught:
        load_table(str(path))
    return str(caught.value)


def test_errors(tmp_path: Path, golden: Golden) -> None:
    """Tables with one mistake each, and what is said about it."""
    blocks = []
    for block in CASES.read_text().split("=== ")[1:]:
        title, _, rest = block.partition("\n")
        table = rest.partition("---\n")[0]
        error = error_of(tmp_path / "table.decode", table)
        blocks.append(f"=== {title}\n{table}---\n{error}\n")
    assert len(blocks) > 30
    golden(CASES, "\n".join(blocks))


def test_an_error_has_its_parts(tmp_path: Path) -> None:
    path = tmp_path / "t.decode"
    path.write_text('width 8\nadd 0001 "add"\n')
    with pytest.raises(TableError) as caught:
        load_table(str(path))
    error = caught.value
    assert (error.path, error.line) == (str(path), 2)
    assert str(error) == f"t.decode:2: {error.fact}\nhint: {error.hint}"


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_table(str(tmp_path / "missing.decode"))
