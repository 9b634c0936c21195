"""Virtio over PCI: a transitional device, for drivers of virtio 1 and for those from before it.

Source: VIRTIO 1.1, section 4.1. An old driver uses the I/O ports of BAR 0 (4.1.4.8), a new one the
memory of BAR 4, which capabilities describe (4.1.4), or the window to it in configuration space.
Not modelled: MSI-X (there is INTA#), packed queues, a notification of a changed configuration.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from machine.bus import Memory, Unimplemented, Window, ignore
from machine.devices.pci import STATUS as PCI_STATUS
from machine.devices.pci import SUBSYSTEM, PciFunction
from machine.devices.virtqueue import QueueError, VirtQueue

VENDOR = 0x1AF4
FIRST_TRANSITIONAL = 0x1000

# fmt: off
# Device status (2.1)
DRIVER_OK, FEATURES_OK, NEEDS_RESET = 0x04, 0x08, 0x40
# Features of any device (6)
INDIRECT_DESC, EVENT_IDX, VERSION_1 = 28, 29, 32
ANY_LAYOUT                          = 27
# Legacy registers (4.1.4.8)
FEATURES, CHOSEN, PFN, SIZE, SELECT, NOTIFY, DEVICE_STATUS, ISR, LEGACY_CONFIG = (
    0, 4, 8, 12, 14, 16, 18, 19, 20,
)
# Capabilities (4.1.4)
COMMON_CFG, NOTIFY_CFG, ISR_CFG, DEVICE_CFG, PCI_CFG = 1, 2, 3, 4, 5
CAP_LIST, CAP_POINTER, CAP_ID       = 0x10, 0x34, 0x09
# fmt: on

LEGACY_BAR, MODERN_BAR = 0, 4
PART, MODERN_BYTES = 0x1000, 0x4000
COMMON_AT, ISR_AT, CONFIG_AT, NOTIFY_AT = range(0, MODERN_BYTES, PART)
NOTIFY_MULTIPLIER = 4
FIRST_CAP = 0x40
WINDOW_AT = FIRST_CAP + 3 * 16 + 20
"""Where the capability is that gives access to BAR 4 by configuration space."""
NO_VECTOR = 0xFFFF

_COMMON = struct.Struct("<IIIIHHBBHHHHHQQQ")


class VirtioPci(PciFunction):
    """A device; subclasses say what it can do (`offered`), and serve what comes in queues.

    `device_type`: its number (5); `config_length`: bytes that `device_config` gives.
    """

    config_length = 0

    def __init__(
        self,
        memory: Memory,
        *,
        device_type: int,
        class_code: int,
        queues: Sequence[int],
        features: int,
        unimplemented: Unimplemented = ignore,
    ) -> None:
        """`queues`: how many entries each has; `features`: those of its type."""
        super().__init__(
            vendor=VENDOR, device=FIRST_TRANSITIONAL + device_type - 1, class_code=class_code, pin=1
        )
        struct.pack_into("<H", self.config, SUBSYSTEM, device_type)
        self.unimplemented = unimplemented
        self.queues = [VirtQueue(memory, size) for size in queues]
        self.offered = features | 1 << INDIRECT_DESC | 1 << EVENT_IDX | 1 << ANY_LAYOUT
        self._legacy = Window(
            _power_of_two(LEGACY_CONFIG + self.config_length),
            self._read_legacy, self._write_legacy, width=4,
        )  # fmt: skip
        self._modern = Window(MODERN_BYTES, self._read_modern, self._write_modern, width=4)
        self.add_bar(LEGACY_BAR, self._legacy, self._legacy.length, is_io=True)
        self.add_bar(MODERN_BAR, self._modern, MODERN_BYTES)
        self._describe()
        self._forget()

    def reset(self) -> None:
        super().reset()
        self.reset_device()

    def reset_device(self) -> None:
        """Zero was written to the status."""
        for queue in self.queues:
            queue.reset()
        self._forget()
        self._tell()

    def _forget(self) -> None:
        self.status = 0
        self.features = 0
        """What the driver wants of what is offered."""
        self._isr = 0
        self._queue_select = self._offer_select = self._choice_select = 0

    # What subclasses do

    def device_config(self) -> bytes:
        """Configuration as the driver reads it, `config_length` bytes."""
        return b""

    def serve(self, number: int) -> None:
        """There is something in a queue. QueueError may come out of it."""

    # Queues

    def notify(self, number: int) -> None:
        """The driver has put something into a queue."""
        if number >= len(self.queues) or self.status & NEEDS_RESET:
            return
        try:
            self.serve(number)
        except QueueError as error:
            self.status |= NEEDS_RESET
            self.unimplemented(f"virtio {self.config[SUBSYSTEM]}: {error}")

    def done(self, number: int) -> None:
        """Requests were given back: interrupt if the driver wants to hear of it."""
        if self.queues[number].wants_interrupt():
            self._isr |= 1
            self._tell()

    def _tell(self) -> None:
        self.intx.set(bool(self._isr))

    def _read_isr(self) -> int:
        value, self._isr = self._isr, 0
        self._tell()
        return value

    @property
    def _queue(self) -> VirtQueue | None:
        return self.queues[self._queue_select] if self._queue_select < len(self.queues) else None

    def _set_status(self, value: int) -> None:
        if not value:
            self.reset_device()
            return
        if value & FEATURES_OK and self.features & ~(self.offered | 1 << VERSION_1):
            value &= ~FEATURES_OK
        self.status = value | self.status & NEEDS_RESET
        self._agree()

    def _agree(self) -> None:
        for queue in self.queues:
            queue.has_event_index = bool(self.features >> EVENT_IDX & 1)

    # The registers of drivers from before virtio 1

    def _read_legacy(self, offset: int, size: int) -> int:
        if offset >= LEGACY_CONFIG:
            return _part(self.device_config(), offset - LEGACY_CONFIG, size)
        if offset == ISR and size == 1:
            return self._read_isr()
        queue = self._queue
        packed = struct.pack(
            "<IIIHHHBB",
            self.offered & 0xFFFF_FFFF, self.features & 0xFFFF_FFFF,
            queue.descriptors >> 12 & 0xFFFF_FFFF if queue else 0, queue.size if queue else 0,
            self._queue_select, 0, self.status, 0,
        )  # fmt: skip
        return _part(packed, offset, size)

    def _write_legacy(self, offset: int, value: int, size: int) -> None:
        queue = self._queue
        match offset:
            case 4 if size == 4:
                self.features = value & self.offered
            case 8 if size == 4 and queue:
                queue.reset()
                queue.place_legacy(value)
                self._agree()
            case 14:
                self._queue_select = value & 0xFFFF
            case 16:
                self.notify(value)
            case 18:
                self._set_status(value & 0xFF)
            case _ if offset >= LEGACY_CONFIG:
                self.unimplemented(
                    f"virtio: write to its configuration at {offset - LEGACY_CONFIG}"
                )

    # The memory of virtio 1

    def _read_modern(self, offset: int, size: int) -> int:
        part, at = offset & -PART, offset % PART
        if part == COMMON_AT:
            return _part(self._common(), at, size)
        if part == ISR_AT:
            return self._read_isr() if at == 0 else 0
        if part == CONFIG_AT:
            return _part(self.device_config(), at, size)
        return 0

    def _common(self) -> bytes:
        """What 4.1.4.3 has as struct virtio_pci_common_cfg."""
        queue = self._queue
        offered = (self.offered | 1 << VERSION_1) >> 32 * self._offer_select
        chosen = self.features >> 32 * self._choice_select
        rings = (queue.descriptors, queue.driver, queue.device) if queue else (0, 0, 0)
        return _COMMON.pack(
            self._offer_select, offered & 0xFFFF_FFFF, self._choice_select, chosen & 0xFFFF_FFFF,
            NO_VECTOR, len(self.queues), self.status, 0, self._queue_select,
            queue.size if queue else 0, NO_VECTOR, queue.is_enabled if queue else 0,
            self._queue_select if queue else 0, *rings,
        )  # fmt: skip

    def _write_modern(self, offset: int, value: int, size: int) -> None:
        part, at = offset & -PART, offset % PART
        if part == COMMON_AT:
            self._write_common(at, value, size)
        elif part == NOTIFY_AT:
            self.notify(at // NOTIFY_MULTIPLIER)

    def _write_common(self, at: int, value: int, size: int) -> None:
        queue = self._queue
        match at:
            case 0x00:
                self._offer_select = min(value, 2)
            case 0x08:
                self._choice_select = min(value, 2)
            case 0x0C:
                shift = 32 * self._choice_select
                kept = self.features & ~(0xFFFF_FFFF << shift)
                self.features = kept | value << shift if shift < 64 else kept
            case 0x14:
                self._set_status(value & 0xFF)
            case 0x16:
                self._queue_select = value & 0xFFFF
            case 0x18 if queue and 0 < value <= queue.largest and not value & value - 1:
                queue.size = value
            case 0x1C if queue and value:
                queue.is_enabled = True
            case _ if queue and 0x20 <= at < 0x38:
                _place(queue, at, value, size)

    # Capabilities

    def _describe(self) -> None:
        """The list of what is where (4.1.4)."""
        rows = (
            (COMMON_CFG, COMMON_AT, b""), (ISR_CFG, ISR_AT, b""), (DEVICE_CFG, CONFIG_AT, b""),
            (NOTIFY_CFG, NOTIFY_AT, NOTIFY_MULTIPLIER.to_bytes(4, "little")),
            (PCI_CFG, 0, bytes(4)),
        )  # fmt: skip
        self.config[PCI_STATUS] |= CAP_LIST
        self.config[CAP_POINTER] = at = FIRST_CAP
        for kind, start, more in rows:
            is_last = kind == PCI_CFG
            length = 16 + len(more)
            bar, part = (0, 0) if is_last else (MODERN_BAR, PART)
            row = struct.pack(
                "<BBBBBxxxII", CAP_ID, 0 if is_last else at + length, length, kind, bar, start, part
            )
            self.config[at : at + length] = row + more
            at += length
        self.allow(WINDOW_AT + 4, b"\xff")
        self.allow(WINDOW_AT + 8, b"\xff" * 12)

    def read_config(self, offset: int, size: int) -> int:
        if WINDOW_AT + 16 <= offset < WINDOW_AT + 20:
            return self._window(offset, None)
        return super().read_config(offset, size)

    def write_config(self, offset: int, value: int, size: int) -> None:
        super().write_config(offset, value, size)
        if WINDOW_AT + 16 <= offset < WINDOW_AT + 20:
            self._window(offset, value)

    def _window(self, offset: int, value: int | None) -> int:
        """An access to BAR 4 by way of configuration space (4.1.4.7)."""
        bar = self.config[WINDOW_AT + 4]
        start, length = struct.unpack_from("<II", self.config, WINDOW_AT + 8)
        at = start + offset - (WINDOW_AT + 16)
        if bar != MODERN_BAR or length not in (1, 2, 4) or at + length > MODERN_BYTES:
            return 0
        if value is None:
            return self._read_modern(at, length)
        self._write_modern(at, value & (1 << 8 * length) - 1, length)
        return 0


def _place(queue: VirtQueue, at: int, value: int, size: int) -> None:
    """Half of an address, or all of it."""
    name = ("descriptors", "driver", "device")[at - 0x20 >> 3]
    shift = 8 * (at & 7)
    mask = (1 << 8 * size) - 1 << shift & (1 << 64) - 1
    setattr(queue, name, getattr(queue, name) & ~mask | value << shift & mask)


def _part(data: bytes, offset: int, size: int) -> int:
    return int.from_bytes(data[offset : offset + size], "little")


def _power_of_two(length: int) -> int:
    return 1 << (length - 1).bit_length()
