"""The exceptions of a Linux process: a system call's errno, a user's mistake."""

from __future__ import annotations

import errno
import os


def shown(path: bytes) -> str:
    r"""A path for a message: on one line, and without a terminal's control sequences.

    >>> shown(b"/lib/ld\n\x1b[2J.so")
    '/lib/ld\\n\\x1b[2J.so'
    """
    text = path.decode(errors="backslashreplace")
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class Errno(Exception):
    """A system call fails with this error.

    `code` is the host's number (the generic Linux one); the syscall layer turns it into the
    guest's where an ABI numbers it differently.
    """

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code

    def __str__(self) -> str:
        return f"{errno.errorcode.get(self.code, self.code)} ({os.strerror(self.code)})"


class UserError(Exception):
    """The user asked for something that cannot be: one line on stderr and an exit status.

    Statuses are a shell's: 127 for what is not there, 126 for what cannot be executed, 1 for the
    other mistakes.
    """

    NOT_FOUND = 127
    NOT_EXECUTABLE = 126
    OTHER = 1

    def __init__(self, message: str, status: int = OTHER) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


class BadImage(UserError, Errno):
    """A program that cannot be run: a mistake at the command line, an errno for execve(2)."""

    def __init__(self, message: str, code: int) -> None:
        status = self.NOT_FOUND if code in (errno.ENOENT, errno.ENOTDIR) else self.NOT_EXECUTABLE
        UserError.__init__(self, message, status)
        self.code = code

    def __str__(self) -> str:
        return self.message
