"""Reads a table: text to facts about it, each with its line.

What one line can get wrong by itself is found here; what several rows get wrong together is
found in `check`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from itertools import product
from keyword import iskeyword
from re import finditer, fullmatch
from typing import NoReturn

from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedInput

from tcg.decode.errors import TableError
from tcg.decode.syntax import explain
from tcg.decode.table import BitField

Node = Tree[Token]


@dataclass(frozen=True, slots=True)
class Expression:
    """A Python expression and the names it uses."""

    text: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """A pair of braces in a template: what to show, its text for zero, and how to show it."""

    value: Expression
    zero: str
    show: str


@dataclass(frozen=True, slots=True)
class Template:
    """A row's text, or the text of one of its cases; `when` is None for the row's own."""

    text: str
    items: tuple[str | Place, ...]
    when: Expression | None
    line: int


@dataclass(frozen=True, slots=True)
class RowText:
    """A row as the table has it.  Rows of one { } have the same `group`, which is its line."""

    name: str
    line: int
    group: int
    mask: int
    value: int
    fields: tuple[BitField, ...]
    template: Template
    cases: tuple[Template, ...]


@dataclass(slots=True)
class Description:
    """A table's header and rows.  `names` expanded, `formats` as module:function."""

    path: str
    width: int = 0
    address: int = 0
    names: dict[str, tuple[str, ...]] = field(default_factory=dict)
    formats: dict[str, str] = field(default_factory=dict)
    rows: list[RowText] = field(default_factory=list)

    def fail(self, line: int, fact: str, hint: str) -> NoReturn:
        """Raise the TableError for a line of this table."""
        raise TableError(self.path, line, fact, hint)


def parse(path: str) -> Description:
    """Read the table at `path`.  Raises TableError, or OSError if it cannot be read."""
    with open(path, encoding="utf-8", errors="replace") as opened:
        return parse_text(opened.read(), path)


def parse_text(text: str, path: str) -> Description:
    """Read a table given as text; `path` is for its errors."""
    table = Description(path)
    tree = _tree("table", text + "\n", table, 0)
    for item in _nodes(tree):
        _read_item(item, table)
    if not table.width:
        table.fail(1, "the table does not say how wide its rows are", "begin with: width 32")
    table.address = table.address or table.width
    return table


# -- lines ----------------------------------------------------------------------------------------


def _read_item(item: Node, table: Description) -> None:
    match item.data:
        case "group":
            for row in _nodes(item):
                table.rows.append(_row(row, _line(item), table))
        case "row":
            table.rows.append(_row(item, 0, table))
        case "width":
            _set_width(item, table)
        case "address":
            table.address = _number(item, table)
        case "names":
            name, *words = _tokens(item)
            _add_list(name, table)
            table.names[name] = tuple(text for word in words for text in expand(word.strip('"')))
        case _:
            name, function = _tokens(item)
            _add_list(name, table)
            table.formats[name] = str(function)


def _set_width(item: Node, table: Description) -> None:
    if table.width:
        table.fail(_line(item), "the width is given twice", "take this line out")
    if table.rows:
        table.fail(_line(item), "the width comes after rows", "move this line to the top")
    table.width = _number(item, table)


def _number(item: Node, table: Description) -> int:
    number = int(_tokens(item)[0], 0)
    if not 1 <= number <= 128:
        table.fail(_line(item), f"{item.data} {number} is not sensible", "give 1 to 128 bits")
    return number


def _add_list(name: Token, table: Description) -> None:
    line = name.line or 0
    if name in table.names or name in table.formats:
        table.fail(line, f"{name} is defined twice", "give one of the two another name")
    if len(name) < 2 or name in BUILT_IN_SHOWS:
        why = "is one character long" if len(name) < 2 else "is built in"
        table.fail(line, f"the list {name} {why}", "give it another name")


BUILT_IN_SHOWS = ("hex", "addr")


def expand(word: str) -> Iterator[str]:
    """Expand braces as bash does: `r{0..2}` to r0 r1 r2, `{a,b}x` to ax bx."""
    parts = [_choices(found[1], found[2]) for found in finditer(r"\{([^{}]*)\}|([^{}]+|.)", word)]
    return map("".join, product(*parts))


def _choices(braced: str | None, plain: str) -> list[str]:
    if braced is None:
        return [plain]
    if numbers := fullmatch(r"(\d{1,4})\.\.(\d{1,4})", braced):
        return [str(number) for number in range(int(numbers[1]), int(numbers[2]) + 1)]
    return braced.split(",")


# -- rows -----------------------------------------------------------------------------------------


def _row(row: Node, group: int, table: Description) -> RowText:
    line = _line(row)
    if not table.width:
        table.fail(line, "a row comes before the width", "begin the table with: width 32")
    name, *parts = row.children
    cases = [part for part in _nodes(row) if part.data == "when"]
    text = next(part for part in parts if isinstance(part, Token) and part.type == "TEXT")
    layout = _Layout(table, line, str(name))
    for part in parts[: parts.index(text)]:
        layout.add(part)
    fields = layout.finish()
    return RowText(
        name=str(name),
        line=line,
        group=group,
        mask=layout.mask,
        value=layout.value,
        fields=fields,
        template=_template(text, None, fields, table),
        cases=tuple(_case(case, fields, table) for case in cases),
    )


class _Layout:
    """Lays the parts of a row side by side, from the top bit down."""

    def __init__(self, table: Description, line: int, name: str) -> None:
        self.table = table
        self.line = line
        self.name = name
        self.mask = 0
        self.value = 0
        self.used = 0
        self.pieces: dict[str, list[tuple[int, int, int]]] = {}
        self.signed: set[str] = set()

    def fail(self, fact: str, hint: str) -> NoReturn:
        self.table.fail(self.line, f"{self.name}: {fact}", hint)

    def add(self, part: Token | Node) -> None:
        if isinstance(part, Token):
            self._add_bits(part)
        elif part.data == "plain":
            name, width = _tokens(part)
            self._add_plain(str(name), width.startswith("s"), int(width.lstrip("s")))
        else:
            self._add_split(part)

    def _add_bits(self, bits: Token) -> None:
        at = self._take(len(bits))
        if bits.type == "IGNORED":
            return
        self.mask |= (1 << len(bits)) - 1 << at
        if bits.type == "FIXED":
            self.value |= int(bits, 2) << at

    def _add_plain(self, name: str, signed: bool, width: int) -> None:
        if name in self.pieces:
            self.fail(f"there are two fields {name}", f"number the bits of its parts: {name}[4:0]")
        if not width:
            self.fail(f"the field {name} has no bits", "give it a width, or take it out")
        self._begin(name, signed)
        self.pieces[name].append((self._take(width), width, 0))

    def _add_split(self, part: Node) -> None:
        name = str(part.children[0])
        self._begin(name, part.children[1] is not None)
        for run in _nodes(part):
            bits = [int(bit, 0) for bit in _tokens(run)]
            self._add_run(name, bits[0], bits[-1])

    def _add_run(self, name: str, high: int, low: int) -> None:
        if high < low:
            self.fail(f"{name}[{high}:{low}] is upside down", "write the high bit first")
        width = high - low + 1
        for _, other_width, other_low in self.pieces[name]:
            if low < other_low + other_width and other_low <= high:
                bit = max(low, other_low)
                self.fail(f"bit {bit} of {name} is there twice", "number each bit of a field once")
        self.pieces[name].append((self._take(width), width, low))

    def _begin(self, name: str, signed: bool) -> None:
        if name == "pc" or iskeyword(name):
            what = "the address" if name == "pc" else "a Python keyword"
            self.fail(f"a field cannot be called {name}, which is {what}", "give it another name")
        self.pieces.setdefault(name, [])
        if signed:
            self.signed.add(name)

    def _take(self, width: int) -> int:
        self.used += width
        return max(0, self.table.width - self.used)

    def finish(self) -> tuple[BitField, ...]:
        width = self.table.width
        if self.used != width:
            few = "few" if self.used < width else "many"
            off = abs(width - self.used)
            bits = "bit" if off == 1 else "bits"
            self.fail(f"the row has {self.used} bits, not {width}", f"it is {off} {bits} too {few}")
        return tuple(
            BitField(
                name,
                max(piece_width + low for _, piece_width, low in pieces),
                name in self.signed,
                tuple(pieces),
            )
            for name, pieces in self.pieces.items()
        )


# -- templates ------------------------------------------------------------------------------------


def _case(case: Node, fields: tuple[BitField, ...], table: Description) -> Template:
    condition, text = case.children
    assert isinstance(condition, Tree)
    assert isinstance(text, Token)
    return _template(text, _expression(condition), fields, table)


def _template(
    text: Token, when: Expression | None, fields: tuple[BitField, ...], table: Description
) -> Template:
    line, inner = text.line or 0, text[1:-1]
    tree = _tree("template", inner, table, line)
    items = tuple(item.value if isinstance(item, Token) else _place(item) for item in tree.children)
    template = Template(inner, items, when, line)
    _check_names(template, fields, table)
    return template


def _place(place: Node) -> Place:
    value, zero, show = place.children
    assert isinstance(value, Tree)
    return Place(_expression(value), str(zero or ""), str(show or ""))


def _expression(tree: Node) -> Expression:
    tokens = _tokens(tree)
    names = tuple(str(token) for token in tokens if token.type == "NAME")
    return Expression(" ".join(tokens), names)


def _check_names(template: Template, fields: tuple[BitField, ...], table: Description) -> None:
    """Every name in a template is a field, every way to show something is there."""
    known = {field.name: field for field in fields}
    places = [item for item in template.items if isinstance(item, Place)]
    values = [place.value for place in places] + ([template.when] if template.when else [])
    for name in (name for value in values for name in value.names):
        if name not in known and name != "pc":
            has = ", ".join(known) or "none"
            table.fail(template.line, f"the row has no field {name}", f"its fields are: {has}")
    for place in places:
        _check_show(place, known.get(place.value.text), template.line, table)


def _check_show(place: Place, field: BitField | None, line: int, table: Description) -> None:
    show = "reg" if place.zero else place.show
    if place.zero and place.show:
        table.fail(line, f"{{...|{place.zero}:{place.show}}} shows a value in two ways", "take one")
    if len(show) < 2 or show in BUILT_IN_SHOWS or show in table.formats:
        return
    if show not in table.names:
        there = ", ".join([*table.names, *table.formats, *BUILT_IN_SHOWS])
        table.fail(line, f"there is no list or format {show}", f"there are: {there}")
    count = len(table.names[show])
    if field is not None and (field.signed or 1 << field.width > count):
        values = "can be negative" if field.signed else f"has {1 << field.width} values"
        table.fail(
            line,
            f"{field.name} {values}, the list {show} has {count}",
            'give every value a name; "" is the empty one',
        )


# -- the grammar ----------------------------------------------------------------------------------

WORDS: Mapping[str, str] = {
    "NAME": "a name",
    "INT": "a number",
    "FIXED": "bits",
    "RESERVED": "/",
    "IGNORED": "-",
    "TEXT": 'a text in "..."',
    "FIELD_WIDTH": "a width (5, s16)",
    "SIGN": "s",
    "WORD": "a word",
    "PYTHON": "module:function",
    "COMPARISON": "a comparison",
    "OPERATOR": "an operator",
    "MINUS": "-",
    "LITERAL": "text",
    "ZERO": "the text for zero",
    "SHOW": "a way to show it",
    "_NL": "the end of the line",
    "$END": "the end",
    "LBRACE": "{",
    "RBRACE": "}",
    "LSQB": "[",
    "RSQB": "]",
    "LPAR": "(",
    "RPAR": ")",
    "COLON": ":",
    "VBAR": "|",
}


@cache
def _parser() -> Lark:
    grammar = files("tcg.decode").joinpath("grammar.lark").read_text(encoding="utf-8")
    return Lark(grammar, parser="lalr", start=["table", "template"], propagate_positions=True)


def _tree(start: str, text: str, table: Description, line: int) -> Node:
    """Parse `text`; a `line` other than 0 is where a template stands."""
    try:
        return _parser().parse(text, start=start)
    except UnexpectedInput as error:
        table.fail(*explain(error, text, WORDS, line))


def _nodes(tree: Node) -> list[Node]:
    return [child for child in tree.children if isinstance(child, Tree)]


def _tokens(tree: Node) -> list[Token]:
    return [child for child in tree.children if isinstance(child, Token)]


def _line(tree: Node) -> int:
    return tree.meta.line
