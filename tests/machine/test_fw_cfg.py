"""fw_cfg as its specification tells a guest to use it, and the debug ports."""

from __future__ import annotations

import struct

import pytest

from machine.bus import Bus
from machine.devices.debug_ports import DebugConsole, DebugExit, PostCode
from machine.devices.fw_cfg import FwCfg
from tests.machine.fakes import Ram


class Bench:
    def __init__(self) -> None:
        self.ram = Ram()
        self.fw_cfg = FwCfg(self.ram)
        self.bus = Bus("ports")
        self.bus.attach(0x510, self.fw_cfg.ports)
        self.bus.attach(0x514, self.fw_cfg.dma)

    def get(self, key: int, length: int) -> bytes:
        self.bus.write(0x510, key, 2)
        return bytes(self.bus.read(0x511, 1) for _ in range(length))

    def dma(self, control: int, length: int, target: int) -> int:
        """Run a command at 100h; what its control word becomes."""
        self.ram.write(0x100, struct.pack(">IIQ", control, length, target))
        self.bus.write(0x514, 0, 4)
        self.bus.write(0x518, int.from_bytes(struct.pack(">I", 0x100), "little"), 4)
        return int(struct.unpack(">I", self.ram.read(0x100, 4))[0])


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_signature_and_features(bench: Bench) -> None:
    assert bench.get(0, 6) == b"QEMU\0\0"
    assert bench.get(1, 4) == b"\3\0\0\0"


def test_selecting_begins_anew(bench: Bench) -> None:
    assert bench.get(0, 2) == b"QE"
    assert bench.get(0, 2) == b"QE"


def test_what_is_not_there_is_empty(bench: Bench) -> None:
    assert bench.get(0x7777, 2) == b"\0\0"


def test_numbers_are_little_endian(bench: Bench) -> None:
    bench.fw_cfg.add_number(0x03, 0x12345678, 8)
    assert bench.get(3, 8).hex() == "7856341200000000"


def test_the_directory_is_sorted_by_name(bench: Bench) -> None:
    bench.fw_cfg.add_file("etc/b", b"12345")
    bench.fw_cfg.add_file("etc/a", b"1")
    got = bench.get(0x19, 4 + 2 * 64)
    assert got[:4] == b"\0\0\0\2"
    first, second = (struct.unpack(">IHH56s", got[4 + 64 * i :][:64]) for i in range(2))
    assert first[:2] == (1, 0x21) and first[3].rstrip(b"\0") == b"etc/a"
    assert second[:2] == (5, 0x20) and second[3].rstrip(b"\0") == b"etc/b"
    assert bench.get(0x20, 5) == b"12345"


def test_names_are_short_and_there_once(bench: Bench) -> None:
    bench.fw_cfg.add_file("a", b"")
    with pytest.raises(ValueError, match=r"^fw_cfg: there is a a already$"):
        bench.fw_cfg.add_file("a", b"")
    with pytest.raises(ValueError, match="is longer than 55 bytes"):
        bench.fw_cfg.add_file("x" * 56, b"")


def test_dma_has_a_signature(bench: Bench) -> None:
    got = b"".join(bench.bus.read(at, 4).to_bytes(4, "little") for at in (0x514, 0x518))
    assert got == b"QEMU CFG"


def test_dma_reads_items_and_zeros_behind(bench: Bench) -> None:
    bench.ram.write(0x200, b"x" * 8)
    assert bench.dma(0x0000_000A, 6, 0x200) == 0
    assert bench.ram.read(0x200, 8) == b"QEMU\0\0xx"


def test_dma_skips_and_goes_on(bench: Bench) -> None:
    bench.fw_cfg.add_file("f", b"abcdef")
    bench.dma(0x0020_000C, 2, 0)
    bench.dma(2, 3, 0x200)
    assert bench.ram.read(0x200, 3) == b"cde"


def test_dma_writes_only_what_may_be_written(bench: Bench) -> None:
    written: list[bytes] = []
    bench.fw_cfg.add_file("r", b"abc")
    bench.fw_cfg.add_file("w", b"abc", written.append)
    bench.ram.write(0x200, b"XYZ!")
    assert bench.dma(0x0020_0018, 2, 0x200) == 1
    assert bench.dma(0x0021_0018, 2, 0x200) == 0
    assert bench.dma(0x0021_0018, 4, 0x200) == 1
    assert written == [b"XYc"]
    assert bench.get(0x21, 3) == b"XYc"


def test_debug_console() -> None:
    out = bytearray()
    console = DebugConsole(out.append)
    console.write(0, 0x41)
    assert (bytes(out), console.read()) == (b"A", 0xE9)


def test_debug_exit() -> None:
    left: list[int] = []
    port = DebugExit(left.append)
    for value in (0, 1, 0x10):
        port.write(0, value)
    assert left == [1, 3, 0x21]


def test_post_codes() -> None:
    seen: list[int] = []
    port = PostCode(seen.append)
    assert port.read() == 0xFF
    for value in range(20):
        port.write(0, value)
    assert (port.read(), port.codes, seen) == (19, list(range(4, 20)), list(range(20)))
