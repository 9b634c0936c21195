"""The command line of `qemupy-system-x86`: a table of options, and what they say.

Options are those of QEMU's system commands, written the same way: one dash or two, the value as the
next argument, and a last argument without a dash is the first hard disk. Nothing is opened here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NamedTuple

from machine.character_options import CHARACTER_SWITCHES, CharacterOptions, read_character
from machine.drive_options import SHORT_FORMS, DriveOptions, parse_drive, place
from machine.errors import MachineError, shown
from machine.option_values import (
    one_of,
    read_number,
    read_pairs,
    read_size,
    read_switch,
    read_time,
    split_commas,
)

MB = 1 << 20

# fmt: off
ACCELERATORS = {
    "jit":      "native handlers for cold code, LLVM's for hot code; the default, also called tcg",
    "threaded": "native handlers only",
    "interp":   "plain Python: slow, the reference",
}
MACHINES = {
    "pc": "i440FX, PIIX3 and PIIX4: the default",
}
ALIASES_OF_PC = frozenset(("pc-i440fx-7.2", "pc-i440fx", "default"))
DISPLAYS = {
    "term": "the screen in this terminal; the default in one",
    "none": "no screen; the default elsewhere",
}
VGAS = {"std": "standard VGA with Bochs VBE", "none": "no display adapter"}
DEVICES = {
    "isa-debug-exit": "iobase=,iosize=: a write ends the emulator with status value * 2 + 1",
    "isa-debugcon":   "iobase=,chardev=: a port that takes text",
    "isa-serial":     "chardev=: another serial port",
    "virtio-blk-pci": "drive=: a disk by virtio",
    "ide-hd":         "drive=,bus=,unit=: a hard disk at ide.0 or ide.1",
    "ide-cd":         "drive=,bus=,unit=: a CD-ROM at ide.0 or ide.1",
    "floppy":         "drive=,unit=: a floppy disk",
}
# fmt: on

BOOT_LETTERS = "abcdn"
DEFAULT_MEMORY = 128 * MB
LEAST_MEMORY = 1 * MB
MOST_MEMORY = 64 << 30


@dataclass(slots=True)
class DeviceOptions:
    """What -device adds, with its properties as they were written."""

    kind: str
    properties: dict[str, str]


@dataclass(slots=True)
class BootOptions:
    """From where: letters a and b for floppies, c for disks, d for CD-ROMs, n for the network."""

    order: str = ""
    once: str = ""
    menu: bool = False
    splash_ms: int = 0


@dataclass(slots=True)
class ClockOptions:
    """What the real-time clock shows at first; None is the host's time in UTC."""

    base: datetime | None = None
    follows: str = "host"


@dataclass(slots=True)
class Settings:
    """What the user asked for."""

    special: str = ""
    """`help`, `version`, or the option whose values are to be listed."""
    name: str = ""
    memory: int = DEFAULT_MEMORY
    cpu: str = ""
    accelerator: str = "jit"
    icount: int | None = None
    """Instructions are 2**shift nanoseconds; None is real time."""
    drives: list[DriveOptions] = field(default_factory=list)
    snapshot: bool = False
    boot: BootOptions = field(default_factory=BootOptions)
    kernel: str = ""
    initrd: str = ""
    append: str = ""
    bios: str = ""
    firmware_folders: list[str] = field(default_factory=list)
    serial: list[CharacterOptions] = field(default_factory=list)
    monitor: list[CharacterOptions] = field(default_factory=list)
    debug_console: CharacterOptions | None = None
    characters: dict[str, CharacterOptions] = field(default_factory=dict)
    no_graphic: bool = False
    display: str = ""
    vga: str = "std"
    rtc: ClockOptions = field(default_factory=ClockOptions)
    no_reboot: bool = False
    no_shutdown: bool = False
    stopped: bool = False
    log_items: str = ""
    log_file: str = ""
    log_filter: str = ""
    devices: list[DeviceOptions] = field(default_factory=list)
    fw_cfg: list[tuple[str, bytes]] = field(default_factory=list)
    no_defaults: bool = False
    acpi: bool = True
    hpet: bool = True
    pid_file: str = ""
    one_instruction: bool = False


Setter = Callable[[Settings, str], None]


class Option(NamedTuple):
    """An option: names, how its value is called (empty if it has none), what it does, meaning."""

    names: tuple[str, ...]
    metavar: str
    set: Setter
    help: str


def _store(name: str) -> Setter:
    return lambda settings, value: setattr(settings, name, value)


def _switch(name: str, value: bool = True) -> Setter:
    return lambda settings, _: setattr(settings, name, value)


def _special(name: str) -> Setter:
    return lambda settings, _: setattr(settings, "special", name)


def _ignore(settings: Settings, text: str) -> None:
    """For what QEMU needs to be told and qemupy does not."""


# -- processor, memory, time ---------------------------------------------------------------


def _memory(settings: Settings, text: str) -> None:
    pairs = read_pairs("-m", text, ("size", "slots", "maxmem"), "size")
    if "slots" in pairs or "maxmem" in pairs:
        raise MachineError("-m: memory cannot be plugged in later: leave slots and maxmem out")
    size = read_size("-m", pairs.get("size", "128"), MB)
    if not LEAST_MEMORY <= size <= MOST_MEMORY:
        raise MachineError(f"-m {shown(text)}: a machine has 1M to 64G of memory")
    settings.memory = -(-size // 4096) * 4096


def _cpu(settings: Settings, text: str) -> None:
    settings.cpu = split_commas(text)[0]
    if settings.cpu in {"help", "?"}:
        settings.special = "cpu"
    elif "," in text:
        raise MachineError(f"-cpu {shown(text)}: a model's features are fixed; name the model only")


def _smp(settings: Settings, text: str) -> None:
    pairs = read_pairs("-smp", text, ("cpus", "maxcpus", "cores", "threads", "sockets"), "cpus")
    for name, value in pairs.items():
        if read_number(f"-smp {name}", value) != 1:
            raise MachineError(f"-smp {shown(text)}: a machine has one processor; leave -smp out")


def _machine(settings: Settings, text: str) -> None:
    pairs = read_pairs(
        "-machine", text, ("type", "accel", "hpet", "acpi", "usb", "graphics"), "type"
    )
    kind = pairs.get("type", "pc")
    if kind in {"help", "?"}:
        settings.special = "machine"
        return
    if kind not in ALIASES_OF_PC:
        one_of("-machine", kind, MACHINES)
    if "accel" in pairs:
        _accelerator(settings, pairs["accel"])
    for name in ("hpet", "acpi"):
        if name in pairs:
            setattr(settings, name, read_switch(f"-machine {name}", pairs[name]))
    if read_switch("-machine usb", pairs.get("usb", "off")):
        raise MachineError("-machine usb=on: there is no USB; keyboard and mouse are PS/2")


def _accelerator(settings: Settings, text: str) -> None:
    names = ("accel", "thread", "tb-size", "one-insn-per-tb")
    pairs = read_pairs("-accel", text, names, "accel")
    name = pairs.get("accel", "jit")
    if name in {"help", "?"}:
        settings.special = "accel"
    elif name in {"tcg", "tcg:tcg"}:
        settings.accelerator = "jit"
    else:
        settings.accelerator = one_of("-accel", name, ACCELERATORS)
    if "one-insn-per-tb" in pairs:
        settings.one_instruction = read_switch("-accel one-insn-per-tb", pairs["one-insn-per-tb"])


def _icount(settings: Settings, text: str) -> None:
    pairs = read_pairs("-icount", text, ("shift", "align", "sleep"), "shift")
    shift = pairs.get("shift", "auto")
    settings.icount = 3 if shift == "auto" else read_number("-icount shift", shift, 0, 10)
    if read_switch("-icount align", pairs.get("align", "off")):
        raise MachineError("-icount align=on: counted time does not wait for the host's")
    read_switch("-icount sleep", pairs.get("sleep", "off"))


def _rtc(settings: Settings, text: str) -> None:
    pairs = read_pairs("-rtc", text, ("base", "clock", "driftfix"))
    if "base" in pairs:
        settings.rtc.base = read_time("-rtc base", pairs["base"])
    if "clock" in pairs:
        settings.rtc.follows = one_of("-rtc clock", pairs["clock"], ("host", "rt", "vm"))
    one_of("-rtc driftfix", pairs.get("driftfix", "none"), ("none", "slew"))


# -- disks -----------------------------------------------------------------------------------


def _disk(name: str) -> Setter:
    def set_drive(settings: Settings, text: str) -> None:
        settings.drives.append(replace(SHORT_FORMS[name], file=text))

    return set_drive


def _drive(settings: Settings, text: str) -> None:
    settings.drives.append(parse_drive(text))


def _boot(settings: Settings, text: str) -> None:
    names = ("order", "once", "menu", "splash", "splash-time", "reboot-timeout", "strict")
    pairs = read_pairs("-boot", text, names, "order")
    for name in ("order", "once"):
        letters = pairs.get(name, "")
        for letter in letters:
            if letter not in BOOT_LETTERS or letters.count(letter) > 1:
                raise MachineError(
                    f"-boot {name}={shown(letters)}: write each once: a and b for floppies,"
                    " c for the hard disk, d for CD-ROM, n for the network"
                )
    settings.boot.order = pairs.get("order", settings.boot.order)
    settings.boot.once = pairs.get("once", settings.boot.once)
    if "menu" in pairs:
        settings.boot.menu = read_switch("-boot menu", pairs["menu"])
    if "splash-time" in pairs:
        settings.boot.splash_ms = read_number("-boot splash-time", pairs["splash-time"], 0, 65535)


# -- characters, display ---------------------------------------------------------------------


def _serial(settings: Settings, text: str) -> None:
    settings.serial.append(read_character("-serial", text))
    if len(settings.serial) > 4:
        raise MachineError("-serial: a PC has at most four serial ports")


def _monitor(settings: Settings, text: str) -> None:
    settings.monitor.append(read_character("-monitor", text))


def _debug_console(settings: Settings, text: str) -> None:
    settings.debug_console = read_character("-debugcon", text)


def _parallel(settings: Settings, text: str) -> None:
    if text not in {"none", "null"}:
        raise MachineError(f"-parallel {shown(text)}: there is no parallel port; write none")


CHARACTER_NAMES = (
    *("id", "path", "host", "port", "server", "wait", "nowait", "nodelay", "mux", "signal"),
    *("logfile", "append", "telnet", "backend"),
)


def _chardev(settings: Settings, text: str) -> None:
    switches = ("server", "nowait", *CHARACTER_SWITCHES)
    pairs = read_pairs("-chardev", text, CHARACTER_NAMES, "backend", switches=switches)
    if not pairs.get("id"):
        raise MachineError(f"-chardev {shown(text)}: it needs a name: id=name")
    settings.characters[pairs["id"]] = CharacterOptions.of_pairs(text, pairs)


def _mon(settings: Settings, text: str) -> None:
    pairs = read_pairs("-mon", text, ("chardev", "mode", "pretty"), "chardev")
    if pairs.get("mode", "readline") != "readline":
        raise MachineError("-mon mode=control: there is no QMP; leave mode out")
    settings.monitor.append(read_character("-mon", f"chardev:{pairs.get('chardev', '')}"))


def _display(settings: Settings, text: str) -> None:
    kind = split_commas(text)[0]
    if kind in {"help", "?"}:
        settings.special = "display"
        return
    settings.display = "term" if kind == "curses" else one_of("-display", kind, DISPLAYS)


def _vga(settings: Settings, text: str) -> None:
    if text in {"help", "?"}:
        settings.special = "vga"
        return
    settings.vga = one_of("-vga", text, VGAS)


# -- devices -----------------------------------------------------------------------------------


def _device(settings: Settings, text: str) -> None:
    kind, _, rest = text.partition(",")
    if kind in {"help", "?"}:
        settings.special = "device"
        return
    if kind not in DEVICES:
        raise MachineError(f"-device: there is no {shown(kind)}; -device help lists them")
    names = DEVICE_NAMES[kind]
    pairs = read_pairs(f"-device {kind}", rest, names) if rest else {}
    settings.devices.append(DeviceOptions(kind, pairs))


# fmt: off
DEVICE_NAMES: dict[str, tuple[str, ...]] = {
    "isa-debug-exit": ("iobase", "iosize", "id"),
    "isa-debugcon":   ("iobase", "chardev", "id", "readback"),
    "isa-serial":     ("chardev", "index", "id", "iobase", "irq"),
    "virtio-blk-pci": ("drive", "id", "addr", "bootindex", "bus"),
    "ide-hd":         ("drive", "bus", "unit", "id", "bootindex"),
    "ide-cd":         ("drive", "bus", "unit", "id", "bootindex"),
    "floppy":         ("drive", "unit", "id", "bootindex"),
}
# fmt: on


def _network(settings: Settings, text: str) -> None:
    if text != "none":
        raise MachineError(f"there is no network card: write -nic none instead of {shown(text)}")


def _fw_cfg(settings: Settings, text: str) -> None:
    pairs = read_pairs("-fw_cfg", text, ("name", "string", "file"), "name")
    if "name" not in pairs or ("string" in pairs) == ("file" in pairs):
        raise MachineError(f"-fw_cfg {shown(text)}: write name=opt/...,string=text or file=path")
    if len(pairs["name"].encode()) > 55:
        raise MachineError(f"-fw_cfg {shown(pairs['name'])}: names have at most 55 bytes")
    data = pairs.get("string", "").encode(errors="surrogateescape")
    if "file" in pairs:
        try:
            with open(pairs["file"], "rb") as file:
                data = file.read()
        except OSError as error:
            raise MachineError(f"-fw_cfg: {shown(pairs['file'])}: {error.strerror}") from None
    settings.fw_cfg.append((pairs["name"], data))


def _library(settings: Settings, text: str) -> None:
    if text == "help":
        settings.special = "library"
    settings.firmware_folders.append(text)


# fmt: off
OPTIONS: tuple[Option, ...] = (
    Option(("h", "help"), "", _special("help"), "print this help"),
    Option(("version",), "", _special("version"), "print the version"),

    Option(("hda",), "file", _disk("hda"), "first hard disk; -hdb, -hdc, -hdd likewise"),
    Option(("hdb",), "file", _disk("hdb"), "second"),
    Option(("hdc",), "file", _disk("hdc"), "third, where -cdrom is otherwise"),
    Option(("hdd",), "file", _disk("hdd"), "fourth"),
    Option(("cdrom",), "file", _disk("cdrom"), "CD-ROM image"),
    Option(("fda",), "file", _disk("fda"), "first floppy disk"),
    Option(("fdb",), "file", _disk("fdb"), "second"),
    Option(("drive",), "file=f[,...]", _drive,
           "a disk: format=raw|qcow2, if=ide|floppy|virtio|none, media=disk|cdrom, index=n, "
           "snapshot=on, readonly=on, id=name"),
    Option(("snapshot",), "", _switch("snapshot"),
           "write to temporary files instead of disk images"),
    Option(("boot",), "[order=]abcd[,...]", _boot,
           "where to boot from; once=letters for the first time, menu=on, splash-time=ms"),
    Option(("kernel",), "file", _store("kernel"), "boot this Linux kernel"),
    Option(("initrd",), "file", _store("initrd"), "with this initial RAM disk"),
    Option(("append",), "text", _store("append"), "and this command line"),
    Option(("bios",), "file", _store("bios"), "firmware instead of the embedded BIOS"),
    Option(("L",), "path", _library, "where firmware is looked for first"),

    Option(("m",), "size", _memory, "memory, 128M if not given"),
    Option(("cpu",), "model", _cpu, "the processor; -cpu help lists them"),
    Option(("smp",), "1", _smp, "accepted: there is one processor"),
    Option(("machine", "M"), "pc", _machine, "accepted: there is one machine; acpi=off, hpet=off"),
    Option(("accel",), "name", _accelerator,
           "jit (the default), threaded (compiles no hot code) or interp (plain Python)"),
    Option(("icount",), "shift=n|auto", _icount,
           "an instruction takes 2**n ns: every run of a guest is the same"),
    Option(("rtc",), "base=time[,...]", _rtc,
           "utc, localtime or 2024-02-29T23:59:58; clock=host|rt|vm"),

    Option(("vga",), "std|none", _vga, "display adapter"),
    Option(("display",), "term|none", _display, "where its screen is shown"),
    Option(("curses",), "", lambda settings, _: setattr(settings, "display", "term"),
           "-display term"),
    Option(("nographic",), "", _switch("no_graphic"),
           "no screen; serial line and monitor share the terminal (Ctrl-A h for help)"),
    Option(("serial",), "where", _serial,
           "stdio, file:f, pty, tcp:host:port[,server][,nowait], null, none, mon:stdio"),
    Option(("monitor",), "where", _monitor, "where commands come from; as -serial"),
    Option(("parallel",), "none", _parallel, "accepted: there is no parallel port"),
    Option(("debugcon",), "where", _debug_console, "what is written to port E9h; as -serial"),
    Option(("chardev",), "kind,id=name[,...]", _chardev,
           "stdio, file, pty, socket, null for chardev:name; mux=on to share it"),
    Option(("mon",), "chardev=id", _mon, "another monitor"),

    Option(("device",), "name[,...]", _device, "add a device; -device help lists them"),
    Option(("fw_cfg",), "name=n,string=t", _fw_cfg, "an item for firmware; file=path from a file"),
    Option(("nic", "net"), "none", _network, "accepted: there is no network card"),
    Option(("nodefaults",), "", _switch("no_defaults"), "no serial port, monitor or drive unasked"),
    Option(("no-acpi",), "", _switch("acpi", False), "firmware without ACPI tables"),
    Option(("no-hpet",), "", _switch("hpet", False), "no high precision event timer"),
    Option(("no-reboot",), "", _switch("no_reboot"), "end instead of rebooting"),
    Option(("no-shutdown",), "", _switch("no_shutdown"), "stop instead of ending"),
    Option(("S",), "", _switch("stopped"), "do not start: wait for `cont` of the monitor"),

    Option(("d",), "item[,...]", _store("log_items"),
           "show what goes on; -d help lists the items"),
    Option(("D",), "file", _store("log_file"), "write it to a file instead of stderr"),
    Option(("dfilter",), "range[,...]", _store("log_filter"),
           "show it for these guest addresses: start..end, start+length, end-length"),
    Option(("one-insn-per-tb", "singlestep"), "", _switch("one_instruction"),
           "one guest instruction in each block"),
    Option(("name",), "text", _store("name"), "what the machine is called"),
    Option(("pidfile",), "file", _store("pid_file"), "write the process id there"),
    Option(("k",), "language", _ignore, "accepted: keys come as the terminal has them"),
    Option(("no-fd-bootchk",), "", _ignore, "accepted"),
    Option(("no-user-config", "nouserconfig"), "", _ignore, "accepted: no configuration is read"),
)
# fmt: on

_BY_NAME = {name: option for option in OPTIONS for name in option.names}

# fmt: off
NOT_HERE = {
    "enable-kvm": "there is no KVM here; -accel help lists what there is",
    "daemonize":  "there is no -daemonize; start it in the background with &",
    "vnc":        "there is no VNC server; use -display term or -nographic",
    "gdb":        "there is no debugger's stub",
    "s":          "there is no debugger's stub",
    "qmp":        "there is no QMP; use -monitor",
    "netdev":     "there is no network card",
    "usb":        "there is no USB; keyboard and mouse are PS/2",
    "usbdevice":  "there is no USB; keyboard and mouse are PS/2",
    "loadvm":     "states cannot be saved or loaded",
    "incoming":   "states cannot be saved or loaded",
    "numa":       "there is one processor and one memory",
    "sdl":        "there is no window; use -display term",
    "gtk":        "there is no window; use -display term",
    "global":     "devices have no properties to set for all of a kind; use -device",
    "object":     "there are no objects to make",
    "blockdev":   "there is no -blockdev; use -drive",
}
# fmt: on


def read_options(argv: Sequence[str]) -> Settings:
    """Read the arguments (without the command's own name); raises MachineError."""
    settings = Settings()
    words = list(argv)
    while words:
        word = words.pop(0)
        if not word.startswith("-") or word == "-":
            _disk("hda")(settings, word)
            continue
        name = word.removeprefix("-").removeprefix("-")
        option = _BY_NAME.get(name)
        if option is None:
            raise MachineError(
                NOT_HERE.get(name) or f"there is no option {shown(word)}; -h lists them"
            )
        if option.metavar and not words:
            raise MachineError(f"{word} needs a value: {word} {option.metavar}")
        option.set(settings, words.pop(0) if option.metavar else "")
        if settings.log_items == "help":
            settings.special = "log"
        if settings.special:
            return settings
    _check(settings)
    return settings


def _check(settings: Settings) -> None:
    """What options say together."""
    for name, value in (("initrd", settings.initrd), ("append", settings.append)):
        if value and not settings.kernel:
            raise MachineError(f"-{name} goes with -kernel")
    _check_drives(settings)
    _check_characters(settings)
    _check_devices(settings)


def _check_drives(settings: Settings) -> None:
    """Every drive has a place of its own, and a name of its own."""
    place(drive for drive in settings.drives if drive.interface != "none")
    ids = [drive.id for drive in settings.drives if drive.id]
    for name in ids:
        if ids.count(name) > 1:
            raise MachineError(f"-drive id={shown(name)}: there are two of that name")


def _check_characters(settings: Settings) -> None:
    asked = [*settings.serial, *settings.monitor]
    if settings.debug_console is not None:
        asked.append(settings.debug_console)
    for one in asked:
        if one.kind == "chardev" and one.path not in settings.characters:
            raise MachineError(f"chardev:{shown(one.path)}: there is no -chardev with that id")


def _check_devices(settings: Settings) -> None:
    """-device with a drive takes one that -drive if=none,id=... has made."""
    drives = {drive.id for drive in settings.drives if drive.id}
    for device in settings.devices:
        name = device.properties.get("drive")
        if name is not None and name not in drives:
            raise MachineError(f"-device {device.kind}: there is no -drive with id={shown(name)}")
        if device.kind in {"virtio-blk-pci", "ide-hd"} and name is None:
            raise MachineError(
                f"-device {device.kind}: it needs drive=id of a -drive if=none,id=id"
            )
        chardev = device.properties.get("chardev")
        if chardev is not None and chardev not in settings.characters:
            raise MachineError(
                f"-device {device.kind}: there is no -chardev with id={shown(chardev)}"
            )
