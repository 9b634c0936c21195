"""The subjects of `info`: what each part of the machine says of itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from machine.board import IO_APIC_BASE
from machine.devices.pci import BARS, IO_SPACE, MEMORY_SPACE, PciFunction
from machine.devices.pic import Pic
from machine.monitor.machine import Machine
from machine.monitor.page_tables import show_mem, show_tlb
from machine.monitor.registers import show_registers

Subject = Callable[[Machine], str]

# fmt: off
CLASSES = {
    0x0000: "Class 0000", 0x0100: "SCSI controller", 0x0101: "IDE controller",
    0x0200: "Ethernet controller", 0x0300: "VGA controller", 0x0380: "Display controller",
    0x0600: "Host bridge", 0x0601: "ISA bridge", 0x0680: "Bridge", 0x0C03: "USB controller",
}
"""PCI classes in words (PCI 2.1, appendix D)."""
# fmt: on


def _status(machine: Machine) -> str:
    return f"VM status: {machine.status}\n"


def _version(_: Machine) -> str:
    from importlib.metadata import version

    return f"qemupy {version('qemupy')}\n"


def _name(machine: Machine) -> str:
    return f"{machine.name}\n" if machine.name else ""


def _cpus(machine: Machine) -> str:
    halted = " (halted)" if machine.is_halted else ""
    return f"* CPU #0: thread_id={machine.thread_id}{halted}\n"


def _characters(machine: Machine) -> str:
    return "".join(f"{one.label}: filename={one.description}\n" for one in machine.characters)


def _block(machine: Machine) -> str:
    parts = []
    for name, drive in machine.drives.items():
        image = drive.image
        if image is None:
            parts.append(f"{name}: [not inserted]\n")
        else:
            read_only = ", read-only" if drive.read_only else ""
            base = image.backing
            if base is not None and not os.path.exists(image.path):  # the overlay of -snapshot
                image, read_only = base, ", snapshot"
            parts.append(f"{name}: {image.path} ({image.format}{read_only})\n")
        if drive.is_cd or image is None or name.startswith("floppy"):
            parts.append("    Removable device: not locked, tray closed\n")
        else:
            parts.append("    Cache mode:       writeback\n")
        parts.append("\n")
    return "".join(parts[:-1])


def _blockstats(machine: Machine) -> str:
    names = ("reads", "writes", "flushes", "sectors_read", "sectors_written")
    rows = []
    for name, drive in machine.drives.items():
        counts = [f"{key}={getattr(drive, key)}" for key in names if hasattr(drive, key)]
        rows.append(f"{name}: {' '.join(counts)}\n")
    return "".join(rows)


def _pic(machine: Machine) -> str:
    """Both 8259s, and the I/O APIC's table."""
    board = machine.board
    rows = [_show_pic("pic0", board.pics.master), _show_pic("pic1", board.pics.slave)]
    rows.append(f"ioapic0: at {IO_APIC_BASE:#x}\n")
    for number, entry in enumerate(board.io_apic.entries):
        rows.append(f"  pin {number:<2} {entry:#018x} {_show_entry(entry)}\n")
    return "".join(rows)


def _show_pic(name: str, pic: Pic) -> str:
    return (
        f"{name}: irr={pic.irr:02x} imr={pic.imr:02x} isr={pic.isr:02x} "
        f"irq_base={pic.vector_base:02x} elcr={pic.elcr:02x}\n"
    )


MODES = ("fixed", "lowest", "SMI", "...", "NMI", "INIT", "...", "ExtINT")


def _show_entry(entry: int) -> str:
    """An entry of the I/O APIC (82093AA, 3.2.4)."""
    words = (
        f"dest={entry >> 56:x} vec={entry & 0xFF:<3}",
        "active-lo" if entry >> 13 & 1 else "active-hi",
        "level" if entry >> 15 & 1 else "edge ",
        "masked" if entry >> 16 & 1 else "      ",
        f"{MODES[entry >> 8 & 7]:<6}",
        "logical" if entry >> 11 & 1 else "physical",
    )
    return " ".join(words)


def _irq(machine: Machine) -> str:
    counts = machine.board.irqs.counts
    rows = [f"{number:2d}: {count}\n" for number, count in enumerate(counts) if count]
    return "".join(["ISA interrupt requests so far:\n", *rows])


def _lapic(machine: Machine) -> str:
    """The local APIC's registers, as the processor would read them."""
    apic = machine.board.local_apic
    rows = [("ID", 0x20), ("TPR", 0x80), ("PPR", 0xA0), ("LDR", 0xD0), ("DFR", 0xE0),
            ("SVR", 0xF0), ("ICR", 0x300), ("TIMER", 0x320), ("LINT0", 0x350), ("LINT1", 0x360),
            ("ERROR", 0x370), ("initial count", 0x380), ("divide", 0x3E0)]  # fmt: skip
    lines = [f"{name:<14} 0x{apic.read(at):08x}\n" for name, at in rows]
    for name, base in (("ISR", 0x100), ("IRR", 0x200)):
        bits = sum(apic.read(base + 16 * n) << 32 * n for n in range(8))
        vectors = " ".join(str(n) for n in range(256) if bits >> n & 1)
        lines.append(f"{name:<14} {vectors or '(none)'}\n")
    return "".join(lines)


def _pci(machine: Machine) -> str:
    parts = []
    for (slot, number), function in sorted(machine.board.pci.functions.items()):
        parts.append(f"  Bus  0, device {slot:3d}, function {number}:\n")
        parts += [f"    {line}\n" for line in _show_function(function)]
    return "".join(parts)


def _show_function(function: PciFunction) -> Iterator[str]:
    read = function.read_config
    kind = CLASSES.get(read(0x0A, 2), f"Class {read(0x0A, 2):04x}")
    yield f"{kind}: PCI device {read(0, 2):04x}:{read(2, 2):04x}"
    yield f"  PCI subsystem {read(0x2C, 2):04x}:{read(0x2E, 2):04x}"
    if pin := read(0x3D, 1):
        yield f"  IRQ {read(0x3C, 1)}, pin {chr(64 + pin)}"
    for index, bar in sorted(function.bars.items()):
        enabled = read(4, 2) & (IO_SPACE if bar.is_io else MEMORY_SPACE)
        at = read(BARS + 4 * index, 4) & ~(3 if bar.is_io else 15) if index < 6 else 0
        base = at if enabled else 0xFFFFFFFFFFFFFFFF
        kind = "I/O" if bar.is_io else "32 bit memory"
        digits = 4 if bar.is_io else 8
        end = (base + bar.size - 1) & 0xFFFFFFFFFFFFFFFF
        yield f"  BAR{index}: {kind} at {base:#0{digits + 2}x} [{end:#0{digits + 2}x}]."


def _mtree(machine: Machine) -> str:
    """What answers where: memory as it is mapped now, then ports."""
    rows = ["address-space: memory\n"]
    pieces = list(machine.memory_pieces())
    pieces += [(p.start, p.end, type(p.device).__name__) for p in machine.board.memory.pieces()]
    rows += [f"  {start:016x}-{end - 1:016x}: {name}\n" for start, end, name in sorted(pieces)]
    rows.append("address-space: I/O\n")
    for piece in machine.board.ports.pieces():
        name = _owner(piece.device)
        rows.append(f"  {piece.start:016x}-{piece.end - 1:016x}: {name}\n")
    return "".join(rows)


def _owner(device: object) -> str:
    """A device's name; a window's is that of the device it belongs to."""
    on_read = getattr(device, "on_read", None)
    owner = getattr(on_read, "__self__", device)
    return type(owner).__name__


def _qtree(machine: Machine) -> str:
    """The parts of the board by the bus they are on."""
    rows = ["bus: main-system-bus\n", "  dev: ioapic\n  dev: hpet\n", "  dev: i440FX-pcihost\n"]
    rows.append("    bus: pci.0\n")
    for (slot, number), function in sorted(machine.board.pci.functions.items()):
        rows.append(f"      dev: {type(function).__name__}, addr = {slot:02x}.{number}\n")
    rows.append("    bus: isa.0\n")
    seen = dict.fromkeys(_owner(piece.device) for piece in machine.board.ports.pieces())
    rows += [f"      dev: {name}\n" for name in seen]
    return "".join(rows)


def _jit(machine: Machine) -> str:
    rows = []
    for name, value in machine.statistics().items():
        shown = f"{value:,.3f}" if isinstance(value, float) else f"{value}"
        rows.append(f"{name.replace('_', ' '):<28} {shown}\n")
    return "".join(rows) or "no translations\n"


def _mice(_: Machine) -> str:
    return "* Mouse #0: PS/2 Mouse\n"


# fmt: off
SUBJECTS: dict[str, tuple[Subject, str]] = {
    "block":      (_block,         "drives and their media"),
    "blockstats": (_blockstats,    "how often drives were used"),
    "chardev":    (_characters,    "character devices"),
    "cpus":       (_cpus,          "processors"),
    "irq":        (_irq,           "how often each ISA interrupt was requested"),
    "jit":        (_jit,           "what was translated and compiled"),
    "lapic":      (_lapic,         "the local APIC"),
    "mem":        (show_mem,       "ranges of the guest's page tables"),
    "mice":       (_mice,          "mice"),
    "mtree":      (_mtree,         "who answers at which address and port"),
    "name":       (_name,          "the machine's name"),
    "pci":        (_pci,           "PCI functions"),
    "pic":        (_pic,           "8259s and I/O APIC"),
    "qtree":      (_qtree,         "devices by bus"),
    "registers":  (show_registers, "the processor's registers"),
    "status":     (_status,        "whether it runs"),
    "tlb":        (show_tlb,       "every page of the guest's page tables"),
    "version":    (_version,       "this program's version"),
}
# fmt: on
