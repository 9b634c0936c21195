"""The MC146818 real-time clock with its CMOS memory, at ports 70h and 71h.

Source: Motorola, "MC146818 Real-Time Clock plus RAM (RTC)" (1984), cited by its headings; the
century in byte 32h is the PC AT's. Not modelled: daylight saving (DSE), the square wave output, and
time bases other than 32.768 kHz.
"""

from __future__ import annotations

from datetime import datetime

from machine.clock import SECOND, Clock
from machine.line import Line

CRYSTAL = 32_768

SECONDS, SECONDS_ALARM, MINUTES, MINUTES_ALARM, HOURS, HOURS_ALARM = range(6)
WEEKDAY, DAY, MONTH, YEAR, A, B, C, D = range(6, 14)
CENTURY = 0x32

FIELDS = (SECONDS, MINUTES, HOURS, WEEKDAY, DAY, MONTH, YEAR, CENTURY)

UIP = 0x80
SET, PIE, AIE, UIE, BINARY, HOURS_24 = 0x80, 0x40, 0x20, 0x10, 0x04, 0x02
IRQF, PF, AF, UF = 0x80, 0x40, 0x20, 0x10
VRT = 0x80

UPDATE_NS = 244_000 + 1_984_000
"""How long before an update's end UIP is set: t_BUC and t_UC."""

MONTH_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


class Rtc:
    """The clock and 114 bytes of memory, `cmos`, in which a BIOS looks for what there is.

    It starts at `start` and goes by the machine's clock from there on. Bit 7 of port 70h is the
    PC's own: `nmi_masked`.
    """

    length = 2
    width = 1

    def __init__(self, clock: Clock, start: datetime, irq: Line) -> None:
        self._clock = clock
        self._irq = irq
        self.cmos = bytearray(128)
        self.nmi_masked = False
        self._index = D
        self._update_timer = clock.timer(self._update)
        self._periodic_timer = clock.timer(self._periodic)
        self._next_update = 0
        self._periods_seen = 0
        self.cmos[A] = 0x26
        self.cmos[B] = HOURS_24
        self._set_time(start)
        self._begin_seconds(SECOND - start.microsecond * 1000)

    def reset(self) -> None:
        """RESET#: "PIE, AIE, UIE, IRQF, PF, AF, UF and SQWE are cleared"; time goes on."""
        self.cmos[B] &= ~(PIE | AIE | UIE | 0x08)
        self.cmos[C] = 0
        self._index = D
        self.nmi_masked = False
        self._periodic_timer.cancel()
        self._drive()

    def read(self, offset: int, size: int = 1) -> int:
        if offset == 0:
            return 0xFF  # the index cannot be read
        match self._index:
            case 10:  # A
                return self.cmos[A] | (UIP if self._is_updating() else 0)
            case 12:  # C
                self._catch_period()
                flags, self.cmos[C] = self.cmos[C], 0
                self._irq.set(False)
                return flags
            case 13:  # D
                return VRT
            case index:
                return self.cmos[index]

    def write(self, offset: int, value: int, size: int = 1) -> None:
        if offset == 0:
            self._index = value & 0x7F
            self.nmi_masked = bool(value & 0x80)
            return
        match self._index:
            case 10:  # A
                self._write_a(value & 0x7F)
            case 11:  # B
                self._write_b(value)
            case 12 | 13:  # C and D are read only
                pass
            case index:
                self.cmos[index] = value

    # Registers

    def _write_a(self, value: int) -> None:
        was_held = self._is_held()
        self.cmos[A] = value
        if self._is_held():
            self._update_timer.cancel()
        elif was_held:
            self._begin_seconds(
                SECOND // 2
            )  # "the first update cycle begins one-half second later"
        self._periods_seen = self._periods()
        self._set_periodic_timer()

    def _write_b(self, value: int) -> None:
        if value & SET:
            value &= ~UIE  # "SET ... clears UIE"
        self._catch_period()
        self.cmos[B] = value
        self._drive()
        self._set_periodic_timer()

    def _is_held(self) -> bool:
        """DV = 11x: the divider chain is held in reset."""
        return self.cmos[A] & 0x60 == 0x60

    def _is_updating(self) -> bool:
        if self._is_held() or self.cmos[B] & SET:
            return False
        return self._next_update - self._clock.now() <= UPDATE_NS

    def _flag(self, bits: int) -> None:
        self.cmos[C] |= bits
        self._drive()

    def _drive(self) -> None:
        """IRQF = PF.PIE + AF.AIE + UF.UIE, and it is the line."""
        asking = bool(self.cmos[C] & self.cmos[B] & (PF | AF | UF))
        self.cmos[C] = self.cmos[C] & ~IRQF | (IRQF if asking else 0)
        self._irq.set(asking)

    # Time

    def _begin_seconds(self, delay: int) -> None:
        self._next_update = self._clock.now() + delay
        self._update_timer.at(self._next_update)

    def _update(self, deadline: int) -> None:
        """The update cycle, once a second, unless SET inhibits it."""
        self._next_update = deadline + SECOND
        self._update_timer.at(self._next_update)
        if self.cmos[B] & SET:
            return
        self._advance()
        self._flag(UF | AF if self._is_alarm() else UF)

    def _is_alarm(self) -> bool:
        """Each alarm byte is equal, or "don't care": C0h to FFh."""
        return all(
            self.cmos[at] >= 0xC0 or self.cmos[at] == self.cmos[at - 1]
            for at in (SECONDS_ALARM, MINUTES_ALARM, HOURS_ALARM)
        )

    def _advance(self) -> None:
        """One second later, as the chip's counters carry."""
        second, minute, hour, weekday, day, month, year, century = map(self._field, FIELDS)
        second += 1
        if second >= 60:
            second, minute = 0, minute + 1
        if minute >= 60:
            minute, hour = 0, hour + 1
        if hour >= 24:
            hour, weekday, day = 0, weekday % 7 + 1, day + 1
        if day > days_in(month, year):
            day, month = 1, month + 1
        if month > 12:
            month, year = 1, year + 1
        if year > 99:
            year, century = 0, (century + 1) % 100
        fields = (second, minute, hour, weekday, day, month, year, century)
        for at, value in zip(FIELDS, fields, strict=True):
            self._set_field(at, value)

    def _set_time(self, time: datetime) -> None:
        fields = (
            *(time.second, time.minute, time.hour),
            *(time.isoweekday() % 7 + 1, time.day, time.month),  # Sunday is 1
            *(time.year % 100, time.year // 100),
        )
        for at, value in zip(FIELDS, fields, strict=True):
            self._set_field(at, value)

    def _field(self, at: int) -> int:
        """A number of the time in binary, hours from 0 to 23."""
        value = self.cmos[at]
        if at != HOURS or self.cmos[B] & HOURS_24:
            return self._decode(at, value)
        return self._decode(at, value & 0x7F) % 12 + (12 if value & 0x80 else 0)

    def _set_field(self, at: int, value: int) -> None:
        if at != HOURS or self.cmos[B] & HOURS_24:
            self.cmos[at] = self._encode(at, value)
        else:
            pm = 0x80 if value >= 12 else 0
            self.cmos[at] = self._encode(at, (value + 11) % 12 + 1) | pm

    def _decode(self, at: int, value: int) -> int:
        if self.cmos[B] & BINARY and at != CENTURY:
            return value
        return (value >> 4) * 10 + (value & 0xF)

    def _encode(self, at: int, value: int) -> int:
        if self.cmos[B] & BINARY and at != CENTURY:
            return value
        return (value // 10 << 4 | value % 10) & 0xFF

    # The periodic interrupt

    def _period(self) -> int:
        """Cycles of the crystal between two periodic interrupts ("Rate Selection"); 0 is never."""
        rate = self.cmos[A] & 0x0F
        if rate == 0 or self._is_held():
            return 0
        return 1 << (rate + 6 if rate <= 2 else rate - 1)

    def _periods(self) -> int:
        """How many periods have ended since the machine was switched on."""
        period = self._period()
        return self._clock.now() * CRYSTAL // (SECOND * period) if period else 0

    def _catch_period(self) -> None:
        """Set PF if a period has ended since it was last looked at; no timer does without PIE."""
        if (periods := self._periods()) != self._periods_seen:
            self._periods_seen = periods
            self._flag(PF)

    def _periodic(self, _: int) -> None:
        self._catch_period()
        self._set_periodic_timer()

    def _set_periodic_timer(self) -> None:
        period = self._period()
        if not period or not self.cmos[B] & PIE:
            self._periodic_timer.cancel()
            return
        self._periodic_timer.at(-(-(self._periods_seen + 1) * period * SECOND // CRYSTAL))


def days_in(month: int, year: int) -> int:
    """The chip knows leap years by their last two digits; of months that are none it expects 31."""
    if month == 2 and year % 4 == 0:
        return 29
    return MONTH_DAYS[month - 1] if 1 <= month <= 12 else 31
