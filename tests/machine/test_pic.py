"""8259A: the facts of its datasheet, by its headings."""

from __future__ import annotations

import pytest

from machine.devices.pic import Pic, PicPair
from machine.line import Line
from tests.machine.fakes import is_up


def chip(*, icw4: int = 0x01, mask: int = 0) -> Pic:
    """One 8259A alone, initialized for vectors 20h to 27h."""
    pic = Pic(Line())
    for offset, value in ((0, 0x13), (1, 0x20), (1, icw4), (1, mask)):
        pic.write(offset, value)
    return pic


def pair() -> PicPair:
    """A PC's, as its BIOS leaves them: vectors 08h and 70h."""
    pics = PicPair(Line())
    for pic, base, icw3 in ((pics.master, 0x08, 0x04), (pics.slave, 0x70, 0x02)):
        for offset, value in ((0, 0x11), (1, base), (1, icw3), (1, 0x01), (1, 0)):
            pic.write(offset, value)
    return pics


def ask(pic: Pic, *numbers: int) -> None:
    for number in numbers:
        pic.line(number).pulse()


def test_fully_nested_mode() -> None:
    pic = chip()
    ask(pic, 5, 3)
    assert is_up(pic.intr)
    assert pic.acknowledge() == 3
    assert not pic.intr.level  # 5 is less important than what is in service
    ask(pic, 1)
    assert pic.acknowledge() == 1
    assert pic.isr == 0b1010
    pic.write(0, 0x20)
    assert pic.isr == 0b1000
    pic.write(0, 0x20)
    assert pic.acknowledge() == 5


def test_masked_requests_wait() -> None:
    pic = chip(mask=0b10)
    ask(pic, 1)
    assert (pic.intr.level, pic.read(0), pic.read(1)) == (False, 0b10, 0b10)
    pic.write(1, 0)
    assert is_up(pic.intr)


def test_a_request_in_service_can_come_again_after_its_end() -> None:
    pic = chip()
    ask(pic, 4)
    pic.acknowledge()
    ask(pic, 4)
    assert not is_up(pic.intr)
    pic.write(0, 0x64)  # specific EOI
    assert is_up(pic.intr)


def test_reading_irr_and_isr() -> None:
    pic = chip()
    ask(pic, 2, 6)
    pic.acknowledge()
    pic.write(0, 0x0B)
    assert pic.read(0) == 0b100
    assert pic.read(0) == 0b100  # "remembers" the selection
    pic.write(0, 0x0A)
    assert pic.read(0) == 0b1000000


def test_icw1_clears_mask_service_and_edges() -> None:
    pic = chip(mask=0xFF)
    pic.line(3).set(True)
    pic.write(0, 0x13)
    pic.write(1, 0x40)
    pic.write(1, 0x01)
    assert (pic.read(1), pic.read(0), pic.intr.level) == (0, 0, False)
    pic.line(3).set(False)
    pic.line(3).set(True)
    assert pic.vector_base | pic.acknowledge() == 0x43


def test_no_interrupts_during_initialization() -> None:
    pic = chip()
    pic.write(0, 0x13)
    ask(pic, 0)
    assert not is_up(pic.intr)
    pic.write(1, 0x20)
    assert not is_up(pic.intr)
    pic.write(1, 0x01)
    assert is_up(pic.intr)


def test_icw4_is_zero_where_icw1_does_not_ask_for_it() -> None:
    pic = chip(icw4=0x03)
    pic.write(0, 0x12)
    pic.write(1, 0x30)
    pic.write(1, 0xFE)  # a mask already
    ask(pic, 0)
    pic.acknowledge()
    assert (pic.imr, pic.isr) == (0xFE, 1)


def test_automatic_eoi() -> None:
    pic = chip(icw4=0x03)
    ask(pic, 3, 5)
    assert [pic.acknowledge(), pic.acknowledge()] == [3, 5]
    assert pic.isr == 0


def test_automatic_rotation() -> None:
    """Figure A.  Automatic Rotation (Equal Priority Devices): IR4 and IR6 in service."""
    pic = chip()
    ask(pic, 6)
    pic.acknowledge()
    ask(pic, 4)
    pic.acknowledge()
    pic.write(0, 0xA0)  # rotate on non-specific EOI: IR4 becomes the lowest
    assert pic.isr == 0b1000000
    ask(pic, 4, 5)
    assert pic.acknowledge() == 5  # now the highest, above 6, which is in service
    pic.write(0, 0x65)
    pic.write(0, 0x66)
    assert pic.acknowledge() == 4


def test_rotation_in_automatic_eoi() -> None:
    pic = chip(icw4=0x03)
    pic.write(0, 0x80)
    ask(pic, 0)
    pic.acknowledge()
    ask(pic, 0, 1)
    assert [pic.acknowledge(), pic.acknowledge()] == [1, 0]
    pic.write(0, 0x00)  # cleared: no more rotation
    ask(pic, 0)
    pic.acknowledge()
    ask(pic, 0, 1)
    assert pic.acknowledge() == 1  # since IR0 was the last to rotate


def test_specific_rotation() -> None:
    pic = chip()
    pic.write(0, 0xC5)  # IR5 lowest, so IR6 highest
    ask(pic, 5, 6, 0)
    got = []
    for _ in range(3):
        got.append(pic.acknowledge())
        pic.write(0, 0x20)
    assert got == [6, 0, 5]


def test_rotate_on_specific_eoi() -> None:
    pic = chip()
    ask(pic, 2)
    pic.acknowledge()
    pic.write(0, 0xE2)
    ask(pic, 2, 3)
    assert (pic.isr, pic.acknowledge()) == (0, 3)


def test_special_mask_mode() -> None:
    """A masked request in service lets lower ones through."""
    pic = chip()
    ask(pic, 2)
    pic.acknowledge()
    ask(pic, 5)
    assert not is_up(pic.intr)
    pic.write(1, 1 << 2)
    assert not is_up(pic.intr)
    pic.write(0, 0x68)
    assert pic.acknowledge() == 5
    pic.write(0, 0x20)  # non-specific: does not see the masked one
    assert pic.isr == 1 << 2
    pic.write(0, 0x48)
    ask(pic, 5)
    assert not is_up(pic.intr)


def test_poll_command() -> None:
    pic = chip()
    pic.write(0, 0x0C)
    assert pic.read(0) == 0x00
    assert pic.read(0) == 0x00  # IRR again
    ask(pic, 6)
    pic.write(0, 0x0C)
    assert pic.read(0) == 0x86
    assert (pic.isr, pic.intr.level) == (1 << 6, False)


def test_level_sensed_inputs_ask_until_they_are_low() -> None:
    pic = chip()
    pic.set_elcr(0x20)
    pic.line(5).set(True)
    pic.acknowledge()
    pic.write(0, 0x20)
    assert is_up(pic.intr)
    pic.acknowledge()
    pic.line(5).set(False)
    pic.write(0, 0x20)
    assert not is_up(pic.intr)


def test_edge_sensed_inputs_ask_once() -> None:
    pic = chip()
    pic.line(5).set(True)
    pic.acknowledge()
    pic.write(0, 0x20)
    assert not is_up(pic.intr)


def test_default_ir7() -> None:
    pic = chip()
    pic.set_elcr(0x20)
    pic.line(5).set(True)
    pic.line(5).set(False)
    assert (pic.acknowledge(), pic.isr) == (7, 0)


def test_cascade() -> None:
    pics = pair()
    pics.line(12).pulse()
    pics.line(4).pulse()
    assert is_up(pics.master.intr)
    assert pics.acknowledge() == 0x74
    assert (pics.master.isr, pics.slave.isr) == (1 << 2, 1 << 4)
    pics.slave.write(0, 0x20)
    pics.master.write(0, 0x20)
    assert pics.acknowledge() == 0x0C


def test_a_spurious_request_of_the_slave() -> None:
    pics = pair()
    pics.line(14).pulse()
    pics.slave.write(1, 0x40)
    pics.master.line(2).pulse()  # the edge was seen before the mask
    assert pics.acknowledge() == 0x77
    assert (pics.master.isr, pics.slave.isr) == (1 << 2, 0)


def test_a_slave_with_automatic_eoi_asks_for_each() -> None:
    pics = pair()
    for offset, value in ((0, 0x11), (1, 0x70), (1, 0x02), (1, 0x03)):
        pics.slave.write(offset, value)
    pics.line(9).pulse()
    pics.line(10).pulse()
    got = []
    for _ in range(2):
        got.append(pics.acknowledge())
        pics.master.write(0, 0x20)
    assert got == [0x71, 0x72]


def test_special_fully_nested_mode() -> None:
    def nested(icw4: int) -> bool:
        pics = pair()
        for offset, value in ((0, 0x11), (1, 0x08), (1, 0x04), (1, icw4)):
            pics.master.write(offset, value)
        pics.line(13).pulse()
        pics.acknowledge()
        pics.line(9).pulse()  # more important, of the same slave
        return pics.master.intr.level

    assert not nested(0x01)
    assert nested(0x11)


def test_elcr_has_bits_for_some_only() -> None:
    pics = pair()
    pics.elcr.write(0, 0xFF)
    pics.elcr.write(1, 0xFF)
    assert (pics.elcr.read(0), pics.elcr.read(1)) == (0xF8, 0xDE)


def test_irq2_is_nobodys() -> None:
    with pytest.raises(ValueError, match=r"^IRQ2 is where the slave is$"):
        pair().line(2)


def test_what_no_pc_has_is_reported() -> None:
    told: list[str] = []
    pic = Pic(Line(), unimplemented=told.append)
    for offset, value in ((0, 0x1B), (1, 0), (1, 0)):
        pic.write(offset, value)
    assert told == [
        "8259A: ICW1 with LTIM; a PC's inputs go by ELCR",
        "8259A: MCS-80 mode",
    ]
