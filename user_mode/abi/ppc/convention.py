"""How a system call is made on PowerPC: `sc` with the number in r0 and the arguments in r3 to r8.

The result comes back in r3.  CR0's SO bit says whether it is one: with SO set, r3 is a positive
errno. A 64-bit argument takes an aligned pair of registers (r3:r4, r5:r6, r7:r8), its upper half
first; the register skipped for that is lost.  Source: the System V ABI for PowerPC,
arch/powerpc/kernel/entry_32.S.

The registers are read with one precompiled struct.Struct per kind of call, as this runs on every
one.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tcg.cpu import Cpu
    from tcg.state import Slot

FIRST_ARGUMENT = 3
_LETTERS = {"s32": "i", "u32": "I", "long": "i", "ulong": "I", "s64": "iI", "u64": "II"}
_PAIRS = frozenset(("s64", "u64"))


class PpcConvention:
    """The convention over a CPU's slots."""

    def __init__(self, gpr: Sequence[Slot], so: Slot) -> None:
        """`gpr`: the slots of r0 to r31, in a row; `so`: that of CR0's SO bit, a byte."""
        word = struct.Struct("=I")
        self._unpack_word = word.unpack_from
        self._pack_word = word.pack_into
        self._number_at = gpr[0].offset
        self._first_at = gpr[FIRST_ARGUMENT].offset
        self._so_at = so.offset

    def number(self, cpu: Cpu) -> int:
        """The call's number."""
        number: int = self._unpack_word(cpu.view, self._number_at)[0]
        return number

    def reader(self, kinds: tuple[str, ...]) -> Callable[[Cpu], Sequence[int]]:
        """A function that fetches arguments of these kinds."""
        registers = places(kinds)
        letters = []
        at = FIRST_ARGUMENT
        for kind, register in zip(kinds, registers, strict=True):
            letters.append("4x" * (register - at) + _LETTERS[kind])
            at = register + len(_LETTERS[kind])
        unpack = struct.Struct("=" + "".join(letters)).unpack_from
        first = self._first_at
        if not _PAIRS.intersection(kinds):
            return lambda cpu: unpack(cpu.view, first)
        is_pair = [kind in _PAIRS for kind in kinds]

        def read(cpu: Cpu) -> Sequence[int]:
            words = iter(unpack(cpu.view, first))
            return [next(words) << 32 | next(words) if pair else next(words) for pair in is_pair]

        return read

    def succeed(self, cpu: Cpu, value: int) -> None:
        """Give the guest its result."""
        view = cpu.view
        self._pack_word(view, self._first_at, value & 0xFFFFFFFF)
        view[self._so_at] = 0

    def fail(self, cpu: Cpu, error: int) -> None:
        """Give the guest an errno."""
        view = cpu.view
        self._pack_word(view, self._first_at, error)
        view[self._so_at] = 1

    def overwritten(self, cpu: Cpu) -> int:
        """r3, the first argument"""
        first: int = self._unpack_word(cpu.view, self._first_at)[0]
        return first


def places(kinds: tuple[str, ...]) -> list[int]:
    """The register in which each argument begins.

    >>> places(("s32", "ulong", "ulong", "s64"))
    [3, 4, 5, 7]
    """
    found = []
    at = FIRST_ARGUMENT
    for kind in kinds:
        if kind in _PAIRS and at % 2 == 0:
            at += 1
        found.append(at)
        at += len(_LETTERS[kind])
    return found
