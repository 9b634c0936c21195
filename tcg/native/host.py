"""IR that works on host memory: tables of our own, guest code by its host address."""

from __future__ import annotations

from tcg.build import Builder
from tcg.ir import Access, Operand, Value
from tcg.state import Slot
from tcg.system import HOST
from tcg.types import I8, I16, I32, I64, Type

TYPES = {1: I8, 2: I16, 4: I32, 8: I64}


class HostBuilder(Builder):
    """A builder whose values are 64 bits wide and whose memory is the host's."""

    def load_u(self, address: Value, size: int, offset: int = 0) -> Value:
        """An unsigned number."""
        return self._load(TYPES[size], address, offset).zext(I64)

    def load_s(self, address: Value, size: int, offset: int = 0) -> Value:
        """A signed number."""
        return self._load(TYPES[size], address, offset).sext(I64)

    def _load(self, type_: Type, address: Value, offset: int) -> Value:
        place = address + offset if offset else address
        return self.load(Access(type_, "le", mmu=HOST), place)

    def store_n(self, address: Value, size: int, value: Operand, offset: int = 0) -> None:
        """The low bytes of a number."""
        type_ = TYPES[size]
        place = address + offset if offset else address
        given = self.value(I64, value)
        self.store(Access(type_, "le", mmu=HOST), place, given.trunc(type_))

    def variable(self, value: Operand = 0) -> Variable:
        """A number that changes."""
        made = Variable(self, self.local(I64))
        made.set(value)
        return made

    def pick(self, condition: Value, yes: Operand, no: Operand) -> Value:
        """One of two numbers."""
        return self.select(condition, yes, no, I64)


class Variable:
    """A number of 64 bits that IR reads and writes."""

    def __init__(self, b: HostBuilder, slot: Slot) -> None:
        self._b = b
        self._slot = slot

    def get(self) -> Value:
        """What it is now."""
        return self._b.get(self._slot)

    def set(self, value: Operand) -> None:
        """It is that from now on."""
        self._b.put(self._slot, value)

    def add(self, value: Operand) -> None:
        """It grows by so much."""
        self.set(self.get() + value)
