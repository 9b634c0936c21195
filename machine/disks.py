"""The drives of a PC: images opened and plugged in where the options say."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

from machine.drive import Drive
from machine.drive_options import DriveOptions, open_drive, place
from machine.errors import MachineError, shown
from machine.option_values import read_number
from machine.options import DeviceOptions, Settings


@dataclass(slots=True)
class Drives:
    """All drives by name, and where they are: by interface and number."""

    by_name: dict[str, Drive] = field(default_factory=dict)
    placed: dict[tuple[str, int], Drive] = field(default_factory=dict)

    def of(self, interface: str) -> dict[int, Drive]:
        """Those of one interface, by number."""
        return {n: drive for (kind, n), drive in sorted(self.placed.items()) if kind == interface}

    def close(self) -> None:
        """Nothing of them was used: let go of the images."""
        for drive in self.by_name.values():
            drive.close()


def open_drives(settings: Settings, command: str) -> Drives:
    """Open all images; where -device says so, drives of if=none get a place."""
    asked = [drive for drive in settings.drives if drive.interface != "none"]
    asked += _plugged(settings)
    drives = Drives()

    def report(line: str) -> None:
        print(f"{command}: {line}", file=sys.stderr)

    try:
        for (interface, index), options in sorted(place(asked).items()):
            name = _drive_name(interface, index, is_cd=options.is_cd)
            drive = open_drive(options, name, snapshot=settings.snapshot, report=report)
            drive.waits = settings.icount is not None
            drives.placed[interface, index] = drive
            drives.by_name[options.id or name] = drive
    except BaseException:
        drives.close()
        raise
    return drives


def _drive_name(interface: str, index: int, *, is_cd: bool) -> str:
    """As QEMU calls them in `info block`."""
    if interface == "ide":
        return f"ide{index // 2}-{'cd' if is_cd else 'hd'}{index % 2}"
    return f"{interface}{index}"


PLUGS = {"virtio-blk-pci": "virtio", "ide-hd": "ide", "ide-cd": "ide", "floppy": "floppy"}


def _plugged(settings: Settings) -> list[DriveOptions]:
    """The drives of if=none that a -device takes."""
    found = []
    by_id = {drive.id: drive for drive in settings.drives if drive.interface == "none"}
    for device in settings.devices:
        interface = PLUGS.get(device.kind)
        if interface is None:
            continue
        name = device.properties.get("drive")
        drive = by_id.pop(name, None) if name is not None else DriveOptions()
        if drive is None:
            raise MachineError(
                f"-device {device.kind},drive={shown(str(name))}: that -drive is no if=none, or"
                " has a device already"
            )
        drive.interface = interface
        if device.kind == "ide-cd":
            drive.media = "cdrom"
        drive.index = _unit(device, interface)
        found.append(drive)
    return found


def _unit(device: DeviceOptions, interface: str) -> int | None:
    """Where -device plugs a drive in, if it says so: bus=ide.1,unit=0."""
    properties = device.properties
    bus, unit = properties.get("bus"), properties.get("unit")
    if interface == "virtio" or (bus is None and unit is None):
        return None
    number = read_number(f"-device {device.kind} unit", unit or "0", 0, 1)
    if interface == "ide":
        text = (bus or "ide.0").removeprefix("ide.")
        number += 2 * read_number(f"-device {device.kind} bus=ide.", text, 0, 1)
    return number
