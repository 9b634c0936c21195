"""The decode-table language, feature by feature, on tables of a few rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st

import tcg.decode
from tcg.decode import Table, TableError, load_table
from tcg.decode.check import left_over
from tcg.decode.parse import expand
from tests.decode.samples import by_trying

Make = Callable[[str], Table]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Make a table of a text."""

    def make_table(text: str) -> Table:
        path = tmp_path / "table.decode"
        path.write_text(text)
        return load_table(str(path))

    return make_table


def attempt(make: Make, text: str) -> Table | TableError:
    """The table, or why there is none."""
    try:
        return make(text)
    except TableError as error:
        return error


def shown(table: Table, word: int, pc: int = 0) -> str | None:
    """A word as the table shows it."""
    found = table.decoder()(word)
    return None if found is None else table.rows[found[0]].disassemble(found[1], pc)


# -- rows -----------------------------------------------------------------------------------------


def test_a_row_knows_its_bits(make: Make) -> None:
    table = make('width 32\naddi 001110 rt:5 ra:5 si:s16  "addi r{rt}, r{ra}, {si}"  # a comment\n')
    (row,) = table.rows
    assert (row.name, row.line, row.template) == ("addi", 2, "addi r{rt}, r{ra}, {si}")
    assert (row.mask, row.value) == (0xFC000000, 0x38000000)
    assert [(f.name, f.width, f.signed) for f in row.fields] == [
        ("rt", 5, False),
        ("ra", 5, False),
        ("si", 16, True),
    ]
    assert table.decoder()(0x3860FFFF) == (0, (3, 0, -1))
    assert table.decoder()(0x3C60FFFF) is None


def test_encode_is_the_inverse(make: Make) -> None:
    row = make('width 8\na 01 x:s2 y[1:0] z[1] y[3:2]  "a"\n'.replace("x:s2", "x:s1")).rows[0]
    assert [field.name for field in row.fields] == ["x", "y", "z"]
    assert row.encode((-1, 0b1001, 2)) == 0b01_1_01_1_10
    with pytest.raises(ValueError, match="a: 2 does not fit the field x"):
        row.encode((2, 0, 0))
    with pytest.raises(ValueError, match="a: 1 does not fit the field z"):
        row.encode((0, 0, 1))


def test_reserved_bits_are_zero_and_others_are_ignored(make: Make) -> None:
    table = make('width 8\na 01 // -- x:2 "a {x}"\n')
    assert shown(table, 0b01_00_11_10) == "a       2"
    assert shown(table, 0b01_00_00_10) == "a       2"
    assert shown(table, 0b01_01_00_10) is None


def test_split_fields(make: Make) -> None:
    """RISC-V's branch offset, as its manual writes it; bit 0 is nowhere, so it is zero."""
    table = make(
        "width 32\n"
        "beq imm:s[12|10:5] rs2:5 rs1:5 000 imm[4:1|11] 1100011"
        ' "beq x{rs1}, x{rs2}, {pc + imm:addr}"\n'
    )
    assert shown(table, 0xFE000EE3, 0x100) == "beq     x0, x0, 0xfc"
    assert shown(table, 0x00208463, 0x100) == "beq     x1, x2, 0x108"


@pytest.mark.parametrize("width", [1, 8, 16, 48, 64])
def test_widths(make: Make, width: int) -> None:
    table = make(f'width {width}\na 1 {"x:" + str(width - 1) if width > 1 else ""} "a"\n')
    top = 1 << width - 1
    assert shown(table, top) == "a"
    assert shown(table, top - 1) is None


def test_the_first_of_a_group_counts(make: Make) -> None:
    table = make('width 8\n{\nnop 0000 0000 "nop"\nmov 0000 x:4 "mov {x}"\n}\nadd 0001 x:4 "add"\n')
    assert [shown(table, word) for word in (0, 1, 0x10)] == ["nop", "mov     1", "add"]


def test_rows_with_nothing_in_common(make: Make) -> None:
    """No bit is fixed in all rows: the decoder still finds one to look at."""
    table = make('width 4\n{\na 1 - - 1 "a"\nb - 1 0 - "b"\nc - - - 0 "c"\nd 0 x:1 1 - "d"\n}\n')
    for word in range(16):
        assert table.decoder()(word) == by_trying(table, word)


def test_an_empty_table(make: Make) -> None:
    assert make("width 8").decoder()(0) is None


def test_the_example_of_the_docstring(make: Make) -> None:
    assert tcg.decode.__doc__ is not None
    table = make(
        tcg.decode.__doc__.partition(
            "says, one row an instruction, how its bits are laid out and how it is written:"
        )[2].partition("The header")[0]
    )
    assert [row.name for row in table.rows] == ["addi", "add", "mfspr"]
    words = (0x38600001, 0x38630001, 0x7C632A15, 0x7C6802A6)
    assert [shown(table, word) for word in words] == [
        "li      r3, 1",
        "addi    r3, r3, 1",
        "add.    r3, r3, r5",
        "mfspr   r3, 8",
    ]


# -- text -----------------------------------------------------------------------------------------


def test_ways_to_show_a_value(make: Make) -> None:
    table = make(
        "width 8\naddress 16\n"
        'names reg sp {a,b}{0..2} "the end"\n'
        "format bits builtins:bin\n"
        'a 00 x:3 y:3 "a{x:.} {x|0}, {y:reg}, {y:hex}, {y:bits}, {pc - 2*y:addr}"\n'.replace(
            "- 2", "+ 2"
        )
    )
    assert shown(table, 0b00_000_010, 0xFFFE) == "a       0, b0, 0x2, 0b10, 0x2".replace("b0", "a1")
    assert shown(table, 0b00_111_000) == "a.      the end, sp, 0x0, 0b0, 0x0"


def test_the_mnemonic_has_a_column(make: Make) -> None:
    table = make(
        'width 8\na 000 x:1 y:4 "longname{x:s} {y}"\nb 001 x:1 y:4 "b{x:l}"\nc 010----- "c"\n'
    )
    texts = [shown(table, word) for word in (0x01, 0x11, 0x20, 0x30, 0x40)]
    assert texts == ["longname 1", "longnames 1", "b", "bl", "c"]


def test_cases(make: Make) -> None:
    """The first case that holds is shown; decoding is the same for all."""
    table = make(
        'width 8\nshift x:4 y:4 "shift {x}, {y}"\n'
        '  when x == 0 and y == 0        "nop"\n'
        '  when x in (1, 2) or y > 14    "few {x}"\n'
        "  when x == 8-y\n"
        '       "eight"\n'
    )
    texts = [shown(table, word) for word in (0x00, 0x01, 0x13, 0x5F, 0x53, 0x54)]
    assert texts == ["nop", "shift   0, 1", "few     1", "few     5", "eight", "shift   5, 4"]
    assert len(table.rows) == 1


def test_expansion() -> None:
    assert list(expand("r{0..3}")) == ["r0", "r1", "r2", "r3"]
    assert list(expand("4*cr{1..2}+{lt,gt}")) == ["4*cr1+lt", "4*cr1+gt", "4*cr2+lt", "4*cr2+gt"]
    assert list(expand("{,,}")) == ["", "", ""]
    assert list(expand("")) == [""]
    assert list(expand("}{")) == ["}{"]


# -- everything that can be written ---------------------------------------------------------------

CUBES = st.tuples(st.integers(0, 63), st.integers(0, 63)).map(lambda c: (c[0], c[1] & c[0]))


@given(CUBES, st.lists(CUBES, max_size=5))
def test_left_over(cube: tuple[int, int], covers: list[tuple[int, int]]) -> None:
    """Against trying every word."""

    def is_in(word: int, mask: int, value: int) -> bool:
        return word & mask == value

    left = [
        word
        for word in range(64)
        if is_in(word, *cube) and not any(is_in(word, *cover) for cover in covers)
    ]
    found = left_over(cube, covers)
    assert (found in left) if left else found is None


PARTS = ["0", "1", "/", "-", "x:1", "y:s2", "z[0]", "z[3:2]", "w:3"]
PATTERNS = st.lists(st.sampled_from(PARTS), min_size=2, max_size=8)
GROUPS = st.lists(st.lists(PATTERNS, min_size=1, max_size=4), min_size=1, max_size=2)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(GROUPS)
def test_random_tables(make: Make, groups: list[list[list[str]]]) -> None:
    """A table of random rows is refused, or decodes every word as its rows say."""
    table = attempt(make, _table_of(groups))
    event("refused" if isinstance(table, TableError) else "decoded")
    if isinstance(table, TableError):
        return
    for word in range(256):
        found = table.decoder()(word)
        assert found == by_trying(table, word)
        if found is not None:
            row = table.rows[found[0]]
            assert row.mask & row.encode(found[1]) == row.value


def _table_of(groups: list[list[list[str]]]) -> str:
    """A table of width 8; parts that do not fit or are there already are left out of their row."""
    lines = ["width 8"]
    for number, rows in enumerate(groups):
        lines.append("{")
        for index, parts in enumerate(rows):
            row = [f"{number:b}"]
            for part in parts:
                used = sum(map(_width, row))
                if used + _width(part) <= 8 and (part in "01/-" or part not in row):
                    row.append(part)
            row.append("-" * (8 - sum(map(_width, row))))
            lines.append(f'row_{number}_{index} {" ".join(row)} "{index} {{pc}}"')
        lines.append("}")
    return "\n".join(lines)


def _width(part: str) -> int:
    return {"x:1": 1, "y:s2": 2, "z[0]": 1, "z[3:2]": 2, "w:3": 3}.get(part, len(part))


SAMPLE = """width 8
names reg r{0..7}
format bits builtins:bin
{
nop   0000 0 /-0       "nop"
add   0000 x:s2 y[1:0] "add{x:.} {y|0}, {pc + 4*x:addr}"
  when x == 3 and y in (1, 2)   "inc {y:bits}"
}
"""


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_damaged_tables(make: Make, data: st.DataObject) -> None:
    """Whatever is written: a table or a TableError with a line, and never anything else."""
    text = SAMPLE
    for _ in range(data.draw(st.integers(1, 2))):
        at = data.draw(st.integers(0, len(text)))
        length = data.draw(st.integers(0, 6))
        new = data.draw(st.text(max_size=3) | st.sampled_from(sorted(set(SAMPLE.split()))))
        text = text[:at] + new + text[at + length :]
    assume("\r" not in text)
    table = attempt(make, text)
    event("refused" if isinstance(table, TableError) else "accepted")
    if isinstance(table, TableError):
        assert 1 <= table.line <= text.count("\n") + 1
        return
    assert all(row.name.isidentifier() for row in table.rows)
