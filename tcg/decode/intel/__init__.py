"""The decode-table language for x86, in the notation of Intel's manual.

A row says how an instruction is encoded, its name, its operands, and what else is to be known:

    # opcode                mnemonic        operands      properties
    01 /r                   add             Ev, Gv        lock
    83 /0 ib                add             Ev, sIb       lock
    0f b6 /r                movzx           Gv, Eb        wo
    58+r                    pop             Zv            wo d64
    70+cc cb                j{cc}           Jb            ro f64
    f3 0f 58 /r             addss           Vss, Wss      cpu:sse
    VEX.256.66.0F.WIG 58 /r vaddpd          Vx, Hx, Wx    wo cpu:avx
    d8 c0+i                 fadd            ST0, STi      ro

Opcodes (SDM vol. 2, section 3.1.1)
    0f b6               bytes; 0f, 0f 38 and 0f 3a lead to other maps
    66 f3 f2 in front   a mandatory prefix: part of the opcode.  A row that names a prefix goes
                        before one that does not.  NP: none of the three; NFx: no F2, no F3, and 66
                        is the operand size's, as it is for a row that says nothing and for F2, F3
    58+r  70+cc         eight opcodes with a register in them; sixteen with a condition, which are
                        sixteen rows: jo, jno, jb, ...
    /r  /0 to /7        a ModRM byte; reg is an operand, or this digit
    d9 c0, d8 c0+i      a ModRM byte written out; its low bits may be a register
    /r bf               a byte behind the operands that is part of the opcode (3DNow!)
    ib iw iz iv cb cz cp is4    immediates.  They follow from the operands, and must agree with them
    VEX.L.pp.map.W      VEX: 128 256 L0 L1 LZ LIG, NP 66 F2 F3, 0F 0F38 0F3A, W0 W1 WIG (or nothing)

Mnemonics
    j{cc}               named after the condition; its semantic function is jcc
    movs{b} movs{wdq}   movsb; movsw, movsd, movsq by the operand size; the function is movs
    cbw/cwde/cdqe       by the operand size, with the property byaddr by the address size; the
                        function is cbw

Operands are those of the manual's opcode map (SDM vol. 2, appendix A.2): a letter for where it is,
then its size.  `operands` lists them.  sIb is widened with its sign, Rd/Mb is a register of 32 bits
or a byte of memory; AL, eAX, rAX, ES, XMM0, 1 and the like stand for themselves; ST0 and STi are
the x87 stack's.  M, O, X and Y are memory, N, R and U registers: ModRM that says otherwise is no
such instruction.

Properties
    lock                LOCK is allowed, if the destination is memory; for all others it is illegal
    rep                 REP and REPNE mean something
    wo ro               the first operand is only written; is not written
    mem reg             ModRM must name memory; a register
    i64 o64             illegal in 64-bit mode; there only
    d64 f64             in 64-bit mode the operand size is 64 unless 66 says 16; is 64 whatever
                        prefixes say.  The latter are branches: 66 makes no target of 16 bits there,
                        as on Intel's processors; AMD's obey it
    segment             a segment override means something, though no operand says so
    norexb              not with REX.B
    byaddr              the mnemonic goes by the address size, as jcxz/jecxz/jrcxz
    vsibx vsiby         the index of the address is an SSE register; an AVX register
    cpu:NAME            needs a feature, by its name in /proc/cpuinfo; a decoder can be without

Two rows may not match the same bytes in the same mode, but inside `{` and `}`, each on its own
line, where the first match counts: the special case stands above the general one.

    {
    0f 18 /0            prefetchnta     Mb            ro
    0f 18 /r            nop             Ev            ro
    }

A table may have many files; it is their union.  Each decoded instruction has the same fields,
FIELDS, which the frontend explains.  Nothing here imports lark until a table has to be parsed.
"""

from tcg.decode.errors import TableError
from tcg.decode.intel.cache import Keeper, cached
from tcg.decode.intel.decoder import FIELDS
from tcg.decode.intel.operands import Operand
from tcg.decode.intel.table import Row, Table

__all__ = ["FIELDS", "Operand", "Row", "Table", "TableError", "cached", "load_table"]


def load_table(paths: list[str]) -> Table:
    """Parse and check the table that these files are together; raises TableError and OSError."""
    keeper = Keeper(paths, None)
    keeper.facts()
    return keeper.table()
