"""The one way in which guest memory says no."""

from __future__ import annotations


class GuestFault(Exception):
    """Guest memory that is not there or not to be used so, at `address`.

    `is_write`: the guest wanted to write; `is_bus`: mapped, but with nothing behind (SIGBUS).
    `pc`: of the instruction that could not be fetched, where it does not start at `address`.
    """

    def __init__(self, address: int, is_write: bool = False, is_bus: bool = False) -> None:
        super().__init__(f"guest fault at {address:#x}")
        self.address = address
        self.is_write = is_write
        self.is_bus = is_bus
        self.pc: int | None = None


class Misaligned(Exception):
    """The address of an access that must be aligned is not: GuestException.ALIGNMENT."""
