"""The display adapter of QEMU's `-vga std`: a VGA on PCI, with Bochs's modes and their memory.

Sources: IBM, "PS/2 Hardware Interface Technical Reference", Video Subsystem, May 1992; QEMU,
docs/specs/standard-vga.rst for the PCI function, its registers in memory, and ports 1CEh to 1D0h.

Base address register 0 is the memory, 2 has the registers once more; the expansion ROM is a VGA
BIOS, if there is one. The parts are in `vga_ports`, `vga_memory`, `vga_picture`, `vga_timing` and
`dispi`, which say what is not modelled.
"""

from __future__ import annotations

from machine.bus import Bus, Unimplemented, Window, ignore
from machine.clock import Clock
from machine.devices.dispi import Dispi
from machine.devices.edid import edid
from machine.devices.pci import ROM, PciFunction
from machine.devices.vga_memory import WINDOW, WINDOW_LENGTH, Access, VgaMemory
from machine.devices.vga_picture import Frame, scan_out
from machine.devices.vga_ports import COLOR_CRTC, CRTC_LENGTH, MONO_CRTC, PORTS, VgaPorts
from machine.devices.vga_registers import Registers
from machine.devices.vga_timing import Beam
from machine.physical import PhysicalMemory

MEMORY_SIZE = 16 << 20
ROM_SIZE = 0x10000

MONO_LAST = 0x3BB
"""Parallel ports may be behind."""
DISPI_INDEX = 0x1CE

REGISTERS_LENGTH = 0x1000
IN_MEMORY_PORTS, IN_MEMORY_DISPI, IN_MEMORY_EXTENSION = 0x400, 0x500, 0x600
LITTLE_ENDIAN = 0x1E1E1E1E


class Vga(PciFunction):
    """Ports 3B0h to 3DFh, 128 KiB at A0000h, and a PCI function with much more memory.

    `rom` is a VGA BIOS for firmware to find. A new picture is made by `render`.
    """

    def __init__(
        self,
        clock: Clock,
        space: PhysicalMemory,
        *,
        rom: bytes = b"",
        memory_size: int = MEMORY_SIZE,
        unimplemented: Unimplemented = ignore,
    ) -> None:
        super().__init__(vendor=0x1234, device=0x1111, class_code=0x030000, revision=2)
        self._space = space
        self.registers = Registers()
        self.memory = VgaMemory(space, memory_size)
        self.dispi = Dispi(memory_size, self._dispi_changed)
        beam = Beam(clock, self.registers)
        self.ports = VgaPorts(
            self.registers,
            changed=self._reaccess,
            retimed=beam.retime,
            status=beam.status,
            unimplemented=unimplemented,
        )
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

    def attach(self, ports: Bus, memory: Bus) -> None:
        """Give it its fixed places."""
        ports.attach(MONO_CRTC, self.ports.window(MONO_CRTC, MONO_LAST))
        ports.attach(PORTS, self.ports.window(PORTS, COLOR_CRTC + CRTC_LENGTH - 1))
        ports.attach(DISPI_INDEX, Window(3, self._read_dispi, self._write_dispi, 2))
        memory.attach(WINDOW, self.memory)

    def reset(self) -> None:
        super().reset()
        self.dispi.reset()
        self.ports.reset()
        self.memory.reset()

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

    # -- Bochs's display interface ----------------------------------------------------------

    def _read_dispi(self, offset: int, size: int) -> int:
        """Index at the first port; data, words at odd addresses, at the next two."""
        value = self.dispi.read(self.dispi.index) if offset else self.dispi.index
        return value & (1 << 8 * size) - 1

    def _write_dispi(self, offset: int, value: int, size: int) -> None:
        if offset:
            self.dispi.write(self.dispi.index, value)
        else:
            self.dispi.index = value

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
            return sum(self.ports.read(port + n) << 8 * n for n in range(size))
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
                self.ports.write(PORTS + offset - IN_MEMORY_PORTS + n, value >> 8 * n & 0xFF)
        elif IN_MEMORY_DISPI <= offset < IN_MEMORY_DISPI + 0x16 and size == 2:
            self.dispi.write(offset - IN_MEMORY_DISPI >> 1, value)
