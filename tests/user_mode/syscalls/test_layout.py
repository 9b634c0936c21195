"""The layout language: rows in, offsets and errors out."""

from __future__ import annotations

import pytest

from user_mode.abi.flags import Flags
from user_mode.abi.layout import Converter, DataModel, LayoutError, Structs

BIG_32, LITTLE_64, I386 = DataModel(">", 4), DataModel("<", 8), DataModel("<", 4, align_64=4)


def offsets(model: DataModel, text: str, name: str = "s") -> str:
    layout = Structs(model, text)[name]
    fields = " ".join(f"{field.name}@{field.offset}" for field in layout)
    return f"{fields} size {layout.size}"


@pytest.mark.parametrize(
    ("model", "fields", "expected"),
    [
        (BIG_32, "long a, long b", "a@0 b@4 size 8"),
        (LITTLE_64, "long a, long b", "a@0 b@8 size 16"),
        (BIG_32, "u8 a, s64 b", "a@0 b@8 size 16"),
        (I386, "u8 a, s64 b", "a@0 b@4 size 12"),
        (BIG_32, "packed, u8 a, s64 b", "a@0 b@1 size 9"),
        (BIG_32, "char name[5], u16 x[2]", "name@0 x.0@6 x.1@8 size 10"),
        (LITTLE_64, "ptr p, int n, ptr q, size l", "p@0 n@8 q@16 l@24 size 32"),
        (BIG_32, "u64 a, u8 b", "a@0 b@8 size 16"),
        (BIG_32, "u16 a, u16 pad, u32 b, char pad1[8]", "a@0 b@4 size 16"),
    ],
)
def test_offsets(model: DataModel, fields: str, expected: str) -> None:
    assert offsets(model, f"s {fields}") == expected


def test_nested_structures_and_continuation_lines() -> None:
    text = """\
# a comment
inner   u8 a,
        u32 b
s       u8 x, inner one, inner two[2],
        u8 y
"""
    expected = "x@0 one.a@4 one.b@8 two.0.a@12 two.0.b@16 two.1.a@20 two.1.b@24 y@28 size 32"
    assert offsets(BIG_32, text) == expected


def test_later_texts_replace_rows() -> None:
    assert Structs(BIG_32, "s int a", "s int a, int b").s.size == 8


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("s int", "struct s: cannot read 'int'; write: type name[count]"),
        ("s strange a", "struct s: no type or structure strange"),
        ("s int a b", "struct s: cannot read 'int a b'; write: type name[count]"),
    ],
)
def test_errors(row: str, message: str) -> None:
    with pytest.raises(LayoutError) as caught:
        _ = Structs(BIG_32, row).s
    assert str(caught.value) == message


def test_make_takes_names_and_cuts_values() -> None:
    layout = Structs(BIG_32, "s u8 a, s16 b, char c[3]").s
    assert layout.make(a=0x1FF, b=-1, c=b"xyz").hex() == "ff00ffff78797a00"
    with pytest.raises(LayoutError, match="s has no field d"):
        layout.make(d=1)


def test_conversion_goes_by_name() -> None:
    guest = Structs(BIG_32, "s long a, short gone, long b")
    host = Structs(LITTLE_64, "s long b, long a, int new")
    to_host, to_guest = Converter(guest, host), Converter(host, guest)
    data = guest.s.pack(-2, 7, 0x11223344)
    assert host.s.unpack(to_host("s", data)) == (0x11223344, -2, 0)
    assert guest.s.unpack(to_guest("s", host.s.pack(1 << 40 | 5, -3, 9))) == (-3, 0, 5)


def test_conversion_with_bytes() -> None:
    guest, host = Structs(BIG_32, "s char a[4], u16 b"), Structs(LITTLE_64, "s u16 b, char a[6]")
    assert Converter(guest, host)("s", b"abcd\1\2") == b"\2\1abcd\0\0"


def test_flags() -> None:
    guest = {"A": 0x10, "B": 0x01, "MODE": 0x0C, "M1": 0x04, "M2": 0x08}
    host = {"A": 0x01, "B": 0x02, "MODE": 0x70, "M1": 0x10, "M2": 0x70}
    flags = Flags(guest, host, {"MODE": ("M1", "M2")})
    assert flags.to_host(0x15) == 0x13
    assert flags.to_host(0x08) == 0x70
    assert flags.to_guest(0x71) == 0x18
    assert flags.to_host(0x8000) == 0x8000, "unknown bits go through"
    assert flags.to_host(0x02) == 0, "but not into bits that mean something else"
