"""What a parser's error means, in words: for every table language."""

from __future__ import annotations

from collections.abc import Mapping

from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken


def explain(
    error: UnexpectedInput, text: str, words: Mapping[str, str], line: int = 0
) -> tuple[int, str, str]:
    """The line, the fact and the hint; `words` names terminals.

    A `line` other than 0 is where the text stands in a file.
    """
    is_end = isinstance(error, UnexpectedToken) and error.token.type == "$END"
    position = len(text) if is_end else error.pos_in_stream
    before, after = text[:position].rstrip(), text[position:]
    here = line or text.count("\n", 0, position if after.strip() else len(before)) + 1
    expected = ", ".join(sorted({words.get(name, name.lower()) for name in wanted(error)}))
    return here, f"{found(after)} makes no sense here", f"expected {expected}"


def found(after: str) -> str:
    """What stands where the parser stopped."""
    if not after.strip():
        return "the end"
    if after[0] in "\r\n":
        return "the end of the line"
    return after.split(maxsplit=1)[0]


def wanted(error: UnexpectedInput) -> set[str]:
    """The terminals that could have stood there."""
    match error:
        case UnexpectedToken():
            return set(error.accepts or error.expected)
        case UnexpectedCharacters():
            return set(error.allowed or ())
        case _:
            return set()
