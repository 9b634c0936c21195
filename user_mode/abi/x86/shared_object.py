"""A shared object made of a few bytes of code: the vDSO that a kernel maps into every program.

One segment holds everything, from the ELF header to the code; a dynamic section leads to the names.
There are no section headers, versions or unwind tables.  Source: the System V ABI, generic part.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import NamedTuple

from user_mode.elf import ET_DYN, MAGIC, PF_R, PF_X, PT_LOAD, Machine

PT_DYNAMIC = 2
DT_HASH, DT_STRTAB, DT_SYMTAB, DT_STRSZ, DT_SYMENT, DT_SONAME = 4, 5, 6, 10, 11, 14
GLOBAL_FUNCTION = 1 << 4 | 2
"""STB_GLOBAL, STT_FUNC."""
_CODE_SECTION = 1
"""Any section index but SHN_UNDEF: the symbols are defined here."""
_CODE_ALIGN = 64


class _Formats(NamedTuple):
    """The struct letters of one word size."""

    header: str
    segment: str
    symbol: str
    word: str


_FORMATS = {
    32: _Formats("HHIIIIIHHHHHH", "IIIIIIII", "IIIBBH", "I"),
    64: _Formats("HHIQQQIHHHHHH", "IIQQQQQQ", "IBBHQQ", "Q"),
}


class SharedObject(NamedTuple):
    """An ELF file's bytes, and where the symbols are in it."""

    image: bytes
    symbols: Mapping[str, int]


def shared_object(
    machine: Machine, name: str, code: bytes, places: Mapping[str, int]
) -> SharedObject:
    """Make a shared object; `places` are the symbols' offsets in the code."""
    formats = {letters: struct.Struct("<" + letters) for letters in _FORMATS[machine.bits]}
    header, segment, symbol, word = (formats[letters] for letters in _FORMATS[machine.bits])
    count = len(places) + 1
    strings, starts = _strings([name, *places])
    hash_at = -(-(16 + header.size + 2 * segment.size) // 8) * 8
    symbols_at = -(-(hash_at + 4 * (3 + count)) // 8) * 8
    strings_at = symbols_at + count * symbol.size
    dynamic_at = -(-(strings_at + len(strings)) // 8) * 8
    tags = (
        (DT_SONAME, starts[0]), (DT_HASH, hash_at), (DT_STRTAB, strings_at),
        (DT_SYMTAB, symbols_at), (DT_STRSZ, len(strings)), (DT_SYMENT, symbol.size), (0, 0),
    )  # fmt: skip
    dynamic = b"".join(word.pack(part) for tag in tags for part in tag)
    code_at = -(-(dynamic_at + len(dynamic)) // _CODE_ALIGN) * _CODE_ALIGN
    found = {one: code_at + at for one, at in places.items()}
    size = code_at + len(code)
    phdrs_at = 16 + header.size
    parts = {
        0: MAGIC + bytes([machine.bits // 32, 1, 1]).ljust(12, b"\0"),
        16: header.pack(
            ET_DYN, machine.number, 1, code_at, phdrs_at, 0, 0, phdrs_at, segment.size, 2, 0, 0, 0
        ),
        phdrs_at: _segment(segment, machine.bits, PT_LOAD, PF_R | PF_X, 0, size, 4096)
        + _segment(segment, machine.bits, PT_DYNAMIC, PF_R, dynamic_at, len(dynamic), 8),
        hash_at: struct.pack(f"<{3 + count}I", 1, count, *_one_bucket(count)),
        symbols_at: bytes(symbol.size)
        + b"".join(
            _symbol(symbol, machine.bits, at, found[one])
            for at, one in zip(starts[1:], places, strict=True)
        ),
        strings_at: strings,
        dynamic_at: dynamic,
        code_at: code,
    }
    image = bytearray(size)
    for at, part in parts.items():
        image[at : at + len(part)] = part
    return SharedObject(bytes(image), found)


def _strings(names: list[str]) -> tuple[bytes, list[int]]:
    """A string table, and where each name is in it."""
    table = b"\0"
    starts = []
    for name in names:
        starts.append(len(table))
        table += name.encode() + b"\0"
    return table, starts


def _one_bucket(count: int) -> list[int]:
    """The bucket and chains of a hash table with one bucket: each symbol leads to the next."""
    return [min(1, count - 1), 0, *range(2, count), 0][: count + 1]


def _segment(
    layout: struct.Struct, bits: int, type_: int, flags: int, at: int, size: int, align: int
) -> bytes:
    if bits == 32:
        return layout.pack(type_, at, at, at, size, size, flags, align)
    return layout.pack(type_, flags, at, at, at, size, size, align)


def _symbol(layout: struct.Struct, bits: int, name: int, value: int) -> bytes:
    if bits == 32:
        return layout.pack(name, value, 0, GLOBAL_FUNCTION, 0, _CODE_SECTION)
    return layout.pack(name, GLOBAL_FUNCTION, 0, _CODE_SECTION, value, 0)
