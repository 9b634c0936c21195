"""PCI: INT 1Ah AH=B1h and its 32-bit entry, the BIOS32 directory, and giving out addresses.

Source: PCI SIG, "PCI BIOS Specification" 2.1.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

from machine.devices.pci import BARS, COMMAND, INTERRUPT_LINE, INTERRUPT_PIN, PciBus, PciFunction
from machine.firmware.call import Call

PRESENT, FIND_DEVICE, FIND_CLASS = 0x01, 0x02, 0x03
OK, UNSUPPORTED, BAD_VENDOR, NO_DEVICE, BAD_REGISTER = 0x00, 0x81, 0x83, 0x86, 0x87

BIOS32_NAME = int.from_bytes(b"$PCI", "little")
LEGACY_IRQS = (10, 10, 11, 11)
"""Where PIRQA to PIRQD go; ACPI's links and the MP table say so too."""

IO_WINDOW, IO_END = 0xC000, 0x10000
MEMORY_WINDOW, MEMORY_END = 0xE000_0000, 0xFEC0_0000
IO_SPACE, MEMORY_SPACE = 1, 2


class PciServices:
    """AX=B101h to B10Dh."""

    def __init__(self, bus: PciBus, entry: int, directory_base: int) -> None:
        """`entry`: the 32-bit entry's physical address; `directory_base` that of its segment."""
        self._bus = bus
        self._entry = entry
        self._base = directory_base

    def call(self, call: Call) -> None:
        """INT 1Ah, or the 32-bit entry (they differ in EDI only)."""
        service = call.al
        # fmt: off
        simple: dict[int, Callable[[Call], int]] = {
            PRESENT: self._present, FIND_DEVICE: self._find_device, FIND_CLASS: self._find_class,
            0x06: lambda _: UNSUPPORTED, 0x0E: lambda _: UNSUPPORTED, 0x0F: lambda _: UNSUPPORTED,
        }
        # fmt: on
        if service in simple:
            status = simple[service](call)
        elif 0x08 <= service <= 0x0D:
            status = self._configure(call, service)
        else:
            status = UNSUPPORTED
        call.ah, call.carry = status, status != OK

    def _present(self, call: Call) -> int:
        call.edx, call.al, call.bx, call.cl = int.from_bytes(b"PCI ", "little"), 1, 0x0210, 0
        call.edi = self._entry
        return OK

    def _find(self, call: Call, is_it: Callable[[PciFunction], bool]) -> int:
        index = call.si
        for (slot, number), function in sorted(self._bus.functions.items()):
            if is_it(function):
                if index == 0:
                    call.bx = slot << 3 | number
                    return OK
                index -= 1
        return NO_DEVICE

    def _find_device(self, call: Call) -> int:
        if call.dx == 0xFFFF:
            return BAD_VENDOR
        wanted = call.cx << 16 | call.dx
        return self._find(call, lambda function: function.read_config(0, 4) == wanted)

    def _find_class(self, call: Call) -> int:
        wanted = call.ecx & 0xFFFFFF
        return self._find(call, lambda function: function.read_config(8, 4) >> 8 == wanted)

    def _configure(self, call: Call, service: int) -> int:
        """Read (08h to 0Ah) or write (0Bh to 0Dh) a byte, a word, a doubleword."""
        size = 1 << (service - 8) % 3
        register = call.di
        if register >= 256 or register % size:
            return BAD_REGISTER
        function = self._bus.function(call.bh, call.bl >> 3, call.bl & 7)
        if service <= 0x0A:
            value = (1 << 8 * size) - 1
            if function is not None:
                value = function.read_config(register, size)
            match size:
                case 1:
                    call.cl = value
                case 2:
                    call.cx = value
                case _:
                    call.ecx = value
        elif function is not None:
            function.write_config(register, call.ecx & (1 << 8 * size) - 1, size)
        return OK

    def directory(self, call: Call) -> None:
        """BIOS32: where the service that EAX names is."""
        if call.eax == BIOS32_NAME and call.bl == 0:
            call.al = 0
            call.ebx, call.ecx = self._base, 0x10000
            call.edx = self._entry - self._base
        else:
            call.al = 0x80 if call.bl == 0 else 0x81


def give_addresses(bus: PciBus, irqs: tuple[int, ...] = LEGACY_IRQS) -> None:
    """Put every base address register somewhere, the largest first, and switch decoding on."""
    wanted = list(registers(bus))
    free = {True: IO_WINDOW, False: MEMORY_WINDOW}
    ends = {True: IO_END, False: MEMORY_END}
    for function, number, is_io, size in sorted(wanted, key=lambda row: -row[3]):
        step = max(size, 1 if is_io else 0x1000)
        at = -(-free[is_io] // step) * step
        if at + size > ends[is_io]:
            continue  # it stays where nothing is
        function.write_config(BARS + 4 * number, at, 4)
        free[is_io] = at + size
    for (slot, _), function in bus.functions.items():
        if pin := function.config[INTERRUPT_PIN]:
            function.write_config(INTERRUPT_LINE, irqs[slot - 1 + pin - 1 & 3], 1)
        spaces = {bar.is_io for bar in function.bars.values()}
        decode = (IO_SPACE if True in spaces else 0) | (MEMORY_SPACE if False in spaces else 0)
        if decode:
            function.write_config(COMMAND, function.command | decode | 4, 2)


def registers(bus: PciBus) -> Iterator[tuple[PciFunction, int, bool, int]]:
    """Base address registers that there are: function, number, whether of ports, size."""
    for _, function in sorted(bus.functions.items()):
        for number, bar in function.bars.items():
            if number < 6:
                yield function, number, bar.is_io, bar.size


def route_interrupts(isa_bridge: PciFunction, elcr: Callable[[int, int], None]) -> None:
    """PIRQA to PIRQD go to IRQs 10 and 11, which are sensed by level."""
    for number, irq in enumerate(LEGACY_IRQS):
        isa_bridge.write_config(0x60 + number, irq, 1)
    elcr(0x4D1, 1 << 10 - 8 | 1 << 11 - 8)


def routing_table(bus: PciBus) -> bytes:
    """$PIR: which PIRQ every slot's pins are wired to (Microsoft, "PCI IRQ Routing Table")."""
    slots = sorted({slot for slot, _ in bus.functions})
    mask = 0x0C00 | 0x0EF8 & ~0x0200
    rows = b""
    for slot in slots:
        links = b"".join(struct.pack("<BH", 0x60 + (slot - 1 + pin & 3), mask) for pin in range(4))
        rows += struct.pack("<BB", 0, slot << 3) + links + b"\0\0"
    head = struct.pack("<4sHHBBHII", b"$PIR", 0x0100, 32 + len(rows), 0, 8, 0, 0x70008086, 0)
    table = bytearray(head + bytes(12) + rows)
    table[31] = -sum(table) & 0xFF
    return bytes(table)
