"""The 8259A interrupt controllers and how two of them stand in a PC.

Sources: Intel, "8259A Programmable Interrupt Controller", order 231468-003, cited by its headings;
the edge/level registers are those of the 82371AB (PIIX4), section 4.2.3.

Not modelled: MCS-80 mode and buffered mode (no PC has either). A request on an edge-sensed input
that goes away before INTA stays pending instead of becoming a default IR7: a device that pulses its
line loses nothing.
"""

from __future__ import annotations

from functools import partial

from machine.bus import Unimplemented, Window, ignore
from machine.line import Line

CASCADE = 2
"""The master's input at which the slave is."""

SPURIOUS = 7
"""The input that is named when none asks any more ("DEFAULT IR7")."""


class Pic:
    """One 8259A: eight inputs, INT, and two ports.

    `inputs_below` are inputs at which there is another 8259A: for the special fully nested mode.
    """

    length = 2
    width = 1

    def __init__(
        self, intr: Line, *, inputs_below: int = 0, unimplemented: Unimplemented = ignore
    ) -> None:
        self.intr = intr
        self._inputs_below = inputs_below
        self._unimplemented = unimplemented
        self._lines = [Line(partial(self._input, 1 << n)) for n in range(8)]
        self._levels = 0
        self.elcr = 0
        """Inputs that are sensed by level; all others by edge."""
        self.reset()

    @property
    def irr(self) -> int:
        """Interrupt request register."""
        return self._edges | self._levels & self.elcr

    def reset(self) -> None:
        """What power-on leaves; the datasheet promises nothing before ICW1."""
        self.vector_base = 0
        self.elcr = 0
        self._icw4 = 0
        self._next_icw = 0
        self._begin()

    def _begin(self) -> None:
        """What ICW1 does ("Initialization Command Words 1 and 2")."""
        self.isr = 0
        self.imr = 0
        self._edges = 0  # "the edge sense circuit is reset"
        self._lowest = 7
        self._special_mask = False
        self._read_isr = False
        self._poll = False
        self._rotate_in_aeoi = False
        self._update()

    def line(self, number: int) -> Line:
        """An interrupt request input, IR0 to IR7."""
        return self._lines[number]

    def acknowledge(self) -> int:
        """INTA: the input that is now in service, or `SPURIOUS` with none in service."""
        number = self._pending()
        if number is None:
            return SPURIOUS
        bit = 1 << number
        self._edges &= ~bit
        if self._icw4 & 0x02:  # AEOI
            if self._rotate_in_aeoi:
                self._lowest = number
        else:
            self.isr |= bit
        self.intr.set(False)  # what asks next is a new edge for the master
        self._update()
        return number

    def read(self, offset: int, size: int = 1) -> int:
        if self._poll:  # OCW3: the next read is treated as INTA
            self._poll = False
            asked = self._pending() is not None
            return 0x80 | self.acknowledge() if asked else 0
        if offset:
            return self.imr
        return self.isr if self._read_isr else self.irr

    def write(self, offset: int, value: int, size: int = 1) -> None:
        if offset == 0 and value & 0x10:
            self._icw1(value)
        elif offset == 0 and value & 0x08:
            self._ocw3(value)
        elif offset == 0:
            self._ocw2(value)
        elif self._next_icw:
            self._later_icw(value)
        else:
            self.imr = value  # OCW1
        self._update()

    def set_elcr(self, value: int) -> None:
        """Choose which inputs are sensed by level."""
        self.elcr = value
        self._edges &= ~value
        self._update()

    def _icw1(self, value: int) -> None:
        self._begin()
        self._is_single = bool(value & 0x02)
        self._wants_icw4 = bool(value & 0x01)
        if not self._wants_icw4:
            self._icw4 = 0
        if value & 0x08:
            self._unimplemented("8259A: ICW1 with LTIM; a PC's inputs go by ELCR")
        self._next_icw = 2

    def _later_icw(self, value: int) -> None:
        match self._next_icw:
            case 2:
                self.vector_base = value & 0xF8
                self._next_icw = 3 if not self._is_single else 4 if self._wants_icw4 else 0
            case 3:  # where the other one is: that is wired
                self._next_icw = 4 if self._wants_icw4 else 0
            case _:
                self._icw4 = value
                self._next_icw = 0
                if not value & 0x01:
                    self._unimplemented("8259A: MCS-80 mode")

    def _ocw2(self, value: int) -> None:
        """Operation Control Word 2: R, SL and EOI, and a level."""
        level = value & 7
        match value >> 5:
            case 0b000 | 0b100:  # rotate in automatic EOI mode: clear, set
                self._rotate_in_aeoi = bool(value & 0x80)
            case 0b001:  # non-specific EOI
                self._end(self._highest(self.isr & ~self._hidden()))
            case 0b101:  # rotate on non-specific EOI
                self._end(ended := self._highest(self.isr & ~self._hidden()))
                if ended is not None:
                    self._lowest = ended
            case 0b011:  # specific EOI
                self._end(level)
            case 0b111:  # rotate on specific EOI
                self._end(level)
                self._lowest = level
            case 0b110:  # set priority
                self._lowest = level

    def _ocw3(self, value: int) -> None:
        self._poll = bool(value & 0x04)
        if value & 0x02:
            self._read_isr = bool(value & 0x01)
        if value & 0x40:
            self._special_mask = bool(value & 0x20)

    def _end(self, number: int | None) -> None:
        if number is not None:
            self.isr &= ~(1 << number)

    def _hidden(self) -> int:
        """What is masked in special mask mode: it blocks nothing, and no plain EOI clears it."""
        return self.imr if self._special_mask else 0

    def _highest(self, bits: int) -> int | None:
        """The one of the highest priority, which is next to the lowest."""
        for step in range(1, 9):
            number = self._lowest + step & 7
            if bits >> number & 1:
                return number
        return None

    def _rank(self, number: int) -> int:
        return number - self._lowest - 1 & 7

    def _pending(self) -> int | None:
        """The input that INT asks for, unless something as important is in service."""
        asking = self._highest(self.irr & ~self.imr)
        if asking is None:
            return None
        blocking = self.isr & ~self._hidden()
        if self._icw4 & 0x10:  # SFNM: a slave may ask again while it is in service
            blocking &= ~(self._inputs_below & 1 << asking)
        served = self._highest(blocking)
        if served is not None and self._rank(served) <= self._rank(asking):
            return None
        return asking

    def _input(self, bit: int, level: bool) -> None:
        if level:
            self._levels |= bit
            self._edges |= bit & ~self.elcr
        else:
            self._levels &= ~bit
        self._update()

    def _update(self) -> None:
        self.intr.set(not self._next_icw and self._pending() is not None)


class PicPair:
    """The PC's fifteen interrupt requests: a master at 20h, a slave at A0h, ELCR at 4D0h."""

    def __init__(self, intr: Line, unimplemented: Unimplemented = ignore) -> None:
        self.master = Pic(intr, inputs_below=1 << CASCADE, unimplemented=unimplemented)
        self.slave = Pic(self.master.line(CASCADE), unimplemented=unimplemented)
        self.elcr = Window(2, self._read_elcr, self._write_elcr)

    def reset(self) -> None:
        self.slave.reset()
        self.master.reset()

    def line(self, irq: int) -> Line:
        """IRQ0 to IRQ15, without the second, which is the slave's."""
        if irq == CASCADE:
            raise ValueError("IRQ2 is where the slave is")
        return self.slave.line(irq - 8) if irq >= 8 else self.master.line(irq)

    def acknowledge(self) -> int:
        """INTA: the vector. A spurious one of the slave leaves IR2 in service in the master."""
        number = self.master.acknowledge()
        if number == CASCADE:
            return self.slave.vector_base | self.slave.acknowledge()
        return self.master.vector_base | number

    def _read_elcr(self, offset: int, _: int) -> int:
        return (self.slave if offset else self.master).elcr

    def _write_elcr(self, offset: int, value: int, _: int) -> None:
        """IRQ 0, 1, 2, 8 and 13 are always sensed by edge."""
        if offset:
            self.slave.set_elcr(value & 0xDE)
        else:
            self.master.set_elcr(value & 0xF8)
