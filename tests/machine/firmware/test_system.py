"""INT 15h, 1Ah and 14h: memory maps, moves, waits, the mouse, time, serial ports, option ROMs."""

from __future__ import annotations

import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machine.firmware import bda
from machine.firmware.bios import BiosOptions
from machine.firmware.memory_map import memory_map
from tests.machine.firmware.fakes import FakeRegisters, call
from tests.machine.firmware.harness import RAM, Pc

MB = 1 << 20
SMAP = 0x534D4150


@pytest.fixture(scope="module")
def pc() -> Pc:
    """After power-on."""
    made = Pc()
    made.run_until("No bootable device", 200)
    return made


def test_the_memory_map_is_told_range_by_range(pc: Pc) -> None:
    ranges, index = [], 0
    while True:
        made = call(ebx=index, ecx=20, edx=SMAP, di=0x600, ax=0xE820)
        pc.bios.system.call(made)
        assert not made.carry and made.eax == SMAP and made.ecx == 20
        ranges.append(struct.unpack("<QQI", pc.read(0x600, 20)))
        index = made.ebx
        if not index:
            break
    assert ranges[0] == (0, 0x9FC00, 1)
    assert (MB, RAM - MB - 0x4000, 1) in ranges and (RAM - 0x4000, 0x4000, 3) in ranges
    made = call(ebx=99, ecx=20, edx=SMAP, ax=0xE820)
    pc.bios.system.call(made)
    assert made.carry and made.ah == 0x86


@given(st.integers(1, 3584), st.integers(0, 60000))
def test_ranges_do_not_overlap(megabytes: int, above: int) -> None:
    size = 0x4000 if megabytes > 1 else 0
    ranges = sorted(memory_map(megabytes * MB, above * MB, size), key=lambda one: one.start)
    for one, other in pairwise(ranges):
        assert one.start + one.length <= other.start
    usable = sum(one.length for one in ranges if one.use == 1)
    assert usable <= (megabytes + above) * MB


def test_a_block_is_moved_beyond_the_first_megabyte(pc: Pc) -> None:
    def descriptor(base: int) -> bytes:
        return struct.pack("<HHBBBB", 0xFFFF, base & 0xFFFF, base >> 16 & 0xFF, 0x93, 0, base >> 24)

    pc.write(0x5000, b"words!" * 2)
    pc.write(0x610, descriptor(0x5000) + descriptor(2 * MB))
    made = call(ax=0x8700, cx=6, si=0x600)
    pc.bios.system.call(made)
    assert (made.ah, made.carry) == (0, False) and pc.read(2 * MB, 12) == b"words!" * 2


def test_a20(pc: Pc) -> None:
    for ax, level in ((0x2400, False), (0x2401, True)):
        made = call(ax=ax)
        pc.bios.system.call(made)
        assert not made.carry and pc.board.a20.level == level
        state = call(ax=0x2402)
        pc.bios.system.call(state)
        assert state.al == level


def test_waiting_lets_time_pass(pc: Pc) -> None:
    made = call(ax=0x8600, cx=0, dx=50_000)
    pc.bios.system.call(made)
    assert made.not_yet
    pc.time.pass_(49_000_000)
    made.not_yet = False
    pc.bios.system.call(made)
    assert made.not_yet
    pc.time.pass_(2_000_000)
    made.not_yet = False
    pc.bios.system.call(made)
    assert not made.not_yet and not made.carry


def test_an_event_is_flagged_later(pc: Pc) -> None:
    pc.write(0x600, b"\0")
    made = call(ax=0x8300, cx=0, dx=20_000, bx=0x600)
    pc.bios.system.call(made)
    assert not made.carry
    again = call(ax=0x8300, cx=0, dx=20_000, bx=0x600)
    pc.bios.system.call(again)
    assert again.carry, "one at a time"
    pc.time.pass_(19_000_000)
    assert pc.read(0x600, 1) == b"\0"
    pc.time.pass_(2_000_000)
    assert pc.read(0x600, 1) == b"\x80"


@pytest.mark.parametrize("ax", [0x5300, 0x1200, 0xC300, 0xE800, 0xE8FF, 0x24FF])
def test_what_is_not_there(pc: Pc, ax: int) -> None:
    made = call(ax=ax)
    pc.bios.system.call(made)
    assert (made.ah, made.carry) == (0x86, True)


def test_the_configuration_table(pc: Pc) -> None:
    made = call(ax=0xC000)
    pc.bios.system.call(made)
    table = pc.read(16 * made.es + made.bx, 10)
    assert struct.unpack_from("<HB", table) == (8, 0xFC)
    made = call(ax=0xC100)
    pc.bios.system.call(made)
    assert made.es == 0x9FC0 == pc.bios.guest.word(bda.EBDA_SEGMENT)


def test_the_mouse_calls_its_handler(pc: Pc) -> None:
    """The handler writes the packet's first byte to port E9h."""
    handler = bytes.fromhex("55 89e5 8a460c e6e9 8a460a e6e9 8a4608 e6e9 5d cb".replace(" ", ""))
    pc.write(0x6000, handler)
    for registers in (
        {"ax": 0xC207, "bx": 0x6000},
        {"ax": 0xC205, "bx": 0x0300},
        {"ax": 0xC200, "bx": 0x0100},
    ):
        made = call(**registers)
        pc.bios.system.call(made)
        assert (made.ah, made.carry) == (0, False), registers
    pc.text.clear()
    pc.board.mouse.move(5, -3)
    pc.run(200)
    pc.board.mouse.press(1)
    pc.run(200)
    assert pc.text.hex(" ") == "28 05 fd 09 00 00"


# fmt: off
@pytest.mark.parametrize(("registers", "answer"), [
    ({"ax": 0xC200, "bx": 0x0500}, 2),   # neither on nor off
    ({"ax": 0xC202, "bx": 0x0700}, 2),
    ({"ax": 0xC203, "bx": 0x0400}, 2),
    ({"ax": 0xC2FF},               1),
    ({"ax": 0xC204},               0),
    ({"ax": 0xC206},               0),
])  # fmt: skip
def test_mouse_services(pc: Pc, registers: dict[str, int], answer: int) -> None:
    made = call(**registers)
    pc.bios.system.call(made)
    assert (made.ah, made.carry) == (answer, answer != 0)


def test_time_and_date(pc: Pc) -> None:
    def do(**registers: int):  # type: ignore[no-untyped-def]
        made = call(**registers)
        pc.bios.time.call(made)
        assert not made.carry
        return made

    do(ax=0x0300, cx=0x2359, dx=0x5000)
    do(ax=0x0500, cx=0x2026, dx=0x1231)
    assert (got := do(ax=0x0200)).cx == 0x2359 and got.dh == 0x50
    pc.time.pass_(11_000_000_000)
    assert do(ax=0x0200).cx == 0
    assert (got := do(ax=0x0400)).cx == 0x2027 and got.dx == 0x0101
    do(ax=0x0100, cx=0x0018, dx=0x00AF)
    pc.run(400)
    got = do(ax=0x0000)
    assert got.al == 1 and got.cx == 0 and do(ax=0x0000).al == 0


def test_serial_ports(pc: Pc) -> None:
    pc.board.uarts[0].receive(ord("r"))
    made = call(ax=0x0200)
    pc.bios.serial.call(made)
    assert (made.al, made.ah & 0x80) == (ord("r"), 0)
    made = call(ax=0x0200)
    pc.bios.serial.call(made)
    assert made.ah & 0x80
    made = call(ax=0x0141, dx=3)
    pc.bios.serial.call(made)
    assert made.ax == 0x0141, "there is no COM4"


class SmallPc(Pc):
    below_4g = MB


def test_a_machine_with_hardly_any_memory() -> None:
    pc = SmallPc()
    pc.run_until("No bootable device", 200)
    assert b"RSD PTR " not in pc.bios.rom
    made = call(ax=0x8800)
    pc.bios.system.call(made)
    assert (made.ax, made.carry) == (0, False)


def test_an_option_rom_is_run() -> None:
    pc = Pc()
    rom = bytearray(b"\x55\xaa\x01\xb0\x4f\xe6\xe9\xcb".ljust(512, b"\0"))
    rom[-1] = -sum(rom) & 0xFF
    pc.write(0xD0000, bytes(rom))
    pc.write(0xD8000, bytes(rom[:-1]) + b"\xee")  # a bad checksum
    pc.run_until("No bootable device", 200)
    assert pc.text == b"O"


def test_the_reset_that_goes_on_elsewhere() -> None:
    """CMOS shutdown status 0Ah: the processor was reset to leave protected mode."""
    pc = Pc()
    pc.write(0x5000, bytes.fromhex("b052 e6e9 f4 ebfd".replace(" ", "")))
    pc.write(bda.RESUME, struct.pack("<HH", 0x5000, 0))
    pc.board.ports.write(0x70, 0x8F, 1)
    pc.board.ports.write(0x71, 0x0A, 1)
    pc.run(3)
    assert pc.text == b"R"


def test_text_and_keys_by_the_serial_port() -> None:
    """-nographic: what INT 10h writes goes out, what is typed comes in by INT 16h."""
    pc = Pc(options=BiosOptions(serial_console=True))
    pc.run_until("No bootable device", 200)
    text = pc.serial.decode()
    assert text.startswith("\x1b[0m\x1b[2J\x1b[Hqemupy BIOS\r\n")
    assert text.endswith("No bootable device.")
    pc.serial.clear()
    screen = pc.bios.video.screen
    screen.write(0, 9, 70, ord("x"), 0x1E, 2)
    assert pc.serial == b"\x1b[10;71H\x1b[0;1;33;44mxx"
    pc.serial.clear()
    screen.scroll(1, 7, 0, 0, 24, 79, 0)
    screen.scroll(0, 7, 0, 0, 24, 79, 0)
    assert pc.serial == b"\x1b[999;1H\n\x1b[0m\x1b[2J\x1b[H"
    for value in b"aZ\r\x1b[A\x1b[5~":
        pc.board.uarts[0].receive(value)
    keys = []
    for _ in range(5):
        made = call(ax=0x1000)
        pc.bios.keyboard.call(made)
        keys.append(f"{made.ax:04x}")
    assert keys == ["1e61", "2c5a", "1c0d", "48e0", "49e0"]
    pc.board.ports.write(0x3F9, 1, 1)
    pc.serial.clear()
    screen.write(0, 1, 1, ord("x"), 7, 1)
    assert not pc.serial, "a driver has taken it"


def test_where_no_page_is_nothing_is_read_or_written() -> None:
    """Virtual-8086 mode: addresses are translated, and a missing page does no harm."""
    from tcg.system import PageFault

    def translate(linear: int) -> int:
        if linear >> 12 == 0x90:
            raise PageFault(linear, 4)
        return linear ^ 0x2000 if linear >> 12 in {0x10, 0x12} else linear

    pc = Pc()
    pc.bios._translate = translate
    registers = FakeRegisters(cr0=1 << 31, eflags=0x20202, eax=0xC000)
    pc.bios._registers = registers
    pc.write(0x12000, b"moved")
    pc.bios.write(3, 0)
    assert pc.bios.guest.read(0x10000, 5) == b"moved"
    assert pc.bios.guest.read(0x8FFFE, 4)[2:] == b"\xff\xff"
    pc.bios.guest.write(0x90000, b"lost")
    registers["cr0"] = 0
    pc.bios.write(3, 0)
    assert pc.bios.guest.read(0x90000, 4) == bytes(4)
