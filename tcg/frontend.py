"""What the translator asks of a guest ISA.

A frontend decodes, describes its state, and gives each instruction its one meaning by emitting
IR.  It knows no engine: the same `lift` serves the evaluator, the handlers and the regions.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple, Protocol

from tcg.build import Builder
from tcg.fields import FieldLike
from tcg.ir import Function
from tcg.state import Rotating, StateLayout
from tcg.types import Type


class GuestException(IntEnum):
    """What `raise` can report, for every ISA; the client turns it into signals or vectors."""

    ILLEGAL = 1
    PRIVILEGED = 2
    TRAP = 3
    FLOAT = 4
    ALIGNMENT = 5
    BREAKPOINT = 6
    DIVIDE = 7
    OVERFLOW = 8
    BOUND = 9
    PROTECTION = 10
    SIMD_FLOAT = 11
    DEBUG = 12
    NO_DEVICE = 13
    DOUBLE_FAULT = 14
    INVALID_TSS = 15
    NOT_PRESENT = 16
    STACK = 17
    PAGE = 18


SYSTEM_CALL = 0
"""`ask` 0: a system call by the ISA's own instruction for it."""


class Decoded(NamedTuple):
    """One decoded instruction: its table row, its field values in row order, its length."""

    row: int
    fields: tuple[int, ...]
    size: int


class Frontend(Protocol):
    """A guest ISA.

    `place`: `module:class`, by which another process makes one; `pc_shift`: low pc bits that are
    always zero; `max_size`: longest instruction in bytes; `notices_stores`: a store into code takes
    effect at the next instruction, without being told.
    """

    name: str
    place: str
    layout: StateLayout
    address_type: Type
    pc_shift: int
    max_size: int
    notices_stores: bool
    rotating: Rotating | None
    """A register file that is used as a stack."""

    def decode(self, code: bytes, at: int, pc: int) -> Decoded | None:
        """Decode the instruction at `code[at:]`; None when no row matches or bytes are missing."""

    def field_names(self, row: int) -> tuple[str, ...]:
        """The names of the row's fields, in order."""

    def row_name(self, row: int) -> str:
        """The row's name."""

    def form_name(self, row: int) -> str:
        """The name, less what the row's meaning does not depend on: modes with the same one share
        the row's handlers.
        """

    def new_builder(self, function: Function) -> Builder:
        """A builder with this ISA's registers, for `lift`."""

    def lift(self, b: Builder, row: int, fields: Sequence[FieldLike], pc: FieldLike) -> None:
        """Emit what the instruction does.  `b` comes from `new_builder`.  Leaves the block open
        when the instruction goes on to the next one.
        """

    def disassemble(self, decoded: Decoded, pc: int) -> str:
        """The instruction in assembler syntax."""
