"""How an instruction is encoded: what the left half of a row says."""

from __future__ import annotations

from typing import NamedTuple

MEMORY, REGISTER = 1, 2

PREFIX_NAMES = ("NP", "66", "f2", "f3")
"""The mandatory prefixes, in the order that decoding counts them."""

NFX = 4
"""Neither F2 nor F3; 66 is the prefix for the operand size."""


class Encoding(NamedTuple):
    """Where an instruction is in the opcode maps.

    `vex`: the values of VEX.L and of VEX.W that fit, or None without VEX; `prefix`: an index of
    PREFIX_NAMES, or NFX, or None if the row says nothing of prefixes; `map`: 0 to 3, for one
    byte, 0F, 0F 38 and 0F 3A; `span`: 8 if the opcode's low bits are an operand; `mods`: whether
    ModRM may name MEMORY, a REGISTER, or both; `regs`: the digits that ModRM.reg may be, as bits;
    `rm`: what ModRM.rm must be, or None; `suffix`: an opcode behind the operands; `immediate`: as
    the decoder counts them.
    """

    vex: tuple[tuple[int, ...], tuple[int, ...]] | None
    prefix: int | None
    map: int
    opcode: int
    span: int
    has_modrm: bool
    mods: int
    regs: int
    rm: int | None
    suffix: int | None
    immediate: int

    def fits(self, modrm: int) -> bool:
        """Whether ModRM may be this byte."""
        if not self.mods & (REGISTER if modrm >= 0xC0 else MEMORY):
            return False
        if not self.regs >> (modrm >> 3 & 7) & 1:
            return False
        return self.rm is None or self.rm == modrm & 7

    def takes_prefix(self, prefix: int) -> bool:
        """Whether the row is one of those that ask for this prefix."""
        return self.prefix == prefix or (self.prefix == NFX and prefix < 2)

    def example(self, modrm: int = 0) -> str:
        """The bytes of an instruction, up to ModRM."""
        prefix = PREFIX_NAMES[self.prefix] if self.prefix in (1, 2, 3) else ""
        codes = ("", "0f", "0f 38", "0f 3a")[self.map], f"{self.opcode:02x}"
        tail = [f"{modrm:02x}"] if self.has_modrm else []
        if self.suffix is not None:
            tail += ["...", f"{self.suffix:02x}"]
        return " ".join(filter(None, ["VEX" if self.vex else "", prefix, *codes, *tail]))
