"""Listings: machine code beside its source, as the firmware's ROMs are built from them.

A line is an address, the bytes, and the assembler's line that they come from:

    D000 E6B4                     out VIDEO, al

Listings are made by NASM (tests/machine/firmware/test_rom.py does it with --bless and compares).
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files

SOURCE = 26
"""The column at which the source begins."""


@dataclass(frozen=True, slots=True)
class Listing:
    """Code for a fixed place: `labels` are offsets in its segment, as `origin` is."""

    origin: int
    code: bytes
    labels: dict[str, int]

    def patched(self, **values: int) -> bytes:
        """The code with doublewords written at some labels."""
        code = bytearray(self.code)
        for label, value in values.items():
            at = self.labels[label] - self.origin
            code[at : at + 4] = value.to_bytes(4, "little")
        return bytes(code)


def load(name: str) -> Listing:
    """Read a listing that is beside this module."""
    return parse((files(__package__) / f"{name}.lst").read_text())


def parse(text: str) -> Listing:
    """Take a listing's bytes, and every label that stands at a line's beginning."""
    lines = [(line[:SOURCE].split(), line[SOURCE:]) for line in text.splitlines()]
    origin = next(int(place[0], 16) for place, _ in lines if place)
    code = bytearray()
    labels: dict[str, int] = {}
    for place, source in lines:
        label, colon, _ = source.partition(":")
        if colon and label.isidentifier():
            labels[label] = origin + len(code)
        if place:
            code += bytes.fromhex(place[1])
    return Listing(origin, bytes(code), labels)
