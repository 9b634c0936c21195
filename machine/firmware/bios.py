"""The embedded BIOS: a ROM of little code, and services in Python behind ports B4h to BDh.

An interrupt's entry in the ROM is an OUT to one of these ports: `Bios` is the device there. It
looks at the registers, does the work and answers in them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from machine.board import COM_PORTS, Board
from machine.bus import Memory
from machine.firmware import keyboard, post, rom
from machine.firmware.acpi_tables import AcpiLayout, acpi_size, build_acpi
from machine.firmware.boot import Boot, Kernel
from machine.firmware.call import Call, Guest, Registers
from machine.firmware.disk import DiskServices, Drives
from machine.firmware.memory_map import memory_map
from machine.firmware.mp_table import mp_table
from machine.firmware.pci_bios import PciServices, routing_table
from machine.firmware.pointer import Pointer
from machine.firmware.screen import Screen, VideoMemory
from machine.firmware.serial import Serial, print_nothing
from machine.firmware.serial_console import SerialConsole
from machine.firmware.smbios import smbios_tables
from machine.firmware.system import SystemServices
from machine.firmware.time_of_day import TimeOfDay
from machine.firmware.vbe import Vbe
from machine.firmware.video import Video

FIRST_PORT = 0xB4
DO_POST, DO_KEY, DO_ALARM, DO_POINTER, DO_BOOT, DO_ROMS, DO_KERNEL, DO_NEXT = range(8)

NOWHERE = 1 << 40
"""A physical address where no memory can be."""

MAY_WAIT = frozenset((3, 4, 7))
"""Offsets of ports behind which the ROM looks at OF."""

OPTION_ROMS_END = 0xF000
VGA = (0x1234, 0x1111)

BANNER = "qemupy BIOS\n\n"


class PcMemory(Memory, Protocol):
    """Physical memory as the processor and the devices reach it."""

    @property
    def below_4g(self) -> int: ...
    @property
    def above_4g(self) -> int: ...
    def store(self, address: int, value: int, size: int) -> None: ...


class Display(Protocol):
    """A display adapter, as far as its memory is concerned."""

    @property
    def memory(self) -> VideoMemory: ...


@dataclass(slots=True)
class BiosOptions:
    """What the user asked for."""

    order: str = "cad"
    menu: bool = False
    kernel: Kernel | None = None
    has_hpet: bool = True
    serial_console: bool = False
    """Text goes to the first serial port too, and keys come from there."""


@dataclass(slots=True)
class Parts:
    """What a BIOS is built for."""

    board: Board
    memory: PcMemory
    registers: Registers
    drives: Drives = field(default_factory=Drives)
    display: Display | None = None
    options: BiosOptions = field(default_factory=BiosOptions)
    translate: Callable[[int], int] | None = None
    """Linear to physical addresses, if paging may be on."""


class Bios:
    """The device at ports B4h to BDh, and the ROM that calls it (`rom`, for F0000h and the top)."""

    length = 10
    width = 1

    def __init__(self, parts: Parts) -> None:
        board, memory, options = parts.board, parts.memory, parts.options
        self._board = board
        self._registers = parts.registers
        self._has_hpet = options.has_hpet
        self._translate = parts.translate
        ram = getattr(memory, "ram", None)
        self.guest = guest = Guest(memory, low=ram.view if ram is not None else None)
        labels = rom.code().labels
        video_memory = parts.display.memory if parts.display else None
        screen = Screen(board.ports, guest, video_memory, memory.store, rom.FONTS)
        vbe = Vbe(screen, self._frame_buffer, rom.NAME)
        self.video = Video(screen, vbe, rom.FUNCTIONALITY)
        self.disks = DiskServices(guest, parts.drives)
        self.keyboard = keyboard.Keyboard(guest, self._restart)
        self.serial = Serial(guest, board.ports)
        self.pointer = Pointer(guest, board)
        self._acpi_size = acpi_size(memory.below_4g)
        ranges = memory_map(memory.below_4g, memory.above_4g, self._acpi_size)
        self.system = SystemServices(guest, board, ranges, self.pointer, rom.CONFIGURATION)
        pci = PciServices(board.pci, rom.BASE + labels["pci32"], rom.BASE)
        self.time = TimeOfDay(guest, board.ports, pci.call)
        self.boot = Boot(
            guest,
            self.disks,
            parts.drives,
            self.video.write_text,
            lambda: options.order,
            options.kernel,
            options.menu,
        )
        self._console: SerialConsole | None = None
        if options.serial_console and board.uarts:
            self._console = SerialConsole(
                board.ports, COM_PORTS[0][0], self.keyboard.put, keyboard.word_of
            )
            self.keyboard.poll = self._console.poll
            screen.mirror = self._console
        self._acpi_base = memory.below_4g - self._acpi_size
        self.rom = self._build_rom()
        self._services: tuple[Callable[[Call], None], ...] = (
            self.video.call,
            self.disks.call,
            self.serial.call,
            self.system.call,
            self.keyboard.call,
            print_nothing,
            self.time.call,
            self._control,
            pci.directory,
            pci.call,
        )
        # fmt: off
        self._controls: dict[int, Callable[[Call], None]] = {
            DO_POST: self._post,   DO_KEY: self._key,        DO_ALARM: self._alarm,
            DO_POINTER: self._pointer, DO_BOOT: self.boot.first, DO_NEXT: self._boot_next,
            DO_KERNEL: self.boot.kernel, DO_ROMS: self._next_option_rom,
        }
        # fmt: on
        board.ports.attach(FIRST_PORT, self)

    def read(self, offset: int, size: int = 1) -> int:
        return 0xFF

    def write(self, offset: int, value: int, size: int = 1) -> None:
        """The ROM asks for a service."""
        call = Call(self._registers)
        is_paged = self._translate is not None and self._registers["cr0"] >> 31 & 1
        self.guest.translate = self._physical if is_paged else None
        if offset in MAY_WAIT:
            call.not_yet = False
        self._services[offset](call)

    def _physical(self, linear: int) -> int:
        """Where a linear address is; nowhere if no page is there, as no BIOS can bring it in."""
        from tcg.system import PageFault

        assert self._translate is not None
        try:
            return self._translate(linear & 0xFFFF_FFFF)
        except PageFault:
            return NOWHERE

    # -- the ROM

    def _build_rom(self) -> bytes:
        made = rom.new_rom()
        layout = build_acpi(self._acpi_base, has_hpet=self._has_hpet)
        self._acpi = layout
        if self._acpi_size:
            made.place(layout.rsdp)
        made.place(mp_table(rom.BASE + made.free))
        for table in smbios_tables(rom.BASE + made.free + 15 & ~15):
            made.place(table)
        made.place(routing_table(self._board.pci))
        return made.finish()

    # -- what the ROM's other code asks for

    def _control(self, call: Call) -> None:
        control = self._controls.get(call.al)
        if control is not None:
            control(call)

    def _post(self, call: Call) -> None:
        post.set_up_devices(self._board)
        post.shadow_option_roms(self.guest, self._board)
        post.set_up_memory(self.guest, self._board, self.disks)
        self.keyboard.set_up()
        self.time.set_ticks_by_clock()
        self._put_acpi(self._acpi)
        if self._console is not None:
            self._console.open()
        self.video.screen.set_mode(3)
        self.video.write_text(BANNER)

    def _put_acpi(self, layout: AcpiLayout) -> None:
        if self._acpi_size:
            self.guest.memory.write(self._acpi_base, layout.tables)

    def _key(self, call: Call) -> None:
        action = self.keyboard.scan(call.ah)
        call.al, call.ah = action & 0xFF, action >> 8

    def _alarm(self, call: Call) -> None:
        call.al = int(self.time.alarm())

    def _pointer(self, call: Call) -> None:
        call.al = int(self.pointer.byte())

    def _boot_next(self, call: Call) -> None:
        self.keyboard.poll()
        self.boot.next(call)

    def _next_option_rom(self, call: Call) -> None:
        """Look for 55AAh, a length and a good checksum at every 2 KiB."""
        segment = call.bx
        while segment < OPTION_ROMS_END:
            header = self.guest.read(16 * segment, 3)
            if header[:2] == b"\x55\xaa" and header[2]:
                image = self.guest.read(16 * segment, 512 * header[2])
                if sum(image) & 0xFF == 0:
                    call.bx = segment
                    return
            segment += 0x80
        call.bx = 0

    def _restart(self) -> None:
        self._board.ports.write(0x64, 0xFE, 1)

    def _frame_buffer(self) -> int:
        """Where the display's linear frame buffer is."""
        for function in self._board.pci.functions.values():
            if (function.read_config(0, 2), function.read_config(2, 2)) == VGA:
                return function.bar_address(0) or 0
        return 0
