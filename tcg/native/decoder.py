"""What native translation asks of a decode language."""

from __future__ import annotations

from typing import Protocol

from tcg.ir import Value
from tcg.native.host import HostBuilder, Variable


class NativeDecoder(Protocol):
    """A decoder as IR, and the tables that it walks through, in host memory.

    A row of `rows` or more is none: nothing decodes, or Python has to.
    """

    rows: int

    @property
    def tables(self) -> bytes:
        """The tables; the code depends on them."""

    def emit(
        self, b: HostBuilder, tables: Value, fields: Value, code: Value, pc: Value
    ) -> tuple[Variable, Variable]:
        """Emit the decoding of the instruction at host address `code`; gives row and length.

        Its fields go to host address `fields`, eight bytes each, in the frontend's order.
        """
