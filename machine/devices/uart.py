"""The 16550A UART: COM1 to COM4.

Source: National Semiconductor, "PC16550D Universal Asynchronous Receiver/Transmitter with FIFOs"
(1995), cited by sections.

What is sent goes to a sink at once; what comes in is given to `receive` by whoever has it, as long
as there is `room`. Not modelled: the line itself (baud rate, parity and framing errors: both ends
always agree), DMA signals. The baud rate only says how long a character timeout is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from machine.clock import SECOND, Clock
from machine.line import Line

# IER
RECEIVED, EMPTY, LINE_STATUS, MODEM_STATUS = 0x01, 0x02, 0x04, 0x08

# IIR
NOTHING, IS_MODEM, IS_EMPTY, IS_RECEIVED, IS_LINE, IS_TIMEOUT = 0x01, 0x00, 0x02, 0x04, 0x06, 0x0C

# LCR
BREAK, DLAB = 0x40, 0x80

# MCR
DTR, RTS, OUT1, OUT2, LOOP = 0x01, 0x02, 0x04, 0x08, 0x10

# LSR
DR, OE, BI, THRE, TEMT = 0x01, 0x02, 0x10, 0x20, 0x40

# MSR
DCTS, DDSR, TERI, DDCD, CTS, DSR, RI, DCD = (1 << n for n in range(8))

TRIGGERS = (1, 4, 8, 14)
FIFO_SIZE = 16
CLOCK_HZ = 1_843_200

LOOPED = ((DTR, DSR), (RTS, CTS), (OUT1, RI), (OUT2, DCD))
"""Modem outputs, and the inputs they become in loopback (8.6)."""


class Uart:
    """Eight registers, an interrupt that OUT2 lets through as in a PC, and a wire out.

    `sink` takes what is sent; `has_room` is called when more can be received than before.
    """

    length = 8
    width = 1

    def __init__(
        self,
        clock: Clock,
        irq: Line,
        sink: Callable[[int], None],
        has_room: Callable[[], None] = lambda: None,
    ) -> None:
        self._irq = irq
        self.sink = sink
        self.has_room = has_room
        self._timer = clock.timer(self._time_out)
        self._inputs = CTS | DSR | DCD
        self._divisor = 12
        self._scratch = 0
        self.reset()

    def reset(self) -> None:
        """Master reset (table III). Divisor and scratch register keep what they have."""
        self._received: deque[int] = deque()
        self._has_timed_out = False
        self._empty_pending = False
        self._ier = self._fcr = self._lcr = self._mcr = 0
        self._errors = 0
        self._deltas = 0
        self._timer.cancel()
        self._drive()

    @property
    def room(self) -> int:
        """How many more characters it can take without losing one."""
        if self._mcr & LOOP:
            return 0
        return max(0, (FIFO_SIZE if self._fcr & 1 else 1) - len(self._received))

    def receive(self, value: int) -> None:
        """A character has come."""
        if self._mcr & LOOP:
            return  # the input is disconnected
        self._put(value)

    def receive_break(self) -> None:
        """The line was low for longer than a character (8.4, BI)."""
        self._put(0)
        self._errors |= BI
        self._drive()

    def set_modem(self, inputs: int) -> None:
        """The other end's CTS, DSR, RI and DCD, as they are in MSR."""
        before = self._modem_inputs()
        self._inputs = inputs & 0xF0
        self._note_modem_change(before)

    def read(self, offset: int, size: int = 1) -> int:
        match offset:
            case 0:
                return self._divisor & 0xFF if self._lcr & DLAB else self._take()
            case 1:
                return self._divisor >> 8 if self._lcr & DLAB else self._ier
            case 2:
                return self._identify()
            case 3:
                return self._lcr
            case 4:
                return self._mcr
            case 5:
                return self._line_status()
            case 6:
                deltas, self._deltas = self._deltas, 0
                self._drive()
                return self._modem_inputs() | deltas
            case _:
                return self._scratch

    def write(self, offset: int, value: int, size: int = 1) -> None:
        match offset:
            case 0 if self._lcr & DLAB:
                self._divisor = self._divisor & 0xFF00 | value
            case 0:
                self._send(value)
            case 1 if self._lcr & DLAB:
                self._divisor = self._divisor & 0xFF | value << 8
            case 1:
                if value & ~self._ier & EMPTY:
                    self._empty_pending = True
                self._ier = value & 0x0F
            case 2:
                self._write_fcr(value)
            case 3:
                self._lcr = value
            case 4:
                before, looped = self._modem_inputs(), self._mcr & LOOP
                self._mcr = value & 0x1F
                self._note_modem_change(before)
                if looped and self.room:
                    self.has_room()
            case 7:
                self._scratch = value
        self._drive()

    # Sending and receiving

    def _send(self, value: int) -> None:
        self._empty_pending = False
        self._drive()
        if self._mcr & LOOP:
            self._put(value)
        else:
            self.sink(value)
        self._empty_pending = True

    def _put(self, value: int) -> None:
        """The shift register is full: into the FIFO, or lost (8.4, OE)."""
        is_fifo = bool(self._fcr & 1)
        if len(self._received) >= (FIFO_SIZE if is_fifo else 1):
            self._errors |= OE
            if not is_fifo:
                self._received[0] = value
        else:
            self._received.append(value)
        self._restart_timeout()
        self._drive()

    def _take(self) -> int:
        value = self._received.popleft() if self._received else 0
        self._restart_timeout()
        self._drive()
        if self.room:
            self.has_room()
        return value

    def _restart_timeout(self) -> None:
        """8.3: four character times in which nobody puts in or takes out (FIFO mode only)."""
        self._has_timed_out = False
        if self._received and self._fcr & 1:
            character = 11 * 16 * max(1, self._divisor) * SECOND // CLOCK_HZ
            self._timer.after(4 * character)
        else:
            self._timer.cancel()

    def _time_out(self, _: int) -> None:
        self._has_timed_out = True
        self._drive()

    def _write_fcr(self, value: int) -> None:
        """8.5: changing FIFO mode empties the FIFOs; other bits count only in that mode."""
        if (value ^ self._fcr) & 0x01 or value & 0x02:
            self._received.clear()
            self._restart_timeout()
        self._fcr = value & 0xC9 if value & 0x01 else 0
        self.has_room()

    # Status and interrupts

    def _line_status(self) -> int:
        errors, self._errors = self._errors, 0
        self._drive()
        return THRE | TEMT | errors | (DR if self._received else 0)

    def _modem_inputs(self) -> int:
        if not self._mcr & LOOP:
            return self._inputs
        return sum(to for bit, to in LOOPED if self._mcr & bit)

    def _note_modem_change(self, before: int) -> None:
        """DCTS, DDSR and DDCD on any change, TERI when RI goes away."""
        now = self._modem_inputs()
        self._deltas |= ((now ^ before) & ~RI | before & ~now & RI) >> 4
        self._drive()

    def _pending(self) -> int:
        """The interrupt of the highest priority (table VI)."""
        trigger = TRIGGERS[self._fcr >> 6] if self._fcr & 1 else 1
        if self._ier & LINE_STATUS and self._errors:
            return IS_LINE
        if self._ier & RECEIVED and len(self._received) >= trigger:
            return IS_RECEIVED
        if self._ier & RECEIVED and self._has_timed_out:
            return IS_TIMEOUT
        if self._ier & EMPTY and self._empty_pending:
            return IS_EMPTY
        if self._ier & MODEM_STATUS and self._deltas:
            return IS_MODEM
        return NOTHING

    def _identify(self) -> int:
        """Reading IIR takes an interrupt for the empty transmitter back."""
        pending = self._pending()
        if pending == IS_EMPTY:
            self._empty_pending = False
            self._drive()
        return pending | (0xC0 if self._fcr & 1 else 0)

    def _drive(self) -> None:
        self._irq.set(bool(self._mcr & OUT2) and self._pending() != NOTHING)
