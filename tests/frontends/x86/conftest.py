"""What the tests of x86 share: the 64-bit address space, of which the host has only one to give."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.frontends.x86.engines import close_wide_memory


@pytest.fixture(scope="module", autouse=True)
def room_for_others() -> Iterator[None]:
    """Others find the address space free."""
    yield
    close_wide_memory()
