"""What a user installs: the wheel has all of ours, with its tables, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("tcg", "frontends", "backend", "machine", "user_mode", "qemupy")
DATA = {".decode", ".rules", ".tbl", ".lark", ".ll", ".typed", ".s", ".asm", ".lst"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    line = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("*.whl")
    assert built.name.endswith("-py3-none-any.whl"), "the wheel must not be bound to a machine"
    return zipfile.ZipFile(built)


def ours() -> set[str]:
    """Every source and data file of the packages."""
    wanted = DATA | {".py"}
    return {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.suffix in wanted or path.name == "py.typed"
    }


def test_the_wheel_holds_every_module_and_table(wheel: zipfile.ZipFile) -> None:
    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert ours() - packed == set()


def test_the_wheel_holds_nothing_else(wheel: zipfile.ZipFile) -> None:
    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert packed - ours() == set()


def test_the_decode_tables_are_there(wheel: zipfile.ZipFile) -> None:
    endings = {Path(name).suffix for name in wheel.namelist()}
    assert {".decode", ".rules", ".lark"} <= endings


def test_the_command_and_the_license(wheel: zipfile.ZipFile) -> None:
    (entry,) = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]
    assert "qemupy-ppc = user_mode.main:ppc" in wheel.read(entry).decode()
    assert any(name.endswith("licenses/LICENSE") for name in wheel.namelist())
