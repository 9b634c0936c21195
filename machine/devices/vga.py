"""The display adapter of QEMU's `-vga std`: a VGA on PCI, with Bochs's modes and their memory.

Sources: IBM, "PS/2 Hardware Interface Technical Reference", Video Subsystem, May 1992; QEMU,
docs/specs/standard-vga.rst for the PCI function, its registers in memory, and ports 1CEh and 1CFh.

Base address register 0 is the memory, 2 has the registers once more; the expansion ROM is a VGA
BIOS, if there is one. Not modelled: the comparator behind Input Status 0 (switch sense is 0),
vertical retrace interrupts, light pens, and sleeping by 3C3h. See `vga_memory`, `vga_picture`,
`vga_timing` and `dispi` for the rest.
"""

from __future__ import annotations

from machine.bus import Bus, Unimplemented, Window, ignore
from machine.clock import Clock
from machine.devices.dispi import Dispi
from machine.devices.edid import edid
from machine.devices.pci import ROM, PciFunction
from machine.devices.vga_memory import WINDOW, WINDOW_LENGTH, Access, AddressSpace, VgaMemory
from machine.devices.vga_picture import Frame, scan_out
from machine.devices.vga_registers import (
    ATTRIBUTE_BITS,
    CRTC_COUNT,
    GRAPHICS_BITS,
    IS_COLOR,
    LINE_COMPARE,
    OVERFLOW,
    SEQUENCER_BITS,
    V_RETRACE_END,
    Registers,
)
from machine.devices.vga_timing import Beam

MEMORY_SIZE = 16 << 20
ROM_SIZE = 0x10000

PORTS, MONO_CRTC, COLOR_CRTC = 0x3C0, 0x3B0, 0x3D0
DISPI_INDEX = 0x1CE

REGISTERS_LENGTH = 0x1000
IN_MEMORY_PORTS, IN_MEMORY_DISPI, IN_MEMORY_EXTENSION = 0x400, 0x500, 0x600
LITTLE_ENDIAN = 0x1E1E1E1E

PAGE = 0x1000


class Vga(PciFunction):
    """Ports 3B0h to 3DFh, 128 KiB at A0000h, and a PCI function with much more memory.

    `rom` is a VGA BIOS for firmware to find. A new picture is made by `render`.
    """

    def __init__(
        self,
        clock: Clock,
        space: AddressSpace,
        *,
        rom: bytes = b"",
        memory_size: int = MEMORY_SIZE,
        unimplemented: Unimplemented = ignore,
    ) -> None:
        super().__init__(vendor=0x1234, device=0x1111, class_code=0x030000, revision=2)
        self._space = space
        self._unimplemented = unimplemented
        self.registers = Registers()
        self.memory = VgaMemory(space, memory_size)
        self.dispi = Dispi(memory_size, self._dispi_changed)
        self._beam = Beam(clock, self.registers)
        self._frame: Frame | None = None
        self._edid = edid()
        self._mapped: dict[int, int] = {}
        """Where memory of a base address register is shown to the guest."""
        linear = Window(memory_size, self._read_linear, self._write_linear, width=4)
        self.add_bar(
            0, linear, memory_size, is_prefetchable=True, moved=lambda at: self._move(0, at)
        )
        in_memory = Window(REGISTERS_LENGTH, self._read_in_memory, self._write_in_memory, width=2)
        self.add_bar(2, in_memory, REGISTERS_LENGTH)
        self._rom = space.new_buffer(ROM_SIZE)
        self._rom.view[: len(rom)] = rom
        if rom:
            shown = Window(ROM_SIZE, self._read_rom, lambda at, value, size: None, width=4)
            self.add_bar(ROM, shown, ROM_SIZE, moved=lambda at: self._move(ROM, at))
        self._restart()

    def attach(self, ports: Bus, memory: Bus) -> None:
        """Give it its fixed places."""
        for base, last in ((MONO_CRTC, 0x3BB), (PORTS, 0x3DF)):
            length = last + 1 - base
            ports.attach(base, Window(length, self._reader(base), self._writer(base)))
        ports.attach(DISPI_INDEX, Window(1, self._read_dispi_index, self._write_dispi_index, 2))
        data = Window(2, self._read_dispi_data, self._write_dispi_data, 2)
        ports.attach(DISPI_INDEX + 1, data)
        memory.attach(WINDOW, self.memory)

    def reset(self) -> None:
        super().reset()
        self._restart()

    def _restart(self) -> None:
        fresh = Registers()
        for name in Registers.__slots__:
            setattr(self.registers, name, getattr(fresh, name))
        self._attribute_index, self._is_attribute_data = 0, False
        self._sequencer_index = self._graphics_index = self._crtc_index = 0
        self._dac_read = self._dac_write = self._dac_part = 0
        self._dac_is_reading = False
        self._dac_held = [0, 0, 0]
        self.dispi.reset()
        self.memory.reset()
        self._beam.retime()

    def render(self) -> Frame:
        """The picture now: the same object as before if nothing has changed on the screen."""
        frame = scan_out(self.registers, self.dispi, self.memory)
        if self._frame is None or frame != self._frame:
            self._frame = frame
        return self._frame

    def remap(self) -> None:
        """Have A0000h to BFFFFh show what it should, after it showed something else."""
        self._space.map_device(WINDOW, WINDOW_LENGTH)
        self.memory.remap()

    # -- what registers say to the memory --------------------------------------------------

    def _reaccess(self) -> None:
        dispi = self.dispi
        if dispi.is_on and dispi.depth != 4:
            self.memory.set_access(Access(linear=True, bank=dispi.bank))
            return
        access = self.registers.access()
        if dispi.is_on:
            access.is_on, access.memory_map, access.bank = True, 1, dispi.bank
            access.chain_4 = access.odd_even = False
        self.memory.set_access(access)

    def _dispi_changed(self, is_to_be_cleared: bool) -> None:
        self._reaccess()
        if is_to_be_cleared:
            length = min(self.dispi.pitch * self.dispi.height, self.memory.size)
            self.memory.bytes[:length] = bytes(length)

    # -- ports ------------------------------------------------------------------------------

    def _reader(self, base: int):  # type: ignore[no-untyped-def]
        return lambda offset, size: self.read_port(base + offset)

    def _writer(self, base: int):  # type: ignore[no-untyped-def]
        return lambda offset, value, size: self.write_port(base + offset, value)

    def _is_dark(self, port: int) -> bool:
        """Whether the CRT controller is at its other address now (Miscellaneous Output)."""
        other = MONO_CRTC if self.registers.misc & IS_COLOR else COLOR_CRTC
        return other <= port < other + 16

    def read_port(self, port: int) -> int:
        """Read a register."""
        if self._is_dark(port):
            return 0xFF
        registers = self.registers
        match port:
            case 0x3C0:
                return self._attribute_index | registers.palette_is_on << 5
            case 0x3C1:
                at = self._attribute_index
                return registers.attributes[at] if at < len(registers.attributes) else 0
            case 0x3C2:
                return 0
            case 0x3C4:
                return self._sequencer_index
            case 0x3C5:
                return registers.sequencer[self._sequencer_index]
            case 0x3C6:
                return registers.pel_mask
            case 0x3C7:
                return 3 if self._dac_is_reading else 0
            case 0x3C8:
                return self._dac_write
            case 0x3C9:
                return self._read_dac()
            case 0x3CA:
                return registers.feature
            case 0x3CC:
                return registers.misc
            case 0x3CE:
                return self._graphics_index
            case 0x3CF:
                return registers.graphics[self._graphics_index]
            case 0x3B4 | 0x3D4:
                return self._crtc_index
            case 0x3B5 | 0x3D5:
                return registers.crtc[self._crtc_index] if self._crtc_index < CRTC_COUNT else 0xFF
            case 0x3BA | 0x3DA:
                self._is_attribute_data = False
                return self._beam.status()
        return 0xFF

    def write_port(self, port: int, value: int) -> None:
        """Write a register."""
        if self._is_dark(port):
            return
        registers = self.registers
        match port:
            case 0x3C0:
                self._write_attribute(value)
            case 0x3C2:
                registers.misc = value & ~0x10
                self._reaccess()
                self._beam.retime()
            case 0x3C4:
                self._sequencer_index = value & 7
            case 0x3C5:
                index = self._sequencer_index
                registers.sequencer[index] = value & SEQUENCER_BITS[index]
                self._reaccess()
                self._beam.retime()
            case 0x3C6:
                registers.pel_mask = value
            case 0x3C7:
                self._dac_read, self._dac_part, self._dac_is_reading = value, 0, True
            case 0x3C8:
                self._dac_write, self._dac_part, self._dac_is_reading = value, 0, False
            case 0x3C9:
                self._write_dac(value)
            case 0x3CE:
                self._graphics_index = value & 15
            case 0x3CF:
                index = self._graphics_index
                registers.graphics[index] = value & GRAPHICS_BITS[index]
                self._reaccess()
            case 0x3B4 | 0x3D4:
                self._crtc_index = value
            case 0x3B5 | 0x3D5:
                self._write_crtc(self._crtc_index, value)
            case 0x3BA | 0x3DA:
                registers.feature = value & 0x10
            case 0x3C3:
                pass
            case _:
                self._unimplemented(f"vga: write of {value:#x} at port {port:#x}")

    def _write_attribute(self, value: int) -> None:
        """One port takes index and data in turn (Attribute Controller, Address Register)."""
        registers = self.registers
        if not self._is_attribute_data:
            self._attribute_index = value & 0x1F
            registers.palette_is_on = bool(value & 0x20)
        elif self._attribute_index < len(registers.attributes):
            index = self._attribute_index
            registers.attributes[index] = value & ATTRIBUTE_BITS[index]
        self._is_attribute_data = not self._is_attribute_data

    def _write_crtc(self, index: int, value: int) -> None:
        """Vertical Retrace End's bit 7 protects the first eight, but for the line compare bit."""
        crtc = self.registers.crtc
        if index >= CRTC_COUNT:
            return
        if index <= OVERFLOW and crtc[V_RETRACE_END] & 0x80:
            if index == OVERFLOW:
                crtc[index] = crtc[index] & ~0x10 | value & 0x10
            return
        crtc[index] = value
        if index <= OVERFLOW or V_RETRACE_END - 1 <= index < LINE_COMPARE:
            self._beam.retime()

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

    # -- Bochs's display interface ----------------------------------------------------------

    def _read_dispi_index(self, offset: int, size: int) -> int:
        return self.dispi.index & (1 << 8 * size) - 1

    def _write_dispi_index(self, offset: int, value: int, size: int) -> None:
        self.dispi.index = value

    def _read_dispi_data(self, offset: int, size: int) -> int:
        return self.dispi.read(self.dispi.index) & (1 << 8 * size) - 1

    def _write_dispi_data(self, offset: int, value: int, size: int) -> None:
        self.dispi.write(self.dispi.index, value)

    # -- in memory --------------------------------------------------------------------------

    def _move(self, number: int, address: int | None) -> None:
        """A base address register says that its memory is somewhere else."""
        size = self.bars[number].size
        before = self._mapped.pop(number, None)
        if before is not None:
            self._space.map_device(before, size)
        if address is None:
            return
        if number == ROM:
            self._space.map_ram(address, size, self._rom, writable=False)
        else:
            self._space.map_ram(address, size, self.memory.buffer)
        self._mapped[number] = address

    def _read_linear(self, offset: int, size: int) -> int:
        return int.from_bytes(self.memory.bytes[offset : offset + size], "little")

    def _write_linear(self, offset: int, value: int, size: int) -> None:
        self.memory.bytes[offset : offset + size] = value.to_bytes(size, "little")

    def _read_rom(self, offset: int, size: int) -> int:
        return int.from_bytes(self._rom.view[offset : offset + size], "little")

    def _read_in_memory(self, offset: int, size: int) -> int:
        """EDID, the ports from 3C0h on, Bochs's registers, and QEMU's extension."""
        if offset < IN_MEMORY_PORTS:
            return int.from_bytes(self._edid[offset : offset + size], "little")
        if IN_MEMORY_PORTS <= offset < IN_MEMORY_PORTS + 0x20:
            port = PORTS + offset - IN_MEMORY_PORTS
            return sum(self.read_port(port + n) << 8 * n for n in range(size))
        if IN_MEMORY_DISPI <= offset < IN_MEMORY_DISPI + 0x16 and size == 2:
            return self.dispi.read(offset - IN_MEMORY_DISPI >> 1)
        if IN_MEMORY_EXTENSION <= offset < IN_MEMORY_EXTENSION + 8:
            extension = (8).to_bytes(4, "little") + LITTLE_ENDIAN.to_bytes(4, "little")
            at = offset - IN_MEMORY_EXTENSION
            return int.from_bytes(extension[at : at + size], "little")
        return 0

    def _write_in_memory(self, offset: int, value: int, size: int) -> None:
        if IN_MEMORY_PORTS <= offset < IN_MEMORY_PORTS + 0x20:
            for n in range(size):
                self.write_port(PORTS + offset - IN_MEMORY_PORTS + n, value >> 8 * n & 0xFF)
        elif IN_MEMORY_DISPI <= offset < IN_MEMORY_DISPI + 0x16 and size == 2:
            self.dispi.write(offset - IN_MEMORY_DISPI >> 1, value)
