"""Templates to Python: the body of a row's `show` function.

Before:  "add{oe:o}{rc:.} r{rt}, {ra|0}"
After:   f"add{'o' if oe else ''}{'.' if rc else ''}".ljust(7) + f" r{rt}, {reg[ra] if ra else '0'}"
"""

from __future__ import annotations

from collections.abc import Iterator

from tcg.decode.parse import Description, Place, Template

MNEMONIC_COLUMNS = 7


def show_body(template: Template, table: Description) -> str:
    """The statement that returns the template's text, under its condition if it has one."""
    mnemonic, operands = _split_mnemonic(template)
    head = f'f"{_joined(mnemonic, table)}"'
    if not operands:
        result = head
    elif all(isinstance(item, str) for item in mnemonic):
        padded = _joined(mnemonic, table).ljust(MNEMONIC_COLUMNS)
        result = f'f"{padded} {_joined(operands, table)}"'
    else:
        result = f'{head}.ljust({MNEMONIC_COLUMNS}) + f" {_joined(operands, table)}"'
    if template.when is None:
        return f"    return {result}\n"
    return f"    if {template.when.text}:\n        return {result}\n"


def _split_mnemonic(template: Template) -> tuple[list[str | Place], list[str | Place]]:
    """The items before and after the first space."""
    for index, item in enumerate(template.items):
        if isinstance(item, str) and " " in item:
            before, _, after = item.partition(" ")
            head = [*template.items[:index], before]
            return head, [after.lstrip(), *template.items[index + 1 :]]
    return list(template.items), []


def _joined(items: list[str | Place], table: Description) -> str:
    return "".join(_pieces(items, table))


def _pieces(items: list[str | Place], table: Description) -> Iterator[str]:
    for item in items:
        yield item if isinstance(item, str) else "{" + _shown(item, table) + "}"


def _shown(place: Place, table: Description) -> str:
    """The inside of the braces of an f-string: without double quotes and backslashes."""
    value, show = f"({place.value.text})", place.show
    if place.zero:
        return f"names_reg[{value}] if {value} else '{place.zero}'"
    if not show:
        return value
    if len(show) == 1:
        return f"'{show}' if {value} else ''"
    if show in table.names:
        return f"names_{show}[{value}]"
    if show in table.formats:
        return f"format_{show}({value})"
    if show == "addr":
        return f"{value} & {(1 << table.address) - 1}:#x"
    return f"{value}:#x"
