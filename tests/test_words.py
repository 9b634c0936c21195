"""Texts that must not be in the tree: hosts that packages come from, and paths of one machine."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Written in pieces, so that this file does not contain them itself.
HOSTS = ("pypi" + ".org", "pythonhosted" + ".org", "deb.debian" + ".org", "npmjs" + ".org",
         "proxy.golang" + ".org", "crates" + ".io", "snapshot.debian" + ".org")  # fmt: skip
PATHS = re.compile(r"(?<![\w.-])/(?:root|work|home/\w\w+|Users)/[\w.-]+")


def texts() -> list[Path]:
    """Every tracked text file; every text file where there is no git."""
    done = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    names = done.stdout.split() if done.returncode == 0 else []
    found = [ROOT / name for name in names] or [*ROOT.glob("*.*"), *ROOT.glob("[a-z]*/**/*.*")]
    wanted = {".md", ".py", ".toml", ".c", ".h", ".decode", ".rules", ".lark", ".ll", ".txt", ""}
    return [path for path in found if path.suffix in wanted and path.is_file()]


@pytest.mark.parametrize("host", HOSTS)
def test_no_registry_is_named(host: str) -> None:
    naming = [path for path in texts() if host in path.read_text(errors="replace")]
    assert not naming


def test_no_path_of_one_machine_is_named() -> None:
    naming = {
        str(path.relative_to(ROOT)): found[0]
        for path in texts()
        if (found := PATHS.findall(path.read_text(errors="replace")))
    }
    assert not naming
