"""Descriptors that are moved out of a guest's way, whatever limit it has set."""

from __future__ import annotations

import os
import resource

from tcg.descriptors import FIRST_PRIVATE, move_high


def test_the_file_stays_the_same() -> None:
    reader, writer = (move_high(fd) for fd in os.pipe())
    assert min(reader, writer) >= FIRST_PRIVATE
    os.write(writer, b"text")
    assert os.read(reader, 4) == b"text"
    os.close(reader)
    os.close(writer)


def test_a_low_limit_does_not_matter() -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    low = os.open("/dev/null", os.O_RDONLY)
    resource.setrlimit(resource.RLIMIT_NOFILE, (low + 1, limits[1]))
    try:
        high = move_high(low)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (low + 1, limits[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    os.close(high)
    assert high >= FIRST_PRIVATE
