"""The PC's floppy disk controller: an 82077AA in AT mode, with up to two drives, by DMA or without.

Source: Intel, "82077AA CHMOS Single-Chip Floppy Disk Controller", order 290166, sections 2.1
(registers), 5.0 (commands), 6.0 (status). Section numbers here are of that document.

Not modelled: rotation, but that READ ID comes by all sectors; motors; scan commands; the tape
drive; sectors of other sizes than 512 bytes, which a disk has not; marks of deleted data, so that
READ DELETED DATA finds none. A command takes a little while; seeks take no longer for being long.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from machine.bus import Bus, Unimplemented, Window, ignore
from machine.clock import Clock
from machine.devices.dma import Dma
from machine.devices.floppy_drive import FloppyDrive
from machine.drive import SECTOR, Drive, DriveError
from machine.line import Line

DMA_CHANNEL = 2
VERSION = 0x90

# fmt: off
# Registers
DIR                           = 7
NOT_RESET, DMA_GATE           = 0x04, 0x08              # DOR
RQM, DIO, NON_DMA, BUSY       = 0x80, 0x40, 0x20, 0x10  # MSR; below them a bit for each drive
SOFTWARE_RESET, RATE          = 0x80, 0x03              # DSR
CHANGED                       = 0x80                    # DIR

# Bits of the command
MT, MFM, SKIP                 = 0x80, 0x40, 0x20
LOCK, INWARD                  = 0x80, 0x40

# Status 0 to 3
ABNORMAL, INVALID, POLLED     = 0x40, 0x80, 0xC0
SEEK_END, EQUIPMENT_CHECK     = 0x20, 0x10
END_OF_CYLINDER, NO_DATA, NOT_WRITABLE, NO_ADDRESS_MARK = 0x80, 0x04, 0x02, 0x01
DATA_ERROR                    = 0x20
CONTROL_MARK, DATA_FIELD_ERROR, WRONG_CYLINDER, BAD_CYLINDER = 0x40, 0x20, 0x10, 0x02
PROTECTED, TRACK_0            = 0x40, 0x10

# CONFIGURE
IMPLIED_SEEK, NO_FIFO, NO_POLLING, THRESHOLD = 0x40, 0x20, 0x10, 0x0F
# fmt: on

SIZE_CODE = 2
"""N of sectors of 512 bytes."""
STEPS_OF_RECALIBRATE = 79
RESET_DELAY, SEEK_DELAY, DATA_DELAY, RETRY_DELAY = 10_000, 100_000, 100_000, 100_000
"""Nanoseconds until an interrupt; and until DMA that was not ready is asked again."""
ROTATION = 200_000_000


class Command(NamedTuple):
    """A command's code, the bits of it that are options, its parameters, and what it does."""

    code: int
    options: int
    parameters: int
    begin: Callable[[FloppyController], None]


class Position(NamedTuple):
    """The address of a sector as its mark has it: C, H, R, N."""

    cylinder: int
    head: int
    sector: int
    size: int


class FloppyController:
    """The controller at 3F1h to 3F5h, and 3F7h."""

    def __init__(
        self,
        clock: Clock,
        dma: Dma,
        irq: Line,
        drives: Mapping[int, Drive],
        unimplemented: Unimplemented = ignore,
    ) -> None:
        """`drives`: those that are there, empty or not, by number 0 or 1."""
        self.drives = {number: FloppyDrive(drive) for number, drive in drives.items()}
        self.registers = Window(5, lambda at, _: self._read(at + 1), self._write)
        self.digital = Window(1, lambda at, _: self._read(DIR), lambda at, v, _: self._rate(v))
        self._clock, self._dma, self._irq = clock, dma, irq
        self._unimplemented = unimplemented
        self._timer = clock.timer(lambda now: self._act())
        self._action: Callable[[], None] | None = None
        self._due = 0
        self._seeks = {n: clock.timer(self._seek_ended(n)) for n in range(4)}
        self._targets: dict[int, int] = {}
        self.reset()

    def attach(self, ports: Bus, base: int = 0x3F0) -> None:
        ports.attach(base + 1, self.registers)
        ports.attach(base + 7, self.digital)

    def cmos_types(self) -> tuple[int, ...]:
        """What the BIOS is to find of the drives in CMOS, A first."""
        count = max(self.drives, default=-1) + 1
        return tuple(self.drives[n].cmos_type if n in self.drives else 0 for n in range(count))

    def reset(self) -> None:
        """RESET: everything is forgotten, but where the heads are."""
        self.dor = NOT_RESET | DMA_GATE
        self.tdr = self.rate = 0
        self.cylinders = [0] * 4
        """Where the controller takes the heads to be (PCN)."""
        self.specified = (0, 0)
        self.is_locked = False
        self.configured, self.precompensation = NO_FIFO, 0
        self.perpendicular = 0
        self.last_sector = 0
        self._stop()

    def _stop(self) -> None:
        """What a software reset does too (4.2)."""
        self._timer.cancel()
        self._action = None
        for timer in self._seeks.values():
            timer.cancel()
        self._targets.clear()
        self._pending: list[int] = []
        self._seeking = 0
        self._command = bytearray()
        self._wanted = 0
        self._result = bytearray()
        self._at, self._side = Position(0, 0, 0, 0), 0
        self._incoming: bytearray | None = None
        self._outgoing = bytearray()
        self._is_executing = self._interrupts = False
        if not self.is_locked:
            self.configured = self.configured & ~THRESHOLD | NO_FIFO
            self.precompensation = 0
        self.perpendicular &= 0x3C
        self._drive_irq()

    # -- registers (2.1) -----------------------------------------------------------------------

    def _read(self, register: int) -> int:
        self._look()
        match register:
            case 1:  # SRB, of which QEMU's machines too show the motors
                return 0xC0 | (self.dor & 1) << 5 | self.dor >> 4 & 3
            case 2:
                return self.dor
            case 3:
                return self.tdr
            case 4:
                return self._status
            case 5:
                return self._read_fifo()
        drive = self.drives.get(self.dor & 3)
        return CHANGED if drive is None or drive.has_changed else 0

    def _write(self, offset: int, value: int, _: int) -> None:
        self._look()
        match offset + 1:
            case 2:
                self._write_dor(value)
            case 3:
                self.tdr = value & 3
            case 4:
                self._rate(value)
                if value & SOFTWARE_RESET and self.dor & NOT_RESET:
                    self._begin_reset()
                    self._end_reset()
            case 5:
                self._write_fifo(value)

    def _rate(self, value: int) -> None:
        self.rate = value & RATE

    def _write_dor(self, value: int) -> None:
        old, self.dor = self.dor, value
        if old & ~value & NOT_RESET:
            self._begin_reset()
        elif value & ~old & NOT_RESET:
            self._end_reset()
        self._drive_irq()

    def _begin_reset(self) -> None:
        self._stop()

    def _end_reset(self) -> None:
        """The drives' ready lines are polled, and each is told to have changed (5.2.4)."""

        def polled() -> None:
            self._is_executing = False
            self._pending = [POLLED | number for number in range(4)]
            self._interrupt()

        self._later(RESET_DELAY, polled)

    @property
    def _status(self) -> int:
        """The main status register."""
        if not self.dor & NOT_RESET:
            return 0
        status = self._seeking
        if self._result:
            return status | RQM | DIO | BUSY
        if self._outgoing:
            return status | RQM | DIO | NON_DMA | BUSY
        if self._incoming is not None:
            return status | RQM | NON_DMA | BUSY
        if self._is_executing:
            return status | (BUSY if self._command else 0)
        return status | RQM | (BUSY if self._command else 0)

    def _drive_irq(self) -> None:
        self._irq.set(self._interrupts and bool(self.dor & DMA_GATE))

    def _interrupt(self, level: bool = True) -> None:
        self._interrupts = level
        self._drive_irq()

    # -- time ----------------------------------------------------------------------------------

    def _later(self, delay: int, action: Callable[[], None]) -> None:
        """Be busy, and then do something."""
        self._is_executing = True
        self._action = action
        self._due = self._clock.now() + delay
        self._timer.at(self._due)

    def _look(self) -> None:
        """Let what is due by now happen, though the timer has not run yet."""
        if self._action is not None and self._clock.now() >= self._due:
            self._timer.cancel()
            self._act()
        for timer in self._seeks.values():
            if timer.deadline is not None and self._clock.now() >= timer.deadline:
                timer.cancel()
                timer.callback(0)

    def _act(self) -> None:
        action, self._action = self._action, None
        if action is not None:
            action()

    # -- command and result phase (4.0) --------------------------------------------------------

    def _read_fifo(self) -> int:
        if self._outgoing:
            return self._give_byte()
        if not self._result:
            return 0
        self._interrupt(False)
        value = self._result.pop(0)
        if not self._result:
            self._command.clear()
        return value

    def _write_fifo(self, value: int) -> None:
        if not self.dor & NOT_RESET or self._result:
            return
        if self._incoming is not None:
            self._take_byte(value)
            return
        if self._is_executing:
            return
        if not self._command:
            found = BY_CODE.get(value)
            self._wanted = found.parameters if found else 0
            if found is None:
                self._unimplemented(f"floppy controller: command {value:#04x}")
        self._command.append(value)
        if len(self._command) > self._wanted:
            command = BY_CODE.get(self._command[0])
            if command is None:
                self._answer(INVALID)
            else:
                command.begin(self)

    def _answer(self, *values: int) -> None:
        """Results, to be read one by one; none ends the command."""
        self._is_executing = False
        self._result = bytearray(value & 0xFF for value in values)
        if not values:
            self._command.clear()

    # -- commands without data (5.2) -----------------------------------------------------------

    @property
    def _unit(self) -> int:
        return self._command[1] & 3

    def specify(self) -> None:
        self.specified = self._command[1], self._command[2]
        self._answer()

    def sense_drive(self) -> None:
        unit, head = self._unit, self._command[1] & 4
        drive = self.drives.get(unit)
        status = 0x28 | head | unit  # ready, and two sides
        if drive is None or drive.cylinder == 0:
            status |= TRACK_0 if drive is not None else 0
        if drive is not None and drive.drive.read_only:
            status |= PROTECTED
        self._answer(status)

    def sense_interrupt(self) -> None:
        """Why there was an interrupt, without which the command is invalid."""
        if not self._pending:
            self._answer(INVALID)
            return
        status = self._pending.pop(0)
        unit = status & 3
        self._seeking &= ~(1 << unit)
        self._interrupt(any(one & POLLED != POLLED for one in self._pending))
        self._answer(status, self.cylinders[unit])

    def recalibrate(self) -> None:
        unit = self._unit
        drive = self.drives.get(unit)
        status = SEEK_END
        if drive is None or drive.cylinder > STEPS_OF_RECALIBRATE:
            status |= ABNORMAL | EQUIPMENT_CHECK
        if drive is not None:
            drive.step(-min(max(drive.cylinder, 1), STEPS_OF_RECALIBRATE))
        self._seek(unit, 0, status | unit)

    def seek(self) -> None:
        unit, target = self._unit, self._command[2]
        if unit in self.drives:
            self.drives[unit].step(target - self.cylinders[unit])
        self._seek(unit, target, SEEK_END | self._command[1] & 7)

    def relative_seek(self) -> None:
        unit, count = self._unit, self._command[2]
        by = count if self._command[0] & INWARD else -count
        if unit in self.drives:
            self.drives[unit].step(by)
        self._seek(unit, self.cylinders[unit] + by & 0xFF, SEEK_END | self._command[1] & 7)

    def _seek(self, unit: int, target: int, status: int) -> None:
        """The heads are there in a while; other commands may come meanwhile."""
        self.cylinders[unit] = target
        self._targets[unit] = status
        self._seeking |= 1 << unit
        self._seeks[unit].after(SEEK_DELAY)
        self._answer()

    def _seek_ended(self, unit: int) -> Callable[[int], None]:
        def ended(_: int) -> None:
            self._pending = [one for one in self._pending if one & 3 != unit]
            self._pending.append(self._targets.pop(unit))
            self._interrupt()

        return ended

    def version(self) -> None:
        self._answer(VERSION)

    def configure(self) -> None:
        self.configured, self.precompensation = self._command[2] & 0x7F, self._command[3]
        self._answer()

    def lock(self) -> None:
        self.is_locked = bool(self._command[0] & LOCK)
        self._answer(self.is_locked << 4)

    def set_perpendicular(self) -> None:
        value = self._command[1]
        kept = self.perpendicular & 0x3C
        self.perpendicular = (value & 0x3C if value & 0x80 else kept) | value & 3
        self._answer()

    def dump_registers(self) -> None:
        first, second = self.specified
        self._answer(
            *self.cylinders, first, second, self.last_sector,
            self.is_locked << 7 | self.perpendicular, self.configured, self.precompensation,
        )  # fmt: skip

    # -- finding sectors -----------------------------------------------------------------------

    def _medium(self) -> FloppyDrive | None:
        """The drive that a command with data is for, if a medium turns there that can be read."""
        drive = self.drives.get(self._unit)
        if drive is None or drive.format is None or self.rate not in drive.format.rates:
            return None
        return drive

    @property
    def _head(self) -> int:
        return self._command[1] >> 2 & 1

    def _finish(self, st0: int, st1: int, st2: int, at: Position) -> None:
        """The result phase of a command with data (table 5-1)."""
        self._incoming = None
        self._outgoing.clear()
        self._answer(st0 | self._side << 2 | self._unit, st1, st2, *at)
        self._interrupt()

    def _find(self, drive: FloppyDrive, at: Position, head: int) -> tuple[int | None, int, int]:
        """A sector's number on the medium, or else what status 1 and 2 say."""
        if at.cylinder != drive.cylinder:
            return None, NO_DATA, BAD_CYLINDER if at.cylinder == 0xFF else WRONG_CYLINDER
        if at.head != head or at.size != SIZE_CODE:
            return None, NO_DATA, 0
        number = drive.place(head, at.sector)
        return number, 0 if number is not None else NO_DATA, 0

    def read_id(self) -> None:
        """The address mark that comes by next."""

        def comes_by() -> None:
            drive, at = self._medium(), Position(0, 0, 0, 0)
            if drive is None or drive.format is None or drive.place(self._head, 1) is None:
                self._finish(ABNORMAL, NO_ADDRESS_MARK, 0, at)
                return
            count = drive.format.sectors
            next_one = self._clock.now() % ROTATION * count // ROTATION % count + 1
            self._finish(0, 0, 0, Position(drive.cylinder, self._head, next_one, SIZE_CODE))

        self._side = self._head
        self._later(DATA_DELAY, comes_by)

    # -- commands with data (5.1) --------------------------------------------------------------

    def transfer(self) -> None:
        """READ DATA and its like: from one sector to the last one of the track, or both tracks."""
        self._at = Position(*self._command[2:6])
        self._side = self._head
        self.last_sector = self._command[6]
        self._later(DATA_DELAY, self._begin_transfer)

    def read_track(self) -> None:
        """All sectors of a track, from the index hole on, whatever they are called (5.1.5)."""
        self._at = Position(self._command[2], self._command[3], 1, self._command[5])
        self._side = self._head
        self.last_sector = self._command[6]
        self._later(DATA_DELAY, self._begin_transfer)

    @property
    def _operation(self) -> int:
        return self._command[0] & 0x1F

    def _begin_transfer(self) -> None:
        drive = self._medium()
        if drive is None:
            self._finish(ABNORMAL, NO_ADDRESS_MARK, 0, self._at)
            return
        if self.configured & IMPLIED_SEEK and self._at.cylinder != 0xFF:
            drive.step(self._at.cylinder - drive.cylinder)
            self.cylinders[self._unit] = self._at.cylinder
        if self._operation in WRITES and drive.drive.read_only:
            self._finish(ABNORMAL, NOT_WRITABLE, 0, self._at)
            return
        self._move_sectors(drive)

    @property
    def _uses_dma(self) -> bool:
        return not self.specified[1] & 1

    def _move_sectors(self, drive: FloppyDrive) -> None:
        """As many as DMA takes at once; without it, one for the processor to move."""
        while True:
            number, st1, st2 = self._find(drive, self._at, self._side)
            if number is None:
                self._finish(ABNORMAL, st1, st2, self._at)
                return
            try:
                is_last = self._move_sector(drive, number)
            except DriveError:
                self._finish(ABNORMAL, DATA_ERROR, DATA_FIELD_ERROR, self._at)
                return
            if is_last is None or self._go_on(is_last):
                return

    def _move_sector(self, drive: FloppyDrive, number: int) -> bool | None:
        """Move one; whether terminal count came, or None if it is not moved yet."""
        if self._operation == VERIFY:
            drive.read(number)
            return False
        if self._operation in WRITES:
            if not self._uses_dma:
                self._incoming = bytearray()
                self._interrupt()
                return None
            if not self._is_open():
                return None
            data, is_last = self._dma.from_memory(DMA_CHANNEL, SECTOR)
            drive.write(number, data)
            return is_last
        data = drive.read(number)
        if not self._uses_dma:
            self._outgoing = bytearray(data)
            self._interrupt()
            return None
        if not self._is_open():
            return None
        _, is_last = self._dma.to_memory(DMA_CHANNEL, data)
        return is_last

    def _is_open(self) -> bool:
        """Whether DMA serves us; if not, it is asked again in a while."""
        is_open = bool(self.dor & DMA_GATE) and self._dma.is_open(DMA_CHANNEL)
        if not is_open:
            self._later(RETRY_DELAY, self._begin_transfer)
        return is_open

    def _go_on(self, is_last: bool) -> bool:
        """Take the next sector; True if the command has ended."""
        at = self._at
        is_end = at.sector == self.last_sector
        if is_end and self._command[0] & MT and self._side == 0:
            after, side = Position(at.cylinder, at.head ^ 1, 1, at.size), 1
        elif is_end:
            head = at.head ^ 1 if self._command[0] & MT else at.head
            after, side = Position(at.cylinder + 1 & 0xFF, head, 1, at.size), self._side
        else:
            after, side = at._replace(sector=at.sector + 1 & 0xFF), self._side
        is_marked = self._operation == READ_DELETED
        mark = CONTROL_MARK if is_marked else 0
        if is_last or is_marked:
            self._finish(0, 0, mark, after)
            return True
        if is_end and side == self._side:
            is_verified = self._operation == VERIFY
            self._finish(*((0, 0) if is_verified else (ABNORMAL, END_OF_CYLINDER)), mark, after)
            return True
        self._at, self._side = after, side
        return False

    # Without DMA

    def _give_byte(self) -> int:
        self._interrupt(False)
        value = self._outgoing.pop(0)
        if not self._outgoing:
            self._next_sector()
        return value

    def _take_byte(self, value: int) -> None:
        assert self._incoming is not None
        self._interrupt(False)
        self._incoming.append(value)
        if self._operation == FORMAT:
            if len(self._incoming) == 4 * self._command[3]:
                self._format(bytes(self._incoming))
            return
        if len(self._incoming) < SECTOR:
            return
        data, self._incoming = bytes(self._incoming), None
        drive = self._medium()
        number = self._find(drive, self._at, self._side)[0] if drive else None
        if drive is None or number is None:
            self._finish(ABNORMAL, NO_DATA, 0, self._at)
            return
        try:
            drive.write(number, data)
        except DriveError:
            self._finish(ABNORMAL, DATA_ERROR, DATA_FIELD_ERROR, self._at)
            return
        self._next_sector()

    def _next_sector(self) -> None:
        drive = self._medium()
        if not self._go_on(False) and drive is not None:
            self._move_sectors(drive)

    # FORMAT TRACK

    def format_track(self) -> None:
        """Write the sectors whose addresses come by DMA, four bytes each (5.1.8)."""
        self._side = self._head
        self._later(DATA_DELAY, self._begin_format)

    def _begin_format(self) -> None:
        drive, at = self._medium(), Position(0, 0, 0, 0)
        if drive is None:
            self._finish(ABNORMAL, NO_ADDRESS_MARK, 0, at)
        elif drive.drive.read_only:
            self._finish(ABNORMAL, NOT_WRITABLE, 0, at)
        elif not self._uses_dma:
            self._incoming = bytearray()
            self._interrupt()
        elif not self.dor & DMA_GATE or not self._dma.is_open(DMA_CHANNEL):
            self._later(RETRY_DELAY, self._begin_format)
        else:
            self._format(self._dma.from_memory(DMA_CHANNEL, 4 * self._command[3])[0])

    def _format(self, addresses: bytes) -> None:
        drive, filler = self._medium(), bytes([self._command[5]]) * SECTOR
        at = Position(0, self._head, 0, self._command[2])
        try:
            for start in range(0, len(addresses) - 3, 4):
                at = Position(*addresses[start : start + 4])
                number = self._find(drive, at, self._head)[0] if drive else None
                if drive is not None and number is not None:
                    drive.write(number, filler)
        except DriveError:
            self._finish(ABNORMAL, DATA_ERROR, DATA_FIELD_ERROR, at)
            return
        self._finish(0, 0, 0, at)


READ_TRACK, WRITE, READ, WRITE_DELETED, READ_DELETED, FORMAT, VERIFY = 2, 5, 6, 9, 12, 13, 22
WRITES = (WRITE, WRITE_DELETED)

# fmt: off
COMMANDS = (
    #       code           options              parameters
    Command(READ,          MT | MFM | SKIP,     8, FloppyController.transfer),
    Command(READ_DELETED,  MT | MFM | SKIP,     8, FloppyController.transfer),
    Command(WRITE,         MT | MFM,            8, FloppyController.transfer),
    Command(WRITE_DELETED, MT | MFM,            8, FloppyController.transfer),
    Command(READ_TRACK,    MFM,                 8, FloppyController.read_track),
    Command(VERIFY,        MT | MFM | SKIP,     8, FloppyController.transfer),
    Command(FORMAT,        MFM,                 5, FloppyController.format_track),
    Command(0x0A,          MFM,                 1, FloppyController.read_id),
    Command(0x07,          0,                   1, FloppyController.recalibrate),
    Command(0x08,          0,                   0, FloppyController.sense_interrupt),
    Command(0x03,          0,                   2, FloppyController.specify),
    Command(0x04,          0,                   1, FloppyController.sense_drive),
    Command(0x0F,          0,                   2, FloppyController.seek),
    Command(0x8F,          INWARD,              2, FloppyController.relative_seek),
    Command(0x10,          0,                   0, FloppyController.version),
    Command(0x13,          0,                   3, FloppyController.configure),
    Command(0x14,          LOCK,                0, FloppyController.lock),
    Command(0x12,          0,                   1, FloppyController.set_perpendicular),
    Command(0x0E,          0,                   0, FloppyController.dump_registers),
)
# fmt: on

BY_CODE = {
    code: command
    for command in COMMANDS
    for code in range(256)
    if code & ~command.options == command.code
}
"""Every code that is a command."""
