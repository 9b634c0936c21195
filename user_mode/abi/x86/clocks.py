"""What the clocks of a vDSO go by: a page before it, as the kernel's [vvar].

RDTSC counts the nanoseconds of CLOCK_MONOTONIC, so the time of day is the sum of that and a number,
which stays the same until somebody sets the clock.  The number is good for a second; then the vDSO
makes a system call, and the number is looked at again.
"""

from __future__ import annotations

import struct
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from user_mode.errors import Errno

if TYPE_CHECKING:
    from user_mode.process import Process

PAGE = 4096
GOOD_FOR = 1_000_000_000
"""Nanoseconds."""
SLACK = 1_000
"""By so many nanoseconds clocks may seem to differ from what they were, as they cannot be read both
at once.  Less is no reason to have time go backwards."""
_DATA = struct.Struct("<qQ")
"""What to add to CLOCK_MONOTONIC, and until when."""


class Clocks:
    """Keeps the page of one process up to date."""

    def __init__(self) -> None:
        self._offset = 0

    def look(self, process: Process) -> None:
        """Write how CLOCK_REALTIME and CLOCK_MONOTONIC differ now."""
        before = time.monotonic_ns()
        now = time.time_ns()
        after = time.monotonic_ns()
        if not now - after - SLACK <= self._offset <= now - before + SLACK:
            self._offset = now - (before + after) // 2
        with suppress(Errno):  # The program may have unmapped it.
            process.memory.write(
                process.trampolines - PAGE, _DATA.pack(self._offset, after + GOOD_FOR)
            )
