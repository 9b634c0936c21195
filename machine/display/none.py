"""`-display none`: nobody looks at the screen, but it can be saved."""

from __future__ import annotations

import threading


class NoDisplay:
    """Waits until the machine ends."""

    def __init__(self) -> None:
        self._stopped = threading.Event()

    def run(self) -> None:
        """Wait, on the main thread, so that signals are handled."""
        while not self._stopped.wait(1):
            pass

    def stop(self) -> None:
        self._stopped.set()
