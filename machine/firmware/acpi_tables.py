"""The ACPI tables of the board: for the embedded BIOS at a fixed address, for others by fw_cfg.

Source: ACPI specification 6.5, chapters 5 (tables) and 6 (_CRS, _PRT); "IA-PC HPET Specification"
1.0a, 3.2.4 (HPET table); QEMU, docs/specs/fw_cfg and the BIOS linker/loader of hw/acpi for the
format of etc/table-loader.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from machine.board import HPET_BASE, IO_APIC_BASE, LOCAL_APIC_BASE
from machine.devices.piix import ACPI_DISABLE, ACPI_ENABLE
from machine.firmware import aml
from machine.firmware.pci_bios import LEGACY_IRQS, MEMORY_END, MEMORY_WINDOW
from machine.firmware.post import PM_BASE

SIZE = 0x4000
"""What is kept free for tables at the end of low memory."""
LEAST_MEMORY = 2 << 20

SCI, SMI_COMMAND, GPE = 9, 0xB2, 0xAFE0
RESET_PORT, RESET_VALUE = 0xCF9, 0x0F
MAKER, MODEL, COMPILER = b"QEMUPY", b"PC      ", b"QPY "

ACTIVE_HIGH_LEVEL = 0x000D
LEVEL_IRQS = (5, 9, 10, 11)
"""ISA interrupt requests that PCI functions and the SCI share."""

# fmt: off
WBINVD, C1_WORKS, NO_SLEEP_BUTTON, NO_RTC_WAKE, RESET_WORKS = (1 << n for n in (0, 2, 5, 6, 10))
LEGACY_DEVICES, HAS_8042 = 1, 2
# fmt: on


def acpi_size(below_4g: int) -> int:
    """How much memory the embedded BIOS's tables take: none if there is hardly any."""
    return SIZE if below_4g >= LEAST_MEMORY else 0


@dataclass(slots=True)
class Blob:
    """Tables one after the other, with what depends on where they are going to be."""

    base: int
    data: bytearray = field(default_factory=bytearray)
    pointers: list[int] = field(default_factory=list)
    """Offsets of 32-bit addresses in this blob."""
    checksums: list[tuple[int, int]] = field(default_factory=list)
    """Start and length of what sums up to 0; the checksum is its tenth byte."""

    def align(self, alignment: int) -> int:
        self.data += bytes(-len(self.data) % alignment)
        return len(self.data)

    def add(
        self, signature: bytes, revision: int, body: bytes, pointers: tuple[int, ...] = ()
    ) -> int:
        """Add a table; `pointers` are offsets of addresses in its body. Returns its address."""
        at = self.align(16)
        length = 36 + len(body)
        self.data += struct.pack(
            "<4sIBB6s8sI4sI", signature, length, revision, 0, MAKER, MODEL, 1, COMPILER, 1
        )
        self.data += body
        self.data[at + 9] = -sum(self.data[at : at + length]) & 0xFF
        self.pointers += [at + 36 + offset for offset in pointers]
        self.checksums.append((at, length))
        return self.base + at


@dataclass(frozen=True, slots=True)
class AcpiLayout:
    """Tables for an address, and the pointer to them that is searched for in the ROM."""

    tables: bytes
    rsdp: bytes
    pointers: tuple[int, ...]
    checksums: tuple[tuple[int, int], ...]
    root: int


def build_acpi(base: int, *, has_hpet: bool = True, low_memory: int = 0) -> AcpiLayout:
    """All tables as they are at `base`; PCI's memory is not before `low_memory`'s end."""
    blob = Blob(base)
    facs = base + blob.align(64)
    blob.data += struct.pack("<4sI", b"FACS", 64) + bytes(56)
    dsdt = blob.add(b"DSDT", 1, dsdt_body(has_hpet=has_hpet, low_memory=low_memory))
    tables = [
        blob.add(b"FACP", 3, fadt_body(facs, dsdt), (0, 4)),
        blob.add(b"APIC", 1, madt_body()),
    ]
    if has_hpet:
        tables.append(blob.add(b"HPET", 1, hpet_body()))
    body = struct.pack(f"<{len(tables)}I", *tables)
    root = blob.add(b"RSDT", 1, body, tuple(range(0, len(body), 4)))
    return AcpiLayout(
        bytes(blob.data), rsdp(root), tuple(blob.pointers), tuple(blob.checksums), root - base
    )


def rsdp(root: int) -> bytes:
    """The root system description pointer of ACPI 1.0 (5.2.5.3)."""
    pointer = bytearray(struct.pack("<8sB6sBI", b"RSD PTR ", 0, MAKER, 0, root))
    pointer[8] = -sum(pointer) & 0xFF
    return bytes(pointer)


def address(space: int, bits: int, at: int) -> bytes:
    """A generic address structure (5.2.3.2): 0 is memory, 1 ports."""
    return struct.pack("<BBBBQ", space, bits, 0, 0, at)


def fadt_body(facs: int, dsdt: int) -> bytes:
    """The fixed hardware (5.2.9), revision 3."""
    body = struct.pack(
        "<IIBBHIBBBB", facs, dsdt, 1, 0, SCI, SMI_COMMAND, ACPI_ENABLE, ACPI_DISABLE, 0, 0
    )
    body += struct.pack(
        "<8I", PM_BASE, 0, PM_BASE + 4, 0, 0, PM_BASE + 8, GPE, 0
    )  # PM1a, PM1b events; PM1a, PM1b, PM2 control; timer; GPE0, GPE1
    body += struct.pack("<8B", 4, 2, 0, 4, 4, 0, 0, 0)
    no_c2, no_c3 = 0xFFF, 0xFFF
    body += struct.pack("<4H5B", no_c2, no_c3, 0, 0, 0, 0, 0, 0, 0x32)
    flags = WBINVD | C1_WORKS | NO_SLEEP_BUTTON | NO_RTC_WAKE | RESET_WORKS
    body += struct.pack("<HBI", LEGACY_DEVICES | HAS_8042, 0, flags)
    body += address(1, 8, RESET_PORT) + struct.pack("<B3xQQ", RESET_VALUE, 0, 0)
    nothing = bytes(12)
    body += address(1, 32, PM_BASE) + nothing + address(1, 16, PM_BASE + 4) + nothing + nothing
    return body + address(1, 32, PM_BASE + 8) + address(1, 32, GPE) + nothing


def madt_body() -> bytes:
    """Interrupt controllers (5.2.12): one processor, one I/O APIC, ISA requests that differ."""
    body = struct.pack("<II", LOCAL_APIC_BASE, 1)  # there are 8259s as well
    body += struct.pack("<BBBBI", 0, 8, 0, 0, 1)
    body += struct.pack("<BBBBII", 1, 12, 0, 0, IO_APIC_BASE, 0)
    body += struct.pack("<BBBBIH", 2, 10, 0, 0, 2, 0)
    for number in LEVEL_IRQS:
        body += struct.pack("<BBBBIH", 2, 10, 0, number, number, ACTIVE_HIGH_LEVEL)
    return body + struct.pack("<BBBHB", 4, 6, 0xFF, 0, 1)  # LINT1 is NMI


def hpet_body() -> bytes:
    return struct.pack("<I", 0x8086A201) + address(0, 0, HPET_BASE) + struct.pack("<BHB", 0, 0, 0)


# -- the DSDT


def dsdt_body(*, has_hpet: bool, low_memory: int) -> bytes:
    r"""What is on the board: \_SB.PCI0 with the ISA devices, \_PR, \_S5."""
    root = [pci_root(low_memory)]
    if has_hpet:
        root.append(hpet_device())
    return b"".join(
        (
            aml.named("PICF", aml.number(0)),
            aml.method("\\_PIC", 1, aml.store(aml.ARG0, aml.path("PICF"))),
            aml.scope("\\_PR", aml.processor("CPU0", 0)),
            aml.scope("\\_SB", *root),
            aml.named("\\_S5", aml.package(*[aml.number(0)] * 4)),
        )
    )


def pci_root(low_memory: int) -> bytes:
    """The host bridge: its windows, and where each slot's pins go (section 6.2.13)."""
    first = max(MEMORY_WINDOW, low_memory)
    windows = aml.resources(
        aml.bus_numbers(0, 0xFF),
        aml.ports(0xCF8, 8),
        aml.port_window(0, 0xCF7),
        aml.port_window(0xD00, 0xFFFF),
        aml.memory_window(0xA0000, 0xBFFFF, cacheable=True),
        aml.memory_window(first, MEMORY_END - 1),
    )
    return aml.device(
        "PCI0",
        aml.named("_HID", aml.eisa("PNP0A03")),
        aml.named("_ADR", aml.number(0)),
        aml.named("_UID", aml.number(0)),
        aml.named("_CRS", windows),
        aml.named("_PRT", routes()),
        aml.device("ISA", aml.named("_ADR", aml.number(0x10000)), *isa_devices()),
        aml.device("PM", aml.named("_ADR", aml.number(0x10003))),
    )


def routes() -> bytes:
    """Each slot's four pins: the board turns them by one with each slot, and routes are fixed."""
    rows = []
    for slot in range(1, 32):
        for pin in range(4):
            number = SCI if (slot, pin) == (1, 0) else LEGACY_IRQS[slot - 1 + pin & 3]
            entry = (slot << 16 | 0xFFFF, pin, 0, number)
            rows.append(aml.package(*(aml.number(value) for value in entry)))
    return aml.package(*rows)


def isa_devices() -> list[bytes]:
    """Devices of fixed places, as a plug and play system wants to be told of them."""
    # fmt: off
    rows = (
        ("RTC",  "PNP0B00", (aml.ports(0x70, 2), aml.irq(8))),
        ("KBD",  "PNP0303", (aml.ports(0x60, 1), aml.ports(0x64, 1), aml.irq(1))),
        ("MOU",  "PNP0F13", (aml.irq(12),)),
        ("FDC0", "PNP0700", (aml.ports(0x3F2, 4), aml.ports(0x3F7, 1), aml.irq(6), aml.dma(2))),
        ("COM1", "PNP0501", (aml.ports(0x3F8, 8), aml.irq(4))),
        ("PIC",  "PNP0000", (aml.ports(0x20, 2), aml.ports(0xA0, 2), aml.irq(2))),
        ("TIMR", "PNP0100", (aml.ports(0x40, 4), aml.irq(0))),
        ("DMAC", "PNP0200", (aml.ports(0x00, 16), aml.ports(0x81, 15), aml.ports(0xC0, 32),
                              aml.dma(4))),
        ("SPKR", "PNP0800", (aml.ports(0x61, 1),)),
        ("FPU",  "PNP0C04", (aml.ports(0xF0, 1), aml.irq(13))),
    )
    # fmt: on
    return [
        aml.device(
            name, aml.named("_HID", aml.eisa(identity)), aml.named("_CRS", aml.resources(*where))
        )
        for name, identity, where in rows
    ]


def hpet_device() -> bytes:
    return aml.device(
        "HPET",
        aml.named("_HID", aml.eisa("PNP0103")),
        aml.named("_UID", aml.number(0)),
        aml.named("_CRS", aml.resources(aml.memory_32(HPET_BASE, 0x400, writable=False))),
    )


# -- for another firmware

TABLES_FILE, RSDP_FILE, LOADER_FILE = "etc/acpi/tables", "etc/acpi/rsdp", "etc/table-loader"
ZONE_HIGH, ZONE_LOW = 1, 2
ALLOCATE, ADD_POINTER, ADD_CHECKSUM = 1, 2, 3


def loader_files(*, has_hpet: bool = True, low_memory: int = 0) -> dict[str, bytes]:
    """The fw_cfg files by which SeaBIOS puts the tables where it likes."""
    layout = build_acpi(0, has_hpet=has_hpet, low_memory=low_memory)
    tables = bytearray(layout.tables)
    commands = [
        command(ALLOCATE, TABLES_FILE, struct.pack("<IB", 64, ZONE_HIGH)),
        command(ALLOCATE, RSDP_FILE, struct.pack("<IB", 16, ZONE_LOW)),
    ]
    for start, _ in layout.checksums:
        tables[start + 9] = 0
    commands.extend(add_pointer(TABLES_FILE, offset) for offset in layout.pointers)
    for start, length in layout.checksums:
        commands.append(
            command(ADD_CHECKSUM, TABLES_FILE, struct.pack("<III", start + 9, start, length))
        )
    pointer = bytearray(layout.rsdp)
    pointer[8] = 0
    commands.append(add_pointer(RSDP_FILE, 16))
    commands.append(command(ADD_CHECKSUM, RSDP_FILE, struct.pack("<III", 8, 0, 20)))
    return {
        TABLES_FILE: bytes(tables),
        RSDP_FILE: bytes(pointer),
        LOADER_FILE: b"".join(commands),
    }


def command(code: int, file: str, rest: bytes) -> bytes:
    return (struct.pack("<I56s", code, file.encode()) + rest).ljust(128, b"\0")


def add_pointer(file: str, offset: int) -> bytes:
    return command(ADD_POINTER, file, struct.pack("<56sIB", TABLES_FILE.encode(), offset, 4))
