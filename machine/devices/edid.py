"""What a monitor says of itself: 128 bytes of EDID.

Source: VESA, "Enhanced Extended Display Identification Data Standard" 1.4, section 3.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timing:
    """A mode: its dot clock in 10 kHz, and pixels and lines shown, blanked, before and in sync."""

    clock: int
    width: int
    h_blank: int
    h_front: int
    h_sync: int
    height: int
    v_blank: int
    v_front: int
    v_sync: int


XGA = Timing(6500, 1024, 320, 24, 136, 768, 38, 3, 6)
"""1024x768 at 60 Hz (VESA, Monitor Timing Standard)."""

STANDARD_TIMINGS = ((1280, 0x80), (1600, 0x40), (1920, 0xC0), (1152, 0x40), (1280, 0xC0))
"""Widths, and the codes of their ratios: 5:4, 4:3, 16:9 in bits 7 and 6."""


def detailed(timing: Timing) -> bytes:
    """A detailed timing descriptor of 18 bytes (3.10.2)."""
    t = timing
    return bytes((
        *t.clock.to_bytes(2, "little"),
        t.width & 0xFF, t.h_blank & 0xFF, t.width >> 8 << 4 | t.h_blank >> 8,
        t.height & 0xFF, t.v_blank & 0xFF, t.height >> 8 << 4 | t.v_blank >> 8,
        t.h_front, t.h_sync, t.v_front << 4 | t.v_sync, 0,
        0, 0, 0, 0, 0, 0x18,
    ))  # fmt: skip


def text(tag: int, words: bytes) -> bytes:
    """A display descriptor with up to 13 characters (3.10.3)."""
    return bytes((0, 0, 0, tag, 0)) + (words + b"\n").ljust(13)[:13]


def edid() -> bytes:
    """A digital RGB monitor that prefers 1024x768 and takes any common size."""
    block = bytearray(b"\0\xff\xff\xff\xff\xff\xff\0")
    block += ((ord("Q") - 64) << 10 | (ord("P") - 64) << 5 | ord("Y") - 64).to_bytes(2, "big")
    block += bytes((1, 0, 1, 0, 0, 0, 1, 34))  # product, serial number, week, year 2024
    block += bytes((1, 4, 0xA5, 33, 24, 0x78, 0x06))  # version, 8 bits digital, size, 2.2, sRGB
    block += bytes.fromhex("ee 91 a3 54 4c 99 26 0f 50 54")  # sRGB's chromaticity
    block += bytes((0x21, 0x08, 0x00))  # established: 640x480, 800x600, 1024x768 at 60 Hz
    for width, ratio in STANDARD_TIMINGS:
        block += bytes((width // 8 - 31, ratio))
    block += b"\x01\x01" * (8 - len(STANDARD_TIMINGS))
    block += detailed(XGA) + text(0xFC, b"qemupy") + text(0x10, b"") + text(0x10, b"")
    block += b"\0"
    block.append(-sum(block) & 0xFF)
    return bytes(block).ljust(0x400, b"\0")
