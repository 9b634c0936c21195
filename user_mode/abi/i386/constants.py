"""The constants of Linux on i386: those of x86-64, in numbers that hold the size of a long too."""

from __future__ import annotations

from user_mode.abi.x86_64.constants import CONSTANTS

__all__ = ["CONSTANTS"]
