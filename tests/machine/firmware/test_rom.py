"""The listings that ROMs are built from are what NASM makes of their sources."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from machine.firmware import listing
from tests.conftest import Golden

FIRMWARE = Path(listing.__file__).parent
LINE = re.compile(r" *\d+ (?:([0-9A-F]{8}) (\S+?(?:<rep [0-9A-F]+h>)?)(-?))? *(.*)")


def assembled(source: Path, scratch: Path) -> str:
    """NASM's listing, with addresses that count and relocations resolved."""
    binary, lines = scratch / "out.bin", scratch / "out.lst"
    subprocess.run(
        ["nasm", "-f", "bin", "-o", str(binary), "-l", str(lines), str(source)], check=True
    )
    code = binary.read_bytes()
    origin = int(re.findall(r"org (\S+)", source.read_text())[0], 0)
    starts = [
        int(line[7:15], 16) if re.match(r"[0-9A-F]{8} ", line[7:16]) else None
        for line in lines.read_text().splitlines()
    ]
    listed = []
    texts = source.read_text().splitlines()
    numbers = [int(line[:6]) for line in lines.read_text().splitlines()]
    offsets: dict[int, int] = {}
    for number, start in zip(numbers, starts, strict=True):
        if start is not None:
            offsets.setdefault(number, start)
    ordered = [*offsets.values(), len(code)]
    following = dict(zip(offsets, ordered[1:], strict=True))
    for number, text in enumerate(texts, 1):
        if number not in offsets:
            listed.append(f"{'':{listing.SOURCE}}{text}".rstrip())
            continue
        start, end = offsets[number], following[number]
        for part in range(start, end, 8):
            bytes_ = code[part : min(part + 8, end)].hex().upper()
            line = f"{origin + part:04X} {bytes_}"
            listed.append(f"{line:{listing.SOURCE}}{text if part == start else ''}".rstrip())
    return "\n".join(listed) + "\n"


@pytest.mark.skipif(not shutil.which("nasm"), reason="no nasm")
@pytest.mark.parametrize("name", ["bios", "flat", "linuxboot"])
def test_a_listing_is_what_nasm_makes(name: str, tmp_path: Path, golden: Golden) -> None:
    golden(FIRMWARE / f"{name}.lst", assembled(FIRMWARE / f"{name}.asm", tmp_path))


@pytest.mark.parametrize("name", ["bios", "flat", "linuxboot"])
def test_a_listing_is_read_back(name: str) -> None:
    text = (FIRMWARE / f"{name}.lst").read_text()
    got = listing.parse(text)
    source = [line[listing.SOURCE :] for line in text.splitlines()]
    assert source and set(got.labels) == {
        line.partition(":")[0] for line in source if re.match(r"[a-z]\w*:", line)
    }
    for line in text.splitlines():
        if len(place := line[: listing.SOURCE].split()) == 2:
            at = int(place[0], 16) - got.origin
            assert got.code[at:].startswith(bytes.fromhex(place[1]))
