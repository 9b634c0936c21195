"""How a system call is made on i386: `int 0x80` with the number in EAX.

The arguments are in EBX, ECX, EDX, ESI, EDI and EBP.  The result comes back in EAX, a failure as
its negative errno.  A 64-bit argument takes two registers, whichever come next, its lower half
first.  Source: arch/x86/entry/entry_32.S, arch/x86/kernel/sys_ia32.c.

The registers are read with one precompiled struct.Struct per kind of call, as this runs on every
one.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING

from frontends.x86.state import AX, BP, BX, CX, DI, DX, SI

if TYPE_CHECKING:
    from tcg.cpu import Cpu
    from tcg.state import Slot

ARGUMENTS = (BX, CX, DX, SI, DI, BP)
"""The registers of the arguments, in order."""

_LETTERS = {"s32": "i", "u32": "I", "long": "i", "ulong": "I", "s64": "Ii", "u64": "II"}


class I386Convention:
    """The convention over a CPU's slots."""

    def __init__(self, gpr: Sequence[Slot]) -> None:
        """`gpr`: the slots of EAX to EDI, in the order of their numbers, in a row."""
        word = struct.Struct("=I")
        self._unpack_word = word.unpack_from
        self._pack_word = word.pack_into
        self._first_at = gpr[AX].offset

    def number(self, cpu: Cpu) -> int:
        """The call's number."""
        number: int = self._unpack_word(cpu.view, self._first_at)[0]
        return number

    def overwritten(self, cpu: Cpu) -> int:
        """What the result will overwrite: the number."""
        return self.number(cpu)

    def reader(self, kinds: tuple[str, ...]) -> Callable[[Cpu], Sequence[int]]:
        """A function that fetches arguments of these kinds."""
        words = "".join(_LETTERS[kind] for kind in kinds)
        letters = ["I"] * 8
        for register, letter in zip(ARGUMENTS, words, strict=False):
            letters[register] = letter
        unpack = struct.Struct("=" + "".join(letters)).unpack_from
        first = self._first_at
        if len(words) == len(kinds):
            return _plain_reader(unpack, first, ARGUMENTS[: len(words)])
        starts = places(kinds)
        is_pair = [len(_LETTERS[kind]) == 2 for kind in kinds]

        def read(cpu: Cpu) -> Sequence[int]:
            values = unpack(cpu.view, first)
            given = [values[register] for register in ARGUMENTS]
            return [
                given[at] | given[at + 1] << 32 if pair else given[at]
                for at, pair in zip(starts, is_pair, strict=True)
            ]

        return read

    def succeed(self, cpu: Cpu, value: int) -> None:
        """Give the guest its result."""
        self._pack_word(cpu.view, self._first_at, value & 0xFFFF_FFFF)

    def fail(self, cpu: Cpu, error: int) -> None:
        """Give the guest an errno."""
        self._pack_word(cpu.view, self._first_at, -error & 0xFFFF_FFFF)


def _plain_reader(
    unpack: Callable[..., tuple[int, ...]], first: int, registers: tuple[int, ...]
) -> Callable[[Cpu], Sequence[int]]:
    """A reader of arguments that have a register each."""
    if not registers:
        return lambda _cpu: ()
    if len(registers) == 1:
        (only,) = registers
        return lambda cpu: (unpack(cpu.view, first)[only],)
    pick = itemgetter(*registers)
    return lambda cpu: pick(unpack(cpu.view, first))


def places(kinds: tuple[str, ...]) -> list[int]:
    """The place in ARGUMENTS where each argument begins.

    >>> places(("s32", "ulong", "ulong", "s64"))
    [0, 1, 2, 3]
    """
    found = []
    at = 0
    for kind in kinds:
        found.append(at)
        at += len(_LETTERS[kind])
    return found
