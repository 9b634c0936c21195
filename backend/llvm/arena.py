"""Host memory for compiled code and for what it refers to.

    one reservation  | code: blobs, read/write/execute | data: records, tables, CPU states |

Both halves lie within 2 GiB of each other, so code reaches heads, handlers and other code by 32-bit
relative references.  Nothing is committed before it is used.
"""

from __future__ import annotations

import ctypes
import mmap
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from struct import Struct
from typing import TextIO

from backend.llvm.blob import ALIGN, HERE, Blob, Kind

MIB = 1 << 20
MAP_NORESERVE = 0x4000
REACH = 1 << 31

_ABS64 = Struct("<Q")
_REL32 = Struct("<i")


class ArenaFull(Exception):
    """No room is left; something must be freed first."""


class LinkError(Exception):
    """A blob cannot be linked where it was to go."""


@dataclass(frozen=True, slots=True)
class Code:
    """An installed blob: where it is and the addresses of what it defines."""

    address: int
    size: int
    exports: dict[str, int]

    def __contains__(self, address: int) -> bool:
        return self.address <= address < self.address + self.size


class Space:
    """A range of addresses, handed out and taken back; neighbouring free ranges are joined."""

    def __init__(self, start: int, size: int) -> None:
        self.start = start
        self.size = size
        self.used = 0
        self._top = start
        self._starts: list[int] = []
        self._sizes: list[int] = []

    @property
    def end(self) -> int:
        """The address after the last one."""
        return self.start + self.size

    def allocate(self, size: int, align: int = ALIGN) -> int:
        """The address of `size` fresh bytes (rounded up to `align`); raises ArenaFull."""
        size = -(-size // align) * align
        for i, free in enumerate(self._sizes):
            if free >= size and self._starts[i] % align == 0:
                return self._take(i, size)
        at = -(-self._top // align) * align
        if at + size > self.end:
            raise ArenaFull(f"{size} bytes wanted, {self.size - self.used} of {self.size} free")
        self._top = at + size
        self.used += size
        return at

    def _take(self, i: int, size: int) -> int:
        at = self._starts[i]
        self.used += size
        if self._sizes[i] == size:
            del self._starts[i], self._sizes[i]
        else:
            self._starts[i] += size
            self._sizes[i] -= size
        return at

    def free(self, at: int, size: int, align: int = ALIGN) -> None:
        """Give back what allocate(size, align) returned."""
        size = -(-size // align) * align
        self.used -= size
        i = bisect_left(self._starts, at)
        self._starts.insert(i, at)
        self._sizes.insert(i, size)
        if i + 1 < len(self._starts) and at + size == self._starts[i + 1]:
            self._join(i)
        if i and self._starts[i - 1] + self._sizes[i - 1] == at:
            self._join(i - 1)
        if self._starts[-1] + self._sizes[-1] == self._top:
            self._top = self._starts.pop()
            self._sizes.pop()

    def _join(self, i: int) -> None:
        self._sizes[i] += self._sizes[i + 1]
        del self._starts[i + 1], self._sizes[i + 1]


class HostArena:
    """The reservation: code is installed in `code`, `data` is handed out to whoever asks.

    `view` is all of it as bytes, and `view[address - base]` is the byte at `address`.
    """

    def __init__(self, code_size: int = 256 * MIB, data_size: int = 768 * MIB) -> None:
        if code_size + data_size >= REACH:
            raise ValueError("code and data must lie within 2 GiB of each other")
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE
        prot = mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
        self._memory = mmap.mmap(-1, code_size + data_size, flags=flags, prot=prot)
        self.base = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        self.view = memoryview(self._memory)
        self.code = Space(self.base, code_size)
        self.data = Space(self.base + code_size, data_size)
        self.perf_map: TextIO | None = None

    def install(self, blob: Blob, resolve: Callable[[str], int]) -> Code:
        """Copy a blob into code space and link it; `resolve` gives the address of a symbol.

        Nothing may run the code before this returns.  Raises ArenaFull, and LinkError for a
        symbol too far away; what `resolve` raises goes through, with nothing installed.
        """
        targets = {symbol: resolve(symbol) for symbol in blob.needs()}
        address = self.code.allocate(len(blob.code))
        try:
            self._link(blob, address, targets)
        except LinkError:
            self.code.free(address, len(blob.code))
            raise
        exports = {name: address + offset for name, offset in blob.exports.items()}
        code = Code(address, len(blob.code), exports)
        if self.perf_map is not None:
            self._tell_perf(code)
        return code

    def _link(self, blob: Blob, address: int, targets: dict[str, int]) -> None:
        start = address - self.base
        view = self.view
        view[start : start + len(blob.code)] = blob.code
        targets[HERE] = address
        for offset, kind, symbol, addend in blob.relocations:
            value = targets[symbol] + addend
            if kind == Kind.ABS64:
                _ABS64.pack_into(view, start + offset, value)
                continue
            distance = value - address - offset
            if not -REACH <= distance < REACH:
                target = targets[symbol]
                raise LinkError(f"{symbol} at {target:#x} is out of reach of code at {address:#x}")
            _REL32.pack_into(view, start + offset, distance)

    def free(self, code: Code) -> None:
        """Take back an installed blob's space; the caller knows that nothing runs it any more."""
        self.code.free(code.address, code.size)

    def read(self, address: int, size: int) -> bytes:
        """The bytes at an address in the arena."""
        start = address - self.base
        return bytes(self.view[start : start + size])

    def _tell_perf(self, code: Code) -> None:
        """One line a symbol: linux/tools/perf/Documentation/jit-interface.txt."""
        assert self.perf_map is not None
        ordered = sorted((at, name) for name, at in code.exports.items())
        ends = [at for at, _ in ordered[1:]] + [code.address + code.size]
        for (at, name), end in zip(ordered, ends, strict=True):
            self.perf_map.write(f"{at:x} {end - at:x} {name}\n")
        self.perf_map.flush()
