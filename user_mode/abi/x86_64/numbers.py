"""The system call numbers of Linux on x86-64, which are the host's."""

from __future__ import annotations

from user_mode.host_numbers import Nr

NUMBERS: dict[int, str] = {
    number: name for name, number in vars(Nr).items() if isinstance(number, int)
}
