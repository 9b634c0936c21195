"""Every instruction, by lines of text (lines.py), on every engine and on unicorn's processor."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from frontends.ppc.frontend import PpcFrontend
from tests.frontends.ppc.lines import Line, disassemble, parse, run
from tests.frontends.ppc.machines import ENGINES, Machine, UnicornMachine, make_machine

FILES = sorted(Path(__file__).parent.glob("*.txt"))
FRONTEND = PpcFrontend()


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a file that are tests, numbered."""
    for number, text in enumerate(path.read_text().splitlines(), 1):
        if text.strip() and not text.startswith("#"):
            yield number, text


def blessed(path: Path, machine: Machine) -> str:
    """The file as `machine` would have it."""
    done = []
    for text in path.read_text().splitlines():
        if text.strip() and not text.startswith("#"):
            line = parse(text)
            line.text = disassemble(FRONTEND, line.code)
            line.after_text = run(machine, line)
            text = str(line)
        done.append(text)
    return "\n".join(done) + "\n"


def failures(path: Path, machine: Machine) -> list[str]:
    """The lines of a file that come out otherwise."""
    found = []
    for number, text in lines_of(path):
        line = parse(text)
        actual = run(machine, line)
        if actual != line.after_text:
            found.append(f"{path.name}:{number}: {text}\n    gives {actual}")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
@pytest.mark.parametrize("engine", ENGINES)
def test_our_processor(engine: str, path: Path, bless: bool) -> None:
    machine = make_machine(engine)
    if bless and engine == "interp":
        path.write_text(blessed(path, machine))
    wrong = failures(path, machine)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_unicorn_agrees(path: Path) -> None:
    machine = UnicornMachine()
    wrong = []
    for number, text in lines_of(path):
        line = parse(text)
        agrees = same_outcome(line, run(machine, line))
        if agrees and line.reason:
            wrong.append(f"{path.name}:{number}: unicorn agrees; take the reason out: {text}")
        elif not agrees and not line.reason:
            wrong.append(f"{path.name}:{number}: {text}\n    unicorn: {run(machine, line)}")
    assert not wrong, "\n".join(wrong)


EXCEPTIONS = ("fault", "trap", "illegal", "privileged", "alignment", "syscall", "float")


def same_outcome(line: Line, theirs: str) -> bool:
    """Unicorn has one word for all exceptions, and says more about it than we."""
    ended = line.after_text.split()[-1:]
    if not ended or ended[0] not in EXCEPTIONS:
        return line.after_text == theirs
    registers = line.after_text.removesuffix(ended[0]).strip()
    return theirs.startswith(registers) and "UC_ERR" in theirs


def test_every_row_has_a_line() -> None:
    rows = {row.name for row in FRONTEND.table.rows}
    for path in FILES:
        for _, text in lines_of(path):
            code = parse(text).code
            for at in range(0, len(code), 4):
                decoded = FRONTEND.decode(code, at, 0)
                if decoded:
                    rows.discard(FRONTEND.row_name(decoded.row))
    assert not rows


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_text_is_the_disassembly(path: Path) -> None:
    for number, text in lines_of(path):
        line = parse(text)
        assert line.text == disassemble(FRONTEND, line.code), f"{path.name}:{number}"
