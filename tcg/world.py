"""All CPUs of a guest process, and how to have none of them in guest code for a moment."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import sleep

from tcg.cpu import Cpu

KICK_SECONDS = 0.0001


class World:
    """`lock` guards the translations; `stop` holds every CPU outside guest code."""

    def __init__(self) -> None:
        self.cpus: set[Cpu] = set()
        self.renew()

    def renew(self) -> None:
        """Only the calling thread is left (after a fork): make new locks."""
        self.lock = threading.RLock()
        self._resumed = threading.Condition(self.lock)
        self.is_stopping = False

    def wait_to_run(self, cpu: Cpu) -> None:
        """Called with cpu.inside set, when `is_stopping` was seen; returns when it may run."""
        cpu.inside = False
        with self.lock:
            while self.is_stopping:
                self._resumed.wait()
            cpu.inside = True

    @contextmanager
    def stop(self) -> Iterator[None]:
        """Run the body while no CPU is in guest code; the caller's own is not either."""
        with self.lock:
            while self.is_stopping:
                self._resumed.wait()
            self.is_stopping = True
        try:
            while running := [cpu for cpu in self.cpus if cpu.inside]:
                for cpu in running:
                    cpu.kick()
                sleep(KICK_SECONDS)
            yield
        finally:
            with self.lock:
                self.is_stopping = False
                self._resumed.notify_all()
