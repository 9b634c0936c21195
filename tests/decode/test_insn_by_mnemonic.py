"""Semantic functions meet the rows of an x86 table, or an error says where they do not."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from frontends.insn import InsnError
from frontends.insn_by_mnemonic import collect_by_mnemonic
from tcg.decode.intel import Table, load_table

TABLE = """
01 /r        and       Ev, Gv        lock
21 ib        and       AL, Ib
70+cc cb     j{cc}     Jb            ro f64
0f b6 /r     movzx     Gv, Eb        wo
98           cbw/cwde/cdqe
f2 0f 10 /r  movsd     Vsd, Wsd      wo
a5           movs{wd}  Yv, Xv        rep wo
69 /r iz     imul      Gv, Ev, Iz    wo
0f af /r     imul      Gv, Ev
f7 /5        imul      Ev            ro
"""

FUNCTIONS = """from frontends.insn import insn

@insn
def and_(c, dst, src):
    pass

@insn
def jcc(c, target):
    pass

@insn
def movzx(c, src):
    pass

@insn("cwde")
def widen(c):
    pass

@insn("movsd_Vsd_Wsd")
def move_double(c, src):
    pass

@insn
def movs(c, src):
    pass

@insn
def imul(c, dst, src=None):
    pass

def helper(c):
    pass
"""


@pytest.fixture
def table(tmp_path: Path) -> Table:
    path = tmp_path / "t.decode"
    path.write_text(TABLE)
    return load_table([str(path)])


def module(source: str, name: str = "frontends.toy.alu") -> ModuleType:
    made = ModuleType(name)
    exec(compile(source, "alu.py", "exec"), vars(made))
    return made


def test_functions_in_row_order(table: Table) -> None:
    found = collect_by_mnemonic(table, [module(FUNCTIONS)])
    names = [function.__name__ for function in found if function]
    assert names[:2] == ["and_", "and_"]
    assert names[2:18] == ["jcc"] * 16
    assert names[18:] == ["movzx", "widen", "move_double", "movs", "imul", "imul", "imul"]


def test_a_key_goes_before_a_mnemonic(table: Table) -> None:
    source = FUNCTIONS + '\n@insn("and_AL_Ib")\ndef special(c, dst, src):\n    pass\n'
    found = collect_by_mnemonic(table, [module(source)])
    assert [function.__name__ for function in found[:2] if function] == ["and_", "special"]


def test_rows_without_a_function(table: Table) -> None:
    source = FUNCTIONS.replace("@insn\ndef movzx", "def movzx")
    found = collect_by_mnemonic(table, [module(source)], complete=False)
    assert [row.name for row, met in zip(table.rows, found, strict=True) if not met] == ["movzx"]


def error_of(table: Table, source: str) -> str:
    with pytest.raises(InsnError) as caught:
        collect_by_mnemonic(table, [module(source)])
    return str(caught.value)


def test_a_missing_function(table: Table) -> None:
    assert error_of(table, FUNCTIONS.replace("@insn\ndef and_", "def x")) == (
        "t.decode:2: and has no function\nhint: write @insn def and_(c, dst, src)"
    )
    assert error_of(table, FUNCTIONS.replace("@insn\ndef movzx", "def x")) == (
        "t.decode:5: movzx has no function\nhint: write @insn def movzx(c, src)"
    )
    assert error_of(table, FUNCTIONS.replace("@insn\ndef imul", "def x")) == (
        "t.decode:9: imul has no function\nhint: write @insn def imul(c, src1, src2)"
    )


def test_a_function_without_a_row(table: Table) -> None:
    assert error_of(table, FUNCTIONS.replace("def movzx", "def movzxx")) == (
        "frontends/toy/alu.py:11: movzxx is no mnemonic of the table\nhint: did you mean movzx?"
    )
    assert error_of(table, FUNCTIONS.replace("def jcc", "def whatever")) == (
        "frontends/toy/alu.py:7: whatever is no mnemonic of the table\n"
        "hint: add a row, or take the function out"
    )


def test_two_functions_for_a_mnemonic(table: Table) -> None:
    source = FUNCTIONS + '\n@insn("movzx")\ndef other(c, src):\n    pass\n'
    assert error_of(table, source) == (
        "frontends/toy/alu.py:34: movzx has another function, at frontends/toy/alu.py:11\n"
        "hint: take one of them out"
    )


def test_a_function_with_other_parameters(table: Table) -> None:
    assert error_of(table, FUNCTIONS.replace("and_(c, dst, src)", "and_(c, dst)")) == (
        "frontends/toy/alu.py:3: and_ takes 1 operands, and at t.decode:2 has 2: Ev, Gv\n"
        "hint: as in and_(c, dst, src)"
    )
    assert error_of(table, FUNCTIONS.replace("movzx(c, src)", "movzx(c, dst, src)")) == (
        "frontends/toy/alu.py:11: movzx takes 2 operands, movzx at t.decode:5 has 1: Eb\n"
        "hint: as in movzx(c, src) (wo: the first operand is not read)"
    )
    assert error_of(table, FUNCTIONS.replace("src=None", "src")) == (
        "frontends/toy/alu.py:27: imul takes 2 operands, imul at t.decode:11 has 1: Ev\n"
        "hint: as in imul(c, src)"
    )
