"""A shared object made of a few bytes of code: the vDSO that a kernel maps into every program.

One segment holds everything, from the ELF header to the code; a dynamic section leads to the names,
which all have one version.  There are no section headers or unwind tables.  Source: the System V
ABI, generic part; the Linux Standard Base, Core, Symbol Versioning.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import NamedTuple

from user_mode.elf import ET_DYN, MAGIC, PF_R, PF_X, PT_LOAD, Machine

PT_DYNAMIC = 2
DT_HASH, DT_STRTAB, DT_SYMTAB, DT_STRSZ, DT_SYMENT, DT_SONAME = 4, 5, 6, 10, 11, 14
DT_VERSYM, DT_VERDEF, DT_VERDEFNUM = 0x6FFF_FFF0, 0x6FFF_FFFC, 0x6FFF_FFFD
VER_FLG_BASE, OWN_VERSION = 1, 2
GLOBAL_FUNCTION = 1 << 4 | 2
"""STB_GLOBAL, STT_FUNC."""
_CODE_SECTION = 1
"""Any section index but SHN_UNDEF: the symbols are defined here."""
CODE_AT = 0x800
"""Where the code begins in the image, so that it knows how far it is from what lies before it."""


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
    machine: Machine, name: str, version: str, code: bytes, places: Mapping[str, int]
) -> SharedObject:
    """Make a shared object; `places` are the symbols' offsets in the code."""
    formats = {letters: struct.Struct("<" + letters) for letters in _FORMATS[machine.bits]}
    header, segment, symbol, word = (formats[letters] for letters in _FORMATS[machine.bits])
    count = len(places) + 1
    strings, (own_name, version_name, *starts) = _strings([name, version, *places])
    hash_at = -(-(16 + header.size + 2 * segment.size) // 8) * 8
    symbols_at = -(-(hash_at + 4 * (3 + count)) // 8) * 8
    strings_at = symbols_at + count * symbol.size
    versions_at = -(-(strings_at + len(strings)) // 8) * 8
    versions = struct.pack(f"<{count}H", 0, *[OWN_VERSION] * len(places))
    definitions_at = -(-(versions_at + len(versions)) // 8) * 8
    definitions = _definitions((name, own_name), (version, version_name))
    dynamic_at = -(-(definitions_at + len(definitions)) // 8) * 8
    tags = (
        (DT_SONAME, own_name), (DT_HASH, hash_at), (DT_STRTAB, strings_at),
        (DT_SYMTAB, symbols_at), (DT_STRSZ, len(strings)), (DT_SYMENT, symbol.size),
        (DT_VERSYM, versions_at), (DT_VERDEF, definitions_at), (DT_VERDEFNUM, 2), (0, 0),
    )  # fmt: skip
    dynamic = b"".join(word.pack(part) for tag in tags for part in tag)
    assert dynamic_at + len(dynamic) <= CODE_AT
    found = {one: CODE_AT + at for one, at in places.items()}
    size = CODE_AT + len(code)
    phdrs_at = 16 + header.size
    parts = {
        0: MAGIC + bytes([machine.bits // 32, 1, 1]).ljust(12, b"\0"),
        16: header.pack(
            ET_DYN, machine.number, 1, CODE_AT, phdrs_at, 0, 0, phdrs_at, segment.size, 2, 0, 0, 0
        ),
        phdrs_at: _segment(segment, machine.bits, PT_LOAD, PF_R | PF_X, 0, size, 4096)
        + _segment(segment, machine.bits, PT_DYNAMIC, PF_R, dynamic_at, len(dynamic), 8),
        hash_at: struct.pack(f"<{3 + count}I", 1, count, *_one_bucket(count)),
        symbols_at: bytes(symbol.size)
        + b"".join(
            _symbol(symbol, machine.bits, at, found[one])
            for at, one in zip(starts, places, strict=True)
        ),
        strings_at: strings,
        versions_at: versions,
        definitions_at: definitions,
        dynamic_at: dynamic,
        CODE_AT: code,
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


def _definitions(*names: tuple[str, int]) -> bytes:
    """Version definitions, of which the first is the object's own name."""
    made = b""
    for number, (name, at) in enumerate(names, 1):
        flags = VER_FLG_BASE if number == 1 else 0
        following = 28 if number < len(names) else 0
        made += struct.pack("<HHHHIII", 1, flags, number, 1, _elf_hash(name), 20, following)
        made += struct.pack("<II", at, 0)
    return made


def _elf_hash(name: str) -> int:
    """The hash of names in ELF.

    >>> hex(_elf_hash("LINUX_2.6"))
    '0x3ae75f6'
    """
    value = 0
    for byte in name.encode():
        value = (value << 4) + byte
        high = value & 0xF000_0000
        value = (value ^ high >> 24) & ~high
    return value


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
