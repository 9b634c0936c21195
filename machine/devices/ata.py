"""A hard disk with the ATA command set.

Source: T13 1410D (ATA/ATAPI-6), chapter 8 (commands), section 6.2 (CHS addressing); T13 1532D
(ATA/ATAPI-7), WRITE DMA FUA EXT and WRITE MULTIPLE FUA EXT. Not modelled: security, host protected
areas that can be set, the media status and overlapped feature sets, CompactFlash, microcode;
S.M.A.R.T. knows a healthy disk without logs. Power management changes nothing but what CHECK POWER
MODE says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from machine.bus import Unimplemented, ignore
from machine.clock import Clock
from machine.devices.ata_identity import (
    MAX_MULTIPLE,
    Settings,
    disk_identity,
    smart_data,
    smart_thresholds,
)  # fmt: skip
from machine.devices.ide_unit import (
    ABRT,
    COUNT,
    DEVICE,
    DRDY,
    DSC,
    FEATURES,
    FLUSH_LOOK,
    IDNF,
    LBA_HIGH,
    LBA_LOW,
    LBA_MID,
    OTHER_DELAY,
    READ_DELAY,
    UNC,
    USES_LBA,
    WRITE_DELAY,
    Unit,
)  # fmt: skip
from machine.drive import SECTOR, Drive, DriveError, Flush

HEADS, SECTORS_PER_TRACK, MAX_CYLINDERS = 16, 63, 16383
MAX_28_BIT = 1 << 28


@dataclass(frozen=True, slots=True)
class Transfer:
    """A command that moves sectors."""

    is_write: bool = False
    is_48_bit: bool = False
    is_multiple: bool = False
    is_dma: bool = False
    is_forced: bool = False
    """It is on the medium when the command ends."""


# fmt: off
TRANSFERS = {
    0x20: Transfer(),                                              # READ SECTOR(S)
    0x21: Transfer(),                                              # the same, without retries
    0x24: Transfer(is_48_bit=True),                                # READ SECTOR(S) EXT
    0x29: Transfer(is_48_bit=True, is_multiple=True),              # READ MULTIPLE EXT
    0xC4: Transfer(is_multiple=True),                              # READ MULTIPLE
    0xC8: Transfer(is_dma=True),                                   # READ DMA
    0xC9: Transfer(is_dma=True),                                   # the same, without retries
    0x25: Transfer(is_dma=True, is_48_bit=True),                   # READ DMA EXT
    0x30: Transfer(is_write=True),                                 # WRITE SECTOR(S)
    0x31: Transfer(is_write=True),                                 # the same, without retries
    0x34: Transfer(is_write=True, is_48_bit=True),                 # WRITE SECTOR(S) EXT
    0x39: Transfer(is_write=True, is_48_bit=True, is_multiple=True),  # WRITE MULTIPLE EXT
    0x3C: Transfer(is_write=True),                                 # WRITE VERIFY (ATA-3)
    0xC5: Transfer(is_write=True, is_multiple=True),               # WRITE MULTIPLE
    0xCA: Transfer(is_write=True, is_dma=True),                    # WRITE DMA
    0xCB: Transfer(is_write=True, is_dma=True),                    # the same, without retries
    0x35: Transfer(is_write=True, is_dma=True, is_48_bit=True),    # WRITE DMA EXT
    0x3D: Transfer(is_write=True, is_dma=True, is_48_bit=True, is_forced=True),
    0xCE: Transfer(is_write=True, is_multiple=True, is_48_bit=True, is_forced=True),
}
# fmt: on

SMART_KEY = (0x4F, 0xC2)
"""LBA mid and high of every SMART command (section 8.54)."""


class Disk(Unit):
    """A disk, of which a `Drive` has the sectors."""

    def __init__(
        self, clock: Clock, drive: Drive, number: int, unimplemented: Unimplemented = ignore
    ) -> None:
        self.settings = Settings()
        super().__init__(clock, drive, number, unimplemented)

    def reset(self) -> None:
        """Forget translation, transfer mode and all that SET FEATURES set."""
        self.settings = Settings(write_cache=not self.drive.is_writethrough)
        total = min(self.drive.sectors, 1 << 48)
        cylinders = min(max(total // (HEADS * SECTORS_PER_TRACK), 1), MAX_CYLINDERS)
        self.settings.default_geometry = (cylinders, HEADS, SECTORS_PER_TRACK)
        self.settings.geometry = self.settings.default_geometry
        self._smart_enabled = True
        self._buffer = bytes(SECTOR)
        self._is_standing_by = False
        self._transfer = Transfer()
        self._address = 0
        self._left = 0
        super().reset()

    def command(self, code: int) -> None:
        self.error = 0
        if transfer := TRANSFERS.get(code):
            self._begin_transfer(transfer)
            return
        code = 0x10 if code & 0xF0 == 0x10 else 0x70 if code & 0xF0 == 0x70 else code
        command = COMMANDS.get(code)
        if command is None:
            self.unimplemented(f"IDE disk: command {code:#04x}")
            self.busy(OTHER_DELAY, self.abort)
        else:
            command(self)

    def _end(self) -> None:
        """End a command that has nothing to do."""
        self.busy(OTHER_DELAY, self.done)

    # Addresses

    def _range(self, is_48_bit: bool) -> tuple[int, int] | None:
        """First sector and count of a command, None if a CHS address is none."""
        now, before = self.now, self.before
        if is_48_bit:
            low = now[LBA_LOW] | now[LBA_MID] << 8 | now[LBA_HIGH] << 16
            high = before[LBA_LOW] | before[LBA_MID] << 8 | before[LBA_HIGH] << 16
            return low | high << 24, (before[COUNT] << 8 | now[COUNT]) or 65536
        count = now[COUNT] or 256
        low = now[LBA_LOW] | now[LBA_MID] << 8 | now[LBA_HIGH] << 16
        if now[DEVICE] & USES_LBA:
            return low | (now[DEVICE] & 15) << 24, count
        cylinders, heads, sectors = self.settings.geometry
        cylinder, head, sector = low >> 8, now[DEVICE] & 15, low & 0xFF
        if cylinder >= cylinders or head >= heads or not 1 <= sector <= sectors:
            return None
        return (cylinder * heads + head) * sectors + sector - 1, count

    def _checked_range(self, is_48_bit: bool) -> tuple[int, int] | None:
        """As `_range`; None too, with the address of the first bad sector, if it is beyond."""
        found = self._range(is_48_bit)
        if found is None:
            return None
        first, count = found
        if first + count > self.drive.sectors:
            self._show_address(max(first, self.drive.sectors), is_48_bit)
            return None
        return found

    def _show_address(self, address: int, is_48_bit: bool) -> None:
        """Leave the address of a sector in the registers."""
        now, before = self.now, self.before
        if is_48_bit:
            before[LBA_LOW], before[LBA_MID], before[LBA_HIGH] = (address >> 24).to_bytes(
                3, "little"
            )
        elif now[DEVICE] & USES_LBA:
            now[DEVICE] = now[DEVICE] & 0xF0 | address >> 24 & 15
        else:
            _, heads, sectors = self.settings.geometry
            track, sector = divmod(address, sectors)
            now[DEVICE] = now[DEVICE] & 0xF0 | track % heads
            address = track // heads << 8 | sector + 1
        now[LBA_LOW], now[LBA_MID], now[LBA_HIGH] = (address & 0xFFFFFF).to_bytes(3, "little")

    # Sectors

    def _begin_transfer(self, transfer: Transfer) -> None:
        found = self._checked_range(transfer.is_48_bit)
        block = self.settings.multiple if transfer.is_multiple else 1
        if found is None or not block:
            error = IDNF if found is None else ABRT
            self.busy(OTHER_DELAY, lambda: self.fail(error))
            return
        self._transfer, (self._address, self._left) = transfer, found
        self._block = block
        self._is_standing_by = False
        if transfer.is_dma:
            self.start_dma(self._left * SECTOR, to_memory=not transfer.is_write)
        elif transfer.is_write:
            self._expect_block(irq=False)
        else:
            self.busy(READ_DELAY, self._read_block)

    def _read_block(self) -> None:
        """Offer the next block of a read by programmed I/O."""
        if not self._left:
            self.status = DRDY | DSC
            return
        count = min(self._block, self._left)
        data = self._read(count)
        if data is not None:
            self.offer(data, self._read_block)

    def _expect_block(self, *, irq: bool) -> None:
        self.expect(min(self._block, self._left) * SECTOR, self._write_block, irq=irq)

    def _write_block(self) -> None:
        """Write the block that has come, and expect the next one."""
        if not self._write(self.taken):
            return
        if self._left:
            self.busy(WRITE_DELAY, lambda: self._expect_block(irq=True))
        else:
            self._end_writing()

    def _end_writing(self) -> None:
        if self._transfer.is_forced or not self.settings.write_cache:
            self._flush()
        else:
            self.busy(WRITE_DELAY, self.done)

    def dma_read(self, length: int) -> bytes:
        data = self._read(length // SECTOR)
        return b"" if data is None else data

    def dma_write(self, data: bytes) -> None:
        self._write(data)

    def dma_done(self) -> None:
        if self._transfer.is_write:
            self._end_writing()
        else:
            super().dma_done()

    def _read(self, count: int) -> bytes | None:
        """Read the next sectors; None if that failed."""
        try:
            data = self.drive.read_sectors(self._address, count)
        except DriveError:
            self._fail_here(UNC)
            return None
        self._move_on(count)
        return data

    def _write(self, data: bytes) -> bool:
        """Write the next sectors; False if that failed."""
        try:
            self.drive.write_sectors(self._address, data)
        except DriveError:
            self._fail_here(ABRT)
            return False
        self._move_on(len(data) // SECTOR)
        return True

    def _move_on(self, count: int) -> None:
        self._address += count
        self._left -= count
        self.dma_left = self._left * SECTOR if self.dma_left else 0

    def _fail_here(self, error: int) -> None:
        self._show_address(self._address, self._transfer.is_48_bit)
        self.fail(error)

    # Other commands

    def nop(self) -> None:
        """NOP always ends with ABRT (section 8.26), as does what other devices know."""
        self.busy(OTHER_DELAY, self.abort)

    def identify(self) -> None:
        data = disk_identity(self.drive, self.number, self.settings)
        self.busy(READ_DELAY, lambda: self.offer(data, self._read_is_over))

    def _read_is_over(self) -> None:
        self.status = DRDY | DSC

    def verify(self) -> None:
        self._verify(is_48_bit=False)

    def verify_ext(self) -> None:
        self._verify(is_48_bit=True)

    def _verify(self, *, is_48_bit: bool) -> None:
        if self._checked_range(is_48_bit) is None:
            self.busy(OTHER_DELAY, lambda: self.fail(IDNF))
        else:
            self.busy(READ_DELAY, self.done)

    def recalibrate(self) -> None:
        self._end()

    def seek(self) -> None:
        found = self._range(is_48_bit=False)
        if found is None or found[0] >= self.drive.sectors:
            self.busy(OTHER_DELAY, lambda: self.fail(IDNF))
        else:
            self._end()

    def initialize_parameters(self) -> None:
        """Set heads and sectors of the translation; cylinders follow (section 8.16 of ATA-5)."""
        sectors, heads = self.now[COUNT], (self.now[DEVICE] & 15) + 1
        if not sectors:
            self.busy(OTHER_DELAY, self.abort)
            return
        cylinders = min(self.drive.sectors // (sectors * heads), 65535)
        self.settings.geometry = (cylinders, heads, sectors)
        self._end()

    def flush_cache(self) -> None:
        self._flush()

    def _flush(self) -> None:
        flush = self.drive.start_flush()
        self.busy(WRITE_DELAY if flush.is_done else FLUSH_LOOK, lambda: self._look_at_flush(flush))

    def _look_at_flush(self, flush: Flush) -> None:
        """Be busy until the host has done it; the machine goes on meanwhile."""
        if not flush.is_done:
            self.busy(FLUSH_LOOK, lambda: self._look_at_flush(flush))
            return
        try:
            flush.wait()
        except DriveError:
            self.fail(ABRT)
        else:
            self.done()

    def set_multiple(self) -> None:
        count = self.now[COUNT]
        if count > MAX_MULTIPLE or count & count - 1:
            self.settings.multiple = 0
            self.busy(OTHER_DELAY, self.abort)
        else:
            self.settings.multiple = count
            self._end()

    def set_features(self) -> None:
        """SET FEATURES (section 8.46): cache, look-ahead, transfer mode, power levels."""
        feature = self.now[FEATURES]
        if feature == 0x03:
            known = self.settings.set_mode(self.now[COUNT])
        elif feature in (0x02, 0x82):
            known = True
            self.settings.write_cache = feature == 0x02
            if feature == 0x82:
                self._flush()
                return
        else:
            # advanced power and acoustic management, look-ahead, defaults at software reset
            known = feature in (0x05, 0x85, 0x42, 0xC2, 0x55, 0xAA, 0x66, 0xCC)
        self.busy(OTHER_DELAY, self.done if known else self.abort)

    def idle(self) -> None:
        self._is_standing_by = False
        self._end()

    def stand_by(self) -> None:
        """Stop spinning; what is in the cache is written first."""
        self._is_standing_by = True
        self._flush()

    def check_power(self) -> None:
        self.now[COUNT] = 0x00 if self._is_standing_by else 0xFF
        self._end()

    def read_native_max(self) -> None:
        self.now[DEVICE] |= USES_LBA
        self._show_address(min(self.drive.sectors, MAX_28_BIT) - 1, is_48_bit=False)
        self._end()

    def read_native_max_ext(self) -> None:
        self._show_address(self.drive.sectors - 1, is_48_bit=True)
        self._end()

    def read_buffer(self) -> None:
        self.busy(OTHER_DELAY, lambda: self.offer(self._buffer, self._read_is_over))

    def write_buffer(self) -> None:
        def take() -> None:
            self._buffer = self.taken
            self.busy(OTHER_DELAY, self.done)

        self.expect(SECTOR, take, irq=False)

    def smart(self) -> None:
        """SMART (section 8.54), by the features register."""
        feature = self.now[FEATURES]
        is_there = (self.now[LBA_MID], self.now[LBA_HIGH]) == SMART_KEY
        if not is_there or (not self._smart_enabled and feature != 0xD8):
            self.busy(OTHER_DELAY, self.abort)
        elif feature in (0xD0, 0xD1):
            data = smart_data() if feature == 0xD0 else smart_thresholds()
            self.busy(READ_DELAY, lambda: self.offer(data, self._read_is_over))
        elif feature in (0xD8, 0xD9):
            self._smart_enabled = feature == 0xD8
            self._end()
        elif feature in (0xD2, 0xD4, 0xDA):  # autosave, off-line tests, status: all is well
            self._end()
        else:
            self.unimplemented(f"IDE disk: SMART {feature:#04x}")
            self.busy(OTHER_DELAY, self.abort)


COMMANDS: dict[int, Callable[[Disk], None]] = {
    0x00: Disk.nop,
    0x10: Disk.recalibrate,
    0x08: Disk.nop,  # DEVICE RESET, PACKET and IDENTIFY PACKET DEVICE are not a disk's
    0x27: Disk.read_native_max_ext,
    0x40: Disk.verify,
    0x41: Disk.verify,
    0x42: Disk.verify_ext,
    0x70: Disk.seek,
    0x91: Disk.initialize_parameters,
    0x94: Disk.stand_by,
    0x95: Disk.idle,
    0x96: Disk.stand_by,
    0x97: Disk.idle,
    0x98: Disk.check_power,
    0x99: Disk.stand_by,
    0xA0: Disk.nop,
    0xA1: Disk.nop,
    0xB0: Disk.smart,
    0xC6: Disk.set_multiple,
    0xE0: Disk.stand_by,
    0xE1: Disk.idle,
    0xE2: Disk.stand_by,
    0xE3: Disk.idle,
    0xE4: Disk.read_buffer,
    0xE5: Disk.check_power,
    0xE6: Disk.stand_by,
    0xE7: Disk.flush_cache,
    0xE8: Disk.write_buffer,
    0xEA: Disk.flush_cache,
    0xEC: Disk.identify,
    0xEF: Disk.set_features,
    0xF8: Disk.read_native_max,
}
"""Commands that are not transfers; 1xh and 7xh are one each."""
