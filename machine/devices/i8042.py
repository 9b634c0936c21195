"""The 8042 keyboard controller of the AT and PS/2, at ports 60h and 64h, and port 92h beside it.

Sources: IBM, "Personal System/2 Hardware Interface Technical Reference", Keyboard and Auxiliary
Device Controller; 82371AB, section 4.2.5.3 for port 92h.

A byte of a device comes as long after the one before was read as the cable needs, so that who reads
port 60h twice gets it twice. Not modelled: passwords, timeouts, parity errors, the input port's
pins, and the time the controller needs for what it is told.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from machine.bus import Unimplemented, Window, ignore
from machine.clock import Clock
from machine.devices.ps2 import BREAK, TO_SET_1, Keyboard, Mouse, Ps2Device
from machine.line import Line

# Status
OBF, SYS, COMMAND, UNLOCKED, AUX_OBF = 0x01, 0x04, 0x08, 0x10, 0x20

# Command byte
KEYBOARD_IRQ, MOUSE_IRQ, SYSTEM_FLAG = 0x01, 0x02, 0x04
KEYBOARD_OFF, MOUSE_OFF, TRANSLATE = 0x10, 0x20, 0x40

# Output port
RUNNING, A20 = 0x01, 0x02
IDLE = 0xCC
"""Clock and data of both devices are high."""

BYTE_NS = 660_000
"""Eleven bits at 16.7 kHz."""


class I8042:
    """Status, commands and the two cables.

    `a20` is the A20 gate's line, which others drive too; `reset` resets the processor.
    """

    def __init__(
        self,
        clock: Clock,
        keyboard: Keyboard,
        mouse: Mouse,
        *,
        keyboard_irq: Line,
        mouse_irq: Line,
        a20: Line,
        reset: Callable[[], None],
        unimplemented: Unimplemented = ignore,
    ) -> None:
        self.data = Window(1, self._read_data, self._write_data)
        self.status = Window(1, self._read_status, self._write_command)
        self._keyboard = keyboard
        self._mouse = mouse
        self._irqs: dict[Ps2Device, Line] = {keyboard: keyboard_irq, mouse: mouse_irq}
        self._a20 = a20
        self._reset_cpu = reset
        self._unimplemented = unimplemented
        self._timer = clock.timer(self._arrive)
        keyboard.is_ready = mouse.is_ready = self._listen
        self.reset()

    def reset(self) -> None:
        """Power-on: both devices may send; nothing is translated before a BIOS says so."""
        self._ram = bytearray(32)
        self._ram[0] = KEYBOARD_IRQ | MOUSE_IRQ
        self._replies: deque[tuple[int, Ps2Device]] = deque()
        self._buffer = 0
        self._buffer_of: Ps2Device | None = None
        """Whose byte is in the output buffer; None if it is empty."""
        self._expects = 0
        """The command whose parameter comes by port 60h."""
        self._last_was_command = False
        self._after_break = False
        self._timer.cancel()
        self._drive()

    # Port 60h

    def _read_data(self, _: int, __: int) -> int:
        if self._buffer_of is not None:
            self._buffer_of = None
            self._drive()
            self._next()
        return self._buffer

    def _write_data(self, _: int, value: int, __: int) -> None:
        self._last_was_command = False
        command, self._expects = self._expects, 0
        match command:
            case 0:
                self._ram[0] &= ~KEYBOARD_OFF
                self._keyboard.receive(value)
            case 0xD1:
                self._write_output_port(value)
            case 0xD2:
                self._reply(value, self._keyboard)
            case 0xD3:
                self._reply(value, self._mouse)
            case 0xD4:
                self._ram[0] &= ~MOUSE_OFF
                self._mouse.receive(value)
            case _:
                self._ram[command & 0x1F] = value
                self._drive()
                self._listen()

    # Port 64h

    def _read_status(self, _: int, __: int) -> int:
        full = 0 if self._buffer_of is None else OBF
        aux = AUX_OBF if self._buffer_of is self._mouse else 0
        system = SYS if self._ram[0] & SYSTEM_FLAG else 0
        return full | aux | system | UNLOCKED | (COMMAND if self._last_was_command else 0)

    def _write_command(self, _: int, value: int, __: int) -> None:
        self._last_was_command = True
        self._expects = 0
        match value:
            case _ if 0x20 <= value <= 0x3F:
                self._reply(self._ram[value & 0x1F])
            case 0xD1 | 0xD2 | 0xD3 | 0xD4:
                self._expects = value
            case _ if 0x60 <= value <= 0x7F:
                self._expects = value
            case 0xA7 | 0xA8:
                self._switch(MOUSE_OFF, off=value == 0xA7)
            case 0xAD | 0xAE:
                self._switch(KEYBOARD_OFF, off=value == 0xAD)
            case 0xA9 | 0xAB:
                self._reply(0x00)  # nothing is wrong with the lines
            case 0xAA:
                self._ram[0] |= SYSTEM_FLAG
                self._reply(0x55)
            case 0xC0:
                self._reply(0x80)  # not inhibited by the key lock
            case 0xD0:
                self._reply(self._output_port())
            case 0xDD | 0xDF:
                self._a20.set(value == 0xDF)
            case _ if value >= 0xF0:
                if not value & RUNNING:  # a pulse on the processor's reset
                    self._reset_cpu()
            case _:
                self._unimplemented(f"8042: command {value:#x}")

    def _switch(self, bit: int, *, off: bool) -> None:
        self._ram[0] = self._ram[0] & ~bit | (bit if off else 0)
        self._listen()

    def _output_port(self) -> int:
        keyboard = 0x10 if self._buffer_of is self._keyboard else 0
        mouse = 0x20 if self._buffer_of is self._mouse else 0
        return IDLE | RUNNING | (A20 if self._a20.level else 0) | keyboard | mouse

    def _write_output_port(self, value: int) -> None:
        self._a20.set(bool(value & A20))
        if not value & RUNNING:
            self._reset_cpu()

    # The output buffer

    def _reply(self, value: int, device: Ps2Device | None = None) -> None:
        """Put what the controller itself says before all that the devices say."""
        self._replies.append((value, device or self._keyboard))
        if self._buffer_of is None:
            self._next()

    def _next(self) -> None:
        """The buffer is empty: fill it, at once with a reply, else when a byte has come."""
        if self._replies:
            self._fill(*self._replies.popleft())
        else:
            self._listen()

    def _listen(self) -> None:
        """Let a device that is not switched off send, if nobody does."""
        if self._buffer_of is None and self._timer.deadline is None and self._sender():
            self._timer.after(BYTE_NS)

    def _sender(self) -> Ps2Device | None:
        if self._keyboard.waiting and not self._ram[0] & KEYBOARD_OFF:
            return self._keyboard
        if self._mouse.waiting and not self._ram[0] & MOUSE_OFF:
            return self._mouse
        return None

    def _arrive(self, _: int) -> None:
        sender = self._sender()
        if self._buffer_of is not None or sender is None:
            return
        value: int | None = sender.fetch()
        if sender is self._keyboard and self._ram[0] & TRANSLATE:
            value = self._translate(value or 0)
        if value is None:
            self._listen()
        else:
            self._fill(value, sender)

    def _translate(self, value: int) -> int | None:
        """Set 2 to set 1, in which a break code is the make code with bit 7."""
        if value == BREAK:
            self._after_break = True
            return None
        released, self._after_break = self._after_break, False
        code = TO_SET_1[value] if value < len(TO_SET_1) else value
        return code | 0x80 if released else code

    def _fill(self, value: int, device: Ps2Device) -> None:
        self._buffer = value
        self._buffer_of = device
        self._drive()

    def _drive(self) -> None:
        for device, enable in ((self._keyboard, KEYBOARD_IRQ), (self._mouse, MOUSE_IRQ)):
            self._irqs[device].set(self._buffer_of is device and bool(self._ram[0] & enable))


class Port92:
    """System control port A: A20 in bit 1; a rising bit 0 resets the processor."""

    length = 1
    width = 1

    def __init__(self, a20: Line, reset: Callable[[], None]) -> None:
        self._a20 = a20
        self._reset_cpu = reset
        self._fast_reset = 0

    def reset(self) -> None:
        self._fast_reset = 0

    def read(self, offset: int = 0, size: int = 1) -> int:
        return self._fast_reset | self._a20.level << 1

    def write(self, offset: int, value: int, size: int = 1) -> None:
        rises = value & ~self._fast_reset & 1
        self._fast_reset = value & 1
        self._a20.set(bool(value & 2))
        if rises:
            self._reset_cpu()
