"""The log: what is wanted, where it goes, and what a user may ask for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tcg.log import ITEMS, Log, LogError, items_help, parse_items, parse_ranges


def test_only_what_is_wanted_is_written(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = Log.parse("in_asm,exec", "0x1000+0x10", str(path))
    log.write("in_asm", "one\n")
    log.write("op", "two\n")
    log.write("exec", "three\n", 0x100F)
    log.write("exec", "four\n", 0x1010)
    assert path.read_text() == "one\nthree\n"
    assert (log.wants("in_asm"), log.wants("cpu")) == (True, False)
    os.close(log.fd)


def test_the_file_is_out_of_the_way_and_not_inherited(tmp_path: Path) -> None:
    log = Log.parse("", "", str(tmp_path / "log.%d"))
    assert (tmp_path / f"log.{os.getpid()}").exists()
    assert log.fd >= 1000
    assert not os.get_inheritable(log.fd)
    os.close(log.fd)


def test_a_reader_that_left_is_no_error() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    Log({"op"}, fd=write_end).write("op", "text")
    os.close(write_end)


@pytest.mark.parametrize(
    ("text", "ranges"),
    [
        ("", []),
        ("0x1000..0x1fff", [(0x1000, 0x2000)]),
        ("4096+16,0x9000-0x100", [(4096, 4112), (0x8F01, 0x9001)]),
    ],
)
def test_ranges_are_written_as_for_qemu(text: str, ranges: list[tuple[int, int]]) -> None:
    assert parse_ranges(text) == ranges


@pytest.mark.parametrize("text", ["1000", "0x1..", "a+b", "-1"])
def test_a_bad_range_says_how_to_write_one(text: str) -> None:
    with pytest.raises(LogError, match=r"cannot read the address range .*start\.\.end"):
        parse_ranges(text)


def test_items() -> None:
    assert parse_items("all") == set(ITEMS)
    assert parse_items("op,,cpu") == {"op", "cpu"}
    with pytest.raises(LogError, match="there is no log item nope; -d help lists them"):
        parse_items("op,nope")
    assert all(name in items_help() for name in ITEMS)


def test_an_unwritable_file_is_named() -> None:
    with pytest.raises(LogError, match="cannot write the log file /nowhere/log: No such file"):
        Log.parse("op", "", "/nowhere/log")
