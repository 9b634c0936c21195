"""What all tests share: `--bless`, and the emulator to be tried."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

Golden = Callable[[Path, str], None]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--bless", action="store_true", help="rewrite expected texts with what is there now"
    )


@pytest.fixture
def bless(request: pytest.FixtureRequest) -> bool:
    """Whether expected texts are to be rewritten instead of compared."""
    return bool(request.config.getoption("--bless"))


@pytest.fixture
def golden(bless: bool) -> Golden:
    """Compare a text with a file, or rewrite the file."""

    def check(path: Path, actual: str) -> None:
        if bless:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(actual)
        assert path.exists(), f"{path} is missing: make bless"
        assert actual == path.read_text(), f"{path} differs: read it, then make bless"

    return check
