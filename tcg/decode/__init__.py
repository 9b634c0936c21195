"""The decode-table language for ISAs of fixed width.

A table says, one row an instruction, how its bits are laid out and how it is written:

    width    32
    address  32
    names reg    r{0..31}

    # The bits in the manual's groups and order, its fields named in place.
    addi      001110  rt:5 ra:5 si:s16             "addi r{rt}, {ra|0}, {si}"
      when ra == 0                                 "li r{rt}, {si}"
    add       011111  rt:5 ra:5 rb:5 oe:1 100001010 rc:1    "add{oe:o}{rc:.} r{rt}, r{ra}, r{rb}"
    mfspr     011111  rt:5 spr[4:0] spr[9:5] 0101010011 /   "mfspr r{rt}, {spr}"

The header
    width N             how many bits a row has; it comes first
    address N           how many bits an address has when it is shown (default: width)
    names LIST word...  texts to show numbers by; "" is the empty one; {a,b} and {0..7} expand as
                        they do in bash
    format NAME m:f     show numbers by the Python function f of module m

Bits
    0 1                 this bit
    /                   a reserved bit: must be zero
    -                   a bit without meaning: may be anything
    rt:5  si:s16        a field of so many bits, unsigned or signed
    spr[4:0] spr[9:5]   bits 4 to 0, then 9 to 5 of a split field; bits of it that are nowhere are
                        zero, and imm[12|10:5] joins two runs
    imm:s[11:0]         a split field that is signed

Overlaps.  No word may match two rows, but inside `{` and `}`, each on its own line, where the
first match counts: the special case stands above the general one.

Text.  The first word is the mnemonic.  In braces: an expression over the fields and pc (`+ - * <<
>> &`, comparisons, `in (1, 2)`, `and`, `or`, as in Python), then perhaps how to show it:
    {rt}  {32-sh}       a decimal number
    {ra|0}              what stands after | if the value is zero, else its name in the list reg
    {rc:.}              one character, if the value is not zero
    {bi:crbit}          the name it has in the list of this name, or what the function of this
                        name returns
    {ui:hex}            a hexadecimal number
    {pc+4*li:addr}      an address, cut to its width
A line `when CONDITION "text"` below a row is the text to use instead when the condition holds;
the first that holds counts.  It changes what is shown and nothing else.

Nothing here imports lark until a table has to be parsed: `cached` keeps what became of it.
"""

from tcg.decode.cache import cached
from tcg.decode.errors import TableError
from tcg.decode.table import BitField, Decoder, Row, Table

__all__ = ["BitField", "Decoder", "Row", "Table", "TableError", "cached", "load_table"]


def load_table(path: str) -> Table:
    """Parse and check the table at `path`; raises TableError, or OSError if it cannot be read."""
    from tcg.decode.generate import build

    return build(path)
