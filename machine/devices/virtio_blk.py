"""A disk by virtio (virtio-blk-pci).

Source: VIRTIO 1.1, section 5.2. A request is served when the driver tells of it, a flush beside the
machine. Not modelled: discarding, more than one queue, a size that changes, the switch of the write
cache.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from machine.bus import Memory, Unimplemented, ignore
from machine.clock import Clock
from machine.devices.virtio_pci import VirtioPci
from machine.devices.virtqueue import Chain, cut
from machine.drive import SECTOR, Drive, DriveError, Flush

# fmt: off
SEG_MAX, GEOMETRY, RO, BLK_SIZE, FLUSH = 2, 4, 5, 6, 9
"""Features (5.2.3)."""
IN, OUT, FLUSH_IT, GET_ID              = 0, 1, 4, 8
"""Types of requests (5.2.6)."""
OK, IOERR, UNSUPPORTED                 = 0, 1, 2
# fmt: on

QUEUE_SIZE = 256
ID_BYTES = 20
MASS_STORAGE = 0x010000
FLUSH_LOOK = 500_000
"""Nanoseconds between looks whether a flush is done."""

_HEADER = struct.Struct("<IIQ")
_CONFIG = struct.Struct("<QIIHBBI")


class Flushing(NamedTuple):
    """A request that waits for the host's disk."""

    chain: Chain
    flush: Flush


class VirtioBlk(VirtioPci):
    """The disk, a PCI function."""

    config_length = 60

    def __init__(
        self,
        memory: Memory,
        drive: Drive,
        clock: Clock,
        *,
        serial: str = "",
        unimplemented: Unimplemented = ignore,
    ) -> None:
        self.drive = drive
        self._serial = serial.encode("ascii", "replace")[:ID_BYTES]
        self._flushing: list[Flushing] = []
        self._timer = clock.timer(lambda now: self._look_at_flushes())
        features = (1 << SEG_MAX | 1 << GEOMETRY | 1 << BLK_SIZE | 1 << FLUSH
                    | drive.read_only << RO)  # fmt: skip
        super().__init__(
            memory, device_type=2, class_code=MASS_STORAGE, queues=(QUEUE_SIZE,),
            features=features, unimplemented=unimplemented,
        )  # fmt: skip

    def reset_device(self) -> None:
        self._flushing.clear()
        self._timer.cancel()
        super().reset_device()

    def device_config(self) -> bytes:
        """What 5.2.4 has as struct virtio_blk_config."""
        sectors = self.drive.sectors
        cylinders = min(max(sectors // (16 * 63), 2), 16383)
        packed = _CONFIG.pack(sectors, 0, QUEUE_SIZE - 2, cylinders, 16, 63, SECTOR)
        return packed.ljust(self.config_length, b"\0")

    def serve(self, number: int) -> None:
        queue = self.queues[number]
        try:
            while (chain := queue.take()) is not None:
                self._request(chain)
        finally:
            self.done(number)

    def _request(self, chain: Chain) -> None:
        """One request: its header, its data, and last of all the byte for its status."""
        queue = self.queues[0]
        header = queue.read(cut(chain.readable, 0, _HEADER.size))
        if len(header) < _HEADER.size or not chain.room:
            self.unimplemented("virtio-blk: a request without header or status")
            queue.give_back(chain, 0)
            return
        kind, _, sector = _HEADER.unpack(header)
        if kind == FLUSH_IT:
            self._flushing.append(Flushing(chain, self.drive.start_flush()))
            self._look_at_flushes()
            return
        try:
            status, written = self._move(chain, kind, sector)
        except DriveError:
            status, written = IOERR, 0
        self._end(chain, status, written)

    def _move(self, chain: Chain, kind: int, sector: int) -> tuple[int, int]:
        """Do what a request asks for: its status, and how much data was written to memory."""
        queue, room = self.queues[0], chain.room - 1
        if kind == IN:
            if room % SECTOR:
                return IOERR, 0
            data = self.drive.read_sectors(sector, room // SECTOR)
            queue.write(cut(chain.writable, 0, room), data)
            return OK, room
        if kind == OUT:
            length = sum(size for _, size in chain.readable) - _HEADER.size
            if length % SECTOR:
                return IOERR, 0
            self.drive.write_sectors(sector, queue.read(cut(chain.readable, _HEADER.size, length)))
            return OK, 0
        if kind == GET_ID:
            given = self._serial.ljust(ID_BYTES, b"\0")[:room]
            queue.write(cut(chain.writable, 0, room), given)
            return OK, len(given)
        self.unimplemented(f"virtio-blk: request of type {kind}")
        return UNSUPPORTED, 0

    def _end(self, chain: Chain, status: int, written: int) -> None:
        queue = self.queues[0]
        queue.write(cut(chain.writable, chain.room - 1, 1), bytes([status]))
        queue.give_back(chain, written + 1)

    def _look_at_flushes(self) -> None:
        """Give back the flushes that are done; look again at the others."""
        waiting = []
        for one in self._flushing:
            if one.flush.is_done:
                self._end(one.chain, OK if one.flush.error is None else IOERR, 0)
            else:
                waiting.append(one)
        self._flushing = waiting
        if waiting:
            self._timer.after(FLUSH_LOOK)
        self.done(0)
