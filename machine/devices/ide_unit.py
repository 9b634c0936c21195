"""One device on an IDE cable, as disks and CD-ROMs have it in common.

Source: T13 1410D, "AT Attachment with Packet Interface - 6" (ATA/ATAPI-6), chapter 7 (registers),
9 (protocols). Section numbers in this package's IDE modules are of that document.

A unit has its registers, of which those that a command takes are two deep, and data for the host
or from it, which move by programmed I/O (`read_data`, `write_data`) or to the bus master
(`dma_read`, `dma_write`). It is busy for a while after each command, on the machine's clock;
whoever looks at its status when that is over, though the timer has not run yet, sees it over.
"""

from __future__ import annotations

from collections.abc import Callable

from machine.bus import Unimplemented, ignore
from machine.clock import Clock
from machine.drive import Drive

# fmt: off
DATA, FEATURES, COUNT, LBA_LOW, LBA_MID, LBA_HIGH, DEVICE, COMMAND = range(8)
ERROR, STATUS = FEATURES, COMMAND

BSY, DRDY, DF, DSC, DRQ, ERR             = 0x80, 0x40, 0x20, 0x10, 0x08, 0x01
UNC, MC, IDNF, MCR, ABRT                 = 0x40, 0x20, 0x10, 0x08, 0x04

USES_LBA = 0x40  # in the device register
OBSOLETE = 0xA0  # bits of the device register that are always set
PASSED   = 0x01  # the diagnostic code
# fmt: on

READ_DELAY, WRITE_DELAY, DMA_DELAY, OTHER_DELAY = 20_000, 10_000, 20_000, 2_000
"""For how many nanoseconds a command keeps a unit busy; drivers expect an interrupt to come after
they have finished sending the command."""

FLUSH_LOOK = 500_000
"""How long after its beginning, and after the last look, a flush is asked whether it is done."""


def nothing() -> None:
    """Nobody listens."""


class Unit:
    """Registers, data, delays and the interrupt of a disk or CD-ROM drive."""

    signature = (1, 0, 0)
    """LBA low, mid and high after a reset (section 9.12)."""
    dma_unit = 512
    """The bus master moves whole ones, but for the end of a command's data."""

    def __init__(
        self, clock: Clock, drive: Drive, number: int, unimplemented: Unimplemented = ignore
    ) -> None:
        self.drive = drive
        self.number = number
        """On its cable: 0 or 1."""
        self.unimplemented = unimplemented
        self.changed: Callable[[], None] = nothing
        """Is called when the interrupt changes."""
        self.dma_ready: Callable[[], None] = nothing
        """Is called when there is data for the bus master, or room for it."""
        self._clock = clock
        self._timer = clock.timer(self._on_timer)
        self._due: int | None = None
        self._action: Callable[[], None] = nothing
        self.now = bytearray(8)
        self.before = bytearray(8)
        """What was in a register before its last write: the high half of a 48-bit command."""
        self.irq = False
        self.reset()

    def reset(self) -> None:
        """As after power on; see `sign` for what is left in the registers."""
        self._stop()
        self.before = bytearray(8)
        self.now = bytearray(8)
        self.sign()

    def sign(self) -> None:
        """Stop, and say by the registers what this is: after resets and the diagnostic."""
        self._stop()
        self.error = PASSED
        self.now[COUNT] = 1
        self.now[LBA_LOW], self.now[LBA_MID], self.now[LBA_HIGH] = self.signature
        self.now[DEVICE] = OBSOLETE
        self.status = self.idle_status

    @property
    def idle_status(self) -> int:
        return DRDY | DSC

    @property
    def has_failed(self) -> bool:
        return bool(self.status & ERR)

    def _stop(self) -> None:
        self._timer.cancel()
        self._due = None
        self._incoming = memoryview(b"")
        self._wanted = 0
        self._outgoing = bytearray()
        self._then: Callable[[], None] = nothing
        self.dma_left = 0
        self.dma_to_memory = False
        self.set_irq(False)

    # Registers

    def look(self) -> None:
        """Let what is due by now happen."""
        if self._due is not None and self._clock.now() >= self._due:
            self._timer.cancel()
            self._act()

    def read_register(self, register: int, is_high: bool) -> int:
        if register == ERROR:
            return self.error
        if is_high and register != DEVICE:
            return self.before[register]
        return self.now[register]

    def write_register(self, register: int, value: int) -> None:
        """Take a byte, unless it is busy with a command."""
        self.look()
        if self.status & (BSY | DRQ):
            return
        self.before[register] = self.now[register]
        self.now[register] = value | OBSOLETE if register == DEVICE else value

    def command(self, code: int) -> None:
        """Execute a command; subclasses do."""
        raise NotImplementedError

    def set_irq(self, level: bool) -> None:
        if level != self.irq:
            self.irq = level
            self.changed()

    # Time

    def busy(self, delay: int, then: Callable[[], None]) -> None:
        """Be busy for so many nanoseconds, then do something."""
        self.status = BSY | self.status & ~(DRQ | ERR)
        self._action = then
        self._due = self._clock.now() + delay
        self._timer.at(self._due)

    def _on_timer(self, _: int) -> None:
        self._act()

    def _act(self) -> None:
        self._due = None
        self._action()

    # The ends of commands

    def done(self) -> None:
        """End a command well, with an interrupt."""
        self.error = 0
        self.status = DRDY | DSC
        self.set_irq(True)

    def fail(self, error: int) -> None:
        """End a command with an error, and an interrupt."""
        self.dma_left = 0
        self._incoming = memoryview(b"")
        self._wanted = 0
        self.error = error
        self.status = DRDY | DSC | ERR
        self.set_irq(True)

    def abort(self) -> None:
        self.fail(ABRT)

    # Programmed I/O

    def offer(self, data: bytes, then: Callable[[], None] = nothing, *, irq: bool = True) -> None:
        """Let the host read some data; `then` when it has."""
        self._incoming = memoryview(data)
        self._then = then
        self.status = DRDY | DSC | DRQ
        if irq:
            self.set_irq(True)

    def expect(self, length: int, then: Callable[[], None], *, irq: bool) -> None:
        """Let the host write so much, which is `taken` then."""
        self._wanted = length
        self._outgoing = bytearray()
        self._then = then
        self.status = DRDY | DSC | DRQ
        if irq:
            self.set_irq(True)

    @property
    def taken(self) -> bytes:
        """What the host has written."""
        return bytes(self._outgoing)

    def read_data(self, length: int) -> bytes:
        """Read the data register so often that it gives `length` bytes; zeros if there are none."""
        if length <= len(self._incoming):
            data = bytes(self._incoming[:length])
            self._incoming = self._incoming[length:]
            if not self._incoming:
                self._end_of_block()
            return data
        parts = bytearray()
        while len(parts) < length and self._incoming:
            parts += self.read_data(min(length - len(parts), len(self._incoming)))
        return bytes(parts.ljust(length, b"\0"))

    def write_data(self, data: bytes) -> None:
        """Write the data register; what nobody expects is lost."""
        while data and self._wanted:
            part, data = data[: self._wanted], data[self._wanted :]
            self._outgoing += part
            self._wanted -= len(part)
            if not self._wanted:
                self._end_of_block()

    def _end_of_block(self) -> None:
        self.status &= ~DRQ
        then, self._then = self._then, nothing
        then()

    # Bus master DMA

    def start_dma(self, length: int, to_memory: bool) -> None:
        """Wait for the bus master to move so many bytes."""
        self.dma_left = length
        self.dma_to_memory = to_memory
        self.status = BSY | DRDY | DSC | DRQ
        self.dma_ready()

    def dma_read(self, length: int) -> bytes:
        """Give the next bytes to the bus master; none if the command failed."""
        raise NotImplementedError

    def dma_write(self, data: bytes) -> None:
        """Take the next bytes from the bus master."""
        raise NotImplementedError

    def dma_done(self) -> None:
        """Hear from the bus master that all was moved."""
        self.busy(DMA_DELAY, self.done)
