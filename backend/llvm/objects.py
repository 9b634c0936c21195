"""Turns one x86-64 ELF object file into a code blob.

    object                                  blob
      .text     jmp h_next                    code      .text, stubs and slots, constants, data
      .rodata   jump table, constants         exports   guest: 0, ...
      .rela.*   against .rodata               (resolved)
                against h_next, H_10000100    relocations  (33, REL32, "h_next", -4), ...

The reader is a few struct formats rather than pyelftools, whose general one takes 1 ms for an
object that LLVM compiles in 5.  Sources: System V ABI chapter 4, its AMD64 supplement 4.4.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from struct import Struct

from backend.llvm.blob import ALIGN, HERE, Blob, Kind, Relocation

# fmt: off
HOST_FUNCTIONS = frozenset((
    "memcpy", "memmove", "memset", "memcmp", "bcmp", "strlen",
    "fma", "fmaf", "fmod", "fmodf", "sqrt", "sqrtf", "ldexp", "ldexpf", "frexp", "frexpf",
    "rint", "rintf", "nearbyint", "nearbyintf", "round", "roundf", "roundeven", "roundevenf",
    "floor", "floorf", "ceil", "ceilf", "trunc", "truncf",
    "rintl", "nearbyintl", "floorl", "ceill", "truncl", "fmodl", "fmal", "sqrtl",
))
# fmt: on
"""Host library functions LLVM may call of its own accord.  They lie anywhere in the address space,
so calls to them go through a stub in the blob."""

# fmt: off
FILE_HEADER    = Struct("<4sBBB9xHHI QQQ IHHHHHH")
SECTION_HEADER = Struct("<IIQQQQIIQQ")
SYMBOL         = Struct("<IBBHQQ")
RELA           = Struct("<QIIq")         # r_info's halves: type, then symbol

SHT_SYMTAB, SHT_STRTAB, SHT_RELA, SHT_NOBITS, SHT_REL = 2, 3, 4, 8, 9
SHF_WRITE, SHF_ALLOC, SHF_EXECINSTR, SHF_TLS = 1, 2, 4, 0x400
SHN_UNDEF, SHN_LORESERVE = 0, 0xFF00
STB_LOCAL = 0

R_64, R_PC32, R_PLT32, R_GOTPCREL, R_PC64, R_GOTPCRELX, R_REX_GOTPCRELX = 1, 2, 4, 9, 24, 41, 42
# fmt: on

STUB = b"\xff\x25"
"""jmp [rip + disp32]"""


class ObjectError(Exception):
    """An object file cannot be made into a blob."""


@dataclass(frozen=True, slots=True)
class _Section:
    name: str
    type: int
    flags: int
    data: bytes
    size: int
    link: int
    info: int
    align: int

    @property
    def is_loaded(self) -> bool:
        return bool(self.flags & SHF_ALLOC) and self.name != ".eh_frame" and self.size > 0


@dataclass(frozen=True, slots=True)
class _Symbol:
    name: str
    binding: int
    section: int
    value: int


def blob_of(data: bytes) -> Blob:
    """Lay out and link one object; raises ObjectError naming what it cannot do."""
    return _Linker(_sections(data)).link()


def _string(table: bytes, at: int) -> str:
    return table[at : table.index(b"\0", at)].decode()


def _sections(data: bytes) -> list[_Section]:
    if len(data) < FILE_HEADER.size or data[:6] != b"\x7fELF\x02\x01":
        raise ObjectError("not a little-endian ELF64 object")
    header = FILE_HEADER.unpack_from(data)
    machine, at, size, count, names_index = header[5], header[9], *header[14:17]
    if machine != 62:
        raise ObjectError(f"an object for ELF machine {machine}, not for x86-64 (62)")
    rows = [SECTION_HEADER.unpack_from(data, at + i * size) for i in range(count)]
    names = data[rows[names_index][4] :]
    return [_section(data, names, row) for row in rows]


def _section(data: bytes, names: bytes, row: tuple[int, ...]) -> _Section:
    name, kind, flags, _address, offset, size, link, info, align, _entry = row
    content = bytes(size) if kind == SHT_NOBITS else data[offset : offset + size]
    return _Section(_string(names, name), kind, flags, content, size, link, info, max(align, 1))


class _Linker:
    """One object's sections in their places, the slots made on the way, the result."""

    def __init__(self, sections: list[_Section]) -> None:
        self.sections = sections
        self.symbols = list(self._read_symbols())
        self.code = bytearray()
        self.places: dict[int, int] = {}
        self.slots: dict[tuple[str, int], int] = {}
        self.stubs: dict[str, int] = {}
        self.out: list[Relocation] = []

    def link(self) -> Blob:
        self._lay_out()
        for section in self.sections:
            if section.type == SHT_RELA and section.info in self.places:
                self._relocate(section)
            elif section.type == SHT_REL:
                raise ObjectError(f"{section.name}: relocations without addends are not known here")
        exports = {
            symbol.name: self.places[symbol.section] + symbol.value
            for symbol in self.symbols
            if symbol.binding != STB_LOCAL and symbol.section in self.places
        }
        return Blob(bytes(self.code), exports, tuple(self.out))

    def _read_symbols(self) -> Iterator[_Symbol]:
        for section in self.sections:
            if section.type == SHT_SYMTAB:
                strings = self.sections[section.link].data
                for name, info, _other, index, value, _size in SYMBOL.iter_unpack(section.data):
                    yield _Symbol(_string(strings, name), info >> 4, index, value)

    def _lay_out(self) -> None:
        loaded = [(i, one) for i, one in enumerate(self.sections) if one.is_loaded]
        for index, section in sorted(loaded, key=lambda pair: _rank(pair[1])):
            if section.flags & SHF_TLS:
                raise ObjectError(f"{section.name}: thread-local data is not known here")
            if section.align > ALIGN:
                raise ObjectError(f"{section.name}: aligned to {section.align}, blobs to {ALIGN}")
            self.places[index] = self._append(section.data, section.align)

    def _append(self, data: bytes, align: int) -> int:
        self.code += bytes(-len(self.code) % align)
        at = len(self.code)
        self.code += data
        return at

    def _relocate(self, section: _Section) -> None:
        start = self.places[section.info]
        for offset, kind, index, addend in RELA.iter_unpack(section.data):
            apply = _APPLY.get(kind)
            if apply is None:
                where = f"{self.sections[section.info].name}+{offset:#x}"
                name = self.symbols[index].name
                raise ObjectError(f"{where}: relocation type {kind} against '{name}' is not known")
            apply(self, start + offset, self.symbols[index], addend)

    def _offset(self, symbol: _Symbol) -> int | None:
        """Where in the blob a symbol is; None for one defined elsewhere."""
        if symbol.section == SHN_UNDEF:
            return None
        if symbol.section not in self.places:
            raise ObjectError(f"symbol '{symbol.name}' is in a section that is not loaded")
        return self.places[symbol.section] + symbol.value

    def _slot(self, name: str, addend: int) -> int:
        """Eight bytes in the blob that will hold the address of `name` plus `addend`."""
        found = self.slots.get((name, addend))
        if found is None:
            found = self.slots[name, addend] = self._append(bytes(8), 8)
            self.out.append((found, Kind.ABS64, name, addend))
        return found

    def _stub(self, name: str) -> int:
        """A jump in the blob to a host function that may be too far away to be called."""
        found = self.stubs.get(name)
        if found is None:
            slot = self._slot(name, 0)
            found = self.stubs[name] = self._append(STUB + bytes(4), 8)
            self._store32(found + 2, slot - (found + 6))
        return found

    def _store32(self, at: int, value: int) -> None:
        self.code[at : at + 4] = value.to_bytes(4, "little", signed=True)

    def _absolute(self, at: int, symbol: _Symbol, addend: int) -> None:
        offset = self._offset(symbol)
        name, more = (symbol.name, 0) if offset is None else (HERE, offset)
        self.out.append((at, Kind.ABS64, name, addend + more))

    def _relative(self, at: int, symbol: _Symbol, addend: int) -> None:
        offset = self._offset(symbol)
        if offset is None and symbol.name in HOST_FUNCTIONS:
            offset = self._stub(symbol.name)
        if offset is None:
            self.out.append((at, Kind.REL32, symbol.name, addend))
        else:
            self._store32(at, offset + addend - at)

    def _relative64(self, at: int, symbol: _Symbol, addend: int) -> None:
        offset = self._offset(symbol)
        if offset is None:
            raise ObjectError(f"64-bit relative reference to '{symbol.name}', which is not here")
        self.code[at : at + 8] = (offset + addend - at).to_bytes(8, "little", signed=True)

    def _through_slot(self, at: int, symbol: _Symbol, addend: int) -> None:
        offset = self._offset(symbol)
        slot = self._slot(symbol.name, 0) if offset is None else self._slot(HERE, offset)
        self._store32(at, slot + addend - at)


def _rank(section: _Section) -> int:
    """Code first, then constants, then data."""
    if section.flags & SHF_EXECINSTR:
        return 0
    return 2 if section.flags & SHF_WRITE else 1


# fmt: off
_APPLY: dict[int, Callable[[_Linker, int, _Symbol, int], None]] = {
    R_64:            _Linker._absolute,
    R_PC32:          _Linker._relative,
    R_PLT32:         _Linker._relative,
    R_PC64:          _Linker._relative64,
    R_GOTPCREL:      _Linker._through_slot,
    R_GOTPCRELX:     _Linker._through_slot,
    R_REX_GOTPCRELX: _Linker._through_slot,
}
# fmt: on
