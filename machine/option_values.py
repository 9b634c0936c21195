"""Values of options as QEMU writes them: `name=value,name=value`, sizes, on and off.

A comma that belongs to a value is written twice. A first part without `=` is the value of the
option's first name: `-drive file=a.img,if=ide`, `-boot d`, `-chardev stdio,id=one`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import UTC, datetime

from machine.errors import MachineError, shown

Pairs = dict[str, str]

SHIFTS = {"b": 0, "k": 10, "m": 20, "g": 30, "t": 40}


def split_commas(text: str) -> list[str]:
    """The parts of a text; two commas are one that belongs to a part.

    >>> split_commas("file=a,,b.img,if=ide")
    ['file=a,b.img', 'if=ide']
    """
    return [part.replace("\0", ",") for part in text.replace(",,", "\0").split(",")]


def read_pairs(
    option: str, text: str, names: Collection[str], first: str = "", *, switches: Iterable[str] = ()
) -> Pairs:
    """Read `name=value,...`; `first` is the name of a first value without one.

    `switches` may stand alone (`server`, `nowait`) for `name=on`.
    """
    pairs: Pairs = {}
    switches = frozenset(switches)
    for number, part in enumerate(split_commas(text)):
        name, found, value = part.partition("=")
        if not found and number == 0 and first and name not in switches:
            name, value = first, part
        elif not found and name in switches:
            value = "on"
        elif not found:
            raise MachineError(
                f"{option} {shown(text)}: {shown(part)} has no value; write name=value"
            )
        if name not in names:
            known = ", ".join(names)
            raise MachineError(
                f"{option} {shown(text)}: there is no {shown(name)}; there are {known}"
            )
        pairs[name] = value
    return pairs


def read_switch(option: str, text: str) -> bool:
    """`on` or `off`, also as QEMU's other spellings of them."""
    if text in {"on", "yes", "true", "y"}:
        return True
    if text in {"off", "no", "false", "n"}:
        return False
    raise MachineError(f"{option}: {shown(text)} is neither on nor off")


def read_number(option: str, text: str, low: int = 0, high: int = (1 << 64) - 1) -> int:
    """A number in any base that Python reads, within limits."""
    try:
        number = int(text, 0)
    except ValueError:
        raise MachineError(f"{option}: {shown(text)} is not a number") from None
    if not low <= number <= high:
        raise MachineError(f"{option}: {shown(text)} is not between {low} and {high}")
    return number


def read_size(option: str, text: str, unit: int = 1) -> int:
    """A size in bytes: a number, with K, M, G or T after it, else in `unit`s.

    >>> read_size("-m", "128", 1 << 20) == read_size("-m", "128M") == 128 << 20
    True
    >>> read_size("-m", "0.5G") == 512 << 20
    True
    """
    shift = SHIFTS.get(text[-1:].lower()) if not text.lower().startswith("0x") else None
    digits = text if shift is None else text[:-1]
    scale = unit if shift is None else 1 << shift
    try:
        size = int(digits, 0) * scale if "." not in digits else int(float(digits) * scale)
    except (ValueError, OverflowError):
        raise MachineError(
            f"{option} {shown(text)}: write a size like 64, 512K, 128M or 1G"
        ) from None
    if size <= 0:
        raise MachineError(f"{option} {shown(text)}: the size must be above zero")
    return size


def one_of(option: str, text: str, choices: Iterable[str]) -> str:
    """A word of a list, or a line that names them all."""
    names = list(choices)
    if text not in names:
        raise MachineError(f"{option}: there is no {shown(text)}; there are {', '.join(names)}")
    return text


def read_time(option: str, text: str) -> datetime | None:
    """`utc` (None: now), `localtime`, or a date and time as ISO 8601 has them, without a zone."""
    if text == "utc":
        return None
    if text == "localtime":
        return datetime.now().astimezone().replace(tzinfo=UTC)
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise MachineError(
            f"{option}: {shown(text)} is no time; write utc, localtime or 2024-02-29T23:59:58"
        ) from None
    if not 1900 <= time.year <= 2099:
        raise MachineError(f"{option}: a PC's clock has no year {time.year}")
    return time.replace(tzinfo=UTC)
