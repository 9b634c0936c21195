"""Every mistake a table in Intel's notation can have, and the text that says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from tcg.decode.intel import TableError, load_table
from tests.conftest import Golden

CASES = Path(__file__).with_name("intel_errors.txt")


def error_of(path: Path, table: str) -> str:
    path.write_text(table)
    with pytest.raises(TableError) as caught:
        load_table([str(path)])
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


def test_rows_of_two_files_overlap(tmp_path: Path) -> None:
    one, other = tmp_path / "one.decode", tmp_path / "other.decode"
    one.write_text("01 /r   add   Ev, Gv\n")
    other.write_text("# a comment\n01 /3   or   Ed\n")
    with pytest.raises(TableError) as caught:
        load_table([str(one), str(other)])
    assert str(caught.value) == (
        "other.decode:2: or and add both match 01 18; add is at one.decode:1\n"
        "hint: put the special case in a { } group above the general one"
    )
    assert (caught.value.path, caught.value.line) == (str(other), 2)


def test_no_overlap_in_different_modes(tmp_path: Path) -> None:
    path = tmp_path / "t.decode"
    path.write_text("63 /r  movsxd  Gv, Ez  wo o64\n63 /r  arpl  Ew, Gw  i64\n")
    table = load_table([str(path)])
    names = [row.name for row in table.rows]
    for mode, name in ((16, "arpl"), (32, "arpl"), (64, "movsxd")):
        found = table.decoder(mode)(b"\x63\xc0", 0, 0)
        assert found is not None
        assert names[found.row] == name


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_table([str(tmp_path / "missing.decode")])
