"""`-drive` and its relatives: what was asked for, where it goes, and opening it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from machine.drive import Drive
from machine.errors import shown
from machine.images.image import Image, ImageError

INTERFACES = ("ide", "floppy", "virtio", "none")
MEDIA = ("disk", "cdrom")
CACHES = ("writeback", "none", "writethrough", "directsync", "unsafe")
UNITS = {"ide": 4, "floppy": 2}
"""How many drives an interface has, if that is limited."""
UNITS_PER_BUS = {"ide": 2, "floppy": 2}


@dataclass(slots=True, kw_only=True)
class DriveOptions:
    """One drive, as asked for. Without a file it is empty: a CD-ROM or a floppy drive."""

    file: str | None = None
    format: str | None = None
    interface: str = "ide"
    media: str = "disk"
    index: int | None = None
    snapshot: bool | None = None
    read_only: bool = False
    cache: str = "writeback"
    id: str | None = None

    @property
    def is_cd(self) -> bool:
        return self.media == "cdrom"


SHORT_FORMS: dict[str, DriveOptions] = {
    "hda": DriveOptions(index=0),
    "hdb": DriveOptions(index=1),
    "hdc": DriveOptions(index=2),
    "hdd": DriveOptions(index=3),
    "cdrom": DriveOptions(index=2, media="cdrom"),
    "fda": DriveOptions(index=0, interface="floppy"),
    "fdb": DriveOptions(index=1, interface="floppy"),
}
"""`-hda FILE` and its like; `replace(SHORT_FORMS["hda"], file=FILE)`."""

IGNORED = ("aio", "werror", "rerror", "discard", "detect-zeroes", "serial", "locking")
"""What QEMU's users may say, and makes no difference here."""


def parse_drive(text: str) -> DriveOptions:
    """Read what follows `-drive`: `name=value` with commas between; a comma itself is doubled.

    Raises ImageError.
    """
    given = dict(_pairs(text))
    options = DriveOptions()
    unit, bus = given.pop("unit", None), given.pop("bus", None)
    for name, value in given.items():
        match name:
            case "file":
                options.file = value or None
            case "format":
                options.format = value
            case "if":
                options.interface = _one_of(name, value, INTERFACES)
            case "media":
                options.media = _one_of(name, value, MEDIA)
            case "cache":
                options.cache = _one_of(name, value, CACHES)
            case "index":
                options.index = _number(name, value)
            case "snapshot":
                options.snapshot = _switch(name, value)
            case "readonly" | "read-only":
                options.read_only = _switch(name, value)
            case "id":
                options.id = value
            case _ if name not in IGNORED:
                raise ImageError(
                    f"-drive: there is no option {shown(name)}; there are file, format, if, media,"
                    " index, bus, unit, snapshot, readonly, cache, id"
                )
    if unit is not None or bus is not None:
        per_bus = UNITS_PER_BUS.get(options.interface, 1)
        options.index = _number("bus", bus or "0") * per_bus + _number("unit", unit or "0")
    return options


def place(drives: Iterable[DriveOptions]) -> dict[tuple[str, int], DriveOptions]:
    """Find out which drive is where: by interface and number.

    Those that say where come first, the others get what is free. Raises ImageError.
    """
    drives = list(drives)
    placed: dict[tuple[str, int], DriveOptions] = {}
    for options in drives:
        if options.index is not None:
            _put(placed, options, options.index)
    for options in drives:
        if options.index is None:
            index = 0
            while (options.interface, index) in placed:
                index += 1
            _put(placed, options, index)
    return placed


def _put(placed: dict[tuple[str, int], DriveOptions], options: DriveOptions, index: int) -> None:
    limit = UNITS.get(options.interface)
    if limit is not None and index >= limit:
        raise ImageError(
            f"{_named(options)}: there are {limit} {options.interface} drives, 0 to {limit - 1};"
            f" this one would be {index}"
        )
    if (options.interface, index) in placed:
        other = placed[options.interface, index]
        raise ImageError(
            f"{_named(options)}: {options.interface} drive {index} is {_named(other)} already"
        )
    placed[options.interface, index] = options


def open_drive(
    options: DriveOptions,
    name: str,
    *,
    snapshot: bool = False,
    report: Callable[[str], None] | None = None,
) -> Drive:
    """Open the image and make a drive of it; `snapshot` is that of the command line.

    Raises ImageError.
    """
    image = None
    if options.file is not None:
        image = open_medium(options, snapshot=snapshot)
    elif not options.is_cd and options.interface != "floppy":
        raise ImageError(f"-drive: {name} is a disk and needs file=")
    return Drive(
        image,
        options.id or name,
        read_only=options.read_only,
        is_cd=options.is_cd,
        cache=options.cache,
        report=report,
    )


def open_medium(options: DriveOptions, *, snapshot: bool = False) -> Image:
    """Open the image alone, as for `change` of the monitor. Raises ImageError."""
    from machine.images.opening import open_image, overlay_of

    assert options.file is not None
    temporary = options.snapshot if options.snapshot is not None else snapshot
    is_fixed = options.read_only or options.is_cd
    image = open_image(options.file, options.format, writable=not is_fixed and not temporary)
    if not temporary or is_fixed:
        return image
    try:
        return overlay_of(image)
    except BaseException:
        image.close()
        raise


def _pairs(text: str) -> Iterable[tuple[str, str]]:
    for part in text.replace(",,", "\0").split(","):
        part = part.replace("\0", ",")
        if not part:
            continue
        name, equals, value = part.partition("=")
        if not equals:
            raise ImageError(f"-drive: {shown(part)}: there is no value; write {shown(name)}=...")
        yield name, value


def _one_of(name: str, value: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise ImageError(f"-drive: {name}={shown(value)}: there are {', '.join(choices)}")
    return value


def _number(name: str, value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) < 6):
        raise ImageError(f"-drive: {name}={shown(value)}: is not a number")
    return int(value)


def _switch(name: str, value: str) -> bool:
    if value not in ("on", "off"):
        raise ImageError(f"-drive: {name}={shown(value)}: there are on, off")
    return value == "on"


def _named(options: DriveOptions) -> str:
    return shown(options.file) if options.file is not None else "the empty drive"
