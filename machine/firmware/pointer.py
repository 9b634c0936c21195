"""The PS/2 mouse as INT 15h AH=C2h has it: whoever asks gets its packets by a far call.

Source: IBM, "BIOS Interface Technical Reference", INT 15h AH=C2h (Pointing Device BIOS Interface).
"""

from __future__ import annotations

from machine.board import Board
from machine.firmware import bda
from machine.firmware.call import Call, Guest

OK, BAD_FUNCTION, BAD_INPUT, NO_HANDLER = 0, 1, 2, 5
HAS_HANDLER = 0x80
RATES = (10, 20, 40, 60, 80, 100, 200)


class Pointer:
    """The services, and what IRQ12's bytes become."""

    def __init__(self, guest: Guest, board: Board) -> None:
        self._guest = guest
        self._board = board
        self._packet = bytearray()

    def byte(self) -> bool:
        """IRQ12: take a byte of the mouse; True if a packet is complete and wanted."""
        ports = self._board.ports
        status = ports.read(0x64, 1)
        if status & 0x21 != 0x21:
            return False
        value = ports.read(0x60, 1)
        guest = self._guest
        flags = guest.byte(bda.POINTER_STATE)
        if not flags & HAS_HANDLER:
            self._packet.clear()
            return False
        if not self._packet and not value & 0x08:
            return False  # not a packet's first byte
        self._packet.append(value)
        if len(self._packet) < 3:
            return False
        state, x, y = self._packet
        self._packet.clear()
        for index, word in enumerate((state, x, y)):
            guest.put_word(bda.POINTER_PACKET + 2 * index, word)
        return True

    def _command(self, *values: int) -> None:
        """Tell the mouse directly; it has answered before anybody could look."""
        mouse = self._board.mouse
        for value in values:
            mouse.receive(value)
        mouse.waiting.clear()

    def call(self, call: Call) -> None:
        guest = self._guest
        status = OK
        match call.al:
            case 0x00 if call.bh <= 1:
                if call.bh and not guest.byte(bda.POINTER_STATE) & HAS_HANDLER:
                    status = NO_HANDLER
                else:
                    self._command(0xF4 if call.bh else 0xF5)
            case 0x01 | 0x05:
                self._packet.clear()
                self._command(0xFF)
                call.bx = 0x00AA
            case 0x02 if call.bh < len(RATES):
                self._command(0xF3, RATES[call.bh])
            case 0x03 if call.bh <= 3:
                self._command(0xE8, call.bh)
            case 0x04:
                call.bh = 0
            case 0x06 if call.bh <= 2:
                if call.bh:
                    self._command(0xE7 if call.bh == 2 else 0xE6)
                else:
                    call.bl, call.cl, call.dl = 0, 2, 100
            case 0x07:
                guest.put_word(bda.POINTER_HANDLER, call.bx)
                guest.put_word(bda.POINTER_HANDLER + 2, call.es)
                has = bool(call.es or call.bx)
                guest.put_byte(bda.POINTER_STATE, HAS_HANDLER if has else 0)
            case 0x00 | 0x02 | 0x03 | 0x06:
                status = BAD_INPUT
            case _:
                status = BAD_FUNCTION
        call.ah, call.carry = status, status != OK
