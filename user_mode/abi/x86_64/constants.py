"""The constants of Linux on x86-64: all generic, and termios2's requests."""

from __future__ import annotations

from user_mode.abi import linux

CONSTANTS = linux.Constants(
    ioctl_rows="TCGETS2 r T 42 44  TCSETS2 w T 43 44  TCSETSW2 w T 44 44  TCSETSF2 w T 45 44"
)
