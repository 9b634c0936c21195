"""The MP configuration table, for systems that use the APICs and know no ACPI.

Source: Intel, "MultiProcessor Specification" 1.4, chapter 4.
"""

from __future__ import annotations

import struct

from machine.board import IO_APIC_BASE, LOCAL_APIC_BASE
from machine.firmware.pci_bios import LEGACY_IRQS

PCI_BUS, ISA_BUS = 0, 1
PROCESSOR, BUS, IO_APIC, IO_INTERRUPT, LOCAL_INTERRUPT = range(5)
INT, NMI, EXTINT = 0, 1, 3
HIGH_LEVEL = 0x000D
FEATURES = 0x0781_ABFD
"""CPUID's EDX, as the processor entry has it."""


def mp_table(at: int) -> bytes:
    """The floating pointer at physical address `at`, and the table after it."""
    table = configuration()
    at = -(-at // 16) * 16
    pointer = bytearray(struct.pack("<4sIBBB5x", b"_MP_", at + 16, 1, 4, 0))
    pointer[10] = -sum(pointer) & 0xFF
    return bytes(pointer) + table


def configuration() -> bytes:
    """One processor, PCI and ISA, one I/O APIC, and all interrupts."""
    entries = [
        struct.pack("<BBBBIIII", PROCESSOR, 0, 0x14, 3, 0x600, FEATURES, 0, 0),
        struct.pack("<BB6s", BUS, PCI_BUS, b"PCI   "),
        struct.pack("<BB6s", BUS, ISA_BUS, b"ISA   "),
        struct.pack("<BBBBI", IO_APIC, 0, 0x11, 1, IO_APIC_BASE),
    ]
    for slot in range(1, 32):
        for pin in range(4):
            irq = 9 if (slot, pin) == (1, 0) else LEGACY_IRQS[slot - 1 + pin & 3]
            entries.append(
                interrupt(IO_INTERRUPT, INT, HIGH_LEVEL, PCI_BUS, slot << 2 | pin, 0, irq)
            )
    for irq in range(16):
        if irq == 2 or irq in {9, *LEGACY_IRQS}:
            continue
        entries.append(interrupt(IO_INTERRUPT, INT, 0, ISA_BUS, irq, 0, irq or 2))
    entries.append(interrupt(LOCAL_INTERRUPT, EXTINT, 0, ISA_BUS, 0, 0xFF, 0))
    entries.append(interrupt(LOCAL_INTERRUPT, NMI, 0, ISA_BUS, 0, 0xFF, 1))
    body = b"".join(entries)
    head = struct.pack(
        "<4sHBB8s12sIHHIHBB", b"PCMP", 44 + len(body), 4, 0, b"QEMUPY  ", b"PC          ",
        0, 0, len(entries), LOCAL_APIC_BASE, 0, 0, 0,
    )  # fmt: skip
    table = bytearray(head + body)
    table[7] = -sum(table) & 0xFF
    return bytes(table)


def interrupt(
    kind: int, what: int, flags: int, bus: int, source: int, apic: int, pin: int
) -> bytes:
    return struct.pack("<BBHBBBB", kind, what, flags, bus, source, apic, pin)
