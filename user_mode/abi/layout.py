"""The language in which structures of an ABI are written, and the engine that packs them.

A structure is a row: its name and its fields with the types of C, in the header's order.  Offsets
and padding follow from the data model, so one text serves every ABI that does not differ:

    timespec     long tv_sec, long tv_nsec
    sockaddr_un  u16 sun_family, char sun_path[108]
    shmid64_ds   ipc64_perm shm_perm, ...       a structure inside: its fields are shm_perm.key, ...
    epoll_event  packed, u32 events, u64 data   without the compiler's padding
    sysinfo      ushort procs, ushort pad, ...  takes room, but has no value: so do pad1, pad2, ...

Lines that begin with a blank go on with the row above; `#` begins a comment.

Every layout ends up as one precompiled `struct.Struct`.  (`construct` reads better for file
formats, but builds a container object per structure and interprets the fields one by one: 20 to 60
us for a `stat`, where a whole system call may take 3.)
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import and_, itemgetter
from typing import Any

_FIXED_TYPES: dict[str, str] = {
    "s8": "b", "u8": "B", "s16": "h", "u16": "H", "s32": "i", "u32": "I", "s64": "q", "u64": "Q",
    "short": "h", "ushort": "H", "int": "i", "uint": "I",
}  # fmt: skip
_WORD_TYPES: dict[str, tuple[str, str]] = {
    "long": ("i", "q"), "ulong": ("I", "Q"), "size": ("I", "Q"), "ptr": ("I", "Q"),
}  # fmt: skip
_FIELD = re.compile(r"(\w+)\s+(\w+)(?:\[(\d+)\])?")
_PADDING = re.compile(r"(.*\.)?pad\d*(\.\d+)?")


class LayoutError(Exception):
    """A structure's text is wrong; says which structure and which part."""


@dataclass(frozen=True, slots=True)
class DataModel:
    """What the compiler of an ABI decides: byte order, the size of a long, alignment of 64 bits."""

    byte_order: str
    """`<` or `>`, as in the struct module."""
    long_size: int
    align_64: int = 8

    def scalar(self, type_: str) -> str | None:
        """The struct-module letter of a scalar type; None for anything else."""
        if words := _WORD_TYPES.get(type_):
            return words[self.long_size == 8]
        return _FIXED_TYPES.get(type_)

    def alignment(self, letter: str) -> int:
        """The alignment of a scalar in a structure."""
        size = struct.calcsize("=" + letter)
        return min(size, self.align_64) if size == 8 else size


@dataclass(frozen=True, slots=True)
class Field:
    """One scalar, or one array of char (letter `s`), at its place."""

    name: str
    offset: int
    letter: str
    size: int

    @property
    def mask(self) -> int | None:
        """What to AND with a number so that it fits unsigned; None for bytes."""
        return None if self.letter == "s" else (1 << 8 * self.size) - 1


class Layout:
    """A structure of one ABI: `size`, `align`, `fields`; packs from and unpacks to plain values."""

    __slots__ = (
        "_masks",
        "_struct",
        "align",
        "fields",
        "name",
        "pack",
        "pack_unsigned",
        "size",
        "unpack",
    )

    def __init__(self, name: str, fields: list[Field], size: int, align: int, order: str) -> None:
        self.name = name
        self.fields = {field.name: field for field in fields if not _PADDING.fullmatch(field.name)}
        self.size = size
        self.align = align
        self._struct = struct.Struct(self._format(order, unsigned=False))
        self.pack_unsigned: Callable[..., bytes] = struct.Struct(
            self._format(order, unsigned=True)
        ).pack
        self._masks = [field.mask for field in self]
        self.pack: Callable[..., bytes] = self._struct.pack
        """One value per field, in order; raises struct.error if one does not fit."""
        self.unpack: Callable[[bytes], tuple[Any, ...]] = self._struct.unpack
        """The values of all fields, in order."""

    def _format(self, order: str, unsigned: bool) -> str:
        parts = [order]
        at = 0
        for field in self.fields.values():
            parts.append(f"{field.offset - at}x" if field.offset > at else "")
            if field.letter == "s":
                parts.append(f"{field.size}s")
            else:
                parts.append(field.letter.upper() if unsigned else field.letter)
            at = field.offset + field.size
        parts.append(f"{self.size - at}x" if self.size > at else "")
        return "".join(parts)

    def wrap(self, values: list[Any]) -> bytes:
        """Pack values that may be too wide or of the other sign: they are cut to their fields."""
        masks = self._masks
        return self.pack_unsigned(
            *[v if m is None else v & m for v, m in zip(values, masks, strict=True)]
        )

    def make(self, **values: Any) -> bytes:
        """Pack by name; what is not named is zero, what is too wide is cut."""
        if unknown := values.keys() - self.fields.keys():
            raise LayoutError(f"{self.name} has no field {', '.join(sorted(unknown))}")
        fill = [values.get(f.name, b"" if f.letter == "s" else 0) for f in self.fields.values()]
        return self.wrap(fill)

    def values(self, data: bytes) -> dict[str, Any]:
        """Unpack to a dict by field name."""
        return dict(zip(self.fields, self.unpack(data), strict=True))

    def offset(self, field: str) -> int:
        """The offset of a field."""
        return self.fields[field].offset

    def __iter__(self) -> Iterator[Field]:
        return iter(self.fields.values())

    def __repr__(self) -> str:
        return f"<Layout {self.name}: {self.size} bytes>"


class Structs:
    """The structures of one ABI; a layout is worked out when it is first asked for."""

    def __init__(self, model: DataModel, *texts: str) -> None:
        """Later texts replace rows of earlier ones."""
        self.model = model
        self._rows: dict[str, str] = {}
        for text in texts:
            self._rows.update(_rows(text))

    def __getattr__(self, name: str) -> Layout:
        if name.startswith("__") or name not in self._rows:
            raise AttributeError(f"no structure {name} in this ABI")
        layout = self._build(name)
        setattr(self, name, layout)
        return layout

    def __getitem__(self, name: str) -> Layout:
        layout: Layout = getattr(self, name)
        return layout

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __contains__(self, name: str) -> bool:
        return name in self._rows

    def _build(self, name: str) -> Layout:
        parts = [part.strip() for part in self._rows[name].split(",")]
        packed = parts[0] == "packed"
        fields: list[Field] = []
        at = 0
        align = 1
        for part in parts[packed:]:
            elements, element_align, extent = self._elements(name, part)
            if not packed:
                align = max(align, element_align)
                at = -(-at // element_align) * element_align
            fields += [Field(one.name, at + one.offset, one.letter, one.size) for one in elements]
            at += extent
        return Layout(name, fields, -(-at // align) * align, align, self.model.byte_order)

    def _elements(self, struct_name: str, part: str) -> tuple[list[Field], int, int]:
        """The scalars that `type name[n]` stands for, at offsets from its own start.

        Then their alignment, and how many bytes they take.
        """
        match = _FIELD.fullmatch(part)
        if match is None:
            raise LayoutError(
                f"struct {struct_name}: cannot read {part!r}; write: type name[count]"
            )
        type_, name, count = match[1], match[2], int(match[3] or 1)
        if type_ == "char":
            return [Field(name, 0, "s", count)], 1, count
        letter = self.model.scalar(type_)
        if letter is None:
            return self._nested(struct_name, type_, name, count, indexed=match[3] is not None)
        size = struct.calcsize("=" + letter)
        names = [f"{name}.{i}" for i in range(count)] if match[3] else [name]
        scalars = [Field(one, i * size, letter, size) for i, one in enumerate(names)]
        return scalars, self.model.alignment(letter), size * count

    def _nested(
        self, struct_name: str, type_: str, name: str, count: int, indexed: bool
    ) -> tuple[list[Field], int, int]:
        if type_ not in self._rows:
            raise LayoutError(f"struct {struct_name}: no type or structure {type_}")
        inner = self[type_]
        elements = []
        for i in range(count):
            prefix = f"{name}.{i}" if indexed else name
            for field in inner:
                place = i * inner.size + field.offset
                elements.append(Field(f"{prefix}.{field.name}", place, field.letter, field.size))
        return elements, inner.align, inner.size * count


def _rows(text: str) -> dict[str, str]:
    """The rows of a text: name to fields, continuation lines joined."""
    rows: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        line = line.partition("#")[0].rstrip()
        if not line:
            continue
        if line[0].isspace():
            rows[name] += " " + line.strip()
            continue
        name, _, fields = line.partition(" ")
        rows[name] = fields.strip()
    return rows


class Converter:
    """Moves structures between two ABIs: fields go by name, cut or extended to the new width."""

    def __init__(self, source: Structs, target: Structs) -> None:
        self._source = source
        self._target = target
        self._made: dict[tuple[str, str], Callable[[bytes], bytes]] = {}

    def __call__(self, name: str, data: bytes, target_name: str | None = None) -> bytes:
        """Convert `data`, a structure `name` of the source, into the target's `target_name`."""
        key = (name, target_name or name)
        convert = self._made.get(key)
        if convert is None:
            convert = self._made[key] = _conversion(self._source[key[0]], self._target[key[1]])
        return convert(data)


def _conversion(source: Layout, target: Layout) -> Callable[[bytes], bytes]:
    """A function from the bytes of one layout to those of another.

    Fields that only one side has are dropped, or zero; one of the target that begins with `__` gets
    what the field without that gets.
    """
    order = {name: i for i, name in enumerate(source.fields)}
    zero_at, empty_at = len(order), len(order) + 1
    zeros = (0, b"")
    places = [
        order.get(f.name.removeprefix("__"), empty_at if f.letter == "s" else zero_at)
        for f in target
    ]
    masks = [field.mask for field in target]
    unpack, wrap = source.unpack, target.wrap
    if len(places) < 2 or None in masks:

        def convert(data: bytes) -> bytes:
            values = unpack(data) + zeros
            return wrap([values[place] for place in places])

        return convert

    pick, pack = itemgetter(*places), target.pack_unsigned

    def convert_numbers(data: bytes) -> bytes:
        return pack(*map(and_, pick(unpack(data) + zeros), masks))

    return convert_numbers
