"""The VGA by itself: what is mapped, what the manual says of registers, what the screen shows."""

from __future__ import annotations

import random

import pytest

from machine.devices.edid import edid
from machine.devices.vga_picture import CP437, draw_text
from machine.firmware.font import font
from machine.firmware.vga_modes import MODES
from machine.physical import PAGE
from tests.machine.vga_cards import (
    LFB,
    REGISTERS,
    OurCard,
    Picture,
    load_font,
    map_memory,
    set_dispi,
    set_mode,
    write_config,
    write_dispi,
)

LINE = 31_778
"""Nanoseconds of a scan line of 640x480 and 720x400."""


@pytest.fixture
def card() -> OurCard:
    made = OurCard()
    map_memory(made)
    return made


def shown(card: OurCard) -> list[tuple[int, int]]:
    """What is memory in the window, as first address and length."""
    pages = [bool(card.memory._pages[page]) for page in range(0xA0, 0xC0)]
    starts = [n for n in range(32) if pages[n] and (n == 0 or not pages[n - 1])]
    return [(0xA0000 + PAGE * n, PAGE * [*pages[n:], False].index(False)) for n in starts]


def pixel(picture: Picture, x: int, y: int) -> str:
    at = 3 * (y * picture.width + x)
    return picture.rgb[at : at + 3].hex()


# -- the window ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "pieces"),
    [
        (0x03, [(0xB8000, 0x8000)]),
        (0x07, [(0xB0000, 0x8000)]),
        (0x04, [(0xB8000, 0x8000)]),
        (0x12, []),
        (0x13, [(0xA0000, 0x10000)]),
    ],
)
def test_what_is_plain_memory(card: OurCard, number: int, pieces: list[tuple[int, int]]) -> None:
    set_mode(card, number)
    assert shown(card) == pieces


def test_linear_modes_show_a_bank(card: OurCard) -> None:
    set_dispi(card, 640, 480, 8)
    write_dispi(card, 5, 3)
    assert shown(card) == [(0xA0000, 0x10000)]
    card.memory.write(0xA0010, b"here")
    assert card.memory.read(LFB + 0x30010, 4) == b"here"
    set_dispi(card, 640, 480, 4)
    assert shown(card) == []
    write_dispi(card, 4, 0)
    set_mode(card, 3)
    assert shown(card) == [(0xB8000, 0x8000)]


def test_memory_with_masked_planes_is_not_plain(card: OurCard) -> None:
    set_mode(card, 0x13)
    card.out(0x3C4, 0x0102, 2)
    assert shown(card) == []
    card.write(0xA0000, b"\x11\x22\x33\x44\x55")
    assert card.read(0xA0000, 5) == b"\x11\0\0\0\x55"


def test_disabled_memory_is_nowhere(card: OurCard) -> None:
    set_mode(card, 3)
    card.write(0xB8000, b"x")
    card.out(0x3C2, 0x65)
    assert card.read(0xB8000, 1) == b"\xff"
    card.out(0x3C2, 0x67)
    assert card.read(0xB8000, 1) == b"x"


def test_text_survives_a_font(card: OurCard) -> None:
    """Characters lie elsewhere while they are plain memory; loading a font moves them twice."""
    set_mode(card, 3)
    text = random.Random(1).randbytes(0x8000)
    card.write(0xB8000, text)
    load_font(card, 8)
    assert card.read(0xB8000, 0x8000) == text
    card.out(0x3CE, 0x0005, 2)
    card.out(0x3CE, 0x0406, 2)
    card.out(0x3C4, 0x0604, 2)
    assert card.read(0xA0000, 3) == text[0:6:2]
    card.out(0x3CE, 0x0104, 2)
    assert card.read(0xA0000, 3) == text[1:6:2]


def test_the_window_comes_back_after_smram(card: OurCard) -> None:
    set_mode(card, 3)
    card.memory.map_ram(0xA0000, 0x20000, card.memory.ram, 0xA0000)
    card.vga.remap()
    assert shown(card) == [(0xB8000, 0x8000)]


def test_a_wide_access_is_narrow_ones(card: OurCard) -> None:
    set_mode(card, 0x12)
    card.memory.store(0xA0000, 0x44332211, 4)
    card.out(0x3CE, 0x0204, 2)
    assert card.read(0xA0000, 4) == b"\x11\x22\x33\x44"
    assert card.memory.load(0xA0001, 2) == 0x3322


def test_write_mode_3_and_color_compare(card: OurCard) -> None:
    """Write mode 3: the bit mask is and-ed with the rotated data, the colour is set/reset's."""
    set_mode(card, 0x12)
    for value in (0x0500, 0x0305, 0x0103, 0xF008):
        card.out(0x3CE, value, 2)
    card.read(0xA0000, 1)
    card.write(0xA0000, b"\xff")  # rotated: ff; with the mask: the left four pixels
    card.out(0x3CE, 0x0805, 2)
    card.out(0x3CE, 0x0502, 2)
    card.out(0x3CE, 0x0F07, 2)
    assert card.read(0xA0000, 1) == b"\xf0"
    card.out(0x3CE, 0x0402, 2)
    assert card.read(0xA0000, 1) == b"\0"
    card.out(0x3CE, 0x0E07, 2)
    assert card.read(0xA0000, 1) == b"\xf0"


# -- PCI ---------------------------------------------------------------------------------------


def test_the_frame_buffer_goes_where_its_register_says(card: OurCard) -> None:
    card.memory.write(LFB, b"1234")
    write_config(card, 0x10, 0xD000_0000)
    assert card.memory.read(LFB, 4) == b"\xff" * 4
    assert card.memory.read(0xD000_0000, 4) == b"1234"
    write_config(card, 0x04, 0)
    assert card.memory.read(0xD000_0000, 4) == b"\xff" * 4
    write_config(card, 0x04, 2)
    write_config(card, 0x10, 0xFFFF_FFFF)  # asks for the size
    assert card.memory.read(0xFF00_0000, 4) == b"\xff" * 4


def test_the_bios_is_read_only() -> None:
    rom = b"\x55\xaa\x04" + bytes(range(253))
    card = OurCard(rom=rom)
    map_memory(card)
    write_config(card, 0x30, 0xD000_0000)
    assert card.memory.load(0xD000_0000, 4) == 0xFFFF_FFFF
    write_config(card, 0x30, 0xD000_0001)
    card.memory.store(0xD000_0000, 0, 4)
    assert card.memory.read(0xD000_0000, 256) == rom
    assert card.memory.read(0xD000_0100, 4) == bytes(4)


def test_edid_is_in_memory(card: OurCard) -> None:
    block = card.read(REGISTERS, 128)
    assert block == edid()[:128]
    assert sum(block) % 256 == 0
    assert block[54:56] == (6500).to_bytes(2, "little")


def test_reset(card: OurCard) -> None:
    set_dispi(card, 640, 480, 32)
    card.vga.reset()
    assert shown(card) == []
    assert not card.vga.dispi.is_on
    frame = card.vga.render()
    assert (frame.text, frame.pixels) == (None, None)
    assert not any(frame.rgb())


# -- the beam ----------------------------------------------------------------------------------


def test_retrace_follows_the_time(card: OurCard) -> None:
    """640x480: of 525 lines 480 are shown, 490 and 491 are vertical retrace."""
    set_mode(card, 0x12)
    seen = []
    for line in range(525):
        card.time.ns = line * LINE + LINE // 4
        seen.append(card.in_(0x3DA) & 9)
    assert seen.count(0) == 480
    assert [line for line, bits in enumerate(seen) if bits & 8] == [490, 491]
    card.time.ns = 100 * LINE + LINE * 9 // 10
    assert card.in_(0x3DA) & 9 == 1  # behind the right edge


def test_frames_per_second(card: OurCard) -> None:
    for number, hertz in ((0x12, 60), (0x13, 70), (0x03, 70)):
        set_mode(card, number)
        starts, before = 0, 0
        for step in range(20_000):
            card.time.ns = step * 50_000
            now = card.in_(0x3DA) & 8
            starts += now > before
            before = now
        assert starts == pytest.approx(hertz, abs=1)


def test_the_beam_moves_without_a_mode(card: OurCard) -> None:
    card.out(0x3C2, 1)
    bits = set()
    for step in range(2000):
        card.time.ns = step * 20_000
        bits.add(card.in_(0x3DA) & 9)
    assert bits == {0, 1, 9}


# -- pictures ----------------------------------------------------------------------------------


def test_text_can_be_read(card: OurCard) -> None:
    set_mode(card, 3)
    card.write(0xB8000, bytes(8000))
    card.write(0xB8000 + 160, "Größe ═ 1 ♥ ".encode("cp437", "replace").replace(b"?", b"\x03"))
    card.write(0xB8000 + 160, b"".join(bytes((c, 7)) for c in b"Gr\x94\xe1e \xcd \x03"))
    text = card.vga.render().text
    assert text is not None
    assert text.lines()[:3] == ["", "Größe ═ ♥", ""]
    assert (text.columns, text.rows) == (80, 25)
    assert len(CP437) == 256


def test_the_same_picture_is_the_same_object(card: OurCard) -> None:
    set_mode(card, 3)
    first = card.vga.render()
    assert card.vga.render() is first
    card.write(0xB8000, b"A")
    second = card.vga.render()
    assert second is not first
    card.out(0x3C8, 7)
    for _ in range(3):
        card.out(0x3C9, 1)
    assert card.vga.render() is not second


def test_the_cursor(card: OurCard) -> None:
    set_mode(card, 3)
    card.write(0xB8000, b" \x07" * 2000)
    for value in (0x000E, 0x530F, 0x0D0A, 0x0E0B):
        card.out(0x3D4, value, 2)
    text = card.vga.render().text
    assert text is not None
    assert text.cursor is not None
    assert (text.cursor.column, text.cursor.row) == (3, 1)
    lit = [n for n, value in enumerate(card.picture().rgb[0::3]) if value]
    assert lit == [y * 720 + x for y in (16 + 13, 16 + 14) for x in range(27, 36)]
    card.out(0x3D4, 0x2D0A, 2)
    assert card.vga.render().text != text
    assert not any(card.picture().rgb)


def test_nine_dots(card: OurCard) -> None:
    """C0h to DFh repeat their eighth dot, if Line Graphics Enable is set; DBh is full."""
    set_mode(card, 3)
    card.write(0xB8000, b"\xdb\x07\xb2\x07\xdb\x07" + b" \x07" * 1997)
    card.out(0x3D4, 0x200A, 2)
    assert [bool(v) for v in card.picture().rgb[0 : 27 * 3 : 3]][:9] == [True] * 9
    assert not card.picture().rgb[17 * 3]  # B2h: blank between characters
    card.in_(0x3DA)
    card.out(0x3C0, 0x30)
    card.out(0x3C0, 0x08)
    assert [bool(v) for v in card.picture().rgb[0 : 9 * 3 : 3]] == [True] * 8 + [False]


def test_bright_backgrounds_or_blinking(card: OurCard) -> None:
    set_mode(card, 3)
    card.write(0xB8000, b" \x97" * 2000)
    assert card.picture().rgb[:3].hex() == "0000aa"
    card.in_(0x3DA)
    card.out(0x3C0, 0x30)
    card.out(0x3C0, 0x04)
    assert card.picture().rgb[:3].hex() == "5555ff"


def test_underlined_monochrome(card: OurCard) -> None:
    """Attribute 01h of mode 7 underlines in the line of Underline Location."""
    set_mode(card, 7)
    card.write(0xB0000, b" \x01 \x07" * 1000)
    card.out(0x3B4, 0x200A, 2)
    text = card.vga.render().text
    assert text is not None
    rgb = draw_text(text)
    lines = {y: [bool(v) for v in rgb[3 * 720 * y : 3 * (720 * y + 18) : 3]] for y in range(17)}
    lit = [y for y in lines if any(lines[y])]
    assert lit == [15]
    assert lines[15] == [True] * 8 + [False] * 10


def test_two_fonts(card: OurCard) -> None:
    """Character Map Select: bright characters come from another font."""
    set_mode(card, 3)
    load_font(card, 8, 0x4000)
    card.out(0x3C4, 0x0403, 2)
    text = card.vga.render().text
    assert text is not None
    assert text.fonts[0][32 * 65 : 32 * 65 + 16] == font(16)[16 * 65 : 16 * 66]
    assert text.fonts[1][32 * 65 : 32 * 65 + 8] == font(8)[8 * 65 : 8 * 66]


def stripes(card: OurCard) -> None:
    """320x200 whose pixels are their row's number."""
    set_mode(card, 0x13)
    card.out(0x3C8, 0)
    for n in range(256):
        for _ in range(3):
            card.out(0x3C9, n >> 2)
    card.write(0xA0000, b"".join(bytes((n,)) * 320 for n in range(200)))


def test_a_split_screen(card: OurCard) -> None:
    """Below line 299 memory is shown from its beginning, wherever the upper part begins."""
    stripes(card)
    for value in (0x2B18, 0x1F07, 0x0109, 0x3F0C, 0xC00D):  # 299; from row 204 on: zeros
        card.out(0x3D4, value, 2)
    card.out(0x3D4, 0x0C, 1)
    card.out(0x3D5, 80 * 100 >> 8)
    card.out(0x3D4, 80 * 100 & 0xFF00 | 0x0D, 1)
    card.out(0x3D5, 80 * 100 & 0xFF)
    picture = card.picture()
    rows = [int(pixel(picture, 5, y)[:2], 16) >> 2 for y in range(400)]
    assert rows[0] == 100 >> 2
    assert rows[299] == 0  # beyond the 200 rows that were written
    assert rows[198] == 199 >> 2
    assert rows[300:400:8] == [n >> 2 for n in range(0, 50, 4)]


def test_panning(card: OurCard) -> None:
    """Planar: pixels to the left; 256 colours: every second value moves by one."""
    set_mode(card, 0x12)
    card.write(0xA0000, b"\x80\x01" + bytes(78))
    card.write(0xA0000 + 80, b"\x10")
    assert pixel(card.picture(), 0, 0) == pixel(card.picture(), 15, 0) == "ffffff"
    card.in_(0x3DA)
    card.out(0x3C0, 0x33)
    card.out(0x3C0, 3)
    picture = card.picture()
    lit = [n for n, value in enumerate(picture.rgb[0 : 640 * 6 : 3]) if value]
    assert lit == [12, 640]
    assert picture.width == 640
    stripes(card)
    card.write(0xA0000, bytes(range(0, 200, 4)))
    card.in_(0x3DA)
    card.out(0x3C0, 0x33)
    card.out(0x3C0, 4)
    assert pixel(card.picture(), 0, 0) == pixel(card.picture(), 1, 0) == "080808"


def test_preset_row_scan(card: OurCard) -> None:
    """Smooth scrolling: the first row of pixels begins within its group."""
    stripes(card)
    card.out(0x3D4, 0x0108, 2)
    picture = card.picture()
    assert [int(pixel(picture, 0, y)[:2], 16) >> 2 for y in (0, 6, 7)] == [0, 0, 1]


def test_screen_off(card: OurCard) -> None:
    stripes(card)
    card.out(0x3C4, 0x2101, 2)
    assert not any(card.picture().rgb)
    card.out(0x3C4, 0x0101, 2)
    card.in_(0x3DA)
    card.out(0x3C0, 0)
    assert not any(card.picture().rgb)


def test_640x200_has_rows_in_two_halves(card: OurCard) -> None:
    """CGA's mode 6: even rows from B8000h on, odd ones 8 KiB further."""
    set_mode(card, 6)
    card.write(0xB8000, b"\xff" + bytes(79) + b"\x0f")
    card.write(0xBA000, b"\xf0")
    picture = card.picture()
    assert (picture.width, picture.height) == (640, 400)
    lit = [[pixel(picture, x, y) != "000000" for x in range(8)] for y in range(0, 6, 2)]
    assert lit == [[True] * 8, [True] * 4 + [False] * 4, [False] * 4 + [True] * 4]


def test_the_pel_mask(card: OurCard) -> None:
    stripes(card)
    card.write(0xA0000, b"\xc7")
    card.out(0x3C6, 0x0F)
    assert pixel(card.picture(), 0, 0) == "040404"


@pytest.mark.parametrize("number", sorted(MODES))
def test_sizes(card: OurCard, number: int) -> None:
    """Low resolutions are doubled, as on a monitor."""
    mode = set_mode(card, number)
    picture = card.picture()
    dots = 720 if mode.is_text else 640
    assert (picture.width, picture.height) == (dots, 400 if mode.height == 200 else mode.height)
    assert len(picture.rgb) == 3 * picture.width * picture.height


# -- anything ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "seed", [1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 30))]
)
def test_any_program(card: OurCard, seed: int) -> None:
    """Whatever is written where: a picture of some size, nothing raised, nothing out of place."""
    rng = random.Random(seed)
    ports = [*range(0x3B4, 0x3BC), *range(0x3C0, 0x3E0), 0x1CE, 0x1CF, 0x1D0]
    for step in range(4000):
        if step % 500 == 0:
            set_mode(card, rng.choice(sorted(MODES)))
        choice = rng.random()
        if choice < 0.5:
            card.out(rng.choice(ports), rng.getrandbits(16), rng.choice((1, 2)))
        elif choice < 0.6:
            card.out(rng.choice((0x3C4, 0x3CE, 0x3D4)), rng.getrandbits(16), 2)
        elif choice < 0.7:
            card.in_(rng.choice(ports), rng.choice((1, 2)))
        elif choice < 0.8:
            card.write(rng.randrange(0xA0000, 0xBFFFC) & ~3, rng.randbytes(4))
        elif choice < 0.9:
            card.read(rng.randrange(0xA0000, 0xBFFFC), 3)
        elif choice < 0.93:
            index = rng.randrange(11)
            value = 0x41 if index == 4 else rng.getrandbits(10)
            card.write(REGISTERS + 0x500 + 2 * index, value.to_bytes(2, "little"))
        elif choice < 0.94:
            write_config(card, rng.choice((4, 0x10, 0x18, 0x30)), rng.getrandbits(32) | 3)
            map_memory(card)
        if step % 100 == 0:
            card.time.ns += rng.getrandbits(30)
            frame = card.vga.render()
            if frame.width * frame.height < 1 << 21:
                assert len(frame.rgb()) == 3 * frame.width * frame.height
