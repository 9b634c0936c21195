"""What `-d` shows: a sink for texts, each of a named item, and the table of the items.

    log = Log.parse("in_asm,exec", filter_text="0x10000000+0x200")
    if log.wants("in_asm"):
        log.write("in_asm", text, pc)

Texts are written at once and whole, so that those of several threads and processes do not mix.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from tcg.descriptors import move_high

# fmt: off
ITEMS: dict[str, str] = {
    "in_asm":  "guest instructions of each block, when it is first met",
    "op":      "IR of each block or region as it was lifted",
    "op_opt":  "IR after the passes",
    "llvm":    "LLVM text that the IR was lowered to",
    "out_asm": "host instructions that LLVM made of it",
    "exec":    "address of each block before it runs (slow: nothing is chained)",
    "cpu":     "guest registers before each block (slow)",
    "int":     "signals and exceptions of the guest",
    "unimp":   "what is not implemented: system calls, instructions",
    "page":    "the guest's memory map when the program starts",
    "idiom":   "loops recognised and replaced",
    "jit":     "regions compiled, kept on disk and thrown away",
    "strace":  "system calls, like -strace",
}
# fmt: on

STDERR = 2


class LogError(Exception):
    """What the user asked to be logged cannot be; a sentence."""


class Log:
    """Where the texts go.  Nothing is wanted unless it is named in `items`."""

    def __init__(
        self,
        items: Iterable[str] = (),
        ranges: Iterable[tuple[int, int]] = (),
        fd: int = STDERR,
    ) -> None:
        """`ranges` are the guest addresses of interest, ends excluded; none for all."""
        self.items = set(items)
        self.ranges = tuple(ranges)
        self.fd = fd

    @classmethod
    def parse(cls, items_text: str = "", filter_text: str = "", path: str = "") -> Log:
        """A log as -d, -dfilter and -D describe it; raises LogError."""
        fd = open_log(path) if path else STDERR
        return cls(parse_items(items_text), parse_ranges(filter_text), fd)

    def wants(self, item: str) -> bool:
        """Whether anybody reads this item: ask before making an expensive text."""
        return item in self.items

    def write(self, item: str, text: str, pc: int | None = None) -> None:
        """Write a text if its item is wanted, and its guest address, if it has one, too."""
        if item in self.items and (pc is None or self.covers(pc)):
            write_all(self.fd, text.encode(errors="surrogateescape"))

    def covers(self, pc: int) -> bool:
        """Whether a guest address is one of interest (-dfilter)."""
        return not self.ranges or any(start <= pc < end for start, end in self.ranges)

    def flush(self) -> None:
        """Nothing is ever held back; sinks that do hold texts back may need to be told."""


def write_all(fd: int, data: bytes) -> None:
    """Write everything, or what the other side takes: a log that fails is no reason to stop."""
    try:
        while data:
            data = data[os.write(fd, data) :]
    except OSError:
        pass


def open_log(path: str) -> int:
    """Create a log file; `%d` in its name is the process id."""
    name = path.replace("%d", str(os.getpid()), 1)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND
    try:
        fd = os.open(name, flags, 0o644)
    except OSError as error:
        raise LogError(f"cannot write the log file {name}: {error.strerror}") from None
    return move_high(fd)


def parse_items(text: str) -> set[str]:
    """The items of a comma-separated list; `all` is all of them."""
    items = {item for item in text.split(",") if item}
    if "all" in items:
        return set(ITEMS)
    for item in items:
        if item not in ITEMS:
            raise LogError(f"there is no log item {item}; -d help lists them")
    return items


def parse_ranges(text: str) -> list[tuple[int, int]]:
    """The ranges of a list like `0x1000..0x1fff,0x8000+0x200,0x9000-0x100`."""
    return [_parse_range(part) for part in text.split(",") if part]


def _parse_range(text: str) -> tuple[int, int]:
    for operator in ("..", "+", "-"):
        first, found, second = text.partition(operator)
        if found:
            break
    try:
        start, extent = int(first, 0), int(second, 0)
    except ValueError:
        raise LogError(
            f"cannot read the address range {text}; write start..end, start+length or end-length"
        ) from None
    if operator == "..":
        return start, extent + 1
    if operator == "+":
        return start, start + extent
    return start - extent + 1, start + 1


def items_help() -> str:
    """What `-d help` prints."""
    lines = [f"{name:<10} {meaning}" for name, meaning in ITEMS.items()]
    return "\n".join(("Log items (comma separated, or all):", *lines)) + "\n"
