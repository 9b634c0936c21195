"""The PIIX3's IDE controller: two cables at the ports of the AT, and bus master DMA.

Sources: T13 1410D (ATA/ATAPI-6), chapter 7 (registers), section 9.2 (software reset); Intel,
"82371SB (PIIX3)", order 290550, section 2.5 (PCI function 1) and 3.5.

Ports and interrupts are those of compatibility mode, always decoded. Not modelled: the timing
registers, which are memory; a cable without drives reads as zeros, as QEMU's does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from machine.bus import Bus, Memory, Unimplemented, Window, ignore
from machine.clock import Clock
from machine.devices.ata import Disk
from machine.devices.atapi import CdRom
from machine.devices.bus_master import BusMaster
from machine.devices.ide_unit import BSY, COMMAND, DATA, DEVICE, DRQ, PASSED, STATUS, Unit
from machine.devices.pci import STATUS as PCI_STATUS
from machine.devices.pci import PciFunction
from machine.drive import Drive
from machine.line import Line

COMMAND_PORTS, CONTROL_PORTS = (0x1F0, 0x170), (0x3F6, 0x376)

NO_INTERRUPT, SOFT_RESET, HIGH_ORDER = 0x02, 0x04, 0x80
"""Of the device control register."""

DEVICE_RESET, DIAGNOSTIC = 0x08, 0x90
IDE_TIMING = 0x40


class Cable:
    """Two drives at most, of which the device register selects one; both see what is written."""

    length = 8
    width = 4

    def __init__(
        self, units: Mapping[int, Unit], irq: Line, master: BusMaster, unimplemented: Unimplemented
    ) -> None:
        self.units = dict(units)
        self.master = master
        self.control = Window(1, self._read_control, self._write_control)
        self._irq = irq
        self._unimplemented = unimplemented
        self._device_control = 0
        self._number = 0
        for unit in self.units.values():
            unit.changed = self._drive_irq
            unit.dma_ready = self._announce(unit)

    def reset(self) -> None:
        """RESET-."""
        self._device_control = 0
        self._number = 0
        for unit in self.units.values():
            unit.reset()
        self._drive_irq()

    @property
    def selected(self) -> Unit | None:
        return self.units.get(self._number)

    # The command block

    def read(self, offset: int, size: int = 1) -> int:
        unit = self.selected
        if unit is None:
            return 0
        if offset == DATA:
            if size == 1:
                self._unimplemented("IDE: a byte of the data register")
                return 0xFF
            return int.from_bytes(unit.read_data(size), "little")
        if size > 1:
            parts = (self.read(offset + at) << 8 * at for at in range(min(size, 8 - offset)))
            return sum(parts)
        unit.look()
        if offset == STATUS:
            unit.set_irq(False)
            return unit.status
        return unit.read_register(offset, bool(self._device_control & HIGH_ORDER))

    def write(self, offset: int, value: int, size: int = 1) -> None:
        if offset == DATA:
            if size > 1 and (unit := self.selected) is not None:
                unit.write_data(value.to_bytes(size, "little"))
            return
        for at in range(min(size, 8 - offset)):
            self._write_byte(offset + at, value >> 8 * at & 0xFF)

    def read_block(self, offset: int, count: int, size: int) -> bytes:
        if offset == DATA and size > 1 and (unit := self.selected) is not None:
            return unit.read_data(count * size)
        reads = (self.read(offset, size) for _ in range(count))
        return b"".join(value.to_bytes(size, "little") for value in reads)

    def write_block(self, offset: int, data: bytes, size: int) -> None:
        if offset == DATA and size > 1:
            if (unit := self.selected) is not None:
                unit.write_data(data)
            return
        for at in range(0, len(data), size):
            self.write(offset, int.from_bytes(data[at : at + size], "little"), size)

    def _write_byte(self, register: int, value: int) -> None:
        self._device_control &= ~HIGH_ORDER
        if register == COMMAND:
            self._command(value)
            return
        selected = self.selected
        if selected is not None:
            selected.look()
            if selected.status & (BSY | DRQ):
                return
        for unit in self.units.values():
            unit.write_register(register, value)
        if register == DEVICE:
            self._number = value >> 4 & 1
            self._drive_irq()

    def _command(self, code: int) -> None:
        unit = self.selected
        if code == DIAGNOSTIC and self.units:
            self._diagnose()
            return
        if unit is None:
            return
        unit.look()
        if unit.status & (BSY | DRQ) and code != DEVICE_RESET:
            return
        unit.set_irq(False)
        unit.command(code)

    def _diagnose(self) -> None:
        """EXECUTE DEVICE DIAGNOSTIC: both drives, whichever is selected; device 0 answers."""
        self._sign()
        first = self.units.get(0)
        if first is not None:
            first.set_irq(True)

    def _sign(self) -> None:
        self._number = 0
        for unit in self.units.values():
            unit.sign()
            unit.error = PASSED
        self._drive_irq()

    # The control block

    def _read_control(self, _offset: int, _size: int) -> int:
        """Return the alternate status: the interrupt stays."""
        unit = self.selected
        if unit is None:
            return 0
        unit.look()
        return unit.status

    def _write_control(self, _offset: int, value: int, _size: int) -> None:
        before, self._device_control = self._device_control, value
        if value & ~before & SOFT_RESET:
            self._sign()
            for unit in self.units.values():
                unit.status = BSY
        elif before & ~value & SOFT_RESET:
            self._sign()
        self._drive_irq()

    # Interrupts and DMA

    def _announce(self, unit: Unit) -> Callable[[], None]:
        return lambda: self.master.ready(unit)

    def _drive_irq(self) -> None:
        unit = self.selected
        level = unit is not None and unit.irq and not self._device_control & NO_INTERRUPT
        if level and not self._irq.level:
            self.master.interrupt()
        self._irq.set(level)


class Ide(PciFunction):
    """Function 00:01.1. `drives` are numbered 0 and 1 on the first cable, 2 and 3 on the second.

    A drive that is a CD-ROM's gets the packet commands.
    """

    def __init__(
        self,
        clock: Clock,
        memory: Memory,
        irqs: tuple[Line, Line],
        drives: Mapping[int, Drive],
        unimplemented: Unimplemented = ignore,
    ) -> None:
        super().__init__(vendor=0x8086, device=0x7010, class_code=0x010180)
        self.cables: list[Cable] = []
        for number, irq in enumerate(irqs):
            units: dict[int, Unit] = {}
            for place in (0, 1):
                if (drive := drives.get(2 * number + place)) is not None:
                    kind = CdRom if drive.is_cd else Disk
                    units[place] = kind(clock, drive, place, unimplemented)
            self.cables.append(Cable(units, irq, BusMaster(memory), unimplemented))
        self.bus_master = Window(16, self._read_master, self._write_master, width=4)
        self.add_bar(4, self.bus_master, 16, is_io=True)
        self.allow(IDE_TIMING, b"\xff\xff\xff\xff\xff")
        self.reset()

    def reset(self) -> None:
        super().reset()
        self.config[PCI_STATUS : PCI_STATUS + 2] = b"\x80\x02"
        self.config[IDE_TIMING : IDE_TIMING + 5] = bytes(5)
        for cable in self.cables:
            cable.reset()
            cable.master.reset()

    def attach(self, ports: Bus) -> None:
        """Answer at the ports of the AT."""
        for cable, command, control in zip(self.cables, COMMAND_PORTS, CONTROL_PORTS, strict=True):
            ports.attach(command, cable)
            ports.attach(control, cable.control)

    def _read_master(self, offset: int, size: int) -> int:
        parts = range(min(size, 16 - offset))
        return sum(
            self.cables[offset + at >> 3].master.read(offset + at & 7) << 8 * at for at in parts
        )

    def _write_master(self, offset: int, value: int, size: int) -> None:
        for at in range(min(size, 16 - offset)):
            self.cables[offset + at >> 3].master.write(offset + at & 7, value >> 8 * at & 0xFF)
