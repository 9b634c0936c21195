"""Linux's boot protocol: a kernel's setup code is entered in real mode, with everything loaded.

Source: Documentation/arch/x86/boot.rst of Linux 6.1, cited by its field names. Places are those
that QEMU uses. Memory for initrd ends below what firmware keeps for tables.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from machine.errors import MachineError, shown
from machine.firmware.boot import Jump
from machine.firmware.call import Guest

HEADER_AT, HEADER_END = 0x1F1, 0x268
SECTOR = 512
BOOT_FLAG, MAGIC = 0xAA55, 0x53726448
LOADED_HIGH, CAN_USE_HEAP = 0x01, 0x80
DEFAULT_SETUP_SECTORS = 4
COMMAND_LINE_MAGIC = 0xA33F
UNKNOWN_LOADER = 0xFF
OLD_INITRD_MAX = 0x37FF_FFFF

HIGH, PAGE = 0x100000, 0x1000
KEPT_BY_FIRMWARE = 0x80000
"""Bytes at the end of low memory that an initrd leaves to ACPI tables and the like."""

VIDEO_MODES = {"normal": 0xFFFF, "ext": 0xFFFE, "ask": 0xFFFD}


@dataclass(frozen=True, slots=True)
class Places:
    """Where things go: the setup code, the command line's end, protected-mode code."""

    setup: int
    command_line: int
    code: int


LOW_KERNEL = Places(0x90000, 0x9A000, 0x10000)
OLD_HIGH_KERNEL = Places(0x90000, 0x9A000, HIGH)
NEW_KERNEL = Places(0x10000, 0x20000, HIGH)


@dataclass(frozen=True, slots=True)
class Header:
    """What matters of the setup header; `protocol` is 0 before 2.00."""

    setup_sects: int
    syssize: int
    protocol: int
    loadflags: int
    initrd_addr_max: int
    cmdline_size: int

    @property
    def setup_bytes(self) -> int:
        return ((self.setup_sects or DEFAULT_SETUP_SECTORS) + 1) * SECTOR

    @property
    def places(self) -> Places:
        if self.protocol < 0x200 or not self.loadflags & LOADED_HIGH:
            return LOW_KERNEL
        return OLD_HIGH_KERNEL if self.protocol < 0x202 else NEW_KERNEL


def layout() -> Any:
    """The setup header, from 1F1h on."""
    from construct import Const, Int8ul, Int16ul, Int32ul, Int64ul, Padding, Struct

    return Struct(
        "setup_sects" / Int8ul,
        "root_flags" / Int16ul,
        "syssize" / Int32ul,
        "ram_size" / Int16ul,
        "vid_mode" / Int16ul,
        "root_dev" / Int16ul,
        "boot_flag" / Const(BOOT_FLAG, Int16ul),
        "jump" / Int16ul,
        "header" / Int32ul,
        "version" / Int16ul,
        "realmode_swtch" / Int32ul,
        "start_sys_seg" / Int16ul,
        "kernel_version" / Int16ul,
        "type_of_loader" / Int8ul,
        "loadflags" / Int8ul,
        "setup_move_size" / Int16ul,
        "code32_start" / Int32ul,
        "ramdisk_image" / Int32ul,
        "ramdisk_size" / Int32ul,
        "bootsect_kludge" / Int32ul,
        "heap_end_ptr" / Int16ul,
        "ext_loader_ver" / Int8ul,
        "ext_loader_type" / Int8ul,
        "cmd_line_ptr" / Int32ul,
        "initrd_addr_max" / Int32ul,
        "kernel_alignment" / Int32ul,
        "relocatable_kernel" / Int8ul,
        "min_alignment" / Int8ul,
        "xloadflags" / Int16ul,
        "cmdline_size" / Int32ul,
        Padding(4),  # hardware_subarch
        "hardware_subarch_data" / Int64ul,
        "payload_offset" / Int32ul,
        "payload_length" / Int32ul,
        "setup_data" / Int64ul,
        "pref_address" / Int64ul,
        "init_size" / Int32ul,
        "handover_offset" / Int32ul,
    )


# fmt: off
# Where fields that a boot loader writes are.
VID_MODE, TYPE_OF_LOADER, LOADFLAGS          = 0x1FA, 0x210, 0x211
RAMDISK_IMAGE, RAMDISK_SIZE, HEAP_END_PTR    = 0x218, 0x21C, 0x224
CMD_LINE_PTR, OLD_CMD_LINE, OLD_CMD_OFFSET   = 0x228, 0x20, 0x22
# fmt: on


def read_header(image: bytes, name: str) -> Header:
    """Find out what kind of kernel it is. Raises MachineError."""
    from construct import ConstructError

    if len(image) < 2 * SECTOR:
        raise MachineError(f"-kernel {shown(name)}: {len(image)} bytes are no kernel")
    if image[:4] == b"\x7fELF":
        raise MachineError(
            f"-kernel {shown(name)} is an ELF file without a Multiboot header; Linux boots from its"
            " bzImage (arch/x86/boot/bzImage, /boot/vmlinuz-*)"
        )
    try:
        fields = layout().parse(image[HEADER_AT:HEADER_END].ljust(HEADER_END - HEADER_AT, b"\0"))
    except ConstructError:
        raise MachineError(
            f"-kernel {shown(name)} has no boot header: the bytes 55 aa are not at offset 510"
        ) from None
    if fields.header != MAGIC:
        return Header(fields.setup_sects, fields.syssize & 0xFFFF, 0, 0, 0, 0)
    protocol = fields.version
    return Header(
        setup_sects=fields.setup_sects,
        syssize=fields.syssize if protocol >= 0x204 else fields.syssize & 0xFFFF,
        protocol=protocol,
        loadflags=fields.loadflags,
        initrd_addr_max=fields.initrd_addr_max if protocol >= 0x203 else OLD_INITRD_MAX,
        cmdline_size=(fields.cmdline_size if protocol >= 0x206 else 0) or 255,
    )


class LinuxKernel:
    """A kernel with its initrd and command line, checked and ready to be loaded."""

    def __init__(self, name: str, image: bytes, initrd: bytes, append: str, below_4g: int) -> None:
        self._name = name
        self._header = header = read_header(image, name)
        self._places = header.places
        self._setup = image[: header.setup_bytes]
        self._code = image[header.setup_bytes :]
        self._initrd = initrd
        self._command_line = append.encode(errors="surrogateescape") + b"\0"
        self._check(below_4g)
        self._initrd_at = self._place_initrd(below_4g)
        self._video_mode = video_mode(append)

    @property
    def title(self) -> str:
        return f"kernel {self._name.rpartition('/')[2]}"

    def _check(self, below_4g: int) -> None:
        header, name = self._header, shown(self._name)
        if not self._code or len(self._setup) < header.setup_bytes:
            raise MachineError(f"-kernel {name}: it is truncated: only its setup code is there")
        wanted = 16 * header.syssize
        if header.protocol >= 0x204 and len(self._code) + 16 <= wanted:
            raise MachineError(
                f"-kernel {name}: it is truncated: {len(self._code)} bytes follow the setup code"
                f" instead of {wanted}"
            )
        room = 0x90000 - 0x10000 if self._places.code < HIGH else below_4g - HIGH
        if len(self._code) > room:
            raise MachineError(
                f"-kernel {name} has {len(self._code)} bytes, for which there is no room in"
                f" {below_4g >> 20} MB of memory; -m gives it more"
            )
        room = min(header.cmdline_size, 0x8000)
        if len(self._command_line) - 1 > room:
            raise MachineError(
                f"-append: {len(self._command_line) - 1} characters are too many, this kernel takes"
                f" {room}"
            )

    def _place_initrd(self, below_4g: int) -> int:
        """The highest place that is allowed, at the beginning of a page."""
        if not self._initrd:
            return 0
        header, name = self._header, shown(self._name)
        if header.protocol < 0x200:
            raise MachineError(
                f"-kernel {name} is too old for an initrd (boot protocol before 2.00)"
            )
        end = min(header.initrd_addr_max + 1, below_4g - KEPT_BY_FIRMWARE)
        at = (end - len(self._initrd)) & -PAGE
        first = HIGH + (len(self._code) if self._places.code == HIGH else 0)
        if at < first:
            raise MachineError(
                f"-initrd: {len(self._initrd)} bytes do not fit beside the kernel in"
                f" {below_4g >> 20} MB of memory; -m gives it more"
            )
        return at

    def load(self, guest: Guest) -> Jump:
        """Put everything into memory, and say where the setup code begins."""
        places = self._places
        line_at = places.command_line
        if places is not NEW_KERNEL:
            line_at -= len(self._command_line) + 15 & ~15
        setup = bytearray(self._setup)
        self._fill(setup, line_at)
        write = guest.memory.write
        write(places.setup, bytes(setup))
        write(places.code, self._code)
        write(line_at, self._command_line)
        if self._initrd:
            write(self._initrd_at, self._initrd)
        segment = places.setup >> 4
        stack = min(line_at - places.setup, 0x10000) - 16
        return Jump(segment + 0x20, 0, data=segment, stack=stack)

    def _fill(self, setup: bytearray, line_at: int) -> None:
        """The fields that the boot loader writes."""

        def put(at: int, value: int, size: int) -> None:
            setup[at : at + size] = value.to_bytes(size, "little")

        protocol = self._header.protocol
        if self._video_mode is not None:
            put(VID_MODE, self._video_mode, 2)
        if protocol >= 0x202:
            put(CMD_LINE_PTR, line_at, 4)
        else:
            put(OLD_CMD_LINE, COMMAND_LINE_MAGIC, 2)
            put(OLD_CMD_OFFSET, line_at - self._places.setup, 2)
        if protocol >= 0x200:
            setup[TYPE_OF_LOADER] = UNKNOWN_LOADER
            put(RAMDISK_IMAGE, self._initrd_at, 4)
            put(RAMDISK_SIZE, len(self._initrd), 4)
        if protocol >= 0x201:
            setup[LOADFLAGS] |= CAN_USE_HEAP
            put(HEAP_END_PTR, min(line_at - self._places.setup, 0x10000) - 0x200, 2)


def video_mode(append: str) -> int | None:
    """What vga= on the command line asks the setup code for."""
    words = [word for word in append.split() if word.startswith("vga=")]
    if not words:
        return None
    value = words[-1][4:]
    if value in VIDEO_MODES:
        return VIDEO_MODES[value]
    try:
        return int(value, 0) & 0xFFFF
    except ValueError:
        return None
