"""Semantic functions meet their rows, or an error says where they do not."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from frontends.insn import InsnError, collect
from tcg.decode import Table, load_table

TABLE = """width 8
and   0000 rt:2 ra:2    "and"
subf  0001 rt:2 ra:2    "subf"
sc    0010 ----         "sc"
"""

FUNCTIONS = """from frontends.insn import insn

@insn
def and_(c, rt, ra):
    pass

@insn("subf")
def subtract(c, rt, ra):
    pass

@insn
def sc(c):
    pass

def helper(c):
    pass
"""


@pytest.fixture
def table(tmp_path: Path) -> Table:
    path = tmp_path / "t.decode"
    path.write_text(TABLE)
    return load_table(str(path))


def module(source: str, name: str = "frontends.toy.alu") -> ModuleType:
    made = ModuleType(name)
    exec(compile(source, "alu.py", "exec"), vars(made))
    return made


def test_functions_in_row_order(table: Table) -> None:
    found = collect(table, [module(FUNCTIONS)])
    assert [function.__name__ for function in found] == ["and_", "subtract", "sc"]


def test_one_function_for_several_rows(table: Table) -> None:
    source = FUNCTIONS.replace('@insn("subf")', '@insn("and", "subf")').replace(
        "@insn\ndef and_", "def x"
    )
    assert [f.__name__ for f in collect(table, [module(source)])] == ["subtract", "subtract", "sc"]


def test_functions_of_several_modules(table: Table) -> None:
    """A function that another module imports counts once."""
    first, second = FUNCTIONS.split("@insn\ndef sc")
    one = module(first)
    other = module("from frontends.insn import insn\n@insn\ndef sc" + second, "frontends.toy.sys")
    vars(other)["and_"] = vars(one)["and_"]
    assert len(collect(table, [one, other])) == 3


def error_of(table: Table, source: str) -> str:
    with pytest.raises(InsnError) as caught:
        collect(table, [module(source)])
    return str(caught.value)


def test_a_missing_function(table: Table) -> None:
    assert error_of(table, FUNCTIONS.replace("@insn\ndef and_", "def x")) == (
        "t.decode:2: the row and has no function\nhint: write @insn def and_(c, rt, ra)"
    )


def test_an_extra_function(table: Table) -> None:
    assert error_of(table, FUNCTIONS.replace('@insn("subf")', '@insn("subs")')) == (
        "frontends/toy/alu.py:7: subtract is for a row subs, which t.decode has not\n"
        "hint: did you mean subf?"
    )
    assert error_of(table, FUNCTIONS.replace("sc(c)", "halt(c)")) == (
        "frontends/toy/alu.py:11: halt is for a row halt, which t.decode has not\n"
        "hint: add the row, or take the function out"
    )


def test_two_functions_for_a_row(table: Table) -> None:
    assert error_of(table, FUNCTIONS.replace('@insn("subf")', '@insn("and")')) == (
        "frontends/toy/alu.py:7: the row and has another function, at frontends/toy/alu.py:3\n"
        "hint: take one of them out"
    )


@pytest.mark.parametrize(
    ("parameters", "has"), [("c, ra, rt", "ra, rt"), ("c, rt", "rt"), ("c", "none"), ("", "none")]
)
def test_other_parameters(table: Table, parameters: str, has: str) -> None:
    assert error_of(table, FUNCTIONS.replace("and_(c, rt, ra)", f"and_({parameters})")) == (
        f"frontends/toy/alu.py:3: and_ takes {has}, its row has the fields rt, ra\n"
        "hint: write the parameters as and_(c, rt, ra), or mend t.decode:2"
    )
