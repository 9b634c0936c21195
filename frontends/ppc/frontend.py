"""PowerPC for the translator: decoding, state, meanings."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from frontends.insn import Semantics, collect
from frontends.ppc import ppc32_table
from frontends.ppc.context import Ppc
from frontends.ppc.state import CHECKS_FLOATS, PpcState
from tcg.build import Builder
from tcg.fields import FieldLike
from tcg.frontend import Decoded
from tcg.ir import Function
from tcg.state import Rotating
from tcg.types import integer


class PpcFrontend:
    """32-bit PowerPC, big-endian, as a user program sees it.

    Forms made in another mode are other forms, so `name`, which theirs are made of, tells it.
    """

    pc_shift = 2
    max_size = 4
    notices_stores = False
    rotating: Rotating | None = None

    def __init__(self) -> None:
        self.set_mode(0)
        self.table = ppc32_table()
        self.state = PpcState()
        self.layout = self.state.layout
        self.address_type = integer(self.state.width)
        self._decode = self.table.decoder()
        self._rows = self.table.rows

    def set_mode(self, mode: int) -> None:
        """Have builders that are made from now on in `mode`."""
        self.mode = mode
        checks = mode == CHECKS_FLOATS
        self.name = "ppc_checked" if checks else "ppc"
        kind = CheckedPpcFrontend if checks else PpcFrontend
        self.place = f"{kind.__module__}:{kind.__name__}"

    @cached_property
    def semantics(self) -> list[Semantics]:
        """The meaning of each row; imported when something is lifted for the first time."""
        from frontends.ppc import (
            branch,
            cache,
            cr_logic,
            fixed_arith,
            fixed_compare,
            fixed_logical,
            fixed_rotate,
            float_arith,
            float_compare,
            float_convert,
            float_load_store,
            float_move,
            fpscr,
            load_store,
            load_store_string,
            reservation,
            system,
        )

        fixed = (fixed_arith, fixed_compare, fixed_logical, fixed_rotate, cr_logic, branch)
        storage = (load_store, load_store_string, reservation, cache, system)
        floats = (
            float_arith, float_compare, float_convert, float_load_store, float_move, fpscr,
        )  # fmt: skip
        return collect(self.table, (*fixed, *storage, *floats))

    def decode(self, code: bytes, at: int, pc: int) -> Decoded | None:
        """Decode the instruction at `code[at:]`; None when no row matches or bytes are missing."""
        word = code[at : at + 4]
        if len(word) < 4:
            return None
        found = self._decode(int.from_bytes(word, "big"))
        return None if found is None else Decoded(found[0], found[1], 4)

    def field_names(self, row: int) -> tuple[str, ...]:
        """The names of the row's fields, in order."""
        return tuple(field.name for field in self._rows[row].fields)

    def row_name(self, row: int) -> str:
        """The row's name."""
        return self._rows[row].name

    def form_name(self, row: int) -> str:
        """All modes differ."""
        return self.name

    def new_builder(self, function: Function) -> Ppc:
        """A builder with PowerPC's registers."""
        return Ppc(function, self.state, self.mode)

    def lift(self, b: Builder, row: int, fields: Sequence[FieldLike], pc: FieldLike) -> None:
        """Emit what the instruction does."""
        assert isinstance(b, Ppc)
        b.pc = pc
        self.semantics[row](b, *fields)

    def disassemble(self, decoded: Decoded, pc: int) -> str:
        """The instruction in assembler syntax."""
        return self._rows[decoded.row].disassemble(decoded.fields, pc)


class CheckedPpcFrontend(PpcFrontend):
    """The same in the mode CHECKS_FLOATS, for processes that only know `place`."""

    def __init__(self) -> None:
        super().__init__()
        self.set_mode(CHECKS_FLOATS)
