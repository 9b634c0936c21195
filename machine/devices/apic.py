"""The local APIC, the I/O APIC, and the messages between them.

Sources: Intel SDM volume 3A, chapter 11 ("Advanced Programmable Interrupt Controller"), cited by
sections; Intel, "82093AA I/O Advanced Programmable Interrupt Controller", order 290566.

Not modelled: x2APIC, the TSC-deadline timer, thermal and performance counter interrupts (their LVT
entries are memory), the arbitration of the serial APIC bus, and the polarity of I/O APIC inputs: a
line that is up asks, however it is programmed, since wires here have no polarity.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from machine.bus import Unimplemented, ignore
from machine.clock import SECOND, Clock
from machine.line import Line

FIXED, LOWEST, SMI, NMI, INIT, STARTUP, EXTINT = 0, 1, 2, 4, 5, 6, 7
"""Delivery modes (11.5.1)."""

MASKED, LEVEL, REMOTE_IRR, PENDING, LOGICAL = 1 << 16, 1 << 15, 1 << 14, 1 << 12, 1 << 11
PERIODIC = 1 << 17
BROADCAST = 0xFF


class Register:
    """Registers of the local APIC (table 11-1), by their numbers: offset / 16."""

    # fmt: off
    ID, VERSION, TPR, APR, PPR, EOI, LDR, DFR, SVR = 2, 3, 8, 9, 10, 11, 13, 14, 15
    ISR, TMR, IRR, ESR, ICR_LOW, ICR_HIGH          = 0x10, 0x18, 0x20, 0x28, 0x30, 0x31
    LVT_TIMER, LVT_THERMAL, LVT_COUNTERS           = 0x32, 0x33, 0x34
    LVT_LINT0, LVT_LINT1, LVT_ERROR                = 0x35, 0x36, 0x37
    TIMER_INITIAL, TIMER_CURRENT, TIMER_DIVIDE     = 0x38, 0x39, 0x3E
    # fmt: on


# fmt: off
LVT_WRITABLE = {
    Register.LVT_TIMER:    0x300FF,
    Register.LVT_THERMAL:  0x107FF,
    Register.LVT_COUNTERS: 0x107FF,
    Register.LVT_LINT0:    0x1A7FF,
    Register.LVT_LINT1:    0x1A7FF,
    Register.LVT_ERROR:    0x100FF,
}
# fmt: on

SEND_ILLEGAL_VECTOR, RECEIVED_ILLEGAL_VECTOR, ILLEGAL_REGISTER = 0x20, 0x40, 0x80
"""Bits of ESR (11.5.3)."""

TIMER_HZ = SECOND
"""The bus clock of the timer; software measures it."""


@dataclass(frozen=True, slots=True)
class Message:
    """An interrupt on its way to processors."""

    mode: int
    vector: int = 0
    destination: int = BROADCAST
    is_logical: bool = False
    is_level: bool = False


@dataclass(slots=True)
class ApicBus:
    """What takes messages to local APICs, and their EOIs to I/O APICs."""

    local: list[LocalApic] = field(default_factory=list)
    io: list[IoApic] = field(default_factory=list)

    def send(self, message: Message) -> bool:
        """Deliver it; False if it is for nobody here."""
        targets = [apic for apic in self.local if apic.is_meant(message)]
        if message.mode == LOWEST and targets:
            targets = [min(targets, key=lambda apic: apic.processor_priority)]
        for apic in targets:
            apic.accept(message)
        return bool(targets)

    def write_msi(self, address: int, data: int) -> None:
        """A device's write to FEE0_0000h and after (11.11)."""
        self.send(
            Message(
                mode=data >> 8 & 7,
                vector=data & 0xFF,
                destination=address >> 12 & 0xFF,
                is_logical=bool(address & 4),
                is_level=bool(data & LEVEL),
            )
        )

    def end_of_interrupt(self, vector: int) -> None:
        for apic in self.io:
            apic.end(vector)


class LocalApic:
    """One processor's APIC, which stands between the 8259s and the processor's INTR.

    `intr` goes to the processor, which calls `acknowledge`; `lint0` comes from the 8259s, whose
    vector `acknowledge_8259` gives; `lint1` is NMI. `special` is told of messages that are no
    vectors: SMI, NMI, INIT, STARTUP with its page. Attach it at the base that the processor's
    IA32_APIC_BASE says; `is_enabled` is that register's bit 11.
    """

    length = 0x1000
    width = 4

    def __init__(
        self,
        clock: Clock,
        bus: ApicBus,
        apic_id: int,
        intr: Line,
        acknowledge_8259: Callable[[], int],
        special: Callable[[int, int], None],
        unimplemented: Unimplemented = ignore,
    ) -> None:
        self._clock = clock
        self._bus = bus
        self._first_id = apic_id
        self._intr = intr
        self._acknowledge_8259 = acknowledge_8259
        self._special = special
        self._unimplemented = unimplemented
        self._timer = clock.timer(self._expire)
        self.lint0 = Line(partial(self._lint, Register.LVT_LINT0))
        self.lint1 = Line(partial(self._lint, Register.LVT_LINT1))
        self._readers = self._register_readers()
        self.is_enabled = True
        bus.local.append(self)
        self.reset()

    def reset(self) -> None:
        """11.4.7.1: power-up; all that INIT does too."""
        self.id = self._first_id
        self._tpr = self._ldr = 0
        self._dfr = 0xFFFFFFFF
        self._svr = 0xFF
        self._isr = self._tmr = self._irr = 0
        self._errors = self._esr = 0
        self._icr = 0
        self._lvt = dict.fromkeys(LVT_WRITABLE, MASKED)
        self._remote_irr = False
        self._initial = 0
        self._divide = 0
        self._started = 0
        self._timer.cancel()
        self._drive()

    def set_enabled(self, enabled: bool) -> None:
        """IA32_APIC_BASE bit 11: without it LINT0 is INTR and LINT1 is NMI."""
        if not enabled and self.is_enabled:
            self.reset()
        self.is_enabled = enabled
        self._drive()

    # The processor's side

    @property
    def task_priority(self) -> int:
        """CR8: the class of TPR."""
        return self._tpr >> 4

    @task_priority.setter
    def task_priority(self, value: int) -> None:
        self._tpr = value << 4 & 0xF0
        self._drive()

    @property
    def processor_priority(self) -> int:
        """PPR (11.8.3.1): the higher of TPR and the class in service."""
        served = highest(self._isr)
        return self._tpr if self._tpr >> 4 >= served >> 4 else served & 0xF0

    def acknowledge(self) -> int:
        """INTA: the vector that goes into service, or the 8259s', or the spurious one."""
        vector = self._deliverable()
        if vector is not None:
            self._irr &= ~(1 << vector)
            self._isr |= 1 << vector
        elif self._passes_8259():
            vector = self._acknowledge_8259()
        self._drive()
        return self._svr & 0xFF if vector is None else vector

    # Messages

    def is_meant(self, message: Message) -> bool:
        """Whether a message's destination is this processor (11.6.2)."""
        if not self.is_enabled:
            return False
        target = message.destination
        if not message.is_logical:
            return target in {BROADCAST, self.id}
        mine = self._ldr >> 24
        if self._dfr >> 28 == 0xF:  # flat
            return bool(mine & target)
        return target >> 4 in {0xF, mine >> 4} and bool(mine & target & 0xF)

    def accept(self, message: Message) -> None:
        if message.mode in {FIXED, LOWEST}:
            self._request(message.vector, is_level=message.is_level)
        else:
            self._special(message.mode, message.vector)

    def _request(self, vector: int, *, is_level: bool = False) -> None:
        if vector < 16:
            self._error(RECEIVED_ILLEGAL_VECTOR)
            return
        if not self._svr & 0x100:
            return
        bit = 1 << vector
        self._irr |= bit
        self._tmr = self._tmr | bit if is_level else self._tmr & ~bit
        self._drive()

    def _lint(self, register: int, level: bool) -> None:
        """LINT0 and LINT1 changed: what their LVT entry makes of it (11.5.1)."""
        entry = self._lvt[register]
        if not self.is_enabled:
            if level and register == Register.LVT_LINT1:
                self._special(NMI, 0)
        elif level and not entry & MASKED:
            if entry >> 8 & 7 == FIXED:
                self._request(entry & 0xFF, is_level=bool(entry & LEVEL))
            elif entry >> 8 & 7 != EXTINT:
                self._special(entry >> 8 & 7, entry & 0xFF)
        self._drive()

    def _passes_8259(self) -> bool:
        entry = self._lvt[Register.LVT_LINT0]
        is_through = not entry & MASKED and entry >> 8 & 7 == EXTINT
        return self.lint0.level and (is_through or not self.is_enabled)

    def _deliverable(self) -> int | None:
        vector = highest(self._irr)
        return vector if vector >> 4 > self.processor_priority >> 4 else None

    def _drive(self) -> None:
        self._intr.set(self._passes_8259() or self._deliverable() is not None)

    def _error(self, bit: int) -> None:
        self._errors |= bit
        if (
            not self._lvt[Register.LVT_ERROR] & MASKED
            and self._lvt[Register.LVT_ERROR] & 0xFF >= 16
        ):
            self._request(self._lvt[Register.LVT_ERROR] & 0xFF)

    # Registers

    def read(self, offset: int, size: int = 4) -> int:
        """Registers are 32 bits in every 16 bytes; narrower reads get their part."""
        if offset & 0xF > 3:
            return 0
        return self._read(offset >> 4) >> 8 * (offset & 3) & (1 << 8 * size) - 1

    def write(self, offset: int, value: int, size: int = 4) -> None:
        if offset & 0xF or size != 4:
            self._unimplemented(f"local APIC: write of {size} at {offset:#x}")
            return
        self._write(offset >> 4, value)
        self._drive()

    def _read(self, register: int) -> int:
        if register in self._lvt:
            return self._lvt[register]
        if Register.ISR <= register < Register.ESR:
            bits = (self._isr, self._tmr, self._irr)[register - Register.ISR >> 3]
            return bits >> 32 * (register & 7) & 0xFFFFFFFF
        if (reader := self._readers.get(register)) is not None:
            return reader()
        self._error(ILLEGAL_REGISTER)
        return 0

    def _register_readers(self) -> dict[int, Callable[[], int]]:
        return {
            Register.ID: lambda: self.id << 24,
            Register.VERSION: lambda: 0x0005_0014,  # six LVT entries
            Register.TPR: lambda: self._tpr,
            Register.APR: lambda: self.processor_priority,
            Register.PPR: lambda: self.processor_priority,
            Register.LDR: lambda: self._ldr,
            Register.DFR: lambda: self._dfr,
            Register.SVR: lambda: self._svr,
            Register.ESR: lambda: self._esr,
            Register.ICR_LOW: lambda: self._icr & 0xFFFFFFFF,
            Register.ICR_HIGH: lambda: self._icr >> 32,
            Register.TIMER_INITIAL: lambda: self._initial,
            Register.TIMER_CURRENT: self._current,
            Register.TIMER_DIVIDE: lambda: self._divide,
        }

    def _write(self, register: int, value: int) -> None:
        match register:
            case Register.ID:
                self.id = value >> 24
            case Register.TPR:
                self._tpr = value & 0xFF
            case Register.EOI:
                self._end()
            case Register.LDR:
                self._ldr = value & 0xFF000000
            case Register.DFR:
                self._dfr = value | 0x0FFFFFFF
            case Register.SVR:
                self._write_svr(value)
            case Register.ESR:  # a write shows what has gathered
                self._esr, self._errors = self._errors, 0
            case Register.ICR_LOW:
                self._icr = self._icr & ~0xFFFFFFFF | value & 0xCCFFF & ~PENDING
                self._send()
            case Register.ICR_HIGH:
                self._icr = self._icr & 0xFFFFFFFF | (value & 0xFF000000) << 32
            case _ if register in self._lvt:
                self._write_lvt(register, value)
            case Register.TIMER_INITIAL:
                self._initial = value
                self._start_timer()
            case Register.TIMER_DIVIDE:
                self._divide = value & 0xB
                self._start_timer()
            case _:
                self._error(ILLEGAL_REGISTER)

    def _write_svr(self, value: int) -> None:
        """11.4.7.2: while it is off by software all LVT entries are masked."""
        self._svr = value & 0x1FF
        if not value & 0x100:
            for register in self._lvt:
                self._lvt[register] |= MASKED

    def _write_lvt(self, register: int, value: int) -> None:
        value &= LVT_WRITABLE[register]
        if not self._svr & 0x100:
            value |= MASKED
        self._lvt[register] = value
        if register == Register.LVT_TIMER:
            if value & 1 << 18:
                self._unimplemented("local APIC: TSC-deadline timer")
            self._arm()

    def _end(self) -> None:
        """EOI (11.8.5): I/O APICs hear of those sensed by level."""
        vector = highest(self._isr)
        if not vector:
            return
        self._isr &= ~(1 << vector)
        if self._tmr >> vector & 1:
            self._bus.end_of_interrupt(vector)

    def _send(self) -> None:
        """ICR (11.6.1): to one, to itself, to all, to all others."""
        mode, vector = self._icr >> 8 & 7, self._icr & 0xFF
        if mode in {FIXED, LOWEST} and vector < 16:
            self._error(SEND_ILLEGAL_VECTOR)
            return
        if mode == INIT and not self._icr & 1 << 14:
            return  # INIT level de-assert: nothing since the Pentium 4
        message = Message(mode, vector, self._icr >> 56, bool(self._icr & LOGICAL))
        match self._icr >> 18 & 3:
            case 0:
                self._bus.send(message)
            case 1:
                self.accept(message)
            case shorthand:
                for apic in self._bus.local:
                    if shorthand == 2 or apic is not self:
                        apic.accept(message)

    # The timer (11.5.4)

    @property
    def _divisor(self) -> int:
        code = self._divide & 3 | self._divide >> 1 & 4
        return 1 << (code + 1 & 7)

    def _count(self) -> int:
        """Ticks since the initial count was written."""
        return (self._clock.now() - self._started) * TIMER_HZ // (SECOND * self._divisor)

    def _current(self) -> int:
        if not self._initial:
            return 0
        if self._lvt[Register.LVT_TIMER] & PERIODIC:
            return self._initial - self._count() % self._initial
        return max(0, self._initial - self._count())

    def _start_timer(self) -> None:
        self._started = self._clock.now()
        self._arm(rounds=1)

    def _arm(self, rounds: int = 0) -> None:
        """Set the host's timer for the next time the count is zero, if that interrupts.

        A count that has just begun comes to zero in its first round, however late it is by now; one
        that is late already still comes.
        """
        due = self._timer.deadline
        is_late = not rounds and due is not None and due <= self._clock.now()
        if is_late and not self._lvt[Register.LVT_TIMER] & MASKED:
            return
        self._timer.cancel()
        if not self._initial or self._lvt[Register.LVT_TIMER] & MASKED:
            return
        rounds = rounds or self._count() // self._initial + 1
        if rounds > 1 and not self._lvt[Register.LVT_TIMER] & PERIODIC:
            return
        ticks = rounds * self._initial * self._divisor
        self._timer.at(self._started + -(-ticks * SECOND // TIMER_HZ))

    def _expire(self, _: int) -> None:
        self._request(self._lvt[Register.LVT_TIMER] & 0xFF)
        if self._lvt[Register.LVT_TIMER] & PERIODIC:
            self._arm()


def highest(bits: int) -> int:
    """The highest vector of a set, 0 if it is empty: vectors below 16 are none."""
    return max(0, bits.bit_length() - 1)


class IoApic:
    """The 82093AA: 24 inputs, each with an entry that says which message it becomes.

    Attach it at FEC0_0000h: an index at 00h, data at 10h.
    """

    length = 0x1000
    width = 4
    INPUTS = 24

    def __init__(self, bus: ApicBus) -> None:
        self._bus = bus
        self._lines = [Line(partial(self._input, number)) for number in range(self.INPUTS)]
        bus.io.append(self)
        self.reset()

    def reset(self) -> None:
        self._index = 0
        self._id = 0
        self._entries = [MASKED] * self.INPUTS

    def line(self, number: int) -> Line:
        """An input, INTIN0 to INTIN23."""
        return self._lines[number]

    @property
    def entries(self) -> tuple[int, ...]:
        """The redirection table."""
        return tuple(self._entries)

    def end(self, vector: int) -> None:
        """An EOI: an input sensed by level that is still up asks again."""
        for number, entry in enumerate(self._entries):
            if entry & REMOTE_IRR and entry & 0xFF == vector:
                self._entries[number] &= ~REMOTE_IRR
                self._ask_by_level(number)

    def read(self, offset: int, size: int = 4) -> int:
        registers = {0: self._index, 1: self._read_register()}
        value = registers.get(offset >> 4, 0) if offset & 0xF < 4 else 0
        return value >> 8 * (offset & 3) & (1 << 8 * size) - 1

    def write(self, offset: int, value: int, size: int = 4) -> None:
        if size != 4:
            return  # "all accesses are 32 bits"
        if offset == 0:
            self._index = value & 0xFF
        elif offset == 0x10:
            self._write_register(value)

    def _read_register(self) -> int:
        number, is_high = divmod(self._index - 0x10, 2)
        if 0 <= number < self.INPUTS:
            return self._entries[number] >> (32 if is_high else 0) & 0xFFFFFFFF
        match self._index:
            case 0 | 2:  # identification, arbitration
                return self._id << 24
            case 1:
                return (self.INPUTS - 1) << 16 | 0x11
            case _:
                return 0xFFFFFFFF

    def _write_register(self, value: int) -> None:
        if self._index == 0:
            self._id = value >> 24 & 0x0F
        number, is_high = divmod(self._index - 0x10, 2)
        if not 0 <= number < self.INPUTS:
            return
        entry = self._entries[number]
        if is_high:
            self._entries[number] = entry & 0xFFFFFFFF | (value & 0xFF000000) << 32
            return
        new = entry & ~0xFFFFFFFF | value & 0x1AFFF
        if new & LEVEL:
            new |= entry & REMOTE_IRR
        self._entries[number] = new
        self._ask_by_level(number)

    def _input(self, number: int, level: bool) -> None:
        entry = self._entries[number]
        if entry & LEVEL:
            self._ask_by_level(number)
        elif level and not entry & MASKED:
            self._send(entry)

    def _ask_by_level(self, number: int) -> None:
        entry = self._entries[number]
        if not self._lines[number].level or not entry & LEVEL or entry & (MASKED | REMOTE_IRR):
            return
        if self._send(entry):
            self._entries[number] |= REMOTE_IRR

    def _send(self, entry: int) -> bool:
        return self._bus.send(
            Message(
                mode=entry >> 8 & 7,
                vector=entry & 0xFF,
                destination=entry >> 56,
                is_logical=bool(entry & LOGICAL),
                is_level=bool(entry & LEVEL),
            )
        )
