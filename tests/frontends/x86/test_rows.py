"""Every instruction, by lines of text (lines.py), on every engine; the host says what is right."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.frontends.x86.engines import ENGINES, engine_of
from tests.frontends.x86.fuzz import is_on_host
from tests.frontends.x86.host import Host, is_usable
from tests.frontends.x86.lines import (
    HERE,
    HostLines,
    Line,
    disassemble,
    lines_of,
    parse,
    rows_with_lines,
    run_on_engine,
    run_on_host,
    trial_of,
    why_without,
    x86_table,
)
from tests.frontends.x86.trial import STOP

FILES = sorted(HERE.glob("*.txt"))
needs_host = pytest.mark.skipif(not is_usable(), reason="the host is no x86-64 Linux with AVX")


@pytest.fixture(scope="module")
def host() -> Iterator[HostLines]:
    made = Host()
    yield HostLines(made)
    made.close()


def read(path: Path) -> list[tuple[int, Line]]:
    """The lines of a file, numbered."""
    return [(number, parse(text)) for number, text in lines_of(path)]


def knows(line: Line) -> bool:
    """The host's processor has this instruction, and may be asked."""
    return is_on_host(trial_of(line).row) and not line.reason


def blessed(path: Path, host: HostLines) -> str:
    """The file as the host would have it."""
    done = []
    for text in path.read_text().splitlines():
        if text.strip() and not text.startswith("#"):
            line = parse(text)
            line.text = disassemble(line)
            if knows(line):
                line.after_text = run_on_host(host, line)
            text = str(line)
        done.append(text)
    return "\n".join(done) + "\n"


@needs_host
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_host_agrees(path: Path, host: HostLines, bless: bool) -> None:
    if bless:
        path.write_text(blessed(path, host))
    wrong = [
        f"{path.name}:{number}: {line}\n    the host: {theirs}"
        for number, line in read(path)
        if knows(line) and (theirs := run_on_host(host, line)) != line.after_text
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
@pytest.mark.parametrize("name", ENGINES)
def test_our_processor(name: str, path: Path) -> None:
    lines = read(path)
    for mode in {line.mode for _, line in lines}:
        # All handlers at once: thousands of small batches would take minutes.
        engine_of(name, mode).write_code(
            [trial_of(line) for _, line in lines if line.mode == mode], STOP
        )
    wrong = []
    for number, line in lines:
        ours = run_on_engine(engine_of(name, line.mode), line)
        if ours != line.after_text:
            wrong.append(f"{path.name}:{number}: {line}\n    gives {ours}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_text_is_the_disassembly(path: Path) -> None:
    for number, line in read(path):
        assert line.text == disassemble(line), f"{path.name}:{number}"


def test_every_row_has_a_line() -> None:
    known = rows_with_lines(FILES)
    without = [
        row.key
        for index, row in enumerate(x86_table().rows)
        if index not in known and not why_without(row)
    ]
    assert not without
