"""The x86 frontend of a whole machine: one for each mode that code runs in.

The decode table and the meanings of most instructions are those of programs.  What the system's
part of the processor sees otherwise is in `frontends/x86/privileged`, whose functions take the
place of those for programs.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property

from frontends.x86.frontend import X86Frontend
from frontends.x86.modes import CHECK_FLOATS, CODE, CODE_WIDTHS, IGNORED, NO_FPU
from frontends.x86.operands import Meaning, lift_row
from frontends.x86.privileged.builder import SystemX86
from frontends.x86.privileged.fpu_presence import require_fpu
from frontends.x86.system_state import SystemState
from frontends.x86.table import x86_table
from tcg.build import Builder
from tcg.fields import FieldLike
from tcg.frontend import Decoded
from tcg.ir import Function
from tcg.native.decoder import NativeDecoder
from tcg.types import integer

NEEDED = {
    "x87.decode": NO_FPU,
    "mmx.decode": NO_FPU,
    "sse.decode": NO_FPU | CHECK_FLOATS,
    "avx.decode": NO_FPU | CHECK_FLOATS,
}
"""What the rows of these tables depend on, of the bits that others ignore."""


class SystemFrontend(X86Frontend):
    """Code in one mode, `bits` (frontends/x86/modes.py), on registers of `width`, 32 or 64."""

    system = True

    def __init__(
        self,
        bits: int,
        width: int,
        absent: frozenset[str] = frozenset(),
        place: str = "",
        state: SystemState | None = None,
    ) -> None:
        """`state`: that of another mode, whose layout is shared."""
        self.bits = bits
        self.width = width
        self.mode = CODE_WIDTHS[bits & CODE]
        self.name = f"x86s_{width}_{bits:03x}"
        self.place = place or f"{__name__}:{type(self).__name__}"
        self.table = x86_table()
        self.state: SystemState = state or SystemState(width)
        self.layout = self.state.layout
        self.rotating = self.state.rotating
        self.address_type = integer(width)
        self._absent = absent
        self.decode = self.table.decoder(self.mode, absent, self.state.no_register)
        self._form_names: dict[int, str] = {}
        self.checks_floats = bool(bits & CHECK_FLOATS)

    @cached_property
    def semantics(self) -> Sequence[Meaning]:
        """The meaning of each row; imported when something is lifted for the first time."""
        from frontends.x86.privileged.meanings import system_meanings

        return system_meanings(self.table)

    def form_name(self, row: int) -> str:
        """The mode's name without what the row does not depend on."""
        name = self._form_names.get(row)
        if name is None:
            family = os.path.basename(self.table.rows[row].place.partition(":")[0])
            ignored = IGNORED & ~NEEDED.get(family, 0)
            name = self._form_names[row] = f"x86s_{self.width}_{self.bits & ~ignored:03x}"
        return name

    def new_builder(self, function: Function) -> SystemX86:
        """A builder with the system's registers."""
        return SystemX86(function, self.state, self.bits, self.checks_floats)

    def lift(self, b: Builder, row: int, fields: Sequence[FieldLike], pc: FieldLike) -> None:
        """Emit what the instruction does."""
        assert isinstance(b, SystemX86)
        found, meaning = self.table.rows[row], self.semantics[row]
        b.start(found, fields, pc)
        if self.bits & NO_FPU:
            require_fpu(b, meaning)
        if not b.block.is_closed:
            lift_row(b, found, meaning)

    def native_decoder(self) -> NativeDecoder:
        """The decoder as IR."""
        return self.table.native_decoder(self.mode, self._absent, self.state.no_register)

    def disassemble(self, decoded: Decoded, pc: int) -> str:
        """The instruction in Intel's syntax."""
        if self.mode != 64 and self.width == 64:
            decoded = _with_narrow_none(decoded, self.state.no_register)
        return self.table.disassemble(decoded, pc, self.mode)


BASE, INDEX, NARROW_NONE = 9, 10, 8


def _with_narrow_none(decoded: Decoded, none: int) -> Decoded:
    """Where registers are eight, "none" is the number 8 to the disassembler."""
    fields = list(decoded.fields)
    for at in (BASE, INDEX):
        if fields[at] == none:
            fields[at] = NARROW_NONE
    return decoded._replace(fields=tuple(fields))
