"""Buses: who answers, how wide accesses are taken apart, what nobody answers."""

from __future__ import annotations

import pytest

from machine.bus import Bus, Window


class Memo:
    """Registers that answer with their offset and keep what is written."""

    def __init__(self, length: int, width: int, tag: int = 0) -> None:
        self.length = length
        self.width = width
        self.tag = tag
        self.seen: list[tuple[int, int, int]] = []

    def read(self, offset: int, size: int = 1) -> int:
        self.seen.append((offset, size, -1))
        return sum((self.tag + offset + i) << 8 * i for i in range(size))

    def write(self, offset: int, value: int, size: int = 1) -> None:
        self.seen.append((offset, size, value))


def test_what_nobody_answers_is_all_ones_and_reported() -> None:
    told: list[str] = []
    bus = Bus("ports", told.append)
    assert [bus.read(0x1234, size) for size in (1, 2, 4)] == [0xFF, 0xFFFF, 0xFFFFFFFF]
    bus.write(0x99, 0x12, 1)
    assert told == [
        "ports: read of 1 at 0x1234, where nothing is",
        "ports: read of 2 at 0x1234, where nothing is",
        "ports: read of 4 at 0x1234, where nothing is",
        "ports: write of 0x12 (1) at 0x99, where nothing is",
    ]


def test_a_wide_access_to_a_narrow_device_is_several() -> None:
    bus, device = Bus("ports"), Memo(8, 1)
    bus.attach(0x100, device)
    assert bus.read(0x102, 4) == 0x05040302
    bus.write(0x100, 0xBBAA, 2)
    assert device.seen[4:] == [(0, 1, 0xAA), (1, 1, 0xBB)]


def test_an_access_over_the_end_of_a_device_reads_ones_there() -> None:
    bus, device = Bus("ports"), Memo(2, 4)
    bus.attach(0x100, device)
    assert bus.read(0x101, 2) == 0xFF01
    assert bus.read(0xFF, 2) == 0x00FF
    bus.write(0x101, 0xBBAA, 2)
    assert device.seen[-1] == (1, 1, 0xAA)


def test_neighbours_share_a_wide_access() -> None:
    bus = Bus("ports")
    bus.attach(0x100, Memo(1, 1, tag=0x10))
    bus.attach(0x101, Memo(1, 1, tag=0x20))
    assert bus.read(0x100, 2) == 0x2010


def test_two_devices_at_one_address_are_a_mistake() -> None:
    bus = Bus("ports")
    bus.attach(0x20, Memo(4, 1))
    with pytest.raises(ValueError, match=r"^ports: 0x23\.\.0x24 overlaps 0x20\.\.0x23$"):
        bus.attach(0x23, Memo(2, 1))


def test_what_stands_behind_answers_where_nothing_is_in_front() -> None:
    bus = Bus("memory")
    front, back = Memo(0x10, 4, tag=0x80), Memo(0x100, 4)
    attached = bus.attach(0x1010, front)
    bus.attach(0x1000, back, behind=True)
    assert [bus.read(at, 1) for at in (0x100F, 0x1010, 0x101F, 0x1020)] == [0x0F, 0x80, 0x8F, 0x20]
    bus.detach(attached)
    assert bus.read(0x1010, 1) == 0x10


def test_a_value_is_cut_to_its_size() -> None:
    bus, device = Bus("ports"), Memo(4, 4)
    bus.attach(0, device)
    bus.write(0, 0x1FF, 1)
    assert device.seen == [(0, 1, 0xFF)]


def test_a_window_is_a_device() -> None:
    bus, seen = Bus("ports"), list[tuple[int, int, int]]()
    window = Window(2, lambda offset, size: offset + 5, lambda *args: seen.append(args))
    bus.attach(0x4D0, window)
    bus.write(0x4D1, 7, 1)
    assert (bus.read(0x4D1, 1), seen) == (6, [(1, 7, 1)])
