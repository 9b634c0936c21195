"""Guest memory for the interpreting engine: accesses by copies, faults as GuestFault."""

from __future__ import annotations

from tcg.faults import GuestFault
from user_mode.areas import PROT_READ, PROT_WRITE
from user_mode.errors import Errno
from user_mode.memory import GuestMemory
from user_mode.pages import PAGE


class InterpretedMemory:
    """Implements tcg.interp.InterpretedMemory.  Code that is fetched is watched for writes."""

    def __init__(self, memory: GuestMemory) -> None:
        self._memory = memory

    def fetch(self, address: int, length: int) -> bytes:
        """Code at `address`, at least a byte."""
        self._memory.fetch(address, 1)
        self._memory.protect_code(address)
        return self._memory.fetch(address, length)

    def may_change(self, address: int) -> bool:
        """Whether the guest may write to the page of `address`."""
        return self._memory.may_change(address)

    def read(self, address: int, size: int) -> bytes:
        """`size` bytes at a guest address."""
        try:
            return self._memory.read(address, size)
        except Errno:
            raise self._fault(address, size, PROT_READ) from None

    def write(self, address: int, data: bytes) -> None:
        """Write bytes at a guest address."""
        try:
            self._memory.write(address, data)
        except Errno:
            raise self._fault(address, len(data), PROT_WRITE) from None

    def _fault(self, address: int, size: int, prot: int) -> GuestFault:
        """The fault at the first byte that may not be accessed so."""
        is_write = prot == PROT_WRITE
        for at in (address, (address + size - 1) & -PAGE):
            if not self._memory.allows(at, prot):
                return GuestFault(at, is_write)
        return GuestFault(address, is_write, is_bus=True)
