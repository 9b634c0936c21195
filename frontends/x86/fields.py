"""The fields of a decoded x86 instruction: the same for every row of the table.

    length     bytes of the instruction             opsize   effective operand size in bytes: 2 4 8
    addrsize   effective address size: 2 4 8        segment  0, or 1 + the override's number (es cs
                                                             ss ds fs gs are 0 to 5); in 64-bit mode
                                                             only fs and gs count
    lock       1 with a LOCK prefix                 rep      2 or 3 with F2 or F3, where it matters
    rex        1 with a REX prefix, which makes byte registers 4 to 7 spl bpl sil dil
    reg        ModRM.reg, with REX.R                rm       the register of ModRM.rm or of the
                                                             opcode, with REX.B; -1 for memory
    base index numbers of registers; "none" is the number after the last register
    scale      0 to 3                               disp     displacement, signed; what is relative
                                                             to RIP is an absolute address already
    imm        the immediate, sign-extended where the operand says so; for J operands the absolute
               target; for far pointers the offset
    imm2       the second immediate of ENTER, a far pointer's selector, the register of an is4 byte
    vvvv       the register that VEX.vvvv names

A field that means nothing to an instruction is zero (rm: -1, base and index: none).
"""

from __future__ import annotations

from tcg.decode.intel.decoder import FIELDS

__all__ = ["FIELDS"]
