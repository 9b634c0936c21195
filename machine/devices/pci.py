"""PCI: functions with their configuration space, and the bus they are on.

Sources: PCI Local Bus Specification 2.1, chapter 6 (configuration space) and 3.7.4.1
(configuration mechanism #1). Not modelled: bridges to other buses, 64-bit base address registers,
parity and other errors, capabilities.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

from machine.bus import Attachment, Bus, Device, Window
from machine.line import Line

# fmt: off
VENDOR, DEVICE, COMMAND, STATUS, REVISION, CLASS = 0x00, 0x02, 0x04, 0x06, 0x08, 0x09
HEADER_TYPE, BARS, SUBSYSTEM_VENDOR, SUBSYSTEM   = 0x0E, 0x10, 0x2C, 0x2E
EXPANSION_ROM, INTERRUPT_LINE, INTERRUPT_PIN     = 0x30, 0x3C, 0x3D
# fmt: on

IO_SPACE, MEMORY_SPACE, BUS_MASTER = 0x01, 0x02, 0x04
MULTIFUNCTION = 0x80
PREFETCHABLE = 0x08
ROM_ENABLED = 0x01

ROM = 6
"""The number of the expansion ROM's base address register."""


@dataclass(slots=True)
class Bar:
    """A base address register: which device is there, in which space, and where it is now.

    `moved` is told where its memory begins from now on, or None if nowhere.
    """

    device: Device
    is_io: bool
    size: int
    moved: Callable[[int | None], None] = lambda address: None
    attached: Attachment | None = None


class PciFunction:
    """256 bytes of configuration space, of which a mask says what can be written.

    Subclasses make further bytes writable by `allow`, and look at changes in `config_changed`.
    `intx` is the interrupt pin, connected when the function is put on a bus.
    """

    def __init__(
        self,
        *,
        vendor: int,
        device: int,
        class_code: int,
        revision: int = 0,
        pin: int = 0,
        is_multifunction: bool = False,
    ) -> None:
        self.config = bytearray(256)
        self._writable = bytearray(256)
        self._clearable = bytearray(256)
        self.bars: dict[int, Bar] = {}
        self.intx = Line()
        self.moved: Callable[[], None] = lambda: None
        """Is called when a base address register or the command register was written."""
        struct.pack_into("<HH", self.config, VENDOR, vendor, device)
        struct.pack_into("<I", self.config, REVISION, class_code << 8 | revision)
        struct.pack_into("<HH", self.config, SUBSYSTEM_VENDOR, 0x1AF4, 0x1100)
        self.config[HEADER_TYPE] = MULTIFUNCTION if is_multifunction else 0
        self.config[INTERRUPT_PIN] = pin
        self.allow(COMMAND, b"\x07\x04")
        self.allow(INTERRUPT_LINE, b"\xff")

    def reset(self) -> None:
        """RST#: decoding is off."""
        self.write_config(COMMAND, 0, 2)
        self.config[INTERRUPT_LINE] = 0
        self.intx.set(False)

    def allow(self, offset: int, mask: bytes) -> None:
        """Let a guest write the bits of `mask`."""
        self._writable[offset : offset + len(mask)] = mask

    def allow_clearing(self, offset: int, mask: bytes) -> None:
        """Let a guest clear the bits of `mask` by writing ones."""
        self._clearable[offset : offset + len(mask)] = mask

    def add_bar(
        self,
        number: int,
        device: Device,
        size: int,
        *,
        is_io: bool = False,
        is_prefetchable: bool = False,
        moved: Callable[[int | None], None] = lambda address: None,
    ) -> None:
        """Give it a base address register; `size` is a power of two. ROM is the expansion ROM's."""
        at = _bar_register(number)
        self.config[at] = 1 if is_io else PREFETCHABLE if is_prefetchable else 0
        writable = -size & 0xFFFFFFFF & (~3 if is_io else ~15)
        if number == ROM:
            writable |= ROM_ENABLED
        self.allow(at, writable.to_bytes(4, "little"))
        self.bars[number] = Bar(device, is_io, size, moved)

    def read_config(self, offset: int, size: int) -> int:
        return int.from_bytes(self.config[offset : offset + size], "little")

    def write_config(self, offset: int, value: int, size: int) -> None:
        """Write what can be written there."""
        for at in range(offset, min(offset + size, 256)):
            byte, mask = value & 0xFF, self._writable[at]
            kept = self.config[at] & ~(byte & self._clearable[at])
            self.config[at] = kept & ~mask | byte & mask
            value >>= 8
        self.config_changed(offset, size)
        if offset < EXPANSION_ROM + 4 and offset + size > COMMAND:
            self.moved()

    def config_changed(self, offset: int, size: int) -> None:
        """Bytes of configuration space were written."""

    @property
    def command(self) -> int:
        return self.read_config(COMMAND, 2)

    def bar_address(self, number: int) -> int | None:
        """Where it is, if it is to be decoded at all.

        A register of all ones, as it is while a guest asks for its size, is nowhere.
        """
        bar = self.bars[number]
        if not self.command & (IO_SPACE if bar.is_io else MEMORY_SPACE):
            return None
        register = self.read_config(_bar_register(number), 4)
        if number == ROM and not register & ROM_ENABLED:
            return None
        address = register & -bar.size
        return None if address in {0, -bar.size & 0xFFFF_FFFF} else address


def _bar_register(number: int) -> int:
    return EXPANSION_ROM if number == ROM else BARS + 4 * number


class PciBus:
    """Bus 0: functions by slot and number, attached where their base address registers say.

    Its interrupt pins go to four lines, `pirqs`, turned by one with each slot as on QEMU's boards.
    """

    def __init__(self, ports: Bus, memory: Bus) -> None:
        self._spaces = {True: ports, False: memory}
        self.functions: dict[tuple[int, int], PciFunction] = {}
        self.pirqs: Callable[[int, int], None] = lambda number, count: None
        """Is told how many sources hold PIRQA to PIRQD down."""
        self._asking = [0, 0, 0, 0]

    def add(self, slot: int, number: int, function: PciFunction) -> None:
        """Put a function on the bus."""
        if (slot, number) in self.functions:
            raise ValueError(f"PCI: there is a function at {slot:02x}.{number} already")
        self.functions[slot, number] = function
        function.moved = lambda: self._map(function)
        if pin := function.config[INTERRUPT_PIN]:
            pirq = slot - 1 + pin - 1 & 3
            function.intx.changed = lambda level: self._intx(pirq, level)

    def reset(self) -> None:
        for function in self.functions.values():
            function.reset()

    def function(self, bus: int, slot: int, number: int) -> PciFunction | None:
        """What answers a configuration cycle. Numbers above 0 are there if 0 says so."""
        return self.functions.get((slot, number)) if bus == 0 else None

    def _intx(self, pirq: int, level: bool) -> None:
        self._asking[pirq] += 1 if level else -1
        self.pirqs(pirq, self._asking[pirq])

    def _map(self, function: PciFunction) -> None:
        for number, bar in function.bars.items():
            address = function.bar_address(number)
            if address == (bar.attached.base if bar.attached is not None else None):
                continue
            space = self._spaces[bar.is_io]
            if bar.attached is not None:
                space.detach(bar.attached)
                bar.attached = None
            if address is not None:
                bar.attached = space.attach(address, bar.device, behind=True)
            bar.moved(address)


class ConfigPorts:
    """Configuration mechanism #1 at CF8h, and the reset control register inside it at CF9h.

    A write of four bytes to CF8h is an address; narrower ones there are ordinary port accesses, of
    which the PIIX answers CF9h: a rising bit 2 resets, everything if bit 1 is set, else the
    processor only (82371AB, section 4.2.5.4).
    """

    def __init__(self, bus: PciBus, reset: Callable[[bool], None]) -> None:
        self._bus = bus
        self._reset_machine = reset
        self.ports = Window(8, self._read, self._write, width=4)
        self.reset()

    def reset(self) -> None:
        self._address = 0
        self._reset_control = 0

    def _read(self, offset: int, size: int) -> int:
        if offset >= 4:
            function = self._target()
            if function is None:
                return (1 << 8 * size) - 1
            return function.read_config(self._address & 0xFC | offset - 4, size)
        if offset == 0 and size == 4:
            return self._address
        return self._reset_control if (offset, size) == (1, 1) else (1 << 8 * size) - 1

    def _write(self, offset: int, value: int, size: int) -> None:
        if offset >= 4:
            function = self._target()
            if function is not None:
                function.write_config(self._address & 0xFC | offset - 4, value, size)
        elif offset == 0 and size == 4:
            self._address = value & 0x80FF_FFFC
        elif (offset, size) == (1, 1):
            rises = value & ~self._reset_control & 4
            self._reset_control = value & 6
            if rises:
                self._reset_machine(bool(value & 2))

    def _target(self) -> PciFunction | None:
        address = self._address
        if not address >> 31:
            return None
        return self._bus.function(address >> 16 & 0xFF, address >> 11 & 0x1F, address >> 8 & 7)
