"""The PC, put together: a board, a processor, memory, firmware, drives, a display, characters.

`build_pc` is the whole wiring, in the order in which the parts need each other.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from machine import cmos
from machine.board import Board, Outside, build_board
from machine.bus import Bus, Unimplemented
from machine.character_options import CharacterOptions
from machine.clock import Clock, InstructionTime, RealTime, TimeSource
from machine.disks import Drives, open_drives
from machine.drive_options import DriveOptions, place
from machine.errors import MachineError
from machine.first_megabyte import FirstMegabyte
from machine.options import Settings
from machine.physical import PhysicalMemory
from machine.running import Display, Parts, Pc
from machine.wires import Wires

if TYPE_CHECKING:
    from machine.devices.fdc import FloppyController
    from machine.devices.vga import Vga
    from machine.firmware.boot import Kernel
    from machine.processor import Processor
    from tcg.log import Log
    from tcg.system import SystemRunner

VGA_SLOT, FIRST_FREE_SLOT = 2, 4
LOW_BIOS = 0x20000
"""Of a BIOS so much can be seen below one megabyte."""


def build_pc(settings: Settings, command: str = "qemupy-system-x86") -> Pc:
    """Build what the settings ask for; raises MachineError. Nothing runs yet."""
    width = _register_width(settings.cpu)
    pc = Pc(
        name=settings.name,
        width=width,
        no_reboot=settings.no_reboot,
        no_shutdown=settings.no_shutdown,
    )
    log = _open_log(settings)
    settings = _with_defaults(settings)
    drives = open_drives(settings, command)
    try:
        return _assemble(pc, settings, log, drives)
    except BaseException:
        drives.close()
        pc.loop.close()
        raise


def _assemble(pc: Pc, settings: Settings, log: Log, drives: Drives) -> Pc:
    """The wiring itself."""
    wires = Wires(pc, settings)
    source, clock = _clock(settings)
    memory = PhysicalMemory(settings.memory, Bus("memory"))
    first = FirstMegabyte(memory)

    def unimplemented(text: str) -> None:
        log.write("unimp", f"{text}\n")

    outside = Outside(
        start=settings.rtc.base or datetime.now(UTC),
        special=pc.special,
        reset=pc.guest_reset,
        power_off=pc.power_off,
        shadow=first.shadow,
        smram=first.smram,
        debug_exit=wires.debug_exit,
        debug_console=wires.debug_console,
        serial=wires.serial_sinks(),
        has_smm=False,
        unimplemented=unimplemented,
    )
    board = build_board(clock, memory, outside)
    wires.connect(board)
    vga = _add_vga(settings, board, memory, first, unimplemented)
    fdc = _add_disks(board, memory, drives, unimplemented)
    _fill_cmos(board, memory, settings, drives, fdc)
    processor, runner = _add_processor(settings, board, memory, pc, log)
    restart = _add_firmware(settings, board, memory, first, processor, drives, vga)
    if isinstance(source, InstructionTime):
        processor.count_time(source)
    pc.take(
        Parts(
            board=board,
            memory=memory,
            processor=processor,
            drives=drives.by_name,
            characters=wires.devices,
            vga=vga,
            time=source,
            display=_display(settings, pc, board, vga),
            log=log,
            resets=[fdc.reset, restart],
            statistics=getattr(runner, "statistics", dict),
        )
    )
    pc.restart()
    return pc


def _add_processor(
    settings: Settings, board: Board, memory: PhysicalMemory, pc: Pc, log: Log
) -> tuple[Processor, SystemRunner]:
    """The processor, and the engine of -accel that runs it."""
    from frontends.x86.pc_guest import PcGuest
    from machine.engines import build_runner
    from machine.processor import LockedBus, Processor

    guest = PcGuest(settings.cpu)
    one = settings.one_instruction
    # Only the interpreter counts instructions.
    accelerator = settings.accelerator if settings.icount is None else "interp"
    runner = build_runner(accelerator, guest, memory, log, one_instruction=one)
    memory.bus = LockedBus(board.memory, pc.lock)
    if accelerator == "interp":
        memory.on_written = runner.memory_changed
        memory.on_map_changed = lambda start, end: runner.remapped()
    processor = Processor(
        runner,
        guest,
        board,
        pc.lock,
        report=lambda text: log.write("unimp", f"{text}\n"),
        on_triple_fault=pc.triple_fault,
    )
    return processor, runner


# -- what the options leave open -----------------------------------------------------------------


def _with_defaults(settings: Settings) -> Settings:
    """What QEMU adds unasked: a CD-ROM drive, a serial port, a monitor, a display."""
    if settings.no_graphic:
        settings.display = "none"
    is_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    uses_stdio = any(
        one.kind == "stdio"
        for one in (*settings.serial, *settings.monitor, *settings.characters.values())
    )
    if not settings.display:
        shows = is_terminal and settings.vga != "none" and not uses_stdio
        settings.display = "term" if shows else "none"
    if settings.display == "term" and uses_stdio:
        raise MachineError("-display term and a line at stdio both want this terminal")
    if settings.no_defaults:
        return settings
    _default_lines(settings, uses_stdio)
    takes_cd = ("ide", 2) not in place(d for d in settings.drives if d.interface != "none")
    if takes_cd and not any(drive.is_cd for drive in settings.drives):
        settings.drives.append(DriveOptions(media="cdrom", index=2))
    if not any(drive.interface == "floppy" for drive in settings.drives):
        settings.drives.append(DriveOptions(interface="floppy", index=0))
    return settings


def _default_lines(settings: Settings, uses_stdio: bool) -> None:
    """With -nographic, serial line and monitor are at the terminal, if they are nowhere else."""
    at_terminal = settings.no_graphic and not uses_stdio
    if not settings.serial:
        if at_terminal:
            both = not settings.monitor
            settings.serial.append(
                CharacterOptions("stdio", mux=both, has_monitor=both, signals=False)
            )
        else:
            settings.serial.append(CharacterOptions("null"))
    elif at_terminal and not settings.monitor:
        settings.monitor.append(CharacterOptions("stdio", signals=False))


def _register_width(model: str) -> int:
    from frontends.x86.cpuid import MODELS

    return 64 if "lm" in MODELS[model].system_features else 32


def _open_log(settings: Settings) -> Log:
    from tcg.log import Log, LogError

    try:
        return Log.parse(settings.log_items, settings.log_filter, settings.log_file)
    except LogError as error:
        raise MachineError(str(error)) from None


def _clock(settings: Settings) -> tuple[TimeSource, Clock]:
    source: TimeSource
    if settings.icount is None:
        source = RealTime(time.monotonic_ns)
    else:
        source = InstructionTime(lambda: 0, settings.icount)
    return source, Clock(source)


# -- disks, display, firmware ------------------------------------------------------------------


def _add_disks(
    board: Board,
    memory: PhysicalMemory,
    drives: Drives,
    unimplemented: Unimplemented,
) -> FloppyController:
    """IDE, floppy, and a PCI function for each disk by virtio."""
    from machine.devices.fdc import FloppyController
    from machine.devices.ide import Ide

    ide = Ide(
        board.clock,
        memory,
        irqs=(board.isa_irq(14), board.isa_irq(15)),
        drives=drives.of("ide"),
        unimplemented=unimplemented,
    )
    ide.attach(board.ports)
    board.pci.add(1, 1, ide)
    fdc = FloppyController(
        board.clock, board.dma, board.isa_irq(6), drives.of("floppy"), unimplemented=unimplemented
    )
    fdc.attach(board.ports)
    for slot, drive in enumerate(drives.of("virtio").values(), FIRST_FREE_SLOT):
        from machine.devices.virtio_blk import VirtioBlk

        blk = VirtioBlk(memory, drive, board.clock, unimplemented=unimplemented)
        board.pci.add(slot, 0, blk)
    return fdc


def _fill_cmos(
    board: Board,
    memory: PhysicalMemory,
    settings: Settings,
    drives: Drives,
    fdc: FloppyController,
) -> None:
    disks = drives.of("ide")
    geometries = [
        cmos.disk_geometry(disks[n].sectors) if n in disks and not disks[n].is_cd else None
        for n in (0, 1)
    ]
    hardware = cmos.Hardware(
        below_4g=memory.below_4g,
        above_4g=memory.above_4g,
        floppies=fdc.cmos_types(),
        disks=geometries,
        order=settings.boot.once or settings.boot.order or cmos.DEFAULT_ORDER,
    )
    cmos.fill_cmos(board.rtc.cmos, hardware)


def _add_vga(
    settings: Settings,
    board: Board,
    memory: PhysicalMemory,
    first: FirstMegabyte,
    unimplemented: Unimplemented,
) -> Vga | None:
    if settings.vga == "none":
        return None
    from machine.devices.vga import Vga
    from machine.firmware_files import VGA_BIOS, read_option_rom

    rom = read_option_rom(VGA_BIOS, settings.firmware_folders) if settings.bios else b""
    vga = Vga(board.clock, memory, rom=rom, unimplemented=unimplemented)
    vga.attach(board.ports, board.memory)
    board.pci.add(VGA_SLOT, 0, vga)
    first.show_display = vga.remap
    return vga


def _add_firmware(
    settings: Settings,
    board: Board,
    memory: PhysicalMemory,
    first: FirstMegabyte,
    processor: Processor,
    drives: Drives,
    vga: Vga | None,
) -> Callable[[], None]:
    """A BIOS, embedded or from a file; answers what is to be done about it at each reset."""
    if settings.bios:
        _add_bios_file(settings, memory, first)
        _tell_bios(settings, board, memory, processor)
        return lambda: None
    from machine.firmware import bios, disk

    floppies, ide = drives.of("floppy"), drives.of("ide")
    hard_disks = [drive for drive in ide.values() if not drive.is_cd]
    known = disk.Drives(
        floppies=[floppies.get(n) for n in range(max(floppies, default=-1) + 1)],
        disks=[*hard_disks, *drives.of("virtio").values()],
        cds=[drive for drive in ide.values() if drive.is_cd],
    )
    options = bios.BiosOptions(
        order=settings.boot.once or settings.boot.order or cmos.DEFAULT_ORDER,
        menu=settings.boot.menu,
        kernel=_kernel(settings, memory),
        has_hpet=settings.hpet,
        serial_console=settings.no_graphic,
    )
    runner, cpu = processor.runner, processor.cpu
    made = bios.Bios(
        bios.Parts(
            board,
            memory,
            processor.registers,
            known,
            display=vga,
            options=options,
            translate=lambda linear: runner.translate(cpu, linear, 0),
        )
    )
    rom = memory.add_rom((1 << 32) - len(made.rom), made.rom)
    first.add_rom((1 << 20) - len(made.rom), rom)

    def restart() -> None:
        options.order = settings.boot.order or cmos.DEFAULT_ORDER

    if settings.boot.once:
        return _after_the_first(restart)
    return lambda: None


def _after_the_first(action: Callable[[], None]) -> Callable[[], None]:
    """What does nothing when it is called first, which is when the machine is switched on."""
    calls = iter((False,))
    return lambda: action() if next(calls, True) else None


def _kernel(settings: Settings, memory: PhysicalMemory) -> Kernel | None:
    if not settings.kernel:
        return None
    from machine.firmware.kernel import read_kernel

    return read_kernel(
        settings.kernel, initrd=settings.initrd, append=settings.append, below_4g=memory.below_4g
    )


def _add_bios_file(settings: Settings, memory: PhysicalMemory, first: FirstMegabyte) -> None:
    """A BIOS from a file: it ends at 4 GiB, and its last 128 KiB are below one megabyte too."""
    from machine.firmware_files import read_firmware

    data = read_firmware(settings.bios, settings.firmware_folders)
    rom = memory.add_rom((1 << 32) - len(data), data)
    low = min(len(data), LOW_BIOS)
    first.add_rom((1 << 20) - low, rom, len(data) - low)


def _tell_bios(
    settings: Settings, board: Board, memory: PhysicalMemory, processor: Processor
) -> None:
    """What a BIOS from a file looks for in fw_cfg."""
    from machine.firmware.fw_cfg_items import Items, KernelTrap, fill_fw_cfg

    kernel = _kernel(settings, memory)
    items = Items(
        below_4g=memory.below_4g,
        above_4g=memory.above_4g,
        menu=settings.boot.menu,
        has_hpet=settings.hpet,
        serial_console=settings.no_graphic or settings.vga == "none",
        has_kernel=kernel is not None,
    )
    fill_fw_cfg(board.fw_cfg, items)
    if kernel is not None:
        KernelTrap(memory, processor.registers, kernel).attach(board.ports)


def _display(settings: Settings, pc: Pc, board: Board, vga: Vga | None) -> Display | None:
    if settings.display != "term" or vga is None:
        return None
    from machine.display.term import TermDisplay
    from machine.monitor.commands import Session
    from machine.monitor.console import Monitor

    display = TermDisplay(
        screen=vga.render,
        press=board.keyboard.press_once,
        has_room=board.keyboard.has_room,
        lock=pc.lock,
        quit=pc.quit,
    )
    Monitor(Session(pc), display.monitor, pc.standing)
    return display
