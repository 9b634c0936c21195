"""Between a UART and a character device: what is typed waits until the UART has room."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from machine.chardev import CharacterDevice
from machine.devices.uart import Uart

MOST_WAITING = 4096


class SerialLine:
    """Both directions of a serial port. `has_room` is told when more may be typed again."""

    def __init__(
        self, device: CharacterDevice, has_room: Callable[[], None] = lambda: None
    ) -> None:
        self.device = device
        self._has_room = has_room
        self._waiting: deque[int] = deque()
        self._uart: Uart | None = None
        device.receive = self._receive
        device.wants = lambda: len(self._waiting) < MOST_WAITING

    def send(self, value: int) -> None:
        """The UART's sink."""
        self.device.write(bytes((value,)))

    def connect(self, uart: Uart) -> None:
        """Let a UART have what comes."""
        self._uart = uart
        uart.has_room = self._pump
        self.device.send_break = uart.receive_break

    def _receive(self, data: bytes) -> None:
        self._waiting.extend(data)
        self._pump()

    def _pump(self) -> None:
        uart, waiting = self._uart, self._waiting
        if uart is None:
            return
        was_full = len(waiting) >= MOST_WAITING
        while waiting and uart.room:
            uart.receive(waiting.popleft())
        if was_full and len(waiting) < MOST_WAITING:
            self._has_room()
