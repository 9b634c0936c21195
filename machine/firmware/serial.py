"""INT 14h and INT 17h: serial ports and printers.

Source: IBM, "BIOS Interface Technical Reference", Interrupts 14H and 17H. A read that finds nothing
answers "timed out" at once. There are no printers.
"""

from __future__ import annotations

from machine.bus import Bus
from machine.firmware import bda
from machine.firmware.call import Call, Guest

TIMED_OUT = 0x80
# Bits a second by the code in bits 5 to 7 of AL.
DIVISORS = (1047, 768, 384, 192, 96, 48, 24, 12)
DLAB, DATA_READY, CAN_SEND = 0x80, 0x01, 0x20


class Serial:
    """INT 14h, by the ports that the BIOS data area names."""

    def __init__(self, guest: Guest, ports: Bus) -> None:
        self._guest = guest
        self._ports = ports

    def _in(self, port: int) -> int:
        return self._ports.read(port, 1)

    def _out(self, port: int, value: int) -> None:
        self._ports.write(port, value, 1)

    def call(self, call: Call) -> None:
        base = self._guest.word(bda.COM_PORTS + 2 * call.dx) if call.dx < 4 else 0
        if not base:
            return
        match call.ah:
            case 0x00:
                self._set_line(base, DIVISORS[call.al >> 5], call.al & 0x1F)
                call.ax = self._status(base)
            case 0x01:
                if self._in(base + 5) & CAN_SEND:
                    self._out(base, call.al)
                    call.ah = self._in(base + 5)
                else:
                    call.ah |= TIMED_OUT
            case 0x02:
                status = self._in(base + 5)
                if status & DATA_READY:
                    call.al = self._in(base)
                    call.ah = status & 0x1E
                else:
                    call.ah = TIMED_OUT | status & 0x1E
            case 0x03:
                call.ax = self._status(base)
            case 0x04:
                self._set_line_as_ps2(call, base)

    def _set_line(self, base: int, divisor: int, line: int) -> None:
        self._out(base + 3, DLAB)
        self._out(base, divisor & 0xFF)
        self._out(base + 1, divisor >> 8)
        self._out(base + 3, line)
        self._out(base + 4, 0x03)

    def _set_line_as_ps2(self, call: Call, base: int) -> None:
        rates = (1047, 768, 384, 192, 96, 48, 24, 12, 6)
        if call.cl < len(rates):
            line = call.ch & 3 | (call.bl & 1) << 2 | (0, 0x08, 0x18, 0x28, 0x38)[min(call.bh, 4)]
            self._set_line(base, rates[call.cl], line)
        call.ax = self._status(base)

    def _status(self, base: int) -> int:
        return self._in(base + 5) << 8 | self._in(base + 6)


def print_nothing(call: Call) -> None:
    """INT 17h: no printer answers."""
    if call.ah <= 2:
        call.ah = 0x01  # timed out
