"""The environment that a guest's program gets is the one that we were given."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SHOW = "from user_mode.main import given_environment; print(sorted(given_environment().items()))"


@pytest.mark.parametrize("given", [{}, {"A": "b"}, {"LC_CTYPE": "C"}, {"LC_ALL": "C.UTF-8"}])
def test_pythons_own_locale_stays_out(given: dict[str, str]) -> None:
    root = Path(__file__).resolve().parents[2]
    shown = subprocess.run(
        [sys.executable, "-c", SHOW],
        env=given,
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    expected = sorted((name.encode(), value.encode()) for name, value in given.items())
    assert shown.stdout.strip() == str(expected)
