"""PCI configuration, the i440FX's first megabyte, PIIX3's interrupts, PIIX4's power management."""

from __future__ import annotations

import pytest

from machine.bus import Bus, Window
from machine.devices.i440fx import HostBridge, Shadow
from machine.devices.pci import ConfigPorts, PciBus, PciFunction
from machine.devices.piix import IsaBridge, PowerManagement
from machine.line import Line
from tests.machine.fakes import FakeTime, Recorder, is_up

SECOND = 1_000_000_000


class Bench:
    """A board with the chipset and one card, in slot 3, with ports and memory."""

    def __init__(self) -> None:
        self.time = FakeTime()
        self.told: list[str] = []
        self.ports, self.memory = Bus("ports"), Bus("memory")
        self.pci = PciBus(self.ports, self.memory)
        self.resets: list[bool] = []
        self.config_ports = ConfigPorts(self.pci, self.resets.append)
        self.ports.attach(0xCF8, self.config_ports.ports)
        self.shadows: list[Shadow] = []
        self.smram: list[bool] = []
        self.host = HostBridge(self.shadows.append, self.smram.append)
        self.irqs = [Line() for _ in range(16)]
        self.isa = IsaBridge(self.irqs)
        self.pci.pirqs = self.isa.pirq
        self.sci, self.offs, self.smis = Recorder(), list[int](), list[int]()
        self.pm = PowerManagement(
            self.time.clock,
            self.ports,
            self.sci,
            lambda: self.offs.append(1),
            self.smis.append,
            self.told.append,
        )
        self.ports.attach(0xB2, self.pm.apm)
        self.card = PciFunction(vendor=0x1234, device=0x5678, class_code=0x020000, pin=1)
        self.card.add_bar(0, Window(32, lambda at, _: at, lambda *_: None), 32, is_io=True)
        self.card.add_bar(1, Window(4096, lambda *_: 0x77, lambda *_: None), 4096)
        for slot, number, function in (
            (0, 0, self.host),
            (1, 0, self.isa),
            (1, 3, self.pm),
            (3, 0, self.card),
        ):
            self.pci.add(slot, number, function)

    def select(self, slot: int, number: int, register: int) -> int:
        """Write the address; the port at which its data is."""
        self.ports.write(0xCF8, 1 << 31 | slot << 11 | number << 8 | register & 0xFC, 4)
        return 0xCFC | register & 3

    def get(self, slot: int, number: int, register: int, size: int = 4) -> int:
        return self.ports.read(self.select(slot, number, register), size)

    def put(self, slot: int, number: int, register: int, value: int, size: int = 4) -> None:
        self.ports.write(self.select(slot, number, register), value, size)

    def start_pm(self) -> None:
        self.put(1, 3, 0x40, 0x600)
        self.put(1, 3, 0x80, 1, 1)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_who_is_there(bench: Bench) -> None:
    assert [bench.get(*at, 0) for at in ((0, 0), (1, 0), (1, 3), (3, 0), (2, 0), (3, 1))] == [
        *(0x12378086, 0x70008086, 0x71138086, 0x56781234, 0xFFFFFFFF, 0xFFFFFFFF),
    ]
    assert bench.get(0, 0, 8) == 0x06000002
    assert [bench.get(at, 0, 0x0E, 1) for at in (0, 1, 3)] == [0, 0x80, 0]


def test_nothing_answers_without_the_enable_bit_or_on_another_bus(bench: Bench) -> None:
    for address in (0, 0x80010000):
        bench.ports.write(0xCF8, address, 4)
        assert bench.ports.read(0xCFC, 4) == 0xFFFFFFFF
        assert bench.ports.read(0xCF8, 4) == address


def test_the_address_is_written_whole_only(bench: Bench) -> None:
    bench.ports.write(0xCF8, 0x80000000, 4)
    bench.ports.write(0xCF8, 0xFFFF, 2)
    bench.ports.write(0xCFA, 0xFF, 1)
    assert bench.ports.read(0xCF8, 4) == 0x80000000


def test_configuration_space_by_bytes_and_words(bench: Bench) -> None:
    assert [bench.get(3, 0, at, 1) for at in range(4)] == [0x34, 0x12, 0x78, 0x56]
    assert bench.get(3, 0, 2, 2) == 0x5678
    bench.put(3, 0, 0x3C, 11, 1)
    assert bench.get(3, 0, 0x3C, 2) == 0x010B
    bench.put(3, 0, 0, 0)
    assert bench.get(3, 0, 0) == 0x56781234


def test_the_size_of_a_base_address_register(bench: Bench) -> None:
    for bar, size in ((0x10, 0xFFFFFFE1), (0x14, 0xFFFFF000), (0x18, 0)):
        bench.put(3, 0, bar, 0xFFFFFFFF)
        assert bench.get(3, 0, bar) == size


def test_a_function_is_where_its_registers_say(bench: Bench) -> None:
    bench.put(3, 0, 0x10, 0xC000)
    bench.put(3, 0, 0x14, 0xFEBF0000)
    assert bench.ports.read(0xC005, 1) == 0xFF
    bench.put(3, 0, 4, 3, 2)
    assert bench.ports.read(0xC005, 1) == 5
    assert bench.memory.read(0xFEBF0010, 1) == 0x77
    bench.put(3, 0, 0x10, 0xC100)
    assert (bench.ports.read(0xC005, 1), bench.ports.read(0xC105, 1)) == (0xFF, 5)
    bench.put(3, 0, 4, 0, 2)
    assert bench.ports.read(0xC105, 1) == 0xFF


def test_a_card_does_not_cover_the_board(bench: Bench) -> None:
    bench.put(3, 0, 0x10, 0xCE0)  # up to CFFh
    bench.put(3, 0, 4, 1, 2)
    assert bench.ports.read(0xCE1, 1) == 1
    assert bench.get(3, 0, 0) == 0x56781234


def test_reset_control(bench: Bench) -> None:
    bench.ports.write(0xCF9, 0x02, 1)
    assert bench.resets == []
    bench.ports.write(0xCF9, 0x06, 1)
    bench.ports.write(0xCF9, 0x06, 1)
    assert (bench.resets, bench.ports.read(0xCF9, 1)) == ([True], 6)


def test_two_functions_cannot_be_at_one_place(bench: Bench) -> None:
    with pytest.raises(ValueError, match=r"^PCI: there is a function at 01\.3 already$"):
        bench.pci.add(1, 3, PciFunction(vendor=1, device=1, class_code=0))


def test_pam_says_where_ram_is(bench: Bench) -> None:
    bench.put(0, 0, 0x59, 0x30, 1)
    bench.put(0, 0, 0x5A, 0x12, 1)
    bench.put(0, 0, 0x5F, 0x30, 1)
    assert bench.shadows == [
        Shadow(0xF0000, 0x10000, is_readable=True, is_writable=True),
        Shadow(0xC0000, 0x4000, is_readable=False, is_writable=True),
        Shadow(0xC4000, 0x4000, is_readable=True, is_writable=False),
        Shadow(0xEC000, 0x4000, is_readable=True, is_writable=True),
    ]
    bench.shadows.clear()
    bench.pci.reset()
    assert [(shadow.base, shadow.is_readable) for shadow in bench.shadows] == [
        *((0xF0000, False), (0xC0000, False), (0xC4000, False), (0xEC000, False)),
    ]


def test_smram_can_be_opened_until_it_is_locked(bench: Bench) -> None:
    bench.put(0, 0, 0x72, 0x4A, 1)
    bench.put(0, 0, 0x72, 0x0A, 1)
    assert (bench.smram, bench.host.smram_enabled) == ([True, False], True)
    bench.put(0, 0, 0x72, 0x1A, 1)
    bench.put(0, 0, 0x72, 0x4A, 1)
    assert bench.get(0, 0, 0x72, 1) == 0x1A
    assert bench.smram == [True, False]
    bench.pci.reset()
    assert bench.get(0, 0, 0x72, 1) == 0x02


def test_pirqs_go_where_they_are_routed(bench: Bench) -> None:
    bench.card.intx.set(True)
    assert not any(line.level for line in bench.irqs)
    bench.put(1, 0, 0x62, 0x0B, 1)  # slot 3, INTA#: PIRQC
    assert [n for n, line in enumerate(bench.irqs) if line.level] == [11]
    bench.put(1, 0, 0x62, 0x0A, 1)
    assert [n for n, line in enumerate(bench.irqs) if line.level] == [10]
    bench.put(1, 0, 0x62, 0x8A, 1)
    assert not any(line.level for line in bench.irqs)
    bench.put(1, 0, 0x62, 0x08, 1)  # reserved
    assert not any(line.level for line in bench.irqs)


def test_pirqs_can_share_a_request(bench: Bench) -> None:
    other = PciFunction(vendor=1, device=2, class_code=0, pin=1)
    bench.pci.add(4, 0, other)
    bench.put(1, 0, 0x60, 0x0B0B0B0B)
    bench.card.intx.set(True)
    other.intx.set(True)
    bench.card.intx.set(False)
    assert is_up(bench.irqs[11])
    other.intx.set(False)
    assert not is_up(bench.irqs[11])


def test_power_management_appears_at_its_base(bench: Bench) -> None:
    assert bench.ports.read(0x600, 2) == 0xFFFF
    bench.start_pm()
    assert bench.get(1, 3, 0x40) == 0x601
    assert bench.ports.read(0x600, 2) == 0
    bench.put(1, 3, 0x40, 0xB000)
    assert (bench.ports.read(0x600, 2), bench.ports.read(0xB000, 2)) == (0xFFFF, 0)


def test_the_power_button(bench: Bench) -> None:
    bench.start_pm()
    bench.pm.press_power_button()
    assert not is_up(bench.sci)
    bench.ports.write(0x602, 0x0100, 2)
    assert not is_up(bench.sci)
    bench.ports.write(0xB2, 0xF1, 1)  # ACPI enable
    assert is_up(bench.sci)
    assert bench.ports.read(0x604, 2) == 1
    bench.ports.write(0x601, 0x01, 1)  # by bytes too
    assert not is_up(bench.sci)
    assert bench.smis == [0xF1]


def test_a_dword_covers_status_and_enable(bench: Bench) -> None:
    bench.start_pm()
    bench.ports.write(0x604, 1, 2)
    bench.pm.press_power_button()
    bench.ports.write(0x600, 0x01000000, 4)
    assert bench.ports.read(0x600, 4) == 0x01000100
    assert is_up(bench.sci)
    bench.ports.write(0x603, 0x00, 1)
    assert bench.ports.read(0x602, 2) == 0


def test_the_timer(bench: Bench) -> None:
    bench.start_pm()
    bench.time.pass_(SECOND)
    assert bench.ports.read(0x608, 4) == 3_579_545
    bench.time.pass_(4 * SECOND)
    assert bench.ports.read(0x608, 4) == 5 * 3_579_545 - (1 << 24)


def test_the_timers_carry(bench: Bench) -> None:
    bench.start_pm()
    bench.ports.write(0x602, 1, 2)
    bench.ports.write(0x604, 1, 2)
    bench.time.pass_(2_343_000_000)
    assert not is_up(bench.sci)
    bench.time.pass_(1_000_000)
    assert is_up(bench.sci)
    bench.ports.write(0x600, 1, 2)
    assert not is_up(bench.sci)
    bench.time.pass_(2_344_000_000)
    assert is_up(bench.sci)


def test_power_off_and_what_is_not_modelled(bench: Bench) -> None:
    bench.start_pm()
    bench.ports.write(0x604, 0x2401, 2)
    assert (bench.offs, bench.told) == ([], ["PIIX4: suspend to RAM"])
    bench.ports.write(0x604, 0x2001, 2)
    assert bench.offs == [1]
    assert bench.ports.read(0x604, 2) == 1


def test_reset_takes_power_management_away(bench: Bench) -> None:
    bench.start_pm()
    bench.pci.reset()
    assert bench.ports.read(0x600, 2) == 0xFFFF


@pytest.mark.parametrize("has_smm", [True, False])
def test_apmc_en_says_whether_there_is_anything_to_set_up(has_smm: bool) -> None:
    """DEVACTB of the 82371AB, bit 25."""
    clock = FakeTime().clock
    pm = PowerManagement(clock, Bus("ports"), Line(), lambda: None, has_smm=has_smm)
    assert bool(pm.read_config(0x58, 4) & 1 << 25) is not has_smm
    pm.write_config(0x58, 1 << 25, 4)
    assert pm.read_config(0x58, 4) == 1 << 25
