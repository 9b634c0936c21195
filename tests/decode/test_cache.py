"""Tables kept between runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tcg.decode import cached, load_table
from tcg.decode.cache import cache_directory, key, read
from tests.decode.samples import PPC32, by_trying, samples

TEXT = 'width 8\na 0000 x:4 "a {x}"\n'


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"QEMUPY_CACHE_DIR": str(tmp_path / "cache")}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "t.decode"
    path.write_text(TEXT)
    return path


def kept(path: Path, environ: dict[str, str]) -> Path:
    return Path(environ["QEMUPY_CACHE_DIR"]) / f"table-{key(str(path))}"


def test_a_cached_table_is_the_same(environ: dict[str, str]) -> None:
    fresh = load_table(str(PPC32))
    for table in (cached(PPC32, environ), cached(PPC32, environ)):
        assert (table.path, table.width) == (str(PPC32), 32)
        for ours, theirs in zip(table.rows, fresh.rows, strict=True):
            facts = ("name", "mask", "value", "fields", "template", "line")
            assert [getattr(ours, f) for f in facts] == [getattr(theirs, f) for f in facts]
            for values in samples(ours, 3):
                word = ours.encode(values)
                assert table.decoder()(word) == by_trying(fresh, word)
                assert ours.disassemble(values, 64) == theirs.disassemble(values, 64)


def test_a_warm_start_needs_no_parser(environ: dict[str, str], path: Path) -> None:
    cached(path, environ)
    program = (
        "import sys; from tcg.decode import cached; table = cached(sys.argv[1]);"
        "heavy = {'lark', 'tcg.decode.parse', 'hashlib'};"
        "print(table.rows[0].name, sorted(heavy & {*sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "a []\n"


@pytest.mark.parametrize("damage", [b"", b"x", b"\0" * 5000])
def test_a_damaged_file_is_a_miss(environ: dict[str, str], path: Path, damage: bytes) -> None:
    cached(path, environ)
    file = kept(path, environ)
    good = file.read_bytes()
    file.write_bytes(damage)
    assert cached(path, environ).rows[0].name == "a"
    assert file.read_bytes() == good
    file.write_bytes(good[:-1])
    assert cached(path, environ).rows[0].name == "a"
    file.write_bytes(good[:40] + bytes([good[40] ^ 1]) + good[41:])
    assert cached(path, environ).rows[0].name == "a"
    assert file.read_bytes() == good


def test_a_file_that_others_may_write_is_not_run(environ: dict[str, str], path: Path) -> None:
    cached(path, environ)
    file = kept(path, environ)
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    file.chmod(0o622)
    assert read(str(file)) is None
    file.chmod(0o600)
    assert read(str(file)) is not None


def test_a_changed_table_is_another(environ: dict[str, str], path: Path) -> None:
    cached(path, environ)
    path.write_text(TEXT.replace("a ", "b "))
    assert cached(path, environ).rows[0].name == "b"
    assert len(os.listdir(environ["QEMUPY_CACHE_DIR"])) == 2


def test_without_a_place_to_keep_it(tmp_path: Path, path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (str(tmp_path / "file"), "/proc/none"):
        assert cached(path, {"QEMUPY_CACHE_DIR": place}).rows[0].name == "a"
    assert cached(path, {}).rows[0].name == "a"


def test_where_it_is() -> None:
    assert cache_directory({"QEMUPY_CACHE_DIR": "/x/y"}) == "/x/y"
    assert cache_directory({"QEMUPY_CACHE_DIR": "/x/y", "QEMUPY_CACHE": "off"}) is None
    assert cache_directory({"HOME": "/home/u"}) == "/home/u/.cache/qemupy"
    assert cache_directory({"HOME": "/home/u", "XDG_CACHE_HOME": "/c"}) == "/c/qemupy"
    assert cache_directory({"XDG_CACHE_HOME": "relative"}) is None


def test_source_is_a_module(path: Path, environ: dict[str, str]) -> None:
    """What is kept, for people: it can be run by itself."""
    source = cached(path, environ).source()
    assert "def decode(w):" in source
    module: dict[str, object] = {}
    exec(compile(source, "source", "exec"), module)
    decode = module["decode"]
    assert callable(decode)
    assert decode(0x0F) == (0, (15,))
