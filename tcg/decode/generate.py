"""A checked table to a Python module: its rows, its decoder, its disassembler.

The decoder is a tree.  A node looks at the bits that all its rows fix and that tell most of them
apart, and calls what a dict has for them; a leaf checks what is left and cuts out the fields:

    def leaf_12(w):
        return (12, (w >> 21 & 31, w >> 16 & 31, (w & 65535 ^ 32768) - 32768))
    node_3 = {266: leaf_9, 40: leaf_10}
    node_0 = {14: leaf_12, 31: lambda w: node_3[w >> 1 & 511](w)}
    def decode(w):
        try:
            return node_0[w >> 26 & 63](w)
        except KeyError:
            return None
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from os.path import basename
from types import CodeType

from tcg.decode.cache import instantiate
from tcg.decode.check import check
from tcg.decode.parse import Description, RowText, parse
from tcg.decode.table import BitField, Table
from tcg.decode.template import show_body

WIDEST_NODE = 12


def build(path: str) -> Table:
    """Parse, check and make the table at `path`."""
    return instantiate(compile_table(path), path)


def compile_table(path: str) -> CodeType:
    """The table's module, compiled."""
    return compile(source_of(path), f"<decoder of {basename(path)}>", "exec", dont_inherit=True)


def source_of(path: str) -> str:
    """The table's module as text."""
    table = parse(path)
    check(table)
    return source(table)


def source(table: Description) -> str:
    """The module of a checked table."""
    title = f'"""Made from {basename(table.path)} by tcg.decode.generate."""\n\n'
    head = "from tcg.decode.table import BitField, Row, Table\n"
    return title + head + _shows(table) + _decoder(table) + _rows(table)


# -- rows -----------------------------------------------------------------------------------------


def _shows(table: Description) -> str:
    """The lists, the format functions and a function for each row's text."""
    lines = [f"names_{name} = {words!r}\n" for name, words in table.names.items()]
    for name, where in table.formats.items():
        module, _, function = where.partition(":")
        lines.append(
            f"def format_{name}(value):\n    from {module} import {function}\n"
            f"    return {function}(value)\n"
        )
    for index, row in enumerate(table.rows):
        parameters = ", ".join(["pc", *(field.name for field in row.fields)])
        body = "".join(show_body(text, table) for text in (*row.cases, row.template))
        lines.append(f"def show_{index}({parameters}):\n{body}")
    return "\n" + "".join(lines)


def _rows(table: Description) -> str:
    """The Row objects; equal fields are one object."""
    numbers: dict[BitField, int] = {}
    rows = []
    for index, row in enumerate(table.rows):
        fields = "".join(f"field_{numbers.setdefault(f, len(numbers))}, " for f in row.fields)
        rows.append(
            f"        Row({row.name!r}, {row.mask:#x}, {row.value:#x}, ({fields}),"
            f" {row.template.text!r}, {row.line}, show_{index}),\n"
        )
    fields = "".join(
        f"field_{number} = BitField({f.name!r}, {f.width}, {f.signed}, {f.pieces})\n"
        for f, number in numbers.items()
    )
    return (
        f"\n{fields}\ndef table(path):\n    rows = (\n{''.join(rows)}    )\n"
        f"    return Table(path, {table.width}, rows, decode)\n"
    )


# -- the decoder ----------------------------------------------------------------------------------


@dataclass(slots=True)
class _Tree:
    """The decoder so far: its leaves and nodes as text, leaves from below first."""

    rows: Sequence[RowText]
    width: int
    text: list[str] = field(default_factory=list)
    leaves: dict[tuple[int, int], str] = field(default_factory=dict)
    nodes: int = 0

    def leaf(self, index: int, known: int) -> str:
        """The name of the function for a row of which the bits `known` have been looked at."""
        row = self.rows[index]
        left = row.mask & ~known
        name = self.leaves.get((index, left))
        if name is None:
            name = f"leaf_{len(self.leaves)}"
            self.leaves[index, left] = name
            test = f" if w & {left:#x} == {row.value & left:#x} else None" if left else ""
            values = "".join(f"{extract(field)}, " for field in row.fields)
            self.text.append(f"def {name}(w):\n    return ({index}, ({values})){test}\n")
        return name

    def node(self, indexes: Sequence[int], known: int) -> str:
        """An expression for a function that decodes a word that is one of these rows, if any."""
        first = self.rows[indexes[0]]
        if len(indexes) == 1 or not first.mask & ~known:
            return self.leaf(indexes[0], known)
        shift, width = best_bits([self.rows[index] for index in indexes], known)
        mask = (1 << width) - 1
        children = [
            f"{bits}: {self.node(chosen, known | mask << shift)}"
            for bits, chosen in self._split(indexes, shift, mask)
        ]
        name = f"node_{self.nodes}"
        self.nodes += 1
        self.text.append(f"{name} = {{{', '.join(children)}}}\n")
        top = shift + width == self.width
        return f"lambda w: {name}[{cut(shift, width, top)}](w)"

    def _split(
        self, indexes: Sequence[int], shift: int, mask: int
    ) -> Iterator[tuple[int, list[int]]]:
        """The rows for each value of these bits; one that leaves the bit open is on both sides."""
        chosen: defaultdict[int, list[int]] = defaultdict(list)
        for index in indexes:
            row = self.rows[index]
            if row.mask >> shift & mask == mask:
                chosen[row.value >> shift & mask].append(index)
            else:
                chosen[0].append(index)
                chosen[1].append(index)
        return iter(sorted(chosen.items()))


def _decoder(table: Description) -> str:
    if not table.rows:
        return "\ndef decode(w):\n    return None\n"
    tree = _Tree(table.rows, table.width)
    root = tree.node(range(len(table.rows)), 0).removeprefix("lambda w: ")
    call = root if root.endswith("(w)") else f"{root}(w)"
    return (
        f"\n{''.join(tree.text)}\ndef decode(w):\n    try:\n        return {call}\n"
        "    except KeyError:\n        return None\n"
    )


def best_bits(rows: Sequence[RowText], known: int) -> tuple[int, int]:
    """Where to look next, as (shift, width): of the runs of bits that all rows fix the one that
    tells most rows apart; if there is none, the bit that most rows fix.
    """
    common = -1
    for row in rows:
        common &= row.mask
    runs = list(_runs(common & ~known))
    if runs:
        return max(runs, key=lambda run: (_variety(rows, *run), -run[1]))
    fixed = [
        bit for bit in range(max(row.mask for row in rows).bit_length()) if not known >> bit & 1
    ]
    return max(fixed, key=lambda bit: sum(row.mask >> bit & 1 for row in rows)), 1


def _variety(rows: Sequence[RowText], shift: int, width: int) -> int:
    return len({row.value >> shift & (1 << width) - 1 for row in rows})


def _runs(mask: int) -> Iterator[tuple[int, int]]:
    """The runs of set bits, each as (shift, width), none wider than a node may be."""
    shift = 0
    while mask >> shift:
        width = 0
        while mask >> shift + width & 1 and width < WIDEST_NODE:
            width += 1
        if width:
            yield shift, width
        shift += width or 1


def cut(shift: int, width: int, top: bool) -> str:
    """The expression for so many bits of `w`; those at the top need no mask."""
    shifted = f"w >> {shift}" if shift else "w"
    return shifted if top else f"{shifted} & {(1 << width) - 1}"


def extract(field: BitField) -> str:
    """The expression for a field's value in `w`."""
    pieces = [(cut(at, width, False), shift) for at, width, shift in field.pieces]
    if len(pieces) == 1 and not pieces[0][1]:
        value = pieces[0][0]
    else:
        value = " | ".join(f"({bits}) << {shift}" for bits, shift in pieces)
    if not field.signed:
        return value
    sign = 1 << field.width - 1
    return f"(({value}) ^ {sign}) - {sign}"
