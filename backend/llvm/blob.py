"""Code blobs: the form in which compiled code travels, is kept on disk, and is put into memory.

A blob is one object file's code and constants laid out as they will lie in memory, at any
address.  Everything inside it is resolved already; what is left are the names of things outside:

    H_<hex pc>           the head record of the guest block at that pc
    anything else        a handler, a runtime function, a function of the host's libc
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum

HEAD_PREFIX = "H_"
"""A symbol that starts so is the head record of the guest block whose pc follows in hex."""

HERE = ""
"""The symbol of a relocation against the blob's own start."""

ALIGN = 64
"""Blobs start at multiples of this: constants for vectors of this size need no more."""


class Kind(IntEnum):
    """How a relocation is applied."""

    ABS64 = 1
    """The eight bytes are the address, plus the addend."""
    REL32 = 2
    """The four bytes are the address, plus the addend, minus where they lie."""


Relocation = tuple[int, int, str, int]
"""Offset in the code, Kind, symbol, addend."""


@dataclass(frozen=True, slots=True)
class Blob:
    """Position-independent code, what it defines (name to offset) and what it needs."""

    code: bytes
    exports: dict[str, int]
    relocations: tuple[Relocation, ...] = field(default=())

    def needs(self) -> set[str]:
        """The symbols that must be known to install it."""
        return {symbol for _, _, symbol, _ in self.relocations} - {HERE}

    def pack(self) -> bytes:
        """The blob as bytes (msgpack)."""
        import msgpack

        packed: bytes = msgpack.packb((self.code, self.exports, self.relocations))
        return packed

    @classmethod
    def unpack(cls, data: bytes) -> Blob:
        """The inverse of pack; raises ValueError if `data` is not a blob."""
        import msgpack

        try:
            code, exports, relocations = msgpack.unpackb(data, use_list=False)
        except (ValueError, TypeError, msgpack.UnpackException) as error:
            raise ValueError(f"not a code blob: {error}") from None
        if not isinstance(code, bytes) or not isinstance(exports, dict):
            raise ValueError("not a code blob: its fields have the wrong types")
        return cls(code, exports, relocations)


def head_symbol(pc: int) -> str:
    """The symbol of the head record of the block at `pc`."""
    return f"{HEAD_PREFIX}{pc:x}"


def head_pcs(symbols: Iterable[str]) -> list[int]:
    """The guest pcs of those of the symbols that are head records."""
    return [int(one[len(HEAD_PREFIX) :], 16) for one in symbols if one.startswith(HEAD_PREFIX)]
