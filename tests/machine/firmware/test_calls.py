"""BIOS services beside SeaBIOS's: the same calls from a boot sector, here and in QEMU."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from machine.drive import Drive
from machine.firmware.disk import Drives
from machine.images.opening import open_image
from tests.machine.firmware.harness import Pc
from tests.machine.test_qemu import QEMU

HERE = Path(__file__).parent
NAMES = ("ax", "bx", "cx", "dx", "si", "di", "bp", "es")
TABLE_SECTORS = 8
DISK_SECTORS = 40 * 16 * 63


class Line:
    """A call, and what is looked at."""

    def __init__(self, number: int, text: str) -> None:
        self.number, self.text = number, text
        before, _, after = text.partition("=>")
        vector, *settings = before.split()
        values = dict(setting.split("=") for setting in settings)
        words = [int(values.get(name, "0"), 16) for name in NAMES]
        self.entry = struct.pack("<BB8H", int(vector, 16), 0, *words)
        self.compared = after.partition("#")[0].split()


def lines() -> list[Line]:
    rows = (HERE / "calls.txt").read_text().splitlines()
    return [
        Line(number, row) for number, row in enumerate(rows, 1) if row and not row.startswith("#")
    ]


def part(name: str, answer: tuple[int, ...]) -> int:
    """A register, a half of one, or a flag of an answer."""
    if name in NAMES:
        return answer[NAMES.index(name)]
    if name in {"cf", "zf"}:
        return answer[8] >> (0 if name == "cf" else 6) & 1
    whole = answer[NAMES.index(name[0] + "x")]
    return whole >> 8 if name[1] == "h" else whole & 0xFF


def answers(text: bytes) -> list[tuple[int, ...]]:
    return list(struct.iter_unpack("<9H", text[: len(text) // 18 * 18]))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    if not shutil.which("nasm"):
        pytest.skip("no nasm")
    folder = tmp_path_factory.mktemp("calls")
    floppy, disk = folder / "floppy.img", folder / "disk.img"
    subprocess.run(["nasm", "-o", str(floppy), str(HERE / "calls.asm")], check=True)
    table = b"".join(line.entry for line in lines()) + b"\xff"
    assert len(table) <= 512 * TABLE_SECTORS
    floppy.write_bytes((floppy.read_bytes() + table).ljust(1440 << 10, b"\0"))
    disk.write_bytes(bytes(DISK_SECTORS * 512))
    return floppy, disk


@pytest.fixture(scope="module")
def ours(images: tuple[Path, Path]) -> list[tuple[int, ...]]:
    floppy, disk = (
        Drive(open_image(str(path), "raw", writable=False), path.name) for path in images
    )
    pc = Pc(Drives(floppies=[floppy], disks=[disk]))
    for _ in range(100):
        pc.run(20)
        if pc.exit_status is not None:
            break
    return answers(bytes(pc.text))


@pytest.fixture(scope="module")
def theirs(
    images: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> list[tuple[int, ...]]:
    if QEMU is None:
        pytest.skip("no qemu-system-i386")
    output = tmp_path_factory.mktemp("qemu") / "out"
    floppy, disk = images
    subprocess.run(
        [
            *(QEMU, "-m", "16", "-display", "none", "-net", "none", "-no-reboot", "-boot", "a"),
            *("-drive", f"file={floppy},format=raw,if=floppy,readonly=on"),
            *("-drive", f"file={disk},format=raw,snapshot=on"),
            *("-debugcon", f"file:{output}"),
            *("-device", "isa-debug-exit,iobase=0xf4,iosize=4"),
        ],
        timeout=60,
        check=False,
    )
    return answers(output.read_bytes())


@pytest.mark.parametrize("line", lines(), ids=lambda line: f"{line.number}")
def test_the_answers_are_seabioss(
    line: Line, ours: list[tuple[int, ...]], theirs: list[tuple[int, ...]]
) -> None:
    index = [one.number for one in lines()].index(line.number)
    assert index < len(ours), "we did not come so far"
    got = {name: hex(part(name, ours[index])) for name in line.compared}
    wanted = {name: hex(part(name, theirs[index])) for name in line.compared}
    assert got == wanted, line.text


def test_qemu_made_all_calls(theirs: list[tuple[int, ...]]) -> None:
    assert len(theirs) == len(lines())
