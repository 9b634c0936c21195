"""The high precision event timer, at FED0_0000h.

Source: "IA-PC HPET (High Precision Event Timers) Specification" 1.0a, cited by sections.
Like QEMU's it has three timers, 64 bits and a period of 10 ns. Not modelled: interrupts by message
(FSB).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from machine.clock import Clock, Timer
from machine.line import Line

TICK_NS = 10
MASK_32 = 0xFFFF_FFFF
MASK_64 = 0xFFFF_FFFF_FFFF_FFFF

# Registers (2.3.1), of eight bytes; timers have 20h bytes each from 100h on
CAPABILITIES, CONFIGURATION, STATUS, COUNTER, TIMERS = 0x000, 0x010, 0x020, 0x0F0, 0x100

VENDOR, LEGACY_CAPABLE, COUNTER_64, REVISION = 0x8086 << 16, 1 << 15, 1 << 13, 1

ENABLED, LEGACY = 1, 2

# Configuration of a timer (2.3.8)
IS_LEVEL, INTERRUPTS, PERIODIC, CAN_REPEAT, IS_64, SETS_VALUE = 2, 4, 8, 16, 32, 64
NARROW = 1 << 8
WRITABLE = IS_LEVEL | INTERRUPTS | PERIODIC | SETS_VALUE | NARROW | 0x1F << 9


@dataclass(slots=True)
class Comparator:
    """One of the timers."""

    timer: Timer
    routes: int
    configuration: int = 0
    comparator: int = MASK_64
    period: int = 0

    @property
    def mask(self) -> int:
        return MASK_32 if self.configuration & NARROW else MASK_64

    @property
    def is_periodic(self) -> bool:
        return bool(self.configuration & PERIODIC)


class Hpet:
    """A counter and three comparators.

    `irqs` are the I/O APIC's inputs, by number (None: cannot be chosen). With legacy routing the
    first two timers stand in for the 8254 and the RTC; `legacy` is told when that begins and ends.
    """

    length = 0x400
    width = 8
    COUNT = 3

    def __init__(
        self, clock: Clock, irqs: Sequence[Line | None], legacy: Callable[[bool], None]
    ) -> None:
        self._clock = clock
        self._irqs = irqs
        self._legacy = legacy
        routes = sum(1 << n for n, line in enumerate(irqs) if line is not None and n >= 16)
        self._timers = [self._make(number, routes | 4) for number in range(self.COUNT)]
        self._configuration = 0
        self._status = 0
        self._counted = 0
        self._started: int | None = None

    def _make(self, number: int, routes: int) -> Comparator:
        return Comparator(self._clock.timer(lambda _: self._expire(number)), routes)

    def reset(self) -> None:
        self._write_configuration(0)
        self._write_status(MASK_32)
        self._counted = 0
        for one in self._timers:
            one.timer.cancel()
            one.configuration, one.comparator, one.period = 0, MASK_64, 0

    def read(self, offset: int, size: int = 4) -> int:
        value = self._register(offset & ~7)
        return value >> 8 * (offset & 7) & (1 << 8 * size) - 1

    def write(self, offset: int, value: int, size: int = 4) -> None:
        """Write a register or one half of it."""
        shift = 8 * (offset & 7)
        part = (1 << 8 * size) - 1 << shift
        at = offset & ~7
        whole = self._register(at) & ~part if at != STATUS else 0
        self._write_register(at, (whole | value << shift) & MASK_64)

    @property
    def counter(self) -> int:
        """The main counter, 64 bits."""
        if self._started is None:
            return self._counted
        return self._counted + (self._clock.now() - self._started) // TICK_NS & MASK_64

    def _register(self, offset: int) -> int:
        match offset:
            case 0x000:  # capabilities: period in femtoseconds, number of the last timer
                low = VENDOR | LEGACY_CAPABLE | COUNTER_64 | self.COUNT - 1 << 8 | REVISION
                return TICK_NS * 1_000_000 << 32 | low
            case 0x010:
                return self._configuration
            case 0x020:
                return self._status
            case 0x0F0:
                return self.counter
        number, register = divmod(offset - TIMERS, 0x20)
        if not 0 <= number < self.COUNT:
            return 0
        one = self._timers[number]
        if register == 0:
            return one.routes << 32 | one.configuration | CAN_REPEAT | IS_64
        return one.comparator if register == 8 else 0

    def _write_register(self, offset: int, value: int) -> None:
        match offset:
            case 0x010:
                self._write_configuration(value)
            case 0x020:
                self._write_status(value)
            case 0x0F0 if self._started is None:  # undefined while it counts
                self._counted = value
        number, register = divmod(offset - TIMERS, 0x20)
        if not 0 <= number < self.COUNT:
            return
        one = self._timers[number]
        if register == 0:
            self._configure(number, value)
        elif register == 8:
            self._write_comparator(one, value)
        self._arm(number)

    def _write_configuration(self, value: int) -> None:
        changed = value ^ self._configuration
        if changed & ENABLED:
            counter = self.counter
            self._counted = counter
            self._started = self._clock.now() if value & ENABLED else None
        self._configuration = value & (ENABLED | LEGACY)
        if changed & LEGACY:
            self._legacy(bool(value & LEGACY))
        for number in range(self.COUNT):
            self._arm(number)

    def _write_status(self, value: int) -> None:
        """Ones clear, and let go of a line that is held by level."""
        for number, one in enumerate(self._timers):
            if value >> number & 1 and self._status >> number & 1:
                self._status &= ~(1 << number)
                if (line := self._line(number, one)) is not None:
                    line.set(False)

    def _configure(self, number: int, value: int) -> None:
        one = self._timers[number]
        line = self._line(number, one)
        one.configuration = value & WRITABLE
        if line is not None and self._line(number, one) is not line:
            line.set(False)
        one.comparator &= one.mask

    def _write_comparator(self, one: Comparator, value: int) -> None:
        """2.3.9.2.2: with SETS_VALUE a periodic timer's comparator, without its period."""
        value &= one.mask
        if not one.is_periodic:
            one.comparator = value
            return
        if one.configuration & SETS_VALUE:
            one.comparator = value
            one.configuration &= ~SETS_VALUE
        one.period = value

    def _arm(self, number: int) -> None:
        """Set the host's timer for the comparator's next match."""
        one = self._timers[number]
        one.timer.cancel()
        if self._started is None or (one.is_periodic and not one.period):
            return
        if not one.configuration & INTERRUPTS:
            return
        ticks = one.comparator - self.counter & one.mask
        one.timer.after((ticks or one.mask + 1) * TICK_NS)

    def _expire(self, number: int) -> None:
        one = self._timers[number]
        if one.is_periodic:
            late = self.counter - one.comparator & one.mask
            one.comparator = one.comparator + (late // one.period + 1) * one.period & one.mask
        self._arm(number)
        line = self._line(number, one)
        if one.configuration & IS_LEVEL:
            self._status |= 1 << number
            if line is not None:
                line.set(True)
        elif line is not None:
            line.pulse()

    def _line(self, number: int, one: Comparator) -> Line | None:
        """2.4.3: legacy routing sends the first two to IRQ0 (input 2 of the I/O APIC) and IRQ8."""
        if self._configuration & LEGACY and number < 2:
            return self._irqs[8 if number else 2]
        route = one.configuration >> 9 & 0x1F
        return self._irqs[route] if one.routes >> route & 1 and route < len(self._irqs) else None
