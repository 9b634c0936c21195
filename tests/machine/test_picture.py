"""Pictures in files; PNG is taken apart by hand, and by zlib alone."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest

from machine.display.picture import save_picture
from machine.errors import MachineError
from tests.machine.vga_cards import OurCard, map_memory, set_dispi, set_mode


@pytest.fixture
def card() -> OurCard:
    made = OurCard()
    map_memory(made)
    set_mode(made, 3)
    made.write(0xB8000, b"".join(bytes((c, 0x1E)) for c in b"Hello, \x01"))
    return made


def chunks(data: bytes) -> dict[bytes, bytes]:
    """The chunks of a PNG file, their checksums verified."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    found, at = {}, 8
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        body = data[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", data, at + 8 + length) == (zlib.crc32(kind + body),)
        found[kind] = body
        at += length + 12
    return found


@pytest.mark.parametrize("depth", [0, 24])
def test_png(card: OurCard, tmp_path: Path, depth: int) -> None:
    if depth:
        set_dispi(card, 648, 333, depth)
        card.vga.memory.bytes[:300_000] = bytes(n * 7 & 255 for n in range(300_000))
    frame = card.vga.render()
    save_picture(frame, str(tmp_path / "a.png"))
    found = chunks((tmp_path / "a.png").read_bytes())
    assert list(found) == [b"IHDR", b"IDAT", b"IEND"]
    assert found[b"IHDR"] == struct.pack(">II", frame.width, frame.height) + b"\x08\x02\0\0\0"
    rows = zlib.decompress(found[b"IDAT"])
    stride = 3 * frame.width + 1
    assert not any(rows[::stride])
    rgb = b"".join(rows[at + 1 : at + stride] for at in range(0, len(rows), stride))
    assert rgb == frame.rgb()
    assert len(set(rgb)) > 1


def test_ppm_and_text(card: OurCard, tmp_path: Path) -> None:
    frame = card.vga.render()
    for name in ("a.ppm", "b"):
        save_picture(frame, str(tmp_path / name))
        assert (tmp_path / name).read_bytes() == b"P6\n720 400\n255\n" + frame.rgb()
    save_picture(frame, str(tmp_path / "c.txt"))
    lines = (tmp_path / "c.txt").read_text(encoding="utf-8").split("\n")
    assert lines == ["Hello, ☺", *[""] * 25]


def test_where_it_cannot_be_saved(card: OurCard, tmp_path: Path) -> None:
    with pytest.raises(MachineError) as error:
        save_picture(card.vga.render(), str(tmp_path / "no" / "a.png"))
    assert error.value.message == (
        f"cannot save the screen as {tmp_path}/no/a.png: No such file or directory"
    )
