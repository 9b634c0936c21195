"""The ports of a VGA, 3B0h to 3DFh: indices, protections, and the ways into the DAC.

Source: IBM, "PS/2 Hardware Interface Technical Reference", Video Subsystem, May 1992. Not modelled:
the comparator behind Input Status 0 (switch sense is 0), and sleeping by 3C3h.
"""

from __future__ import annotations

from collections.abc import Callable

from machine.bus import Unimplemented, Window
from machine.devices.vga_registers import (
    ATTRIBUTE_BITS,
    CLOCKING_MODE,
    CRTC_COUNT,
    GRAPHICS_BITS,
    IS_COLOR,
    LINE_COMPARE,
    OVERFLOW,
    SEQUENCER_BITS,
    V_RETRACE_END,
    V_RETRACE_START,
    Registers,
)

MONO_CRTC, PORTS, COLOR_CRTC = 0x3B0, 0x3C0, 0x3D0
CRTC_LENGTH = 16


class VgaPorts:
    """What the ports do with the registers.

    `changed` is called when the processor's way to memory may be another, `retimed` when the beam's
    may, `status` says where the beam is.
    """

    def __init__(
        self,
        registers: Registers,
        *,
        changed: Callable[[], None],
        retimed: Callable[[], None],
        status: Callable[[], int],
        unimplemented: Unimplemented,
    ) -> None:
        self.registers = registers
        self._changed = changed
        self._retimed = retimed
        self._status = status
        self._unimplemented = unimplemented
        crtc_reads = {
            4: lambda: self._crtc_index,
            5: self._read_crtc,
            10: self._read_status,
        }
        crtc_writes = {4: self._set_crtc_index, 5: self._write_crtc, 10: self._set_feature}
        self._reads: dict[int, Callable[[], int]] = {
            0x3C0: self._read_attribute_index,
            0x3C1: self._read_attribute,
            0x3C2: lambda: 0,
            0x3C4: lambda: self._sequencer_index,
            0x3C5: lambda: self.registers.sequencer[self._sequencer_index],
            0x3C6: lambda: self.registers.pel_mask,
            0x3C7: lambda: 3 if self._dac_is_reading else 0,
            0x3C8: lambda: self._dac_write,
            0x3C9: self._read_dac,
            0x3CA: lambda: self.registers.feature,
            0x3CC: lambda: self.registers.misc,
            0x3CE: lambda: self._graphics_index,
            0x3CF: lambda: self.registers.graphics[self._graphics_index],
            **{
                base + at: read
                for base in (MONO_CRTC, COLOR_CRTC)
                for at, read in crtc_reads.items()
            },
        }
        self._writes: dict[int, Callable[[int], None]] = {
            0x3C0: self._write_attribute,
            0x3C2: self._write_misc,
            0x3C3: lambda value: None,
            0x3C4: self._set_sequencer_index,
            0x3C5: self._write_sequencer,
            0x3C6: self._set_pel_mask,
            0x3C7: self._begin_reading_dac,
            0x3C8: self._begin_writing_dac,
            0x3C9: self._write_dac,
            0x3CE: self._set_graphics_index,
            0x3CF: self._write_graphics,
            **{base + at: do for base in (MONO_CRTC, COLOR_CRTC) for at, do in crtc_writes.items()},
        }
        self.reset()

    def reset(self) -> None:
        """All registers are 0, but for the PEL mask."""
        fresh = Registers()
        for name in Registers.__slots__:
            setattr(self.registers, name, getattr(fresh, name))
        self._attribute_index, self._is_attribute_data = 0, False
        self._sequencer_index = self._graphics_index = self._crtc_index = 0
        self._dac_read = self._dac_write = self._dac_part = 0
        self._dac_is_reading = False
        self._dac_held = [0, 0, 0]
        self._retimed()

    def window(self, base: int, last: int) -> Window:
        """Some of the ports as a device."""

        def read(offset: int, _size: int) -> int:
            return self.read(base + offset)

        def write(offset: int, value: int, _size: int) -> None:
            self.write(base + offset, value)

        return Window(last + 1 - base, read, write)

    def read(self, port: int) -> int:
        """Read a register; ones where none is."""
        read = self._reads.get(port)
        return 0xFF if read is None or self._is_elsewhere(port) else read()

    def write(self, port: int, value: int) -> None:
        """Write a register."""
        if self._is_elsewhere(port):
            return
        write = self._writes.get(port)
        if write is None:
            self._unimplemented(f"vga: write of {value:#x} at port {port:#x}")
        else:
            write(value)

    def _is_elsewhere(self, port: int) -> bool:
        """Whether the CRT controller is at its other address now (Miscellaneous Output)."""
        other = MONO_CRTC if self.registers.misc & IS_COLOR else COLOR_CRTC
        return other <= port < other + CRTC_LENGTH

    # -- general registers, sequencer, graphics controller -----------------------------------

    def _write_misc(self, value: int) -> None:
        self.registers.misc = value & ~0x10
        self._changed()
        self._retimed()

    def _read_status(self) -> int:
        self._is_attribute_data = False
        return self._status()

    def _set_feature(self, value: int) -> None:
        self.registers.feature = value & 0x10

    def _set_sequencer_index(self, value: int) -> None:
        self._sequencer_index = value & 7

    def _write_sequencer(self, value: int) -> None:
        index = self._sequencer_index
        value &= SEQUENCER_BITS[index]
        if value == self.registers.sequencer[index]:
            return
        self.registers.sequencer[index] = value
        self._changed()
        if index == CLOCKING_MODE:
            self._retimed()

    def _set_graphics_index(self, value: int) -> None:
        self._graphics_index = value & 15

    def _write_graphics(self, value: int) -> None:
        index = self._graphics_index
        value &= GRAPHICS_BITS[index]
        if value != self.registers.graphics[index]:
            self.registers.graphics[index] = value
            self._changed()

    # -- CRT controller ------------------------------------------------------------------------

    def _set_crtc_index(self, value: int) -> None:
        self._crtc_index = value

    def _read_crtc(self) -> int:
        return self.registers.crtc[self._crtc_index] if self._crtc_index < CRTC_COUNT else 0xFF

    def _write_crtc(self, value: int) -> None:
        """Vertical Retrace End's bit 7 protects the first eight, but for the line compare bit."""
        crtc, index = self.registers.crtc, self._crtc_index
        if index >= CRTC_COUNT:
            return
        if index <= OVERFLOW and crtc[V_RETRACE_END] & 0x80:
            if index == OVERFLOW:
                crtc[index] = crtc[index] & ~0x10 | value & 0x10
            return
        crtc[index] = value
        if index <= OVERFLOW or V_RETRACE_START <= index < LINE_COMPARE:
            self._retimed()

    # -- attribute controller ----------------------------------------------------------------

    def _read_attribute_index(self) -> int:
        return self._attribute_index | self.registers.palette_is_on << 5

    def _read_attribute(self) -> int:
        at = self._attribute_index
        return self.registers.attributes[at] if at < len(ATTRIBUTE_BITS) else 0

    def _write_attribute(self, value: int) -> None:
        """One port takes index and data in turn (Attribute Controller, Address Register)."""
        registers = self.registers
        if not self._is_attribute_data:
            self._attribute_index = value & 0x1F
            registers.palette_is_on = bool(value & 0x20)
        elif self._attribute_index < len(ATTRIBUTE_BITS):
            index = self._attribute_index
            registers.attributes[index] = value & ATTRIBUTE_BITS[index]
        self._is_attribute_data = not self._is_attribute_data

    # -- DAC -----------------------------------------------------------------------------------

    def _set_pel_mask(self, value: int) -> None:
        self.registers.pel_mask = value

    def _begin_reading_dac(self, value: int) -> None:
        self._dac_read, self._dac_part, self._dac_is_reading = value, 0, True

    def _begin_writing_dac(self, value: int) -> None:
        self._dac_write, self._dac_part, self._dac_is_reading = value, 0, False

    def _read_dac(self) -> int:
        value = self.registers.dac[3 * self._dac_read + self._dac_part]
        self._dac_part += 1
        if self._dac_part == 3:
            self._dac_part, self._dac_read = 0, self._dac_read + 1 & 0xFF
        return value

    def _write_dac(self, value: int) -> None:
        """The third of three writes sets the colour."""
        self._dac_held[self._dac_part] = value
        self._dac_part += 1
        if self._dac_part == 3:
            at = 3 * self._dac_write
            self.registers.dac[at : at + 3] = bytes(self._dac_held)
            self._dac_part, self._dac_write = 0, self._dac_write + 1 & 0xFF
