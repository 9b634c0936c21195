"""INT 15h: memory sizes, moves beyond the first megabyte, A20, waiting, the mouse.

Sources: IBM, "BIOS Interface Technical Reference", Interrupt 15H; ACPI specification 6.5, section
15 (E820h). Not modelled: APM (AH=53h says it is not there), the joystick, AH=90h and 91h.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

from machine.board import Board
from machine.clock import SECOND
from machine.firmware import bda
from machine.firmware.call import Call, Guest
from machine.firmware.memory_map import Range
from machine.firmware.pointer import Pointer

UNSUPPORTED = 0x86
PERIODIC = 0x40
"""PIE of the real-time clock's register B."""
SMAP = 0x534D4150
KB, MB = 1 << 10, 1 << 20
MICROSECOND = SECOND // 1_000_000


class SystemServices:
    """INT 15h."""

    def __init__(
        self,
        guest: Guest,
        board: Board,
        ranges: Sequence[Range],
        pointer: Pointer,
        configuration: int,
    ) -> None:
        """`configuration`: where the system configuration table is in segment F000h."""
        self._guest = guest
        self._board = board
        self._ranges = ranges
        self._pointer = pointer
        self._configuration = configuration
        self._waits: dict[int, int] = {}
        """When waiting calls are over, by their stacks."""
        self._event = board.clock.timer(self._event_comes)
        self._event_flag = 0
        # fmt: off
        self._services: dict[int, Callable[[Call], None]] = {
            0x24: self._a20,       0x4F: self._keep_key, 0x52: self._succeed,  0x80: self._succeed,
            0x81: self._succeed,   0x82: self._succeed,  0x83: self._wait_event,
            0x85: self._succeed,   0x86: self._wait,     0x87: self._move,     0x88: self._extended,
            0x90: self._device_busy, 0x91: self._device_busy,
            0xC0: self._table,     0xC1: self._ebda,     0xC2: pointer.call,
            0xE8: self._big_memory,
        }
        # fmt: on

    def call(self, call: Call) -> None:
        self._services.get(call.ah, self._unsupported)(call)

    def _unsupported(self, call: Call) -> None:
        call.ah, call.carry = UNSUPPORTED, True

    def _succeed(self, call: Call) -> None:
        call.ah, call.carry = 0, False

    def _device_busy(self, call: Call) -> None:
        call.ah, call.carry = 0, False

    def _keep_key(self, call: Call) -> None:
        """Nobody changes the scan code."""
        call.carry = True

    # -- A20 --------------------------------------------------------------------------------------

    def _a20(self, call: Call) -> None:
        a20 = self._board.a20
        match call.al:
            case 0 | 1:
                self._board.ports.write(0x92, 2 * call.al, 1)
                call.ah = 0
            case 2:
                call.ax = int(a20.level)
            case 3:
                call.ax, call.bx = 0, 3  # by the keyboard controller and by port 92h
            case _:
                self._unsupported(call)
                return
        call.carry = False

    # -- memory

    def _ram_end(self, limit: int) -> int:
        """Where the memory that begins at 1 MB ends, at most at `limit`."""
        ends = [one.start + one.length for one in self._ranges if one.start == MB]
        return min(limit, ends[0] if ends else MB)

    def _extended(self, call: Call) -> None:
        call.ax = min((self._ram_end(64 * MB) - MB) // KB, 0xFFFF)
        call.carry = False

    def _big_memory(self, call: Call) -> None:
        match call.al:
            case 0x01:
                low = (self._ram_end(16 * MB) - MB) // KB
                high = max(0, self._ram_end(1 << 32) - 16 * MB) // (64 * KB)
                call.ax = call.cx = low
                call.bx = call.dx = min(high, 0xFFFF)
                call.carry = False
            case 0x20:
                self._tell_range(call)
            case 0x81:
                low = (self._ram_end(16 * MB) - MB) // KB
                high = max(0, self._ram_end(1 << 32) - 16 * MB) // (64 * KB)
                call.eax = call.ecx = low
                call.ebx = call.edx = high
                call.carry = False
            case _:
                self._unsupported(call)

    def _tell_range(self, call: Call) -> None:
        index = call.ebx
        if call.edx != SMAP or call.ecx < 20 or index >= len(self._ranges):
            self._unsupported(call)
            return
        self._guest.write(call.es_pointer(call.di), self._ranges[index].packed())
        call.eax, call.ecx = SMAP, 20
        call.ebx = index + 1 if index + 1 < len(self._ranges) else 0
        call.carry = False

    def _move(self, call: Call) -> None:
        """Copy CX words between the third and fourth descriptor of the table at ES:SI."""
        table = call.es_pointer(call.si)
        memory = self._guest.memory
        length = 2 * call.cx
        source, target = (self._base(table + at) for at in (0x10, 0x18))
        memory.write(target, memory.read(source, length))
        call.ah, call.carry, call.zero = 0, False, True

    def _base(self, descriptor: int) -> int:
        low: int
        middle: int
        high: int
        low, middle, high = struct.unpack("<HBxxB", self._guest.read(descriptor + 2, 6))
        return low | middle << 16 | high << 24

    # -- time

    def _wait(self, call: Call) -> None:
        """Wait CX:DX microseconds; interrupts come meanwhile."""
        now = self._board.clock.now()
        end = self._waits.setdefault(call.stack, now + (call.cx << 16 | call.dx) * MICROSECOND)
        if now < end:
            self._tick_often(often=True)
            call.not_yet = True
            return
        del self._waits[call.stack]
        self._tick_often(often=bool(self._waits))
        call.ah, call.carry = 0, False

    def _tick_often(self, *, often: bool) -> None:
        """Have the real-time clock interrupt 1024 times a second, which ends a HLT in time."""
        ports = self._board.ports
        ports.write(0x70, 0x0B, 1)
        before = ports.read(0x71, 1)
        ports.write(0x70, 0x0B, 1)
        ports.write(0x71, before | PERIODIC if often else before & ~PERIODIC, 1)
        if often:
            ports.write(0xA1, ports.read(0xA1, 1) & ~1, 1)

    def _wait_event(self, call: Call) -> None:
        """Set bit 7 of a byte when CX:DX microseconds have gone by (AL=0), or forget it (AL=1)."""
        guest = self._guest
        if call.al == 1:
            self._event.cancel()
            guest.put_byte(bda.WAIT_ACTIVE, 0)
            call.carry = False
        elif call.al == 0 and not guest.byte(bda.WAIT_ACTIVE) & 1:
            self._event_flag = call.es_pointer(call.bx)
            guest.put_byte(bda.WAIT_ACTIVE, 1)
            self._event.after((call.cx << 16 | call.dx) * MICROSECOND)
            call.carry = False
        else:
            call.carry = True

    def _event_comes(self, _: int) -> None:
        guest = self._guest
        guest.memory.write(self._event_flag, bytes((guest.byte(self._event_flag) | 0x80,)))
        guest.put_byte(bda.WAIT_ACTIVE, 0)

    # -- tables

    def _table(self, call: Call) -> None:
        call.es, call.bx = 0xF000, self._configuration
        call.ah, call.carry = 0, False

    def _ebda(self, call: Call) -> None:
        call.es, call.carry = bda.EBDA >> 4, False
