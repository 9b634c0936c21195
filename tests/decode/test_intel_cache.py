"""Tables in Intel's notation in the cache: nothing is parsed twice, nothing damaged is used."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tcg.decode.intel import Table, cached

TEXT = """
01 /r          add     Ev, Gv    lock
VEX.LZ.0F38 f2 /r   andn    Gy, By, Ey   wo cpu:bmi1
"""
ADD = bytes.fromhex("01c3")
ANDN = bytes.fromhex("c4e278f2c1")


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"QEMUPY_CACHE_DIR": str(tmp_path / "cache")}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "t.decode"
    path.write_text(TEXT)
    return path


def names(table: Table, absent: frozenset[str] = frozenset()) -> list[str]:
    """The rows that the two instructions decode to."""
    found = [table.decoder(64, absent)(code, 0, 0) for code in (ADD, ANDN)]
    return [table.rows[each.row].name for each in found if each]


def files(environ: dict[str, str]) -> list[Path]:
    return sorted(Path(environ["QEMUPY_CACHE_DIR"]).iterdir())


def test_it_is_the_same_from_the_cache(environ: dict[str, str], path: Path) -> None:
    first, again = (cached([str(path)], environ) for _ in range(2))
    for table in (first, again):
        assert names(table) == ["add", "andn"]
        assert names(table, frozenset({"bmi1"})) == ["add"]
        assert table.features() == {"bmi1"}
        assert table.rows[0].place == "t.decode:2"
        assert table.rows[-2:] == list(table.rows)
    assert first.rows[1] == again.rows[1]


def test_a_warm_start_needs_no_parser(environ: dict[str, str], path: Path) -> None:
    assert names(cached([str(path)], environ)) == ["add", "andn"]
    program = (
        "import sys; from tcg.decode.intel import cached; table = cached([sys.argv[1]], {env});"
        "found = table.decoder(64)(bytes.fromhex('01c3'), 0, 0); size = len(table.rows);"
        "heavy = {{'lark', 'tcg.decode.intel.parse', 'tcg.decode.intel.dispatch'}};"
        "print(found.row, size, sorted(heavy & {{*sys.modules}}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program.format(env=environ), str(path)],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "0 2 []\n"


@pytest.mark.parametrize("damage", [b"", b"x", b"\0" * 5000])
def test_a_damaged_file_is_a_miss(environ: dict[str, str], path: Path, damage: bytes) -> None:
    assert names(cached([str(path)], environ)) == ["add", "andn"]
    good = {file: file.read_bytes() for file in files(environ)}
    for file in good:
        file.write_bytes(damage)
    assert names(cached([str(path)], environ)) == ["add", "andn"]
    assert {file: file.read_bytes() for file in files(environ)} == good


def test_a_changed_table_is_another(environ: dict[str, str], path: Path) -> None:
    assert names(cached([str(path)], environ)) == ["add", "andn"]
    path.write_text(TEXT.replace("add ", "sub "))
    assert names(cached([str(path)], environ)) == ["sub", "andn"]


def test_without_a_cache(path: Path) -> None:
    assert names(cached([str(path)], {"QEMUPY_CACHE": "off"})) == ["add", "andn"]
