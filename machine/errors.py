"""What a user of a whole machine can do wrong: one line on stderr, exit status 1."""

from __future__ import annotations


class MachineError(Exception):
    """The user asked for what cannot be: a sentence that names the thing and the way out."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def shown(text: str) -> str:
    r"""A name for a message: on one line, and without a terminal's control sequences.

    >>> shown("disk\n\x1b[2J.img")
    'disk\\n\\x1b[2J.img'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
