"""Operands in the notation of the manual's opcode map (SDM vol. 2, appendix A.2).

A letter says where the operand is, what follows says how wide it is:

    Ev      a general register or memory, of the operand size
    Rd/Mb   a register of 32 bits, or a byte of memory
    sIb     a byte that is widened with its sign
    rAX AL  a register that the instruction names by itself
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

# fmt: off
LETTERS = {
    "A":  "a far pointer in the instruction",
    "B":  "a general register by VEX.vvvv",
    "C":  "a control register by ModRM.reg",
    "D":  "a debug register by ModRM.reg",
    "E":  "a general register or memory by ModRM",
    "G":  "a general register by ModRM.reg",
    "H":  "a vector register by VEX.vvvv",
    "I":  "an immediate",
    "sI": "an immediate, widened with its sign",
    "J":  "a branch target, relative to the next instruction",
    "L":  "a vector register by the upper half of an immediate byte",
    "M":  "memory by ModRM",
    "N":  "an MMX register by ModRM.rm",
    "O":  "memory at an address in the instruction",
    "P":  "an MMX register by ModRM.reg",
    "Q":  "an MMX register or memory by ModRM",
    "R":  "a general register by ModRM.rm",
    "S":  "a segment register by ModRM.reg",
    "U":  "a vector register by ModRM.rm",
    "V":  "a vector register by ModRM.reg",
    "W":  "a vector register or memory by ModRM",
    "X":  "memory at DS:rSI",
    "Y":  "memory at ES:rDI",
    "Z":  "a general register by the low bits of the opcode",
}

BYTES = {
    "b": 1, "w": 2, "d": 4, "q": 8, "t": 10, "dq": 16, "qq": 32,
    "ss": 4, "sd": 8,
}
"""Sizes that are always the same; ss and sd are the one element that counts."""

VARYING = {
    "v": (2, 4, 8), "z": (2, 4, 4), "y": (4, 4, 8),
    "p": (4, 6, 10), "a": (4, 8, 8), "s": (6, 6, 10),
}
"""Sizes by the operand size: 2, 4, 8."""

FIXED = {
    **{name: ("gpr", n, "b") for n, name in enumerate(["AL", "CL", "DL", "BL"])},
    "AH": ("gpr", 4, "b"),
    **{name: ("gpr", n, "w") for n, name in enumerate(["AX", "CX", "DX", "BX"])},
    **{name: ("gpr", n, "d") for n, name in enumerate(["EAX", "ECX", "EDX", "EBX"])},
    **{name: ("gpr", n, "q") for n, name in enumerate(["RAX", "RCX", "RDX", "RBX"])},
    "eAX": ("gpr", 0, "z"), "rAX": ("gpr", 0, "v"), "rDX": ("gpr", 2, "v"),
    **{name: ("segment", n, "w") for n, name in enumerate(["ES", "CS", "SS", "DS", "FS", "GS"])},
    "XMM0": ("vector", 0, "dq"),
    "1": ("constant", 1, "b"), "3": ("constant", 3, "b"),
}
"""What an instruction names by itself: kind, number, size."""

EITHER = {"R": "E", "U": "W", "N": "Q"}
"""The letter for a register of this kind or memory, of different sizes: Rd/Mb is an E."""
# fmt: on

VECTOR_SIZES = ("x", "ps", "pd")
"""Sizes that are the whole vector: 16 bytes, or 32 with VEX.256."""

BY_MODRM = frozenset("CDEGMNPQRSUVW")
MAY_BE_MEMORY = frozenset("EQWMOXY")


@dataclass(frozen=True, slots=True)
class Operand:
    """An operand of a row.

    `letter` is empty for fixed registers and constants, of which `text` is the name; ST0 and STi
    have the letter ST.  `size` is a register's, `memory_size` that of memory.
    """

    text: str
    letter: str
    size: str
    memory_size: str

    def bytes(self, opsize: int, vector_length: int = 0, *, memory: bool = False) -> int:
        """How many bytes it has when the operand size is `opsize`; 0 if it is not said."""
        size = self.memory_size if memory else self.size
        if size in BYTES:
            return BYTES[size]
        if size in VARYING:
            return VARYING[size][opsize.bit_length() - 2]
        return max(vector_length // 8, 16) if size in VECTOR_SIZES else 0


@cache
def operand(text: str) -> Operand:
    """The operand that is written so.  Raises ValueError with what is wrong about it."""
    if text in FIXED:
        size = FIXED[text][2]
        return Operand(text, "", size, size)
    if text in ("ST0", "STi"):
        return Operand(text, "ST", "t", "t")
    register, _, memory = text.partition("/")
    letter, size = _split(register)
    if not memory:
        return Operand(text, letter, size, size)
    memory_letter, memory_size = _split(memory)
    if letter not in EITHER or memory_letter != "M":
        raise ValueError(f"{text}: a register and memory of different sizes are written as Rd/Mb")
    return Operand(text, EITHER[letter], size, memory_size)


def _split(text: str) -> tuple[str, str]:
    letter = text[:2] if text[:1].islower() else text[:1]
    size = text[len(letter) :]
    if letter not in LETTERS:
        raise ValueError(f"there is no operand {text}")
    if size and size not in BYTES and size not in VARYING and size not in VECTOR_SIZES:
        raise ValueError(f"{text}: there is no size {size}")
    return letter, size
