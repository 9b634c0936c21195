"""A CD-ROM drive with the packet commands of MMC.

Sources: T13 1410D (ATA/ATAPI-6), sections 8.28 (PACKET) and 9.8 (its protocol); SFF-8020i
revision 2.6, and T10 1228D (MMC-2), for the commands; section numbers of commands are MMC-2's. Data
tracks only: one, of sectors of 2048 bytes. Not modelled: audio, writing, overlapped commands; raw
sectors (READ CD) come without error correction codes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from machine.bus import Unimplemented, ignore
from machine.clock import Clock
from machine.devices.ata_identity import Settings, packet_identity
from machine.devices.ide_unit import (
    ABRT,
    COUNT,
    DRDY,
    DSC,
    ERR,
    FEATURES,
    LBA_HIGH,
    LBA_MID,
    OTHER_DELAY,
    READ_DELAY,
    Unit,
)  # fmt: skip
from machine.drive import Drive, DriveError

BLOCK, PER_BLOCK = 2048, 4
RAW = 2352
LEAD_IN = 150  # frames of 1/75 s before the first sector
DVD_FROM = 500_000
"""A medium with more blocks is a DVD."""
CHUNK = 64
"""So many blocks are read at a time."""

# Interrupt reason, in the count register
IS_COMMAND, IS_TO_HOST = 0x01, 0x02

# fmt: off
NO_SENSE, NOT_READY, MEDIUM_ERROR, ILLEGAL_REQUEST, UNIT_ATTENTION = 0, 2, 3, 5, 6
NOTHING         = (NO_SENSE,        0x00, 0x00)
NO_MEDIUM       = (NOT_READY,       0x3A, 0x00)
UNREADABLE      = (MEDIUM_ERROR,    0x11, 0x00)
BAD_COMMAND     = (ILLEGAL_REQUEST, 0x20, 0x00)
OUT_OF_RANGE    = (ILLEGAL_REQUEST, 0x21, 0x00)
BAD_FIELD       = (ILLEGAL_REQUEST, 0x24, 0x00)
NOT_SAVED       = (ILLEGAL_REQUEST, 0x39, 0x00)
IS_LOCKED       = (ILLEGAL_REQUEST, 0x53, 0x02)
MEDIUM_CHANGED  = (UNIT_ATTENTION,  0x28, 0x00)
# fmt: on

ATTENTION_PASSES = frozenset({0x03, 0x12, 0x46, 0x4A})
"""INQUIRY and its like are executed though a unit attention waits (section 5)."""

NEW_MEDIUM, REMOVED, EJECT_WANTED = 2, 3, 1
"""Events of the media class."""

CD_PROFILE, DVD_PROFILE = 0x0008, 0x0010


class PacketError(Exception):
    """A command ends with CHECK CONDITION and this sense."""

    def __init__(self, sense: tuple[int, int, int]) -> None:
        super().__init__(sense)
        self.sense = sense


class CdRom(Unit):
    """A CD-ROM drive, whose medium may change."""

    signature = (1, 0x14, 0xEB)
    dma_unit = 4

    def __init__(
        self, clock: Clock, drive: Drive, number: int, unimplemented: Unimplemented = ignore
    ) -> None:
        self.settings = Settings()
        self._packet = bytes(12)
        super().__init__(clock, drive, number, unimplemented)
        drive.changed = self._medium_changed
        drive.asked = self._eject_wanted

    def reset(self) -> None:
        self.settings = Settings()
        self._sense = NOTHING
        self._has_changed = False
        self._event = 0
        self._limit = 0
        self._uses_dma = False
        self._clear_data()
        self.drive.is_locked = False
        super().reset()

    @property
    def idle_status(self) -> int:
        """After a reset a packet device does not say that it is ready (section 9.12)."""
        return 0

    def _clear_data(self) -> None:
        self._data = b""
        self._next_block = self._blocks_left = 0
        self._make_block: Callable[[int, bytes], bytes] | None = None

    # Commands of the task file

    def command(self, code: int) -> None:
        self.error = 0
        command = COMMANDS.get(code)
        if command is not None:
            command(self)
            return
        if code not in (0x20, 0xEC):  # which find out by the signature that this is no disk
            self.unimplemented(f"IDE CD-ROM: command {code:#04x}")
        self.now[COUNT], self.now[3] = 1, 1
        _, self.now[LBA_MID], self.now[LBA_HIGH] = self.signature
        self.busy(OTHER_DELAY, self.abort)

    def device_reset(self) -> None:
        """DEVICE RESET (section 8.10): at once, and without an interrupt."""
        device = self.now[6]
        self._clear_data()
        self.sign()
        self.now[6] = device & 0x10

    def identify(self) -> None:
        data = packet_identity(self.drive, self.number, self.settings)
        self.busy(READ_DELAY, lambda: self.offer(data, self._become_idle))

    def _become_idle(self) -> None:
        self.status = DRDY | DSC

    def _end(self) -> None:
        self.busy(OTHER_DELAY, self.done)

    def set_features(self) -> None:
        known = self.now[FEATURES] != 0x03 or self.settings.set_mode(self.now[COUNT])
        self.busy(OTHER_DELAY, self.done if known else self.abort)

    def check_power(self) -> None:
        self.now[COUNT] = 0xFF
        self._end()

    def power(self) -> None:
        """IDLE, STANDBY and their like change nothing."""
        self._end()

    def nop(self) -> None:
        self.busy(OTHER_DELAY, self.abort)

    # Packets

    def packet(self) -> None:
        """PACKET: the host sends twelve bytes, without an interrupt for them."""
        self._uses_dma = bool(self.now[FEATURES] & 1)
        self._limit = self.now[LBA_MID] | self.now[LBA_HIGH] << 8
        self._clear_data()
        self.now[COUNT] = IS_COMMAND
        self.expect(12, self._packet_came, irq=False)

    def _packet_came(self) -> None:
        self._packet = packet = self.taken
        code = packet[0]
        if self._has_changed and code not in ATTENTION_PASSES:
            self._has_changed = False
            self._check_condition(MEDIUM_CHANGED)
            return
        command = PACKETS.get(code)
        if command is None:
            self.unimplemented(f"IDE CD-ROM: packet {packet.hex()}")
            self._check_condition(BAD_COMMAND)
            return
        if code != 0x03:
            self._sense = NOTHING
        try:
            command(self, packet)
        except PacketError as error:
            self._check_condition(error.sense)

    def _check_condition(self, sense: tuple[int, int, int]) -> None:
        """End a packet command with an error, of which REQUEST SENSE tells more."""
        self._sense = sense
        self._clear_data()
        self.busy(OTHER_DELAY, self._end_badly)

    def _end_badly(self) -> None:
        self.now[COUNT] = IS_COMMAND | IS_TO_HOST
        self.dma_left = 0
        self.error = self._sense[0] << 4 | (ABRT if self._sense[0] == ILLEGAL_REQUEST else 0)
        self.status = DRDY | DSC | ERR
        self.set_irq(True)

    def _end_well(self) -> None:
        self.now[COUNT] = IS_COMMAND | IS_TO_HOST
        self.done()

    def _reply(self, data: bytes, allocation: int | None = None) -> None:
        """Send some data to the host, as much as it has room for, and end the command."""
        self._data = data if allocation is None else data[:allocation]
        self._send(len(self._data), READ_DELAY)

    def _finish(self) -> None:
        """End a command that has no data."""
        self.busy(OTHER_DELAY, self._end_well)

    def _send(self, total: int, delay: int) -> None:
        self._left = total
        if not total:
            self._finish()
        elif self._uses_dma:
            self.start_dma(total, to_memory=True)
        else:
            self.busy(delay, self._send_part)

    def _send_part(self) -> None:
        """Offer what goes into one DRQ block: at most the host's byte count (section 8.28.5)."""
        if not self._left:
            self._end_well()
            return
        limit = self._limit or 0xFFFE
        if limit == 0xFFFF:
            limit = 0xFFFE
        length = min(self._left, limit)
        if limit & 1 and length == limit and length > 1:
            length -= 1  # only the last part may be odd
        data = self._take(length)
        if data is None:
            self._check_condition(UNREADABLE)
            return
        self._left -= length
        self.now[COUNT] = IS_TO_HOST
        self.now[LBA_MID], self.now[LBA_HIGH] = length & 0xFF, length >> 8
        self.offer(data, self._send_part)

    def _take(self, length: int) -> bytes | None:
        """Return the next bytes of the reply, read from the medium where they come from there."""
        while len(self._data) < length and self._blocks_left:
            count = min(CHUNK, self._blocks_left)
            try:
                data = self.drive.read_sectors(self._next_block * PER_BLOCK, count * PER_BLOCK)
            except DriveError:
                return None
            if (make := self._make_block) is not None:
                data = b"".join(
                    make(self._next_block + at, data[at * BLOCK : (at + 1) * BLOCK])
                    for at in range(count)
                )
            self._data += data
            self._next_block += count
            self._blocks_left -= count
        data, self._data = self._data[:length], self._data[length:]
        return data

    def dma_read(self, length: int) -> bytes:
        data = self._take(length)
        if data is None:
            self._sense = UNREADABLE
            self._clear_data()
            self._end_badly()
            return b""
        self.dma_left -= length
        return data

    def dma_done(self) -> None:
        self.busy(READ_DELAY, self._end_well)

    # The medium

    @property
    def blocks(self) -> int:
        return self.drive.sectors // PER_BLOCK

    @property
    def has_medium(self) -> bool:
        return self.drive.image is not None and not self.drive.is_open

    @property
    def _profile(self) -> int:
        if not self.has_medium:
            return 0
        return DVD_PROFILE if self.blocks > DVD_FROM else CD_PROFILE

    def _need_medium(self) -> None:
        if not self.has_medium:
            raise PacketError(NO_MEDIUM)

    def _medium_changed(self) -> None:
        self._has_changed = self.has_medium
        self._event = NEW_MEDIUM if self.has_medium else REMOVED

    def _eject_wanted(self) -> None:
        self._event = EJECT_WANTED

    # Packet commands, by code

    def unit_ready(self, _: bytes) -> None:
        self._need_medium()
        self._finish()

    def request_sense(self, packet: bytes) -> None:
        if self._sense == NOTHING and self._has_changed:
            self._sense, self._has_changed = MEDIUM_CHANGED, False
        key, code, qualifier = self._sense
        self._sense = NOTHING
        data = struct.pack(">BxBIBIBB4x", 0x70, key, 0, 10, 0, code, qualifier)
        self._reply(data, packet[4])

    def inquiry(self, packet: bytes) -> None:
        """INQUIRY (section 6.1.2 of SFF-8020i): a removable CD-ROM, by ATAPI."""
        if packet[1] & 1 or packet[2]:
            raise PacketError(BAD_FIELD)
        names = b"QEMUPY  " + b"DVD-ROM         " + b"1.0 "
        self._reply(bytes((5, 0x80, 0, 0x21, 31, 0, 0, 0)) + names, packet[4])

    def read_10(self, packet: bytes) -> None:
        first, count = struct.unpack_from(">IxH", packet, 2)
        self._read(first, count)

    def read_12(self, packet: bytes) -> None:
        first, count = struct.unpack_from(">II", packet, 2)
        self._read(first, count)

    def _read(
        self, first: int, count: int, make: Callable[[int, bytes], bytes] | None = None
    ) -> None:
        self._need_medium()
        if first + count > self.blocks:
            raise PacketError(OUT_OF_RANGE)
        self._next_block, self._blocks_left, self._make_block = first, count, make
        self._send(count * (RAW if make else BLOCK), READ_DELAY)

    def read_cd(self, packet: bytes) -> None:
        """READ CD (section 6.1.15): user data, or whole raw sectors."""
        first = struct.unpack_from(">I", packet, 2)[0]
        self._read_cd(first, int.from_bytes(packet[6:9], "big"), packet)

    def read_cd_msf(self, packet: bytes) -> None:
        """READ CD MSF: the end is the first sector that is not read."""
        start, end = (
            (minute * 60 + second) * 75 + frame - LEAD_IN
            for minute, second, frame in (packet[3:6], packet[6:9])
        )
        if not 0 <= start <= end:
            raise PacketError(BAD_FIELD)
        self._read_cd(start, end - start, packet)

    def _read_cd(self, first: int, count: int, packet: bytes) -> None:
        self._need_medium()
        wanted = packet[9] & 0xF8
        if not count or not wanted:
            self._finish()
        elif wanted == 0x10:
            self._read(first, count)
        elif wanted == 0xF8:
            self._read(first, count, raw_sector)
        else:
            raise PacketError(BAD_FIELD)

    def read_capacity(self, _: bytes) -> None:
        self._need_medium()
        self._reply(struct.pack(">II", max(self.blocks, 1) - 1, BLOCK))

    def read_toc(self, packet: bytes) -> None:
        """READ TOC/PMA/ATIP (section 6.1.20): one session with one data track."""
        self._need_medium()
        as_msf = bool(packet[1] & 2)
        kind = packet[2] & 0x0F or packet[9] >> 6
        track, (allocation,) = packet[6], struct.unpack_from(">H", packet, 7)
        if kind == 0:
            if track > 1 and track != 0xAA:
                raise PacketError(BAD_FIELD)
            entries = [] if track == 0xAA else [(0x14, 1, 0)]
            body = b"".join(
                struct.pack(">xBBx", control, number) + address(at, as_msf)
                for control, number, at in (*entries, (0x14, 0xAA, self.blocks))
            )
        elif kind == 1:
            body = struct.pack(">xBBx", 0x14, 1) + address(0, as_msf)
        elif kind == 2:
            body = self._full_toc()
        else:
            raise PacketError(BAD_FIELD)
        self._reply(struct.pack(">HBB", len(body) + 2, 1, 1) + body, allocation)

    def _full_toc(self) -> bytes:
        """Format 2: first track, last track, lead-out, and the track itself."""
        points = ((0xA0, b"\1\0\0"), (0xA1, b"\1\0\0"), (0xA2, msf(self.blocks)), (1, msf(0)))
        return b"".join(bytes((1, 0x14, 0, point, 0, 0, 0, 0)) + at for point, at in points)

    def mode_sense_6(self, packet: bytes) -> None:
        page = self._mode_page(packet)
        self._reply(struct.pack(">BBxx", len(page) + 3, self._medium_type) + page, packet[4])

    def mode_sense_10(self, packet: bytes) -> None:
        page = self._mode_page(packet)
        header = struct.pack(">HB5x", len(page) + 6, self._medium_type)
        self._reply(header + page, *struct.unpack_from(">H", packet, 7))

    @property
    def _medium_type(self) -> int:
        """No disc, or a data disc, 120 mm."""
        return 0x01 if self.has_medium else 0x70

    def _mode_page(self, packet: bytes) -> bytes:
        """Pages as they are now; what can be changed is nothing."""
        which, control = packet[2] & 0x3F, packet[2] >> 6
        if control == 3:
            raise PacketError(NOT_SAVED)
        pages = {0x01: ERROR_RECOVERY, 0x0E: AUDIO_CONTROL, 0x2A: self._capabilities()}
        if which != 0x3F and which not in pages:
            raise PacketError(BAD_FIELD)
        chosen = pages.values() if which == 0x3F else [pages[which]]
        if control == 1:
            return b"".join(page[:2] + bytes(len(page) - 2) for page in chosen)
        return b"".join(chosen)

    def _capabilities(self) -> bytes:
        """Page 2Ah: what the mechanism can do, and whether the door is locked."""
        lock = 0x29 | (0x02 if self.drive.is_locked else 0)  # tray, eject, lock
        speed = 706  # kB/s, fourfold
        return struct.pack(
            ">BBBBBBBBHHHHxxxx", 0x2A, 20, 0x3B, 0, 0x70, 0x60, lock, 0, speed, 2, 512, speed
        )

    def mode_select(self, packet: bytes) -> None:
        """MODE SELECT (10): the parameters are taken, and change nothing."""
        length = packet[4] if packet[0] == 0x15 else struct.unpack_from(">H", packet, 7)[0]
        if not length:
            self._finish()
            return
        if self._uses_dma:
            raise PacketError(BAD_FIELD)
        self.now[COUNT] = 0
        self.now[LBA_MID], self.now[LBA_HIGH] = length & 0xFF, length >> 8
        self.busy(OTHER_DELAY, lambda: self.expect(length, self._finish, irq=True))

    def start_stop(self, packet: bytes) -> None:
        """START STOP UNIT (section 6.1.39): loads and ejects."""
        if packet[4] >> 4:  # power conditions
            self._finish()
            return
        start, loads_or_ejects = packet[4] & 1, packet[4] & 2
        if loads_or_ejects and not start:
            try:
                self.drive.eject()
            except DriveError:
                raise PacketError(IS_LOCKED) from None
            self._has_changed = False
        elif loads_or_ejects:
            self.drive.is_open = False
        self._finish()

    def prevent_allow(self, packet: bytes) -> None:
        self.drive.is_locked = bool(packet[4] & 1)
        self._finish()

    def mechanism_status(self, packet: bytes) -> None:
        """MECHANISM STATUS (section 6.1.8): no changer."""
        state = 0x10 if self.drive.is_open else 0
        allocation = struct.unpack_from(">H", packet, 8)[0]
        self._reply(bytes((0, state, 0, 0, 0, 1, 0, 0)), allocation)

    def get_event(self, packet: bytes) -> None:
        """GET EVENT/STATUS NOTIFICATION (section 6.1.4), polled, of the media class."""
        if not packet[1] & 1:
            raise PacketError(BAD_FIELD)
        allocation = struct.unpack_from(">H", packet, 7)[0]
        if not packet[4] & 0x10:
            self._reply(struct.pack(">HBB", 0, 0x80, 0x10), allocation)
            return
        present = (1 if self.drive.is_open else 0) | (2 if self.has_medium else 0)
        event, self._event = self._event, 0
        self._reply(struct.pack(">HBBBBxx", 4, 0x04, 0x10, event, present), allocation)

    def get_configuration(self, packet: bytes) -> None:
        """GET CONFIGURATION (section 6.1.3): profiles and the features of all drives."""
        kind, (first, allocation) = packet[1] & 3, struct.unpack_from(">HxxxH", packet, 2)
        if kind == 3:
            raise PacketError(BAD_FIELD)
        current = self._profile
        profiles = b"".join(
            struct.pack(">HBx", profile, profile == current)
            for profile in (DVD_PROFILE, CD_PROFILE)
        )
        has_cd, has_dvd = current == CD_PROFILE, current == DVD_PROFILE
        features = (
            (0x0000, True, 0, True, profiles),
            (0x0001, True, 2, True, struct.pack(">IBxxx", 2, 1)),  # core: ATAPI
            (0x0002, True, 1, True, b"\2\0\0\0"),  # morphing: operational changes
            (0x0003, True, 0, True, b"\x29\0\0\0"),  # removable medium: tray, eject, lock
            (0x0010, False, 0, bool(current), struct.pack(">IHxx", BLOCK, 1)),  # random reading
            (0x001E, False, 2, has_cd, bytes(4)),  # CD read
            (0x001F, False, 1, has_dvd, b"\1\0\0\0"),  # DVD read
        )
        body = b""
        for code, persists, version, is_current, data in features:
            wanted = code == first if kind == 2 else code >= first and (is_current or kind == 0)
            if wanted:
                flags = version << 2 | persists << 1 | is_current
                body += struct.pack(">HBB", code, flags, len(data)) + data
        self._reply(struct.pack(">IxxH", len(body) + 4, current) + body, allocation)

    def read_disc_information(self, packet: bytes) -> None:
        """READ DISC INFORMATION (section 6.1.17): complete, with one session and one track."""
        self._need_medium()
        allocation = struct.unpack_from(">H", packet, 7)[0]
        self._reply(bytes((0, 32, 0x0E, 1, 1, 1, 1, 0x20)) + bytes(26), allocation)

    def read_track_information(self, packet: bytes) -> None:
        """READ TRACK INFORMATION (section 6.1.21) of the only track."""
        self._need_medium()
        allocation = struct.unpack_from(">H", packet, 7)[0]
        data = struct.pack(">HBBxBBBIIIII", 34, 1, 1, 0x04, 0x01, 0, 0, 0, 0, 0, self.blocks)
        self._reply(data.ljust(36, b"\0"), allocation)

    def read_subchannel(self, packet: bytes) -> None:
        """READ SUB-CHANNEL (section 6.1.19): nothing is being played."""
        self._need_medium()
        allocation = struct.unpack_from(">H", packet, 7)[0]
        if not packet[2] & 0x40:
            self._reply(bytes((0, 0x15, 0, 0)), allocation)
            return
        if packet[3] not in (1, 2, 3):
            raise PacketError(BAD_FIELD)
        length = 12 if packet[3] == 1 else 20
        data = (
            bytes((0, 0x15, 0, length, packet[3], 0x14, 1, 1))
            if packet[3] == 1
            else bytes((0, 0x15, 0, length, packet[3], 0x14, 0, 0))
        )
        self._reply(data.ljust(4 + length, b"\0"), allocation)

    def seek(self, packet: bytes) -> None:
        self._need_medium()
        if struct.unpack_from(">I", packet, 2)[0] >= self.blocks:
            raise PacketError(OUT_OF_RANGE)
        self._finish()

    def accept(self, _: bytes) -> None:
        """Commands about speed and the like, which change nothing."""
        self._finish()


ERROR_RECOVERY = bytes((0x01, 6, 0, 5, 0, 0, 0, 0))
AUDIO_CONTROL = bytes((0x0E, 14, 4, 0, 0, 0, 0, 75, 1, 255, 2, 255, 0, 0, 0, 0))


def msf(block: int) -> bytes:
    """Minute, second and frame of a block.

    >>> list(msf(0))
    [0, 2, 0]
    """
    seconds, frame = divmod(block + LEAD_IN, 75)
    return bytes((min(seconds // 60, 255), seconds % 60, frame))


def address(block: int, as_msf: bool) -> bytes:
    return b"\0" + msf(block) if as_msf else struct.pack(">I", block)


def raw_sector(block: int, data: bytes) -> bytes:
    """Mode 1: synchronization, the address in BCD, data; no correction codes."""
    bcd = bytes(value // 10 << 4 | value % 10 for value in msf(block))
    return b"\0" + b"\xff" * 10 + b"\0" + bcd + b"\1" + data + bytes(288)


COMMANDS: dict[int, Callable[[CdRom], None]] = {
    0x00: CdRom.nop,
    0x08: CdRom.device_reset,
    0xA0: CdRom.packet,
    0xA1: CdRom.identify,
    0xE0: CdRom.power,
    0xE1: CdRom.power,
    0xE2: CdRom.power,
    0xE3: CdRom.power,
    0xE5: CdRom.check_power,
    0xE6: CdRom.power,
    0xEF: CdRom.set_features,
}

PACKETS: dict[int, Callable[[CdRom, bytes], None]] = {
    0x00: CdRom.unit_ready,
    0x03: CdRom.request_sense,
    0x12: CdRom.inquiry,
    0x15: CdRom.mode_select,
    0x1A: CdRom.mode_sense_6,
    0x1B: CdRom.start_stop,
    0x1E: CdRom.prevent_allow,
    0x25: CdRom.read_capacity,
    0x28: CdRom.read_10,
    0x2B: CdRom.seek,
    0x42: CdRom.read_subchannel,
    0x43: CdRom.read_toc,
    0x46: CdRom.get_configuration,
    0x4A: CdRom.get_event,
    0x4E: CdRom.accept,  # STOP PLAY/SCAN
    0x51: CdRom.read_disc_information,
    0x52: CdRom.read_track_information,
    0x55: CdRom.mode_select,
    0x5A: CdRom.mode_sense_10,
    0xA8: CdRom.read_12,
    0xB9: CdRom.read_cd_msf,
    0xBB: CdRom.accept,  # SET CD SPEED
    0xBD: CdRom.mechanism_status,
    0xBE: CdRom.read_cd,
}
"""Packet commands by their first byte."""
