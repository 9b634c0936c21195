"""INT 1Ah: the count of ticks, and the real-time clock's time, date and alarm.

Source: IBM, "BIOS Interface Technical Reference", Interrupt 1AH.
"""

from __future__ import annotations

from collections.abc import Callable

from machine.bus import Bus
from machine.devices import rtc
from machine.firmware import bda
from machine.firmware.call import Call, Guest

TICKS_IN_DAY = 0x1800B0
UNSUPPORTED = 0x86


class TimeOfDay:
    """The services but for PCI's, which come by the same interrupt."""

    def __init__(self, guest: Guest, ports: Bus, pci: Callable[[Call], None]) -> None:
        self._guest = guest
        self._ports = ports
        # fmt: off
        self._services: dict[int, Callable[[Call], None]] = {
            0x00: self._get_ticks, 0x01: self._set_ticks, 0x02: self._get_time,
            0x03: self._set_time,  0x04: self._get_date,  0x05: self._set_date,
            0x06: self._set_alarm, 0x07: self._no_alarm,  0xB1: pci,
        }
        # fmt: on

    def get(self, at: int) -> int:
        """Read CMOS."""
        self._ports.write(0x70, at, 1)
        return self._ports.read(0x71, 1)

    def put(self, at: int, value: int) -> None:
        self._ports.write(0x70, at, 1)
        self._ports.write(0x71, value, 1)

    def set_ticks_by_clock(self) -> None:
        """What the count is at this time of the day."""
        hours, minutes, seconds = (
            from_bcd(self.get(at)) for at in (rtc.HOURS, rtc.MINUTES, rtc.SECONDS)
        )
        since_midnight = (hours * 60 + minutes) * 60 + seconds
        self._guest.put_dword(bda.TICKS, since_midnight * 1_193_182 // 65536 % TICKS_IN_DAY)
        self._guest.put_byte(bda.MIDNIGHT, 0)

    def call(self, call: Call) -> None:
        service = self._services.get(call.ah)
        if service is not None:
            service(call)
        else:
            call.ah, call.carry = UNSUPPORTED, True

    def alarm(self) -> bool:
        """IRQ8: True if it was the alarm."""
        return bool(self.get(rtc.C) & rtc.AF)

    def _get_ticks(self, call: Call) -> None:
        guest = self._guest
        ticks = guest.dword(bda.TICKS)
        call.cx, call.dx = ticks >> 16, ticks & 0xFFFF
        call.al = guest.byte(bda.MIDNIGHT)
        guest.put_byte(bda.MIDNIGHT, 0)
        call.ah, call.carry = 0, False

    def _set_ticks(self, call: Call) -> None:
        self._guest.put_dword(bda.TICKS, call.cx << 16 | call.dx)
        self._guest.put_byte(bda.MIDNIGHT, 0)
        call.ah, call.carry = 0, False

    def _get_time(self, call: Call) -> None:
        call.ch, call.cl, call.dh = (self.get(at) for at in (rtc.HOURS, rtc.MINUTES, rtc.SECONDS))
        call.dl = self.get(rtc.B) & 1
        call.ah, call.carry = 0, False

    def _set_time(self, call: Call) -> None:
        for at, value in ((rtc.SECONDS, call.dh), (rtc.MINUTES, call.cl), (rtc.HOURS, call.ch)):
            self.put(at, value)
        self.put(rtc.B, rtc.HOURS_24 | call.dl & 1)
        call.ah, call.carry = 0, False

    def _get_date(self, call: Call) -> None:
        call.ch, call.cl, call.dh, call.dl = (
            self.get(at) for at in (rtc.CENTURY, rtc.YEAR, rtc.MONTH, rtc.DAY)
        )
        call.ah, call.carry = 0, False

    def _set_date(self, call: Call) -> None:
        fields = (
            (rtc.CENTURY, call.ch),
            (rtc.YEAR, call.cl),
            (rtc.MONTH, call.dh),
            (rtc.DAY, call.dl),
        )
        for at, value in fields:
            self.put(at, value)
        call.ah, call.carry = 0, False

    def _set_alarm(self, call: Call) -> None:
        if self.get(rtc.B) & rtc.AIE:
            call.carry = True
            return
        fields = (
            (rtc.SECONDS_ALARM, call.dh),
            (rtc.MINUTES_ALARM, call.cl),
            (rtc.HOURS_ALARM, call.ch),
        )
        for at, value in fields:
            self.put(at, value)
        self.put(rtc.B, self.get(rtc.B) | rtc.AIE)
        self._ports.write(0xA1, self._ports.read(0xA1, 1) & ~1, 1)
        call.ah, call.carry = 0, False

    def _no_alarm(self, call: Call) -> None:
        self.put(rtc.B, self.get(rtc.B) & ~rtc.AIE)
        call.ah, call.carry = 0, False


def from_bcd(value: int) -> int:
    return (value >> 4) * 10 + (value & 15)
