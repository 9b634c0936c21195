"""Operations on many bytes at once: what the `bulk` op does, and its reference meaning.

A bulk operation works upwards through guest memory, `length` bytes in elements of `size` bytes:

    copy        target, source, length             copies all; an overlap above repeats the source
    copy_down   target, source, length             the same from the highest element downwards
    copy_until  target, source, length, stops      copies whole steps before the first stop
    fill        target, length, element            writes the element over and over
    scan        source, length, stops              looks for the first stop
    span        source, length, element            looks for the first that is not that element
    compare     source, other, length, stops       looks for the first difference, or stop in source

It gives how many bytes precede the first element at which it stopped, `length` if it did not.
Elements and stops are numbers as a little-endian load has them.  Whoever emits one makes sure that
nothing faults, that `length` is a multiple of the step, and that target and source of `copy_until`
do not overlap unless the target begins lower.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from tcg.faults import GuestFault


@dataclass(frozen=True, slots=True)
class Bulk:
    """Which operation, bytes of an element, bytes of a step (only whole steps are copied)."""

    kind: str
    size: int
    step: int

    def __str__(self) -> str:
        return f"{self.kind}.{self.size}.{self.step}"

    @classmethod
    def parse(cls, text: str) -> Bulk:
        """The inverse of `str`; raises ValueError."""
        kind, size, step = text.split(".")
        if kind not in KINDS:
            raise ValueError(f"there is no bulk operation {kind}")
        return cls(kind, int(size), int(step))

    @property
    def addresses(self) -> int:
        """How many of the operands are addresses; the length follows them."""
        return 1 if self.kind in ("fill", "scan", "span") else 2


class Memory(Protocol):
    """Guest memory by copies; both raise GuestFault."""

    def read(self, address: int, size: int) -> bytes:
        """`size` bytes at a guest address."""

    def write(self, address: int, data: bytes) -> None:
        """Write bytes at a guest address."""


def run_bulk(memory: Memory, bulk: Bulk, *operands: int) -> int:
    """The reference meaning: element by element; a search ends before one that is not there."""
    if bulk.kind == "copy_down":
        return _copy_down(memory, bulk.size, *operands)
    count = bulk.addresses
    length, values = operands[count], operands[count + 1 :]
    one = KINDS[bulk.kind]
    stops = [value.to_bytes(bulk.size, "little") for value in values]
    done = 0
    try:
        while done < length and one(
            memory, bulk.size, stops, *(a + done for a in operands[:count])
        ):
            done += bulk.size
    except GuestFault:
        if bulk.kind in ("copy", "fill"):
            raise
    if bulk.kind == "copy_until":
        for at in range(0, done - done % bulk.step, bulk.size):
            _copy(memory, bulk.size, stops, operands[0] + at, operands[1] + at)
    return done


def _copy_down(memory: Memory, size: int, target: int, source: int, length: int) -> int:
    for at in range(length - size, -1, -size):
        memory.write(target + at, memory.read(source + at, size))
    return length


def _copy(memory: Memory, size: int, _: list[bytes], target: int, source: int) -> bool:
    memory.write(target, memory.read(source, size))
    return True


def _find(memory: Memory, size: int, stops: list[bytes], _: int, source: int) -> bool:
    return memory.read(source, size) not in stops


def _fill(memory: Memory, _: int, element: list[bytes], target: int) -> bool:
    memory.write(target, element[0])
    return True


def _scan(memory: Memory, size: int, stops: list[bytes], source: int) -> bool:
    return memory.read(source, size) not in stops


def _span(memory: Memory, size: int, elements: list[bytes], source: int) -> bool:
    return memory.read(source, size) in elements


def _compare(memory: Memory, size: int, stops: list[bytes], source: int, other: int) -> bool:
    found = memory.read(source, size)
    return found == memory.read(other, size) and found not in stops


KINDS: dict[str, Callable[..., bool]] = {
    "copy": _copy,
    "copy_down": _copy,
    "copy_until": _find,
    "fill": _fill,
    "scan": _scan,
    "span": _span,
    "compare": _compare,
}
"""Each kind's way with one element: whether to go on."""
