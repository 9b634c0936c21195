"""The x86 frontend: table, state and meanings in one object, for one mode of the code segment."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property

from frontends.x86.context import X86
from frontends.x86.fields import FIELDS
from frontends.x86.operands import Meaning, lift_row
from frontends.x86.state import X86State
from frontends.x86.table import x86_table
from tcg.build import Builder
from tcg.fields import FieldLike
from tcg.frontend import Decoded
from tcg.ir import Function
from tcg.state import Rotating
from tcg.types import integer

_NOT_IN_SYMBOLS = re.compile(r"\W")
CHECKED = "__checked"
"""What the name and the place of a frontend end with that looks for SSE's exceptions."""


class X86Frontend:
    """x86 as a user program sees it.

    `mode`: 16, 32 or 64, the default width of addresses and operands; `width`: that of the CPU's
    registers, 32 or 64.  `name` tells forms that were made for one mode from those of another.
    """

    pc_shift = 0
    max_size = 15
    notices_stores = True
    """Stores into code take effect at the next instruction (SDM vol. 3, 8.1.3)."""

    def __init__(
        self, mode: int, width: int, absent: frozenset[str] = frozenset(), place: str = ""
    ) -> None:
        """`absent`: the CPU features that this processor has not; `place`: where it is found."""
        self.mode = mode
        self.name = f"x86_{mode}" if mode >= width else f"x86_{mode}_on_{width}"
        self.place = place or f"{__name__}:{type(self).__name__}"
        self.table = x86_table()
        self.state = X86State(width)
        self.layout = self.state.layout
        self.rotating: Rotating | None = self.state.rotating
        self.address_type = integer(width)
        self.decode = self.table.decoder(mode, absent)
        self.checks_floats = False

    def check_floats(self) -> None:
        """From now on lift code that raises the exceptions that MXCSR lets through (#XM)."""
        if not self.checks_floats:
            self.checks_floats = True
            self.name += CHECKED
            self.place += CHECKED

    @cached_property
    def semantics(self) -> Sequence[Meaning]:
        """The meaning of each row; imported when something is lifted for the first time."""
        from frontends.x86.meanings import meanings

        return meanings(self.table)

    def field_names(self, row: int) -> tuple[str, ...]:
        """The names of the fields, the same for every row."""
        return FIELDS

    def row_name(self, row: int) -> str:
        """A name for the row that no other one has, fit for a symbol."""
        return _NOT_IN_SYMBOLS.sub("_", self.table.rows[row].key)

    def form_name(self, row: int) -> str:
        """All modes differ."""
        return self.name

    def new_builder(self, function: Function) -> X86:
        """A builder with x86's registers."""
        return X86(function, self.state, self.mode, self.checks_floats)

    def lift(self, b: Builder, row: int, fields: Sequence[FieldLike], pc: FieldLike) -> None:
        """Emit what the instruction does."""
        assert isinstance(b, X86)
        found = self.table.rows[row]
        b.start(found, fields, pc)
        lift_row(b, found, self.semantics[row])

    def disassemble(self, decoded: Decoded, pc: int) -> str:
        """The instruction in Intel's syntax."""
        return self.table.disassemble(decoded, pc, self.mode)


class I386Frontend(X86Frontend):
    """32-bit code on a 32-bit CPU."""

    def __init__(self) -> None:
        super().__init__(32, 32)


class X8664Frontend(X86Frontend):
    """64-bit code."""

    def __init__(self) -> None:
        super().__init__(64, 64)
