"""How a system call is made on x86-64: `syscall`, the number in rax, arguments in six registers.

The result comes back in rax; -4095 to -1 are errors.  The instruction itself leaves the next
instruction's address in rcx and the flags in r11.  Source: the System V ABI for AMD64, A.2.1;
arch/x86/entry/entry_64.S.

The registers are read with one precompiled struct.Struct per kind of call, as this runs on every
one.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING

from frontends.x86.state import AX, DI, DX, SI

if TYPE_CHECKING:
    from tcg.cpu import Cpu
    from tcg.state import Slot

R8, R9, R10 = 8, 9, 10
ARGUMENTS = (DI, SI, DX, R10, R8, R9)
_LETTERS = {"s32": "i4x", "u32": "I4x", "long": "q", "ulong": "Q", "s64": "q", "u64": "Q"}
_WORD = 8
_MASK = (1 << 64) - 1


class X8664Convention:
    """The convention over a CPU's slots."""

    def __init__(self, gpr: Sequence[Slot]) -> None:
        """`gpr`: the slots of rax to r15, in a row."""
        word, half = struct.Struct("=Q"), struct.Struct("=I")
        self._pack_word = word.pack_into
        self._unpack_word = word.unpack_from
        self._unpack_half = half.unpack_from
        self._first = gpr[0].offset
        self._rax_at = gpr[AX].offset

    def number(self, cpu: Cpu) -> int:
        """The call's number: eax, as do_syscall_64() takes it."""
        number: int = self._unpack_half(cpu.view, self._rax_at)[0]
        return number

    def reader(self, kinds: tuple[str, ...]) -> Callable[[Cpu], Sequence[int]]:
        """A function that fetches arguments of these kinds."""
        if not kinds:
            return lambda cpu: ()
        kind_of = dict(zip(ARGUMENTS, kinds, strict=False))
        stored = sorted(kind_of)
        letters, at = [], stored[0]
        for register in stored:
            letters.append(f"{_WORD * (register - at)}x" + _LETTERS[kind_of[register]])
            at = register + 1
        unpack = struct.Struct("=" + "".join(letters)).unpack_from
        first = self._first + _WORD * stored[0]
        if len(kinds) == 1:
            return lambda cpu: unpack(cpu.view, first)
        pick = itemgetter(*(stored.index(register) for register in kind_of))
        return lambda cpu: pick(unpack(cpu.view, first))

    def succeed(self, cpu: Cpu, value: int) -> None:
        """Give the guest its result."""
        self._pack_word(cpu.view, self._rax_at, value & _MASK)

    def fail(self, cpu: Cpu, error: int) -> None:
        """Give the guest an errno."""
        self._pack_word(cpu.view, self._rax_at, -error & _MASK)

    def overwritten(self, cpu: Cpu) -> int:
        """rax, the call's number"""
        number: int = self._unpack_word(cpu.view, self._rax_at)[0]
        return number
