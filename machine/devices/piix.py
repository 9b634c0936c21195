"""The PIIX: the ISA bridge with its interrupt routing, and power management as ACPI has it.

Sources: Intel, "82371FB (PIIX) and 82371SB (PIIX3)", order 290550, section 2.2.15 (PIRQRC); Intel,
"82371AB PCI-TO-ISA / IDE XCELERATOR (PIIX4)", order 290562, chapter 7 (power management); ACPI
specification 1.0, chapter 4. As in QEMU's machine the ISA bridge is a PIIX3 and function 3 is a
PIIX4's.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

from machine.bus import Attachment, Bus, Unimplemented, Window, ignore
from machine.clock import SECOND, Clock
from machine.devices.pci import COMMAND, PciFunction
from machine.line import Line

PIRQ_ROUTES = 0x60
NOT_ROUTED = 0x80
PIRQ_TO_IRQ = frozenset({3, 4, 5, 6, 7, 9, 10, 11, 12, 14, 15})


class IsaBridge(PciFunction):
    """Function 00:01.0: PIRQA to PIRQD go to the interrupt requests that their registers name.

    `irqs` are sources of the sixteen requests, None where there is none. Not modelled: the X-bus
    chip selects, the APIC's, and SMI generation; their registers are memory.
    """

    def __init__(self, irqs: Sequence[Line | None]) -> None:
        super().__init__(vendor=0x8086, device=0x7000, class_code=0x060100, is_multifunction=True)
        self._irqs = irqs
        self._asking = [0, 0, 0, 0]
        self.allow(0x4C, b"\xff" * 0x14)
        self.allow(PIRQ_ROUTES, b"\x8f" * 4)
        self.allow(0x69, b"\xff" * 0x47)
        self.reset()

    def reset(self) -> None:
        super().reset()
        self.config[PIRQ_ROUTES : PIRQ_ROUTES + 4] = bytes((NOT_ROUTED,)) * 4
        self.config[COMMAND] = 0x07  # the bridge always decodes
        self.config[0x4C:0x50] = bytes.fromhex("4d000300")
        self._drive()

    def pirq(self, number: int, asking: int) -> None:
        """So many functions hold a PIRQ down."""
        self._asking[number] = asking
        self._drive()

    def config_changed(self, offset: int, size: int) -> None:
        self._drive()

    def _drive(self) -> None:
        wanted = {
            self.config[PIRQ_ROUTES + number]
            for number, asking in enumerate(self._asking)
            if asking and self.config[PIRQ_ROUTES + number] in PIRQ_TO_IRQ
        }
        for irq in PIRQ_TO_IRQ:
            if (line := self._irqs[irq]) is not None:
                line.set(irq in wanted)


PM_BASE, DEVICE_ACTIVITY_B, PM_ENABLE, SMBUS_BASE = 0x40, 0x58, 0x80, 0x90
APMC_ENABLED = 0x02  # in the highest byte of DEVACTB

TIMER_STATUS, GLOBAL_STATUS, POWER_BUTTON, RTC_STATUS = 0x0001, 0x0020, 0x0100, 0x0400
ENABLE_BITS = TIMER_STATUS | GLOBAL_STATUS | POWER_BUTTON | 0x0200 | RTC_STATUS
STATUS_BITS = ENABLE_BITS | 0x8010  # and who woke it, and a bus master's request

SCI_ENABLED, SLEEP_ENABLE = 0x0001, 0x2000
SOFT_OFF, SUSPEND_TO_RAM = 0, 1

TIMER_HZ = 3_579_545
HALF = 1 << 23
"""The timer has 24 bits; the highest sets its status whenever it changes."""

ACPI_ENABLE, ACPI_DISABLE = 0xF1, 0xF0
"""What the FADT tells an operating system to write to the SMI command port."""


class PowerManagement(PciFunction):
    """Function 00:01.3: the ACPI registers, which appear at PMBASE, and the SMI command port.

    `power_off` ends the machine. Without `has_smm` APMC_EN is set from the beginning, from which
    SeaBIOS concludes that system management mode is set up already, and leaves it alone. Writing to
    the SMI command port (`apm`, at B2h) switches ACPI on and off as a BIOS's SMI handler would,
    then `smi` is called.

    Not modelled: SMBus (its base can be written), sleep states other than power off, throttling,
    device monitors, GPEs other than their registers (`gpe`, at AFE0h).
    """

    def __init__(
        self,
        clock: Clock,
        ports: Bus,
        sci: Line,
        power_off: Callable[[], None],
        smi: Callable[[int], None] = lambda _: None,
        unimplemented: Unimplemented = ignore,
        *,
        has_smm: bool = True,
    ) -> None:
        super().__init__(vendor=0x8086, device=0x7113, class_code=0x068000, revision=3, pin=1)
        self._clock = clock
        self._ports = ports
        self._sci = sci
        self._power_off = power_off
        self._smi = smi
        self._unimplemented = unimplemented
        self._timer = clock.timer(self._timer_carry)
        self._has_smm = has_smm
        self._attached: Attachment | None = None
        self.registers = Window(64, self._read, self._write, width=4)
        self.apm = Window(2, self._read_apm, self._write_apm)
        self.gpe = Window(4, self._read_gpe, self._write_gpe)
        self.allow(PM_BASE, b"\xc0\xff")
        self.allow(PM_ENABLE, b"\x01")
        self.allow(0x54, b"\xff" * 0x28)
        self.allow(SMBUS_BASE, b"\xf0\xff")
        self.allow(0xD2, b"\x0f")
        self.reset()

    def reset(self) -> None:
        super().reset()
        self._status = 0
        self._enable = 0
        self._control = 0
        self._apm = bytearray(2)
        self._gpe = bytearray(4)
        self._halves_seen = self._timer_halves()
        self.config[PM_BASE : PM_BASE + 4] = b"\1\0\0\0"
        self.config[PM_ENABLE] = 0
        self.config[DEVICE_ACTIVITY_B : DEVICE_ACTIVITY_B + 4] = bytes(4)
        if not self._has_smm:
            self.config[DEVICE_ACTIVITY_B + 3] = APMC_ENABLED
        self.config[SMBUS_BASE : SMBUS_BASE + 4] = b"\1\0\0\0"
        self._map_registers()
        self._drive()

    def press_power_button(self) -> None:
        """An operating system that listens is told (`system_powerdown`)."""
        self._status |= POWER_BUTTON
        self._drive()

    def config_changed(self, offset: int, size: int) -> None:
        self._map_registers()

    def _map_registers(self) -> None:
        base = self.read_config(PM_BASE, 2) & 0xFFC0
        wanted = base if self.config[PM_ENABLE] & 1 and base else None
        if self._attached is not None and self._attached.base != wanted:
            self._ports.detach(self._attached)
            self._attached = None
        if self._attached is None and wanted is not None:
            self._attached = self._ports.attach(wanted, self.registers, behind=True)

    # PMBASE + 0 to 3Fh

    def _read(self, offset: int, size: int) -> int:
        self._note_carry()
        words = struct.pack("<HHHHI", self._status, self._enable, self._control, 0, self.timer)
        return int.from_bytes(words.ljust(68, b"\0")[offset : offset + size], "little")

    def _write(self, offset: int, value: int, size: int) -> None:
        """Write some bytes of PMSTS (ones clear), PMEN and PMCNTRL."""
        self._note_carry()
        image = bytearray(struct.pack("<HHH", 0, self._enable, self._control))
        for at, byte in enumerate(value.to_bytes(size, "little"), offset):
            if at < len(image):
                image[at] = byte
        cleared, enable, control = struct.unpack("<HHH", image)
        self._status &= ~(cleared & STATUS_BITS)
        self._enable = enable & ENABLE_BITS
        self._control = control & ~SLEEP_ENABLE
        if control & SLEEP_ENABLE:
            self._sleep(control >> 10 & 7)
        self._drive()

    def _sleep(self, kind: int) -> None:
        if kind == SOFT_OFF:
            self._power_off()
        else:
            name = "suspend to RAM" if kind == SUSPEND_TO_RAM else f"sleep type {kind}"
            self._unimplemented(f"PIIX4: {name}")

    # The timer

    @property
    def timer(self) -> int:
        """PMTMR: 3.58 MHz, 24 bits."""
        return self._ticks() & 0xFFFFFF

    def _ticks(self) -> int:
        return self._clock.now() * TIMER_HZ // SECOND

    def _timer_halves(self) -> int:
        return self._ticks() // HALF

    def _note_carry(self) -> None:
        if (halves := self._timer_halves()) != self._halves_seen:
            self._halves_seen = halves
            self._status |= TIMER_STATUS

    def _timer_carry(self, _: int) -> None:
        self._note_carry()
        self._drive()

    def _drive(self) -> None:
        """The SCI, and a timer if it is to come by one."""
        self._sci.set(bool(self._control & SCI_ENABLED and self._status & self._enable))
        if self._enable & TIMER_STATUS:
            carry = (self._halves_seen + 1) * HALF
            self._timer.at(-(-carry * SECOND // TIMER_HZ))
        else:
            self._timer.cancel()

    # Ports B2h and B3h, and the GPE block

    def _read_apm(self, offset: int, _: int) -> int:
        return self._apm[offset]

    def _write_apm(self, offset: int, value: int, _: int) -> None:
        self._apm[offset] = value
        if offset:
            return
        if value == ACPI_ENABLE:
            self._control |= SCI_ENABLED
        elif value == ACPI_DISABLE:
            self._control &= ~SCI_ENABLED
        self._drive()
        self._smi(value)

    def _read_gpe(self, offset: int, _: int) -> int:
        return self._gpe[offset]

    def _write_gpe(self, offset: int, value: int, _: int) -> None:
        if offset < 2:  # status: ones clear
            self._gpe[offset] &= ~value
        else:
            self._gpe[offset] = value
