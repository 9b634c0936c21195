"""Descriptors, and what GS points to."""

from __future__ import annotations

import errno
import struct
from typing import Any

import pytest

from user_mode.abi.x86.segments import (
    GS,
    IN_PAGES,
    READ_EXEC_ONLY,
    SEG_32BIT,
    USEABLE,
    BadSelector,
    UserDesc,
    base_of,
    descriptor,
    user_desc,
)
from user_mode.errors import Errno

DATA = SEG_32BIT | IN_PAGES | USEABLE
ANY = 0xFFFFFFFF
FIRST_SELECTOR = 12 << 3 | 3


def area(base: int, entry: int = ANY, flags: int = DATA) -> bytes:
    return UserDesc(entry, base, 0xFFFFF, flags).pack()


def load(guest: Any, selector: int, number: int = GS) -> int:
    """Load a segment register; gives GS's base."""
    guest.cpu.set(guest.state.selectors.slots[number], selector)
    guest.abi.segments.load(guest.cpu, number)
    base: int = guest.cpu.get(guest.state.layout.slots["gs_base"])
    return base


def test_a_descriptor_has_the_manual_s_form() -> None:
    """SDM vol. 3, figure 3-8: base, limit, G D AVL, P DPL S, type."""
    assert descriptor(UserDesc(12, 0x12345678, 0xABCDE, DATA)) == 0x12DAF334_5678BCDE
    assert base_of(0x12DAF334_5678BCDE) == 0x12345678


@pytest.mark.parametrize("flags", range(0x80))
def test_a_descriptor_tells_what_it_was_made_of(flags: int) -> None:
    made = UserDesc(13, 0x89ABCDEF, 0x54321, flags)
    assert user_desc(13, descriptor(made)) == made


def test_areas_are_given_out_one_after_another(guest: Any) -> None:
    for entry in (12, 13, 14):
        place = guest.put(area(0x1000 * entry))
        assert guest.set_thread_area(place) == 0
        assert guest.memory.u32(place) == entry
        assert load(guest, entry << 3 | 3) == 0x1000 * entry
    with pytest.raises(Errno) as caught:
        guest.set_thread_area(guest.put(area(0x5000)))
    assert caught.value.code == errno.ESRCH
    place = guest.put(struct.pack("<I12x", 13))
    guest.get_thread_area(place)
    assert guest.memory.read(place, 16) == area(0x1000 * 13, 13)


def test_a_loaded_register_follows_its_descriptor(guest: Any) -> None:
    place = guest.put(area(0x1000))
    guest.set_thread_area(place)
    load(guest, FIRST_SELECTOR)
    guest.set_thread_area(guest.put(area(0x2000, 12)))
    assert guest.cpu.get(guest.state.layout.slots["gs_base"]) == 0x2000
    guest.set_thread_area(guest.put(UserDesc(12, 0, 0, READ_EXEC_ONLY | 32).pack()))
    assert guest.cpu.get(guest.state.selectors.slots[GS]) == 0, "its entry is gone"


@pytest.mark.parametrize(
    ("entry", "flags"), [(11, DATA), (15, DATA), (12, IN_PAGES), (12, DATA | 4), (12, DATA | 32)]
)
def test_areas_that_are_refused(guest: Any, entry: int, flags: int) -> None:
    with pytest.raises(Errno) as caught:
        guest.set_thread_area(guest.put(area(0x1000, entry, flags)))
    assert caught.value.code == errno.EINVAL


@pytest.mark.parametrize("selector", [FIRST_SELECTOR, 8, 0x7, 0xFFFF])
def test_selectors_of_nothing_fault(guest: Any, selector: int) -> None:
    with pytest.raises(BadSelector):
        load(guest, selector)


@pytest.mark.parametrize("selector", [0, 3, 0x23, 0x2B])
def test_flat_segments(guest: Any, selector: int) -> None:
    assert load(guest, selector) == 0


def test_the_stack_takes_writable_data_only(guest: Any) -> None:
    load(guest, 0x2B, number=2)
    for selector in (0, 0x23):
        with pytest.raises(BadSelector):
            load(guest, selector, number=2)


def test_a_local_descriptor_table(guest: Any) -> None:
    assert guest.modify_ldt(0x11, guest.put(area(0x3000, 5)), 16) == 0
    assert load(guest, 5 << 3 | 7) == 0x3000
    place = guest.room(64)
    assert guest.modify_ldt(0, place, 64) == 64
    expected = bytes(40) + struct.pack("<Q", descriptor(UserDesc(5, 0x3000, 0xFFFFF, DATA)))
    assert guest.memory.read(place, 64) == expected.ljust(64, b"\0")
    with pytest.raises(Errno) as caught:
        guest.modify_ldt(0x11, guest.put(area(0, 8192)), 16)
    assert caught.value.code == errno.EINVAL
    with pytest.raises(Errno) as caught:
        guest.modify_ldt(3, place, 16)
    assert caught.value.code == errno.ENOSYS


def test_a_new_thread_has_its_own_area(guest: Any) -> None:
    guest.set_thread_area(guest.put(area(0x1000)))
    load(guest, FIRST_SELECTOR)
    child = guest.new_cpu()
    guest.abi.start_thread(child, guest.cpu, 0x5000, guest.put(area(0x2000, 12)))
    slot = guest.state.layout.slots["gs_base"]
    assert (child.get(slot), guest.cpu.get(slot)) == (0x2000, 0x1000)
    assert guest.abi.stack_pointer(child) == 0x5000
    with pytest.raises(Errno):
        guest.abi.start_thread(child, guest.cpu, 0x5000, 0x10)
